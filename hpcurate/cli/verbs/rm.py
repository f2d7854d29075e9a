"""`hpcurate rm`: remove a run; what it made in the stages stays until `hpcurate clean`."""

from __future__ import annotations

import argparse
import os
import shlex

from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import run_parser, the_run
from hpcurate.errors import StoreError
from hpcurate.report.cleaning import left_by
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import Run
from hpcurate.runs.remove import remove_run
from hpcurate.runs.state import RunState
from hpcurate.store.usage import Meter, Usage
from hpcurate.units import bytes_text, plural


def parser() -> argparse.ArgumentParser:
    """Of `hpcurate rm`."""
    made = run_parser("rm", "remove a run: its folder, and what refers to it; its stages stay until hpcurate clean")
    made.add_argument(
        "--with-output", action="store_true", help="also where its result lies in its own folder, which then goes, too"
    )
    return made


def verb(argv: list[str]) -> int:
    """Remove it, and say what clean would free now. Raises StoreError where it runs, or its result would go."""
    options = parser().parse_args(argv[1:])
    if options.run is None:
        raise StoreError("rm: name the run; `hpcurate runs` lists them")
    run = the_run(options)
    refuse_running(run)
    if not options.with_output:
        refuse_output(run)
    alone = left_by(run.store, run.name)
    freed = Meter().measure(run.path)
    remove_run(run)
    show(removed_lines(run, freed, alone))
    return 0


def refuse_running(run: Run) -> None:
    """Raise StoreError where something of it is queued or alive. A run that was never frozen has nothing."""
    if "pipeline.json" not in run.filesystem.names(run.path):
        return
    if RunView(run).look().state is RunState.RUNNING:
        where = f"--store {shlex.quote(run.store.root)}"
        raise StoreError(f"{run.name} is running; type `hpcurate cancel {run.name} {where}` first")


def refuse_output(run: Run) -> None:
    """Raise StoreError where its result lies in its folder."""
    use = Meter().measure(run.output)
    if os.path.isdir(run.output) and os.listdir(run.output):
        raise StoreError(
            f"{run.output} is the result of {run.name}, {bytes_text(use.bytes)}, and would go, too; move it away, or "
            "type the same with --with-output"
        )


def removed_lines(run: Run, freed: Usage, alone: dict[str, Usage]) -> list[str]:
    """What went, and what may go now. Pure."""
    lines = [f"{run.name}: removed, {bytes_text(freed.bytes)}"]
    if not alone:
        return lines
    size = bytes_text(sum(use.bytes for use in alone.values()))
    return [
        *lines,
        f"no other run refers to {plural(len(alone), 'stage')} of it, {size}",
        f"next: hpcurate clean --store {shlex.quote(run.store.root)}",
    ]
