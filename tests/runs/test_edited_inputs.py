"""Inputs that were edited or removed under a store: reported, kept or done again, and nothing else with them."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
from driven import Site

import hpcurate
from hpcurate import FileTask, Stage, Task
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.state import RunState
from hpcurate.source import Files, Jsonl, intake
from hpcurate.source.base import RecordTask

ONE_BY_ONE = StageOptions(shard_tasks=1, resources={"memory": "100MB"})


@attrs.define(kw_only=True)
class Text(Task):
    """What a file holds."""

    text: str


class Read(Stage[FileTask, Text]):
    """Reads files."""

    version = 1

    def process(self, tasks: list[FileTask]) -> list[Text]:
        """One text a file."""
        return [self.child(task, Text, text=Path(task.path).read_text()) for task in tasks]


class Upper(Stage[Text, Text]):
    """A second stage: a descendant."""

    version = 1

    def process(self, tasks: list[Text]) -> list[Text]:
        """In capitals."""
        for task in tasks:
            task.text = task.text.upper()
        return tasks


class All(Stage[Text, Text]):
    """A gather: what the run has made, in its order."""

    version = 1
    gather = True

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[Text]) -> list[Text]:
        """Write it down."""
        Path(self.output).write_text(" ".join(task.text for task in tasks))
        return tasks


class Double(Stage[RecordTask, RecordTask]):
    """Rows of a table."""

    version = 1

    def process(self, tasks: list[RecordTask]) -> list[RecordTask]:
        """Twice the value."""
        for task in tasks:
            task.data["x"] *= 2
        return tasks


@attrs.define
class Bench:
    """Three files, a store, and a count of what was attempted."""

    site: Site
    data: Path
    lines: list[str] = attrs.field(factory=list)

    def run(self, **options: Any) -> hpcurate.Outcome:
        """The same command, with what is typed after it."""
        output = str(self.site.folder / "out.txt")
        stages = {
            "read": Step(Read(), ONE_BY_ONE),
            "upper": Step(Upper(), ONE_BY_ONE),
            "all": Step(All(output=output), StageOptions(resources={"memory": "100MB"})),
        }
        self.lines.clear()
        outcome = hpcurate.run(
            stages, Files(str(self.data)), store=self.site.store, launcher="inline", echo=self.lines.append, **options
        )
        assert outcome.state is RunState.COMPLETE
        return outcome

    def claims(self) -> Counter[str]:
        """Attempts by stage, so far."""
        found = self.site.store.glob("stages/*/claims/*/*.1")
        return Counter(path.parts[-4].rpartition("-")[0] for path in found)

    def attempted(self, **options: Any) -> Counter[str]:
        """What one more call attempts."""
        before = self.claims()
        self.run(**options)
        return self.claims() - before

    @property
    def output(self) -> str:
        """What the run has made."""
        return (self.site.folder / "out.txt").read_text()

    def edit(self, name: str, text: str, time: int = 0) -> None:
        """Write a file again; at a given time, if there is one."""
        (self.data / name).write_text(text)
        if time:
            os.utime(self.data / name, ns=(time, time))


@pytest.fixture
def bench(site: Site, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A complete run over a, b and c; each file in a shard of the source of its own."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 1)
    (site.folder / "data").mkdir()
    made = Bench(site, site.folder / "data")
    for name in "abc":
        made.edit(f"{name}.txt", name, 5)
    made.run()
    assert (Counter(read=3, upper=3, all=1), "A B C") == (made.claims(), made.output)
    return made


def test_an_edit_is_reported_and_nothing_is_done(bench: Bench) -> None:
    """The old result stays, and the line names the key that decides otherwise."""
    bench.edit("b.txt", "new")
    assert Counter() == bench.attempted()
    [line] = [line for line in bench.lines if "changed" in line]
    assert "input: 1 item changed since they were taken in, e.g. 'b.txt'" in line
    assert "changed=redo" in line
    assert "A B C" == bench.output


def test_redo_does_the_edited_file_again_and_what_was_made_of_it(bench: Bench) -> None:
    """Its shard of the source and the descendants of that; the output has the new text and not the old."""
    bench.edit("b.txt", "new")
    assert Counter(read=1, upper=1, all=1) == bench.attempted(changed="redo")
    assert "A NEW C" == bench.output
    assert Counter() == bench.attempted()
    assert not [line for line in bench.lines if "changed" in line]


def test_an_edit_taken_back_is_what_was_made_before(bench: Bench) -> None:
    """The old content again, from what is committed."""
    bench.edit("b.txt", "new")
    bench.run(changed="redo")
    bench.edit("b.txt", "b", 5)
    outcome = bench.run(changed="redo")
    texts = [json.loads(row)["text"] for row in live_rows(bench, outcome, "upper")]
    assert ["A", "B", "C"] == texts
    assert Counter(read=4, upper=4, all=2) == bench.claims()


def live_rows(bench: Bench, outcome: hpcurate.Outcome, stage: str) -> list[str]:
    """Rows of a stage that are in the live set of the run."""
    from hpcurate.runs.looking import RunLooker
    from launchers.inline import InlineLauncher

    looker = RunLooker(outcome.run, InlineLauncher())
    planned = looker.frozen.pipeline.stage(stage)
    folder = looker.observer.store(planned.folder).folder
    paths = [Path(folder.shard(done.shard), "tasks.jsonl") for done in looker.observer.done(planned)]
    return [row for path in paths for row in path.read_text().splitlines()]


def test_what_vanished_is_left_out_if_asked(bench: Bench) -> None:
    """Reported first; then the gather alone is done again."""
    (bench.data / "b.txt").unlink()
    assert Counter() == bench.attempted()
    assert [line for line in bench.lines if "1 item no longer there, e.g. 'b.txt'" in line and "vanished=drop" in line]
    assert Counter(all=1) == bench.attempted(vanished="drop")
    assert "A C" == bench.output


def test_growth_and_an_edit_in_one_call(bench: Bench) -> None:
    """The edited one and the new one."""
    bench.edit("b.txt", "new")
    bench.edit("d.txt", "d")
    assert Counter(read=2, upper=2, all=1) == bench.attempted(changed="redo")
    assert "A NEW C D" == bench.output


def test_an_older_run_keeps_what_it_has_read(bench: Bench) -> None:
    """Its lists are frozen: another run's redo changes nothing in it until its command is typed again."""
    first = bench.run()
    bench.edit("b.txt", "new")
    bench.run(changed="redo", output=str(bench.site.folder / "other"))
    assert ["A", "B", "C"] == [json.loads(row)["text"] for row in live_rows(bench, first, "upper")]
    bench.run()
    assert [line for line in bench.lines if "another call took over edits" in line]


