"""Of tasks whose vectors are nearly the same one is kept: within each cluster that `semantic.py` has made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hpcurate import GroupStage, Resources, Stage, Task, WorkerInfo
from hpcurate.errors import StageError
from hpcurate.spec import InputFile
from stages.dedup.kept import check_lists, check_stays
from stages.dedup.tables import KEPT, LIST, Row, kept_before, load_rows, schema, table_of
from stages.dedup.tasks import Cluster, GroupTask, ListTask
from stages.dedup.twins import Keep, Twin, keep_order, twins
from stages.layout import readable
from stages.publish import publish_bytes, publish_file
from stages.video.samples import a_share
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    import pyarrow

    from stages.dedup.clusters import Vectors

SMALL = Resources(cpus=2, memory="16GB", time="4h")
In = TypeVar("In", bound=VisualTask)
Out = TypeVar("Out", bound=Task)
EPS = 0.01
"""SemDeDup's and NeMo Curator's default."""


class Verdict(NamedTuple):
    """What became of one task."""

    task: VisualTask
    vector: Vectors
    twin: Twin | None
    """None: it is kept."""


class Rule:
    """Which tasks of a cluster are kept."""

    def __init__(self, eps: float, keep: Keep, longest_by: str, against: Sequence[str]) -> None:
        self.threshold, self.keep = 1 - (a_share("eps", eps) or 0.0), keep
        self.longest_by, self.against, self.device = longest_by, list(against), "cpu"
        check_lists(self.against)

    def verdicts(self, tasks: Sequence[VisualTask]) -> list[Verdict]:
        """Of all tasks of one cluster, in their order."""
        clusters = [cluster_of(task) for task in tasks]
        vectors = load_rows([(cluster.vectors, cluster.row) for cluster in clusters])
        lengths = [float(getattr(task, self.longest_by)) for task in tasks] if self.keep == "longest" else []
        order = keep_order(self.keep, [task.id for task in tasks], [c.similarity for c in clusters], lengths)
        old_ids, old = kept_before(self.against, clusters[0].number, vectors.shape[1])
        found = twins([tasks[k].id for k in order], vectors[order], self.threshold, old_ids, old, self.device)
        by_place = dict(zip(order, found, strict=True))
        return [Verdict(task, vectors[k], by_place[k]) for k, task in enumerate(tasks)]


def cluster_of(task: VisualTask) -> Cluster:
    """Raises StageError for a task that has none."""
    if task.cluster is None:
        raise StageError(f"{task.id} has no cluster; put Assign before this stage")
    return task.cluster


class OfCluster(GroupStage[In, Out]):
    """Base: the groups are clusters. With one static key, rows are sorted once for all such stages."""

    resources = SMALL
    rule: Rule

    def setup(self, worker: WorkerInfo) -> None:
        """Where it computes."""
        self.rule.device = worker.device

    @staticmethod
    def key(task: In) -> str:
        """Its cluster."""
        return str(cluster_of(task).number)


class SemanticDuplicates(OfCluster[VisualTask, VisualTask]):
    """Of tasks that are nearly the same keep one: a task is dropped if its similarity to a kept one is above 1 - eps.

    Within a cluster tasks are taken in the order of `keep`, equal ones by their id, whatever order they come in. One is
    dropped if it is like one that is *kept* before it; what was dropped does not count. So of a chain, A like B, B like
    C, A not like C, in this order, B is dropped, A and C are kept: each dropped task has its twin in the result.
    (SemDeDup and NeMo Curator count the dropped ones as well, and keep A alone.) Tasks in different clusters are never
    compared.
    """

    version = 1

    def __init__(
        self,
        eps: float = EPS,
        keep: Keep = "farthest",
        longest_by: str = "weight",
        against: list[InputFile] | None = None,
    ) -> None:
        """Set what a duplicate is, and which one is kept.

        Args:
            eps: two tasks are duplicates if the cosine of their vectors is above 1 - eps. What fits is a matter of the
                network: docs/deduplication.md has figures. The default is SemDeDup's and NeMo Curator's.
            keep: the one that is `nearest` to the centroid, the typical one; the `farthest`, as SemDeDup does; or the
                `longest`.
            longest_by: field with the length; the weight of clips is their seconds.
            against: `kept_vectors.parquet` of earlier runs with the same centroids. What they kept stands before all
                others.
        """
        self.rule = Rule(eps, keep, longest_by, against or [])

    def process_group(self, key: str, tasks: list[VisualTask]) -> list[VisualTask]:
        """Those that are kept; in the rows of the others stand their twin's id and the similarity."""
        kept, threshold = [], round(self.rule.threshold, 6)
        for task, _, twin in self.rule.verdicts(tasks):
            if twin is None:
                task.cluster = None  # its files are needed no more
                kept.append(task)
            else:
                value = f"{twin.similarity:.4f} to {twin.id}"
                self.drop(task, f"duplicate: similarity above {threshold:g}", value=value, threshold=threshold)
        return kept


