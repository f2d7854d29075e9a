"""Accounting (I6): every input ends in exactly one of passed, dropped, failed, whatever the batches are."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_stages import FATES, Fated, Gathers, Number, Prepared, Returns, chain, numbers

from hpcurate import Stage, stable_id
from hpcurate.failures import Blame, FailureKind
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.output import give_up
from hpcurate.stage_process.runner import ShardRunner
from hpcurate.store.files import files_folder
from hpcurate.store.rows import codec
from hpcurate.store.stats import ShardCounts
from hpcurate.testing import Outcome, try_stage

fates = st.lists(st.sampled_from(FATES), min_size=1, max_size=5)
members = st.lists(fates, min_size=1, max_size=3)
batch_sizes = st.integers(0, 7)
different = st.integers(0, 12).map(lambda count: list(range(count)))
inputs = different | st.lists(st.integers(0, 7), max_size=12)
"""Values of the inputs, from which their ids are made: all different, or with equal ids as several upstreams give."""


def stage_of(plan: list[list[str]]) -> Stage[Any, Any]:
    """One fated stage, or a chain of them, each with a mark of its own."""
    stages = [Fated(fates, mark="xyz"[n]) for n, fates in enumerate(plan)]
    return stages[0] if len(stages) == 1 else chain(*stages)


def run(stage: Stage[Any, Any], values: list[int], batch_size: int = -1) -> tuple[Outcome, dict[str, str]]:
    """The outcome, and what is left of its files by relative name."""
    folder = Path(tempfile.mkdtemp())
    try:
        outcome = try_stage(stage, numbers(*values), folder, batch_size=batch_size)
        found = {str(p.relative_to(outcome.folder)): p.read_text() for p in outcome.folder.glob("files/**/*.txt")}
        return outcome, found
    finally:
        shutil.rmtree(folder)


def comparable(outcome: Outcome, files: dict[str, str]) -> dict[str, Any]:
    """All that may not depend on how the tasks were batched."""
    counts = outcome.counts
    return {
        "tasks": outcome.tasks,
        "dropped": outcome.dropped,
        "failed": [{k: v for k, v in row.items() if k != "traceback"} for row in outcome.failed],
        "files": files,
        "sums": (counts.tasks_in, counts.tasks_out, counts.passed, counts.dropped, counts.failed, counts.weight_out),
        "why": (dict(sorted(counts.reasons.items())), counts.errors),
    }


@settings(max_examples=60, deadline=None)
@given(members, inputs, batch_sizes)
def test_the_sums_hold(plan: list[list[str]], values: list[int], batch_size: int) -> None:
    """In == passed + dropped + failed, for any fates, chain and batch size."""
    counts = run(stage_of(plan), values, batch_size)[0].counts
    assert (len(values),) * 2 == (counts.tasks_in, counts.passed + counts.dropped + counts.failed)


@settings(max_examples=60, deadline=None)
@given(members, inputs, batch_sizes)
def test_every_input_has_exactly_one_fate(plan: list[list[str]], values: list[int], batch_size: int) -> None:
    """Rows name each dropped and failed input once, also of those with one id; the others passed."""
    outcome, _ = run(stage_of(plan), values, batch_size)
    dropped = [row["id"] for row in outcome.dropped if row["input"]]
    failed = [row["id"] for row in outcome.failed]
    assert (len(dropped), len(failed)) == (outcome.counts.dropped, outcome.counts.failed)
    assert Counter(dropped + failed) <= Counter(f"n{value}" for value in values)


@settings(max_examples=60, deadline=None)
@given(members, inputs, batch_sizes)
def test_a_dead_letter_is_its_row(plan: list[list[str]], values: list[int], batch_size: int) -> None:
    """Number and content of a row of the input, each at most once."""
    failed = run(stage_of(plan), values, batch_size)[0].failed
    assert [(f"n{values[row['row']]}", values[row["row"]]) for row in failed] == [
        (row["id"], row["task"]["value"]) for row in failed
    ]
    assert len(failed) == len({row["row"] for row in failed})


@settings(max_examples=60, deadline=None)
@given(members, different, batch_sizes)
def test_the_output_does_not_depend_on_the_batch_size(
    plan: list[list[str]], values: list[int], batch_size: int
) -> None:
    """Whatever fails with its neighbours is tried again by itself, so batches leave no trace.

    Of inputs with one id the second may fail when it comes alone: its children have the ids of the first one's.
    """
    one_by_one, batched = run(stage_of(plan), values, 1), run(stage_of(plan), values, batch_size)
    single, together = comparable(*one_by_one), comparable(*batched)
    for key in ("dropped",):  # the order of drop rows within a batch follows the members, not the tasks
        single[key], together[key] = (sorted(map(json.dumps, outcome[key])) for outcome in (single, together))
    assert single == together


@settings(max_examples=60, deadline=None)
@given(members, inputs, batch_sizes)
def test_files_stay_exactly_for_what_passed(plan: list[list[str]], values: list[int], batch_size: int) -> None:
    """Files of dropped and failed tasks are gone; every file a row refers to is there."""
    outcome, files = run(stage_of(plan), values, batch_size)
    referred = {str(Path(task.note.ref).relative_to("trial")) for task in outcome.tasks}
    ended = Counter(row["id"] for row in outcome.failed + outcome.dropped if row.get("input", True))
    all_ended = [task_id for task_id, count in ended.items() if count == sum(f"n{v}" == task_id for v in values)]
    gone = {files_folder(task_id) for task_id in all_ended}
    assert (set(), set()) == (referred - files.keys(), {Path(name).parts[1] for name in files} & gone)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("stranger", "StageError", "names no input as its parent"),
        ("twice", "StageError", "two tasks with id 'n1'"),
        ("other_type", "StageError", "declares Number and returned a Other"),
        ("drop_and_return", "StageError", "both dropped and returned"),
        ("drop_and_child", "StageError", "or a child of it"),
        ("random_id", "StageError", "is random"),
        ("heavy", "StageError", "weight nan; a weight is a finite number"),
        ("wrong_field", "RecordError", r"$.value"),
        ("outside_file", "StageError", "'../escaped.txt' is not a relative file name"),
    ],
)
def test_a_broken_contract_fails_the_task_by_name(tmp_path: Path, how: str, error: str, said: str) -> None:
    """A stage's mistake is a dead letter with its reason; the shard is finished."""
    [row] = try_stage(Returns(how), numbers(1), tmp_path).failed
    assert (error, "n1", True) == (row["error"], row["id"], said in row["message"])


