"""Everything that the command line writes to a terminal: lines, tables, progress bars, a live screen, the end of a run.

Names of files may be any bytes, and errors may quote secrets: all text passes through `printable`.
rich is loaded only where something is drawn.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from hpcurate.cli.tables import Row, Table, fitting
from hpcurate.cli.text import (
    BAR,
    Bar,
    Styled,
    harmless,
    in_colours,
    in_encoding,
    one_line,
    parts_of,
    styled,
    with_commands,
)
from hpcurate.masks import mask, mask_plain
from hpcurate.report.columns import json_text
from hpcurate.report.rates import percent
from hpcurate.units import plural

if TYPE_CHECKING:
    from hpcurate.runs.outcome import Outcome
    from hpcurate.runs.reconcile import StageView
    from hpcurate.runs.summary import RunReport
    from hpcurate.runs.work_seen import StageWork

STATES = {
    "complete": "good",
    "running": "working",
    "failed": "bad",
    "stalled": "bad",
    "incomplete": "bad",
    "cancelled": "dim",
}
"""State of a run → style."""


# -- lines ------------------------------------------------------------------------------------------


def show(lines: Iterable[str]) -> None:
    """Print results, to stdout."""
    for line in drawn(lines, Terminal.of(sys.stdout)):
        print(line)
    sys.stdout.flush()


def show_json(plain: Any) -> None:
    """Print what `--json` asks for, with secrets masked, as JSON that every reader takes."""
    print(json_text(mask_plain(plain), indent=1), flush=True)


def say(line: str) -> None:
    """Print one line of progress, to stderr: stdout is for results."""
    for one in drawn([line], Terminal.of(sys.stderr)):
        print(one, file=sys.stderr, flush=True)


def say_error(message: str) -> None:
    """Print what was refused or went wrong, to stderr."""
    say(styled("hpcurate:", "bad") + " " + with_commands(message))


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False, whole: bool = False
) -> list[str]:
    """Rows in columns as wide as needed; with `numbers`, all columns but the first are aligned right. Pure.

    Where they are shown on a terminal they fit it: see `hpcurate.cli.tables`. With `whole`, nothing of the first column
    is left out: it is what one types.
    """
    cells = tuple(tuple(map(one_line, row)) for row in (header, *rows))
    return Row.all_of(Table(cells, tuple(numbers and column > 0 for column in range(len(header))), whole))


def state(name: str) -> Styled:
    """The name of a run's state, in its colour. Pure."""
    return styled(name, STATES.get(name, ""))


def printable(text: str) -> str:
    """Text that any terminal can show: bytes that are no UTF-8 become `\\udcff`, and secrets are masked."""
    if isinstance(text, Bar):
        return text
    masked = mask(text)
    parts = parts_of(text) if masked == text else ((masked, ""),)
    clean = [(harmless(part.expandtabs()).encode("utf-8", "backslashreplace").decode(), style) for part, style in parts]
    return Styled(*clean) if isinstance(text, Styled) else clean[0][0]


class Terminal(msgspec.Struct, frozen=True):
    """Where lines go."""

    width: int | None
    """Cells; None for a file or a pipe, where nothing is shortened."""
    colours: bool
    encoding: str

    @classmethod
    def of(cls, stream: TextIO) -> Terminal:
        """That of a stream. `COLUMNS` and `NO_COLOR`, `FORCE_COLOR`, `CLICOLOR_FORCE` are honoured."""
        there = stream.isatty()
        width = _columns(stream) if there else None
        return cls(width, wants_colours(os.environ, terminal=there), stream.encoding or "ascii")


