"""A server of stages: what its folder has, and what runs from that alone, here or on a compute node."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from hpcurate.cli.start.compiled import code_and_data, request_again, resolved
from hpcurate.cli.start.served_stages import ServedStages
from hpcurate.cli.start.settings import Settings
from hpcurate.runs.code import freeze_files, merge_packages
from hpcurate.runs.prepare import Request
from hpcurate.serving.answering import Service
from hpcurate.serving.lane import Lane
from hpcurate.serving.on_node import OnNode
from hpcurate.serving.served import Limits
from hpcurate.system.allocation import Allocation
from hpcurate.worker.hosts import Log

__all__ = ["Frozen", "Opened", "freeze", "frozen", "open_service"]


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """What a server of stages is, whatever is edited later."""

    config: str
    """Resolved configuration, YAML."""
    stage: str | None
    """That requests go to; None: the last that takes task by task."""
    limits: Limits
    words: tuple[str, ...]
    """As typed."""
    config_dirs: tuple[str, ...]
    where: str
    """Folder in which it was typed."""


def frozen(request: Request, settings: Settings, stage: str | None, limits: Limits) -> Frozen:
    """A request with nothing left to choose or to look up."""
    return Frozen(
        config=resolved(request, settings),
        stage=stage,
        limits=limits,
        words=tuple(request.command.words),
        config_dirs=tuple(map(os.path.abspath, request.command.config_dirs)),
        where=request.command.folder,
    )


def freeze(folder: str, request: Request, settings: Settings, stages: ServedStages) -> str:
    """Copy the code into the server's folder, unless it is there; that of the copy. Raises PipelineError, OSError."""
    return freeze_files(_code(request, settings, stages), folder)


def _code(request: Request, settings: Settings, stages: ServedStages) -> dict[str, Path]:
    """Code of stages and launcher, and what reads the configuration."""
    source = str(settings.source["_target_"]).replace(":", ".").rpartition(".")[0]
    return code_and_data([*stages.modules(), source, str(request.launcher["_target_"])])


# -- from the folder alone ------------------------------------------------------------------------------


class Opened(msgspec.Struct):
    """A service whose workers are being set up."""

    service: Service
    node: OnNode

    def close(self, grace_s: float) -> None:
        """End it."""
        self.service.close(grace_s)
        self.node.close()


def _never_fails(log: Log) -> Log:
    """A log whose disk is full may miss lines; whoever writes into it has requests to answer."""

    def write(line: str) -> None:
        with suppress(OSError):
            log(line)

    return write


def open_service(server: Frozen, folder: str, code: str, log: Log, until: float | None = None) -> Opened:
    """Begin to serve. Raises UserError.

    `folder` is the server's, `code` its copy of the code, `until` the end of its job in seconds since the epoch.
    """
    log = _never_fails(log)
    os.chdir(server.where)
    merge_packages()
    request, settings = request_again(server.config, server.words, server.config_dirs)
    stages = ServedStages(request, settings, server.stage, code)
    steps = stages.plan({}).steps
    node = OnNode(folder, server.limits.workers, steps, Allocation.here().job_id or "", log)

    def lane(number: int) -> Lane:
        return Lane(number, node.prepared, server.limits.request_s, log)

    service = Service(stages.served(server.limits), stages, folder, lane, log, tick=node.look_after, until=until)
    service.start()
    return Opened(service, node)
