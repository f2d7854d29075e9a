"""Start or continue runs from a command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from hpcurate.cli.start.compose import chosen, compose, dump
from hpcurate.cli.start.inputs import read_source
from hpcurate.cli.start.overrides import Typed, as_typed, combinations, sort_arguments
from hpcurate.cli.start.request import choose_launcher, for_debug, request_of, settings_of
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.start.steps import read_steps
from hpcurate.cli.store_choice import refuse_unmounted, remember_store
from hpcurate.cli.terminal import Bars, say, show, show_end, table
from hpcurate.config_files import conf_folders, names_in
from hpcurate.errors import UserError
from hpcurate.planning.epochs import Epochs
from hpcurate.runs.outcome import Outcome
from hpcurate.runs.prepare import Request
from hpcurate.runs.preview import Preview, preview
from hpcurate.runs.start import start
from hpcurate.system import garbage

LISTING_S = 5.0
"""Seconds between two lines about a long listing."""


def launch(argv: list[str]) -> int:
    """One run, or one for each combination of a sweep. The worst exit status wins."""
    typed = sort_arguments(argv)
    if typed.help:
        from hpcurate.cli.start.pipeline_help import show_help

        return show_help(typed)
    if typed.show_config:
        from hpcurate.cli.start.configuration import part_of_config

        print(dump(part_of_config(typed)), end="")
        return 0
    if typed.show_info:
        from hpcurate.cli.start.configuration import info_lines

        show(info_lines(chosen(typed.overrides, typed.config_dirs), conf_folders(typed.config_dirs)))
        return 0
    return _sweep(typed) if typed.multirun else _one(typed)


def read_request(typed: Typed, epochs: Epochs | None = None) -> tuple[Request, Settings]:
    """What a command line asks for. Raises UserError."""
    composed = compose(typed.overrides, typed.paths, typed.config_dirs)
    settings = settings_of(composed)
    for one in composed.unused:
        say(f"params.{one.name}: declared in {one.file}, and nothing of this pipeline uses it")
    read_source(settings.source)  # what is wrong with source and stages is reported before a scheduler is asked
    read_steps(settings.stages)
    settings, note = for_debug(settings) if settings.debug else choose_launcher(settings)
    if note:
        say(note)
    return request_of(settings, composed, typed, epochs), settings


def _one(typed: Typed) -> int:
    return carry_out(*read_request(typed))


def carry_out(request: Request, settings: Settings) -> int:
    """Run a request, or print what it would do; the exit status."""
    if settings.dry_run:
        _show_preview(preview(request))
        return 0
    outcome = start_and_show(request, settings)
    if settings.debug:
        _show_tracebacks(outcome)
    show_end(outcome)
    return outcome.state.exit_status


def _sweep(typed: Typed) -> int:
    rows: list[_Row] = []
    epochs = None
    for one in combinations_of(typed):
        changed = " ".join(o.lstrip("+") for o in one.overrides if o not in typed.overrides)
        try:
            request, settings = read_request(one, epochs)
            epochs = request.epochs
            identity = request.identity()
            same = next((row for row in rows if row.identity == identity), None)
            if same is not None:
                same.overrides.append(changed)
            else:
                rows.append(_Row(identity, [changed], *_start_or_preview(request, settings)))
        except UserError as error:
            rows.append(_Row("", [changed], "-", f"refused: {error}", 2))
    show(table(("run", "overrides", "state"), [(row.run, " or ".join(row.overrides), row.state) for row in rows]))
    for row in (row for row in rows if len(row.overrides) > 1):
        say(
            f"{row.run}: {len(row.overrides)} combinations are one run, and the first of them was taken: "
            "what they differ in changes no result"
        )
    return max((row.status for row in rows), default=0)


class _Row(msgspec.Struct):
    """One run of a sweep, or a combination that was refused."""

    identity: str
    """Empty for one that was refused: the next of the same identity may not be."""
    overrides: list[str]
    """Of each combination that is this run."""
    run: str
    state: str
    status: int


def _start_or_preview(request: Request, settings: Settings) -> tuple[str, str, int]:
    """(run, state, exit status)."""
    if settings.dry_run:
        seen = preview(request)
        _show_preview(seen)
        return (seen.run.name if seen.run else "a new one", "not started", 0)
    outcome = start_and_show(request, settings)
    return (outcome.run.name, outcome.state.value, outcome.state.exit_status)


def combinations_of(typed: Typed) -> Iterator[Typed]:
    """The command lines that a sweep stands for."""
    folders = conf_folders(typed.config_dirs)
    for overrides in combinations(typed.overrides, lambda group: names_in(folders, group)):
        words = (*(f"{k}={v}" for k, v in typed.paths.items()), *map(as_typed, overrides))
        yield msgspec.structs.replace(typed, overrides=overrides, words=words)


def _show_preview(seen: Preview) -> None:
    from hpcurate.cli.verbs.explain import preview_lines  # here: what starts a run explains nothing

    show(preview_lines(seen))


def previews(argv: list[str]) -> list[Preview]:
    """What the command would do, for each combination. Raises UserError."""
    typed = sort_arguments(argv)
    every = combinations_of(typed) if typed.multirun else [typed]
    return [preview(read_request(one)[0]) for one in every]


def start_and_show(request: Request, settings: Settings) -> Outcome:
    """Run a request, with bars on a terminal."""
    refuse_unmounted(request.store)
    with shown(bars=not settings.debug) as (echo, progress):
        return start(
            request,
            echo=echo,
            progress=progress,
            listing=progress.listing if progress else Listing(say),
            opened=lambda run: None if settings.debug else remember_store(request.store),
        )


@contextmanager
def shown(*, bars: bool = True) -> Iterator[tuple[Callable[[str], None], Bars | None]]:
    """How lines are printed, and bars that show progress, on a terminal, while a run is started and carried out."""
    garbage.as_usual()
    drawn = Bars() if bars and sys.stderr.isatty() else None
    try:
        yield drawn.say if drawn else say, drawn
    finally:
        if drawn:
            drawn.close()


def _show_tracebacks(outcome: Outcome) -> None:
    from hpcurate.report.dead_letters import dead_letters
    from hpcurate.report.run_view import RunView

    for located in dead_letters(RunView(outcome.run)):
        say(f"== {located.letter.stage}: {located.name}\n{located.letter.traceback}")


class Listing:
    """A line now and then during a long listing."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo, self._next = echo, time.monotonic() + LISTING_S

    def __call__(self, count: int) -> None:
        """So many items are listed."""
        if time.monotonic() >= self._next:
            self._echo(f"input: {count} so far")
            self._next = time.monotonic() + LISTING_S
