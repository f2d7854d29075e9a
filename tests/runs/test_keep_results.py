"""`keep=results`: files that nothing needs any more are freed while a run works; what needs them later makes them again."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fan_stages import AFTER, KILO, Block, Copy, Make

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.report.run_view import RunView
from hpcurate.report.verification import verify
from hpcurate.runs.folder import find_run
from hpcurate.runs.remove import remove_run
from hpcurate.runs.state import RunState
from hpcurate.store.layout import Store
from hpcurate.system import failpoints
from hpcurate.system.failpoints import FREE_POINTS

TASKS = [Block(id=f"b{n}") for n in range(6)]
SHARD = StageOptions(shard_tasks=2)


def four(*last: Copy) -> dict[str, Step]:
    """A first stage that makes files, two that copy them, and the last one."""
    stages: dict[str, Any] = {"one": Make(), "two": Copy(2), "three": Copy(3), "four": Copy(4)}
    stages |= {"four": last[0]} if last else {}
    return {name: Step(stage, SHARD) for name, stage in stages.items()}


def run(
    store: Path, stages: Mapping[str, Step], keep: str = "results", echo: Any = lambda line: None, **more: Any
) -> RunState:
    """To the end, in this process."""
    more.setdefault("source", TASKS)
    outcome = hpcurate.run(stages, store=store, launcher="inline", keep=keep, echo=echo, **more)
    return outcome.state


def files(store: Path, stage: str) -> set[str]:
    """Shards of a stage that have their files."""
    found = store.glob(f"stages/{stage}-*/shards/*/*/files/*/data.bin")
    return {path.parents[2].name for path in found}


def rows(store: Path) -> dict[str, str]:
    """Of every committed shard."""
    return {str(p.relative_to(store)): p.read_text() for p in store.glob("stages/*/shards/*/[!.]*/tasks.jsonl")}


def nonces(store: Path) -> dict[str, str]:
    """Of every committed shard."""
    found = store.glob("stages/*/shards/*/[!.]*/stats.json")
    return {str(path.parent.relative_to(store)): json.loads(path.read_text())["nonce"] for path in found}


def on_disk(store: Path) -> int:
    """Bytes in files of shards, wherever they are."""
    return sum(path.stat().st_size for path in store.rglob("data.bin"))


def faults(store: Path) -> Sequence[object]:
    """What `hpcurate verify` finds."""
    return verify(RunView(find_run(Store.at(str(store)), None))).faults


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a complete run that has kept only results."""
    store = tmp_path_factory.mktemp("made") / "s"
    said: list[str] = []
    assert run(store, four(), echo=said.append) is RunState.COMPLETE
    assert "one: the files of 3 shards were freed (keep=results)" in said
    return store


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "s", symlinks=True, ignore=shutil.ignore_patterns("code-*"))
    return tmp_path / "s"


@pytest.fixture
def after() -> Iterator[list[Callable[[], None]]]:
    """What is called after each batch."""
    yield AFTER
    AFTER.clear()


def test_four_stages_peak_at_half_the_disk(tmp_path: Path, after: list[Callable[[], None]]) -> None:
    """Measured after each batch: the files of at most two stages are there at once."""
    peak = {"all": 0, "results": 0}
    for keep in peak:

        def look(keep: str = keep) -> None:
            peak[keep] = max(peak[keep], on_disk(tmp_path / keep))

        after[:] = [look]
        assert run(tmp_path / keep, four(), keep) is RunState.COMPLETE
    assert peak == {"all": 4 * 6 * KILO * 1024, "results": 2 * 6 * KILO * 1024}


def test_only_the_result_has_its_files_at_the_end(store: Path) -> None:
    """Rows of all stages stay, `verify` misses nothing, and the same command changes nothing."""
    assert [0, 0, 0, 3] == [len(files(store, name)) for name in ("one", "two", "three", "four")]
    assert () == faults(store)
    assert 3 == json.loads((store / "format.json").read_text())["format"]  # an earlier hpcurate would miss the files
    before = rows(store), nonces(store)
    assert run(store, four()) is RunState.COMPLETE
    assert before == (rows(store), nonces(store))
    assert [0, 0, 0, 3] == [len(files(store, name)) for name in ("one", "two", "three", "four")]


def test_what_needs_freed_files_later_makes_them_again(store: Path) -> None:
    """Another parameter of the third stage: the first two make their files again, from the first on. Their rows and
    nonces are those of before, so nothing else is redone, and the first run is complete as it was.
    """
    before = nonces(store)
    said: list[str] = []
    assert run(store, {**four(), "three": Step(Copy(33), SHARD)}, echo=said.append) is RunState.COMPLETE
    assert "two: freed files of 3 shards are needed again: they are made once more" in said
    assert before.items() <= nonces(store).items()
    assert [0, 0, 0, 3] == [len(files(store, name)) for name in ("one", "two", "three", "four")]
    assert (
        RunView(find_run(Store.at(str(store)), sorted(os.listdir(store / "runs"))[1])).look().state.value == "complete"
    )
    assert () == faults(store)


def test_another_run_that_keeps_all_holds_the_files(tmp_path: Path) -> None:
    """Until it is removed: then the next call of the one that keeps results frees them."""
    store = tmp_path / "s"
    run(store, {**four(), "four": Step(Copy(44), SHARD)}, keep="all")
    first = find_run(Store.at(str(store)), None)
    run(store, four())
    assert [3, 3, 3, 3] == [len(files(store, name)) for name in ("one", "two", "three", "four")]
    remove_run(first)
    run(store, four())
    assert [0, 0, 0, 3] == [len(files(store, name)) for name in ("one", "two", "three", "four")]


def test_rows_that_differ_are_never_mixed(store: Path) -> None:
    """A stage that is not what it was makes no files for rows of before: the run stalls, and says what to type."""
    (shard,) = store.glob("stages/one-*/shards/*/0001-000000/tasks.jsonl")
    shard.chmod(0o600)
    shard.write_text(shard.read_text().replace("data.bin", "data.bim"))
    outcome = hpcurate.run(
        {**four(), "two": Step(Copy(22), SHARD)}, TASKS, store=store, launcher="inline", keep="results"
    )
    assert outcome.state is RunState.STALLED
    assert "rerun=one" in outcome.report.reason


@pytest.mark.parametrize("point", FREE_POINTS)
def test_killed_anywhere_and_continued(store: Path, tmp_path: Path, point: str) -> None:
    """The same files at the end, and none that nobody needs."""
    changed = {**four(), "three": Step(Copy(33), SHARD)}
    pid = os.fork()
    if not pid:
        failpoints._ARMED[point] = str(tmp_path / "died")
        run(store, changed)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert run(store, changed) is RunState.COMPLETE
    assert [0, 0, 0, 3] == [len(files(store, name)) for name in ("one", "two", "three", "four")]
    assert on_disk(store) == 2 * 6 * KILO * 1024
    assert () == faults(store)