def test_a_task_dropped_twice_has_one_row(tmp_path: Path) -> None:
    """Rows and counts agree."""
    outcome = try_stage(Returns("drop_twice"), numbers(1), tmp_path)
    assert ([("n1", "first")], 1) == ([(r["id"], r["reason"]) for r in outcome.dropped], outcome.counts.dropped)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_repeated_id_fails_and_spares_the_files_of_the_first(tmp_path: Path, batch_size: int) -> None:
    """The second task of an id is a dead letter; what the first wrote is not touched."""
    stage = Returns("same_id")
    outcome = try_stage(stage, numbers(1, 2), tmp_path, batch_size=batch_size)
    assert (["n2"], "1") == ([row["id"] for row in outcome.failed], Path(outcome.tasks[0].note).read_text())


def test_a_failing_member_is_named(tmp_path: Path) -> None:
    """A chain's dead letter says which stage failed."""
    stage = chain(Fated(["keep"], mark="a"), Fated(["fail"], mark="b"))
    assert ["Fated-1"] == [row["stage"] for row in try_stage(stage, numbers(1), tmp_path).failed]


def test_a_dead_letter_holds_its_task(tmp_path: Path) -> None:
    """It can be tried again from its row: the task as it came in, error, message, traceback."""
    [row] = try_stage(Fated(["fail"]), numbers(3), tmp_path).failed
    assert (3, "ValueError", "3 fails", True) == (
        row["task"]["value"], row["error"], row["message"], "in process" in row["traceback"],
    )  # fmt: skip


