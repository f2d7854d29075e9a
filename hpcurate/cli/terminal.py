"""Everything that the command line writes to a terminal: lines, tables, progress bars, a live screen, the end of a run.

Names of files may be any bytes, and errors may quote secrets: all text passes through `printable`.
rich is loaded only where something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpcurate.masks import mask

if TYPE_CHECKING:
    from hpcurate.runs.handover import Outcome
    from hpcurate.runs.reconcile import StageView
    from hpcurate.runs.summary import RunReport

BAR = 24
"""Characters of a progress bar."""


# -- lines ------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Text that any terminal can show: bytes that are no UTF-8 become `\\udcff`, and secrets are masked."""
    return mask(text).encode("utf-8", "backslashreplace").decode()


def show(lines: Iterable[str]) -> None:
    """Print results, to stdout."""
    for line in lines:
        print(printable(line))
    sys.stdout.flush()


def say(line: str) -> None:
    """Print one line of progress, to stderr: stdout is for results."""
    print(printable(line), file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Rows in columns as wide as needed; with `numbers`, all columns but the first are aligned right. Pure."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    signs = ["<", *(">" if numbers else "<" for _ in header[1:])]
    return ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, signs, widths, strict=True)).rstrip() for row in cells]


def plural(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`. Pure."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# -- how a run ends ---------------------------------------------------------------------------------


def show_end(outcome: Outcome) -> None:
    """Print the last lines of a call: where the run is, and what to type next."""
    show(end_lines(outcome.report))


def end_lines(report: RunReport) -> list[str]:
    """Output, next command, then run and state. Pure."""
    from hpcurate.runs.state import RunState

    reason = f": {report.reason}" if report.reason and report.state is not RunState.RUNNING else ""
    failed = f", {plural(report.failed, 'dead letter')} (hpcurate why)" if report.failed else ""
    lost = f", {plural(report.not_returned, 'task')} not returned (hpcurate why)" if report.not_returned else ""
    following = [f"next: {report.next}"] if report.next else []
    return [f"output: {report.output}", *following, f"{report.run}: {report.state.value}{reason}{failed}{lost}"]


# -- progress bars ----------------------------------------------------------------------------------


class Bars:
    """One progress bar for each stage. Called with every look at the run; the first call draws."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __call__(self, views: Sequence[StageView]) -> None:
        """Show where each stage stands."""
        for view in views:
            counts = view.counts
            detail = f"{counts.tasks_in} in, {counts.tasks_out} out, {counts.dropped} dropped, {counts.failed} failed"
            self._update(view.name, counts.shards, counts.shards_done, detail if counts.shards else "")

    def listing(self, count: int) -> None:
        """Show how many items of the input are listed so far; the total is not known yet."""
        self._update("input", None, count, "listed")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._drawn().console.print(printable(line), highlight=False, markup=False)

    def close(self) -> None:
        """Stop drawing and leave the bars on the screen."""
        if self._progress is not None:
            self._progress.stop()

    def _update(self, name: str, total: int | None, completed: int, detail: str) -> None:
        progress = self._drawn()
        if name not in self._tasks:
            self._tasks[name] = progress.add_task(name, total=None, detail="")
        progress.update(self._tasks[name], total=total, completed=completed, detail=detail)

    def _drawn(self) -> Any:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description:>12}"),
                BarColumn(BAR),
                MofNCompleteColumn(),
                TextColumn("{task.fields[detail]}"),
            )
            self._progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))
            self._progress.start()
        return self._progress


def bar(done: int, total: int | None, width: int = BAR) -> str:
    """`████░░░░`; empty while the total is not known, full where there is nothing to do. Pure."""
    full = width if total == 0 else int(width * done / total) if total else 0
    return "█" * full + "░" * (width - full)


# -- a screen that is drawn again and again ---------------------------------------------------------

Draw = Callable[[list[str]], None]


@contextmanager
def live_screen() -> Iterator[Draw]:
    """On a terminal, lines are drawn in place; elsewhere they are printed whenever they have changed."""
    if not sys.stdout.isatty():
        yield _print_changes()
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="visible") as live:
        yield lambda lines: live.update(Text("\n".join(map(printable, lines))), refresh=True)


def _print_changes() -> Draw:
    printed: list[list[str]] = [[]]

    def draw(lines: list[str]) -> None:
        if lines != printed[0]:
            show([*lines, ""])
            printed[0] = lines

    return draw
