"""What verbs print, as pure functions of values."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import msgspec
from reports import dead_letter, run_report, stage_report

from hpcurate.cli.setups import setup_lines
from hpcurate.cli.terminal import bar, end_lines, printable, table
from hpcurate.cli.verbs.common import queue_lines
from hpcurate.cli.verbs.compare import compare_lines
from hpcurate.cli.verbs.logs import failed_lines
from hpcurate.cli.verbs.runs import run_lines
from hpcurate.cli.verbs.status import status_lines
from hpcurate.cli.verbs.watch import watch_lines
from hpcurate.cli.verbs.why import group_lines, loss_lines, why_lines
from hpcurate.report.alike import alike
from hpcurate.report.causes import Causes
from hpcurate.report.comparison import Comparison
from hpcurate.report.dead_letters import LocatedDeadLetter, grouped
from hpcurate.report.drops import Loss
from hpcurate.report.examples import Example, example_of
from hpcurate.report.logs import Tail
from hpcurate.report.rates import Sample
from hpcurate.report.run_list import RunEntry, RunList
from hpcurate.report.setups import SetupFailure
from hpcurate.report.staging import Staged
from hpcurate.report.status import Status
from hpcurate.report.times import local
from hpcurate.report.watcher import Snapshot
from hpcurate.runs.launcher import JobRow
from hpcurate.runs.state import RunState
from hpcurate.store.stats import LeftOut
from hpcurate.units import plural

# -- the terminal -----------------------------------------------------------------------------------


def test_a_table_is_as_wide_as_its_cells() -> None:
    """Numbers to the right, nothing at the end of a line."""
    rows = [("long one", "7", ""), ("b", "10", "x")]
    assert table(("name", "n", "of"), rows) == ["name      n   of", "long one  7", "b         10  x"]
    assert table(("name", "n", "of"), rows, numbers=True)[1:] == ["long one   7", "b         10   x"]


def test_a_bar_is_as_full_as_its_stage() -> None:
    """Empty while the total is unknown, full where there is nothing to do."""
    assert ["░░░░", "██░░", "████", "████"] == [bar(*a, width=4) for a in ((0, None), (1, 2), (2, 2), (0, 0))]


def test_any_bytes_can_be_printed() -> None:
    """Those that are no text as their number; one of a thing has no s."""
    assert printable("ü \udcff") == "ü \\udcff"
    assert [plural(1, "node"), plural(2, "node")] == ["1 node", "2 nodes"]


def test_the_last_lines_say_where_the_run_is_and_what_to_type() -> None:
    """Dead letters are counted; why the run failed is its reason."""
    stages = {"a": stage_report(tasks_in=8, failed=8), "b": stage_report(tasks_in=0, failed=0)}
    report = run_report(state=RunState.FAILED, reason="too many", stages=stages)
    assert end_lines(report) == [
        "output: /o",
        "next: n",
        "r: failed: too many, 8 dead letters (hpcurate why)",
    ]
    stages = {"a": stage_report(tasks_in=8, failed=0, dropped=3, not_returned=2)}
    assert end_lines(run_report(state=RunState.COMPLETE, reason="", stages=stages))[-1] == (
        "r: complete, 2 tasks not returned (hpcurate why)"
    )
    assert end_lines(run_report(stages={}, next="")) == ["output: /o", "r: running"]


def test_a_folder_that_no_stage_writes_to_is_no_output() -> None:
    """It was named although it is not there."""
    report = run_report(stages={}, next="", output="")
    assert (["r: running"], []) == (
        end_lines(report),
        [line for line in status_lines(Status(report)) if "output" in line],
    )


# -- status and watch -------------------------------------------------------------------------------


def test_status_shows_counts_and_the_first_dead_letters() -> None:
    """How many more there are is in the heading; the end is what to type next."""
    status = Status(
        run_report(
            stages={"a": stage_report(failed=3), "b": stage_report(shards=None, shards_done=0, failed=0, progress=None)}
        ),
        (dead_letter("a", "broken"),),
        (Staged(what="weights m", copied_bytes=2_500_000, nodes=1, slowest_s=0.25),),
    )
    lines = status_lines(status)
    assert lines[0] == "r  running: a: round 1 is at work"
    assert [line.split() for line in lines[3:5]] == [
        ["a", "50%", "2/4", "5", "4", "0", "3", "1.0"],
        ["b", "?", "5", "4", "0", "0", "1.0"],
    ]
    assert lines[5:] == [
        "",
        "  weights m: 2.5 MB copied to 1 node, slowest 0.2 s",
        "",
        "3 dead letters, the first 1:",
        "  a: x.mp4: E: broken",
        "",
        "output: /o",
        "next: n",
    ]


def test_the_screen_shows_progress_queue_and_dead_letters() -> None:
    """From one frozen value; what to type next only once the run has ended."""
    snapshot = Snapshot(
        report=run_report(stages={"a": stage_report(), "b": stage_report(shards=None, shards_done=0)}),
        samples={"a": (Sample(0.0, 0, 0.0), Sample(60.0, 2, 0.5))},
        jobs=(JobRow(id="7", name="a", state="RUNNING", count=3),),
        newest=(dead_letter("a", "broken"),),
    )
    text = "\n".join(watch_lines(snapshot))
    assert "a      ████████████░░░░░░░░░░░░" in text
    assert "2/4" in text
    assert "2.0  1 min" in text
    assert "3  7 a: running" in text
    assert "  a: x.mp4: E: broken" in text
    assert "next: n" not in text
    assert "next: n" in watch_lines(Snapshot(report=run_report(state=RunState.STALLED)))


def test_status_shows_what_tasks_amounted_to() -> None:
    """Columns without anything are left out; so is the table, where no task says it."""
    split = stage_report(
        amounts_in={"seconds": 5400, "bytes": 3e9},
        amounts_out={"seconds": 4320},
        lost={"dark": {"seconds": 600}, "still": {"seconds": 300}},
        left_out={"short": LeftOut(3, {"seconds": 180})},
        unmeasured=1,
    )
    lines = status_lines(Status(run_report(stages={"a": stage_report(), "split": split})))
    at = lines.index("yield             in    out   dropped  left out")
    assert lines[at + 1 : at + 3] == [
        "split  1.5 h, 3.0 GB  1.2 h  15.0 min   3.0 min",
        "  split: without 1 shard of which it is not known",
    ]
    assert not any("yield" in line for line in status_lines(Status(run_report())))


# -- why and logs -----------------------------------------------------------------------------------


def test_why_lists_groups_drops_queue_and_logs() -> None:
    """In this order, under the state, above what to type next."""
    clip = {"id": "c", "source": "v.mp4", "start_s": 1.0, "end_s": 2.5}
    bare = example_of("s", {"id": "17", "stage": "a", "task": None})
    small = example_of(
        "s", {"id": "c", "stage": "a", "task": clip, "value": 0.031, "threshold": 0.25, "measure": "motion"}
    )
    short = Example(shard="s", id="w", name="w.mp4", stage="a", count=3, amounts={"seconds": 72.0})
    causes = Causes(
        report=run_report(state=RunState.STALLED, reason="no progress"),
        groups=tuple(grouped([dead_letter("a", "bad byte 7")])),
        logs=("/w/0.log:9",),
        losses=(
            Loss(stage="a", reason="too small", count=2, amounts={"seconds": 4.3}, examples=(small, bare)),
            Loss(stage="a", reason="not returned", count=3),
            Loss(stage="a", reason="short", count=9, amounts={"seconds": -0.5}, left_out=True, examples=(short,)),
        ),
        jobs=(JobRow(id="7", name="a", state="PENDING", reason="Priority"),),
        tails=(Tail(Path("/s/array-7.out"), ("error: killed",)),),
    )
    assert why_lines(causes) == [
        "r  stalled: no progress",
        "",
        "1 dead letter, by reason:",
        "       1  a: E: bad byte 7",
        "          e.g. x.mp4",
        "          log: /w/0.log:9",
        "",
        "dropped on purpose:",
        "       2  a: too small (4.3 s)",
        "          e.g. v.mp4, 1.0–2.5 s: motion 0.031, threshold 0.25",
        "          e.g. 17",
        "",
        "left out of what went on:",
        "       9  a: short (-0.5 s)",
        "          e.g. w.mp4: 3, 1.2 min",
        "",
        "not returned, and not dropped with a reason either:",
        "       3  a",
        "",
        "running and queued:",
        "       1  7 a: pending, Priority: other jobs come first",
        "",
        "/s/array-7.out ends with:",
        "  error: killed",
        "next: n",
    ]


def test_why_of_a_run_without_a_fault() -> None:
    """Is a sentence."""
    report = run_report(state=RunState.COMPLETE, reason="", next="")
    assert why_lines(Causes(report=report)) == ["r  complete", "", "nothing failed and nothing was dropped"]


def test_why_does_not_say_to_type_why() -> None:
    """It did, of a failed run; and of a stalled one it said that nothing had failed."""
    following = (
        "hpcurate why r --store /w\nfix what failed, then: hpcurate retry r --store /w\nor: hpcurate +pipeline=p"
    )
    failed = run_report(state=RunState.FAILED, reason="a: 6 of 60 tasks failed", next=following)
    assert why_lines(Causes(report=failed))[1:] == [
        "next: fix what failed, then: hpcurate retry r --store /w",
        "      or: hpcurate +pipeline=p",
    ]


def test_why_says_how_often_a_task_was_tried() -> None:
    """Where it was more than once: else nobody knows whether `retry_on` takes such an error."""
    dead = [
        msgspec.structs.replace(one, letter=msgspec.structs.replace(one.letter, tries=3))
        for one in [dead_letter("a", "HTTP 503")]
    ]
    assert "          e.g. x.mp4 (3 tries)" in group_lines(grouped(dead))


def test_why_shows_the_command_that_may_help() -> None:
    """It named an option, without a value, and two commands without their run."""
    dead = grouped([dead_letter("a", "killed; 737 of 600 MB"), dead_letter("b", "broken")])
    lines = group_lines(dead, (), ("hpcurate retry r --kind oom stages.a.resources.memory=1474MB", ""))
    helps = [line for line in lines if "what may help" in line]
    assert ["          what may help: hpcurate retry r --kind oom stages.a.resources.memory=1474MB"] == helps


def test_a_stage_that_cannot_start_shows_one_traceback() -> None:
    """And how often it was the same; of many nodes, some."""
    failure = SetupFailure(stage="a", message="E: x", trace=("T:", "E: x"), workers=20, nodes=("n1", "n2"), help="y")
    assert setup_lines([failure]) == [
        "",
        "a: cannot be started, the same on 20 workers of 2 nodes (n1, n2):",
        "  T:",
        "  E: x",
        "  what may help: y",
    ]
    nodes = tuple(f"n{n}" for n in range(9))
    assert setup_lines([attrs.evolve(failure, nodes=nodes)])[1].endswith("of 9 nodes (n0, n1, n2, n3, …):")
    alone = SetupFailure(stage="a", message="took too long", nodes=("n1",))
    assert setup_lines([alone])[1:] == ["a: cannot be started on n1:", "  took too long"]


def test_many_reasons_are_cut_with_their_number() -> None:
    """The rest is counted; no reason, no line."""
    lines = loss_lines([Loss(stage="s", reason=f"reason {chr(97 + k)}", count=1) for k in range(20)])
    assert lines[-1].strip() == "s: and 12 more reasons; --json lists all"
    groups = grouped(dead_letter("a", f"reason {chr(97 + k)}") for k in range(9))
    assert group_lines(groups)[-1] == "  and 1 more reason; --json lists all"
    assert [] == group_lines([]) == loss_lines([]) == queue_lines([])


def test_a_reason_of_several_lines_is_one_line() -> None:
    """Reasons, names, measures and values are a stage's and a user's: they may hold anything."""
    row = {"id": "x", "stage": "a", "task": {"id": "a\nb"}, "value": "1\n2", "measure": "m\x1b[31m"}
    loss = Loss(stage="a", reason="<b>\nno", count=1, examples=(example_of("s", row),))
    assert not any("\n" in line or "\x1b" in line for line in loss_lines([loss, attrs.evolve(loss, reason="")]))


def test_failed_tasks_are_printed_with_their_tracebacks() -> None:
    """One for all that raised the same in the same place: twenty tracebacks differed in a file's name."""
    trace = 'Traceback (most recent call last):\n  File "/s.py", line 7, in process\n    f()\nE: {} is broken'
    dead = [_raised(trace, f"{name}.mp4 is broken after {k} s", f"{name}.mp4") for k, name in enumerate("xyz")]
    dead.insert(1, _raised(trace.replace("line 7", "line 8"), "x.mp4 is broken after 0 s", "w\n.mp4"))
    assert list(failed_lines(alike(dead, lambda path: path))) == [
        "== a: x.mp4",
        "E: x.mp4 is broken after 0 s",
        *trace.format("x.mp4").splitlines(),
        "and 2 more like it: y.mp4, z.mp4",
        "== a: w\\n.mp4",
        "E: x.mp4 is broken after 0 s",
        *trace.format("w\n.mp4").replace("line 7", "line 8").splitlines(),
    ]


