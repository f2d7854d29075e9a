"""Semantic deduplication from vectors to lists, with vectors whose answer is known: the shipped stages, in real runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import hpcurate
from hpcurate import File, Stage, StageOptions, Step
from hpcurate.errors import ConfigError
from hpcurate.source import Items
from hpcurate.spec import InputFile
from hpcurate.testing import try_stage
from stages.dedup.duplicates import ListDuplicates, PublishDuplicates, SemanticDuplicates
from stages.dedup.semantic import Assign, Centroids, Sample
from stages.dedup.tasks import SampleTask
from stages.vision.tasks import ImageTask
from stages.vision.vectors import write_vectors

parquet = pytest.importorskip("pyarrow.parquet", reason="the dedup extra is not installed")
pytest.importorskip("faiss", reason="the dedup extra is not installed")


@attrs.define(kw_only=True)
class Mine(ImageTask):
    """A user's own class."""

    degrees: float
    note: str = "mine"


class Point(Stage[ImageTask, ImageTask]):
    """A vector in a plane for each task, as `Embed` leaves them: one file a batch."""

    version = 1
    batch_size = 3

    def process(self, tasks: list[ImageTask]) -> list[ImageTask]:
        """The same tasks."""
        angles = np.radians([task.degrees for task in tasks if isinstance(task, Mine)])
        file = self.file(tasks[0], "plane.parquet")
        rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) * 7
        write_vectors(os.fspath(file), [task.id for task in tasks], rows)
        for task in tasks:
            task.embeddings = [file]
        return tasks


def mine(**degrees: float) -> tuple[Mine, ...]:
    """Tasks by their id."""
    return tuple(
        Mine(id=id, source=f"{id}.jpg", path=id, width=1, height=1, degrees=angle, weight=1 + 0.01 * k)
        for k, (id, angle) in enumerate(degrees.items())
    )


EPS = 1 - float(np.cos(np.radians(15)))
"""Fifteen degrees."""
TASKS = mine(a=0, b=10, c=20, d=120, e=122, f=124, g=240, h=121)
"""A chain, four that are alike, and one by itself."""


def steps(output: Path, keep: Any = "longest", shard_tasks: int = 100, earlier: Sequence[Path] = ()) -> dict[str, Step]:
    """As `conf/dedup` has them."""

    def step(stage: Stage[Any, Any], *after: str) -> Step:
        return Step(stage, StageOptions(after=list(after), shard_tasks=shard_tasks))

    against = [InputFile(folder / "dedup" / "kept_vectors.parquet") for folder in earlier]
    given: dict[str, Any] = {"eps": EPS, "keep": keep, "against": against}
    assign, publish = Assign(), PublishDuplicates(os.fspath(output))
    if earlier:
        path = InputFile(earlier[0] / "dedup" / "centroids.npy")
        assign, publish = Assign(earlier=path), PublishDuplicates(os.fspath(output), earlier=path)
    else:
        assign.with_results(centroids="centroids.file")
        publish.with_results(centroids="centroids.file")
    clusters = {"sample": step(Sample(), "embed"), "centroids": step(Centroids(clusters=3), "sample")}
    return {
        "embed": step(Point()),
        **({} if earlier else clusters),
        "assign": step(assign, "embed"),
        "dedup": step(SemanticDuplicates(**given), "assign"),
        "groups": step(ListDuplicates(**given), "assign"),
        "list": step(publish, "groups"),
    }


def go(store: Path, output: Path, tasks: tuple[Mine, ...] = TASKS, **more: Any) -> hpcurate.OpenRun:
    """A whole run."""
    run = hpcurate.run(steps(output, **more), Items(tasks), store=store, launcher="inline")
    assert "complete" == run.summary["state"]
    return run


def listed(output: Path) -> dict[str, str]:
    """Id → `.` if it is kept, else its twin."""
    rows = parquet.read_table(output / "dedup" / "duplicates.parquet").to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["cluster"], row["id"]))
    return {row["id"]: "." if row["kept"] else row["twin"] for row in sorted(rows, key=lambda row: row["id"])}


def test_one_of_each_is_kept_and_the_others_name_it(tmp_path: Path) -> None:
    """Of a chain its ends, if the longest comes first; the users' class passes through; later runs get the vectors."""
    run = go(tmp_path / "store", tmp_path / "out")
    expected = {"a": ".", "b": "c", "c": ".", "d": "h", "e": "h", "f": "h", "g": ".", "h": "."}
    assert expected == listed(tmp_path / "out")
    kept = list(run.tasks("dedup"))
    assert {("a", "mine", None), ("c", "mine", None), ("g", "mine", None), ("h", "mine", None)} == {
        (task.id, task.note, task.cluster) for task in kept
    }
    table = parquet.read_table(tmp_path / "out" / "dedup" / "kept_vectors.parquet")
    assert {"a", "c", "g", "h"} == set(table["id"].to_pylist())
    assert [1, 1, 1, 1] == pytest.approx([np.linalg.norm(row) for row in table["embedding"].to_pylist()])
    assert (3, 2) == np.load(tmp_path / "out" / "dedup" / "centroids.npy").shape
    assert ["sort_assign_for_dedup"] == [name for name in run.summary["stages"] if name.startswith("sort_")]


