"""A task that takes its whole worker along: the culprit is named, and no healthy task is given up (I14).

Before, one of ten tasks was too large for the job's memory, and the nine others became dead letters, too; no message
had the word memory. A job is a process here, which the stage kills, and what the scheduler knows is written as a gate
would write it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import attrs
import msgspec
import psutil
import pytest
from one_worker import Bench, bench
from unit_stages import Number, numbers

import hpcurate
from hpcurate import Stage, StageOptions, Step
from hpcurate.failures import AttemptEnd, Ending, JobEnd
from hpcurate.planning.pipeline import Timing
from hpcurate.runs.state import RunState
from hpcurate.store.claims import Claim
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import shard_id
from hpcurate.system.processes import ProcessIdentity, SystemProcesses
from hpcurate.world import World


class KillsItsJob(Stage[Number, Number]):
    """Some values are too much for the whole job."""

    version = 1
    batch_size = 4

    def __init__(self, values: list[int]) -> None:
        self.values = values

    def process(self, tasks: list[Number]) -> list[Number]:
        """All or nothing."""
        if any(task.value in self.values for task in tasks):
            os.kill(os.getpid(), signal.SIGKILL)
        return tasks


class KillsItsWorker(Stage[Number, Number]):
    """One value is too much for the worker, with its supervisor, below which this stage process runs."""

    version = 1
    batch_size = 4

    def __init__(self, value: int) -> None:
        self.value = value

    def process(self, tasks: list[Number]) -> list[Number]:
        """All or nothing."""
        if any(task.value == self.value for task in tasks):
            above = psutil.Process().parents()
            [process for process in above if "hpcurate.worker" in process.cmdline()][-1].kill()
            time.sleep(60)
        return tasks


class FromElsewhere(SystemProcesses):
    """Sees no other process, as from another host."""

    def alive(self, process: ProcessIdentity) -> bool | None:
        """Only the scheduler or a heartbeat can answer."""
        return None


def job(one: Bench, number: int, world: World) -> None:
    """The only worker of round `number`, element 3 of array `number`; it may be killed."""

    def work() -> None:
        os.environ.update(SLURM_ARRAY_JOB_ID=str(number), SLURM_ARRAY_TASK_ID="3")
        attrs.evolve(one, plan=msgspec.structs.replace(one.plan, round=number)).worker(world).run()

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)


def rounds(one: Bench, most: int, said: dict[str, Ending], world: World | None = None) -> int:
    """Rounds of one worker each until all shards are committed; how many it took, at most `most`."""
    lines = one.store.lists.read("0001") or []
    for number in range(1, most + 1):
        job(one, number, world or World())
        one.store.rounds.mark_over(number, endings={f"{number}_3": JobEnd(ending=said["ending"])} if said else {})
        if len(one.store.commits.names(line.id for line in lines)) == len(lines):
            return number
    return most


def outcome(one: Bench) -> tuple[list[str], dict[str, str]]:
    """Ids that passed; dead letters with their message."""
    return [row["id"] for row in one.rows("tasks")], {row["id"]: row["message"] for row in one.rows("failed")}


HEALTHY = [f"n{n}" for n in range(10) if n != 7]


def test_a_job_that_is_killed_for_memory_names_its_culprit(tmp_path: Path) -> None:
    """Killed in a batch, then alone: that is enough, as the scheduler says why."""
    one = bench(tmp_path, KillsItsJob([7]), numbers(*range(10)), 10)
    assert 3 == rounds(one, 9, {"ending": Ending.OOM})
    why = "killed for memory; it had 2048 MB; the scheduler says that job 2_3 ran out of memory"
    assert (HEALTHY, {"n7": why}) == outcome(one)


def test_the_same_from_another_host(tmp_path: Path) -> None:
    """Where nobody sees the process, the scheduler's word is what there is."""
    one = bench(tmp_path, KillsItsJob([7]), numbers(*range(10)), 10)
    assert 3 == rounds(one, 9, {"ending": Ending.OOM}, World(processes=FromElsewhere()))
    assert (HEALTHY, ["n7"]) == (outcome(one)[0], list(outcome(one)[1]))


def test_a_worker_that_died_twice_with_the_same_task_alone_names_it(tmp_path: Path) -> None:
    """Nobody says why; once would be a coincidence."""
    one = bench(tmp_path, KillsItsJob([7]), numbers(*range(10)), 10)
    assert 4 == rounds(one, 9, {})
    why = "its worker was killed 2 times while this task alone was in work; by what is not known"
    assert (HEALTHY, {"n7": why}) == outcome(one)


