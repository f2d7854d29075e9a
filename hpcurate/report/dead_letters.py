"""Dead letters of a run: where each is, and groups of those with the same cause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from hpcurate.failures import DeadLetter
from hpcurate.report.run_view import CommittedShard, RunView


@attrs.define(frozen=True)
class LocatedDeadLetter:
    """A dead letter, and the shard that holds it."""

    shard: CommittedShard
    """Its stage is the one of the pipeline; `letter.stage` may be a member of a chain."""
    letter: DeadLetter

    @property
    def name(self) -> str:
        """What a user calls the task: the path of its file if it has one, else its id."""
        task = self.letter.task or {}
        return str(task.get("path") or task.get("source") or self.letter.id)


def dead_letters(view: RunView, stage: str | None = None) -> Iterator[LocatedDeadLetter]:
    """All of a run, or of one of its stages, in order of stages and shards; none that is tried again."""
    for planned in view.planned:
        if stage in (None, planned.name):
            retried = view.retried(planned)
            for shard in view.committed(planned):
                yield from (one for one in dead_letters_of(shard) if (shard.id, one.letter.row) not in retried)


def dead_letters_of(shard: CommittedShard) -> Iterator[LocatedDeadLetter]:
    """Those of one shard."""
    for letter in shard.store.commits.dead_letters(shard.id) if shard.counts.failed else ():
        yield LocatedDeadLetter(shard, letter)


# -- groups -----------------------------------------------------------------------------------------


@attrs.define(frozen=True)
class Group:
    """Dead letters that have the same cause."""

    stage: str
    error: str
    pattern: str
    """Their message without what differs from task to task."""
    count: int
    example: LocatedDeadLetter


def grouped(dead: Iterable[LocatedDeadLetter]) -> list[Group]:
    """By stage, error and pattern of the message; the largest group first. Pure."""
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], LocatedDeadLetter] = {}
    for located in dead:
        key = (located.letter.stage, located.letter.error, _pattern_of_letter(located))
        counts[key] += 1
        examples.setdefault(key, located)
    return [Group(*key, count, examples[key]) for key, count in counts.most_common()]


def _pattern_of_letter(located: LocatedDeadLetter) -> str:
    message = located.letter.message.replace(located.name, "FILE")
    source = str((located.letter.task or {}).get("source") or "")
    return pattern_of(message.replace(source, "FILE") if source else message)


def pattern_of(message: str) -> str:
    """A message without what differs from task to task: paths, quoted names, ids, numbers. Pure."""
    first = message.splitlines()[0] if message else ""
    first = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", first)
    first = re.sub(r"(?<![\w…])/[^\s:,;]+", "PATH", first)
    first = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{12,}\b", "ID", first)
    return re.sub(r"\d+(\.\d+)?", "N", first)
