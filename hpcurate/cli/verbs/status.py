"""`hpcurate status`: where a run stands."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from hpcurate.cli.verbs.common import columns, run_parser, show, the_run
from hpcurate.report.dead_letters import Letter, failure_line, letters
from hpcurate.runs.driver import look
from hpcurate.runs.folder import Run
from hpcurate.runs.state import RunState

SHOWN = 10
"""Dead letters that are shown."""


def verb(argv: list[str]) -> int:
    """Print it; the exit status is the state's."""
    parser = run_parser("status", "where a run stands")
    parser.add_argument("--json", action="store_true", help="print summary.json")
    options = parser.parse_args(argv[1:])
    run = the_run(options)
    summary = look(run)
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        failed = any(counts["failed"] for counts in summary["stages"].values())
        show(status_lines(summary, list(itertools.islice(letters(run), SHOWN)) if failed else []))
        show(brought_lines(run))
    return RunState(summary["state"]).exit_status


def brought_lines(run: Run) -> list[str]:
    """What was brought to nodes, a line a model or environment."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(Path(run.path, "submissions").glob("*/brought-*.json")):
        told = json.loads(path.read_text())
        found.setdefault(told["what"], []).append(told)
    return [brought_line(name, told) for name, told in found.items()]


def brought_line(name: str, told: list[dict[str, Any]]) -> str:
    """How much went where, and how long the slowest took. Pure."""
    megabytes = sum(one["copied_bytes"] for one in told) / 1e6
    nodes = len({one["node"] for one in told})
    return f"{name}: {megabytes:.1f} MB to {nodes} nodes, {max(one['seconds'] for one in told):.1f} s at most"


def status_lines(summary: dict[str, Any], some: list[Letter]) -> list[str]:
    """What is printed. Pure."""
    reason = f": {summary['reason']}" if summary["reason"] else ""
    header = ("stage", "shards", "in", "out", "dropped", "failed", "seconds")
    rows = (_row(name, counts) for name, counts in summary["stages"].items())
    lines = [f"{summary['run']}  {summary['state']}{reason}", "", *columns(header, rows)]
    failed = sum(counts["failed"] for counts in summary["stages"].values())
    if failed:
        more = f", the first {len(some)}:" if failed > len(some) else ":"
        lines += ["", f"{failed} dead letter{'s' * (failed != 1)}{more}"]
        lines += [failure_line(one) for one in some]
    lines += ["", f"output: {summary['output']}"]
    return lines + ([f"next: {summary['next']}"] if summary["next"] else [])


def _row(name: str, counts: dict[str, Any]) -> tuple[str, ...]:
    shards = "?" if counts["shards"] is None else f"{counts['shards_done']}/{counts['shards']}"
    told = [str(counts[key]) for key in ("in", "out", "dropped", "failed")]
    return (name, shards, *told, f"{counts['seconds']:.1f}")
