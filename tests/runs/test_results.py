"""`${result:stage.field}`: read when it is known, frozen in the lists and the plan, done again for another value only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from driven import Site
from fan_stages import Block, Copy, Make
from result_stages import Below, Measure, Summary
from unit_stages import Growing, Number

import hpcurate
from hpcurate import File, Stage, Task
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.explanation import Explanation, explain
from hpcurate.runs.folder import Run
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.references import upstream_of
from hpcurate.runs.retry import Retry
from launchers.inline import InlineLauncher

OPTIONS: dict[str, Any] = {
    "resources": {"memory": "100MB", "time": "5m"},
    "after": [],
    "shard_tasks": 2,
    "batch_size": 2,
}


def steps(**measure: Any) -> dict[str, Step]:
    """Which numbers are below the greatest, but no more than 9."""
    below = Below().with_results(threshold="measure.most")
    return {"measure": Step(Measure(**measure), StageOptions(**OPTIONS)), "below": Step(below, StageOptions(**OPTIONS))}


def go(site: Site, *values: int, **more: Any) -> hpcurate.OpenRun:
    """The run over these numbers."""
    budget = Budget(failed=9)
    return hpcurate.run(steps(), Growing(values), store=site.store, launcher="inline", budget=budget, **more)


def stories(run: hpcurate.OpenRun) -> dict[str, str]:
    """What `below` has noted of each number."""
    return {task.id: task.story for task in run.tasks("below")}


def plans(site: Site) -> list[dict[str, Any]]:
    """Of the rounds of `below`, over all runs."""
    return [json.loads(path.read_text()) for path in sorted(site.store.glob("runs/2*/submissions/below-*/plan.json"))]


def explained(run: hpcurate.OpenRun) -> Explanation:
    """What `explain` shows of `below`."""
    looker = RunLooker(run.run, InlineLauncher())
    return explain(run.run.store, run.run.frozen().pipeline, looker.observer.look())[1]


def test_a_value_that_stays_redoes_nothing_and_another_all_that_uses_it(site: Site) -> None:
    """Through growth; each round's plan has the value, and what is committed for another one stays."""
    first = go(site, 1, 2, 3, 4, 5)
    assert {"1": "below 5", "2": "below 5", "3": "below 5", "4": "below 5"} == stories(first)
    assert ("threshold = 5.0 (measure.most)",) == explained(first).results
    before = set(site.claims())
    same = go(site, 1, 2, 3, 4, 5, -1)
    assert {"1", "2", "3", "4", "-1"} == set(stories(same))
    assert 2 == len(set(site.claims()) - before)  # the number that is new, and the gather
    committed, before = site.stats(), set(site.claims())
    other = go(site, 1, 2, 3, 4, 5, -1, 7)
    assert {"below 7"} == set(stories(other).values())
    assert 6 == len(set(site.claims()) - before)
    assert committed.items() <= site.stats().items()
    values = [plan["stage"]["spec"]["parameters"]["threshold"]["$result"]["value"] for plan in plans(site)]
    assert [5.0, 5.0, 7.0] == values
    assert 2 == len({plan["results"] for plan in plans(site)})


def test_two_runs_with_other_inputs_share_the_folder(site: Site) -> None:
    """Each has its own value; neither does the other's work, and both say nothing is left when they are typed again."""
    trial, full = go(site, 1, 2, 3, 4, limit=3), go(site, 1, 2, 3, 4)
    assert ({"below 3"}, {"below 4"}) == (set(stories(trial).values()), set(stories(full).values()))
    claims = site.claims()
    assert {"below 3"} == set(stories(go(site, 1, 2, 3, 4, limit=3)).values())
    assert {"below 4"} == set(stories(go(site, 1, 2, 3, 4)).values())
    assert claims == site.claims()


def test_dead_letters_are_tried_again_with_the_value_of_their_shards(site: Site) -> None:
    """A retry is a list of its own, and its round has the same value."""
    run = go(site, 1, 2, 13)
    assert 1 == run.summary["stages"]["below"]["failed"]
    again = go(site, 1, 2, 13, retry=Retry(run=run.run.name))
    assert 1 == again.summary["stages"]["below"]["failed"]
    first, second = plans(site)
    assert first["results"] == second["results"]
    assert 1 == len([name for name in second["lists"] if name.startswith("retry.")])


def test_other_than_one_task_stalls_who_uses_it(site: Site) -> None:
    """By its name, with what to do; a value then helps."""
    wrong = steps(copies=2)
    run = hpcurate.run(wrong, Growing((1, 2)), store=site.store, launcher="inline")
    said = "stages.below.threshold is ${result:measure.most}: measure returned 2 tasks, and a result is a field"
    assert ("stalled", True) == (run.summary["state"], run.summary["reason"].startswith(said))
    assert ("threshold = ${result:measure.most}: not known yet, 0.5 is only its default",) == explained(run).results
    assert explained(run).reason.startswith(f"stalled: {said}")
    wrong["below"] = Step(Below(2.0), StageOptions(**OPTIONS))
    given = hpcurate.run(wrong, Growing((1, 2)), store=site.store, launcher="inline")
    assert ("complete", {"1": "below 2"}) == (given.summary["state"], stories(given))


