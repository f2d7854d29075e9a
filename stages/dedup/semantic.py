"""Clusters of tasks whose vectors are near each other: sample → centroids → the nearest one of each task.

The first half of semantic deduplication as SemDeDup has it (arXiv:2303.09540); `duplicates.py` is the second.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hpcurate import Resources, Stage, WorkerInfo
from hpcurate.errors import ConfigError, StageError
from hpcurate.spec import InputFile
from stages.dedup.clusters import clusters_for, nearest, one_width, spherical_kmeans
from stages.dedup.sampling import Sampling, sampled
from stages.dedup.tables import read_vectors, save_matrix, vectors_of
from stages.dedup.tasks import CentroidsTask, Cluster, SampleTask
from stages.video.samples import a_share, above_zero
from stages.vision.tasks import VisualTask
from stages.vision.vectors import write_vectors

if TYPE_CHECKING:
    from stages.dedup.clusters import Vectors

MOST = 1_000_000
"""Vectors of a sample: of 768 numbers these are 3 GB."""


class Sample(Stage[VisualTask, SampleTask]):
    """Put the vectors of a share of the tasks aside, for the centroids. All tasks of a shard make one.

    Which ones is decided by a digest of their ids, so it is the same each time. A shard has more than are needed of it
    (`least`): `Centroids` takes those that would be taken of all tasks at once.
    """

    resources = Resources(cpus=1, memory="4GB", time="1h")
    batch_size = 0
    version = 1

    def __init__(self, share: float = 0.1, least: int = 1000, model: str = "", seed: int = 0) -> None:
        """Set how many.

        Args:
            share: of the tasks, 0 … 1.
            least: tasks at least, if there are so many.
            model: whose vectors, as their file is named (`clip-vit-large-patch14`); empty: of the last one.
            seed: another one takes other tasks.
        """
        self.how = Sampling(a_share("share", share) or 0.0, int(above_zero("least", least)), seed)
        self.model = model

    def process(self, tasks: list[VisualTask]) -> list[SampleTask]:
        """One task."""
        places = sampled([task.id for task in tasks], self.how, MOST)
        some = [tasks[k] for k in places]
        file = self.file(tasks[0], "sample.parquet")
        made = self.child(tasks, SampleTask, vectors=file, count=len(tasks), how=self.how)
        write_vectors(made.vectors, [task.id for task in some], vectors_of(some, self.model))
        return [made]


class Centroids(Stage[SampleTask, CentroidsTask]):
    """Find the centroids of all clusters, by spherical k-means over the sample: faiss, or torch on a GPU.

    The sample stands for the mini-batches of a k-means over everything; its order is that of digests, so the same
    tasks give the same centroids however they were sliced.
    """

    resources = Resources(cpus=4, memory="16GB", time="4h")
    gather = True
    version = 1

    def __init__(self, clusters: int = 0, most: int = 200_000, seed: int = 0) -> None:
        """Set how many.

        Args:
            clusters: how many; 0: one up to 50 000 tasks, so that each is compared with each, else the square root of
                their number. Pairs in different clusters are never compared.
            most: vectors of the sample that are taken at most.
            seed: of the first centroids.
        """
        if clusters < 0:
            raise ConfigError(f"clusters: {clusters}: expected a number of clusters, or 0")
        self.clusters, self.most, self.seed = clusters, int(above_zero("most", most)), seed

    def setup(self, worker: WorkerInfo) -> None:
        """Where, and on how many cores."""
        self.device, self.threads = worker.device, worker.cpus

    def process(self, tasks: list[SampleTask]) -> list[CentroidsTask]:
        """One task."""
        sample = self._sample(tasks)
        made = self.child(tasks, CentroidsTask, id="centroids", file=None, clusters=0, sampled=len(sample))
        made.file = self.file(made, "centroids.npy")
        wanted = self.clusters or clusters_for(sum(task.count for task in tasks))
        found = spherical_kmeans(sample, wanted, self.seed, self.device, self.threads) if len(sample) else sample
        save_matrix(made.file, found)
        made.clusters = len(found)
        return [made]

    def _sample(self, tasks: list[SampleTask]) -> Vectors:
        import numpy as np

        read = [read_vectors(task.vectors) for task in tasks]
        ids = [id for some, _ in read for id in some]
        try:
            one_width([rows for some, rows in read if some])
        except ValueError as error:
            raise StageError(f"{error}; sample those of one: model=…") from None
        rows = [rows for some, rows in read if some]
        places = sampled(ids, tasks[0].how, self.most) if tasks else []
        found: Vectors = np.concatenate(rows)[places] if rows else np.empty((0, 0), np.float32)
        return found


class Assign(Stage[VisualTask, VisualTask]):
    """Give each task the number of the centroid that its vector is nearest to, by the cosine."""

    resources = Resources(cpus=2, memory="8GB", time="1h")
    batch_size = 1000
    version = 1

    def __init__(self, centroids: Path | None = None, earlier: InputFile | None = None, model: str = "") -> None:
        """Set the centroids.

        Args:
            centroids: file that `Centroids` made: `${result:dedup_centroids.file}`.
            earlier: instead of that, the `centroids.npy` that an earlier run has published.
            model: as for `Sample`.
        """
        self.path, self.model = earlier or centroids, model

    def setup(self, worker: WorkerInfo) -> None:
        """Read the centroids. Raises ConfigError where there are none."""
        import numpy as np

        if self.path is None:
            raise ConfigError("centroids: expected ${result:dedup_centroids.file}, or a file as earlier=…")
        self.device, self.centroids = worker.device, np.load(os.fspath(self.path))

    def process(self, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks, with their cluster; their vectors are one file."""
        vectors = vectors_of(tasks, self.model)
        if vectors.shape[1] != self.centroids.shape[1]:
            raise StageError(
                f"the vectors have {vectors.shape[1]} numbers, and the centroids {self.centroids.shape[1]}: they are "
                "of another network"
            )
        file = self.file(tasks[0], "vectors.npy")
        save_matrix(file, vectors)
        numbers, similarities = nearest(vectors, self.centroids, self.device)
        for row, (task, number, near) in enumerate(zip(tasks, numbers, similarities, strict=True)):
            task.cluster = Cluster(number=int(number), similarity=float(near), vectors=file, row=row)
        return tasks
