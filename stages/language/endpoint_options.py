"""What `backend: openai` is given: what counts for the answers, and where the server is."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import above_zero, option
from hpcurate.secrets import is_secret_variable

DEFAULT_KEY = "OPENAI_API_KEY"


@attrs.define(frozen=True, kw_only=True)
class EndpointOptions:
    """What counts for the answers, besides the question."""

    quality: int = option(85, "of the pictures, as JPEG, up to 95", minimum=1)
    longest_side: int = option(768, "pixels; larger pictures are reduced", minimum=16)
    body: dict[str, Any] = option(
        dict, "further keys of each request, as the server has them; null takes one out that it does not take"
    )


@attrs.define(frozen=True, kw_only=True)
class Server:
    """Where the server is, and how much it is asked."""

    url: str = option("", "address up to /chat/completions, e.g. http://gpu7:8000/v1")
    command: tuple[str, ...] = option(
        (), "instead of url: words of a program that each node runs once; see NodeServer", converter=tuple
    )
    health: str = option("/health", "with command: path that is answered with 200 once the server is ready")
    ready_s: float = option(600.0, "with command: seconds until then, at most")
    quiet_s: float = option(120.0, "with command: seconds without any answer after which it hangs, and is replaced")
    key: str = option(
        DEFAULT_KEY, "NAME of the environment variable that has the key; the default need not be set; empty: no key"
    )
    concurrency: int = option(16, "requests at once, of each stage process", minimum=1)
    timeout_s: float = option(600.0, "seconds for one answer", check=above_zero)
    wait_s: float = option(300.0, "seconds that a server which is gone is waited for", minimum=0)


def checked_options(options: EndpointOptions) -> EndpointOptions:
    """The same. Raises ConfigError."""
    if options.quality > 95:
        raise ConfigError(f"options.quality={options.quality}: must be at most 95")
    if taken := [key for key in ("model", "messages", "stream", "n") if key in options.body]:
        raise ConfigError(f"options.body.{taken[0]}: is not to be set here")
    return options


def checked_server(server: Server) -> Server:
    """The same, without / at the end. Raises ConfigError; what may be a key is in no message."""
    if server.command:
        if server.url or server.key != DEFAULT_KEY:
            raise ConfigError("server: either url, perhaps with key, or command: a node's own server has its own key")
        return server
    if server.key and not (re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", server.key) and is_secret_variable(server.key)):
        raise ConfigError(
            "server.key: expected the NAME of an environment variable that has the key, such as MY_API_KEY: one whose "
            "name ends so, or in _TOKEN, is masked in logs; export it where you type hpcurate"
        )
    if server.key not in ("", DEFAULT_KEY, *os.environ):
        raise ConfigError(f"server.key={server.key}: there is no such environment variable; export it first")
    parts = urlsplit(server.url)
    if parts.username or parts.password:
        raise ConfigError("server.url: has a password in it; give it as server.key, by the name of its variable")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ConfigError(f"server.url={server.url!r}: expected an address such as http://gpu7:8000/v1")
    return attrs.evolve(server, url=server.url.rstrip("/"))


def key_of(variable: str) -> str:
    """The key; empty: none."""
    return os.environ.get(variable, "").strip() if variable else ""
