"""Rounds: the right to submit is won once, and names tell what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from together import together

from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder
from hpcurate.store.rounds import mark_over, read_rounds, record_job, take_ticket
from hpcurate.system.processes import ProcessIdentity

FILES = PosixFilesystem()


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage's folder."""
    return StageFolder(str(tmp_path))


def take(folder: StageFolder, number: int, run: str = "run", done: int = 0) -> bool:
    """Try to get the ticket."""
    return take_ticket(FILES, folder, number, run=run, launcher="slurm", name=f"cut-r{number}", done=done)


def _take(number: int, folder: StageFolder) -> bool:
    return take(folder, 1, run=f"run{number}")


def test_exactly_one_of_eight_processes_gets_the_ticket(folder: StageFolder) -> None:
    """And it is that one's name that stands on it."""
    won = together(_take, folder)
    assert (1, f"run{won.index(True)}") == (sum(won), read_rounds(FILES, folder)[0].run)


def test_a_stage_never_submitted_has_no_rounds(folder: StageFolder) -> None:
    """Nothing to list is no error."""
    assert [] == read_rounds(FILES, folder)


def test_a_ticket_tells_who_took_it(folder: StageFolder) -> None:
    """Run, process, job name, and what was committed by then."""
    take(folder, 1, done=3)
    [found] = read_rounds(FILES, folder)
    assert ("run", ProcessIdentity.mine(), "cut-r1", 3, None) == (
        found.run, found.submitter, found.name, found.done_before, found.jobs,
    )  # fmt: skip


def test_a_submission_is_written_beside_its_ticket(folder: StageFolder) -> None:
    """No job at all differs from no answer yet."""
    take(folder, 1)
    take(folder, 2)
    record_job(FILES, folder, 1, ("12", "13"))
    record_job(FILES, folder, 2, ())
    assert [("12", "13"), ()] == [found.jobs for found in read_rounds(FILES, folder)]


def test_what_was_recorded_first_stands(folder: StageFolder) -> None:
    """Owner and finder of a lost answer may both write."""
    take(folder, 1)
    record_job(FILES, folder, 1, ("12",))
    record_job(FILES, folder, 1, ())
    assert ("12",) == read_rounds(FILES, folder)[0].jobs


def test_a_round_is_over_or_cancelled_for_good(folder: StageFolder) -> None:
    """Saying so twice is fine."""
    for number in (1, 2, 3):
        take(folder, number)
    mark_over(FILES, folder, 1)
    mark_over(FILES, folder, 1)
    mark_over(FILES, folder, 2, cancelled=True)
    expected = [(True, False), (True, True), (False, False)]
    assert expected == [(found.over, found.cancelled) for found in read_rounds(FILES, folder)]


def test_rounds_are_read_in_order_of_number(folder: StageFolder) -> None:
    """Also beyond four digits."""
    for number in (10000, 2, 1, 9999):
        take(folder, number)
    assert [1, 2, 9999, 10000] == [found.number for found in read_rounds(FILES, folder)]


def test_a_ticket_that_cannot_be_read_is_still_a_round(folder: StageFolder) -> None:
    """Nobody else may take it; its owner counts as unknown."""
    take(folder, 1)
    Path(f"{folder.round(1)}.ticket").write_bytes(b"{")
    [found] = read_rounds(FILES, folder)
    assert (1, None, False) == (found.number, found.submitter, take(folder, 1))
