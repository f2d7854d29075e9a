"""What several verbs share: which run is meant, and lines that more than one of them prints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.store_choice import StoreChoice, choose_store, last_store
from hpcurate.cli.terminal import say, say_error, state
from hpcurate.cli.text import Styled, one_line, styled
from hpcurate.errors import ConfigError, StoreError, UserError
from hpcurate.report.dead_letters import LocatedDeadLetter
from hpcurate.report.progress import SHOWN, is_slow
from hpcurate.report.queue import describe
from hpcurate.runs.folder import Run, find_run
from hpcurate.runs.launcher import JobRow
from hpcurate.runs.state import StageGpu
from hpcurate.runs.summary import RunReport, StageInWork, StageReport, TaskInWork
from hpcurate.store.layout import Store
from hpcurate.units import duration, memory_text, plural

STORE_HELP = (
    "folder of the store; also store=DIR; default: HPCURATE_STORE, the site profile's, then that of the last run"
)
SITE_HELP = "profile of conf/site that names the store; also site=NAME; default: yours"
RUN_HELP = "name, path or part of a name; default: the latest run"


def run_parser(name: str, description: str) -> VerbParser:
    """A parser for `hpcurate NAME [RUN] [--store DIR] [--site NAME]`."""
    parser = store_parser(name, description)
    parser.add_argument("run", nargs="?", metavar="RUN", help=RUN_HELP)
    return parser


def store_parser(name: str, description: str) -> VerbParser:
    """A parser for `hpcurate NAME [--store DIR] [--site NAME]`."""
    parser = VerbParser(name, description)
    parser.add_argument("--store", metavar="DIR", help=STORE_HELP)
    parser.add_argument("--site", metavar="NAME", help=SITE_HELP)
    return parser


def ending_at_once(act: Callable[[], int]) -> int:
    """The exit status of a verb that may solve or build environments.

    Threads of the solver's library may still run when the interpreter ends, and have been seen to abort it:
    where it was loaded the process exits at once, after everything is written.
    """
    try:
        status = act()
    except UserError as error:
        if "rattler" not in sys.modules:
            raise
        say_error(str(error))
        status = 2
    if "rattler" in sys.modules:
        sys.stdout.flush()
        os._exit(status)
    return status


def store_path(options: argparse.Namespace) -> str:
    """Folder of the store that is meant. On a terminal, one that nobody named is shown, with who named it."""
    choice = choose_store(options.store, options.site)
    if choice.by and sys.stderr.isatty() and not getattr(options, "json", False):
        say(styled(_chosen(choice), "dim"))
    return os.path.abspath(choice.path)


def the_store(options: argparse.Namespace) -> Store:
    """The store that is meant. Raises StoreError where there is none."""
    choice = choose_store(options.store, options.site)
    store = Store(os.path.abspath(choice.path))
    if not os.path.isdir(store.runs):
        raise StoreError(
            f"--store {store.root}: not a store, it has no runs/ folder; name a store that has runs, or see that this "
            "one is mounted"
        )
    doubt = _doubt(choice, store)
    if doubt:
        say(doubt)
    else:
        store_path(options)
    return store


def the_run(options: argparse.Namespace) -> Run:
    """The run that is meant. Raises StoreError listing the candidates."""
    return find_run(the_store(options), options.run)


def the_run_without_doubt(options: argparse.Namespace) -> Run:
    """The run that is meant, for a verb that changes something. Raises StoreError where another could be."""
    choice = choose_store(options.store, options.site)
    doubt = _doubt(choice, Store(os.path.abspath(choice.path)))
    if doubt and options.run is None:
        raise StoreError(f"{doubt}; name the run or its store")
    return the_run(options)


def one_name(name: str, words: Sequence[str]) -> str | None:
    """The run among `RUN` and `key=value` of a verb; None: the latest. Raises ConfigError for more than one."""
    runs = [word for word in words if "=" not in word]
    if len(runs) > 1:
        raise ConfigError(f"hpcurate {name} {' '.join(runs)}: name one run, and keys as key=value")
    return next(iter(runs), None)


def _doubt(choice: StoreChoice, store: Store) -> str:
    """That nobody has named the store, and the last run was started in another one; empty if there is no doubt."""
    last = last_store() if choice.by else None
    if last is None or not os.path.isdir(Store(last).runs) or os.path.samefile(last, store.root):
        return ""
    return f"{_chosen(choice)}; the last run is in --store {last}"


def _chosen(choice: StoreChoice) -> str:
    """Which store is meant, and who named it. Pure."""
    return f"store {choice.path} ({choice.by})"


# -- lines, pure ------------------------------------------------------------------------------------


def heading(report: RunReport) -> str:
    """`RUN  STATE: REASON`."""
    reason = f": {report.reason}" if report.reason else ""
    return styled(report.run, "heading") + "  " + state(report.state.value) + reason


def failed_count(stage: StageReport) -> Styled:
    """Of a stage's dead letters: any stands out."""
    return styled(str(stage.failed), "bad" if stage.failed else "")