def test_prepare_runs_before_process_for_every_task(tmp_path: Path) -> None:
    """Also across batches that are prepared ahead."""
    outcome = try_stage(Prepared(), numbers(*range(9)), tmp_path, batch_size=2)
    assert [f"prepared {n}" for n in range(9)] == [task.story for task in outcome.tasks]


def test_a_gather_sees_every_task_in_one_call(tmp_path: Path) -> None:
    """A trial of a gather is one call, as in a run."""
    assert {"one of 5"} == {task.story for task in try_stage(Gathers(), numbers(*range(5)), tmp_path).tasks}


# -- how a shard is run after it went wrong ---------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Iterator[ShardJob]:
    """Three numbers in a shard."""
    (tmp_path / "attempt").mkdir()
    (tmp_path / "rows.jsonl").write_bytes(b"".join(codec(Number).encode_lines(numbers(1, 2, 3))))
    rows = [(str(tmp_path / "rows.jsonl"), 0, 3)]
    return ShardJob(
        shard="s", directory=str(tmp_path / "attempt"), ref="s", root=str(tmp_path), inputs=rows, batch_size=0
    )


def evolved(job: ShardJob, **changes: Any) -> ShardJob:
    """The job with other settings."""

    return msgspec.structs.replace(job, **changes)


def reports(stage: Stage[Any, Any], job: ShardJob) -> tuple[list[list[str]], ShardCounts]:
    """What was said to be in flight, and the counts."""
    said: list[list[str]] = []
    runner = ShardRunner(stage)
    counts = runner.run(job, lambda message: said.append(list(message.tasks)))
    runner.close()
    return said, counts


def test_a_row_range_is_read_and_nothing_else(job: ShardJob) -> None:
    """[lo, hi) of the manifest."""
    path = job.inputs[0][0]
    assert [["n2"], ["n3"]] == reports(Fated(["keep"]), evolved(job, inputs=[(path, 1, 3)], batch_size=1))[0]


def test_isolation_takes_one_task_at_a_time(job: ShardJob) -> None:
    """So that a crash names its task."""
    assert [["n1"], ["n2"], ["n3"]] == reports(Fated(["keep"]), evolved(job, isolate=True))[0]


def test_isolation_prepares_nothing_ahead(job: ShardJob) -> None:
    """A crash in `prepare` must not be blamed on the task before it."""
    seen: list[str] = []
    runner = ShardRunner(Prepared(seen))
    runner.run(evolved(job, isolate=True), lambda message: seen.append(f"started {list(message.tasks)}"))
    runner.close()
    assert [w for n in (1, 2, 3) for w in (f"started ['n{n}']", f"prepared n{n}")] == seen


def test_tasks_prepared_ahead_are_in_flight_too(job: ShardJob) -> None:
    """A crash while two tasks are touched blames neither."""
    said, _ = reports(Prepared(), evolved(job, batch_size=1))
    assert [["n1"], ["n1", "n2"], ["n1", "n2", "n3"], ["n1", "n2", "n3"], ["n2", "n3"], ["n3"]] == said


def test_a_gather_is_never_taken_apart(job: ShardJob) -> None:
    """Not even after a crash: its output would be another."""
    assert [["n1", "n2", "n3"]] == reports(Gathers(), evolved(job, isolate=True, whole=True))[0]


def test_an_empty_gather_is_called_once(job: ShardJob) -> None:
    """It may want to write an empty result."""
    assert [[]] == reports(Gathers(), evolved(job, inputs=[], whole=True))[0]


def test_a_poison_task_is_not_tried_again(job: ShardJob) -> None:
    """It becomes a dead letter with what is known, and the others pass."""
    said, counts = reports(
        Fated(["keep"]), evolved(job, isolate=True, poison={"n2": Blame(FailureKind.CRASH, "SIGSEGV")})
    )
    assert ([["n1"], ["n3"]], 2, 1) == (said, counts.passed, counts.failed)


def test_giving_up_makes_every_task_a_dead_letter(job: ShardJob) -> None:
    """From raw rows, without the stage."""
    counts = give_up(job, "cut", Blame(FailureKind.CRASH, "5 attempts ended without a result"))
    rows = [json.loads(line) for line in Path(job.directory, "failed.jsonl").read_text().splitlines()]
    assert (3, 3, ["n1", "n2", "n3"]) == (counts.tasks_in, counts.failed, [row["id"] for row in rows])
    assert {("crash", "exhausted")} == {(row["kind"], row["error"]) for row in rows}