def _raised(trace: str, message: str, source: str) -> LocatedDeadLetter:
    dead = dead_letter("a", message, source)
    return msgspec.structs.replace(dead, letter=msgspec.structs.replace(dead.letter, traceback=trace.format(source)))


# -- runs and compare -------------------------------------------------------------------------------


def test_runs_are_a_table() -> None:
    """Each in one line: when it was started, here, and how long it took; how many there are besides."""
    entry = run_entry(run="20261121-061437-clips-4f232e", seconds=70.0, overrides="limit=1", note="good")
    older = run_entry(run="odd", state="failed", stages="2/3")
    assert run_lines(RunList((entry, older), 35), datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)) == [
        "run                           started       took   state       overrides  # note",
        f"20261121-061437-clips-4f232e  {here('Nov 21 06:14')}  1 min  complete    limit=1  # good",
        "odd                                                failed 2/3",
        "and 35 older; -n 37 lists all",
    ]


def run_entry(**fields: Any) -> RunEntry:
    """A complete run, with other fields."""
    usual = {"run": "r", "state": "complete", "as_of": "", "started": "", "seconds": None, "stages": "3/3"}
    return RunEntry(**{**usual, "overrides": "", "note": "", "output": "/o", **fields})


def here(utc: str) -> str:
    """A time of 2026 in this machine's zone."""
    at = datetime.datetime.strptime(f"2026 {utc}", "%Y %b %d %H:%M").replace(tzinfo=datetime.UTC)
    return at.astimezone().strftime("%b %d %H:%M")


def test_a_time_long_ago_has_its_year() -> None:
    """As `ls -l` has it."""
    now = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
    assert local(now - datetime.timedelta(days=400), now) == "Oct 26 2025"


def test_a_comparison_shows_a_stage_that_only_one_has() -> None:
    """As a dash."""
    comparison = Comparison(
        config=[],
        shared=["b"],
        counts={"a": (stage_report(tasks_in=1), None), "b": (stage_report(), stage_report())},
        dropped={"a": (Counter({"x": 2}), Counter())},
    )
    lines = compare_lines("one", "two", comparison)
    assert lines[:4] == ["one → two", "", "configuration:", "  the same"]
    assert "1 → -" in lines[6]
    assert lines[7].split() == ["b", "5", "4", "0", "1", "shared"]
    assert lines[-1] == "  a: x: 2 → 0"
