"""What travels between the stages that find duplicates by their vectors."""

from __future__ import annotations

import attrs

from hpcurate import File, Task
from stages.dedup.sampling import Sampling


@attrs.define(kw_only=True)
class Cluster:
    """Where a task belongs, among tasks like it."""

    number: int
    """The row of the nearest centroid."""
    similarity: float
    """The cosine of its vector and that centroid."""
    vectors: File
    """NumPy's npy, float32, rows of length 1."""
    row: int
    """Its own row there."""


@attrs.define(kw_only=True)
class SampleTask(Task):
    """The vectors of a sample of some tasks."""

    vectors: File
    """Parquet with the columns `id` and `embedding`."""
    count: int
    """Tasks of which this is a sample."""
    how: Sampling


@attrs.define(kw_only=True)
class CentroidsTask(Task):
    """The centroids of all clusters."""

    file: File
    """(clusters, numbers of a vector) float32 of length 1, as NumPy's npy."""
    clusters: int
    sampled: int
    """Vectors that they were made from."""


@attrs.define(kw_only=True)
class GroupTask(Task):
    """What became of the tasks of one cluster."""

    cluster: int
    rows: File | None = None
    """Parquet with a row group for each of some clusters."""
    group: int = 0
    """Number of the row group."""
    duplicates: int = 0


@attrs.define(kw_only=True)
class ListTask(Task):
    """What was published about all of them."""

    tasks: int
    kept: int
    clusters: int
    vectors: File
    """Of those that are kept."""