class RaisesAtOnce(Stage[Number, Number]):
    """A gather that cannot be done."""

    version = 1
    gather = True

    def process(self, tasks: list[Number]) -> list[Number]:
        """Always fails."""
        raise ValueError("the real cause")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_gather_that_raises_shows_its_own_error(tmp_path: Path, count: int) -> None:
    """There is no one task to blame, so the attempt ends: with the error that the stage raised (0 and 2 tasks)."""
    if count == 1:
        assert "the real cause" in try_stage(RaisesAtOnce(), numbers(1), tmp_path / "one").failed[0]["message"]
        return
    with pytest.raises(ValueError, match="the real cause"):
        try_stage(RaisesAtOnce(), numbers(*range(count)), tmp_path / "several")


class Twins(Stage[Number, Number]):
    """Sees several inputs with one id, and does to them what `how` says."""

    version = 1

    def __init__(self, how: str) -> None:
        self.how = how

    def process(self, tasks: list[Number]) -> list[Number]:
        """The first of them, in place of all."""
        if self.how == "fail":
            tasks[0].value = 99
            raise ValueError("changed and raised")
        if self.how == "drop all":
            for number, task in enumerate(tasks):
                self.drop(task, f"reason {number}")
            return []
        if self.how == "child of all":
            return [self.child(tasks, Number, value=0)]
        return tasks[:1]


def twins(folder: Path, how: str) -> Outcome:
    """Three tasks in one batch, the first two of which have one id, as two upstreams may give them."""
    return try_stage(Twins(how), [*numbers(1, 1), *numbers(2)], folder, batch_size=3)


def test_a_returned_id_stands_for_all_inputs_that_have_it(tmp_path: Path) -> None:
    """One of two was counted as dropped, without a row in `dropped.jsonl`."""
    outcome = twins(tmp_path, "return the first")
    assert (2, 1, [("n2", "not returned")]) == (
        outcome.counts.passed, outcome.counts.dropped, [(r["id"], r["reason"]) for r in outcome.dropped],
    )  # fmt: skip


def test_each_of_two_inputs_with_one_id_has_its_own_drop(tmp_path: Path) -> None:
    """Two were counted, and one row named the first reason for both."""
    outcome = twins(tmp_path, "drop all")
    assert [("n1", "reason 0"), ("n1", "reason 1"), ("n2", "reason 2")] == [
        (row["id"], row["reason"]) for row in outcome.dropped if row["input"]
    ]
    assert (3, {"reason 0": 1, "reason 1": 1, "reason 2": 1}) == (outcome.counts.dropped, outcome.counts.reasons)


class Brief(Twins):
    """Its drops are not repeated."""

    version = 1
    brief_drops = True


def test_rows_of_brief_drops_name_the_task_alone(tmp_path: Path) -> None:
    """The same rows, counts and reasons, without the tasks."""
    brief = try_stage(Brief("drop all"), numbers(1, 2, 3), tmp_path / "brief", batch_size=3)
    whole = try_stage(Twins("drop all"), numbers(1, 2, 3), tmp_path / "whole", batch_size=3)
    assert [{**row, "stage": "Brief", "task": None} for row in whole.dropped] == brief.dropped
    assert all(row["task"] for row in whole.dropped)
    assert (whole.counts.dropped, whole.counts.reasons) == (brief.counts.dropped, brief.counts.reasons)


def test_a_dead_letter_names_the_row_and_holds_it_as_it_was_read(tmp_path: Path) -> None:
    """It held what `process` had made of the task before it raised, and two with one id could not be told apart."""
    failed = twins(tmp_path, "fail").failed
    assert [("n1", 0, 1), ("n1", 1, 1), ("n2", 2, 2)] == [(r["id"], r["row"], r["task"]["value"]) for r in failed]


