"""Progress bars on a terminal: one a stage, drawn by rich, which is loaded only then."""

from __future__ import annotations

from typing import Any

from hpcurate.runs.reconcile import StageView


class Bars:
    """Called with every look at the run; the first call draws."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __call__(self, views: list[StageView]) -> None:
        """Show where each stage stands."""
        progress = self._drawn()
        for view in views:
            counts = view.counts
            if view.name not in self._tasks:
                self._tasks[view.name] = progress.add_task(view.name, total=None, told="")
            told = f"{counts.tasks_in} in, {counts.tasks_out} out, {counts.dropped} dropped, {counts.failed} failed"
            progress.update(
                self._tasks[view.name],
                total=counts.shards,
                completed=counts.shards_done,
                told=told if counts.shards else "",
            )

    def listing(self, count: int) -> None:
        """So many items of the input were found; how many there are nobody knows yet."""
        progress = self._drawn()
        if "input" not in self._tasks:
            self._tasks["input"] = progress.add_task("input", total=None, told="")
        progress.update(self._tasks["input"], completed=count, told="found")

    def say(self, line: str) -> None:
        """A line above the bars."""
        text = line.encode("utf-8", "backslashreplace").decode()
        self._drawn().console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Leave the bars as they stand."""
        if self._progress is not None:
            self._progress.stop()

    def _drawn(self) -> Any:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description:>12}"),
                BarColumn(24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}"),
            )
            self._progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))
            self._progress.start()
        return self._progress