def test_a_result_that_cannot_be_read_is_said(site: Site) -> None:
    """A look ended with a traceback of json."""
    run = go(site, 1, 2)
    (rows,) = site.store.glob("stages/measure-*/shards/*/*/tasks.jsonl")
    rows.chmod(0o600)
    rows.write_bytes(b"")
    view = RunLooker(Run.at(run.run.path), InlineLauncher()).observer.look()[1]
    assert view.refused is not None
    assert "tasks.jsonl: cannot be read" in view.refused.reason
    assert "hpcurate verify" in view.refused.reason


def test_a_stage_is_made_from_those_whose_results_it_has(site: Site) -> None:
    """So `clean` keeps them as long as it; one that is only waited for is not among them."""
    run = go(site, 1, 2)
    source, measure, below = (
        stage.folder for stage in (run.run.frozen().pipeline.source, *run.run.frozen().pipeline.stages)
    )
    assert (source, measure) == upstream_of(run.run.store.stage(below))


def test_files_that_a_new_value_needs_are_made_again(site: Site) -> None:
    """With keep=results they are freed once the stage that reads them is complete; another value reads them again."""

    def keep(count: int) -> hpcurate.OpenRun:
        copy = Copy(1).with_results(number="count.count")
        made = {"make": Make(), "count": Step(CountBlocks(), StageOptions(after=["make"])), "copy": Step(copy, after)}
        return hpcurate.run(made, Blocks(count), store=site.store, launcher="inline", keep="results")

    after = StageOptions(after=["make"], shard_tasks=2)
    made = "stages/make-*/shards/*/*/files/*/data.bin"
    for count in (2, 3):
        run = keep(count)
        assert ("complete", count) == (run.summary["state"], run.summary["stages"]["copy"]["out"])
        assert [] == list(site.store.glob(made))
    claims = [path.suffix for path in site.store.glob("stages/make-*/claims/*/*[0-9]")]
    assert [".1", ".1", ".2"] == sorted(claims)


def test_a_file_is_a_parameter_and_stays(site: Site) -> None:
    """The stage gets its path; with keep=results those of others go. The same file again redoes nothing."""

    def keep(*values: int) -> hpcurate.OpenRun:
        with_file = Step(WithFile().with_results(words="note.words"), StageOptions(**OPTIONS))
        made = {"note": Step(Note(), StageOptions(**OPTIONS)), "with_file": with_file}
        return hpcurate.run(made, Growing(values), store=site.store, launcher="inline", keep="results")

    first = keep(1, 2, 9)
    assert {"1": "at most 9", "2": "at most 9", "9": "at most 9"} == {t.id: t.story for t in first.tasks("with_file")}
    (file,) = site.store.glob("stages/note-*/shards/*/*/files/*/words.txt")
    ref = str(file.relative_to(site.store / "stages"))
    assert (f'words = "{ref}" (note.words)',) == next(
        one.results
        for one in explain(
            first.run.store, first.run.frozen().pipeline, RunLooker(first.run, InlineLauncher()).observer.look()
        )
        if one.results
    )
    claims = site.claims()
    assert "complete" == keep(1, 2, 9).summary["state"]
    assert claims == site.claims()
    assert file.exists()


@attrs.define(kw_only=True)
class Noted(Task):
    """A file."""

    words: File


class Note(Stage[Number, Noted]):
    """Writes the greatest number."""

    version = 1
    gather = True

    def process(self, tasks: list[Number]) -> list[Noted]:
        """One task."""
        task = self.child(tasks, Noted, id="note", words=File(""))
        task.words = self.file(task, "words.txt")
        with open(task.words, "w") as file:
            file.write(f"at most {max(task.value for task in tasks):g}")
        return [task]


class WithFile(Stage[Number, Number]):
    """Says what is in the file."""

    version = 1

    def __init__(self, words: Path | None = None) -> None:
        self.words = words

    def process(self, tasks: list[Number]) -> list[Number]:
        """The same tasks."""
        assert self.words is not None
        for task in tasks:
            task.story = self.words.read_text()
        return tasks


@attrs.define
class Blocks:
    """A source that grows."""

    count: int
    task_type = Block

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"source": "blocks"}

    def tasks(self) -> Iterator[Block]:
        """See `Source`."""
        return (Block(id=f"b{n}") for n in range(self.count))


class CountBlocks(Stage[Block, Summary]):
    """How many there are."""

    version = 1
    gather = True

    def process(self, tasks: list[Block]) -> list[Summary]:
        """One task."""
        return [self.child(tasks, Summary, most=0.0, count=len(tasks))]
