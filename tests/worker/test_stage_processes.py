"""Stage processes that leave, and what they leave behind: noticed at once, ended with them, and never a worker's end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

from hpcurate.system.processes import start_time

Start = Callable[..., "subprocess.Popen[str]"]
PASSED = {"passed": 2, "failed": 0}
"""What becomes of the second shard, in a new stage process."""


@pytest.fixture(params=["forked", "spawned"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a small supervisor whose stage does an odd thing; all of it is killed with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str, *within: str, **options: Any) -> subprocess.Popen[str]:
        words = [str(tmp_path / "store"), request.param, what, str(tmp_path / "notes"), json.dumps(options)]
        command = [*within, sys.executable, str(ROOT / "tests" / "support" / "hosted.py"), *words]
        with open(tmp_path / "log", "ab") as log:
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp_path))
        return started[0]

    yield start
    for pid in noted(tmp_path):
        if start_time(pid) is not None:
            os.kill(pid, signal.SIGKILL)
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def noted(folder: Path) -> list[int]:
    """Pids that the stage wrote down."""
    notes = folder / "notes"
    return [int(word) for word in notes.read_text().split()] if notes.exists() else []


def soon(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def alive(folder: Path) -> list[int]:
    """Those of the noted processes that live."""
    return [pid for pid in noted(folder) if start_time(pid) is not None]


def said(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What it said until its end."""
    out, _ = process.communicate(timeout=60)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def test_a_killed_stage_process_is_noticed_although_its_pool_lives(start: Start, tmp_path: Path) -> None:
    """The forked pool held the channel open: the worker waited for ever."""
    first, second = said(start("pool"))
    assert ("crash", ["n2"]) == (first["ending"], first["in_flight"])
    assert "killed by SIGKILL" in first["detail"]
    assert PASSED == second
    assert [] == alive(tmp_path)


def test_helpers_end_with_a_stage_process_that_crashed(start: Start, tmp_path: Path) -> None:
    """Also one in a session of its own and a daemon; they lived on."""
    first, second = said(start("crash"))
    assert ("crash", PASSED) == (first["ending"], second)
    assert "killed by SIGSEGV" in first["detail"]
    assert (4, []) == (len(noted(tmp_path)), alive(tmp_path))