class ListDuplicates(OfCluster[VisualTask, GroupTask]):
    """The same decisions, as rows of a list: of all tasks, since a dropped one goes nowhere."""

    version = 1

    def __init__(
        self,
        eps: float = EPS,
        keep: Keep = "farthest",
        longest_by: str = "weight",
        against: list[InputFile] | None = None,
    ) -> None:
        """As for `SemanticDuplicates`, whose decisions these have to be.

        Args:
            eps: see there.
            keep: see there.
            longest_by: see there.
            against: see there.
        """
        self.rule = Rule(eps, keep, longest_by, against or [])

    def process(self, tasks: list[VisualTask]) -> list[GroupTask]:
        """A task for each cluster; the rows of all of them are one file."""
        made = super().process(tasks)
        if made:
            file = self.file(made[0], "rows.parquet")
            write_groups(file, (one.memory["rows"] for one in made))
            for number, one in enumerate(made):
                one.rows, one.group = file, number
        return made

    def process_group(self, key: str, tasks: list[VisualTask]) -> list[GroupTask]:
        """One task."""
        rows = [row_of(verdict) for verdict in self.rule.verdicts(tasks)]
        made = self.child(tasks, GroupTask, cluster=int(key), duplicates=sum(not row.kept for row in rows))
        made.memory["rows"] = table_of(rows)
        return [made]


def row_of(verdict: Verdict) -> Row:
    """Of the list. Pure."""
    task, vector, twin = verdict
    cluster = cluster_of(task)
    return Row(
        id=task.id,
        source=readable(task.source),
        cluster=cluster.number,
        kept=twin is None,
        twin=twin.id if twin else None,
        similarity=twin.similarity if twin else None,
        to_centroid=cluster.similarity,
        embedding=vector if twin is None else None,
    )


def write_groups(path: str | os.PathLike[str], groups: Iterator[pyarrow.Table]) -> None:
    """One row group each. The same tables give the same bytes."""
    import pyarrow.parquet

    first = next(groups)
    with pyarrow.parquet.ParquetWriter(os.fspath(path), first.schema, compression="zstd") as writer:
        for table in (first, *groups):
            writer.write_table(table, row_group_size=max(1, len(table)))


class PublishDuplicates(Stage[GroupTask, ListTask]):
    """Publish, below `output`, what became of each task, the vectors of those that are kept, and the centroids.

    `duplicates.parquet` has a row for each task, ordered by cluster and id; `kept_vectors.parquet` and `centroids.npy`
    are what a later run needs to compare its tasks with these.
    """

    resources = Resources(cpus=1, memory="8GB", time="2h")
    gather = True
    publishes = True
    operational = ("against",)
    version = 1

    def __init__(
        self,
        output: str,
        centroids: Path | None = None,
        earlier: InputFile | None = None,
        against: list[str] | None = None,
    ) -> None:
        """Set where to write.

        Args:
            output: folder; the files are in `dedup/` in it.
            centroids: as for `Assign`.
            earlier: as for `Assign`.
            against: lists of earlier runs that this one reads: the one that it writes must not be among them.
        """
        check_stays(os.path.join(output, "dedup", "kept_vectors.parquet"), against or [])
        self.folder, self.centroids = os.path.join(output, "dedup"), earlier or centroids

    def process(self, tasks: list[GroupTask]) -> list[ListTask]:
        """One task that counts them."""
        import pyarrow.parquet

        ordered = sorted(tasks, key=lambda task: task.cluster)
        made = self.child(tasks, ListTask, id="duplicates", tasks=0, kept=0, clusters=len(tasks), vectors=None)
        made.vectors = self.file(made, "kept_vectors.parquet")
        lists = [schema(LIST).empty_table()]
        with pyarrow.parquet.ParquetWriter(os.fspath(made.vectors), schema(KEPT), compression="zstd") as writer:
            for table in map(read_group, ordered):
                lists.append(table.select(LIST))
                kept = table.filter(table["kept"]).select(KEPT).cast(schema(KEPT))
                writer.write_table(kept, row_group_size=max(1, len(kept)))
        rows = pyarrow.concat_tables(lists)
        made.tasks, made.kept = len(rows), rows["kept"].to_pylist().count(True)
        publish_bytes(as_bytes(rows), os.path.join(self.folder, "duplicates.parquet"))
        publish_file(os.fspath(made.vectors), os.path.join(self.folder, "kept_vectors.parquet"))
        if self.centroids is not None:
            publish_file(os.fspath(self.centroids), os.path.join(self.folder, "centroids.npy"))
        return [made]


def read_group(task: GroupTask) -> pyarrow.Table:
    """The rows of one cluster."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(os.fspath(task.rows or "")) as file:
        table: pyarrow.Table = file.read_row_group(task.group)
    return table


def as_bytes(table: pyarrow.Table) -> bytes:
    """Of a Parquet file."""
    import io

    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()
