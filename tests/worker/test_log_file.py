"""The log of a worker whose environment has a secret: masked, whole, and to the last line of whoever is killed.

Before, what a stage printed went into the log as it was, tokens included.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from planned import planned

from hpcurate.planning.plan import Plan

TOKEN = "hf_0123456789abcdef"
WORKER = """
import ctypes, os, random, signal, subprocess, sys, threading, time
from hpcurate.planning.plan import Plan
from hpcurate.worker.log_file import log_to_file
log_to_file(Plan.load(sys.argv[1]), sys.argv[1], 0)
token = os.environ.get("HF_TOKEN", "no token")
"""


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """With the plan of one stage."""
    Plan(stage=planned(), run="r", store=str(tmp_path), lists=(), round=1, workers=1).save(str(tmp_path))
    return tmp_path


def work(submission: Path, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A worker that runs this code once its log is open."""
    kept = {k: v for k, v in os.environ.items() if "TOKEN" not in k}
    command = [sys.executable, "-c", WORKER + code, str(submission)]
    return subprocess.run(command, env={**kept, **env}, capture_output=True, text=True, check=False, timeout=60)


def log_of(submission: Path) -> str:
    """What it says."""
    return (submission / "logs" / "0000.log").read_text()


def test_everything_is_there_and_masked(submission: Path) -> None:
    """Of the worker and all it starts, cut into small writes, to the traceback that ends it."""
    code = (
        "for n in range(20):\n"
        "    for part in (f'line {n}: ', token[:5], token[5:], '\\n'):\n"
        "        os.write(1, part.encode()); time.sleep(0.001)\n"
        "subprocess.run(['sh', '-c', 'echo child $HF_TOKEN; printenv HF_TOKEN >&2'])\n"
        "print('x' * 300_000, flush=True)\n"
        "raise SystemError(token)\n"
    )
    done, log = work(submission, code, HF_TOKEN=TOKEN), None
    log = log_of(submission)
    assert (1, "", "") == (done.returncode, done.stdout, done.stderr)
    lines = "".join(f"line {n}: ***HF_TOKEN***\n" for n in range(20))
    assert log.startswith(lines + "child ***HF_TOKEN***\n***HF_TOKEN***\n")
    assert log.endswith("SystemError: ***HF_TOKEN***\n")
    assert 300_000 == log.count("x" * 1000) * 1000
    assert TOKEN not in log


@pytest.mark.parametrize("how", ["os.kill(os.getpid(), signal.SIGKILL)", "ctypes.string_at(0)", "os._exit(3)"])
def test_the_last_line_before_a_crash_is_there(submission: Path, how: str) -> None:
    """Killed, a segmentation fault, an end without any farewell: and what a child still prints afterwards."""
    code = (
        "subprocess.Popen(['sh', '-c', 'while kill -0 $0 2>/dev/null; do sleep 0.05; done; echo child $HF_TOKEN', "
        "str(os.getpid())])\n"
        "sys.stdout.write(f'last {token}'); sys.stdout.flush()\n" + how + "\n"
    )
    done = work(submission, code, HF_TOKEN=TOKEN)
    assert done.returncode in (-signal.SIGKILL, -signal.SIGSEGV, 3)
    deadline = 400
    while "child" not in log_of(submission) and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.05"], check=True)
    assert log_of(submission).startswith("last ***HF_TOKEN***")
    assert "child ***HF_TOKEN***\n" in log_of(submission)


def test_a_signal_to_all_processes_of_the_job_ends_no_log(submission: Path) -> None:
    """A scheduler sends them to whoever is there."""
    code = (
        "signal.signal(signal.SIGTERM, lambda *_: print('asked to leave', token))\n"
        "os.setpgid(0, 0) if os.getpgid(0) != os.getpid() else None\n"
        "pumps = open(f'/proc/self/task/{os.getpid()}/children').read().split()\n"
        "[os.kill(int(pid), number) for pid in pumps for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)]\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nprint(len(pumps), 'and on')\n"
    )
    assert 0 == work(submission, code, HF_TOKEN=TOKEN).returncode
    assert "asked to leave ***HF_TOKEN***\n1 and on\n" == log_of(submission)


def test_a_killed_log_process_costs_lines_and_no_task(submission: Path) -> None:
    """Whoever printed next got a broken pipe: healthy tasks became dead letters."""
    code = (
        "from hpcurate.worker.log_file import look_after\n"
        "writing = open(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read().split()\n"
        "print('before', flush=True)\nos.kill(int(*writing), signal.SIGKILL)\n"
        "while len(threading.enumerate()) < 2: look_after()\n"
        "for n in range(1000): print('x' * 1000, flush=True)\n"
        "print('after', token, flush=True)\n"
    )
    assert 0 == work(submission, code, HF_TOKEN=TOKEN).returncode
    assert log_of(submission).endswith("x\nafter ***HF_TOKEN***\n")


def test_a_full_store_costs_lines_and_no_worker(submission: Path) -> None:
    """What is printed meanwhile is lost."""
    (submission / "logs").mkdir()
    (submission / "logs" / "0000.log").symlink_to("/dev/full")
    assert 4 == work(submission, "print(token, flush=True)\nsys.exit(4)\n", HF_TOKEN=TOKEN).returncode


def test_a_log_has_an_end(submission: Path) -> None:
    """A stage that prints a line for each row filled the storage. What it began with stays, and what it said last."""
    Plan(
        stage=msgspec.structs.replace(planned(), log_mb=1.0),
        run="r",
        store=str(submission),
        lists=(),
        round=1,
        workers=1,
    ).save(str(submission))
    work(submission, "print('begun')\nfor n in range(300_000): print(f'row {n}')\nprint('ended', flush=True)\n")
    log = log_of(submission)
    assert len(log) <= 1 << 20
    assert (True, True) == (log.startswith("begun\nrow 0\n"), log.endswith("row 299999\nended\n"))
    left_out = int(log.partition("[... ")[2].partition(" ")[0])
    printed = sum(len(f"row {n}\n") for n in range(300_000)) + len("begun\nended\n")
    note = f"\n[... {left_out} bytes of this log were left out here: stages.{planned().name}.log_mb is 1]\n"
    assert (1, printed) == (log.count(note), len(log) - len(note) + left_out)


def test_a_log_that_cannot_be_opened_is_masked_where_it_continues(submission: Path) -> None:
    """In Slurm's own file."""
    (submission / "logs").write_text("no folder")
    done = work(submission, "print(token)\n", HF_TOKEN=TOKEN)
    assert "the log continues here\n***HF_TOKEN***\n" in done.stdout
