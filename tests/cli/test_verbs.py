"""Verbs that look after runs: status, watch, why, logs, runs, note, compare. From files alone, any names."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from shell import LOCAL, Shell
from slurm_fixture import SlurmSite

from hpcurate.cli.verbs.runs import compare_lines
from hpcurate.cli.verbs.watch import Watched, bar, per_second, time_left, told_seconds, watch_lines
from hpcurate.cli.verbs.why import drop_lines, group_letters, group_lines, pattern_of, queue_lines
from hpcurate.report.dead_letters import Letter
from hpcurate.runs.launcher import JobRow
from hpcurate.store.layout import StageFolder
from launchers.slurm.queue import elements, parse_queue

PICKY = (
    "from hpcurate import FileTask, Stage\n\n\n"
    "class Picky(Stage[FileTask, FileTask]):\n"
    "    def __init__(self, limit: int = 5) -> None:\n        self.limit = limit\n\n"
    "    def process(self, tasks):\n"
    "        for task in tasks:\n"
    "            if task.size > self.limit:\n"
    "                raise ValueError(f'{task.path} has {task.size} bytes')\n"
    "            if task.size == 1:\n"
    "                self.drop(task, 'too small')\n"
    "        return [t for t in tasks if t.size > 1]\n"
)
ODD = ["a b.txt", "[red]x[b].txt", "new\nline.txt", "\udcff.txt"]


@pytest.fixture
def picky(shell: Shell) -> Shell:
    """A run whose stage failed on the four files with odd names and dropped one."""
    folder = shell.folder / "in"
    folder.mkdir()
    for number, name in enumerate(ODD):
        (folder / name).write_bytes(b"x" * (10 + number))
    (folder / "tiny.txt").write_bytes(b"x")
    (folder / "good.txt").write_bytes(b"xxx")
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "picky.py").write_text(PICKY)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "picky.yaml").write_text(
        "# @package _global_\nname: picky\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages:\n  pick: {_target_: stages.picky.Picky}\n"
    )
    shell.run("+pipeline=picky", f"input={folder}", "budget.failed=9")
    return shell


# -- why --------------------------------------------------------------------------------------------


def test_why_groups_what_failed_and_says_where_the_log_is(picky: Shell) -> None:
    """One reason for four files, with an example and a line of the log; what was dropped, too."""
    told = picky.type("why").stdout
    assert "4 dead letters, by reason:" in told
    assert "     4  pick: ValueError: FILE has N bytes" in told
    assert "e.g. " in told
    (log,) = [line.split("log: ")[1] for line in told.splitlines() if "log: " in line]
    path, _, number = log.rpartition(":")
    assert "attempt 1" in Path(path).read_text().splitlines()[int(number) - 1]
    assert "     1  pick: too small" in told
    plain = json.loads(picky.type("why", "--json").stdout)
    assert [group["count"] for group in plain["failed"]] == [4]
    assert plain["dropped"] == {"pick": {"too small": 1}}


def test_why_of_a_good_run(shell: Shell) -> None:
    """Says so."""
    shell.run("+pipeline=words")
    assert "nothing failed and nothing was dropped" in shell.type("why").stdout


def test_why_of_a_stage_that_cannot_start(shell: Shell) -> None:
    """The reason of the setup, and what to type next."""
    (shell.cwd / "bad.py").write_text(
        "from hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Bad(Stage[HelloTask, HelloTask]):\n"
        "    def setup(self, worker):\n        raise RuntimeError('no licence')\n\n"
        "    def process(self, tasks):\n        return tasks\n"
    )
    shell.run("+pipeline=words", "stages.bad.file=bad.py", status=1)
    told = shell.type("why").stdout
    assert "stalled" in told
    assert "no licence" in told
    assert "next: hpcurate logs" in told


PATTERNS = [
    ("", ""),
    ("/data/a b.mp4: moov atom at 123", "PATH b.mpN: moov atom at N"),
    ("cannot open 'x.mp4'", "cannot open '…'"),
    ("task 0b5c6a8e-1111-5222-8333-abcdefabcdef at 0xdeadbeef", "task ID at ID"),
    ("3.5 of 7 GB", "N of N GB"),
    ("first\nsecond", "first"),
]


@pytest.mark.parametrize(("message", "pattern"), PATTERNS)
def test_a_pattern_leaves_out_what_differs(message: str, pattern: str) -> None:
    """Paths, names in quotes, ids, numbers, all but the first line."""
    assert pattern == pattern_of(message)


def letter(stage: str, message: str, source: str = "x.mp4") -> Letter:
    """A dead letter."""
    row = {"id": source, "stage": stage, "error": "E", "message": message, "task": {"source": source}}
    return Letter(stage, "0001-000000", StageFolder("/nowhere"), row)


def test_groups_are_largest_first_and_exact() -> None:
    """Every letter is in one group."""
    found = [letter("a", f"x{k}.mp4: bad byte {k}", f"x{k}.mp4") for k in range(3)] + [letter("b", "other")]
    groups = group_letters([found[3], *found[:3]])
    assert [(g.stage, g.pattern, g.count) for g in groups] == [("a", "FILE: bad byte N", 3), ("b", "other", 1)]
    assert "4 dead letters, by reason:" in group_lines(groups, {})
    assert [] == group_lines([], {})


def test_many_reasons_are_cut_with_their_number() -> None:
    """The rest is counted."""
    lines = drop_lines({"s": Counter({f"reason {chr(97 + k)}": 1 for k in range(20)})})
    assert lines[-1].strip() == "s: and 12 reasons more"


# -- the queue --------------------------------------------------------------------------------------


def test_the_queue_is_read_by_array_state_and_reason() -> None:
    """Elements in one state are one row; ranges are counted; a name may hold the separator."""
    text = (
        "12_1|RUNNING|None|2026-01-01T00:00:00|a|b\n12_2|RUNNING|None|2026-01-01T00:00:09|a|b\n"
        "12_[4-9,11%2]|PENDING|Priority|2026-01-01T01:00:00|a|b\n13|PENDING|Dependency|N/A|gate\n"
    )
    assert parse_queue(text) == [
        JobRow(id="12", name="a|b", state="RUNNING", count=2),
        JobRow(id="12", name="a|b", state="PENDING", reason="Priority", start="2026-01-01T01:00:00", count=7),
        JobRow(id="13", name="gate", state="PENDING", reason="Dependency"),
    ]


@pytest.mark.parametrize(("id", "count"), [("7", 1), ("7_0", 1), ("7_[0]", 1), ("7_[0-3]", 4), ("7_[1,3-7:2%9]", 4)])
def test_elements_are_counted(id: str, count: int) -> None:
    """As squeue writes them."""
    assert count == elements(id)


def test_a_pending_reason_is_explained() -> None:
    """In the words of what to do; an unknown one as it is."""
    rows = [JobRow(id="1", name="n", state="PENDING", reason="PartitionTimeLimit", count=3, start="noon")]
    assert queue_lines(rows)[-1] == (
        "       3  1 n: pending, PartitionTimeLimit: its time is over the partition's; lower resources.time, "
        "or choose another partition; expected start noon"
    )
    assert queue_lines([JobRow(id="1", name="n", state="PENDING", reason="Odd")])[-1].endswith("pending, Odd")


# -- watch ------------------------------------------------------------------------------------------


def test_rates_and_times_left() -> None:
    """Unknown while nothing moved."""
    assert (None, None, None) == (per_second([]), per_second([(0, 1)]), per_second([(0, 1), (9, 1)]))
    assert 0.5 == per_second([(0, 1), (4, 2), (10, 6)])
    assert (None, None, 8.0) == (time_left(None, 9, 1), time_left(1.0, None, 1), time_left(0.5, 5, 1))
    assert ["42 s", "5 min", "3.2 h", "2.1 d"] == [told_seconds(s) for s in (42, 300, 11500, 181000)]
    assert ["░░░░", "██░░", "████", "████"] == [bar(*a, width=4) for a in ((0, None), (1, 2), (2, 2), (0, 0))]


def test_the_screen_shows_progress_queue_and_failures() -> None:
    """From one frozen value."""
    counts = {"in": 5, "out": 4, "dropped": 0, "failed": 1, "shards": 4, "shards_done": 2, "seconds": 1.0}
    waits: dict[str, Any] = {**counts, "shards": None, "shards_done": 0}
    seen = Watched(
        summary={"run": "r", "state": "running", "reason": "a: round 1 is at work", "output": "/o", "next": "n",
                 "stages": {"a": counts, "b": waits}},
        samples={"a": ((0.0, 0), (60.0, 2))},
        jobs=(JobRow(id="7", name="a", state="RUNNING", count=3),),
        failures=(letter("a", "broken"),),
    )  # fmt: skip
    text = "\n".join(watch_lines(seen))
    assert "a      ████████████░░░░░░░░░░░░" in text
    assert "2/4" in text
    assert "2.0  1 min" in text
    assert "3  7 a: running" in text
    assert "  a: x.mp4: E: broken" in text
    assert "next" not in text


def test_watch_on_a_terminal_ends_with_the_run(picky: Shell) -> None:
    """Drawn in place; names with markup and odd bytes are shown as they are."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcurate", "watch"],
        cwd=picky.cwd, env={**picky.environment, "TERM": "xterm", "COLUMNS": "200"}, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    told = b""
    try:
        while block := os.read(ours, 65536):
            told += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(20) == 0
    text = told.decode()
    assert "complete" in text
    assert "[red]x[b].txt" in text
    assert "\\udcff.txt" in text


