"""The engine's own reading and writing: when it fails, the attempt ends and no task is to blame."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec
import pytest
from fragile import fragile
from unit_stages import Number, numbers

import hpcurate
from hpcurate import Stage
from hpcurate.errors import StoreFailed
from hpcurate.failures import Blame, FailureKind
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.stage_process.files import AttemptFiles
from hpcurate.stage_process.input import rows_of
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.output import ShardOutput, give_up
from hpcurate.stage_process.runner import ShardRunner
from hpcurate.stage_process.store_errors import blame_store
from hpcurate.store.files import REAL, Files
from hpcurate.store.rows import codec
from hpcurate.store.trouble import room_of
from hpcurate.testing import try_stage

BIG = "x" * 6000
"""Of a row, so that a few of them are more than is held back before the first real write."""


def longest_file(size: int) -> None:
    """No file of this process may become longer from now on: the kernel writes what fits, then refuses."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def room() -> Iterator[None]:
    """Files may be as long as before once the test is over."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullOnce(Stage[Number, Number]):
    """The store is full while the rows of the first call are written, and has room from the second on."""

    version = 1
    batch_size = 4

    def __init__(self, marker: str = "") -> None:
        self.marker = marker

    def process(self, tasks: list[Number]) -> list[Number]:
        """Rows that do not fit."""
        full = not os.path.exists(self.marker)
        Path(self.marker).touch()
        longest_file(13_000 if full else 1 << 30)
        for task in tasks:
            task.story = BIG
        return tasks


class Raises(Stage[Number, Number]):
    """Fails to write its own file, as a library may."""

    version = 1

    def __init__(self, how: str) -> None:
        self.how = how

    def process(self, tasks: list[Number]) -> list[Number]:
        """Only the second task does."""
        for task in tasks:
            if task.value == 2:
                getattr(self, f"_{self.how}")(task)
        return tasks

    def _a_full_device(self, task: Number) -> None:
        with open("/dev/full", "w") as file:
            file.write("x")

    def _a_full_store(self, task: Number) -> None:
        longest_file(10_000)
        try:
            self._a_full_device(task)
        except OSError as error:
            raise ValueError("the encoder failed") from error

    def _no_number(self, task: Number) -> None:
        longest_file(10_000)
        raise OSError("1000 requested and 12 written")

    def _a_helper_program(self, task: Number) -> None:
        longest_file(10_000)
        subprocess.run(["false"], check=True)

    def _its_own_mistake(self, task: Number) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/nowhere")


def job_of(tmp_path: Path, count: int = 4, high: int | None = None) -> ShardJob:
    """A shard of numbers."""
    (tmp_path / "attempt").mkdir()
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"".join(codec(Number).encode_lines(numbers(*range(count)))))
    return ShardJob(
        shard="s",
        directory=str(tmp_path / "attempt"),
        ref="s",
        root=str(tmp_path),
        inputs=[(str(rows), 0, count if high is None else high)],
        batch_size=0,
    )


def test_half_a_batch_written_ends_the_attempt(tmp_path: Path, room: None) -> None:
    """The batch was tried again task by task, behind half a line: two rows became one, a task passed and failed."""
    with pytest.raises(StoreFailed, match=r"writing .*tasks\.jsonl: File too large"):
        try_stage(FullOnce(str(tmp_path / "marker")), numbers(1, 2, 3, 4), tmp_path / "trial")
    rows = (tmp_path / "trial" / "trial" / "tasks.jsonl").read_bytes()
    assert (13_000, False) == (len(rows), (tmp_path / "trial" / "trial" / "failed.jsonl").exists())


@pytest.mark.parametrize("name", ["tasks", "dropped"])
def test_a_file_that_cannot_be_written_to_its_end_ends_the_attempt(tmp_path: Path, name: str) -> None:
    """Also if that shows only when it is closed."""
    job, full = job_of(tmp_path), f"{name}.jsonl"

    def opened(path: str, mode: str) -> BinaryIO:
        return REAL.open("/dev/full", "rb+") if path.endswith(full) else REAL.open(path, mode)

    files = Files(open=opened)
    with pytest.raises(StoreFailed, match=rf"{name}\.jsonl: No space left"), ShardOutput(job, files) as output:
        output._write(name, b"a row\n")


@pytest.mark.parametrize(
    ("rows", "left", "said"),
    [([b"one", b"two"], 4, "has 1 rows, 2 were counted"), ([b"one"], 3, "has 1 rows, the last one cut short, 1 were")],
)
def test_rows_that_the_store_lost_end_the_attempt(tmp_path: Path, rows: list[bytes], left: int, said: str) -> None:
    """What is on disk is counted against what was counted while it was written; a row without its end is none."""

    def lose(job: ShardJob) -> None:
        with ShardOutput(job) as output:
            output.batch(1, numbers(*range(len(rows))), b"".join(row + b"\n" for row in rows), passed=1, weight=1.0)
            output._files["tasks"].flush()
            os.truncate(Path(job.directory, "tasks.jsonl"), left)

    with pytest.raises(StoreFailed, match=said):
        lose(job_of(tmp_path, count=1))


def test_an_input_that_cannot_be_read_ends_the_attempt(tmp_path: Path) -> None:
    """A purged or unmounted upstream: no task was tried."""
    job = job_of(tmp_path)
    os.unlink(job.inputs[0][0])
    with pytest.raises(StoreFailed, match=r"reading .*rows\.jsonl: No such file"):
        list(rows_of(job))
    with pytest.raises(StoreFailed):
        give_up(job, "cut", Blame(FailureKind.CRASH, "5 attempts ended without a result"))


def test_an_input_with_fewer_rows_than_planned_ends_the_attempt(tmp_path: Path) -> None:
    """Silently shorter input is lost input."""
    with pytest.raises(StoreFailed, match=r"ends in row 4, and its rows 0 to 9 are needed"):
        list(rows_of(job_of(tmp_path, high=9)))


class Prepares(Raises):
    """The same in `prepare`."""

    def prepare(self, task: Number) -> None:
        """Only the second task fails."""
        super().process([task])

    def process(self, tasks: list[Number]) -> list[Number]:
        """Nothing."""
        return tasks


@pytest.mark.parametrize("kind", [Raises, Prepares])
@pytest.mark.parametrize("how", ["a_full_store", "no_number", "a_helper_program"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_stage_that_meets_a_full_store_is_not_to_blame(
    tmp_path: Path, kind: type[Raises], how: str, batch_size: int, room: None
) -> None:
    """A test write of the engine's fails, too. All tasks were dead letters within seconds; where a helper program had
    only its exit status to tell of it, they still were.
    """
    with pytest.raises(StoreFailed, match="a test write to"):
        try_stage(kind(how), numbers(1, 2, 3), tmp_path, batch_size=batch_size)
    assert not (tmp_path / "trial" / ".test-write").exists()


def test_next_to_no_room_is_believed_to_be_the_reason(tmp_path: Path) -> None:
    """Whoever failed may have removed what it wrote, so that a test write has room again."""
    with fragile(tmp_path) as disk:
        with open(disk.store / "stuff", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, room_of(str(disk.store)).free_bytes - (400 << 10))
        failed = blame_store(ValueError("the encoder ended with status 1"), str(disk.store))
        assert failed is not None
        assert re.search(
            r"ValueError \(the encoder ended with status 1\).* 0\.[34] of \d+\.\d MB free; make room", str(failed)
        )


def test_a_store_that_is_gone_is_to_blame_for_files_that_are_missed(tmp_path: Path) -> None:
    """An input of an unmounted store was a FileNotFoundError of the task's, and its folder was made where it was."""
    with fragile(tmp_path) as disk:
        (disk.store / "attempt").mkdir()
        files = AttemptFiles(msgspec.structs.replace(job_of(tmp_path), directory=str(disk.store / "attempt")))
        with disk.trouble("unmounted"):
            missed = FileNotFoundError(errno.ENOENT, "No such file or directory")
            assert blame_store(missed, str(disk.store / "attempt")) is not None
            with pytest.raises(StoreFailed, match="a folder below"):
                files.place("cut", numbers(1)[0], "a/b.txt")
        files.place("cut", numbers(1)[0], "a/b.txt")
        assert (disk.store / "attempt" / "files" / "n1" / "a").is_dir()


