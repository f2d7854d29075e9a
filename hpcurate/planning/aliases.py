"""Aliases: a stage without a version whose code was edited goes on in the folder that it had, because a user said so.

`hpcurate retry --keep-done` keeps what the code of before has done, and tries with today's what failed. It writes
`<store>/stages/.aliases/<stage>-<fp12>`: the stage that has this fingerprint by its code means the folder in that file.
So the same command finds it later, and the stages after it follow it. A run that came from another store (`hpcurate
import`) has aliases, too: of its source and of stages whose parameters name paths that are others there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from hpcurate.digest import digest
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import Store

__all__ = [
    "COMMAND",
    "SOURCE",
    "Aliases",
    "KeptOf",
    "alias_name",
    "differs_in_code_alone",
    "has_no_version",
    "is_aliased",
]

COMMAND = "hpcurate.command:Command"
"""Of a program, the files of the project that are copied with the run are its code."""
SOURCE = "source"
"""What stands in the place of a stage's name for the source, whose identity is `{"source": …}`."""
KeptOf = Callable[[str, Mapping[str, Any]], str | None]
"""(stage, its identity) → fingerprint of the folder in which it goes on; None: its own."""


def alias_name(stage: str, identity: Mapping[str, Any]) -> str:
    """`<stage>-<fp12>`, by what the stage is."""
    return f"{stage}-{digest(identity)[:12]}"


def is_aliased(identity: Mapping[str, Any], fingerprint: str) -> bool:
    """Whether a stage goes on in the folder that it had with other code."""
    return digest(identity) != fingerprint


def differs_in_code_alone(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two identities are the same but for code that no version stands for. Pure.

    How often the code of today was done again says nothing about that of before.
    """
    same = digest(_without_code({**old, "epoch": 0})) == digest(_without_code({**new, "epoch": 0}))
    return same and digest(old) != digest(new)


def has_no_version(identity: Mapping[str, Any]) -> bool:
    """Whether a stage, or a member of its chain, is another one as soon as its code is edited. Pure."""
    plain = dict(identity)
    return bool(_without_code(plain) != plain)


def _without_code(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_code(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_code(inner) for key, inner in value.items()}
    if plain.get("class") == COMMAND:  # its scripts
        plain["parameters"] = {key: inner for key, inner in plain["parameters"].items() if key != "files"}
    if "class" in plain and str(plain.get("version")).startswith("syntax:"):
        return {**plain, "version": "syntax", "code": None}
    return plain


def aliases_of(store: Store, filesystem: Filesystem = POSIX) -> Iterator[tuple[str, str]]:
    """Each alias of a store: its path, and the folder that it stands for. What cannot be read is left out."""
    top = os.path.join(store.stages, ".aliases")
    for name in sorted(filesystem.names(top)):
        with suppress(OSError, ValueError, KeyError, TypeError):
            fingerprint = str(json.loads(filesystem.read(os.path.join(top, name)))["fingerprint"])
            yield os.path.join(top, name), f"{name.rpartition('-')[0]}-{fingerprint[:12]}"


class Aliases:
    """The aliases of one store; `more` are about to be written."""

    def __init__(
        self, root: str, more: Mapping[str, str] = MappingProxyType({}), filesystem: Filesystem = POSIX
    ) -> None:
        self._filesystem, self._more = filesystem, more
        self._folder = os.path.join(Store.at(root).stages, ".aliases")
        self._names = frozenset(filesystem.names(self._folder))

    def __call__(self, stage: str, identity: Mapping[str, Any]) -> str | None:
        """See `KeptOf`."""
        name = alias_name(stage, identity)
        if name in self._more or name not in self._names:
            return self._more.get(name)
        return str(json.loads(self._filesystem.read(os.path.join(self._folder, name)))["fingerprint"])

    def record(self, name: str, plain: Mapping[str, Any]) -> None:
        """Write one down, readable; one that is there stands."""
        self._filesystem.make_folders(self._folder)
        self._filesystem.create(os.path.join(self._folder, name), json.dumps(plain, indent=1).encode() + b"\n")
