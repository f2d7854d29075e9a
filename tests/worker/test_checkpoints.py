"""What a task has reached outlives attempts: taken by one, lost by none, and removed with the commit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import attrs
import msgspec
import pytest
import training_stages
from one_worker import Bench, bench
from training_stages import Model, Plain, Train

from hpcurate import Chain, Stage
from hpcurate.errors import PipelineError
from hpcurate.failures import AttemptEnd, Ending
from hpcurate.planning.build import Step, build
from hpcurate.source.items import Items
from hpcurate.store.checkpoints import Checkpoints
from hpcurate.store.claims import Claim, Latest
from hpcurate.store.curves import METRICS
from hpcurate.store.evidence import Evidence
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.system import failpoints
from hpcurate.system.failpoints import CHECKPOINT_POINTS
from hpcurate.system.processes import SystemProcesses
from hpcurate.verdict import EXCUSED, judge
from hpcurate.worker.hosts.spawned import ProcessHosts

SHARD = shard_id("0001", 0)


def training(folder: Path, *tasks: str, last: int = 4, **stops: str) -> Bench:
    """A shard of these tasks. `at_2="killed"`: how it ends before its step 2, once."""
    (folder / "stops").mkdir()
    for step, how in stops.items():
        (folder / "stops" / step.removeprefix("at_")).write_text(how)
    models = [Model(id=name) for name in tasks or ("m",)]
    return bench(folder, Train(str(folder / "stops"), last), models, len(models))


def kept(one: Bench) -> dict[str, str]:
    """Checkpoints that there are: path below their folder → content."""
    top = Path(one.store.folder.path, "checkpoints")
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


def in_a_process(act: Callable[[], object]) -> int:
    """Its exit status, or the signal that killed it."""
    pid = os.fork()
    if not pid:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_next_attempt_goes_on_where_the_one_before_was(tmp_path: Path) -> None:
    """Also if those in between never began; and nothing is left of it once the shard is committed."""
    one = training(tmp_path, at_2="interrupted")
    with pytest.raises(KeyboardInterrupt):
        one.worker().run()
    assert {f"0001-000/{SHARD}.1/m/step": "2"} == kept(one)
    for attempt in (2, 3):
        mine = SystemProcesses().mine()
        claim = Claim(shard=SHARD, attempt=attempt, nonce="n", worker="w", process=mine)
        one.store.claims.take(claim)
        one.store.claims.end(claim, Ending.FREE)
    assert one.worker().run() == 0
    assert ["2-4"] == [row["steps"] for row in one.rows("tasks")]
    assert {} == kept(one)
    assert [] == os.listdir(os.path.dirname(one.store.folder.checkpoint(SHARD, 1)))


@pytest.mark.parametrize(
    ("point", "passed", "failed"),
    [
        ("checkpoint.before", ["n 0-4"], ["m"]),
        ("checkpoint.taken", ["n 0-4"], ["m"]),
        ("checkpoint.left", ["m 3-4", "n 4-4"], []),
        ("checkpoint.before_removal", ["n 0-4"], ["m"]),
    ],
)
def test_a_kill_at_any_step_loses_none_and_leaves_no_second_copy(
    tmp_path: Path, point: str, passed: list[str], failed: list[str]
) -> None:
    """Whoever comes after goes on: here after one that ended at step 2, and one that was killed, maybe after step 3."""
    assert point in CHECKPOINT_POINTS
    one = training(tmp_path, "m", "n", at_2="interrupted", at_3="failed")
    with pytest.raises(KeyboardInterrupt):
        one.worker().run()

    def act() -> None:
        failpoints._ARMED[point] = str(tmp_path / "died")
        one.worker().run()

    assert in_a_process(act) == -signal.SIGKILL
    assert len({name.split("/")[1] for name in kept(one)}) == 1
    one.worker().run()
    assert passed == [f"{row['id']} {row['steps']}" for row in one.rows("tasks")]
    assert failed == [row["id"] for row in one.rows("failed")]
    left = {f"0001-000/{SHARD}.0/m/step": "3"} if failed else {}
    if point != "checkpoint.before_removal":  # what a kill after the commit has left, `hpcurate clean` removes
        assert left == kept(one)


def test_a_dead_letter_that_is_retried_goes_on(tmp_path: Path) -> None:
    """Its checkpoint is kept for that, and the other tasks' are not; the shard of a retry has another name."""
    one = training(tmp_path, "m", "n", at_2="failed")
    one.worker().run()
    assert {f"0001-000/{SHARD}.0/m/step": "2"} == kept(one)
    line = ShardLine(
        "0002-000000", 1, 1, (Input("source", SHARD, "n", 0, 1),), retries=(Input("stage", SHARD, "n", 0, 1),)
    )
    one.store.lists.write("0002", [line])
    retried = attrs.evolve(one, plan=msgspec.structs.replace(one.plan, lists=("0002",)))
    assert retried.worker().run() == 0
    assert ["0-4", "2-4"] == [row["steps"] for row in one.rows("tasks")]
    assert {} == kept(one)


