"""What a container sees of its node: the store, the node's folder, and folders that are declared once. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import msgspec

from hpcurate.errors import ConfigError

__all__ = ["Bind", "mounts", "parse_binds"]

EACH, ALL = "{bind}", "{binds}"
"""Within a word of a command: the word once for each mount; all mounts, with commas between them."""
READ_ONLY = {"ch-run": "", "enroot": ":none:bind,ro,x-create=auto"}
"""How a program spells a mount that cannot be written to; empty: it has none. All others: `:ro`."""
UNSPELLABLE = re.compile(r"[,{}\x00-\x1f\x7f]")


class Bind(msgspec.Struct, frozen=True):
    """A folder or file of the node, and where a container sees it."""

    source: str
    target: str
    read_only: bool = False


def parse_binds(texts: Sequence[str]) -> tuple[Bind, ...]:
    """`/data`, `/scratch:/mnt/scratch`, `/raw:/raw:ro`. Raises ConfigError."""
    binds = tuple(map(_parse, texts))
    targets = [bind.target for bind in binds]
    for target in targets:
        if targets.count(target) > 1:
            raise ConfigError(f"{target} stands for several folders in a container")
    return binds


def _parse(text: str) -> Bind:
    parts = os.path.expandvars(os.path.expanduser(text)).split(":")
    mode = parts.pop() if len(parts) == 3 else "rw"
    paths = [os.path.normpath(part) for part in parts if part.startswith("/")]
    if len(paths) != len(parts) or len(parts) > 2 or mode not in ("ro", "rw"):
        raise ConfigError(f"{text!r}: expected /FOLDER, /FOLDER:/IN_CONTAINER or /FOLDER:/IN_CONTAINER:ro")
    if paths[-1] == "/":
        raise ConfigError(f"{text!r}: would hide the whole image; name a folder in the container")
    if any(map(UNSPELLABLE.search, paths)):
        raise ConfigError(f"{text!a}: no container mounts a path with a comma, a brace or a control character")
    return Bind(paths[0], paths[-1], mode == "ro")


def mounts(command: Sequence[str], declared: Sequence[Bind]) -> tuple[str, ...]:
    """The command with the words that mount what is declared, the store and the node's folder, in this order: a
    declared folder around the store does not hide it. Raises ConfigError.
    """
    if declared and not any(EACH in word or ALL in word for word in command):
        raise ConfigError(
            f"the command does not say where mounts are named: write a word with {EACH} for each, such as "
            f"--bind={EACH}, or with {ALL} for all, separated by commas; both include the store and the node's folder"
        )
    own = (Bind("{store}", "{store}"), Bind("{node}", "{node}"))
    spelled = [_spelled(bind, os.path.basename(command[0])) for bind in (*declared, *own)]
    return tuple(
        found.replace(ALL, ",".join(spelled))
        for word in command
        for found in ([word.replace(EACH, one) for one in spelled] if EACH in word else [word])
    )


def _spelled(bind: Bind, program: str) -> str:
    plain = f"{bind.source}:{bind.target}"
    if not bind.read_only:
        return plain
    if not (mode := READ_ONLY.get(program, ":ro")):
        raise ConfigError(f"{plain}:ro: {program} has no mounts that cannot be written to; leave out :ro")
    return plain + mode
