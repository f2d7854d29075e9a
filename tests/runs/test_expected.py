"""Hours and disk that are still to come, from what stages have needed so far."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from engine_stages import Digits, Double, Number
from shell import Shell

from hpcurate.cli.verbs.explain import expected_lines
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.runs.expected import Expected, Need, expected_of, spread, total
from hpcurate.runs.state import StageCounts
from hpcurate.source.items import Items
from hpcurate.store.stats import ShardStats

NEED = Need(folder="double-1", shards=3, seconds=36.0, bytes=1e6, out=3.0)


@pytest.fixture(scope="module")
def stages() -> tuple[PlannedStage, ...]:
    """Two in a row; the second has half a GPU."""
    second = StageOptions(resources={"cpus": 2, "gpus": 0.5})
    return build(
        "p", Items([Number(id="n", value=1)]), {"double": Step(Double()), "digits": Step(Digits(), second)}
    ).stages


def counts(**more: int) -> StageCounts:
    """Of a stage that was not listed yet."""
    return StageCounts(**more)  # type: ignore[arg-type]


def test_what_a_stage_gives_is_what_the_next_one_gets(stages: tuple[PlannedStage, ...]) -> None:
    """1000 tasks become 3000, and each takes its time; a GPU's share counts as such."""
    needs = {"double": NEED, "digits": msgspec.structs.replace(NEED, seconds=3.6, bytes=0.0)}
    first, second = expected_of(stages, {"double": counts(), "digits": counts()}, 1000, needs)
    assert (1000, pytest.approx(10.0), 0.0, 1e9) == (first.tasks, first.cpu_hours, first.gpu_hours, first.bytes)
    assert (3000, pytest.approx(6.0), pytest.approx(1.5)) == (second.tasks, second.cpu_hours, second.gpu_hours)
    assert (pytest.approx(16.0), pytest.approx(1.5), 1e9) == (
        (both := total([first, second])).cpu_hours, both.gpu_hours, both.bytes
    )  # fmt: skip


def test_what_is_done_is_not_still_to_do(stages: tuple[PlannedStage, ...]) -> None:
    """400 of 1000 tasks, and what they became; a complete stage needs nothing, whatever it took."""
    half = counts(shards=10, shards_done=4, tasks_in=400, tasks_out=1300)
    first, second = expected_of(stages, {"double": half, "digits": counts()}, 1000, {"double": NEED})
    assert (600, 1300 + 600 * 3) == (first.tasks, second.tasks)
    done = counts(shards=10, shards_done=10, tasks_in=1000, tasks_out=70)
    first, second = expected_of(stages, {"double": done, "digits": counts()}, 1000, {})
    assert (0, 0.0, 0.0, 70) == (first.tasks, first.cpu_hours, first.bytes, second.tasks)
    both = {"double": done, "digits": counts(shards=1, shards_done=1, tasks_in=69)}
    assert [0, 0] == [one.tasks for one in expected_of(stages, both, 1000, {})]


def test_what_is_new_in_the_input_is_still_to_do(stages: tuple[PlannedStage, ...]) -> None:
    """It is in no list yet, so that all shards that there are may be done."""
    done = {"double": counts(shards=1, shards_done=1, tasks_in=1, tasks_out=3), "digits": counts(tasks_in=3)}
    first, second = expected_of(stages, done, 5, {"double": NEED})
    assert (4, 12) == (first.tasks, second.tasks)


def test_what_nobody_has_done_is_unknown(stages: tuple[PlannedStage, ...]) -> None:
    """And so is what follows it; a stage without GPUs needs none all the same."""
    first, second = expected_of(stages, {"double": counts(), "digits": counts()}, 1000, {"digits": NEED})
    assert (1000, None, 0.0, None) == (first.tasks, first.cpu_hours, first.gpu_hours, first.bytes)
    assert (None, None, None) == (second.tasks, second.cpu_hours, second.gpu_hours)
    assert (None, None) == (total([first, second]).cpu_hours, total([first, second]).bytes)


def test_a_need_is_that_of_a_task() -> None:
    """The mean over all tasks of the shards that were read; None where there was none."""
    shards = [
        ShardStats(shard="a", nonce="", tasks_in=8, tasks_out=2, seconds=30.0, files={"tasks.jsonl": 100, "f/x": 900}),
        ShardStats(shard="b", nonce="", tasks_in=2, tasks_out=8, seconds=10.0),
    ]
    assert Need(folder="f", shards=2, seconds=4.0, bytes=100.0, out=1.0) == Need.of("f", shards)
    assert None is Need.of("f", [ShardStats(shard="a", nonce="")])


def test_shards_are_read_over_all_their_length() -> None:
    """The first ones may be the largest."""
    names = [f"{n:03}" for n in range(100)]
    assert ["000", "033", "066", "099"] == spread(names, 4)
    assert names[:3] == spread(names[:3], 4)


def test_the_lines_of_what_is_to_come() -> None:
    """Unknown is a question mark, none a dash."""
    one = Expected(stage="split", tasks=1200, cpu_hours=12.3, gpu_hours=0.0, bytes=3.2e12, by=NEED)
    other = Expected(stage="caption", tasks=None, cpu_hours=None, gpu_hours=None, bytes=None)
    assert [
        "still to do  tasks  CPU hours  GPU hours    disk                as in",
        "split        1,200       12.3          -  3.2 TB  double-1 (3 shards)",
        "caption          ?          ?          ?       ?",
        "total                       ?          ?       ?",
    ] == [str(line).rstrip() for line in expected_lines([one, other])]
    assert ["still to do: nothing"] == expected_lines([msgspec.structs.replace(one, tasks=0)])
    assert "unknown" in expected_lines([other])[0]


def test_a_dry_run_expects_what_a_trial_has_needed(shell: Shell) -> None:
    """Also of other parameters, but not of another class; a shard that cannot be read is none."""
    dry = ["+pipeline=words", f"store={shell.store}", "launcher=inline", "dry_run=true"]
    assert "still to do: hours and disk are unknown" in shell.type(*dry).stdout
    shell.inline("+pipeline=words", "limit=1")
    shown = shell.type(*dry, "rerun=word_count").stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("word_count ") and "(1 shard)" in line]
    assert line.split()[-3].startswith("word_count-")
    for path in Path(shell.store).glob("stages/word_count-*/stage.json"):
        plain = json.loads(path.read_text())
        text = json.dumps(plain).replace("WordCount", "Other")
        path.write_text(text)
    assert not [
        one
        for one in shell.type(*dry, "rerun=word_count").stdout.splitlines()
        if "(1 shard)" in one and one.startswith("word_count")
    ]
