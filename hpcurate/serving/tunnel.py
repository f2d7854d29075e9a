"""How somebody on another machine reaches a server: the command of the tunnel, and the address at its end."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
from contextlib import suppress

import msgspec

from hpcurate.serving.servers import LOOPBACK, Listening
from hpcurate.web.server import is_loopback

__all__ = ["Way", "free_port", "full_name", "own_name", "tunnel_command", "url_of"]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """From a user's own machine to a server."""

    login: str
    """Host that is reached from outside."""
    node: str = ""
    """Where the server is, as the login host reaches it; empty: it is the login host itself."""
    user: str = ""
    """On both of them; empty: as the user's ssh has it."""
    port: int
    """At the user's end."""


def tunnel_command(way: Way, listening: Listening) -> str:
    """What one types on one's own machine: through the login host to the node, or, where the server listens beyond its
    node, through the login host alone, which needs no ssh to nodes. Pure.
    """
    login, node = _at(way.user, way.login), _at(way.user, way.node)
    if not way.node:
        return shlex.join(["ssh", "-N", "-L", f"{way.port}:{LOOPBACK}:{listening.port}", login])
    if is_loopback(listening.host):
        return shlex.join(["ssh", "-N", "-L", f"{way.port}:{LOOPBACK}:{listening.port}", "-J", login, node])
    return shlex.join(["ssh", "-N", "-L", f"{way.port}:{way.node}:{listening.port}", login])


def _at(user: str, host: str) -> str:
    return f"{user}@{host}" if user else host


def url_of(port: int, listening: Listening) -> str:
    """What one opens at the user's end of the tunnel. Pure."""
    return f"http://{LOOPBACK}:{port}/?token={listening.token}"


def free_port(wanted: int) -> int:
    """This port if it is free here, else another one that is: a guess of what is free at the user's end."""
    for port in (wanted, 0):
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, port))
            return int(probe.getsockname()[1])
    return wanted


def full_name() -> str:
    """Of this host, with its domain where that is known."""
    name = socket.gethostname()
    if "." in name:
        return name
    found = socket.getfqdn()
    return name if found.startswith("localhost") else found


def own_name() -> str:
    """Of this user; empty for one without a name."""
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return ""
