"""`hpcurate watch`: on a terminal, elsewhere, with workers here and jobs that wait."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from shell import Shell
from slurm_fixture import SlurmSite


def test_watch_on_a_terminal_ends_with_the_run(picky: Shell) -> None:
    """Drawn in place; names with markup and odd bytes are shown as they are."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcurate", "watch"],
        cwd=picky.cwd, env={**picky.environment, "TERM": "xterm", "COLUMNS": "200"}, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    screen = b""
    try:
        while block := os.read(ours, 65536):
            screen += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(20) == 0
    text = screen.decode()
    assert "complete" in text
    assert "[red]x[b].txt" in text
    assert "\\udcff.txt" in text


def test_watch_counts_the_workers_of_this_machine(shell: Shell) -> None:
    """While a background driver works."""
    (shell.cwd / "slow.py").write_text(
        "import time\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Slow(Stage[HelloTask, HelloTask]):\n"
        "    def process(self, tasks):\n        time.sleep(2)\n        return tasks\n"
    )
    shell.run("+pipeline=words", "stages.slow.file=slow.py", "wait=false")
    text = shell.type("watch").stdout
    assert "here workers on this machine: running" in text
    assert text.strip().splitlines()[0].endswith("running") or "complete" in text


def test_watch_elsewhere_prints_a_block(picky: Shell) -> None:
    """Once, when nothing changes."""
    text = picky.type("watch", "--once").stdout
    assert text.count("newest dead letters:") == 1
    assert "████████████████████████" in text


@pytest.mark.slurm
def test_watch_and_why_show_what_waits_in_the_queue(shell: Shell, slurm: SlurmSite) -> None:
    """An array that asks for a node that is taken: its reason, from a real squeue."""
    blocker = slurm.sbatch("--exclusive", "--nodes=2", "--partition=cpu", script="sleep 60")
    shell.extra = dict(slurm.env)
    try:
        shell.type("+pipeline=words", f"store={shell.store}", "launcher.partition=cpu")
        text = shell.type("watch", "--once").stdout
        assert "running and queued:" in text
        assert "pending, " in text
        assert "Resources" in text or "Priority" in text or "None" in text
        assert "gate-lower_case-r1-" in shell.type("why").stdout
    finally:
        shell.type("cancel")
        slurm.run("scancel", blocker)
        slurm.wait_idle(30)