def test_watch_counts_the_workers_of_this_machine(shell: Shell) -> None:
    """While a background driver works."""
    (shell.cwd / "slow.py").write_text(
        "import time\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Slow(Stage[HelloTask, HelloTask]):\n"
        "    def process(self, tasks):\n        time.sleep(4)\n        return tasks\n"
    )
    shell.run("+pipeline=words", "stages.slow.file=slow.py", "wait=false")
    told = shell.type("watch").stdout
    assert "here workers on this machine: running" in told
    assert told.strip().splitlines()[0].endswith("running") or "complete" in told


def test_watch_elsewhere_prints_a_block(picky: Shell) -> None:
    """Once, when nothing changes."""
    told = picky.type("watch", "--once").stdout
    assert told.count("newest failures:") == 1
    assert "████████████████████████" in told


@pytest.mark.slurm
def test_watch_and_why_tell_what_waits_in_the_queue(shell: Shell, slurm: SlurmSite) -> None:
    """An array that asks for a node that is taken: its reason, from a real squeue."""
    blocker = slurm.sbatch("--exclusive", "--nodes=2", "--partition=cpu", script="sleep 60")
    shell.extra = dict(slurm.env)
    try:
        shell.type("+pipeline=words", f"store={shell.store}", "launcher.partition=cpu")
        told = shell.type("watch", "--once").stdout
        assert "at work and in the queue:" in told
        assert "pending, " in told
        assert "Resources" in told or "Priority" in told or "None" in told
        assert "gate-lower_case-1" in shell.type("why").stdout
    finally:
        shell.type("cancel")
        slurm.run("scancel", blocker)
        slurm.wait_idle(30)


