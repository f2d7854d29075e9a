"""Vectors, the centroids that they are nearest to, and how these are found. Pure; numpy, faiss, torch on a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hpcurate.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

EXACT_UP_TO = 50_000
"""Tasks of which each is compared with each, in one cluster: 17 s of one core, with vectors of 768 numbers."""
POINTS = 256
"""Vectors of a sample for each cluster at most: more of them hardly move it (the default of faiss' Clustering)."""
ROUNDS = 20
"""Of k-means; NeMo Curator's and SemDeDup's run longer, on more vectors of each cluster."""
ROWS, OTHERS = 1024, 16_384
"""Of a block of products: 64 MB of float32."""


def clusters_for(count: int) -> int:
    """How many clusters suit so many tasks: one while all pairs are cheap, then the square root.

    Pairs within k even clusters are count² / k products, finding clusters count · k: together least at √count. SemDeDup
    takes about twice as many (50 000 for 440 million pictures, arXiv:2303.09540, section 6).
    """
    return 1 if count <= EXACT_UP_TO else round(math.sqrt(count))


def of_length_one(vectors: Vectors) -> Vectors:
    """(n, d): each row divided by its length; a row of zeros stays one. Raises ValueError for NaN and infinity."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise ValueError("a vector has numbers that are not finite")
    rows: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return rows


def nearest(rows: Vectors, others: Vectors, device: str = "cpu") -> tuple[NDArray[np.int64], Vectors]:
    """(n,) which of the others each row has the greatest product with, the first of equal ones; (n,) that product.

    The product is the same for equal rows, whatever rows are beside them and whatever computes it. In blocks of `ROWS`
    by `OTHERS` products. Without others: -1, and minus infinity.
    """
    import numpy as np

    places = np.full(len(rows), -1, np.int64)
    best = np.full(len(rows), -np.inf, np.float32)
    for some in _blocks(len(rows), ROWS):
        for part in _blocks(len(others), OTHERS):
            at, value = _best_of(rows[some], others[part], device)
            better = value > best[some]
            places[some] = np.where(better, at + part.start, places[some])
            best[some] = np.where(better, value, best[some])
        if len(others):
            best[some] = products_of(rows[some], others[places[some]])
    return places, best


def products_of(rows: Vectors, others: Vectors) -> Vectors:
    """(n,) product of each row with the other one at its place.

    In a product of matrices the last bit of a float32 depends on a row's place and on the library, and with it which of
    two equal tasks comes first; here it is that of a sum of float64.
    """
    import numpy as np

    found: Vectors = np.einsum("ij,ij->i", rows.astype(np.float64), others.astype(np.float64)).astype(np.float32)
    return found


def _best_of(rows: Vectors, others: Vectors, device: str) -> tuple[NDArray[np.int64], Vectors]:
    if device == "cpu":
        products = rows @ others.T
        at = products.argmax(axis=1)
        return at, products[range(len(rows)), at]
    torch = _torch()

    with torch.inference_mode():
        value, place = (torch.from_numpy(rows).to(device) @ torch.from_numpy(others).to(device).T).max(dim=1)
    return place.cpu().numpy(), value.cpu().numpy()


def _torch() -> Any:
    """Raises ConfigError without torch, which is needed on a GPU only."""
    try:
        import torch
    except ImportError:
        raise ConfigError(
            "device=cuda needs torch in the stage's environment; install it (`pip install torch`), or use device=cpu"
        ) from None
    return torch


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def spherical_kmeans(sample: Vectors, clusters: int, seed: int, device: str = "cpu", threads: int = 1) -> Vectors:
    """(clusters, d) centroids of length 1 of a sample (n, d) whose rows have length 1, after `ROUNDS` rounds.

    By faiss (`Kmeans(spherical=True)`); on a GPU by torch. The same sample, in the same order, and seed give the same
    centroids. Never more of them than rows.
    """
    clusters = max(1, min(clusters, len(sample)))
    if clusters == 1:
        return of_length_one(sample.mean(axis=0, keepdims=True))
    if device != "cpu":
        return _kmeans_on(device, sample, clusters, seed)
    import faiss

    faiss.omp_set_num_threads(threads)
    found = faiss.Kmeans(
        sample.shape[1], clusters, niter=ROUNDS, spherical=True, seed=seed,
        min_points_per_centroid=1, max_points_per_centroid=max(POINTS, math.ceil(len(sample) / clusters)),
    )  # fmt: skip
    found.train(sample)
    centroids: Any = found.centroids
    return of_length_one(centroids)


def _kmeans_on(device: str, sample: Vectors, clusters: int, seed: int) -> Vectors:
    """Lloyd's rounds; one that is nearest to no row stays where it was. Sums are products, so that they do not differ
    from run to run, as those by atomic additions on a GPU do.
    """
    import numpy as np

    torch = _torch()

    first = np.sort(np.random.default_rng(seed).choice(len(sample), clusters, replace=False))
    with torch.inference_mode():
        rows = torch.from_numpy(sample).to(device)
        centroids = rows[torch.from_numpy(first).to(device)]
        for _ in range(ROUNDS):
            sums = _sums(rows, centroids)
            lengths = sums.norm(dim=1, keepdim=True)
            centroids = torch.where(lengths > 0, sums / lengths.clamp_min(1e-12), centroids)
    found: Vectors = centroids.cpu().numpy()
    return found


def _sums(rows: Any, centroids: Any) -> Any:
    """(clusters, d): the sum of the rows that are nearest to each centroid."""
    torch = _torch()

    numbers = torch.arange(len(centroids), device=rows.device)
    sums = torch.zeros_like(centroids)
    for some in _blocks(len(rows), OTHERS):
        near = (rows[some] @ centroids.T).argmax(dim=1)
        sums += (near[None] == numbers[:, None]).to(rows.dtype) @ rows[some]
    return sums


def one_width(found: Sequence[Vectors]) -> int:
    """Numbers in each vector. Raises ValueError where they are of several networks."""
    widths = sorted({rows.shape[1] for rows in found})
    if len(widths) > 1:
        raise ValueError(f"vectors of {' and '.join(map(str, widths))} numbers are of different networks")
    return widths[0] if widths else 0
