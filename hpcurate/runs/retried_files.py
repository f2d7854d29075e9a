"""Input files that were changed since they were taken in, and what a retry makes of them. Only reads.

A stage that reads the source tries an item as it is now: this is how a repaired file is retried. What it looked like
then is written down, so that the next command does not call its result an old one. A later stage does not try an item
whose file is no longer what the stages before it have read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.runs.retry import Dead
from hpcurate.source.spool import Entry
from hpcurate.source.states import paths_of, state_now, state_taken
from hpcurate.source.taken import Taken
from hpcurate.store.lists import ShardLine

__all__ = ["RetriedFiles"]


@attrs.define(frozen=True)
class RetriedFiles:
    """The items of a run's source."""

    taken: Taken
    lists: Sequence[str]
    """Of the source, in the run's live set."""
    before: Mapping[str, Mapping[str, str]]
    """Stage folder → id of an item → what its files looked like when a retry tried it last."""

    def tried(self, stage: PlannedStage, lines: Iterable[ShardLine]) -> dict[str, tuple[str, str]]:
        """Id of each item whose files changed → its name, and what they look like now.

        Of a stage that reads the source: others are not given its items.
        """
        found: dict[str, tuple[str, str]] = {}
        for entry in self._entries(lines) if not stage.after else ():
            now = state_now(entry)
            if now != state_taken(entry):
                found[entry.task.id] = entry.name, now
        return found

    def mixed(self, stage: PlannedStage, dead: Sequence[Dead]) -> dict[str, str]:
        """Path in the row of a dead letter → name of the item that is no longer what the stages before have read."""
        wanted = {path for one in dead if (path := _path(one))} if stage.after else set[str]()
        known = {number: state for states in self.before.values() for number, state in states.items()}
        entries = (entry for _, shard in self.taken.shards(self.lists) for entry in shard) if wanted else iter(())
        found: dict[str, str] = {}
        for entry in entries:
            paths = wanted.intersection(paths_of(entry.task))
            if paths and state_now(entry) != known.get(entry.task.id, state_taken(entry)):
                found.update(dict.fromkeys(paths, entry.name))
        return found

    def _entries(self, lines: Iterable[ShardLine]) -> Iterator[Entry]:
        """Items that these lines read."""
        rows: dict[str, set[int]] = {}
        for found in (found for line in lines for found in line.inputs):
            rows.setdefault(found.shard, set()).update(range(found.lo, found.hi))
        shards = (line for name in self.lists for line in self.taken.lines(name) if line.id in rows)
        for line in shards:
            entries = self.taken.entries(line)
            yield from (entries[row] for row in sorted(rows[line.id]))


def _path(one: Dead) -> str:
    path = (one.letter.task or {}).get("path")
    return path if isinstance(path, str) else ""


def without(dead: Sequence[Dead], mixed: Mapping[str, str]) -> list[Dead]:
    """Those of other items. Pure."""
    return [one for one in dead if _path(one) not in mixed]
