"""Replays of stages of every kind, of runs that Python started: groups, gathers, chains, results, saved values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from engine_stages import Number
from group_stages import Add, FirstOfEach, Labels, Meet, Note, Pass
from result_stages import Below, Measure
from retry_stages import Fails
from saver_stages import Item, LoadSome, SaveSome
from unit_stages import Number as Counted

import hpcurate
from hpcurate import Budget, Chain, Retry, Stage, StageOptions, Step, Task
from hpcurate.errors import ConfigError
from hpcurate.golden.rules import read_rules
from hpcurate.named_stage import StageSpec
from hpcurate.replay.chosen import Which
from hpcurate.replay.replay import Replay, Replayed, replay
from hpcurate.replay.stage import KeptStage
from hpcurate.runs.launcher import LAUNCHERS
from hpcurate.source import Files
from stages.files import WriteJson

SMALL = {"cpus": 1, "memory": "200MB", "time": "5m"}


def options(*after: str, **more: Any) -> StageOptions:
    """Of a small stage."""
    return StageOptions(**{"resources": SMALL, "after": list(after) or None, "shard_tasks": 7, **more})


def run(folder: Path, steps: dict[str, Step], source: Any, **more: Any) -> hpcurate.OpenRun:
    """A run in this process."""
    return hpcurate.run(
        steps, source, store=folder / "store", launcher="inline", **{"budget": Budget(failed=99), **more}
    )


def again(done: hpcurate.OpenRun | None, stage: str, *tasks: str, **more: Any) -> Replayed:
    """A replay in this process."""
    launcher = {"_target_": LAUNCHERS["inline"]}
    of = done.run if done else None
    return replay(Replay(stage=stage, run=of, which=Which.of(tasks), launcher=launcher, **more))


def same(done: Replayed) -> int:
    """How many tasks ended as before; none did otherwise."""
    assert () == done.comparison.changes
    return done.comparison.same


def test_groups_are_replayed_whole(tmp_path: Path) -> None:
    """From the sorted rows, through a sort step of its own; a part of them would make other groups."""
    steps = {
        "up": Step(Pass(), options()),
        "note": Step(Note(), options("up")),
        "add": Step(Add(), options("up")),
        "first": Step(FirstOfEach(), options("up")),
        "meet": Step(Meet(), options("up", "note")),
    }
    done = run(tmp_path, steps, Labels(20, 5))
    assert 5 == same(again(done, "add"))
    assert 20 == same(again(done, "first"))
    with pytest.raises(ConfigError, match="gets whole groups, so all of them are replayed"):
        again(done, "add", "first", "7")
    with pytest.raises(ConfigError, match="only sorts for add, first; replay that"):
        again(done, next(one.name for one in done.run.frozen().pipeline.stages if one.name.startswith("sort_up")))
    with pytest.raises(ConfigError, match="joins tasks of several classes"):
        again(done, "meet")


def test_a_gather_and_a_stage_with_its_result(tmp_path: Path) -> None:
    """The value of the result is the one that the run had."""
    below = Below().with_results(threshold="measure.most")
    steps = {"measure": Step(Measure(), options()), "below": Step(below, options(after=[]))}
    done = run(tmp_path, steps, [Counted(id=str(value), value=value) for value in (3, 5, 13, 4)])
    assert 1 == same(again(done, "measure"))
    changed = again(done, "below", changes={"threshold": 4.5}).comparison
    assert {("3", "story"), ("4", "story"), ("5", "(ended as)")} == {
        (change.id, one.field) for change in changed.changes for one in change.differences
    }


@attrs.define(kw_only=True)
class Part(Task):
    """A part of a part."""

    at: int


class Cut(Stage[Task, Part]):
    """Two parts of each, named by nothing but their ids."""

    def process(self, tasks: list[Task]) -> list[Part]:
        """In order."""
        return [self.child(task, Part, at=at) for task in tasks for at in (0, 1)]


def test_a_chain_is_replayed_as_one(tmp_path: Path) -> None:
    """Also some of its tasks, though no row says from which of them a part of a part was made."""
    steps = {"chain": Step(Chain([Cut(), Cut(), Pass()]), options())}
    done = run(tmp_path, steps, [Task(id=f"t{n}") for n in range(5)])
    assert 8 == same(again(done, "chain", "t1", "t3"))
    with pytest.raises(ConfigError, match="is a member of the chain chain"):
        again(done, "cut")


def test_saved_values_come_in_and_are_compared(tmp_path: Path) -> None:
    """They stand beside what is known of them, in a golden folder, too."""
    done = run(tmp_path, {"save": Step(SaveSome()), "load": Step(LoadSome())}, [Item(id="a", number=4), Item(id="b")])
    golden = str(tmp_path / "golden")
    assert 1 == same(again(done, "load", "a", golden=golden, save=True))
    assert 1 == same(again(None, "load", golden=golden))
    kept = [path for path in Path(golden).rglob("*.npy.json") if path.is_file()]
    assert kept


def test_dead_letters_count_as_they_ended_last(tmp_path: Path) -> None:
    """What a retry has passed on is no failure any more; what is dead still is one."""
    bugs = tmp_path / "bugs"
    bugs.mkdir()
    (bugs / "3").touch()
    (bugs / "5").touch()
    steps = {"one": Step(Fails(str(bugs)), options(batch_size=2))}
    numbers = [Number(id=str(value), value=value) for value in range(9)]
    done = run(tmp_path, steps, numbers)
    (bugs / "3").unlink()
    done = run(tmp_path, steps, numbers, retry=Retry(run=done.run.name))
    found = again(done, "one", "3", "5", "7")
    assert ("2 passed on, 0 dropped, 1 failed", 3, 9) == (found.before.counts(), same(found), found.of)


def test_what_is_written_is_compared_and_stays(tmp_path: Path) -> None:
    """A stage that publishes writes into a scratch folder of the same form, also where that of the run is the input."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_text(name)
    for output in (tmp_path / "out", folder):
        steps = {"write": Step(WriteJson(str(output)), options())}
        done = run(tmp_path, steps, Files(str(folder)), output=output)
        (output / "a.json").write_text("{}")
        (output / "b.json").unlink()
        found = [(one.id, one.kind) for one in again(done, "write").comparison.changes]
        assert {("file a.json", "changed"), ("file b.json", "additional")} == set(found)
        assert ("{}", False) == ((output / "a.json").read_text(), (output / "b.json").exists())
    golden = str(tmp_path / "golden")
    again(done, "write", "a", golden=golden, save=True)
    assert 2 == same(again(None, "write", golden=golden, rules=read_rules((), ["file.path"])))


def test_a_stage_that_writes_elsewhere_is_refused() -> None:
    """A folder that is not that of the run's result is none that can be replaced by a scratch one."""
    spec = StageSpec("stages.files:WriteJson", {"output": "/data/mine"})
    stage = KeptStage(name="write", spec=spec, options={}, output="/data/out", publishes=True)
    with pytest.raises(ConfigError, match="writes outside of the store"):
        stage.made({}, "/scratch/out")
