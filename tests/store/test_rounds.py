"""Rounds: the right to submit is won once, and names tell what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from together import together

from hpcurate.failures import Ending, JobEnd
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder
from hpcurate.store.rounds import LET_GO, Jobs, Round, Rounds, Ticket
from hpcurate.system.processes import ProcessIdentity, SystemProcesses

FILES = PosixFilesystem()
HERE = ProcessIdentity("node1 boot pid:[1]", 18680, 189500)


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage's folder."""
    return StageFolder(str(tmp_path))


@pytest.fixture
def rounds(folder: StageFolder) -> Rounds:
    """Its rounds."""
    return Rounds(FILES, folder)


def ticket(number: int, run: str = "run", **more: Any) -> Ticket:
    """A ticket for Slurm."""
    plain = {"launcher": "slurm", "queue": "slurm", "name": f"cut-r{number}", **more}
    return Ticket(run=run, submitter=msgspec.structs.replace(SystemProcesses().mine(), host=HERE.host), **plain)


def take(rounds: Rounds, number: int, run: str = "run", **more: Any) -> bool:
    """Try to get the ticket."""
    return rounds.take_ticket(number, ticket(number, run, **more))


def _take(number: int, folder: StageFolder) -> bool:
    return take(Rounds(FILES, folder), 1, run=f"run{number}")


def test_exactly_one_of_eight_processes_gets_the_ticket(folder: StageFolder, rounds: Rounds) -> None:
    """And it is that one's name that stands on it."""
    won = together(_take, folder)
    assert (1, f"run{won.index(True)}") == (sum(won), rounds.read()[0].ticket.run)


def test_a_stage_never_submitted_has_no_rounds(rounds: Rounds) -> None:
    """Nothing to list is no error."""
    assert ([], 0, set()) == (rounds.read(), rounds.count(), rounds.over())


@pytest.mark.parametrize("queue", ["slurm", None])
def test_a_ticket_reads_as_written(rounds: Rounds, queue: str | None) -> None:
    """Run, process, queue, job name, and what was committed by then."""
    written = ticket(1, queue=queue, launcher="slurm" if queue else "local", done_before=3)
    rounds.take_ticket(1, written)
    assert [Round(number=1, ticket=written)] == rounds.read()


@pytest.mark.parametrize(
    "jobs",
    [Jobs(), Jobs(("12", "13")), Jobs(workers=(HERE, msgspec.structs.replace(HERE, pid=2))), Jobs(("12",), (HERE,))],
)
def test_a_submission_is_written_beside_its_ticket(rounds: Rounds, jobs: Jobs) -> None:
    """No job at all differs from no answer yet."""
    take(rounds, 1)
    take(rounds, 2)
    rounds.record_jobs(1, jobs)
    assert [jobs, None] == [found.jobs for found in rounds.read()]


def test_what_was_recorded_first_stands(rounds: Rounds) -> None:
    """Owner and finder of a lost answer may both write."""
    take(rounds, 1)
    rounds.record_jobs(1, Jobs(("12",)))
    rounds.record_jobs(1, Jobs())
    assert Jobs(("12",)) == rounds.read()[0].jobs


def test_a_round_is_over_or_cancelled_for_good(rounds: Rounds) -> None:
    """Saying so twice is fine."""
    for number in (1, 2, 3):
        take(rounds, number)
    rounds.mark_over(1)
    rounds.mark_over(1)
    rounds.mark_cancelled(2)
    rounds.mark_over(2)
    expected = [(True, False), (True, True), (False, False)]
    assert expected == [(found.over, found.cancelled) for found in rounds.read()]
    assert {1, 2} == rounds.over()


def test_rounds_are_read_in_order_of_number(rounds: Rounds) -> None:
    """Also beyond four digits."""
    for number in (10000, 2, 1, 9999):
        take(rounds, number)
    assert ([1, 2, 9999, 10000], 4) == ([found.number for found in rounds.read()], rounds.count())


class Stale(PosixFilesystem):
    """Shared storage whose listings are of a time before anything was there."""

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        return []


def test_a_ticket_that_was_lost_is_opened_although_the_listing_hides_it(folder: StageFolder, rounds: Rounds) -> None:
    """The listing was believed over the exclusive create: 11 438 tries for one ticket in 8 s."""
    take(rounds, 1, run="winner")
    rounds.record_jobs(1, Jobs(("12",)))
    late = Rounds(Stale(), folder)
    assert ([], False) == (late.read(), take(late, 1, run="loser"))
    [seen] = late.read()
    assert ("winner", Jobs(("12",)), False, 1) == (seen.ticket.run, seen.jobs, seen.over, late.count())
    rounds.mark_cancelled(1)
    rounds.mark_over(1)
    assert [(True, True)] == [(found.over, found.cancelled) for found in late.read()]


def test_what_a_process_wrote_itself_it_sees(folder: StageFolder) -> None:
    """A driver whose own ticket its listing hides would take it for another's, and wait for itself."""
    late = Rounds(Stale(), folder)
    take(late, 1)
    late.record_jobs(1, Jobs(("12",)))
    late.mark_over(1)
    assert [(Jobs(("12",)), True)] == [(found.jobs, found.over) for found in late.read()]
    assert ({1}, late.read()[0]) == (late.over(), late.one(1))


def test_a_sign_of_life_is_a_counter_beside_the_ticket(rounds: Rounds) -> None:
    """Raised in place; whoever lets go says so in as many bytes."""
    take(rounds, 1)
    signs = [rounds.sign_of_life(1)]
    for count in (1, 2):
        rounds.beat(1, count)
        signs.append(rounds.sign_of_life(1))
    rounds.let_go(1)
    assert [b"", b"000000000001\n", b"000000000002\n", LET_GO] == [*signs, rounds.sign_of_life(1)]
    assert 1 == len(rounds.read())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"submitter": "?"}', b"\xff"])