def test_several_culprits_are_named_one_after_the_other(tmp_path: Path) -> None:
    """More of them than attempts: none counts towards giving up."""
    one = bench(tmp_path, KillsItsJob([1, 2, 4, 6, 7, 8, 9]), numbers(*range(10)), 10, attempts=2)
    rounds(one, 12, {"ending": Ending.OOM})
    assert (["n0", "n3", "n5"], ["n1", "n2", "n4", "n6", "n7", "n8", "n9"]) == (outcome(one)[0], [*outcome(one)[1]])


@pytest.mark.parametrize("said", [{}, {"ending": Ending.FREE}], ids=["nothing is known", "the node failed"])
def test_without_evidence_nobody_is_given_up(tmp_path: Path, said: dict[str, Ending]) -> None:
    """However often; rounds without progress end the stage then, and its healthy shards are done."""
    one = bench(tmp_path, KillsItsJob([7]), numbers(*range(10)), 5)
    rounds(one, 8, said, World(processes=FromElsewhere()))
    assert ([f"n{n}" for n in range(5)], {}) == outcome(one)


def test_a_culprit_takes_no_other_shard_along(tmp_path: Path) -> None:
    """Its shard is tried after all others, so each round but the first begins with nothing else left."""
    one = bench(tmp_path, KillsItsJob([0]), numbers(*range(10)), 2)
    job(one, 1, World())
    one.store.rounds.mark_over(1, endings={"1_3": JobEnd(ending=Ending.OOM)})
    job(one, 2, World())
    assert [f"n{n}" for n in range(2, 10)] == [row["id"] for row in one.rows("tasks")]


class DiesAtTheCommit(PosixFilesystem):
    """The whole job is killed when an attempt is done and not yet committed."""

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """See `Filesystem`."""
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_was_done_is_not_blamed_for_what_came_after(tmp_path: Path) -> None:
    """Another slot's task had the job killed between the end of a shard that ran alone and its commit: the last task
    that it had noted became a dead letter (found by the simulation).
    """
    one = bench(tmp_path, KillsItsJob([]), numbers(*range(2)), 2)
    for number in (1, 2):
        job(one, number, World(filesystem=DiesAtTheCommit()))
        one.store.rounds.mark_over(number, endings={f"{number}_3": JobEnd(ending=Ending.OOM)})
    job(one, 3, World())
    assert (["n0", "n1"], {}) == outcome(one)


def test_a_shard_that_waited_for_its_turn_is_not_given_up(tmp_path: Path) -> None:
    """Three times it was claimed beside a task that had the whole job killed: it had not begun, and all its tasks became
    dead letters (found by the simulation).
    """
    one = bench(tmp_path, KillsItsJob([]), numbers(*range(2)), 2, attempts=3)
    for number in (1, 2, 3):
        claim = Claim(
            shard=shard_id("0001", 0),
            attempt=number,
            nonce="n",
            worker="w",
            process=ProcessIdentity("another host", 1, 1),
            round=number,
            element=f"{number}_3",
            history=tuple(AttemptEnd(attempt=n, ending=Ending.LOST) for n in range(1, number)),
        )
        one.store.claims.take(claim)
        if number > 1:
            one.store.claims.waits(claim)
        one.store.rounds.mark_over(number, endings={f"{number}_3": JobEnd(ending=Ending.OOM)})
    job(one, 4, World())
    assert (["n0", "n1"], {}) == outcome(one)


def test_notes_are_written_only_while_a_culprit_is_sought(tmp_path: Path) -> None:
    """They cost a flush for each task."""
    one = bench(tmp_path, KillsItsJob([]), numbers(*range(10)), 5)
    assert 1 == rounds(one, 1, {})
    assert [] == list(Path(one.store.folder.path, "claims").glob("*/*.task"))


def test_a_run_on_this_machine_ends_with_one_dead_letter(tmp_path: Path) -> None:
    """Real workers, each killed by the same task: they end the round, and the same command the rest."""
    tasks, shape = numbers(*range(10)), StageOptions(shard_tasks=5, workers=2, resources={"memory": "100MB"})
    for _ in range(3):
        outcome = hpcurate.run(
            {"kills": Step(KillsItsWorker(7), shape)},
            tasks,
            store=str(tmp_path / "store"),
            launcher="local",
            timing=Timing(listing_s=0.5, heartbeat_s=1.0, lease_s=10.0),
            echo=lambda line: None,
        )
        if outcome.state is RunState.COMPLETE:
            break
    shards = Path(tmp_path, "store", "stages").glob("kills-*/shards/*/*/failed.jsonl")
    letters = [json.loads(line) for path in shards for line in path.read_text().splitlines()]
    assert (RunState.COMPLETE, ["n7"]) == (outcome.state, [letter["id"] for letter in letters])
    assert "its worker was killed 2 times while this task alone was in work" in letters[0]["message"]
