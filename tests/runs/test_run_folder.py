"""What a run keeps in its own folder: who drives it, and whether it was cancelled."""

from __future__ import annotations

import datetime
import errno
import json
import os
import shutil
from pathlib import Path

import attrs
import msgspec
import pytest

from hpcurate.errors import StoreError
from hpcurate.runs.folder import Run, find_run, point_latest, stamp_after
from hpcurate.runs.remove import remove_run
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.system.processes import ProcessIdentity, SystemProcesses


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One with something in its folder."""
    made = Run(Store(str(tmp_path)), "r")
    Path(made.path).mkdir(parents=True)
    Path(made.path, "pipeline.json").write_text("{}")
    return made


def test_a_note_of_the_driver_replaces_a_longer_one_in_place(run: Run) -> None:
    """Before, each note emptied the file first, and a look in between saw a run without a driver."""
    path, me = Path(run.path, "driver.json"), SystemProcesses().mine()
    path.write_text(json.dumps({**msgspec.to_builtins(ProcessIdentity("h" * 300, 1, 1)), "beat": 10**9}) + "\n")
    first = path.stat().st_ino
    run.note_driver(me, 1)
    size, beat = path.stat().st_size, run.driver_beat()
    run.note_driver(me, 10**9)
    assert (first, size) == (path.stat().st_ino, path.stat().st_size)
    assert run.driver_lives(SystemProcesses())
    assert beat != run.driver_beat()


def test_a_run_whose_start_was_cut_short_says_that(run: Run) -> None:
    """It was said to be a run of Python's, to be continued by calling hpcurate.run."""
    Path(run.path, "pipeline.json").unlink()
    with pytest.raises(StoreError, match="its start was cut short: start it again as it was started"):
        run.frozen()


class Private(PosixFilesystem):
    """Of a run that another user started: its owner alone may read it."""

    def read(self, path: str) -> bytes:
        """Refused."""
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def test_a_run_of_another_user_says_that(run: Run) -> None:
    """It said how to continue the run."""
    with pytest.raises(StoreError, match=r"^r is another user's: only they may read "):
        Run(run.store, run.name, Private()).frozen()


def test_a_run_is_cancelled_until_it_is_started_again(run: Run) -> None:
    """Also twice: a mark that is not there is taken away, too."""
    run.mark_cancelled()
    run.mark_cancelled()
    assert run.cancelled
    run.unmark_cancelled()
    run.unmark_cancelled()
    assert not run.cancelled


def test_a_run_that_was_removed_is_gone(run: Run) -> None:
    """Nobody goes on with it: whether it is cancelled cannot be answered."""
    assert not run.gone
    shutil.rmtree(run.path)
    assert run.gone
    with pytest.raises(FileNotFoundError, match=r"/runs/r'$"):
        _ = run.cancelled


class Failing(PosixFilesystem):
    """Storage that is away."""

    def names(self, folder: str) -> list[str]:
        """Not now."""
        raise OSError(errno.EIO, "Input/output error", folder)


def test_a_run_on_storage_that_fails_is_not_gone(run: Run) -> None:
    """Before, a gate took one failed look at the folder for its end, and left the run."""
    assert not attrs.evolve(run, filesystem=Failing()).gone


@pytest.mark.parametrize(
    ("names", "stamp"),
    [
        ([], "20261231-235930"),
        (["20261231-235929-a-1"], "20261231-235930"),
        (["20261231-235930-a-1", "20261230-000000-b-2"], "20261231-235931"),
        (["20261231-235959-a-1"], "20270101-000000"),
        (["20270101-000031-a-1"], "20261231-235930"),
        (["20261231-235930-a-1", "latest", ".names"], "20261231-235931"),
        (["20261231-235967-mine"], "20261231-235930"),
    ],
)
def test_runs_of_the_same_second_sort_as_they_were_begun(names: list[str], stamp: str) -> None:
    """The last part of the name, a digest, decided which of two runs of a sweep was the newer one."""
    assert stamp == stamp_after(names, datetime.datetime(2026, 12, 31, 23, 59, 30, 999, tzinfo=datetime.UTC))


def test_the_latest_run_stays_the_latest_when_another_is_removed(tmp_path: Path) -> None:
    """It became the newest one, though an older one had been continued since."""
    runs = [Run(Store(str(tmp_path)), f"20260101-00000{n}-r") for n in range(3)]
    for run in runs:
        Path(run.path).mkdir(parents=True)
    point_latest(runs[0])
    remove_run(runs[1])
    assert runs[0] == find_run(runs[0].store, None)
    remove_run(runs[0])
    assert (runs[2].name, runs[2]) == (os.readlink(f"{tmp_path}/runs/latest"), find_run(runs[0].store, None))
