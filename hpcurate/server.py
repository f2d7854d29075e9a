"""Programs that run once on a node, beside the stage processes that ask them. Python 3.9.

A stage names one as its `node_server`. Each of its workers starts it, or waits until the one that has is gone: see
`stage_process/server_guard.py`. A stage process finds it with `hpcurate.node.server.ServerOnNode`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import above_zero, option

__all__ = ["NodeServer", "filled"]

PORT = "{port}"
PLACES = ("port", "model", "name", "gpus", "key")
"""What may stand in braces in the words of a command."""


def _command(words: tuple[str, ...]) -> None:
    if not words or not all(isinstance(word, str) for word in words):
        raise ConfigError("a list of words is expected, e.g. [vllm, serve, '{model}', --port, '{port}']")
    if not any(PORT in word for word in words):
        raise ConfigError("none of its words has {port}, the port of 127.0.0.1 that the server is to listen on")


def _path(path: str) -> None:
    if not path.startswith("/"):
        raise ConfigError("a path is expected, e.g. /health")


@attrs.define(frozen=True, kw_only=True)
class NodeServer:
    """A program that answers HTTP on a port of 127.0.0.1, and stays in the foreground."""

    command: tuple[str, ...] = option(
        (),
        "its words, without a shell; {port}, {model} (folder of the weights), {name} (of the model), {gpus} (how many) "
        "and {key} are filled in",
        converter=tuple,
        check=_command,
    )
    model: str = option("", "model of the registry that is {model}, and {name}; empty: none")
    health: str = option("/health", "path that is answered with 200 once the server is ready", check=_path)
    ready_s: float = option(600.0, "seconds until then, at most", check=above_zero)
    quiet_s: float = option(
        120.0, "seconds without an answer, neither there nor to a question, after which it hangs", check=above_zero
    )

    @property
    def wants_weights(self) -> bool:
        """Whether the command is given the folder of the model's weights."""
        return any("{model}" in word for word in self.command)


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words with the values of PLACES; any other brace stays, as in a word that is JSON. Pure."""
    found = list(words)
    for name in PLACES:
        found = [word.replace(f"{{{name}}}", values.get(name, "")) for word in found]
    return found
