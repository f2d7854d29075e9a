"""Processes: who still lives, and who still writes."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from hpcurate.system.processes import (
    ProcessIdentity,
    SystemProcesses,
    Watched,
    descendants,
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
        for pid in [*descendants(process.pid), process.pid] if process.returncode is None else []:
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
    assert False is PROCESSES.alive(msgspec.structs.replace(mine, start=mine.start + 1))


def test_another_host_or_boot_is_unknown() -> None:
    """Only the scheduler can tell."""
    assert None is PROCESSES.alive(msgspec.structs.replace(PROCESSES.mine(), host="elsewhere"))


def test_an_identity_survives_json() -> None:
    """Claims and tickets carry it."""
    mine = PROCESSES.mine()
    assert mine == msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(mine))), ProcessIdentity)


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


DAEMON = (
    "import os, subprocess, sys\nfrom hpcurate.system.processes import adopt_orphans\nadopt_orphans()\n"
    "subprocess.Popen([sys.executable, '-c', 'import os, time; os.fork() or os.setsid() or os.fork(); time.sleep(60)'])"
)


def kernel(monkeypatch: pytest.MonkeyPatch, children: bool) -> None:
    """Hide what kernels without CONFIG_PROC_CHILDREN lack."""
    if not children:
        exists = os.path.exists
        monkeypatch.setattr(os.path, "exists", lambda path: not str(path).endswith("/children") and exists(path))


def test_a_session_knows_its_members(run: Run) -> None:
    """Also those whose parent has left, but not who called setsid."""
    process = run(DAEMON)
    assert soon(lambda: 3 == len(descendants(process.pid)))
    assert {os.getsid(pid) == process.pid for pid in session_members(process.pid)} == {True}
    assert len(session_members(process.pid)) == 2


@pytest.mark.parametrize("children", [True, False])
def test_descendants_are_found_whatever_session_they_are_in(
    run: Run, children: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one whose parent has left, below a process that adopts orphans. Only its own session used to be found."""
    kernel(monkeypatch, children)
    process = run(DAEMON)
    assert soon(lambda: 3 == len(descendants(process.pid)))
    assert len({os.getsid(pid) for pid in descendants(process.pid)}) == 2


def test_orphans_are_adopted(run: Run) -> None:
    """They stay below the process that asked for them."""
    process = run(DAEMON)
    assert soon(lambda: 3 == len(descendants(process.pid)))
    first = next(pid for pid in descendants(process.pid) if os.getsid(pid) == os.getsid(process.pid))
    os.kill(first, 9)
    assert soon(lambda: first not in [pid for pid in descendants(process.pid) if Watched(pid).gone() is False])
    assert len([pid for pid in descendants(process.pid) if pid != first]) == 2


def test_nobody_is_below_a_process_that_has_left() -> None:
    """Nor is it an error."""
    assert [] == descendants(2**22 + 1)


@pytest.mark.parametrize("pidfd", [True, False])
def test_the_end_of_a_process_is_seen(run: Run, pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anybody has waited for it; also by a kernel without pidfd."""
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = run("")
    watched = Watched(process.pid)
    assert (False, pidfd) == (watched.gone(), watched.descriptor is not None)
    process.kill()
    if watched.descriptor is not None:
        assert [watched.descriptor] == select.select([watched.descriptor], [], [], 5)[0]
    assert soon(watched.gone)
    watched.close()


OPEN = "import sys, os; keep = open(sys.argv[1], sys.argv[2])"


@pytest.mark.parametrize(("mode", "expected"), [("w", ["x.txt"]), ("a", ["x.txt"]), ("r+", ["x.txt"]), ("r", [])])
def test_files_open_for_writing_are_found(run: Run, tmp_path: Path, mode: str, expected: list[str]) -> None:
    """Readers do no harm."""
    (tmp_path / "x.txt").write_text("")
    process = run(OPEN, str(tmp_path / "x.txt"), mode)
    assert [(process.pid, path) for path in expected] == writers_under(str(tmp_path), [process.pid])


MAP = (
    "import sys, mmap; file = open(sys.argv[1], 'r+b' if sys.argv[2] == 'w' else 'rb')\n"
    "keep = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE if sys.argv[2] == 'w' else mmap.ACCESS_READ)\n"
    "import os; os.closerange(3, 64)"
)
"""Python's own maps keep a copy of the descriptor; those of other libraries do not."""


@pytest.mark.parametrize(("mode", "expected"), [("w", ["a b.txt"]), ("r", [])])
def test_files_mapped_for_writing_are_found(run: Run, tmp_path: Path, mode: str, expected: list[str]) -> None:
    """A map outlives its descriptor, and was not looked for."""
    (tmp_path / "a b.txt").write_text("x")
    process = run(MAP, str(tmp_path / "a b.txt"), mode)
    assert [(process.pid, path) for path in expected] == writers_under(str(tmp_path), [process.pid])


def test_writers_elsewhere_do_not_count(run: Run, tmp_path: Path) -> None:
    """Not even in a folder whose name begins alike."""
    (tmp_path / "shard.1").mkdir()
    (tmp_path / "shard.10").mkdir()
    process = run(OPEN, str(tmp_path / "shard.10" / "x.txt"), "w")
    assert [] == writers_under(str(tmp_path / "shard.1"), [process.pid])


def test_writers_are_found_through_a_link(run: Run, tmp_path: Path) -> None:
    """The store may be reached by several names."""
    (tmp_path / "real" / "attempt").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    attempt = tmp_path / "link" / "attempt"
    process = run(OPEN, str(attempt / "x.txt"), "w")
    assert [(process.pid, "x.txt")] == writers_under(str(attempt), [process.pid])


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
    assert soon(lambda: 1 == len(descendants(process.pid)))
    child = Watched(descendants(process.pid)[0])
    time.sleep(0.2)  # the child may not have asked for it yet
    process.kill()
    process.wait()
    assert soon(child.gone)


def test_only_the_process_that_was_meant_is_asked_to_end(run: Run) -> None:
    """Not one of another host, nor one that got its pid: the same number is nobody's proof."""
    process = run("")
    who = ProcessIdentity.of(process.pid)
    PROCESSES.terminate(msgspec.structs.replace(who, host="elsewhere"))
    PROCESSES.terminate(msgspec.structs.replace(who, start=who.start + 1))
    assert PROCESSES.alive(who)
    PROCESSES.terminate(who)
    assert -15 == process.wait(10)
    PROCESSES.terminate(who)