def test_an_aggregate_accounts_for_all_its_inputs(tmp_path: Path) -> None:
    """A task made from all of them: none is `not returned`."""
    outcome = twins(tmp_path, "child of all")
    [made] = outcome.tasks
    assert (3, 0, ("n1", "n1", "n2")) == (outcome.counts.passed, outcome.counts.dropped, made.parents)


class Calls(Stage[Number, Number]):
    """Returns what a function makes of it."""

    version = 1

    def __init__(self, gather: bool = False, how: Any = None) -> None:
        self.gather, self.how = gather, how  # type: ignore[misc]

    def process(self, tasks: list[Number]) -> list[Number]:
        """Call it."""
        made: list[Number] = self.how(self, tasks)
        return made


@pytest.mark.parametrize(("returned", "given"), [(None, "None"), ((), "a tuple")])
def test_process_returns_a_list(tmp_path: Path, returned: Any, given: str) -> None:
    """None was taken for "nothing is left": a forgotten `return` dropped every task."""
    failed = try_stage(Calls(how=lambda stage, tasks: returned), numbers(1), tmp_path).failed
    assert ["StageError"] == [row["error"] for row in failed]
    assert f"process() returned {given}; return a list of tasks, [] if nothing is left" in failed[0]["message"]


def test_a_child_of_a_list_of_one_is_a_child_of_it(tmp_path: Path) -> None:
    """The same id, so that a stage may change from one form to the other."""
    one = try_stage(
        Calls(how=lambda s, tasks: [s.child(t, Number, value=0) for t in tasks]), numbers(1, 2), tmp_path / "1"
    )
    lists = try_stage(
        Calls(how=lambda s, tasks: [s.child([t], Number, value=0) for t in tasks]), numbers(1, 2), tmp_path / "2"
    )
    assert (
        [stable_id("n1", "Calls", 0), stable_id("n2", "Calls", 0)]
        == [t.id for t in one.tasks]
        == [t.id for t in lists.tasks]
    )


def test_a_child_of_several_is_named_by_all_of_them_in_order(tmp_path: Path) -> None:
    """Other parents, or another order of them, are another task; the ordinal counts the children of the same ones."""

    def pairs(stage: Any, tasks: list[Number]) -> list[Number]:
        a, b = tasks
        return [stage.child(parents, Number, value=0) for parents in ([a, b], (b, a), [a, b])]

    made = try_stage(Calls(how=pairs), numbers(1, 2), tmp_path, batch_size=2).tasks
    assert [("n1", "n2"), ("n2", "n1"), ("n1", "n2")] == [task.parents for task in made]
    assert [
        stable_id("n1", "n2", "Calls", 0),
        stable_id("n2", "n1", "Calls", 0),
        stable_id("n1", "n2", "Calls", 1),
    ] == [task.id for task in made]


def aggregate(stage: Any, tasks: list[Number]) -> list[Number]:
    """One task made from all."""
    return [stage.child(tasks, Number, value=sum(task.value for task in tasks))]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_gathers_aggregate_accounts_for_all_its_inputs(tmp_path: Path, count: int) -> None:
    """All were counted as dropped, as an aggregate could name one parent; an empty run has an aggregate, too."""
    outcome = try_stage(Calls(gather=True, how=aggregate), numbers(*range(count)), tmp_path)
    counts = outcome.counts
    assert (count, 1, 0, {}) == (counts.passed, counts.tasks_out, counts.dropped, counts.reasons)
    assert [sum(range(count))] == [task.value for task in outcome.tasks]


def test_what_an_aggregate_does_not_name_is_not_returned(tmp_path: Path) -> None:
    """As in any other stage."""
    outcome = try_stage(Calls(gather=True, how=lambda s, t: aggregate(s, t[1:])), numbers(1, 2, 3), tmp_path)
    assert ([("n1", "not returned")], 2) == ([(r["id"], r["reason"]) for r in outcome.dropped], outcome.counts.passed)


def test_only_an_empty_gather_may_return_a_task_without_a_parent(tmp_path: Path) -> None:
    """Else it would come from nowhere."""
    [row] = try_stage(Calls(how=lambda s, tasks: aggregate(s, [])), numbers(1), tmp_path).failed
    assert "names no input as its parent" in row["message"]