# -- logs -------------------------------------------------------------------------------------------


def test_logs_of_a_task(picky: Shell) -> None:
    """By a part of its file's name; an unknown one is refused."""
    assert "attempt 1" in picky.type("logs", "--task", "good.txt").stdout
    assert "no committed shard has such a task" in picky.type("logs", "--task", "nobody", status=2).stderr
    told = picky.type("logs", "--failed", "--task", "a b.txt").stdout
    assert told.count("== Picky") + told.count("== pick") == 1


# -- runs, note, compare ----------------------------------------------------------------------------


def test_runs_are_listed_searched_and_noted(shell: Shell) -> None:
    """Newest first; by override, by note, by config value, by state."""
    shell.run("+pipeline=words", "stages.show.batch_size=7")
    shell.run("+pipeline=words", "limit=1")
    rows = json.loads(shell.type("runs", "--json").stdout)
    assert [row["overrides"] for row in rows] == [f"limit=1 {LOCAL}", f"stages.show.batch_size=7 {LOCAL}"]
    assert {row["stages"] for row in rows} == {"3/3"}
    older = rows[1]["run"]
    shell.type("note", older, "the", "good one")
    assert "the good one" in shell.type("note", older).stdout

    def found(*words: str) -> list[str]:
        return [row["run"] for row in json.loads(shell.type("runs", *words, "--json").stdout)]

    assert found("good one") == found("batch_size=7") == [older]
    assert len(found("cold day in April")) == 2
    assert found("--state", "failed") == []
    assert older in shell.type("runs").stdout