def test_a_ticket_that_cannot_be_read_is_still_a_round(folder: StageFolder, rounds: Rounds, content: bytes) -> None:
    """Nobody else may take it; its owner counts as unknown."""
    take(rounds, 1)
    Path(f"{folder.round(1)}.ticket").write_bytes(content)
    [found] = rounds.read()
    assert (1, None, False) == (found.number, found.ticket.submitter, take(rounds, 1))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jobs": 7}', b'{"jobs": [7]}', b'{"jobs": ["local:x:y"]}'])
def test_jobs_that_cannot_be_read_are_not_known_until_they_are_recorded_again(
    folder: StageFolder, rounds: Rounds, content: bytes
) -> None:
    """As if they had not been written down: a driver that could not replace half a file would try for ever."""
    take(rounds, 1)
    Path(f"{folder.round(1)}.job").write_bytes(content)
    assert None is rounds.read()[0].jobs
    rounds.record_jobs(1, Jobs(("12",)))
    assert Jobs(("12",)) == rounds.read()[0].jobs


# -- from before tickets named their queue, and local workers stood among the jobs ------------------


def old(folder: StageFolder, rounds: Rounds, launcher: str, jobs: list[str]) -> Round:
    """A round as the code of that time wrote it."""
    host = {"host": HERE.host, "pid": HERE.pid, "start": HERE.start}
    plain = {"run": "r", "launcher": launcher, "name": "double-0123-r1", "submitter": host, "done_before": 0}
    FILES.make_folders(folder.rounds)
    Path(f"{folder.round(1)}.ticket").write_text(json.dumps(plain) + "\n")
    Path(f"{folder.round(1)}.job").write_text(json.dumps({"jobs": jobs}) + "\n")
    return rounds.read()[0]


def test_an_old_local_round_has_workers_on_its_submitters_host(folder: StageFolder, rounds: Rounds) -> None:
    """`local:<pid>:<start>` says which process, the ticket on which host; there is no queue."""
    found = old(folder, rounds, "local", ["local:18684:189532", "local:18685:189533"])
    workers = tuple(ProcessIdentity(HERE.host, pid, start) for pid, start in ((18684, 189532), (18685, 189533)))
    assert (Jobs(workers=workers), None, HERE) == (found.jobs, found.ticket.queue, found.ticket.submitter)


def test_an_old_slurm_round_is_slurms(folder: StageFolder, rounds: Rounds) -> None:
    """Its launcher says so."""
    found = old(folder, rounds, "slurm", ["4711"])
    assert (Jobs(("4711",)), "slurm") == (found.jobs, found.ticket.queue)


def test_an_old_inline_round_has_neither_jobs_nor_queue(folder: StageFolder, rounds: Rounds) -> None:
    """It was over before anybody could ask."""
    found = old(folder, rounds, "inline", [])
    assert (Jobs(), None) == (found.jobs, found.ticket.queue)


FREE, OOM = JobEnd(ending=Ending.FREE), JobEnd(ending=Ending.OOM, memory_mb=419, peak_mb=816)


def test_what_the_scheduler_knew_of_the_ends_stands_in_the_marker(rounds: Rounds) -> None:
    """Element by element, with what it had and used."""
    for number, endings in enumerate(({}, {"7_0": FREE}, {"7_0": FREE, "7_1": OOM}), 1):
        take(rounds, number)
        rounds.mark_over(number, endings=endings)
        assert endings == rounds.endings(number)


def test_endings_of_an_earlier_release(folder: StageFolder, rounds: Rounds) -> None:
    """It wrote no more than the name."""
    take(rounds, 1)
    Path(f"{folder.round(1)}.over").write_text('{"endings": {"7_1": "oom"}}')
    assert {"7_1": JobEnd(ending=Ending.OOM)} == rounds.endings(1)


@pytest.mark.parametrize(
    ("jobs", "said"),
    [(Jobs(), ""), (Jobs(("12", "13")), "12, 13"), (Jobs(("12",), (HERE,)), "12, process 18680")],
)
def test_jobs_are_shown_as_people_know_them(jobs: Jobs, said: str) -> None:
    """Jobs of a scheduler by their id, processes as such; none at all is false."""
    assert (said, bool(said)) == (str(jobs), bool(jobs))


def test_files_keep_the_form_that_earlier_releases_read(folder: StageFolder, rounds: Rounds) -> None:
    """A gate queued before an upgrade, or a colleague's older checkout, still reads tickets and jobs."""
    me = ProcessIdentity("here", 7, 99)
    rounds.take_ticket(1, Ticket(run="r", launcher="slurm", queue="slurm", name="n", submitter=me))
    rounds.record_jobs(1, Jobs(ids=("12",)))
    rounds.take_ticket(2, Ticket(run="r", launcher="local", name="n", submitter=me))
    rounds.record_jobs(2, Jobs(workers=(me,)))
    for number, jobs in ((1, ["12"]), (2, ["local:7:99"])):
        ticket = json.loads(Path(f"{folder.round(number)}.ticket").read_text())
        as_before = {"run", "launcher", "name", "submitter", "done_before", "cluster", "lists"}
        assert as_before | {"told_before", "memory_mb", "seconds", "exclude", "special"} == ticket.keys()
        assert {"jobs": jobs} == json.loads(Path(f"{folder.round(number)}.job").read_text())
    assert [Jobs(ids=("12",)), Jobs(workers=(me,))] == [found.jobs for found in rounds.read()]
