"""Where the server of an `Endpoint` is: at an address that was given, or on this node, where its workers keep one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import attrs

from hpcurate import NodeServer, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.fields import checked
from hpcurate.node.server import ServerOnNode
from stages.language.endpoint_options import Server, key_of

PATH = "/v1"
"""Of the protocol, on a server of the node."""


@attrs.define(frozen=True)
class Where:
    """An address, up to /chat/completions, and its key."""

    url: str
    key: str = attrs.field(repr=False)
    keeper: str = ""
    """Who starts it again where it dies; empty: nobody here."""

    def died(self, here: Where) -> bool:
        """Whether what is here now stands for this one, which has died. Pure."""
        return self.keeper == here.keeper and self.url != here.url


class Given:
    """A server that somebody else runs."""

    def __init__(self, server: Server) -> None:
        self._where = Where(server.url, key_of(server.key))

    def where(self, lost: str = "") -> Where:
        """Always the same."""
        return self._where

    def asking(self, alone: bool) -> AbstractContextManager[object]:
        """Others may ask meanwhile."""
        return nullcontext()

    def answered(self) -> None:
        """It has answered a question."""


class OnNode:
    """The server that this node's workers keep: another one each time it was replaced."""

    def __init__(self, folder: str) -> None:
        self._server = ServerOnNode(folder)

    def where(self, lost: str = "") -> Where:
        """Waits until it is ready; where one is `lost`, for the next. Raises SetupLost."""
        found = self._server.where(lost.removesuffix(PATH))
        return Where(f"{found.url}{PATH}", found.key, found.keeper)

    def asking(self, alone: bool) -> AbstractContextManager[object]:
        """`alone`: nobody else of this node asks meanwhile, so that what ends the server is this question."""
        return self._server.asking(alone)

    def answered(self) -> None:
        """It has answered a question."""
        self._server.answered()


def place_of(server: Server, worker: WorkerInfo) -> Given | OnNode:
    """Where to ask. Raises ConfigError outside of a run, where there are no workers that keep a server."""
    if not server.command:
        return Given(server)
    if worker.node_server is None:
        raise ConfigError("server.command: only the workers of a run start a server; name one by server.url here")
    return OnNode(worker.node_server)


def node_server_of(server: Server, model: str) -> NodeServer | None:
    """What the workers start, if they are to. Raises ConfigError."""
    if not server.command:
        return None
    made = NodeServer(
        command=server.command, model=model, health=server.health, ready_s=server.ready_s, quiet_s=server.quiet_s
    )
    return checked(made, "server")