def test_compare_sets_two_runs_side_by_side(picky: Shell) -> None:
    """Configuration, counts and drop reasons; what they share."""
    first = json.loads(picky.type("runs", "--json").stdout)[0]["run"]
    picky.run("+pipeline=picky", f"input={picky.folder / 'in'}", "budget.failed=9", "stages.pick.limit=99")
    told = picky.type("compare", first, "latest").stdout
    assert "stages.pick.limit: default → 99" in told
    assert "4 → 0" in told
    plain = json.loads(picky.type("compare", first, first, "--json").stdout)
    assert (plain["config"], plain["shared"]) == ([], ["pick"])


def test_a_comparison_shows_a_stage_that_only_one_has() -> None:
    """As a dash."""
    counts = {"in": 1, "out": 1, "dropped": 0, "failed": 0}
    found = {"config": [], "shared": [], "counts": {"a": [counts, None]}, "dropped": {"a": [{"x": 2}, {}]}}
    text = "\n".join(compare_lines("one", "two", found))
    assert "1 → -" in text
    assert "  a: x: 2 → 0" in text


# -- all of them ------------------------------------------------------------------------------------

VERBS = [
    ["status"],
    ["status", "--json"],
    ["watch", "--once"],
    ["why"],
    ["logs"],
    ["logs", "--failed"],
    ["explain"],
    ["runs"],
]


@pytest.mark.parametrize("words", VERBS)
def test_verbs_read_a_store_that_cannot_be_written(picky: Shell, words: list[str]) -> None:
    """Status, why and logs answer also where nothing may be cached; odd names do them no harm."""
    if os.geteuid() == 0:
        subprocess.run(["mount", "--bind", str(picky.store), str(picky.store)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(picky.store)], check=True)
    try:
        picky.type(*words, "--store", str(picky.store))
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(picky.store)], check=True)


def test_a_verb_told_something_odd_shows_its_usage(shell: Shell) -> None:
    """Exit 2."""
    assert "usage: hpcurate status" in shell.type("status", "--nonsense", status=2).stderr


BEAT = (
    "import sys, time\nfrom hpcurate.system.processes import ProcessIdentity\nfrom hpcurate.runs.folder import Run\n"
    "from hpcurate.store.layout import Store\nrun = Run(Store(sys.argv[1]), sys.argv[2])\n"
    "for beat in range(1000):\n    run.note_driver(ProcessIdentity.mine(), beat)\n    time.sleep(1)\n"
)


def test_a_driver_on_another_host_is_seen_by_what_it_writes(shell: Shell) -> None:
    """While it beats the run is running, though nothing is queued; when it stops, the run is incomplete."""
    shell.run("+pipeline=words", "limit=1")
    run = shell.store / "runs" / "latest"
    for path in shell.store.glob("stages/word_count-*/shards/*"):
        shutil.rmtree(path)  # work is left, as between two rounds
    for path in (*shell.store.glob("stages/word_count-*/rounds/*"), *shell.store.glob("stages/word_count-*/done-*")):
        path.unlink()
    assert "incomplete" in shell.type("status", status=1).stdout
    command = [sys.executable, "-c", BEAT, str(shell.store), run.resolve().name]
    other = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", *command]
    process = subprocess.Popen(other, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while "elsewhere" not in (run / "driver.json").read_text() and time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.skip(f"only root may have another host name: {process.stderr.read().strip()}")
        time.sleep(0.1)
    try:
        assert "  running" in shell.type("status").stdout.splitlines()[0]
    finally:
        process.kill()
        process.communicate()
    assert "incomplete" in shell.type("status", status=1).stdout
