"""What `hpcurate trace` shows: the story of one item, from the input or from a file that was made of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.following import Drop, Followed, Follower, Outcome
from hpcurate.report.items import EXACT, PART, Hit, find, id_in, name_of, names_in, store_file
from hpcurate.report.logs import shard_log
from hpcurate.report.provenance import Provenance, provenance_of
from hpcurate.report.row_files import OutputFolder, files_of
from hpcurate.report.rows import TASKS, Plain, Row, content_of, plain_of
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Became, Step, Story
from hpcurate.report.values import changed, parameters_of
from hpcurate.runs.commands import quoted
from hpcurate.runs.summary import RunReport
from hpcurate.store.heartbeat import decoded
from hpcurate.store.layout import fan_of
from hpcurate.store.stats import NOT_RETURNED

MOST_PARENTS = 50
"""A task that was made of more is followed from itself on: what went into it is no longer one item."""
MOST_OUTPUTS = 200
"""Stories whose files are looked for in the output folder."""


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
        f"{wanted}: no task of {view.run.name} has that in its id, path or name; its input has {count} items{example}. "
        f"Another run may have it: type hpcurate runs --store {quoted(view.run.store.root)}"
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
    teller = _Teller(view, report, followed, lambda row, drop: row.id in below or drop in ids)
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


class _Teller:
    """Makes stories of outcomes."""

    def __init__(self, view: RunView, report: RunReport, followed: Followed, tells: Callable[[Row, str], bool]) -> None:
        self._view, self._report, self._followed, self._tells = view, report, followed, tells
        self._outputs, self._looked = OutputFolder(view.frozen.output), 0
        self._told: set[Row] = set()

    def story(self, row: Row, parent: Plain | None = None) -> Story:
        """Of one row, and of all that was made of it."""
        steps, last = list[Step](), row
        for step, now in self._steps(row):
            steps.append(step)
            last = now or last
        return self._finished(row.plain, last.plain, steps, parent)

    def _finished(self, first: Plain, plain: Plain, steps: Sequence[Step], parent: Plain | None) -> Story:
        name, ends = name_of(first), {Became.DROPPED, Became.FAILED, Became.NOT_RETURNED}
        self._looked += 1
        sought = self._looked <= MOST_OUTPUTS and not (steps and steps[-1].became in ends)
        files = files_of(plain, self._view.run.store.stages)
        return Story(
            id=str(plain["id"]),
            name=name,
            first=first,
            task=plain,
            values={} if parent is None else changed(parent, first),
            steps=tuple(steps),
            files=files,
            gone=tuple(path for path in files if not os.path.lexists(path)),
            outputs=self._outputs.of(str(plain["id"]), "" if plain.get("parents") else name) if sought else (),
        )

    def _steps(self, row: Row) -> Iterable[tuple[Step, Row | None]]:
        for outcome in self._followed.get(row, ()):
            yield self._step(outcome), outcome.same
            if outcome.same is not None and outcome.same not in self._told:
                self._told.add(outcome.same)
                yield from self._steps(outcome.same)

    # -- one step -----------------------------------------------------------------------------------

    def _step(self, outcome: Outcome) -> Step:
        step = Step(stage=outcome.stage.name, became=Became.UNKNOWN, shard=outcome.shard, reason=outcome.damage)
        if not outcome.committed:
            return self._waiting(step, outcome)
        if outcome.letter is not None:
            return self._failed(step, outcome)
        own = next((drop for drop in outcome.drops if drop.own), None)
        made = self._made(outcome)
        in_all = outcome.passed_on + sum(not drop.own for drop in outcome.drops)
        step = attrs.evolve(step, made=made, untold=in_all - len(made), left_out=tuple(outcome.left_out))
        if outcome.same is not None:
            values = changed(outcome.row.plain, outcome.same.plain)
            step = attrs.evolve(step, became=Became.PASSED, values=values)
        elif outcome.passed_on or (in_all and own is None):
            step = attrs.evolve(step, became=Became.MADE)
        elif own is not None:
            step = self._dropped(step, outcome, own)
        return attrs.evolve(step, log=self._log(outcome, mentioned=True))

    def _failed(self, step: Step, outcome: Outcome) -> Step:
        letter = outcome.letter
        assert letter is not None
        return attrs.evolve(
            step,
            became=Became.FAILED,
            member=_member(letter.stage),
            reason=f"{letter.error}: {letter.message}",
            letter=letter,
            retried=outcome.again,
            log=self._log(outcome),
        )

    def _dropped(self, step: Step, outcome: Outcome, drop: Drop) -> Step:
        member = _member(drop.row.stage)
        return attrs.evolve(
            step,
            became=Became.NOT_RETURNED if drop.row.reason == NOT_RETURNED else Became.DROPPED,
            member=member,
            reason=drop.row.reason,
            drop=drop.row,
            values=changed(outcome.row.plain, drop.plain) if drop.row.task else {},
            parameters=parameters_of(outcome.stage.spec, member),
        )

    def _made(self, outcome: Outcome) -> tuple[Story, ...]:
        """Stories of its children, and of those that members of a chain dropped at once."""
        before = outcome.row.plain
        stories = [self.story(child, before) for child in outcome.children if child not in self._told]
        self._told.update(outcome.children)
        for drop in outcome.drops:
            if not drop.own and self._tells(outcome.row, str(drop.plain["id"])):
                step = Step(stage=outcome.stage.name, became=Became.DROPPED, shard=outcome.shard)
                stories.append(self._finished(drop.plain, drop.plain, [self._dropped(step, outcome, drop)], before))
        return tuple(stories)

    # -- what is not done yet -----------------------------------------------------------------------

    def _waiting(self, step: Step, outcome: Outcome) -> Step:
        log = self._log(outcome) if outcome.shard else None
        return attrs.evolve(step, became=Became.WAITS, reason=self._waits_for(outcome), log=log)

    def _waits_for(self, outcome: Outcome) -> str:
        stage = outcome.stage
        if not outcome.shard:
            open_ones = [name for name in stage.after if not self._report.stages[name].complete]
            what = [f"{name} is at {_share(self._report, name)}" for name in open_ones]
            return "; ".join(what) or "in no shard yet"
        claims = self._view.store(stage).claims
        latest = claims.latest(fan_of(outcome.shard)).get(outcome.shard)
        if latest is None:
            return f"not yet taken up by {stage.name}"
        if latest.ending is None:
            return f"attempt {latest.attempt} has not ended{self._at_work(outcome, latest.attempt)}"
        end = claims.ending(outcome.shard, latest)
        return f"attempt {latest.attempt} ended: {end.ending.value}" + (f": {end.detail}" if end.detail else "")

    def _at_work(self, outcome: Outcome, attempt: int) -> str:
        """What its worker says that it has in work; empty where it says nothing of the shard."""
        store = self._view.store(outcome.stage)
        claim = store.claims.read(outcome.shard, attempt)
        if claim is None:
            return ""
        with suppress(OSError):
            beat = decoded(self._view.run.filesystem.read(store.folder.worker(claim.worker)))
            for at in (one for one in beat.at_work if one.shard == outcome.shard):
                now = "this one" if at.task == outcome.row.id else at.name or at.task
                return f": {at.done} of {at.tasks} tasks done" + (f", in work: {now}" if now else "")
        return f", worker {claim.worker}"

    def _log(self, outcome: Outcome, *, mentioned: bool = False) -> Any:
        words = [word for word in (outcome.row.id, os.path.basename(name_of(outcome.row.plain))) if word]
        found = shard_log(self._view, outcome.stage, outcome.shard, words)
        return None if found is None or (mentioned and not found.mentions) else found


def _member(name: str) -> str:
    """`Quality` of `clips/Quality`: the member of a chain; empty for a stage that is none. Pure."""
    return name.partition("/")[2]


def _share(report: RunReport, name: str) -> str:
    stage = report.stages[name]
    return "? shards" if stage.shards is None else f"{stage.shards_done} of {stage.shards} shards"
