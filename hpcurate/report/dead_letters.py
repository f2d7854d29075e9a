"""Dead letters of a run: where each is, and groups of those with the same cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from hpcurate.failures import DeadLetter
from hpcurate.report.patterns import Pattern, pattern_of
from hpcurate.report.run_view import CommittedShard, RunView


class LocatedDeadLetter(msgspec.Struct, frozen=True):
    """A dead letter, and the shard that holds it."""

    shard: CommittedShard
    """Its stage is the one of the pipeline; `letter.stage` may be a member of a chain."""
    letter: DeadLetter

    @property
    def name(self) -> str:
        """What a user calls the task: the path of its file if it has one, else its id."""
        task = self.letter.task or {}
        return str(task.get("path") or task.get("source") or self.letter.id)

    @property
    def names(self) -> tuple[str, ...]:
        """What messages may call it."""
        return (self.name, str((self.letter.task or {}).get("source") or ""))


def dead_letters(view: RunView, stage: str | None = None) -> Iterator[LocatedDeadLetter]:
    """All of a run, or of one of its stages, in order of stages and shards; none that is tried again."""
    for planned in view.planned:
        if stage in (None, planned.name):
            retried = view.retried(planned)
            for shard in view.having_failed(planned):
                yield from (one for one in dead_letters_of(shard) if (shard.id, one.letter.row) not in retried)


def dead_letters_of(shard: CommittedShard) -> Iterator[LocatedDeadLetter]:
    """Those of one shard."""
    for letter in shard.store.commits.dead_letters(shard.id) if shard.counts.failed else ():
        yield LocatedDeadLetter(shard, letter)


# -- groups -----------------------------------------------------------------------------------------


class Group(msgspec.Struct, frozen=True):
    """Dead letters that have the same cause."""

    stage: str
    error: str
    pattern: str
    """Their message without what differs among them."""
    count: int
    example: LocatedDeadLetter


def grouped(dead: Iterable[LocatedDeadLetter]) -> list[Group]:
    """By stage, error and form of the message; the largest group first. Pure."""
    found: dict[object, _Same] = {}
    for located in dead:
        pattern = pattern_of(located.letter.message, located.names)
        key = (located.letter.stage, located.letter.error, pattern.form)
        if key in found:
            found[key].add(pattern)
        else:
            found[key] = _Same(located, pattern, [True] * len(pattern.kinds))
    return sorted((one.group() for one in found.values()), key=lambda group: -group.count)


class _Same(msgspec.Struct):
    """Dead letters whose messages have one form."""

    example: LocatedDeadLetter
    pattern: Pattern
    same: list[bool]
    """Which of the values are those of the first in all of them."""
    count: int = 1

    def add(self, pattern: Pattern) -> None:
        self.count += 1
        self.same = [s and a == b for s, a, b in zip(self.same, self.pattern.values, pattern.values, strict=True)]

    def group(self) -> Group:
        letter = self.example.letter
        return Group(letter.stage, letter.error, self.pattern.masked(self.same), self.count, self.example)
