"""Looking after runs: status, logs, cancel. Everything is read from files; the scheduler is asked once."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcurate.cli.places import find_store
from hpcurate.driver import Driver, cancel, look
from hpcurate.errors import StoreError
from hpcurate.launcher import make_launcher
from hpcurate.runs import Run, find_run
from hpcurate.store.claims import Claim, latest_attempts
from hpcurate.store.layout import Store, fan_of
from hpcurate.summary import RunState

SHOWN = 10
"""Dead letters that `status` shows."""


def verb(argv: list[str]) -> int:
    """Run one verb; the exit status."""
    options = _parser().parse_args(argv)
    store = Store(os.path.abspath(find_store(options.store)))
    if not os.path.isdir(store.runs):
        raise StoreError(f"--store {store.root}: is no store; it has no runs/ folder")
    run = find_run(store, options.run)
    return {"status": _status, "logs": _logs, "cancel": _cancel}[options.verb](run, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hpcurate")
    verbs = parser.add_subparsers(dest="verb", required=True)
    status = verbs.add_parser("status", help="where a run stands")
    status.add_argument("--json", action="store_true", help="print summary.json")
    logs = verbs.add_parser("logs", help="what its workers and stages wrote")
    logs.add_argument("--stage", help="of this stage only")
    logs.add_argument("--shard", help="of the worker that did, or does, this shard")
    logs.add_argument("--worker", type=int, help="of this worker only")
    logs.add_argument("--failed", action="store_true", help="the dead letters with their tracebacks instead")
    verbs.add_parser("cancel", help="stop what nobody else wants")
    for one in verbs.choices.values():
        one.add_argument("run", nargs="?", help="name, path or part of a name; default: the latest")
        one.add_argument("--store", help="default: HPCURATE_STORE, then the last one used")
    return parser


# -- status -----------------------------------------------------------------------------------------


def _status(run: Run, options: argparse.Namespace) -> int:
    summary = look(run)
    if options.json:
        print(json.dumps(summary, indent=1))
    else:
        print("\n".join(status_lines(summary, list(_first(dead_letters(run), SHOWN)))))
    return RunState(summary["state"]).exit_status


def status_lines(summary: dict[str, Any], letters: list[dict[str, Any]]) -> list[str]:
    """The table that `status` prints. Pure."""
    header = ("stage", "shards", "in", "out", "dropped", "failed", "seconds")
    rows = [header, *(_row(name, counts) for name, counts in summary["stages"].items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [f"{summary['run']}  {summary['state']}" + (f": {summary['reason']}" if summary["reason"] else ""), ""]
    for row in rows:
        lines.append(
            "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
        )
    failed = sum(counts["failed"] for counts in summary["stages"].values())
    if failed:
        lines += [
            "",
            f"{failed} dead letter{'s' * (failed != 1)}"
            + (f", the first {len(letters)}:" if failed > len(letters) else ":"),
        ]
        lines += [
            f"  {letter['stage']}: {describe_task(letter)}: {letter['error']}: {letter['message']}"
            for letter in letters
        ]
    lines += ["", f"output: {summary['output']}"]
    return lines + ([f"next: {summary['next']}"] if summary["next"] else [])


def _row(name: str, counts: dict[str, Any]) -> tuple[str, ...]:
    shards = "?" if counts["shards"] is None else f"{counts['shards_done']}/{counts['shards']}"
    told = [str(counts[key]) for key in ("in", "out", "dropped", "failed")]
    return (name, shards, *told, f"{counts['seconds']:.1f}")


def describe_task(letter: dict[str, Any]) -> str:
    """What a user knows a task by: the path of its file where it has one, else its id."""
    task = letter.get("task") or {}
    name = str(task.get("path") or task.get("source") or letter["id"])
    return name.encode("utf-8", "backslashreplace").decode()


def _first(items: Iterator[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    for _, item in zip(range(count), items):
        yield item


def dead_letters(run: Run) -> Iterator[dict[str, Any]]:
    """Rows of `failed.jsonl` over the live set, in order."""
    frozen = run.frozen()
    observer = Driver(run, make_launcher(frozen.launcher)).observer
    for stage, view in zip(frozen.pipeline.stages, observer.look(), strict=True):
        if not view.ready or not view.counts.failed:
            continue
        folder = observer.folder(stage)
        for name in observer.live_lists(stage):
            found = observer.read(stage, name)
            for line in found.lines if found else ():
                yield from _rows(Path(folder.shard(line.id), "failed.jsonl"))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_bytes().splitlines():
            yield json.loads(line)


# -- logs -------------------------------------------------------------------------------------------


def _logs(run: Run, options: argparse.Namespace) -> int:
    if options.failed:
        for letter in dead_letters(run):
            if options.stage in (None, letter["stage"].partition("/")[0]):
                print(f"== {letter['stage']}: {describe_task(letter)}")
                print(f"{letter['error']}: {letter['message']}\n{letter['traceback']}")
        return 0
    worker = options.worker
    wanted = None
    if options.shard:
        wanted, worker = _worker_of(run, options.stage, options.shard)
    found = list(_log_files(run, wanted or options.stage, worker))
    if not found:
        raise StoreError(
            f"{run.path}: no such log; its stages are {', '.join(s.name for s in run.frozen().pipeline.stages)}"
        )
    for path in found:
        print(f"== {path}")
        print(path.read_text(errors="backslashreplace"), end="")
    return 0


def _log_files(run: Run, stage: str | None, worker: int | None) -> Iterator[Path]:
    for folder in sorted(Path(run.path, "submissions").glob("*")):
        if stage is not None and folder.name.rpartition("-")[0] != stage:
            continue
        for path in sorted((folder / "logs").glob("*.log")):
            if worker is None or int(path.stem) == worker:
                yield path
        yield from (p for p in sorted(folder.glob("array-*.out")) if worker is None and p.stat().st_size)


def _worker_of(run: Run, stage_name: str | None, shard: str) -> tuple[str, int]:
    """(stage, worker index) of the latest attempt of a shard. Raises StoreError."""
    for stage in run.frozen().pipeline.stages:
        if stage_name not in (None, stage.name):
            continue
        folder = run.store.stage(stage.folder)
        try:
            latest = latest_attempts(os.listdir(folder.claims(fan_of(shard))))[shard]
            claim = Claim.from_bytes(Path(folder.claim(shard, latest.attempt)).read_bytes())
        except (OSError, KeyError):
            continue
        return stage.name, worker_index(claim.worker)
    raise StoreError(f"--shard {shard}: nobody has claimed such a shard; look into {run.store.stages}")


def worker_index(worker: str) -> int:
    """`1234-7-r0-ab12cd34` → 7. Pure."""
    match = re.fullmatch(r".*-(\d+)-r\d+-\w+", worker)
    return int(match[1]) if match else 0


# -- cancel -----------------------------------------------------------------------------------------


def _cancel(run: Run, options: argparse.Namespace) -> int:
    for line in cancel(run):
        print(line)
    print(f"{run.name}: cancelled; the run's command again goes on where it stopped")
    return 0
