"""Try a stage without a store or a scheduler: for tests of stages, and for a first look."""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import attrs
import msgspec

from hpcurate.errors import ConfigError, PipelineError
from hpcurate.golden.files import FileComparer
from hpcurate.golden.folder import GOLDEN, Given, Golden, Placer, read_golden, write_golden
from hpcurate.golden.outcomes import Kept, compare, lines_of, unknown_fields
from hpcurate.golden.rules import read_rules
from hpcurate.golden.texts import Reader, inputs_in, line_of
from hpcurate.golden.values import KeptFile
from hpcurate.group import GroupStage, Place, place_of
from hpcurate.members import declared_input, resolve_types
from hpcurate.spec import find_task, to_spec
from hpcurate.stage import Stage, WorkerInfo, members, union_of
from hpcurate.stage_process.keys import keys_of
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.runner import ShardRunner
from hpcurate.store.rows import Codec, codec
from hpcurate.store.stats import ShardCounts
from hpcurate.task import File, StageSums, Task

__all__ = ["Outcome", "check_golden", "try_stage"]

SAVE = "HPCURATE_SAVE_GOLDEN"
"""Variable of the environment that keeps what comes out."""
ENDS = ("tasks", "dropped", "failed")


@attrs.define(frozen=True)
class Outcome:
    """Where every input of a trial ended."""

    tasks: list[Any]
    """Tasks returned, read back from their rows."""
    dropped: list[dict[str, Any]]
    """Rows of `dropped.jsonl`."""
    failed: list[dict[str, Any]]
    """Rows of `failed.jsonl`."""
    logged: list[dict[str, Any]]
    """Rows of `logged.jsonl`: what the stage logged."""
    counts: ShardCounts
    folder: Path
    """Files lie under `files/`."""


def try_stage(
    stage: Stage[Any, Any],
    tasks: list[Any],
    folder: Union[str, Path],
    *,
    batch_size: int = -1,
    upstream: Sequence[StageSums] = (),
    name: Optional[str] = None,
) -> Outcome:
    """Run `stage` in this process over `tasks`, through real rows, in `folder` (made if missing).

    `batch_size` -1 takes the stage's own; `upstream` is for a stage with `counts_upstream`; `name` is what a pipeline
    calls it, else its class says. A task that fails does not raise: look at `failed`. Raises ConfigError where an
    earlier trial lies in the folder.
    """
    folder = Path(folder).absolute()
    shard = folder / "trial"
    if shard.exists():
        raise ConfigError(f"{shard}: an earlier trial is there; name another folder, or remove this one")
    shard.mkdir(parents=True)
    kinds = list(dict.fromkeys(map(type, tasks)))
    given = _class_of(kinds, stage) or declared_input(stage)
    resolve_types(stage, given)
    for member in members(stage):
        member.accept(member.task_types[0])
    returned = members(stage)[-1].task_types[1]
    inputs = [_rows_of(folder, stage, [task for task in tasks if type(task) is kind]) for kind in kinds or [given]]
    grouped = isinstance(members(stage)[0], GroupStage)
    job = ShardJob(
        shard="trial",
        directory=os.fspath(shard),
        ref="trial",
        root=os.fspath(folder),
        inputs=inputs,
        kinds=[f"{kind.__module__}:{kind.__qualname__}" for kind in kinds] if len(kinds) > 1 else [],
        groups=grouped,
        joins=len(kinds) > 1,
        batch_size=(0 if stage.gather else stage.batch_size) if batch_size < 0 else batch_size,
        whole=stage.gather,
        above=list(upstream),
    )
    stage.setup(WorkerInfo(index=0, process=0, cpus=1))
    runner = ShardRunner(stage, name=name)
    try:
        counts = runner.run(job)
    finally:
        runner.close()
    out: list[Task] = codec(returned, os.fspath(folder)).decode_lines((shard / "tasks.jsonl").read_bytes())
    dropped, failed, logged = (_rows(shard / f"{name}.jsonl") for name in ("dropped", "failed", "logged"))
    return Outcome(out, dropped, failed, logged, counts, shard)