def test_a_zombie_cannot_write_and_what_it_fails_for_ends_nothing(tmp_path: Path) -> None:
    """Its paths are gone: it would have committed a dead letter of a task that another attempt still trains."""
    one = training(tmp_path, at_2="taken")
    one.worker().run()
    assert [] == one.rows("failed")
    assert "another attempt has taken its checkpoints" in "\n".join(one.lines)
    assert ["2-4"] == [row["steps"] for row in one.rows("tasks")]


def test_a_program_that_removes_its_own_checkpoints_ends(tmp_path: Path) -> None:
    """It is no zombie: nobody else goes on, and the same again would be tried for ever."""
    one = training(tmp_path, at_2="removed")
    assert one.worker().run() == 0
    assert ["at step 2"] == [row["message"] for row in one.rows("failed")]


def test_a_listing_that_is_old_loses_nothing(tmp_path: Path) -> None:
    """A client that does not see yet what attempt 3 took finds it by its name; it sees attempt 1's, which is gone."""

    class Stale(PosixFilesystem):
        def names(self, folder: str) -> list[str]:
            return [f"{SHARD}.1"] if "checkpoints" in folder else super().names(folder)

    folder = StageFolder(str(tmp_path / "stage"))
    now, late = (Checkpoints(files, folder, str(tmp_path / "trash")) for files in (PosixFilesystem(), Stale()))
    Path(now.take(SHARD, 1), "step").write_text("7")
    now.take(SHARD, 3)
    assert "7" == Path(late.take(SHARD, 5), "step").read_text()
    assert [f"{SHARD}.5"] == os.listdir(os.path.dirname(folder.checkpoint(SHARD, 5)))


def test_an_answer_that_was_wrong_is_no_second_folder(tmp_path: Path) -> None:
    """Over NFS a rename may be answered with ENOENT that was done: the next name would be taken instead."""

    class Wrong(PosixFilesystem):
        def rename(self, source: str, target: str, *, flush: bool = True) -> None:
            super().rename(source, target)
            if source.endswith(".2"):
                raise FileNotFoundError(source)

    folder = StageFolder(str(tmp_path / "stage"))
    now, wrong = (Checkpoints(files, folder, str(tmp_path / "trash")) for files in (PosixFilesystem(), Wrong()))
    Path(now.take(SHARD, 2), "step").write_text("7")
    Path(folder.checkpoint(SHARD, 1)).mkdir()  # of a zombie
    assert "7" == Path(wrong.take(SHARD, 3), "step").read_text()


def test_a_checkpoint_that_moved_excuses_how_the_attempt_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two crashes alone in work were a dead letter, however far the training had come."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(training_stages.__file__))
    one = training(tmp_path, at_1="killed", at_2="killed", at_3="killed")
    assert one.worker(hosts=ProcessHosts()).run() == 0
    assert ([], ["3-4"]) == (one.rows("failed"), [row["steps"] for row in one.rows("tasks")])
    claim = one.store.claims.read(SHARD, 4)
    assert claim is not None
    assert [True, True, True] == [end.moved for end in claim.history]


def test_a_worker_that_wrote_nothing_has_moved_it_too(tmp_path: Path) -> None:
    """It was killed. The state of the checkpoints when its claim was made says so; a curve that grew does not."""
    one = training(tmp_path, at_2="interrupted")
    with pytest.raises(KeyboardInterrupt):
        one.worker().run()
    evidence = Evidence(one.store, checkpoints=True)
    assert evidence.history(SHARD, Latest(1, Ending.LOST))[-1].moved
    assert not Evidence(one.store).history(SHARD, Latest(1, Ending.LOST))[-1].moved
    before = evidence.checkpoint(SHARD)
    Path(one.store.folder.checkpoint(SHARD, 1), "m", METRICS).write_text("{}\n")
    assert before == evidence.checkpoint(SHARD)
    one.store.checkpoints.take(SHARD, 2)
    assert before == evidence.checkpoint(SHARD)


def test_crashes_end_it_however_often_its_checkpoint_moves() -> None:
    """A program that writes its checkpoint again and dies would be started for ever (I14)."""
    crash = AttemptEnd(attempt=1, ending=Ending.CRASH, in_flight=("m",), moved=True)
    assert {} == judge([crash] * EXCUSED, 5).poison
    assert ["m"] == list(judge([crash] * (EXCUSED + 2), 5).poison)
    slow = AttemptEnd(attempt=1, ending=Ending.WALLTIME, in_flight=("m",), seconds=3600, moved=True)
    assert not judge([slow] * 5, 5).needs


def test_a_stage_without_checkpoints_says_how_to_keep_them(tmp_path: Path) -> None:
    """A dead letter that names the class attribute."""
    one = bench(tmp_path, Plain(), [Model(id="m")], 1)
    one.worker().run()
    assert "write `checkpoints = True`" in one.rows("failed")[0]["message"]


def test_two_members_of_a_chain_do_not_share_them(tmp_path: Path) -> None:
    """A task keeps its id from one to the next."""
    chain: Stage[Model, Model] = Chain([Train("a"), Train("b")])
    with pytest.raises(PipelineError, match="Train and Train would share a task's checkpoints"):
        build("p", Items([Model(id="m")]), {"train": Step(chain)})
