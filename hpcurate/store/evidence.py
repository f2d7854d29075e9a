"""How the attempts of a shard have ended, from all that is written down: markers, the scheduler's word, notes.

What is known of an attempt may grow after attempt n+1 has begun: the scheduler's word comes when the round is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec

from hpcurate.failures import AGAINST, Against, AttemptEnd, Ending, JobEnd, explained
from hpcurate.store.claims import Claim, Latest
from hpcurate.store.layout import fan_of
from hpcurate.store.stage_store import StageStore
from hpcurate.verdict import MORE

UNEXPLAINED = frozenset([Ending.DEAD, Ending.LOST])
"""Endings that an observer concluded, because the worker could not write its own."""


class Evidence:
    """What the store holds about the ends of attempts."""

    def __init__(self, store: StageStore, *, checkpoints: bool = False) -> None:
        """`checkpoints`: the stage keeps them."""
        self._store, self._checkpoints = store, checkpoints
        self.over: Collection[int] = ()
        """Rounds that are over, as last listed: of these there may be a word of the scheduler's."""
        self._said: dict[int, dict[str, JobEnd]] = {}

    def history(self, shard: str, latest: Latest) -> tuple[AttemptEnd, ...]:
        """How all attempts up to the newest one, which is over, have ended."""
        *before, last = (self._explained(shard, end) for end in self._store.claims.history(shard, latest))
        return (*before, msgspec.structs.replace(last, moved=self._has_moved(shard, latest.attempt)))

    def checkpoint(self, shard: str) -> str:
        """The state of its checkpoints, see `Checkpoints.state`; nothing where the stage keeps none."""
        return self._store.checkpoints.state(shard) if self._checkpoints else ""

    def _has_moved(self, shard: str, attempt: int) -> bool:
        """Whether checkpoints are others than when that attempt, the newest, was claimed. No worker has to say so."""
        claim = self._store.claims.read(shard, attempt) if self._checkpoints else None
        return claim is not None and self.checkpoint(shard) not in ("", claim.checkpoint)

    def of_open(self, shards: Iterable[str]) -> dict[str, tuple[AttemptEnd, ...]]:
        """The same of those that were tried, all rounds being over; where they are only left to others, nothing.

        One that was handed back in its only attempt has nothing to tell, and is not read, unless it has checkpoints.
        """
        self.over, by_fan, found = self._store.rounds.over(), defaultdict[str, list[str]](list), {}
        for shard in shards:
            by_fan[fan_of(shard)].append(shard)
        for fan, names in by_fan.items():
            latest = self._store.claims.latest(fan)
            for shard in names:
                if shard in latest and (self._checkpoints or not latest[shard].untold):
                    found[shard] = self.history(shard, latest[shard])
        return found

    def awaits_word(self, shard: str, history: Iterable[AttemptEnd]) -> bool:
        """Whether the scheduler will yet say why a worker of this shard died with one task alone in work.

        That is known once its round is over, and may be that the task needs more memory than this round has.
        """
        alone = (end for end in history if end.ending is Ending.DEAD and len(end.in_flight) == 1)
        claims = (self._store.claims.read(shard, end.attempt) for end in alone)
        return any(claim is not None and claim.element and claim.round not in self.over for claim in claims)

    def condemns(self, claim: Claim) -> bool:
        """Whether the scheduler's word about the claim's job counts against its shard."""
        said = self._of_job(claim)
        return said is not None and said.ending is not None and AGAINST[said.ending] is not Against.NOTHING

    def _explained(self, shard: str, end: AttemptEnd) -> AttemptEnd:
        if end.ending not in UNEXPLAINED:
            return end
        claim = self._store.claims.read(shard, end.attempt)
        if claim is None:
            return end
        noted = self._store.claims.alone(shard, end.attempt)
        end = msgspec.structs.replace(
            end, memory_mb=claim.memory_mb, worker=claim.worker, node=claim.node, begun=claim.at
        )
        found = explained(end, self._of_job(claim), claim.element, noted, claim.ahead)
        cut = found.ending is Ending.WALLTIME and not found.shared  # one that may never have begun had no time
        return (
            msgspec.structs.replace(found, seconds=claim.seconds / MORE) if cut else found
        )  # it may have stood still for long

    def _of_job(self, claim: Claim) -> JobEnd | None:
        if not claim.element or claim.round not in self.over:
            return None
        if claim.round not in self._said:
            self._said[claim.round] = self._store.rounds.endings(claim.round)
        return self._said[claim.round].get(claim.element)
