"""Telling: outcomes of rows become the stories of tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import attrs

from hpcurate.report.following import Drop, Followed, Outcome
from hpcurate.report.logs import ShardLog, shard_log
from hpcurate.report.row_files import OutputFolder, files_of
from hpcurate.report.rows import Plain, Row, name_of
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Became, Step, Story
from hpcurate.report.values import changed, parameters_of
from hpcurate.runs.summary import RunReport
from hpcurate.store.heartbeat import decoded
from hpcurate.store.layout import fan_of
from hpcurate.store.stats import NOT_RETURNED

MOST_OUTPUTS = 200
"""Stories whose files are looked for in the output folder."""


class Teller:
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
            open_ones = [name for name in stage.behind if not self._report.stages[name].complete]
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

    def _log(self, outcome: Outcome, *, mentioned: bool = False) -> ShardLog | None:
        words = [word for word in (outcome.row.id, os.path.basename(name_of(outcome.row.plain))) if word]
        found = shard_log(self._view, outcome.stage, outcome.shard, words)
        return None if found is None or (mentioned and not found.mentions) else found


def _member(name: str) -> str:
    """`Quality` of `clips/Quality`: the member of a chain; empty for a stage that is none. Pure."""
    return name.partition("/")[2]


def _share(report: RunReport, name: str) -> str:
    stage = report.stages[name]
    return "? shards" if stage.shards is None else f"{stage.shards_done} of {stage.shards} shards"
