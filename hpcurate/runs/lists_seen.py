"""The shard lists of stages as a look finds them: which version of a list is the live one. Only reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from hpcurate.planning.cutting import WeightsOf
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.relations import OrderOf, Parts, Upstream, is_up_to_date
from hpcurate.planning.retries import StandingRetries, is_live, standing_retries
from hpcurate.planning.standing import Key
from hpcurate.store.layout import base, fan_of, is_content_named, shard_id, version, version_name
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore


class LiveList(msgspec.Struct, frozen=True):
    """One shard list of the live set."""

    name: str
    lines: Sequence[ShardLine]


class ExpectedList(msgspec.Struct, frozen=True):
    """A list that a stage must have for what its upstreams have committed."""

    name: str
    """Without a version."""
    parts: Parts
    found: LiveList | None
    """The version of it that has these inputs; None: yet to be written."""
    retries: StandingRetries | None = None
    """Of a list of retries: what of it stands. Its rows are counted in the lists before it."""


class ListsSeen:
    """Lists of stages. What has been read stays: a list is written once."""

    def __init__(self, store: Callable[[str], StageStore]) -> None:
        self._store = store
        self._read: dict[tuple[str, str], LiveList] = {}
        self._live: dict[tuple[str, str], tuple[Parts, LiveList]] = {}

    def read(self, folder: str, name: str) -> LiveList | None:
        """A list, or None before it is made."""
        if (folder, name) not in self._read:
            lines = self._store(folder).lists.read_packed(name)
            if lines is None:
                return None
            self._read[folder, name] = LiveList(name, lines)
        return self._read[folder, name]

    def forget(self, folder: str, name: str) -> None:
        """It was purged: another call may have written the next version by now."""
        self._read.pop((folder, name), None)
        self._live.pop((folder, base(name)), None)

    def expected(self, stage: PlannedStage, upstreams: Sequence[Upstream]) -> tuple[ExpectedList, ...]:
        """The lists of a stage whose upstreams are complete. Those of an older store go on under their names."""
        old = stage.relation.lists_of_format_1(upstreams)
        if any(self.read(stage.folder, name) for name in old):
            return self._all(stage.folder, old)
        return self._all(stage.folder, stage.relation.lists(upstreams))

    def retries(
        self, folder: str, name: str, before: Sequence[ShardLine], sizes: Mapping[Key, int]
    ) -> ExpectedList | None:
        """A list of retries of a stage that has committed these attempts; None where nothing of it stands.

        `before`: lines of the lists of retries before it.
        """
        first = self.read(folder, name)
        if first is None:
            return None
        if is_live(first.lines, before, sizes):
            return ExpectedList(name, (), first, StandingRetries(tuple(first.lines)))
        versions = self._versions(folder, name)
        left = standing_retries([one.lines for one in versions], before, sizes)
        whole = (one for one in reversed(versions) if sum(line.count for line in one.lines) == left.count)
        live = next((one for one in whole if is_live(one.lines, before, sizes)), None)
        return ExpectedList(name, (), live, left) if left.count else None

    def next_version(
        self, stage: PlannedStage, expected: ExpectedList, weights: WeightsOf, order: OrderOf
    ) -> tuple[str, list[ShardLine]]:
        """Name and lines of the version that is to be written."""
        before = self._versions(stage.folder, expected.name)
        if expected.retries is not None:
            number = version(before[-1].name)[1] + 1
            return version_name(expected.name, number), expected.retries.lines(stage.relation)
        number = version(before[-1].name)[1] + 1 if before else 0
        while self._was_used(stage.folder, name := version_name(expected.name, number)):
            number += 1
        lines = stage.relation.lines(name, expected.parts, weights, [found.lines for found in before], order)
        return name, lines

    def _was_used(self, folder: str, name: str) -> bool:
        """Whether a list of that name was lost: its shards are there, and nobody knows any more what is in them.

        Where ids are digests of the inputs, they say it. A list that was written since it was looked for is not lost.
        """
        store, fan = self._store(folder), fan_of(shard_id(name, 0))
        if is_content_named(name) or not (store.claims.latest(fan) or store.commits.listing(fan)[1]):
            return False
        return not store.lists.is_there(name)

    def _all(self, folder: str, lists: Mapping[str, Parts]) -> tuple[ExpectedList, ...]:
        return tuple(ExpectedList(name, parts, self._current(folder, name, parts)) for name, parts in lists.items())

    def _current(self, folder: str, name: str, parts: Parts) -> LiveList | None:
        """The newest version with these inputs."""
        known = self._live.get((folder, name))
        if known and known[0] == parts:
            return known[1]
        for found in reversed(self._versions(folder, name)):
            if is_up_to_date(found.lines, parts):
                self._live[folder, name] = (parts, found)
                return found
        return None

    def _versions(self, folder: str, name: str) -> list[LiveList]:
        """All versions, oldest first: those that a listing has, and those after them that it is too old to have."""
        names = self._store(folder).lists.versions(name)
        found = [one for one in (self.read(folder, each) for each in names) if one is not None]
        number = version(names[-1])[1]
        while (later := self.read(folder, version_name(name, number := number + 1))) is not None:
            found.append(later)
        return found
