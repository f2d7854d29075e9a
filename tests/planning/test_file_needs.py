"""Whose files are needed: along the lines, through stages whose rows name them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from planned import planned

from hpcurate.planning.file_needs import StageFiles, needed_by_open, rows_are_enough
from hpcurate.planning.results import FILES, PlannedResult
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stats import Committed

SHARDS = ("0", "1")


def stage(name: str, above: str, *, names: Mapping[str, list[str] | None] | None = None, **more: object) -> StageFiles:
    """A stage of two shards, each of which reads the one of that name above; `names`: see `Committed`."""
    known = {field: more.pop(field) for field in ("complete", "failed") if field in more}
    failed = known.get("failed", ())
    done = {
        s: Committed(
            shard=s, nonce="n", weight_out=1.0, names_files_of=(names or {}).get(s, []), failed=int(s in failed)
        )  # type: ignore[operator]
        for s in SHARDS
    }
    return StageFiles(
        stage=msgspec.structs.replace(planned(), name=name, folder=name, after=(above,) if above else (), **more),  # type: ignore[arg-type]
        complete=bool(known.get("complete", True)),
        lines={s: ShardLine(s, 1.0, 1, (Input(above or "source", s, "n", 0, 1),)) for s in SHARDS},
        done=done,
    )


A, C = stage("a", ""), stage("c", "b")


@pytest.mark.parametrize(
    ("stages", "kept"),
    [
        ([A, stage("b", "a")], ()),
        ([A, stage("b", "a", complete=False)], None),
        ([msgspec.structs.replace(A, complete=False), stage("b", "a")], None),
        ([stage("a", "", deterministic=False), stage("b", "a")], None),
        ([A], None),
        ([A, stage("b", "a", failed=("1",))], ("1",)),
        ([A, stage("b", "a"), stage("c", "b", complete=False)], ()),
        ([A, stage("b", "a", names={"0": ["a"]}), stage("c", "b", complete=False)], None),
        ([A, stage("b", "a", names={"0": None}), stage("c", "b", complete=False)], None),
        ([A, stage("b", "a", names={"0": ["a"]}), C], ()),
        ([A, stage("b", "a", names={"0": ["a"]}), stage("c", "b", failed=("0", "1"))], ("0",)),
        ([A, stage("b", "a", names={"0": ["a"]}), stage("c", "b", names={"0": ["a"]})], None),
        ([A, stage("b", "a", names={"0": ["a"]}), stage("c", "b", names={"0": ["a"]}, publishes=True)], ()),
        ([A, stage("b", "a"), stage("c", "a", complete=False)], None),
    ],
)  # fmt: skip
def test_when_rows_are_enough(stages: list[StageFiles], kept: tuple[str, ...] | None) -> None:
    """Every stage that may read them is complete, no result names them; what dead letters were made from stays."""
    assert kept == rows_are_enough(stages, stages[0])


def given(*of: str, **more: object) -> StageFiles:
    """A stage that reads the source, and has files of those stages as parameters."""
    results = tuple(PlannedResult(key="p", stage=one, field="f", path=("f",), kinds=FILES) for one in of)
    return stage("x", "", results=results, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("complete", [True, False])
def test_files_that_are_parameters_stay(complete: bool) -> None:
    """Also those of stages above that the row names; also where another stage reads on, and all are complete."""
    b, c, x = stage("b", "a", names={"0": ["a"]}), stage("c", "b"), given("b", complete=complete)
    stages = [A, b, c, x]
    assert [None, None] == [rows_are_enough(stages, one) for one in (A, b)]
    assert () == rows_are_enough([A, b, c], A)
    plain = stage("b", "a")
    assert [(), None] == [rows_are_enough([A, plain, c, x], one) for one in (A, plain)]


def test_open_shards_need_the_files_that_are_parameters() -> None:
    """All of them, whatever a shard reads; they may have been freed by a run without that stage."""
    b = stage("b", "a", names={"0": ["a"]})
    stages = [A, b, given("b")]
    assert {"x": {"0", "1"}} == needed_by_open(stages, b, {"x": {"1"}})
    assert {"x": {"0"}} == needed_by_open(stages, A, {"x": {"1"}})
    assert {} == needed_by_open([A, b, given()], b, {"x": {"1"}})


def test_only_what_open_shards_read_is_needed() -> None:
    """Through a stage whose rows name the files, too."""
    b = stage("b", "a", names={"0": ["a"]})
    assert {"b": {"1"}} == needed_by_open([A, b, C], A, {"b": {"1"}})
    assert {"c": {"0"}} == needed_by_open([A, b, C], A, {"c": {"0", "1"}})
    assert {} == needed_by_open([A, b, C], A, {"c": {"1"}})