def dead_letter_line(located: LocatedDeadLetter) -> str:
    """A dead letter in one line."""
    letter = located.letter
    return f"  {letter.stage}: {one_line(located.name)}: {letter.error}: {one_line(letter.message)}"


def gpu_lines(report: RunReport) -> list[str]:
    """What the GPUs of each stage did: `caption: GPU 83% busy, 11.2 GB at most, waited 4% for prepare`."""
    lines = [f"  {name}: {_gpu(stage.gpu)}" for name, stage in report.stages.items() if stage.gpu is not None]
    return ["", *lines] if lines else []


def work_lines(report: RunReport) -> list[str]:
    """What is in work in each stage: tasks that take long, and those of workers that show no sign of life."""
    at_work = [(name, stage.in_work) for name, stage in report.stages.items() if stage.in_work]
    lines = [f"  {name}: {line}" for name, work in at_work for line in _work(name, work)]
    return ["", "in work:", *lines] if lines else []


def _work(stage: str, work: StageInWork) -> list[str]:
    lines = [task_line(stage, one) for one in work.tasks]
    lines += [f"{plural(n, 'worker')} {what} for {duration(s)}" for what, (n, s) in work.starting.items()]
    if work.silent > SHOWN:
        lines.append(f"{plural(work.silent, 'shard')} in all whose workers show no sign of life")
    if work.read < work.workers:
        lines.append(f"{work.read} of {work.workers} workers were looked at, the rest is estimated")
    return lines


CURVES = 4
"""Of one task that are shown."""


def task_line(stage: str, task: TaskInWork) -> str:
    """A task that is in work: whether it takes long, or its worker shows no sign of life. Pure."""
    name = one_line(task.name) + (f" and {task.batch - 1} more" if task.batch > 1 else "")
    if task.silent_s:
        where = f"worker {task.worker}" + (f" on {task.node}" if task.node else "")
        return f"no sign of life of {where} for {duration(task.silent_s)}; it had {name} in work"
    line = f"{name} for {duration(task.seconds)}"
    line += "" if task.expected_s is None else f", {duration(task.expected_s)} expected"
    for metric, (step, value) in list(task.curves.items())[:CURVES]:
        line += f"; {metric} {'?' if value is None else f'{value:.6g}'}" + ("" if step is None else f" at step {step}")
    if not is_slow(task):
        return line
    limit = f"stages.{stage}.task_timeout"
    ends = f"{limit} ends it after {duration(task.limit_s)}" if task.limit_s else f"no {limit} would end it"
    return f"{line}: slow or hung, its worker is alive; {ends}"


def note_lines(report: RunReport) -> list[str]:
    """What is special about the rounds of each stage, and which nodes are left out."""
    lines = [f"  {name}: {note}" for name, stage in report.stages.items() for note in stage.notes]
    return ["", *lines] if lines else []


def _gpu(gpu: StageGpu) -> str:
    busy = "GPU" if gpu.busy is None else f"GPU {gpu.busy:.0%} busy"
    video = [f"{name} {share:.0%}" for name, share in (("decoder", gpu.decoder), ("encoder", gpu.encoder)) if share]
    return ", ".join([busy, f"{memory_text(gpu.memory_mb)} at most", *video, f"waited {gpu.waited:.0%} for prepare"])


def queue_lines(rows: Sequence[JobRow]) -> list[str]:
    """What runs, what is queued, why it waits, and when it is expected to start."""
    lines = ["", "running and queued:"] if rows else []
    return lines + [f"  {row.count:>6}  {row.id} {row.name}: {describe(row)}" for row in rows]