def check_golden(
    stage: Stage[Any, Any],
    folder: Union[str, Path],
    tasks: Optional[Sequence[Any]] = None,
    *,
    tolerance: Optional[Mapping[str, Union[str, float]]] = None,
    ignore: Sequence[str] = (),
    update: Optional[bool] = None,
) -> None:
    """Run the stage in this process, and compare what comes out, its files included, with what is kept in `folder`.

    `tasks` are those to run it on; without them those that the folder has, which `hpcurate replay --save` makes, too.
    `tolerance` is field → `1e-3`, `"0.1%"` of the number before, or both, `"1e-6+0.1%"`; `ignore` names fields that are
    not compared. With `update`, or the variable HPCURATE_SAVE_GOLDEN=1, what comes out is kept instead. Raises
    AssertionError with the first differences, or where nothing is kept.
    """
    rules, save = read_rules(tolerance or {}, ignore), os.environ.get(SAVE) == "1" if update is None else update
    kept = None if save and tasks is not None else _kept_in(os.fspath(folder), tasks is not None)
    given = tuple(_given(tasks)) if tasks is not None or kept is None else tuple(kept.given)
    with tempfile.TemporaryDirectory(prefix="hpcurate-golden-") as place:
        known = {"name": _name_of(stage), **(kept.stage if kept else {})}
        now = _tried(stage, given, place, known)
        if save:
            plain = msgspec.to_builtins(to_spec(stage))
            write_golden(os.fspath(folder), Golden({**known, **plain}, given, now))
            if update is None:  # the variable also changes what nobody meant to: pytest lists these at its end
                warnings.warn(f"{SAVE}=1: kept in {os.fspath(folder)}: {now.counts()}", stacklevel=2)
            return
        assert kept is not None, "it is read where nothing is saved"
        comparer = FileComparer(rules)
        found = compare(kept.kept, now, rules, comparer)
        for line in unknown_fields(rules, kept.kept, now):
            warnings.warn(line, stacklevel=2)
    if not found.is_same:
        head = f"{type(stage).__qualname__} differs from {os.fspath(folder)}; if that is meant, keep it with {SAVE}=1"
        raise AssertionError("\n".join([head, *lines_of(found)]))


def _kept_in(folder: str, has_tasks: bool) -> Golden:
    if os.path.exists(os.path.join(folder, GOLDEN)):
        return read_golden(folder)
    if has_tasks:
        raise AssertionError(f"{folder}: nothing is kept there; look at what the stage gives, then set {SAVE}=1")
    raise AssertionError(
        f"{folder}: no tasks are kept there to run the stage on; give it some, check_golden(stage, folder, tasks), and "
        f"set {SAVE}=1 once, or take them from a run: hpcurate replay STAGE --of RUN --golden {folder} --save"
    )


def _name_of(stage: Stage[Any, Any]) -> str:
    """As a pipeline would call it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(stage).__name__).lower().strip("_")


def _given(tasks: Optional[Sequence[Any]]) -> Iterator[Given]:
    """The tasks by class, with their files."""
    kinds: list[type[Any]] = list(dict.fromkeys(map(type, tasks or ())))
    for kind in kinds:
        files: dict[str, KeptFile] = {}

        def note(file: File, task: Task, files: dict[str, KeptFile] = files) -> None:
            if file.path is not None:
                files[file.ref] = KeptFile(os.path.abspath(file.path))

        lines = Codec(kind, None, note).encode_lines([task for task in tasks or () if type(task) is kind])
        rows = [json.loads(line) for line in lines]
        inputs = {
            path: KeptFile(path, is_input=True) for row in rows for path in inputs_in(row) if os.path.isfile(path)
        }
        reader = Reader("", files.__contains__, {**inputs, **files})
        yield Given(f"{kind.__module__}:{kind.__qualname__}", [reader.given(row) for row in rows])


def _tried(stage: Stage[Any, Any], given: Sequence[Given], folder: str, kept: Mapping[str, Any]) -> Kept:
    """What becomes of these tasks, under the name and in batches as large as when they were kept."""
    placer = Placer(folder, "given", copies=True)
    found = [(codec(find_task(one.kind), folder), placer.rows(one)) for one in given]
    tasks: list[Any] = [read.decode(line_of(row)) for read, rows in found for row in rows]
    size = kept.get("options", {}).get("batch_size", -1)
    try_stage(stage, tasks, folder, batch_size=size, name=kept.get("name"))
    reader = Reader(folder, lambda text: text.startswith(("trial/files/", "given/")), placer.texts)
    return Kept(*(reader.rows(_rows(Path(folder, "trial", f"{name}.jsonl"))) for name in ENDS))


def _class_of(kinds: list[type[Any]], stage: Stage[Any, Any]) -> Optional[type[Any]]:
    """The one class of the tasks; None where a stage that joins takes several, and for no tasks."""
    if len(kinds) > 1 and set(kinds) <= set(union_of(type(members(stage)[0]))):
        return None
    if len(kinds) > 1:
        raise PipelineError(f"tasks of one class are expected, got {', '.join(sorted(k.__qualname__ for k in kinds))}")
    return next(iter(kinds), None)


def _rows_of(folder: Path, stage: Stage[Any, Any], tasks: list[Any]) -> tuple[str, int, int]:
    """Tasks of one class as an input of the stage, in the order that it gets them from a sort step."""
    kind = type(tasks[0]) if tasks else declared_input(stage)
    path = folder / f"input-{kind.__qualname__}.jsonl"
    lines, first = list(codec(kind).encode_lines(tasks)), members(stage)[0]
    if isinstance(first, GroupStage):
        found = keys_of(first, kind, os.fspath(folder))(b"".join(lines), len(lines))
        places = [_place(key) for key in found.keys]
        lines = [lines[number] for number in sorted(range(len(lines)), key=places.__getitem__)]
    path.write_bytes(b"".join(lines))
    return os.fspath(path), 0, len(tasks)


def _place(key: Any) -> Place:
    """Raises what `key` raised."""
    if isinstance(key, BaseException):
        raise key
    return place_of(key)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
