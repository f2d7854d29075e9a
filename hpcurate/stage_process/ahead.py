"""When the next shard is asked for, while this one is still in work. Python 3.9.

Whoever holds a claim for longer than it needs takes work from others that are idle: at the end of a stage that costs up
to a quarter of the time. So the next shard is claimed when there is just enough time left to prepare its first batch.
Where there is nothing to prepare, what is gained is the time of a claim and a commit: that counts for short batches.
"""

from __future__ import annotations

from collections import deque
from typing import Optional

LOOK_AHEAD = 2
"""Batches that are prepared, or being prepared, beside the one that is processed: of this shard and the next."""
LEAST_BATCHES = 4
"""A shard of fewer batches, of few shards, has nothing ahead of it: nearly all of its time would be the end of it."""
MANY_SHARDS = 8
"""So many for each stage process are not few: of a shard of any size a claim ahead takes no more than an eighth."""
CLAIM_S = 0.01
"""What a claim may take."""
SHORT_S = 0.1
"""A batch that takes longer has nothing ahead of it for the sake of the claim alone."""
_LATEST = 8
"""Batches that are measured, the latest ones."""


def least_batches(shards: int, processes: int) -> int:
    """Of a shard that has another one ahead, in a round with so many shards for so many stage processes. Pure.

    A single process takes work from nobody.
    """
    return 1 if processes == 1 or shards >= MANY_SHARDS * processes else LEAST_BATCHES


def ask_in(
    batches: int, done: int, batch_s: Optional[float], prepare_s: Optional[float], least: int = LEAST_BATCHES
) -> Optional[float]:
    """Seconds until the next shard is asked for, when `done` of `batches` are through; None: not at all, or not yet.

    It is time once the predicted time left is the time that `prepare` of one batch takes; without one, `prepare_s` is
    None. Pure.
    """
    if batches < least or batch_s is None or (prepare_s is None and batch_s > SHORT_S):
        return None
    return max(0.0, (batches - done) * batch_s - (CLAIM_S if prepare_s is None else prepare_s))


class Measured:
    """How long the latest batches of a stage process took."""

    def __init__(self) -> None:
        self._batches: deque[float] = deque(maxlen=_LATEST)
        self._prepared: deque[float] = deque(maxlen=_LATEST)

    def batch(self, seconds: float) -> None:
        """One more batch is through: with the time that it waited for `prepare`."""
        self._batches.append(seconds)

    def prepared(self, seconds: float) -> None:
        """`prepare` of all tasks of one more batch took so long, side by side."""
        self._prepared.append(seconds)

    def ask_in(self, batches: int, done: int, least: int = LEAST_BATCHES) -> Optional[float]:
        """See `ask_in`."""
        return ask_in(batches, done, _mean(self._batches), _mean(self._prepared), least)


def _mean(seconds: deque[float]) -> Optional[float]:
    return sum(seconds) / len(seconds) if seconds else None
