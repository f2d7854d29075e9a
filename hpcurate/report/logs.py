"""Which log belongs to a stage, a worker, a shard, a task or a dead letter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import log_path, submission_name
from hpcurate.report.dead_letters import LocatedDeadLetter
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import Run
from hpcurate.store.claims import Claim
from hpcurate.store.layout import fan_of

ROWS = ("tasks.jsonl", "dropped.jsonl", "failed.jsonl")
"""Files of a shard in which a task may stand."""
REPORT = re.compile(r"shard \S+ attempt \d+")
"""How the line begins in which a worker reports what became of a shard."""
TAIL = 6
"""Lines shown of a job that a scheduler ended, or of a task."""


@attrs.define(frozen=True)
class Tail:
    """The end of a log."""

    path: Path
    lines: tuple[str, ...]


def worker_logs(run: Run, stages: Sequence[str], stage: str | None = None, worker: int | None = None) -> Iterator[Path]:
    """Logs of workers and, of all workers together, what their arrays wrote.

    In the order of `stages`, those of the pipeline; then that of rounds, then that of workers.
    """
    order = {name: place for place, name in enumerate(stages)}
    found = [(*_stage_and_round(folder.name), folder) for folder in Path(run.path, "submissions").glob("*")]
    for name, _, folder in sorted(found, key=lambda one: (order.get(one[0], len(order)), *one)):
        if stage is None or name == stage:
            logs = sorted((int(path.stem), path) for path in (folder / "logs").glob("*.log"))
            yield from (path for number, path in logs if worker is None or number == worker)
            yield from (p for p in sorted(folder.glob("array-*.out")) if worker is None and p.stat().st_size)


def _stage_and_round(submission: str) -> tuple[str, int]:
    name, _, number = submission.rpartition("-")
    return name, int(number) if number.isdigit() else 0


def gate_logs(run: Run) -> list[Path]:
    """What the gates wrote."""
    return sorted(Path(run.path, "gates").glob("gate-*.out"))


def worker_of(view: RunView, shard: str, stage: str | None = None) -> tuple[str, int] | None:
    """(stage, index of the worker) of the latest attempt of a shard; None if no worker has claimed it."""
    for planned in view.planned:
        if stage not in (None, planned.name):
            continue
        if claim := _latest_claim(view, planned, shard):
            return planned.name, worker_index(claim.worker)
    return None


def _latest_claim(view: RunView, stage: PlannedStage, shard: str) -> Claim | None:
    claims = view.store(stage).claims
    latest = claims.latest(fan_of(shard)).get(shard)
    return claims.read(shard, latest.attempt) if latest else None


def worker_index(worker: str) -> int:
    """`1234-7-r0-ab12cd34` → 7. Pure."""
    match = re.fullmatch(r".*-(\d+)-r\d+-\w+", worker)
    return int(match[1]) if match else 0


def shard_of_task(view: RunView, task: str, stage: str | None = None) -> str | None:
    """The last committed shard with a task, drop or dead letter of that id, or with that text in its file's path."""
    last = None
    for shard in view.shards(stage):
        paths = (shard.path / name for name in ROWS)
        rows = (row for path in paths if path.exists() for row in path.read_bytes().splitlines())
        if any(task in _names_of(row) for row in rows):
            last = shard.id
    return last


def _names_of(row: bytes) -> str:
    plain = json.loads(row)
    task = plain.get("task") or plain
    return " ".join(str(task.get(key, "")) for key in ("id", "path", "source"))


def log_of(view: RunView, located: LocatedDeadLetter) -> str | None:
    """`file:line` where the worker's log reports the shard; None where there is no such log, or it is not ours."""
    found = shard_log(view, view.frozen.pipeline.stage(located.shard.stage), located.shard.id)
    return f"{found.path}:{found.line}" if found else None


@attrs.define(frozen=True)
class ShardLog:
    """Where a worker's log reports a shard, and what was written of a task before that."""

    path: Path
    line: int
    """From 1."""
    mentions: tuple[str, ...] = ()
    """Lines between the report of the shard before and this one that have one of the words asked for."""


def shard_log(view: RunView, stage: PlannedStage, shard: str, words: Sequence[str] = ()) -> ShardLog | None:
    """Of the latest attempt of a shard, also of another run; None where there is no such log, or it is not ours."""
    claim = _latest_claim(view, stage, shard)
    tickets = {found.number: found.ticket for found in view.store(stage).rounds.read()} if claim else {}
    if claim is None or claim.round not in tickets:
        return None
    run = view.run.store.run(tickets[claim.round].run or view.run.name)
    submission = Path(run, "submissions", submission_name(stage.name, claim.round))
    path = Path(log_path(str(submission), worker_index(claim.worker)))
    try:
        lines = path.read_text(errors="backslashreplace").splitlines()
    except OSError:
        return None
    return ShardLog(path, *_section(lines, f"shard {shard} attempt {claim.attempt}", words))


def _section(lines: Sequence[str], report: str, words: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Number of the line that begins with the report, and the lines since the report before that have a word. Pure."""
    end = next((i for i, line in enumerate(lines) if line.startswith(report)), len(lines) - 1)
    start = next((i + 1 for i in range(end - 1, -1, -1) if REPORT.match(lines[i])), 0)
    found = [line for line in lines[start:end] if any(word in line for word in words)]
    return max(end, 0) + 1, tuple(found[-TAIL:])


def _without_report(text: str) -> str:
    """Output of a gate without the report at its end, which repeats what `why` says already. Pure."""
    report = re.search(r"^\{\n \"run\": ", text, re.MULTILINE)
    return text[: report.start()] if report else text


def error_tails(run: Run) -> list[Tail]:
    """The end of the two newest outputs of arrays and gates that report an error: what no worker could log."""
    paths = [*Path(run.path, "submissions").glob("*/array-*.out"), *gate_logs(run)]
    texts = {path: _without_report(path.read_text(errors="backslashreplace")) for path in paths}
    failing = [path for path, text in texts.items() if "error" in text.lower()]
    newest = sorted(failing, key=lambda path: path.stat().st_mtime)[-2:]
    return [Tail(path, tuple(texts[path].splitlines()[-TAIL:])) for path in newest]