@pytest.mark.parametrize(("how", "error"), [("a_full_device", "OSError"), ("its_own_mistake", "FileNotFoundError")])
def test_another_error_is_the_tasks(tmp_path: Path, how: str, error: str, room: None) -> None:
    """Another disk is full, or there is no such file: the store takes a test write."""
    outcome = try_stage(Raises(how), numbers(1, 2, 3), tmp_path, batch_size=3)
    assert [("n2", error)] == [(row["id"], row["error"]) for row in outcome.failed]


class Hides(Stage[Number, Number]):
    """Asks for a file, and hides what happens then."""

    version = 1

    def __init__(self, raises: bool) -> None:
        self.raises = raises

    def process(self, tasks: list[Number]) -> list[Number]:
        """Raise another error than the engine's, or none."""
        try:
            self.file(tasks[0], "note.txt")
        except Exception:
            if self.raises:
                raise ValueError("no note") from None
        return tasks


@pytest.mark.parametrize("raises", [True, False])
def test_a_folder_that_cannot_be_made_ends_the_attempt(tmp_path: Path, raises: bool) -> None:
    """It is the engine that makes it, whatever the stage raises then."""
    job = job_of(tmp_path)
    os.symlink("/proc/self/task", Path(job.directory, "files"))  # nobody makes a folder there
    with pytest.raises(StoreFailed, match="a folder below"):
        ShardRunner(Hides(raises)).run(job)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_quota_that_ends_anywhere_in_a_shard_ends_the_attempt(tmp_path: Path, nth: int) -> None:
    """Whichever file is opened then, to read or to write: none of the tasks is to blame."""
    opened = 0

    def over_quota(path: str, mode: str) -> BinaryIO:
        nonlocal opened
        opened += 1
        if opened >= nth:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)
        return REAL.open(path, mode)

    with pytest.raises(StoreFailed, match="Disk quota exceeded; `quota -s`, or `lfs quota -h"):
        ShardRunner(Hides(raises=False), files=Files(open=over_quota)).run(job_of(tmp_path))
    assert nth == opened


@pytest.mark.parametrize("launcher", ["inline", "local"])
def test_a_store_that_is_full_for_a_moment_costs_an_attempt_and_no_task(
    tmp_path: Path, launcher: str, room: None
) -> None:
    """The attempt ends as `store`, the next one commits every row once."""
    stage = Step(FullOnce(str(tmp_path / "marker")), StageOptions(resources={"memory": "200MB"}, workers=1))
    outcome = hpcurate.run(
        {"full": stage}, [attrs.evolve(n) for n in numbers(1, 2, 3, 4)], store=tmp_path / "store", launcher=launcher
    )
    counts = outcome.summary["stages"]["full"]
    assert ("complete", 4, 0) == (outcome.state.value, counts["out"], counts["failed"])
    [stats] = [json.loads(p.read_text()) for p in (tmp_path / "store").glob("stages/full-*/shards/*/[!.]*/stats.json")]
    assert ["store"] == [end["ending"] for end in stats["history"]]
