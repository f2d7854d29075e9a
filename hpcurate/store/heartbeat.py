"""What a worker's heartbeat file holds: a counter in its first line, and for people what is in work in the others.

Who judges whether a worker is silent reads the counter and nothing else. A worker of an earlier release writes no more
than that. Pure.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec

NAME_LENGTH = 300
"""Characters of a name: of a longer one the end, which has the file."""
_BLOCK = 512
"""The file grows by so many bytes: it is overwritten in place, so nothing may be left of a longer content."""


class AtWork(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that a slot of the worker has in work."""

    shard: str
    """Empty: none yet; `name` is what is done before, for `since_s`."""
    tasks: int
    """That it has."""
    done: int = 0
    """Of them, in whatever way they ended."""
    weight: float = 0.0
    """Of those that are done; not said of a shard of which all are."""
    took_s: float = 0.0
    """Seconds that those took together, on the worker's own clock as all times here."""
    task: str = ""
    """Id of the first of those in work; empty: none is."""
    name: str = ""
    """What people call it: its file if it has one."""
    batch: int = 0
    """Tasks in work together."""
    weighs: float = 0.0
    """All of them."""
    since_s: float = 0.0
    """For how long they are in work."""
    limit_s: float = 0.0
    """After how long `task_timeout` ends them; 0: never."""


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What one heartbeat holds."""

    counter: bytes
    node: str = ""
    every_s: float = 0.0
    """How often it is written now; 0: not known."""
    at_work: tuple[AtWork, ...] = ()


def counter_of(content: bytes) -> bytes:
    """The counter: all that says whether a worker is silent."""
    return content.partition(b"\n")[0]


def encoded(beat: Beat, room: int = 0) -> bytes:
    """The whole file, at least `room` bytes long: as long as it was before."""
    lines: list[dict[str, Any]] = []
    if beat.at_work:
        named = (
            msgspec.structs.replace(one, name=one.name[-NAME_LENGTH:], task=one.task[-NAME_LENGTH:])
            for one in beat.at_work
        )
        lines = [{"node": beat.node, "every_s": beat.every_s}, *map(_plain, named)]
    data = beat.counter + b"\n" + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    wanted = max(room, -(-len(data) // _BLOCK) * _BLOCK if lines else 0)
    return data if wanted <= len(data) else data.ljust(wanted - 1) + b"\n"


def decoded(content: bytes) -> Beat:
    """What a file holds. A line that is no longer whole, or of another release, is left out."""
    first, *rest = content.split(b"\n")
    plain = [one for one in map(_read, rest) if one is not None]
    beat = Beat(counter=first)
    for one in plain:
        with suppress(msgspec.ValidationError):
            if "shard" in one:
                beat = msgspec.structs.replace(beat, at_work=(*beat.at_work, msgspec.convert(one, AtWork)))
            else:
                beat = msgspec.structs.replace(msgspec.convert({**one, "counter": b""}, Beat), counter=first)
    return beat


def _plain(one: AtWork) -> dict[str, Any]:
    """Without what is as it is by default."""
    usual = AtWork(shard="", tasks=0)
    said = {name: value for name, value in msgspec.structs.asdict(one).items() if value != getattr(usual, name)}
    return {"shard": one.shard, "tasks": one.tasks, **said}


def _read(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        plain = json.loads(line)
        return plain if isinstance(plain, dict) else None
    return None
