"""Group-by and join in real runs: exact, the same everywhere, and after growth only what it touches is done again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from group_stages import Add, AddLoose, ById, FirstOfEach, Fragile, KeyRaises, Labelled, Labels, Loose, Meet, Note, Pass

import hpcurate
from hpcurate import Budget, Retry, StageOptions, Step
from hpcurate.errors import StoreError
from hpcurate.report.run_view import RunView
from hpcurate.report.verification import repair, verify
from hpcurate.runs.folder import find_run
from hpcurate.runs.state import RunState
from hpcurate.source import intake
from hpcurate.store.layout import Store

SMALL = {"cpus": 1, "memory": "200MB", "time": "5m"}
COUNT, LABELS = 200, 50


def options(*after: str, **more: Any) -> StageOptions:
    """Of a small stage."""
    return StageOptions(**{"resources": SMALL, "after": list(after) or None, **more})


def groups(outcome: hpcurate.OpenRun, stage: str) -> dict[str, tuple[list[int], list[str]]]:
    """Key → what the group consisted of; no key has two groups."""
    found = list(outcome.results(stage))
    assert len(found) == len({row["key"] for row in found})
    return {row["key"]: (row["values"], row["notes"]) for row in found}


def expected(count: int = COUNT, extra: str = "") -> dict[str, tuple[list[int], list[str]]]:
    """The same, from a dict."""
    found: dict[str, tuple[list[int], list[str]]] = {}
    for task in Labels(count, LABELS, extra).tasks():
        found.setdefault(task.label, ([], []))[0].append(task.value)
    return found


def joined() -> dict[str, tuple[list[int], list[str]]]:
    """Of the join: each note beside the numbers of its label."""
    found = expected()
    for task in Labels(COUNT, LABELS).tasks():
        if task.value % 3:
            found[task.label][1].append(f"note-{task.id}")
    return found | {"alone": ([], ["alone"])}


def both() -> dict[str, Step]:
    """A group-by, a join of two classes behind one upstream, and a stage below it."""
    return {
        "up": Step(Pass(), options(shard_tasks=90)),
        "note": Step(Note(), options("up", shard_tasks=80)),
        "add": Step(Add(), options("up", shard_tasks=30)),
        "meet": Step(Meet(), options("up", "note", shard_tasks=90)),
        "below": Step(Pass(), options("meet", shard_tasks=9)),
    }


def summed(bugs: Path) -> dict[str, Step]:
    """A group-by at once, and a stage below it."""
    return {"add": Step(Add(str(bugs)), options(shard_tasks=20, batch_size=5)), "below": Step(Pass(), options())}


def shards(store: Path, stage: str) -> set[str]:
    """Those that are committed."""
    return {path.name for path in store.glob(f"stages/{stage}-*/shards/*/[!.]*")}


@pytest.fixture(autouse=True)
def small_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources have a hundred tasks a shard."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 100)


def test_groups_and_joins_are_exact_and_the_same_everywhere(tmp_path: Path) -> None:
    """Against a dict: each group whole, in input order; a join is outer, upstreams in their order. Inline = local."""
    trees = []
    for launcher in ("inline", "local"):
        outcome = hpcurate.run(
            both(), Labels(COUNT, LABELS), store=tmp_path / launcher, launcher=launcher, durability="rename"
        )
        assert RunState.COMPLETE is outcome.state
        assert expected() == groups(outcome, "add")
        assert joined() == groups(outcome, "meet") == groups(outcome, "below")
        assert () == verify(RunView(outcome.run)).faults
        trees.append({name: list(outcome.results(name)) for name in both()})
    assert trees[0] == trees[1]
    assert len(shards(tmp_path / "local", "add")) > 4


def test_growth_does_only_ranges_with_new_rows_again(tmp_path: Path) -> None:
    """One row more: its shard of the sort step, its range, and what stands below that range."""
    steps = summed(tmp_path)
    hpcurate.run(steps, Labels(COUNT, LABELS), store=tmp_path / "s", launcher="inline", durability="rename")
    before = {stage: shards(tmp_path / "s", stage) for stage in ("sort_input_by_label", "add", "below")}
    outcome = hpcurate.run(
        steps, Labels(COUNT, LABELS, "k7"), store=tmp_path / "s", launcher="inline", durability="rename"
    )
    new = {stage: len(shards(tmp_path / "s", stage) - old) for stage, old in before.items()}
    assert {"sort_input_by_label": 1, "add": 1, "below": 1} == new
    assert expected(extra="k7") == groups(outcome, "below")


def test_a_group_stage_less_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    """The sort steps of a stage are called the same whichever others there are: nothing is done again."""
    told = {"store": tmp_path / "s", "launcher": "inline", "durability": "rename"}
    steps = {"up": Step(Pass()), "add": Step(Add(), options("up")), "merge": Step(ById(), options("up"))}
    hpcurate.run(steps, Labels(40, 5), **told)
    before = {stage: shards(tmp_path / "s", stage) for stage in ("sort_up_by_id", "merge")}
    del steps["add"]
    outcome = hpcurate.run(steps, Labels(40, 5), **told)
    assert ["up", "sort_up_by_id", "merge"] == list(outcome.summary["stages"])
    assert before == {stage: shards(tmp_path / "s", stage) for stage in before}


@pytest.mark.parametrize("damage", ["{", '{"buckets":[1],"rows":[1],"sizes":[9],"weights":[1.0]}'])
def test_a_lost_order_is_named_and_repaired(tmp_path: Path, damage: str) -> None:
    """What has it sorts again; no row is left out meanwhile."""
    told = {"store": tmp_path / "s", "launcher": "inline", "durability": "rename"}
    steps = summed(tmp_path)
    hpcurate.run(steps, Labels(COUNT, LABELS), **told)
    [order] = tmp_path.glob("s/stages/sort_*/shards/*/*/order.json")
    order.write_text(damage)
    with pytest.raises(StoreError, match=r"order.json.*hpcurate verify --repair"):
        hpcurate.run(steps, Labels(COUNT, LABELS, "k7"), **told)
    view = RunView(find_run(Store(str(tmp_path / "s")), None))
    repair(view, verify(view))
    outcome = hpcurate.run(steps, Labels(COUNT, LABELS, "k7"), **told)
    assert expected(extra="k7") == groups(outcome, "below")


def test_a_filter_by_groups_drops_the_others(tmp_path: Path) -> None:
    """They stay on record, with the one that was kept."""
    outcome = hpcurate.run(
        [FirstOfEach()], Labels(COUNT, LABELS), store=tmp_path / "s", launcher="inline", durability="rename"
    )
    first = {key: values[0] for key, (values, _) in expected().items()}
    assert first == {row["label"]: row["value"] for row in outcome.results("first_of_each")}
    dropped = list(outcome.dropped())
    assert COUNT - LABELS == len(dropped)
    assert all(row["value"] == f"n{first[row['task']['label']]:05d}" for row in dropped)


def test_dead_letters_are_whole_groups_and_a_retry_is_given_whole_groups(tmp_path: Path) -> None:
    """Of a group that fails each task is one; after a fix these groups are made, in order, and no other is."""
    bugs = tmp_path / "bugs"
    for label in ("k3", "k4", "k11"):
        bugs.joinpath(label).mkdir(parents=True)
    told = {"store": tmp_path / "s", "launcher": "inline", "durability": "rename", "budget": Budget(failed=50)}
    outcome = hpcurate.run(summed(bugs), Labels(COUNT, LABELS), **told)
    failed = {one.task["value"] for one in outcome.dead_letters("add")}
    assert {v for label in ("k3", "k4", "k11") for v in expected()[label][0]} == failed
    assert {k: v for k, v in expected().items() if k not in ("k3", "k4", "k11")} == groups(outcome, "below")
    before = shards(tmp_path / "s", "add")
    shutil.rmtree(bugs)
    outcome = hpcurate.run(summed(bugs), Labels(COUNT, LABELS), **told, retry=Retry())
    assert expected() == groups(outcome, "below")
    assert before < shards(tmp_path / "s", "add")
    assert [] == list(outcome.dead_letters())


def test_a_task_without_a_key_is_a_dead_letter_of_the_sort_step(tmp_path: Path) -> None:
    """What is no text, and what `key` raises for; after a fix only these are sorted, and only their ranges made."""
    fixed = tmp_path / "fixed"
    told = {"store": tmp_path / "s", "launcher": "inline", "durability": "rename", "budget": Budget(failed=50)}
    steps = {"add": Step(KeyRaises(str(fixed)), options(shard_tasks=100))}
    outcome = hpcurate.run(steps, Labels(COUNT, LABELS), **told)
    assert set(range(0, COUNT, 10)) == {one.task["value"] for one in outcome.dead_letters("sort_input_for_add")}
    assert "LookupError" in {one.error for one in outcome.dead_letters()}
    fixed.touch()
    outcome = hpcurate.run(steps, Labels(COUNT, LABELS), **told, retry=Retry())
    found = {key: (sorted(values), notes) for key, (values, notes) in groups(outcome, "add").items()}
    assert expected() == found


ODD = ["", "\x00", "a\nb", "\ud800", "é" * 50_000, "k", float("nan"), None, 7, ["k"], "k", "", "line\u2028"]
"""Labels: texts of all kinds, and what is no text."""


@pytest.mark.parametrize("score", [0.5, float("inf")])
def test_any_text_is_a_key_and_nothing_else_is(tmp_path: Path, score: float) -> None:
    """Also beside fields that are no JSON."""
    tasks = [Loose(id=f"n{n}", label=label, value=n, score=score) for n, label in enumerate(ODD)]
    told = {"store": tmp_path / "s", "launcher": "local", "durability": "rename", "budget": Budget(failed=50)}
    outcome = hpcurate.run({"add": Step(AddLoose(), options())}, tasks, **told)
    texts: dict[str, list[int]] = {}
    for number, label in enumerate(ODD):
        if isinstance(label, str):
            texts.setdefault(label, []).append(number)
    assert texts == {row["key"]: row["values"] for row in outcome.results("add")}
    assert [6, 7, 8, 9] == sorted(one.task["value"] for one in outcome.dead_letters("sort_input_by_label"))
    assert all("a key is text" in one.message for one in outcome.dead_letters())


def test_a_group_that_ends_its_process_is_named_and_the_others_pass(tmp_path: Path) -> None:
    """Group by group, then it alone is dead letters; also if its key is no UTF-8, and too long to be named in full."""
    odd = "\ud800" + "x" * 100_000
    tasks = [Labelled(id=f"n{n}", label=odd if n % 20 == 7 else f"k{n % 20}", value=n) for n in range(100)]
    told = {"store": tmp_path / "s", "launcher": "local", "durability": "rename", "budget": Budget(failed=50)}
    outcome = hpcurate.run({"add": Step(Fragile(odd[:1]), options(shard_tasks=100))}, tasks, **told)
    letters = list(outcome.dead_letters())
    assert (RunState.COMPLETE, {odd}) == (outcome.state, {one.task["label"] for one in letters})
    assert 19 == len(list(outcome.results("add")))
    assert {"crash"} == {one.error for one in letters}
    assert all(path.stat().st_size < 10_000 for path in tmp_path.glob("s/stages/add-*/claims/*/*"))
