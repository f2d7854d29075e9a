"""The page of a run, live: looked at while somebody watches, rendered again where it would show something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from hpcurate.report.page.model import Options, page_of
from hpcurate.report.page.render import render
from hpcurate.report.page.text import shown
from hpcurate.report.rates import percent
from hpcurate.report.run_view import RunView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport
from hpcurate.units import duration

EVERY_S = 2.0
"""Between two looks at a run that works, as `hpcurate watch` looks."""
AT_REST_S = 15.0
"""The same of one that does not: somebody may resume it."""
RESTS = 9
"""For so many times as long as a rendering took there is no other: a tenth of a core at most, whatever the run."""
KEPT = 3
"""Renderings that stay on disk: an older one may be on its way to a slow browser."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever watches is sent after each look."""

    page: int
    """Number of the latest rendering: a browser that shows another one asks for it."""
    as_of: str
    """When it was looked at, UTC."""
    state: str
    live: bool
    """False: the run has ended, well or not."""
    work: str = ""
    """`split 43%, 5 min left; …`."""
    trouble: str = ""
    """Why it could not be looked at or rendered; it is tried again."""


# -- pure ---------------------------------------------------------------------------------------------


def shows(report: RunReport) -> tuple[Any, ...]:
    """What a page says apart from how long things have taken: the same, and it need not be rendered again."""
    return (report.state, report.reason, report.next, report.committed)


def work_line(report: RunReport) -> str:
    """How far the stages are that have something in work."""
    at_work = {name: one for name, one in report.stages.items() if one.in_work is not None and not one.complete}
    return "; ".join(
        name
        + (f" {percent(one.progress)}" if one.progress is not None else "")
        + (f", {duration(one.left_s)} left" if one.left_s is not None else "")
        for name, one in at_work.items()
    )


def seen_of(report: RunReport, page: int) -> Seen:
    """After a look that went well."""
    live = report.state is RunState.RUNNING
    work = work_line(report) if live else ""
    return Seen(page=page, as_of=report.as_of, state=report.state.value, live=live, work=work)


def due_at(ended: float, took_s: float) -> float:
    """When the next rendering may begin, after one that ended then and took so long."""
    return ended + RESTS * took_s


# -- a run, looked at again and again -------------------------------------------------------------------


class LivePage:
    """One run, and its latest rendering in a folder of its own. `tell` is called after each look, by who looks."""

    def __init__(self, view: RunView, options: Options, folder: str, tell: Callable[[Seen], None]) -> None:
        self._view = view
        self._options = options
        self._folder = Path(folder)
        self._tell = tell
        self._shown: tuple[Any, ...] = ()
        self._due = 0.0
        self._number = 0
        self._changed = threading.Condition()
        self._watching = 0
        self._ended = False

    def look(self) -> Seen:
        """Look once, and render if the page would show something else. Raises what a look raises."""
        report = self._view.look()
        if self._is_old(report) and time.monotonic() >= self._due:
            report = self._render()
        return seen_of(report, self._number)

    def page(self) -> BinaryIO:
        """The latest rendering, open for reading; there is one after a first look. Raises OSError."""
        return self._path(self._number).open("rb")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Meanwhile somebody watches."""
        self._watchers(1)
        try:
            yield
        finally:
            self._watchers(-1)

    def keep_looking(self) -> None:
        """Look while somebody watches, until `end`; in a thread of its own. A look that fails is tried again."""
        while self._is_wanted():
            seen = self._look_again()
            self._tell(seen)
            with self._changed:
                self._changed.wait_for(lambda: self._ended, EVERY_S if seen.live else AT_REST_S)

    def end(self) -> None:
        """Look no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _is_wanted(self) -> bool:
        """Wait until somebody watches; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._watching or self._ended)
            return not self._ended

    def _watchers(self, more: int) -> None:
        with self._changed:
            self._watching += more
            self._changed.notify_all()

    def _look_again(self) -> Seen:
        try:
            return self.look()
        except Exception as error:  # whatever went wrong: who watches reads it, and the next look may go well
            trouble = shown(f"{type(error).__name__}: {error}")
            return Seen(page=self._number, as_of="", state="", live=False, trouble=trouble)

    def _is_old(self, report: RunReport) -> bool:
        return shows(report) != self._shown

    def _render(self) -> RunReport:
        """The page as the run is now, into a file of its own."""
        began, number = time.monotonic(), self._number + 1
        page = page_of(self._view, self._options)
        self._path(number).write_bytes(render(page, live=number).encode("utf-8", "backslashreplace"))
        self._number, self._shown = number, shows(page.report)
        self._path(number - KEPT).unlink(missing_ok=True)
        ended = time.monotonic()
        self._due = due_at(ended, ended - began)
        return page.report

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.html"
