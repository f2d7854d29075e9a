"""Which ids are in a sample: by their digest, so that neither their order nor how they are sliced matters. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def share_of(id: str, seed: int) -> float:
    """A number from 0 to 1, evenly spread over ids; another seed, others."""
    data = f"{seed}:{id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") / 2**64


def sampled(ids: Sequence[str], share: float, least: int, most: int, seed: int) -> list[int]:
    """Positions of those in the sample, in the order of their digests: that share of all ids.

    Of fewer than `least` those of the least digests, too; of more than `most` only these.
    """
    places = sorted((share_of(id, seed), id, k) for k, id in enumerate(ids))
    below = sum(place[0] < share for place in places)
    return [k for *_, k in places[: min(max(below, least), most)]]
