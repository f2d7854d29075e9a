"""Which tasks of one cluster are duplicates of others. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from stages.dedup.clusters import ROWS, nearest

if TYPE_CHECKING:
    import numpy as np

    from stages.dedup.clusters import Vectors

Keep = Literal["nearest", "farthest", "longest"]


class Twin(NamedTuple):
    """Why a task is a duplicate."""

    id: str
    """Of a task that is kept: of those before it in the order, the one that it is most similar to."""
    similarity: float
    """The cosine of their vectors."""


def keep_order(keep: Keep, ids: Sequence[str], similarities: Sequence[float], lengths: Sequence[float]) -> list[int]:
    """Positions, those that are kept rather first. `similarities`: to the centroid. Equal ones stand by their id.

    It does not depend on the order in which tasks come in.
    """
    first = {
        "nearest": [-similarity for similarity in similarities],
        "farthest": list(similarities),
        "longest": [-length for length in lengths],
    }[keep]
    return sorted(range(len(ids)), key=lambda k: (first[k], ids[k]))


def twins(
    ids: Sequence[str],
    vectors: Vectors,
    threshold: float,
    old_ids: Sequence[str] = (),
    old: Vectors | None = None,
    device: str = "cpu",
) -> list[Twin | None]:
    """Of each task, in keep order: its twin if it is a duplicate, None if it is kept.

    A task is a duplicate if its similarity to one that is kept before it is above the threshold; what was dropped does
    not count. So of a chain, A like B, B like C, A not like C, in this order, B is dropped and A and C are kept.
    (SemDeDup and NeMo Curator count the dropped ones, too, and keep A alone, though nothing like C is left then.)
    `old` are kept from before, whatever the order. `vectors` have length 1, (n, d). Memory: that of the vectors twice,
    and a block of products.
    """
    import numpy as np

    ids = [*old_ids, *ids]
    count = len(vectors) + (start := 0 if old is None else len(old))
    kept = np.empty((count, vectors.shape[1]), np.float32)
    kept[:start] = 0 if old is None else old
    names, found = list(range(start)), list[Twin | None]()
    for first in range(0, len(vectors), ROWS):
        block = vectors[first : first + ROWS]
        best = nearest(block, kept[: len(names)], device)
        new = _within(block, threshold, *best, found, [ids[name] for name in names], ids[start + first :])
        kept[len(names) : len(names) + len(new)] = block[new]
        names += [start + first + k for k in new]
    return found


def _within(
    block: Vectors,
    threshold: float,
    places: np.ndarray,
    best: Vectors,
    found: list[Twin | None],
    kept: Sequence[str],
    ids: Sequence[str],
) -> list[int]:
    """Which rows of a block are kept. `places`, `best`: the most similar one of those that were kept before it."""
    products, new = block @ block.T, list[int]()
    for k in range(len(block)):
        twin = Twin(kept[places[k]], float(best[k])) if places[k] >= 0 else Twin("", -1.0)
        if new:
            at = int(products[k, new].argmax())
            near = float(products[k, new[at]])
            twin = Twin(ids[new[at]], near) if near > twin.similarity else twin
        if twin.similarity > threshold:
            found.append(twin)
        else:
            found.append(None)
            new.append(k)
    return new
