"""A part of a source, one of n; what patterns may name of an item."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import Any

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, option
from hpcurate.source.base import Source
from hpcurate.task import Task


def parse_part(text: str) -> tuple[tuple[int, int], ...]:
    """`1/3` → ((1, 3),); nested `1/3,0/2` → the first half of the second third. Indices start at 0. Pure.

    Raises ConfigError.
    """
    parts = []
    for one in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", one)
        if not match or int(match[1]) >= int(match[2]):
            raise ConfigError(f"part={text}: expected i/n with 0 <= i < n, e.g. 0/4; nested 0/4,1/2")
        parts.append((int(match[1]), int(match[2])))
    return tuple(parts)


def in_part(id: str, parts: tuple[tuple[int, int], ...]) -> bool:
    """Whether the task belongs to the part. Each item stays in its part for ever: its id decides. Pure."""
    number = int.from_bytes(hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()[:16], "big")
    for index, count in parts:
        if number % count != index:
            return False
        number //= count
    return True


@attrs.define(frozen=True)
class Part:
    """The i-th of n parts of another source, which cover it exactly."""

    source: Source
    parts: tuple[tuple[int, int], ...] = option(NEEDED, "((i, n), …): a part, and parts of it")

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return self.source.task_type

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        # as it was called when the first stores were written: the digest of these names is in every fingerprint
        return {"shard": [list(part) for part in self.parts], "of": self.source.identity()}

    def tasks(self) -> Iterator[Task]:
        """See `Source`. Empty where the few items there are belong to other parts."""
        return (task for task in self.source.tasks() if in_part(task.id, self.parts))

    @property
    def left_out(self) -> set[int]:
        """That of the source: see `Undone`."""
        found: set[int] = getattr(self.source, "left_out", set())
        return found

    def notes(self) -> list[str]:
        """Those of the source."""
        return list(getattr(self.source, "notes", list)())


def output_fields(source: str, id: str) -> dict[str, str]:
    """What a pattern may name, of one item. Pure."""
    parent, name = os.path.split(source)
    return {"relative": source, "parent": parent or ".", "name": name, "stem": os.path.splitext(name)[0], "id": id}