def test_a_stage_process_that_lost_its_gpu_is_ended(start: Start, tmp_path: Path) -> None:
    """Each task after it became a dead letter: the process stayed, and all that it tried on the GPU failed."""
    first, second = said(start("gpu_lost"))
    assert ("crash", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "lost its GPU and was ended: AcceleratorError: CUDA error: an illegal memory access" in first["detail"]
    assert [] == alive(tmp_path)


def test_helpers_end_with_a_stage_process_that_is_done(start: Start, tmp_path: Path) -> None:
    """Those in another session lived on."""
    first, second = said(start("helpers"))
    assert ({"passed": 3, "failed": 0}, PASSED) == (first, second)
    assert (4, []) == (len(noted(tmp_path)), alive(tmp_path))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_helpers_end_with_their_supervisor(start: Start, tmp_path: Path, how: signal.Signals) -> None:
    """The stage process itself ended, and what it had started lived on, with the GPU in its hands."""
    process = start("stay")
    assert soon(lambda: len(noted(tmp_path)) == 4)
    process.send_signal(how)
    process.wait()
    assert soon(lambda: alive(tmp_path) == [])


def test_a_daemon_that_writes_ends_the_attempt(start: Start, tmp_path: Path) -> None:
    """It had called setsid, so nobody saw it, and it wrote into the committed shard."""
    first, second = said(start("daemon"))
    assert ("error", PASSED) == (first["ending"], second)
    assert f"process {noted(tmp_path)[0]} can still write 'files/n2/daemon.txt'" in first["detail"]
    assert [] == alive(tmp_path)


def test_a_file_that_is_still_mapped_ends_the_attempt(start: Start) -> None:
    """Its descriptor is closed, so nobody saw that it can still change."""
    first, second = said(start("map"))
    assert ("error", PASSED) == (first["ending"], second)
    assert "can still write 'files/n2/map.bin'" in first["detail"]


@pytest.mark.parametrize("what", ["garbage", "message"])
def test_garbage_on_the_channel_counts_as_a_crash(start: Start, what: str) -> None:
    """It was a ValueError that ended the whole worker, and counted against nothing."""
    first, second = said(start(what))
    assert ("crash", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "the channel to its worker" in first["detail"]


def test_garbage_during_setup_is_a_failed_setup(start: Start) -> None:
    """With a reason."""
    (only,) = said(start("setup_garbage"))
    assert "the channel to its worker" in only["setup"]
    assert "frame 17 of 300" in only["setup"]


def test_small_descriptors_are_not_the_channel(start: Start) -> None:
    """A program that writes to, or closes, what it did not open did hit it."""
    assert [{"passed": 3, "failed": 0}, PASSED] == said(start("small"))


@pytest.mark.parametrize("what", ["exit", "prepare_exit"])
def test_sys_exit_is_a_failure_of_the_task(start: Start, tmp_path: Path, what: str) -> None:
    """As any exception. It took the stage process along, and counted as a crash."""
    assert [{"passed": 2, "failed": 1}, PASSED] == said(start(what))
    (letter,) = (tmp_path / "store" / "first" / "failed.jsonl").read_text().splitlines()
    assert ("n2", "SystemExit", "0") == tuple(json.loads(letter)[key] for key in ("id", "error", "message"))


def test_sys_exit_in_setup_is_a_failed_setup(start: Start) -> None:
    """Named as what it is."""
    assert [{"setup": "SystemExit: 0"}] == said(start("setup_exit"))


def test_an_exit_without_goodbye_stays_a_crash(start: Start) -> None:
    """os._exit, as of a library that gives up."""
    first, second = said(start("hard_exit"))
    assert ("crash", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "left with status 0" in first["detail"]


def test_a_killed_keeper_is_a_crash(start: Start, tmp_path: Path) -> None:
    """Whoever kills the parent of the stage process ends that, too, and its helpers; the worker goes on."""
    process = start("helped")
    assert soon(lambda: len(noted(tmp_path)) == 2)
    stat = Path(f"/proc/{noted(tmp_path)[0]}/stat").read_text()
    os.kill(int(stat[stat.rindex(")") + 2 :].split()[1]), signal.SIGKILL)
    first, second = said(process)
    assert ("crash", PASSED) == (first["ending"], second)
    assert soon(lambda: alive(tmp_path) == [])


# -- hangs ----------------------------------------------------------------------------------------------


def test_a_hang_is_ended_with_all_its_children_and_named(start: Start, tmp_path: Path) -> None:
    """A native deadlock with Python's lock, a stopped program, one that ignores SIGTERM, a daemon. No stacks before."""
    first, second = said(start("hang", timeout=1))
    assert ("timeout", ["n2"], 1, PASSED) == (first["ending"], first["in_flight"], first["seconds"], second)
    assert (6, []) == (len(noted(tmp_path)), alive(tmp_path))
    where = f"{tmp_path / 'log'}, below 'stacks of shard first after 1 s:'"
    assert f"task n2 took over 1 s; where it was: {where}" == first["detail"]
    _, _, stacks = (tmp_path / "log").read_text().partition("stacks of shard first after 1 s:\n")
    assert f"process {noted(tmp_path)[0]}:" in stacks
    assert "process_stages.py" in stacks
    assert "in _hang" in stacks


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_stopped_stage_process_writes_its_stacks(start: Start, tmp_path: Path) -> None:
    """It goes on for that, and is ended."""
    first, second = said(start("stopped", timeout=1))
    assert ("timeout", ["n2"], PASSED, []) == (first["ending"], first["in_flight"], second, alive(tmp_path))
    assert "in _stopped" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_setup_that_hangs_is_a_failed_setup(start: Start, tmp_path: Path) -> None:
    """It held its node until the end of the job; it still does, unless `setup_timeout` is set."""
    [only] = said(start("setup_hang", setup_timeout=1))
    assert only["setup"].startswith("setup took over 1 s (stages.odd.setup_timeout); where it was: ")
    assert "in _hang" in (tmp_path / "log").read_text()
    assert (6, []) == (len(noted(tmp_path)), alive(tmp_path))


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_pause_between_two_tries_is_no_hang(start: Start) -> None:
    """It is longer than a batch may take."""
    assert [{"passed": 3, "failed": 0}, PASSED] == said(start("flaky", timeout=1, tries=3, backoff=0.7))


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_what_prepare_raises_in_a_process_of_its_own_is_tried_again(start: Start) -> None:
    """The exception itself does not come across, its names do."""
    assert [{"passed": 3, "failed": 0}, PASSED] == said(start("prepare_flaky", prepare="processes", tries=3))


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_hang_in_a_process_of_prepare(start: Start, tmp_path: Path) -> None:
    """Its stacks are written, too."""
    first, second = said(start("prepare_hang", prepare="processes", timeout=2))
    assert ("timeout", PASSED, []) == (first["ending"], second, alive(tmp_path))
    assert "in _hang" in (tmp_path / "log").read_text().partition("stacks of shard first")[2]


# -- programs -------------------------------------------------------------------------------------------


def program(line: str, *more: str) -> list[str]:
    """Of a shell, that does this for the number 2."""
    return ["sh", "-c", f"test $0 -ne 2 || {{{{ {line}; }}}}", "{value}", *more]


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_program_that_crashes_counts_as_a_crash(start: Start) -> None:
    """It was an exception of its task. What it printed last is said."""
    first, second = said(start("", argv=program("echo row 17; kill -SEGV $$")))
    assert ("crash", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "lost its program and was ended: sh: killed by SIGSEGV: row 17" in first["detail"]


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_program_that_somebody_kills_takes_its_stage_process_along(start: Start) -> None:
    """By the same signal: who sent it, and to whom else, is for the supervisor to judge."""
    first, second = said(start("", argv=program("kill -KILL $$")))
    assert ("crash", "the stage process was killed by SIGKILL", PASSED) == (first["ending"], first["detail"], second)


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_program_that_ignores_sigterm_ends_with_its_time(start: Start, tmp_path: Path) -> None:
    """With a daemon of its own, and a child that is stopped."""
    line = "trap : TERM; sleep 600 & echo $! >> $1; kill -STOP $!; setsid sleep 600 & echo $! >> $1; echo $$ >> $1; wait; wait; wait"
    first, second = said(start("", argv=program(line, str(tmp_path / "notes")), timeout=1))
    assert ("timeout", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert (3, []) == (len(noted(tmp_path)), alive(tmp_path))


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_program_of_a_command_killed_for_memory(start: Start, small_job: tuple[str, ...]) -> None:
    """The kernel's counter is asked before its signal is judged."""
    first, second = said(start("", *small_job, argv=program("exec python -c 'bytearray(400 << 20)'")))
    assert ("oom", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "meanwhile the kernel killed a process here" in first["detail"]


# -- main memory ----------------------------------------------------------------------------------------


@pytest.fixture
def small_job() -> Iterator[tuple[str, ...]]:
    """Command that runs another one with 250 MiB, in a control group that looks like a job's (only as root)."""
    group = Path("/sys/fs/cgroup/memory", f"job_{os.getpid()}")
    try:
        (group / "step_0").mkdir(parents=True)
        (group / "memory.use_hierarchy").write_text("1")
        (group / "memory.limit_in_bytes").write_text(f"{250 << 20}")
    except OSError as error:
        pytest.skip(f"no control group with a limit can be made here: {error}")
    yield ("sh", "-c", f'echo $$ > {group}/step_0/cgroup.procs; exec "$@"', "sh")
    soon(lambda: not (group / "step_0" / "cgroup.procs").read_text())
    (group / "step_0").rmdir()
    group.rmdir()


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_want_of_memory_ends_the_stage_process(start: Start, tmp_path: Path) -> None:
    """A MemoryError was a dead letter at once: its task needs a worker that has more."""
    first, second = said(start("memory"))
    assert ("oom", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "not enough main memory: MemoryError" == first["detail"]
    assert 5 < first["peak_mb"] < 2000
    assert [] == alive(tmp_path)


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_kill_for_memory_is_seen_in_control_groups_of_version_1(
    start: Start, small_job: tuple[str, ...], tmp_path: Path
) -> None:
    """With the most that the job had. It was a crash."""
    first, second = said(start("eats", *small_job))
    assert ("oom", ["n2"], 250, PASSED) == (first["ending"], first["in_flight"], first["peak_mb"], second)


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_program_killed_for_memory_is_no_exception_of_its_task(
    start: Start, small_job: tuple[str, ...], tmp_path: Path
) -> None:
    """The kernel takes the largest process, often a program that the stage has started. It was a dead letter."""
    first, second = said(start("program_eats", *small_job))
    assert ("oom", ["n2"], PASSED) == (first["ending"], first["in_flight"], second)
    assert "meanwhile the kernel killed a process here" in first["detail"]


@pytest.mark.parametrize("start", ["forked"], indirect=True)
def test_a_kill_by_anybody_is_not_for_memory_because_there_was_one_before(
    start: Start, small_job: tuple[str, ...], tmp_path: Path
) -> None:
    """The kills of the group were counted from its beginning, so each later one was for memory."""
    eats = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(400 << 20)'])"
    then = f'{small_job[2].partition(";")[0]}; {sys.executable} -c "{eats}"; exec "$@"'
    first, _ = said(start("killed", "sh", "-c", then, "sh"))
    assert ("crash", "the stage process was killed by SIGKILL") == (first["ending"], first["detail"])
