"""`hpcurate why`: why did it fail, or why does it not go on, and what to type now."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from hpcurate.cli.verbs.common import run_parser, show, the_run
from hpcurate.report.dead_letters import Letter, drop_reasons, letters, log_of
from hpcurate.runs.driver import look
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow, make_launcher
from hpcurate.runs.state import RunState
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.rounds import read_rounds

SHOWN = 8
"""Groups that are shown of each kind."""
TAIL = 6
"""Lines of a log that died at once."""

PENDING = {
    "Resources": "the nodes it asks for are busy; smaller resources or time start sooner",
    "Priority": "others come first",
    "Dependency": "a gate that waits for its array, as it should",
    "PartitionTimeLimit": "its time is over the partition's; lower resources.time, or choose another partition",
    "ReqNodeNotAvail": "a node it needs is down, drained or reserved",
    "BadConstraints": "no node has what it asks for; mend constraint, gres or memory",
    "JobHeldUser": "held by you; scontrol release it",
    "JobHeldAdmin": "held by an administrator; ask them",
    "QOSMaxJobsPerUserLimit": "as many of your jobs run as the QOS allows; it waits its turn",
    "AssocGrpCPUMinutesLimit": "the account's hours are used up; choose another account",
    "AssocMaxJobsLimit": "as many of your jobs run as the account allows; it waits its turn",
    "BeginTime": "it was requeued and starts again in a moment",
}
"""Slurm's reasons (squeue(1), JOB REASON CODES) in the words of what to do."""


@attrs.define(frozen=True)
class Group:
    """Dead letters that have the same cause."""

    stage: str
    error: str
    pattern: str
    """Message with what differs from task to task left out."""
    count: int
    example: Letter


def verb(argv: list[str]) -> int:
    """Print it; 0 also where something failed: the question was answered."""
    parser = run_parser("why", "why a run failed or does not go on, and what to type now")
    parser.add_argument("--stage", help="of this stage only")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(argv[1:])
    run = the_run(options)
    summary = look(run)
    groups = group_letters(one for one in letters(run) if options.stage in (None, one.stage))
    drops = {s: c for s, c in drop_reasons(run).items() if options.stage in (None, s)}
    if options.json:
        print(json.dumps(_plain(summary, groups, drops), indent=1))
        return 0
    lines = [f"{summary['run']}  {summary['state']}" + (f": {summary['reason']}" if summary["reason"] else "")]
    lines += group_lines(groups, {id(g): log_of(run, g.example) for g in groups[:SHOWN]})
    lines += drop_lines(drops)
    if summary["state"] != RunState.COMPLETE.value:
        lines += queue_lines(queued(run)) + _tails(run)
    nothing = [] if len(lines) > 1 else ["", "nothing failed and nothing was dropped"]
    show([*lines, *nothing, *([f"next: {summary['next']}"] if summary["next"] else [])])
    return 0


# -- dead letters -----------------------------------------------------------------------------------


def pattern_of(message: str) -> str:
    """A message without what differs from task to task: paths, quoted names, ids, numbers. Pure."""
    first = message.splitlines()[0] if message else ""
    first = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", first)
    first = re.sub(r"(?<![\w…])/[^\s:,;]+", "PATH", first)
    first = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{12,}\b", "ID", first)
    return re.sub(r"\d+(\.\d+)?", "N", first)


def group_letters(found: Iterable[Letter]) -> list[Group]:
    """By stage, error and pattern of the message; the largest first. Pure."""
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], Letter] = {}
    for letter in found:
        message = str(letter.row["message"]).replace(letter.name, "FILE")
        source = str((letter.row.get("task") or {}).get("source") or "")
        pattern = pattern_of(message.replace(source, "FILE") if source else message)
        key = (str(letter.row["stage"]), str(letter.row["error"]), pattern)
        counts[key] += 1
        examples.setdefault(key, letter)
    return [Group(*key, count, examples[key]) for key, count in counts.most_common()]


def group_lines(groups: list[Group], logs: dict[int, str | None]) -> list[str]:
    """Groups with their counts, an example each, and where its log is. Pure."""
    lines = []
    total = sum(group.count for group in groups)
    if groups:
        lines += ["", f"{total} dead letter{'s' * (total != 1)}, by reason:"]
    for group in groups[:SHOWN]:
        lines.append(f"  {group.count:>6}  {group.stage}: {group.error}: {group.pattern}")
        lines.append(f"          e.g. {group.example.name}: {group.example.row['message']}")
        log = logs.get(id(group))
        lines += [f"          log: {log}"] if log else []
    return lines + ([f"  and {len(groups) - SHOWN} reasons more; --json lists all"] if len(groups) > SHOWN else [])


def drop_lines(drops: dict[str, Counter[str]]) -> list[str]:
    """Drop reasons with their counts, a stage after the other. Pure."""
    lines = ["", "dropped on purpose:"] if drops else []
    for stage, counts in drops.items():
        lines += [f"  {count:>6}  {stage}: {reason}" for reason, count in counts.most_common(SHOWN)]
        rest = len(counts) - SHOWN
        lines += [f"          {stage}: and {rest} reasons more"] if rest > 0 else []
    return lines


# -- what the queue says ----------------------------------------------------------------------------


def queued(run: Run) -> list[JobRow]:
    """Jobs of the run's open rounds and its gates, as the queue has them."""
    frozen, filesystem = run.frozen(), PosixFilesystem()
    ids: list[str] = []
    for stage in frozen.pipeline.stages:
        ids += [j for r in read_rounds(filesystem, run.store.stage(stage.folder)) if not r.over for j in r.jobs or ()]
    for path in sorted(Path(run.path, "gates").glob("*-[0-9][0-9][0-9][0-9]")):
        ids.append(path.read_text().strip())
    return list(make_launcher(frozen.launcher).jobs(ids) or ())


def queue_lines(rows: list[JobRow]) -> list[str]:
    """What is queued, why it waits, and when Slurm thinks it starts. Pure."""
    lines = ["", "at work and in the queue:"] if rows else []
    for row in rows:
        told = f"  {row.count:>6}  {row.id} {row.name}: {row.state.lower()}"
        if row.state == "PENDING":
            told += f", {row.reason}" + (f": {PENDING[row.reason]}" if row.reason in PENDING else "")
            told += f"; expected start {row.start}" if row.start else ""
        lines.append(told)
    return lines


def _tails(run: Run) -> list[str]:
    """The end of what arrays and gates wrote where Slurm, not a worker, had the word."""
    lines: list[str] = []
    paths = [*Path(run.path, "submissions").glob("*/array-*.out"), *Path(run.path, "gates").glob("gate-*.out")]
    failing = [p for p in paths if "error" in p.read_text(errors="backslashreplace").lower()]
    for path in sorted(failing, key=lambda p: p.stat().st_mtime)[-2:]:
        text = path.read_text(errors="backslashreplace").splitlines()[-TAIL:]
        lines += ["", f"{path} ends with:", *(f"  {line}" for line in text)]
    return lines


def _plain(summary: dict[str, Any], groups: list[Group], drops: dict[str, Counter[str]]) -> dict[str, Any]:
    failed = [
        {"stage": g.stage, "error": g.error, "pattern": g.pattern, "count": g.count, "example": g.example.row}
        for g in groups
    ]
    return {"run": summary["run"], "state": summary["state"], "reason": summary["reason"], "failed": failed,
            "dropped": drops, "next": summary["next"]}  # fmt: skip
