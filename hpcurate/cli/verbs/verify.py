"""`hpcurate verify`: whether every file of a run is still there and what it was, and what to type if not."""

from __future__ import annotations

import argparse

from hpcurate.cli.terminal import show, show_json
from hpcurate.cli.verbs.common import run_parser, the_run, the_run_without_doubt
from hpcurate.report.run_view import RunView
from hpcurate.report.verification import Fault, Verification, by_stage, repair, verify
from hpcurate.runs.commands import again
from hpcurate.runs.commands import verb as typed
from hpcurate.units import plural

SHOWN = 5
"""Faults of a stage that are printed."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate verify --help`."""
    made = run_parser("verify", "whether every file of a run is still there and what it was")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument(
        "--repair", action="store_true", help="move damaged shards into trash/: the run's command makes them again"
    )
    return made


def verb(argv: list[str]) -> int:
    """Print it; 1 where something is wrong."""
    options = parser().parse_args(argv[1:])
    view = RunView(the_run_without_doubt(options) if options.repair else the_run(options))
    found = verify(view)
    moved = repair(view, found) if options.repair else []
    if options.json:
        show_json({**found.plain(), "moved": moved})
    else:
        root = view.run.store.root
        show(verify_lines(found, len(moved) if options.repair else None, root, again(view.frozen.command, root)))
    return 1 if found.faults else 0


def verify_lines(found: Verification, moved: int | None, store: str, command: str) -> list[str]:
    """What is printed; `moved`: how many shards were moved away, None where nobody asked for that. Pure."""
    lines = [f"{found.run}  {plural(found.shards, 'shard')}, {plural(found.files, 'file')} looked at"]
    for stage, faults in by_stage(found.faults).items():
        lines += fault_lines(stage, faults)
    if found.unchecked:
        lines.append(f"not checked, because what they read is not complete: {', '.join(found.unchecked)}")
    if found.freed:
        stages = ", ".join(f"{stage} ({plural(count, 'shard')})" for stage, count in found.freed.items())
        lines.append(f"freed by keep=results, or not in the archive that was imported: files of {stages}; the run's")
        lines.append("  command with rerun=STAGE makes them again")
    nothing = "nothing else is missing" if found.freed else "nothing is missing"
    return lines + ([] if found.faults else [nothing]) + next_lines(found, moved, store, command)


def fault_lines(stage: str, faults: list[Fault]) -> list[str]:
    """The first faults of a stage, and how many there are. Pure."""
    shards = len({fault.shard for fault in faults})
    lines = ["", f"{stage}: {plural(len(faults), 'fault')} in {plural(shards, 'shard')}:"]
    lines += [f"  {fault.shard}: {fault.what}" for fault in faults[:SHOWN]]
    more = len(faults) - SHOWN
    return lines + ([f"  and {more} more; --json lists all"] if more > 0 else [])


def next_lines(found: Verification, moved: int | None, store: str, command: str) -> list[str]:
    """What to type now. Pure."""
    if not found.faults:
        return []
    if moved is None:
        return ["", f"next: {typed('verify', found.run, store, '--repair')}"]
    source = [fault for fault in found.faults if fault.stage == "input"]
    lines = ["", f"{plural(moved, 'shard')} moved into trash/", f"next: {command}"]
    if source:
        lines.insert(2, "the input as it was taken in cannot be made again from here: move its folder out of stages/")
    return lines
