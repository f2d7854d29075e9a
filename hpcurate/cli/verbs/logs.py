"""`hpcurate logs`: what workers, stages and gates wrote; of a stage, a shard, a task, or only what failed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hpcurate.cli.setups import setup_lines
from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import run_parser, the_run
from hpcurate.errors import StoreError
from hpcurate.masks import mask
from hpcurate.report.dead_letters import LocatedDeadLetter, dead_letters
from hpcurate.report.logs import gate_logs, shard_of_task, worker_logs, worker_of
from hpcurate.report.run_view import RunView
from hpcurate.report.setups import setup_failures
from hpcurate.report.tracebacks import of_the_checkout, places


def verb(argv: list[str]) -> int:
    """Print them. Raises StoreError where there is no such log."""
    options = parser().parse_args(argv[1:])
    view = RunView(the_run(options))
    if options.failed:
        place = places(view.frozen.command.folder)
        show(setup_lines(setup_failures(view.run, view.frozen, view.look())))
        show(failed_lines(dead_letters(view, options.stage), options.task or "", place))
    else:
        _print_logs(_logs(view, options))
    return 0


def parser() -> argparse.ArgumentParser:
    """See `hpcurate logs --help`."""
    made = run_parser("logs", "what workers and stages wrote")
    made.add_argument("--stage", help="only of this stage")
    made.add_argument("--shard", help="only of the worker that had this shard last")
    made.add_argument("--task", help="only of the worker that had this task: its id, or a part of its file's path")
    made.add_argument("--worker", type=int, help="only of the worker with this number")
    made.add_argument("--failed", action="store_true", help="dead letters with their tracebacks, instead of logs")
    made.add_argument("--gate", action="store_true", help="what the gates wrote, instead")
    return made


def failed_lines(
    dead: Iterable[LocatedDeadLetter], task: str, place: Callable[[str], str] = lambda path: path
) -> Iterator[str]:
    """Dead letters with their tracebacks; with `task` only those that have it in their id or name. Pure."""
    for located in dead:
        letter = located.letter
        if task in f"{letter.id} {located.name}":
            yield f"== {letter.stage}: {located.name}"
            trace = "\n".join(of_the_checkout(letter.traceback, place))
            yield f"{letter.error}: {letter.message}\n{trace}"


def _logs(view: RunView, options: argparse.Namespace) -> list[Path]:
    """The files that are meant. Raises StoreError."""
    stage, worker = options.stage, options.worker
    shard = options.shard or (_shard_of(view, options.task, stage) if options.task else None)
    if shard:
        stage, worker = _worker_of(view, shard, stage)
    logs = gate_logs(view.run) if options.gate else list(worker_logs(view.run, stage, worker))
    if not logs:
        names = ", ".join(planned.name for planned in view.planned)
        raise StoreError(
            f"{view.run.path}: no such log; the run's stages are {names}, and hpcurate why says what is known where "
            "nothing was written"
        )
    return logs


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


def _print_logs(logs: Iterable[Path]) -> None:
    for path in logs:
        show([f"== {path}"])
        print(mask(path.read_text(errors="backslashreplace")), end="")
