"""A server of stages: what its folder has, and what runs from that alone, here or on a compute node."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.cli.start.compose import dump, frozen_config
from hpcurate.cli.start.overrides import Typed
from hpcurate.cli.start.request import request_of, settings_of
from hpcurate.cli.start.served_stages import ServedStages
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.start.steps import of_frozen_code
from hpcurate.config_files import shipped
from hpcurate.runs.code import files_to_copy, freeze_files, merge_packages
from hpcurate.runs.prepare import Request
from hpcurate.serving.answering import Service
from hpcurate.serving.lane import Lane
from hpcurate.serving.on_node import OnNode
from hpcurate.serving.served import Limits
from hpcurate.site_files import load_site
from hpcurate.store.layout import Store
from hpcurate.system.allocation import Allocation
from hpcurate.worker.hosts import Log

__all__ = ["Frozen", "Opened", "freeze", "frozen", "open_service"]

WITH_CONF = ("conf", "envs")
"""Data of hpcurate that is read when a configuration is: in a wheel they lie in the package, and in the copy, too."""


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
        config=_resolved(request, settings),
        stage=stage,
        limits=limits,
        words=tuple(request.command.words),
        config_dirs=tuple(map(os.path.abspath, request.command.config_dirs)),
        where=request.command.folder,
    )


def freeze(folder: str, request: Request, settings: Settings, stages: ServedStages) -> str:
    """Copy the code into the server's folder, unless it is there; that of the copy. Raises PipelineError, OSError."""
    return freeze_files(_code(request, settings, stages), folder)


def _resolved(request: Request, settings: Settings) -> str:
    """The configuration with nothing left to choose or to look up: launcher, site profile and store as here."""
    import yaml

    plain: dict[str, Any] = yaml.safe_load(request.config)
    site = {key: value for key, value in attrs.asdict(load_site(settings.site)).items() if value is not None}
    return dump({**plain, "launcher": request.launcher, "store": Store.at(request.store).root, "site": site})


def _code(request: Request, settings: Settings, stages: ServedStages) -> dict[str, Path]:
    """Code of stages and launcher, and what reads the configuration."""
    source = str(settings.source["_target_"]).replace(":", ".").rpartition(".")[0]
    modules = [*stages.modules(), source, str(request.launcher["_target_"])]
    found = files_to_copy(modules, skip=set(WITH_CONF))
    for name in WITH_CONF:
        base = shipped(name)
        found |= {f"hpcurate/{name}/{path.relative_to(base)}": path for path in base.rglob("*") if path.is_file()}
    return found


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
    request, settings = _request(server)
    stages = ServedStages(request, settings, server.stage, code)
    steps = stages.plan({}).steps
    node = OnNode(folder, server.limits.workers, steps, Allocation.here().job_id or "", log)

    def lane(number: int) -> Lane:
        return Lane(number, node.prepared, server.limits.request_s, log)

    service = Service(stages.served(server.limits), stages, folder, lane, log, tick=node.look_after, until=until)
    service.start()
    return Opened(service, node)


def _request(server: Frozen) -> tuple[Request, Settings]:
    import yaml

    plain: dict[str, Any] = yaml.safe_load(server.config)
    composed = frozen_config(dump({**plain, "stages": of_frozen_code(plain["stages"])}), {})
    typed = Typed(paths={}, overrides=(), words=server.words, config_dirs=server.config_dirs)
    settings = settings_of(composed)
    return request_of(settings, composed, typed), settings
