"""What `hpcurate trace` shows: the story of one item, from the input or from a file that was made of it."""

from __future__ import annotations

import os
from typing import Any

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.following import Follower
from hpcurate.report.items import EXACT, PART, Hit, find, id_in, names_in, store_file
from hpcurate.report.provenance import Provenance, provenance_of
from hpcurate.report.row_files import files_of
from hpcurate.report.rows import TASKS, Plain, Row, content_of, name_of, plain_of
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Story
from hpcurate.report.telling import Teller
from hpcurate.runs.commands import quoted
from hpcurate.runs.summary import RunReport
from hpcurate.units import plural

MOST_PARENTS = 50
"""A task that was made of more is followed from itself on: what went into it is no longer one item."""


@attrs.define(frozen=True, kw_only=True)
class Trace:
    """What became of one item of a run."""

    report: RunReport
    wanted: str
    """As it was asked for."""
    focus: str
    """Id of the task that is meant; empty where a file was made of no task in particular."""
    stories: tuple[Story, ...] = ()
    """Of it, or of the items of the input that it was made of: then only what led to it, and what became of it."""
    provenance: Provenance | None = None
    """Where a file comes from; None for what is no file of the store or of the output."""

    def plain(self) -> dict[str, Any]:
        """What `hpcurate trace --json` prints."""
        return {
            "run": self.report.run,
            "state": self.report.state.value,
            "item": self.wanted,
            "id": self.focus,
            "stories": [story.plain() for story in self.stories],
            "provenance": attrs.asdict(self.provenance) if self.provenance else None,
        }


@attrs.define(frozen=True)
class Ambiguous(Exception):
    """Several items fit as well."""

    hits: tuple[Hit, ...]


def trace(view: RunView, wanted: str) -> Trace:
    """The story of an item. Raises Ambiguous, and StoreError where there is none."""
    if not wanted.strip():
        raise ConfigError("trace: no item was named; type a name, a part of a path, an id or a file")
    report = view.look()
    path = os.path.abspath(os.path.expanduser(wanted))
    follower = Follower(view)
    in_store, relative = store_file(view.run.store.stages, path), _relative(path, view.frozen.output)
    if in_store is not None:
        hits = _in_shard(view, follower, path)
    elif relative:
        hits = find(view, names_in(relative), EXACT)
    else:
        hits = find(view, [wanted, path] if os.path.lexists(path) else [wanted], PART)
    is_file = in_store is not None or bool(relative)
    if not hits and not (relative and os.path.lexists(path)):
        raise _no_such_item(view, wanted)
    if len(hits) > 1:
        raise Ambiguous(tuple(hits))
    stories = _told(view, report, follower, hits[0]) if hits else ()
    provenance = provenance_of(view, stories, path) if is_file else None
    focus = hits[0].id if hits else ""
    return Trace(report=report, wanted=wanted, focus=focus, stories=stories, provenance=provenance)


def _relative(path: str, folder: str) -> str:
    """The path below a folder; empty where it is not there."""
    for one, base in ((path, folder), (os.path.realpath(path), os.path.realpath(folder))):
        if one.startswith(f"{base.rstrip('/')}/"):
            return os.path.relpath(one, base)
    return ""


def _no_such_item(view: RunView, wanted: str) -> StoreError:
    first = next(
        (plain_of(line, TASKS) for shard in view.source() for line in [_first_line(content_of(shard, TASKS))] if line),
        None,
    )
    example = f", e.g. {name_of(first)}" if first else ""
    count = sum(shard.counts.tasks_out for shard in view.source())
    return StoreError(
        f"{wanted}: no task of {view.run.name} has that in its id, path or name; its input has {plural(count, 'item')}"
        f"{example}. Another run may have it: type hpcurate runs --store {quoted(view.run.store.root)}"
    )


def _first_line(data: bytes) -> bytes:
    return data.partition(b"\n")[0]


# -- a file of a shard ------------------------------------------------------------------------------


def _in_shard(view: RunView, follower: Follower, path: str) -> list[Hit]:
    """The task that a file of a shard belongs to. Raises StoreError."""
    named = store_file(view.run.store.stages, path)
    assert named is not None
    stage = next((one for one in view.planned if one.folder == named.folder), None)
    is_source = named.folder == view.frozen.pipeline.source.folder
    shard = follower.shards(stage).get(named.shard) if stage or is_source else None
    if shard is None:
        raise StoreError(
            f"{path}: {view.run.name} has no shard {named.shard} of {named.folder}; the runs that have that stage are "
            f"in {view.run.store.stage(named.folder).wanted}"
        )
    rows = [(number, plain_of(line, TASKS)) for number, line in enumerate(content_of(shard, TASKS).splitlines())]
    folder, wanted = f"/{named.shard}/files/{named.task_folder}/", id_in(named.task_folder)
    named_by = [one for one in rows if any(folder in file for file in files_of(one[1], ""))]
    found = [one for one in rows if one[1]["id"] == wanted] or named_by
    return [Hit(named.folder, stage, shard, number, plain, EXACT) for number, plain in found[:1]]


# -- telling ----------------------------------------------------------------------------------------


def _told(view: RunView, report: RunReport, follower: Follower, hit: Hit) -> tuple[Story, ...]:
    roots, ids = _roots(follower, hit)
    below = {hit.id}

    def keep(row: Row, child: Row) -> bool:
        if row.id in below:
            below.add(child.id)
        return child.id in below or child.id in ids

    followed = follower.down(roots, keep)
    teller = Teller(view, report, followed, lambda row, drop: row.id in below or drop in ids)
    return tuple(teller.story(root) for root in roots)


def _roots(follower: Follower, hit: Hit) -> tuple[list[Row], set[str]]:
    """Rows of the input that a row was made of, and the ids between them; itself where these are too many to tell."""
    rows = (
        [Row(hit.folder, hit.shard.id, hit.shard.counts.nonce, hit.number, hit.plain)] if hit.number is not None else []
    )
    ids, found = {hit.id}, _above(follower, hit.stage, hit.shard.id, hit.plain)
    while found:
        rows = found
        ids |= {row.id for row in rows}
        found = [one for row in rows for one in _above(follower, follower.stage_of(row), row.shard, row.plain)]
        found = list({(row.folder, row.shard, row.number): row for row in found}.values())
    return rows, ids


def _above(follower: Follower, stage: PlannedStage | None, shard: str, plain: Plain) -> list[Row]:
    parents = plain.get("parents") or ()
    if stage is None or len(parents) > MOST_PARENTS:
        return []
    return follower.up(stage, shard, {str(plain["id"]), *parents}, str(plain.get("source") or plain.get("path") or ""))
