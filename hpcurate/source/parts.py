"""A part of a source: soft shards, and what another tool has not done yet. They wrap any source."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import Any

import attrs

from hpcurate.errors import ConfigError
from hpcurate.source.base import Source, hash64
from hpcurate.task import Task


def parse_shard(text: str) -> tuple[tuple[int, int], ...]:
    """`1/3` → ((1, 3),); nested `1/3,0/2` → the first half of the second third. Indices start at 0. Pure.

    Raises ConfigError.
    """
    found = []
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", part)
        if not match or int(match[1]) >= int(match[2]):
            raise ConfigError(f"shard={text}: expected i/n with 0 <= i < n, e.g. 0/4; nested 0/4,1/2")
        found.append((int(match[1]), int(match[2])))
    return tuple(found)


def in_shard(id: str, parts: tuple[tuple[int, int], ...]) -> bool:
    """Whether the task belongs to the shard. Each item keeps its shard for ever: its id decides. Pure."""
    number = int.from_bytes(hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()[:16], "big")
    for index, count in parts:
        if number % count != index:
            return False
        number //= count
    return True


@attrs.define(frozen=True)
class Sharded:
    """A soft shard of another source: the i-th of n parts that cover it exactly."""

    source: Source
    parts: tuple[tuple[int, int], ...] = attrs.field(metadata={"help": "((i, n), …): nested shards"})

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return self.source.task_type

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"shard": [list(part) for part in self.parts], "of": self.source.identity()}

    def tasks(self) -> Iterator[Task]:
        """See `Source`. Empty where the few items there are belong to other shards."""
        return (task for task in self.source.tasks() if in_shard(task.id, self.parts))

    @property
    def left_out(self) -> set[int]:
        """That of the source: see `Undone`."""
        found: set[int] = getattr(self.source, "left_out", set())
        return found

    def notes(self) -> list[str]:
        """Those of the source."""
        return list(getattr(self.source, "notes", list)())


@attrs.define(frozen=True)
class Undone:
    """What another tool has not made yet: an item whose output exists counts as done and is left out."""

    source: Source
    pattern: str = attrs.field(
        metadata={"help": "path of an item's output, with {relative} {parent} {name} {stem} {id}"}
    )
    left_out: set[int] = attrs.field(factory=set, init=False, eq=False)
    """`hash64` of the ids that the last enumeration left out."""

    def __attrs_post_init__(self) -> None:
        known = output_fields("a/b.mp4", "id")
        try:
            self.pattern.format(**known)
        except (KeyError, IndexError, ValueError):
            raise ConfigError(
                f"done={self.pattern}: expected a path with {', '.join('{' + name + '}' for name in known)}, "
                "e.g. /captions/{relative}.json"
            ) from None

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return self.source.task_type

    def identity(self) -> dict[str, Any]:
        """That of the source: what is left out does not change what the others become."""
        return self.source.identity()

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        self.left_out.clear()
        for task in self.source.tasks():
            fields = output_fields(str(getattr(task, "source", task.id)), task.id)
            if os.path.exists(os.path.expanduser(self.pattern.format(**fields))):
                self.left_out.add(hash64(task.id))
            else:
                yield task

    def notes(self) -> list[str]:
        """How many were done."""
        done = [f"{len(self.left_out)} items are done already ({self.pattern})"] * bool(self.left_out)
        return [*getattr(self.source, "notes", list)(), *done]


def output_fields(source: str, id: str) -> dict[str, str]:
    """What a pattern may name, of one item. Pure."""
    parent, name = os.path.split(source)
    return {"relative": source, "parent": parent or ".", "name": name, "stem": os.path.splitext(name)[0], "id": id}