def _columns(stream: TextIO) -> int:
    """Of a terminal; one that does not know has 80."""
    with suppress(ValueError, OSError):
        return int(os.environ.get("COLUMNS", "")) or 80
    with suppress(OSError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def wants_colours(environment: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether to print in colours (no-color.org, bixense.com/clicolors). Pure."""
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return terminal and environment.get("TERM") != "dumb" and environment.get("CLICOLOR") != "0"


def drawn(lines: Iterable[str], terminal: Terminal) -> Iterator[str]:
    """Lines as this terminal shows them. Pure but for the secrets that are masked."""

    def clean(text: str) -> str:
        return in_encoding(printable(text), terminal.encoding)

    for line in fitting(lines, terminal.width, clean):
        yield in_encoding(in_colours(line) if terminal.colours else str(line), terminal.encoding, ellipsis="~")


def take_any_text() -> None:
    """From now on nothing stops a line from being printed: what the encoding lacks is escaped, and a stream that was
    closed (`>&-`) takes it.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# -- how a run ends ---------------------------------------------------------------------------------


def show_end(outcome: Outcome) -> None:
    """Print the last lines of a call: why a stage cannot be started, where the run is, and what to type next."""
    show([*_setup_lines(outcome), *_advice_lines(outcome), *end_lines(outcome.report)])


def _setup_lines(outcome: Outcome) -> list[str]:
    from hpcurate.cli.setups import setup_lines
    from hpcurate.report.setups import setup_failures
    from hpcurate.runs.state import RunState

    if outcome.state is not RunState.STALLED:
        return []
    return setup_lines(setup_failures(outcome.run, outcome.run.frozen(), outcome.report))


def _advice_lines(outcome: Outcome) -> list[str]:
    from hpcurate.runs.state import RunState

    if outcome.state is not RunState.COMPLETE:
        return []
    from hpcurate.cli.verbs.advise import after_run

    return after_run(outcome.run, outcome.report)


def end_lines(report: RunReport) -> list[str]:
    """Output, next command, then run and state. Pure."""
    from hpcurate.runs.state import RunState

    reason = f": {report.reason}" if report.reason and report.state is not RunState.RUNNING else ""
    failed = f", {plural(report.failed, 'dead letter')} (hpcurate why)" if report.failed else ""
    lost = f", {plural(report.not_returned, 'task')} not returned (hpcurate why)" if report.not_returned else ""
    where = styled(report.run, "heading") + ": " + state(report.state.value)
    return [*output_line(report), *following(report), where + f"{reason}{failed}{lost}"]


def output_line(report: RunReport) -> list[str]:
    """Where the result is, of a run that has a stage that writes one. Pure."""
    return [f"output: {report.output}"] if report.output else []


def following(report: RunReport, folder: str | None = None) -> list[str]:
    """What to type now, each command at the end of its line; in the folder of the run's command without entering it."""
    from hpcurate.runs.commands import from_here

    lines = from_here(report.next, _here() if folder is None else folder).splitlines()
    return [_step("     " if number else "next:", line) for number, line in enumerate(lines)]


def _step(head: str, line: str) -> str:
    found = re.search(r"(?<!\S)(?:cd|hpcurate) .*", line)
    return f"{head} {line[: found.start()]}" + styled(found[0], "command") if found else f"{head} {line}"


def _here() -> str:
    with suppress(OSError):  # somebody removed it
        return os.getcwd()
    return ""


# -- progress bars ----------------------------------------------------------------------------------


class Bars:
    """One progress bar for each stage. Called with every look at the run; the first call draws."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def __call__(self, views: Sequence[StageView], works: Callable[[], Mapping[str, StageWork]] = dict) -> None:
        """Show where each stage stands, with what is in work in it."""
        at_work = works()
        for view in views:
            counts, work = view.counts, at_work.get(view.name)
            ends = {"in": counts.tasks_in, "out": counts.tasks_out, "dropped": counts.dropped, "failed": counts.failed}
            detail = ", ".join(f"{count:,} {end}" for end, count in ends.items() if count)
            share = counts.progress(work.weight_done if work else 0.0)
            shards = "?" if counts.shards is None else f"{counts.shards_done}/{counts.shards}"
            self._update(view.name, share, shards, detail if counts.shards else "")

    def listing(self, count: int) -> None:
        """Show how many items of the input are listed so far; the total is not known yet."""
        self._update("input", None, str(count), "listed")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._drawn().console.print(printable(line), highlight=False, markup=False)

    def close(self) -> None:
        """Stop drawing and leave the bars on the screen."""
        if self._progress is not None:
            self._progress.stop()

    def _update(self, name: str, share: float | None, count: str, detail: str) -> None:
        progress = self._drawn()
        if name not in self._tasks:
            self._tasks[name] = progress.add_task(name, total=None, done="", count="", detail="")
        total, done = (None, "") if share is None else (1.0, percent(share))
        progress.update(self._tasks[name], total=total, completed=share or 0.0, done=done, count=count, detail=detail)

    def _drawn(self) -> Any:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            console = Console(stderr=True)
            columns = (
                TextColumn("{task.description:>12}"),
                BarColumn(BAR if console.width > 100 else BAR // 3),
                TextColumn("{task.fields[done]:>4}"),
                TextColumn("{task.fields[count]:>7}"),
                TextColumn("{task.fields[detail]}"),
            )
            self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
            self._progress.start()
        return self._progress


def bar(done: float, total: float | None, width: int = BAR) -> str:
    """`████░░░░`; empty while the total is not known, full where there is nothing to do. Pure."""
    return Bar(done, total, width)


# -- a screen that is drawn again and again ---------------------------------------------------------

Draw = Callable[[list[str], object], None]
"""Called with the lines, and with what they are about apart from how long things have taken."""
ELSEWHERE_S = 10.0
"""Where there is no terminal: so long after a block another one may differ in nothing but that."""


@contextmanager
def live_screen() -> Iterator[Draw]:
    """On a terminal, lines are drawn in place; elsewhere they are printed when they have changed, and not too often."""
    if not sys.stdout.isatty():
        yield _print_changes()
        return
    from rich.live import Live
    from rich.text import Text

    stream = sys.stdout  # while it is live, sys.stdout is something else
    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda lines, about: live.update(
            Text.from_ansi("\n".join(drawn(lines, Terminal.of(stream))), no_wrap=True), refresh=True
        )


def _print_changes() -> Draw:
    printed: tuple[list[str], object, float] = [], None, float("-inf")

    def draw(lines: list[str], about: object) -> None:
        nonlocal printed
        now = time.monotonic()
        if lines != printed[0] and (about != printed[1] or now - printed[2] >= ELSEWHERE_S):
            show([*lines, ""])
            printed = lines, about, now

    return draw
