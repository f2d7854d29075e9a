"""`hpcurate why`: why tasks failed, or why a run does not continue, and what to type now."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from hpcurate.cli.setups import setup_lines
from hpcurate.cli.terminal import following, show, show_json
from hpcurate.cli.text import one_line, styled
from hpcurate.cli.verbs.common import heading, note_lines, queue_lines, run_parser, the_run, work_lines
from hpcurate.report.amounts import words
from hpcurate.report.causes import SHOWN, Causes, causes_of
from hpcurate.report.dead_letters import Group
from hpcurate.report.drops import Loss
from hpcurate.report.examples import Example
from hpcurate.report.logs import Tail
from hpcurate.report.rows import described
from hpcurate.report.run_view import RunView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport
from hpcurate.units import plural

NO_REASON = "(an empty reason)"


def parser() -> argparse.ArgumentParser:
    """See `hpcurate why --help`."""
    made = run_parser("why", "why a run failed or does not continue, and what to type now")
    made.add_argument("--stage", help="only this stage")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print it; 0 also where something failed: the question was answered."""
    options = parser().parse_args(argv[1:])
    causes = causes_of(RunView(the_run(options)), options.stage)
    if options.json:
        show_json(causes.plain())
    else:
        show(why_lines(causes))
    return 0


def why_lines(causes: Causes) -> list[str]:
    """What is printed. Pure."""
    lines = note_lines(causes.report) + setup_lines(causes.setups)
    lines += group_lines(causes.groups, causes.logs, causes.helps) + loss_lines(causes.losses)
    lines += work_lines(causes.report) + queue_lines(causes.jobs) + tail_lines(causes.tails)
    report = causes.report
    none = ["", "nothing failed and nothing was dropped"] if report.state is RunState.COMPLETE else []
    return [heading(report), *(lines or none), *following(_after_why(report))]


def _after_why(report: RunReport) -> RunReport:
    """Without what its reader has just typed."""
    steps = [line for line in report.next.splitlines() if not line.startswith(f"hpcurate why {report.run}")]
    return msgspec.structs.replace(report, next="\n".join(steps))


def group_lines(groups: Sequence[Group], logs: Sequence[str | None] = (), helps: Sequence[str] = ()) -> list[str]:
    """Groups of dead letters with their counts, an example of each, where its log is, and what may help. Pure."""
    if not groups:
        return []
    lines = ["", f"{plural(sum(group.count for group in groups), 'dead letter')}, by reason:"]
    for place, group in enumerate(groups[:SHOWN]):
        lines.append(f"  {group.count:>6}  {group.stage}: {group.error}: {one_line(group.pattern)}")
        tries = f" ({group.example.letter.tries} tries)" if group.example.letter.tries > 1 else ""
        message = "" if group.example.letter.message == group.pattern else f": {group.example.letter.message}"
        lines.append(f"          e.g. {one_line(group.example.name + message)}{tries}")
        lines += [f"          {one_line(line)}" for line in _program(group.example.letter.traceback)]
        lines += [f"          log: {log}" for log in logs[place : place + 1] if log]
        lines += ["          what may help: " + styled(help, "command") for help in helps[place : place + 1] if help]
    more = len(groups) - SHOWN
    return lines + ([f"  and {plural(more, 'more reason')}; --json lists all"] if more > 0 else [])


def _program(details: str) -> list[str]:
    """The command that a program was started by, and the end of what it printed; of a traceback nothing."""
    return details.splitlines() if details.startswith("$ ") else []


def loss_lines(losses: Sequence[Loss]) -> list[str]:
    """Reasons with their counts, seconds and examples, stage by stage; what nobody meant has its own heading. Pure."""
    meant = [loss for loss in losses if loss.meant]
    return [
        *_under("dropped on purpose:", [loss for loss in meant if not loss.left_out]),
        *_under("left out of what went on:", [loss for loss in meant if loss.left_out]),
        *_under("not returned, and not dropped with a reason either:", [loss for loss in losses if not loss.meant]),
    ]


def _under(heading: str, losses: Sequence[Loss]) -> list[str]:
    lines = ["", heading] if losses else []
    for stage in dict.fromkeys(loss.stage for loss in losses):
        of_stage = [loss for loss in losses if loss.stage == stage]
        lines += [line for loss in of_stage[:SHOWN] for line in _loss(loss)]
        more = len(of_stage) - SHOWN
        lines += [f"          {stage}: and {plural(more, 'more reason')}; --json lists all"] if more > 0 else []
    return lines


def _loss(loss: Loss) -> list[str]:
    amounts = f" ({words(loss.amounts)})" if loss.amounts else ""
    reason = f": {loss.reason or NO_REASON}" if loss.meant else ""
    head = f"{loss.count:>6}  {loss.stage}{reason}{amounts}"
    return [f"  {one_line(head)}", *(f"          e.g. {one_line(_example(one))}" for one in loss.examples)]


def _example(example: Example) -> str:
    measured = "" if example.value is None else f"{example.measure} {described(example.value)}".strip()
    needed = "" if example.threshold is None else f"threshold {described(example.threshold)}"
    left_out = "" if example.count is None else ", ".join(filter(None, [str(example.count), words(example.amounts)]))
    said = ", ".join(filter(None, [measured, needed, left_out]))
    return example.name + (f": {said}" if said else "")


def tail_lines(tails: Sequence[Tail]) -> list[str]:
    """Ends of logs. Pure."""
    return [line for tail in tails for line in ("", f"{tail.path} ends with:", *(f"  {one}" for one in tail.lines))]
