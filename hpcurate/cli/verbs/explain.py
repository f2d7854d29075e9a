"""What `dry_run=true` and `explain` print. Rendering is pure."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from hpcurate.runs.preview import Explanation, Preview, StagePreview, explain, views_of


def preview_lines(seen: Preview) -> list[str]:
    """The plan, and nothing else."""
    lines = [f"run: {seen.run.name if seen.run else 'a new one'}", f"input: {seen.tasks} tasks", ""]
    lines += table(("stage", "folder", "tasks", "shards", "done", "workers", "GPU-hours"), map(_row, seen.stages))
    lines += ["", *explanation_lines(seen.explanations)]
    for one in seen.stages:
        if one.script:
            lines += ["", f"== sbatch script of {one.stage.name}", *one.script.rstrip().splitlines()]
    return [*lines, "", "dry_run=true: nothing was written or submitted"]


def _row(one: StagePreview) -> tuple[str, ...]:
    hours = "?" if one.gpu_hours is None else f"{one.gpu_hours:.2g}" if one.gpu_hours else "-"
    workers = f"<={one.workers}" if one.shards is None else str(one.workers)
    return (one.stage.name, one.stage.folder, _known(one.tasks), _known(one.shards), str(one.done), workers, hours)


def _known(value: int | None) -> str:
    return "?" if value is None else str(value)


def explanation_lines(explanations: Sequence[Explanation]) -> list[str]:
    """A line a stage; below it the parts that differ."""
    width = max((len(e.stage) for e in explanations), default=0)
    lines = []
    for one in explanations:
        lines.append(f"{one.stage:<{width}}  {one.reason}")
        lines += [f"{'':<{width}}    {difference}" for difference in one.differences]
    return lines


def table(header: Sequence[str], rows: object) -> list[str]:
    """Columns as wide as they must be: the first to the left, the others too. Pure."""
    cells = [tuple(header), *rows]  # type: ignore[misc]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def verb(argv: list[str]) -> int:
    """`hpcurate explain [RUN]`, or `hpcurate explain +pipeline=… key=value …` for a command not yet typed."""
    words = argv[1:]
    if any("=" in word and not word.startswith("--") for word in words):
        from hpcurate.cli.start.launch import previews

        for seen in previews(words):
            print("\n".join(explanation_lines(seen.explanations)))
        return 0
    from hpcurate.cli.store_choice import find_store
    from hpcurate.runs.folder import find_run
    from hpcurate.runs.launcher import make_launcher
    from hpcurate.store.layout import Store

    parser = argparse.ArgumentParser(prog="hpcurate explain", description="why each stage runs, or does not")
    parser.add_argument("run", nargs="?", help="name, path or part of a name; default: the latest; or key=value …")
    parser.add_argument("--store", help="default: HPCURATE_STORE, then the last one used")
    options = parser.parse_args(words)
    store = Store(os.path.abspath(find_store(options.store)))
    frozen = find_run(store, options.run).frozen()
    views = views_of(store, frozen.pipeline, make_launcher(frozen.launcher), frozen.source_lists)
    print("\n".join(explanation_lines(explain(store, frozen.pipeline, views))))
    return 0
