"""What the process of a server of stages makes: the endpoint of its service, and the page where Gradio is."""

from __future__ import annotations

import importlib.util

import msgspec

from hpcurate.cli.start.serving import Frozen, Opened, open_service
from hpcurate.errors import UserError
from hpcurate.masks import mask
from hpcurate.serving.app import PAGE, app_of
from hpcurate.serving.life import Life
from hpcurate.serving.servers import Server
from hpcurate.web.door import App
from hpcurate.worker.hosts import Log, SetupFailed

__all__ = ["ENTRY", "HostedService", "make"]

ENTRY = "hpcurate.cli.start.served_app.make"
LOOK_S = 0.2
"""How often it is looked whether the server is to end while its workers are set up."""


class HostedService:
    """See `Hosted`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        app = app_of(opened.service)
        if importlib.util.find_spec("gradio"):
            from hpcurate.serving.page import mount_page

            app = mount_page(app, opened.service, PAGE)
        self.app: App = app

    def working(self) -> int:
        """See `Hosted`."""
        return self._opened.service.busy

    def close(self, grace_s: float) -> None:
        """See `Hosted`."""
        self._opened.close(grace_s)


def make(server: Server, life: Life) -> HostedService:
    """See `Make`. Returns once a worker is set up. Raises UserError."""
    spec, process = server.spec, server.process
    opened = open_service(
        msgspec.convert(spec.served, Frozen),
        server.path,
        spec.code or "",
        _log_of(server),
        process.until if process else None,
    )
    try:
        while life.ended is None and not opened.service.wait_ready(LOOK_S):
            pass
    except SetupFailed as error:
        opened.close(0.0)
        raise UserError(f"no worker could be set up: {mask(str(error))}") from None
    return HostedService(opened)


def _log_of(server: Server) -> Log:
    """Where stages print: a job's output is the log; on a terminal they would be in the way of whoever reads there."""
    if server.job is not None:
        return lambda line: print(mask(line), flush=True)
    file = open(server.log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - as long as the process lives
    return lambda line: print(mask(line), file=file)
