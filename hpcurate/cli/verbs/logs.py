"""`hpcurate logs`: what workers, stages and gates wrote; of a stage, a shard, a task, or only what failed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hpcurate.cli.setups import setup_lines
from hpcurate.cli.terminal import say, show
from hpcurate.cli.text import one_line, styled
from hpcurate.cli.verbs.common import heading, run_parser, the_run
from hpcurate.errors import ConfigError, StoreError
from hpcurate.masks import mask
from hpcurate.report.alike import Alike, alike
from hpcurate.report.dead_letters import LocatedDeadLetter, dead_letters
from hpcurate.report.growing import Growing
from hpcurate.report.logs import gate_logs, shard_of_task, worker_logs, worker_of
from hpcurate.report.run_view import RunView
from hpcurate.report.setups import setup_failures
from hpcurate.report.tracebacks import places
from hpcurate.runs.commands import verb as verb_line
from hpcurate.runs.state import RunState

FOLLOWED = 10
"""Lines of each log with which `-f` begins."""
EVERY_S = 0.5
"""Between two looks at the logs."""
LOOK_S = 2.0
"""Between two looks at the run."""
NAMED = 20
"""Tasks that failed like another one and are named."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate logs --help`."""
    made = run_parser("logs", "what workers and stages wrote, in the order of the pipeline")
    made.add_argument("--stage", help="only of this stage")
    made.add_argument("--shard", help="only of the worker that had this shard last")
    made.add_argument("--task", help="only of the worker that had this task: its id, or a part of its file's path")
    made.add_argument("--worker", type=int, help="only of the worker with this number")
    made.add_argument("--failed", action="store_true", help="dead letters with their tracebacks, instead of logs")
    made.add_argument("--gate", action="store_true", help="what the gates wrote, instead")
    made.add_argument("-n", "--lines", type=int, metavar="N", help=f"only the last lines of each; with -f {FOLLOWED}")
    made.add_argument("-f", "--follow", action="store_true", help="what is written from now on, until the run ends")
    return made


def verb(argv: list[str]) -> int:
    """Print them. Raises StoreError where there is no such log."""
    options = parser().parse_args(argv[1:])
    if options.follow and options.failed:
        raise ConfigError("hpcurate logs -f --failed: dead letters do not grow; leave out one of the two")
    view = RunView(the_run(options), repeated=options.follow)
    if options.failed:
        setups = setup_lines(setup_failures(view.run, view.frozen, view.look()))[1:]  # without the line above them
        dead = _with_task(dead_letters(view, options.stage), options.task or "")
        lines = [*setups, *failed_lines(alike(dead, places(view.frozen.command.folder)))]
        show(lines)
        if not lines:
            say(f"no dead letters of {view.run.name}; next: {verb_line('why', view.run.name, view.run.store.root)}")
    elif options.follow:
        _follow(view, _finder(view, options), FOLLOWED if options.lines is None else options.lines)
    else:
        _Printer()(Growing(options.lines).news(_some(view, _finder(view, options)), to_the_end=True))
    return 0


def failed_lines(found: Iterable[Alike]) -> Iterator[str]:
    """Dead letters with their tracebacks, one for all that are alike. Pure."""
    for one in found:
        letter = one.example.letter
        yield styled(f"== {letter.stage}: {one_line(one.example.name)}", "heading")
        yield f"{letter.error}: {letter.message}"
        yield from one.trace
        yield from _others(one.others)


def _others(names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMED:,} others" if len(names) > NAMED else ""
    return [f"and {len(names):,} more like it: {', '.join(map(one_line, names[:NAMED]))}{more}"]


def _with_task(dead: Iterable[LocatedDeadLetter], task: str) -> Iterator[LocatedDeadLetter]:
    """Those that have the text in their id or name."""
    return (one for one in dead if task in f"{one.letter.id} {one.name}")


# -- logs -------------------------------------------------------------------------------------------


def _follow(view: RunView, logs: Callable[[], list[Path]], lines: int) -> None:
    """Print what comes, of workers that begin meanwhile, too. Ctrl-C stops that, not the run."""
    growing, printer = Growing(lines), _Printer()
    try:
        while (report := view.look()).state is RunState.RUNNING:
            until = time.monotonic() + LOOK_S
            while time.monotonic() < until:
                printer(growing.news(logs()))
                time.sleep(EVERY_S)
        printer(growing.news(_some(view, logs), to_the_end=True))
        say(heading(report))
    except KeyboardInterrupt:
        again = verb_line("logs", view.run.name, view.run.store.root, "-f")
        say(f"{view.run.name} is not stopped; to follow it again: {again}")


class _Printer:
    """Prints texts of logs, and above each the log's path where the one before was another's."""

    def __init__(self) -> None:
        self._last: Path | None = None

    def __call__(self, texts: Iterable[tuple[Path, str]]) -> None:
        """Print them as they are: whoever wrote them may have used colours."""
        for path, text in texts:
            if path != self._last:
                show([styled(f"== {path}", "heading")])
            print(mask(text), end="", flush=True)
            self._last = path


def _some(view: RunView, logs: Callable[[], list[Path]]) -> list[Path]:
    """Those that are there. Raises StoreError where there is none."""
    there = logs()
    if not there:
        names = ", ".join(planned.name for planned in view.planned)
        raise StoreError(
            f"{view.run.path}: no such log; the run's stages are {names}, and hpcurate why says what is known where "
            "nothing was written"
        )
    return there


def _finder(view: RunView, options: argparse.Namespace) -> Callable[[], list[Path]]:
    """Lists the logs that are meant and are there by then. Raises StoreError for an unknown task or shard."""
    if options.gate:
        return lambda: gate_logs(view.run)
    stage, worker = options.stage, options.worker
    shard = options.shard or (_shard_of(view, options.task, stage) if options.task else None)
    if shard:
        stage, worker = _worker_of(view, shard, stage)
    stages = [planned.name for planned in view.planned]
    return lambda: list(worker_logs(view.run, stages, stage, worker))


def _shard_of(view: RunView, task: str, stage: str | None) -> str:
    shard = shard_of_task(view, task, stage)
    if shard is None:
        raise StoreError(
            f"--task {task}: no committed shard has such a task; `hpcurate logs --failed` lists the failed ones"
        )
    return shard


def _worker_of(view: RunView, shard: str, stage: str | None) -> tuple[str, int]:
    worker = worker_of(view, shard, stage)
    if worker is None:
        raise StoreError(
            f"--shard {shard}: nobody has claimed such a shard; see the names in {view.run.store.stages}/*/claims"
        )
    return worker