def test_neither_slices_nor_the_order_matter(tmp_path: Path) -> None:
    """The published files are the same, byte for byte."""
    go(tmp_path / "one", tmp_path / "a")
    go(tmp_path / "two", tmp_path / "b", TASKS[::-1], shard_tasks=2)
    for name in ("duplicates.parquet", "kept_vectors.parquet", "centroids.npy"):
        assert (tmp_path / "a" / "dedup" / name).read_bytes() == (tmp_path / "b" / "dedup" / name).read_bytes()


def test_new_ones_are_compared_with_what_earlier_runs_have_kept(tmp_path: Path) -> None:
    """With the kept ones of two runs, in the same clusters; the old ones are not there again, nor embedded again."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    go(tmp_path / "store", first)
    new = go(tmp_path / "store", second, mine(i=5, j=-12, k=300, l=301), earlier=[first])
    assert {"i": "a", "j": "a", "k": "l", "l": "."} == listed(second)
    assert ["l"] == [task.id for task in new.tasks("dedup")]
    assert 4 == new.summary["stages"]["embed"]["in"]
    last = go(tmp_path / "store", third, mine(m=302, n=118, a=0), earlier=[first, second])
    assert {"a": "a", "m": "l", "n": "h"} == listed(third)
    assert [] == list(last.tasks("dedup"))
    assert (first / "dedup" / "centroids.npy").read_bytes() == (third / "dedup" / "centroids.npy").read_bytes()


def test_a_dropped_row_names_the_twin_and_the_similarity(tmp_path: Path) -> None:
    """So `hpcurate why` shows pairs."""
    tasks = placed(tmp_path, mine(a=0, b=10))
    (row,) = try_stage(SemanticDuplicates(eps=EPS, keep="nearest"), tasks, tmp_path / "dedup").dropped
    assert ("b", "duplicate: similarity above 0.965926", "0.9848 to a", 0.965926) == tuple(
        row[name] for name in ("id", "reason", "value", "threshold")
    )


def pointed(folder: Path, tasks: tuple[Mine, ...]) -> list[Any]:
    """With their vectors, for another trial: the file by its absolute path."""
    points = try_stage(Point(), list(tasks), folder / "points", batch_size=0).tasks
    return [attrs.evolve(task, embeddings=[absolute(task.embeddings[-1])]) for task in points]


def absolute(file: File) -> File:
    """As rows of another store name it."""
    return File(os.fspath(file), os.fspath(file))


def placed(folder: Path, tasks: tuple[Mine, ...]) -> list[Any]:
    """With their cluster: the only one, whose centroid is at zero degrees."""
    np.save(folder / "centroids.npy", np.array([[1, 0]], np.float32))
    points = pointed(folder, tasks)
    found = try_stage(Assign(folder / "centroids.npy"), points, folder / "assign").tasks
    for task in found:
        task.cluster.vectors = absolute(task.cluster.vectors)
    return found


def test_the_rows_of_what_is_kept_name_no_files_of_vectors(tmp_path: Path) -> None:
    """So these can be freed."""
    out = try_stage(SemanticDuplicates(), placed(tmp_path, mine(a=0)), tmp_path / "dedup")
    assert [None] == [task.cluster for task in out.tasks]


def test_without_vectors_it_is_said_what_is_missing(tmp_path: Path) -> None:
    """And what to put before."""
    out = try_stage(Sample(), list(mine(a=0)), tmp_path / "none")
    assert (
        "a has no vector (it has none); put a stage that makes one before this one, such as +embed=clip"
        in (out.failed[0]["message"])
    )
    points = pointed(tmp_path, mine(a=0))
    out = try_stage(Sample(model="clip"), points, tmp_path / "other")
    assert "a has no vector by clip (it has plane)" in out.failed[0]["message"]


def test_vectors_of_another_network_are_refused(tmp_path: Path) -> None:
    """By their width."""
    np.save(tmp_path / "centroids.npy", np.ones((1, 3), np.float32))
    points = pointed(tmp_path, mine(a=0))
    out = try_stage(Assign(tmp_path / "centroids.npy"), points, tmp_path / "assign")
    assert "the vectors have 2 numbers, and the centroids 3" in out.failed[0]["message"]
    with pytest.raises(ConfigError, match="centroids: expected"):
        try_stage(Assign(), points, tmp_path / "none")


def test_no_tasks_make_no_clusters(tmp_path: Path) -> None:
    """Nothing stalls for it."""
    (made,) = try_stage(Centroids(), [], tmp_path / "none").tasks
    assert (0, 0) == (made.clusters, made.sampled)


def test_a_sample_is_bounded(tmp_path: Path) -> None:
    """Where the gather would have too much of it; its order is that of digests, whoever comes first."""
    points = pointed(tmp_path, TASKS)
    samples = [
        try_stage(Sample(), some, tmp_path / f"sample{k}").tasks[0] for k, some in enumerate((points[:3], points[3:]))
    ]
    assert [3, 5] == [one.count for one in samples]
    first, other = (
        try_stage(Centroids(clusters=1, most=5), some, tmp_path / f"of{k}").tasks[0]
        for k, some in enumerate((as_read(samples), as_read(samples[::-1])))
    )
    assert (1, 5) == (first.clusters, first.sampled)
    assert Path(first.file).read_bytes() == Path(other.file).read_bytes()


def as_read(tasks: Sequence[SampleTask]) -> list[SampleTask]:
    """Their files by absolute paths, for another trial."""
    return [attrs.evolve(task, vectors=absolute(task.vectors)) for task in tasks]
