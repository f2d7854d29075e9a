"""Where a server of ours listens.

The port is bound before there is an app, so that its address can be printed, stored or handed on first; who connects
meanwhile waits.
"""

from __future__ import annotations

import errno
import importlib.util
import socket
import threading
from collections.abc import Callable

import attrs

from hpcurate.errors import UserError
from hpcurate.web.bounds import STALL_S, Bounds
from hpcurate.web.door import ANY_ADDRESS, App, Door, new_token

__all__ = ["Address", "Server", "exposure", "is_loopback"]

NEEDED = ("uvicorn", "fastapi", "python_multipart")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_PORT = 65535
BACKLOG = 128
GRACE_S = 10.0


@attrs.frozen
class Address:
    """Where a server is, and what lets one in."""

    host: str
    port: int
    token: str = attrs.field(repr=False)

    @property
    def base(self) -> str:
        """`http://127.0.0.1:8123`."""
        host = socket.gethostname() if self.host in ANY_ADDRESS else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def url(self) -> str:
        """With the token: whoever has it is let in."""
        return f"{self.base}/?token={self.token}"


def refuse_missing() -> None:
    """Raise UserError where a package is missing that every server needs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{missing[0]} is not installed here; type pip install 'hpcurate[serve]'")


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach a server that listens there. Pure."""
    return host in LOOPBACK or host.startswith("127.")


def exposure(host: str) -> str | None:
    """What is said of listening on a host, None for loopback. Pure."""
    if is_loopback(host):
        return None
    where = "all addresses of this machine" if host in ANY_ADDRESS else host
    return (
        f"warning: listens on {where}, beyond this machine. Whoever has the token may do what you may do here, and\n"
        "nothing is encrypted: who can read the network can read the token. A tunnel (ssh -L) needs none of that."
    )


def hosts_of(host: str) -> frozenset[str]:
    """Names that a Host header may have."""
    named = {socket.gethostname().lower(), socket.getfqdn().lower()} if host in ANY_ADDRESS else set()
    return frozenset({*LOOPBACK, host.lower(), *named})


class Server:
    """Listens from the beginning on, and answers while it runs. Once."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0: any that is free. Raises UserError where that port or host cannot be had."""
        refuse_missing()
        self._listener = _bound(host, port)
        self.address = Address(host, self._listener.getsockname()[1], new_token())

    def run(
        self,
        app: App,
        *,
        until: threading.Event | None = None,
        grace_s: float = GRACE_S,
        most_body: int | None = None,
        stall_s: float = STALL_S,
        ending: Callable[[], object] = lambda: None,
    ) -> None:
        """Serve the app behind its door, in this thread, until SIGTERM, SIGINT or `until`.

        Then nobody new is let in, streams end, `ending` is called in a thread of its own, and what is being answered
        has so long to end. A second signal ends it at once. `most_body`: bytes of one request, None where the app
        bounds whatever it reads; `stall_s`: so long a body may stand still.
        """
        from hpcurate.web.listening import serve

        door = Door(app, self.address.token, hosts_of(self.address.host), f"hpcurate-{self.address.port}")
        try:
            serve(self._listener, Bounds(door, most_body, stall_s), until or threading.Event(), grace_s, ending)
        finally:
            self.close()

    def close(self) -> None:
        """Give the port back; for a server that never ran."""
        self._listener.close()


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= MOST_PORT:
        raise UserError(f"port {port}: expected a number up to {MOST_PORT}, or 0 for any port that is free")
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise UserError(f"listen={host}: expected an address of this machine, or a name that has one") from None
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)  # with the bind alone another program could still take the port
    except OSError as error:
        listener.close()
        raise UserError(_why_not(host, port, error)) from None
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    """Pure."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken by another program: give another port, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"port {port} is for administrators only: give one above 1023, or 0 for any that is free"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"listen={host}: this machine does not have this address"
    return f"cannot listen on port {port} of {host}: {error.strerror}"
