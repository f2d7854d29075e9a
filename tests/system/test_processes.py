"""Processes: who still lives, and who still writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import msgspec
import pytest

from hpcurate.system.processes import (
    ProcessIdentity,
    SystemProcesses,
    nonce,
    session_members,
    writers_under,
)

Run = Callable[..., "subprocess.Popen[str]"]
PROCESSES = SystemProcesses()


@pytest.fixture
def run() -> Iterator[Run]:
    """Start a Python program that says when it is ready; killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            f"{program}\nimport os; os.write(1, b'ready\\n')\nimport time; time.sleep(60)",
            *arguments,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        return process

    yield run
    for process in started:
        for pid in {process.pid, *session_members(process.pid)}:
            if pid == process.pid and process.returncode is not None:
                continue
            os.kill(pid, 9)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within five seconds."""
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_we_are_alive() -> None:
    """Nobody else is us."""
    assert (True, os.getpid()) == (PROCESSES.alive(PROCESSES.mine()), PROCESSES.mine().pid)


def test_a_running_process_is_alive(run: Run) -> None:
    """Seen from outside."""
    assert True is PROCESSES.alive(ProcessIdentity.of(run("").pid))


def test_a_killed_process_is_not_even_as_a_zombie(run: Run) -> None:
    """Its parent may take its time."""
    process = run("")
    known = ProcessIdentity.of(process.pid)
    process.kill()
    assert soon(lambda: PROCESSES.alive(known) is False)
    process.wait()
    assert False is PROCESSES.alive(known)


def test_a_reused_pid_is_somebody_else() -> None:
    """The start time tells."""
    mine = PROCESSES.mine()
    assert False is PROCESSES.alive(attrs.evolve(mine, start=mine.start + 1))


def test_another_host_or_boot_is_unknown() -> None:
    """Only the scheduler can tell."""
    assert None is PROCESSES.alive(attrs.evolve(PROCESSES.mine(), host="elsewhere"))


def test_an_identity_survives_json() -> None:
    """Claims and tickets carry it."""
    mine = PROCESSES.mine()
    assert mine == msgspec.convert(json.loads(json.dumps(attrs.asdict(mine))), ProcessIdentity)


def test_a_process_that_is_gone_has_an_identity_that_is_dead() -> None:
    """It may leave between its start and the question who it is."""
    assert False is PROCESSES.alive(ProcessIdentity.of(2**22 + 1))


@pytest.mark.parametrize("size", [2, 4, 16])
def test_a_nonce_is_hexadecimal_and_never_the_same(size: int) -> None:
    """So many bytes."""
    found = {nonce(size) for _ in range(20)}
    assert {2 * size} == {len(bytes.fromhex(one).hex()) for one in found}
    assert len(found) > 18


def test_a_name_with_brackets_and_spaces_is_read_right(tmp_path: Path) -> None:
    """/proc/PID/stat quotes the command's name badly."""
    odd = tmp_path / "a) Z (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([str(odd), "60"]) as process:
        assert True is PROCESSES.alive(ProcessIdentity.of(process.pid))
        process.kill()


def test_a_session_knows_its_members(run: Run) -> None:
    """Grandchildren too, also those whose parent has left."""
    process = run(
        "import subprocess; print(subprocess.Popen(['sh', '-c', 'sleep 60 & sleep 60']).pid, file=open('/dev/null', 'w'))"
    )
    assert soon(lambda: 4 == len(session_members(process.pid)))


OPEN = "import sys, os; keep = open(sys.argv[1], sys.argv[2])"


@pytest.mark.parametrize(("mode", "expected"), [("w", ["x.txt"]), ("a", ["x.txt"]), ("r+", ["x.txt"]), ("r", [])])
def test_files_open_for_writing_are_found(run: Run, tmp_path: Path, mode: str, expected: list[str]) -> None:
    """Readers do no harm."""
    (tmp_path / "x.txt").write_text("")
    process = run(OPEN, str(tmp_path / "x.txt"), mode)
    assert [(process.pid, path) for path in expected] == writers_under(str(tmp_path), [process.pid])


def test_writers_elsewhere_do_not_count(run: Run, tmp_path: Path) -> None:
    """Not even in a folder whose name begins alike."""
    (tmp_path / "shard.1").mkdir()
    (tmp_path / "shard.10").mkdir()
    process = run(OPEN, str(tmp_path / "shard.10" / "x.txt"), "w")
    assert [] == writers_under(str(tmp_path / "shard.1"), [process.pid])


def test_writers_are_found_through_a_link(run: Run, tmp_path: Path) -> None:
    """The store may be reached by several names."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    process = run(OPEN, str(tmp_path / "link" / "x.txt"), "w")
    assert [(process.pid, "x.txt")] == writers_under(str(tmp_path / "link"), [process.pid])


def test_a_process_that_has_left_writes_nothing(tmp_path: Path) -> None:
    """Nor is it an error."""
    assert [] == writers_under(str(tmp_path), [2**22 + 1])


def test_a_child_dies_with_its_parent(run: Run) -> None:
    """Even if the parent is killed without a word."""
    program = (
        "import os\nfrom hpcurate.system.processes import die_with_parent\nparent = os.getpid()\n"
        "if os.fork() == 0:\n    die_with_parent(parent)"
    )
    process = run(program)
    assert soon(lambda: 2 == len(session_members(process.pid)))
    time.sleep(0.2)  # the child may not have asked for it yet
    process.kill()
    process.wait()
    assert soon(lambda: [] == session_members(process.pid))