def test_a_trial_after_an_edit(bench: Bench) -> None:
    """With `limit`, too, it is reported, and the old text stays until it is asked for."""
    bench.edit("a.txt", "new")
    bench.run(limit=3)
    assert ("A B C", True) == (bench.output, any("1 item changed" in line for line in bench.lines))
    assert Counter(read=1, upper=1, all=1) == bench.attempted(limit=3, changed="redo")
    assert "NEW B C" == bench.output


def test_an_edited_row_of_a_table(site: Site) -> None:
    """It was taken for unchanged: its old result stayed for ever, without a word."""
    lines: list[str] = []
    table = site.folder / "t.jsonl"

    def run(value: int, **options: Any) -> list[int]:
        table.write_text(f'{{"id": "a", "x": 1}}\n{{"id": "b", "x": {value}}}\n')
        lines.clear()
        outcome = hpcurate.run(
            {"double": Step(Double(), ONE_BY_ONE)}, Jsonl(str(table)),
            store=site.store, launcher="inline", echo=lines.append, **options,
        )  # fmt: skip
        bench = Bench(site, site.folder)
        return [json.loads(row)["data"]["x"] for row in live_rows(bench, outcome, "double")]

    assert [2, 4] == run(2)
    assert [2, 4] == run(3)
    assert [line for line in lines if "1 item changed since they were taken in, e.g. 'b'" in line]
    assert [2, 6] == run(3, changed="redo")


def test_a_decision_that_does_not_exist_is_refused(bench: Bench) -> None:
    """Before anything is written."""
    with pytest.raises(hpcurate.errors.ConfigError, match="changed=again: there is no such choice"):
        bench.run(changed="again")
