"""Which ids are in a sample: by their digest, so that neither their order nor how they are sliced matters. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs


@attrs.define(frozen=True)
class Sampling:
    """Which tasks are in a sample."""

    share: float
    """Of all tasks, 0 … 1."""
    least: int
    """Tasks at least, if there are so many."""
    seed: int
    """Another one takes other tasks."""


def share_of(id: str, seed: int) -> float:
    """A number from 0 to 1, evenly spread over ids; another seed, others."""
    data = f"{seed}:{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") / 2**64


def sampled(ids: Sequence[str], how: Sampling, most: int) -> list[int]:
    """Positions of those in the sample, in the order of their digests: that share of all ids.

    Of fewer than `least` those of the least digests, too; of more than `most` only these. The sample of the samples of
    some parts is that of the whole, however it was divided.
    """
    places = sorted((share_of(id, how.seed), id, k) for k, id in enumerate(ids))
    below = sum(place[0] < how.share for place in places)
    return [k for *_, k in places[: min(max(below, how.least), most)]]
