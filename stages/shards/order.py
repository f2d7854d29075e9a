"""In which order samples are packed, and how many fit into a file. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from hpcurate.errors import ConfigError
from hpcurate.ids import plain_bytes, stable_id
from hpcurate.task import Task
from hpcurate.units import megabytes

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
AnyTask = TypeVar("AnyTask", bound=Task)


@attrs.define(frozen=True)
class Limits:
    """How large a file may be. One sample is a file even if it is larger."""

    bytes: int
    samples: int


def limits(size: str, samples: int) -> Limits:
    """From what a user writes. Raises ConfigError."""
    if samples < 1:
        raise ConfigError(f"samples: expected 1 or more, got {samples}")
    return Limits(megabytes(size) << 20, samples)


def check_parts(parts: int) -> int:
    """The same. Raises ConfigError for less than 1 or more than 9999, which the folders' names have room for."""
    if not 1 <= parts <= 9999:
        raise ConfigError(f"parts: expected 1 … 9999, got {parts}")
    return parts


def key_of(sample: str) -> str:
    """What a sample is called in a file, from its id: the id itself if it is short and plain, else a UUID5 of it.

    WebDataset ends a name at its first dot, and tars are read by people with file systems of all kinds.
    """
    return sample if _PLAIN.fullmatch(sample) else stable_id(sample)


def shuffled(tasks: Iterable[AnyTask], seed: int) -> list[AnyTask]:
    """In the order of a hash of seed and id: the same wherever and however often it is asked for."""
    return sorted(tasks, key=lambda task: (_rank(task.id, seed), task.id))


def fitting(sized: Iterable[tuple[Any, int]], most: Limits, overhead: int = 0) -> Iterator[Any]:
    """Those of the samples, each given with its bytes, that make one file, in order. At least one; looks one ahead."""
    total = overhead
    for count, (sample, size) in enumerate(sized):
        total += size
        if count and (total > most.bytes or count == most.samples):
            return
        yield sample


def _rank(sample: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0".encode() + plain_bytes(sample), digest_size=16).digest()


def twice(keys: Sequence[str]) -> str | None:
    """A key that is there more than once."""
    seen: set[str] = set()
    return next((key for key in keys if key in seen or seen.add(key)), None)  # type: ignore[func-returns-value]
