"""What the workers of a stage's open rounds have in work, from their heartbeats. For people: nothing is decided on it.

A heartbeat is read no more often than it is written, and of a stage at most `READ` are: the others are taken to be as
far. A path is only read that a listing had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache

import msgspec

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.beats import Stillness
from hpcurate.runs.live import Observer
from hpcurate.runs.reconcile import Phase, RoundView, StageView
from hpcurate.store.curves import METRICS, latest_values
from hpcurate.store.files import files_folder
from hpcurate.store.heartbeat import AtWork, Beat, decoded
from hpcurate.store.stage_store import StageStore
from hpcurate.system.beats import OVERDUE
from hpcurate.system.clock import Clock

READ = 256
"""Heartbeats of one stage that are read."""
LISTED_S, PER_FOLDER_S = 2.0, 0.1
"""So long after a listing of all workers there is another, and so much longer for each folder that it listed."""
CURVES = 16
"""Tasks of one stage whose curves are looked at."""
IDLE_S, PER_WORKER_S = 2.0, 0.05
"""So long after a heartbeat with nothing in work it is read again, and so much longer for each worker."""


class ShardInWork(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that a worker has in work."""

    worker: str
    node: str
    at: AtWork
    weight: float
    """Of the shard."""
    silent_s: float = 0.0
    """For how long its worker's counter has stood still."""
    curves: Mapping[str, tuple[int | None, float]] = msgspec.field(default_factory=dict)
    """Name → step and value that the program of the task in work wrote last."""

    @property
    def weight_done(self) -> float:
        """Of its tasks that have ended; by their number where their weights say nothing. Never more than all."""
        if self.at.done >= self.at.tasks or self.weight <= 0:
            return self.weight
        return min(self.at.weight or self.weight * self.at.done / self.at.tasks, self.weight)


class StageWork(msgspec.Struct, frozen=True, kw_only=True):
    """What is in work in one stage."""

    shards: tuple[ShardInWork, ...] = ()
    """One for each: the latest that anybody says of it."""
    starting: Mapping[str, tuple[int, float]] = msgspec.field(default_factory=dict)
    """What workers do before they have a shard → how many of those that were read, and the longest for how long."""
    workers: int = 0
    """Of its open rounds, that have begun."""
    read: int = 0
    """Of them whose heartbeats were read."""

    @property
    def scale(self) -> float:
        """How many times as much there is as was read."""
        return self.workers / self.read if self.read else 1.0

    @property
    def weight_done(self) -> float:
        """Of tasks that have ended in shards that are not committed."""
        return self.scale * sum(shard.weight_done for shard in self.shards)


def prefixes_of(rounds: Iterable[RoundView]) -> tuple[str, ...]:
    """What the names of the workers of rounds that are not over begin with. Pure."""
    is_open = [found for found in rounds if found.phase is not Phase.OVER]
    jobs = [f"{job}-" for found in is_open for job in found.jobs.ids]
    local = [found.submitter.pid for found in is_open if found.queue is None and found.submitter is not None]
    return tuple(sorted({*jobs, *(f"{kind}{pid}-" for pid in local for kind in ("local", "inline"))}))


def in_work(
    beats: Iterable[tuple[str, Beat, float]], weights: Mapping[str, float], silent_from_s: float
) -> tuple[ShardInWork, ...]:
    """The shards of these weights that are in work; of one that several workers name, what the liveliest says. Pure.

    `beats`: worker, what its heartbeat holds, for how long that has stood still.
    """
    latest: dict[str, tuple[float, str, Beat, AtWork]] = {}
    for worker, beat, still_s in beats:
        for at in (at for at in beat.at_work if at.shard in weights):
            if at.shard not in latest or still_s < latest[at.shard][0]:
                latest[at.shard] = still_s, worker, beat, at
    return tuple(
        ShardInWork(
            worker=worker,
            node=beat.node,
            at=at,
            weight=weights[shard],
            silent_s=still_s if still_s >= silent_from_s else 0.0,
        )
        for shard, (still_s, worker, beat, at) in latest.items()
    )


def with_curves(shard: ShardInWork, store: StageStore) -> ShardInWork:
    """The same with what its program wrote last, which lies beside the checkpoint of its task."""
    if not shard.at.task:
        return shard
    folder = store.checkpoints.newest(shard.at.shard)
    path = f"{folder}/{files_folder(shard.at.task)}/{METRICS}"
    return msgspec.structs.replace(shard, curves=latest_values(path) if folder else {})


def starting(beats: Iterable[tuple[str, Beat, float]], silent_from_s: float) -> dict[str, tuple[int, float]]:
    """What workers that show signs of life do before they have a shard: see `StageWork`. Pure."""
    found: dict[str, tuple[int, float]] = {}
    for _, beat, still_s in beats:
        doing = {at.name: at.since_s for at in beat.at_work if not at.shard and still_s < silent_from_s}
        for what, since_s in doing.items():
            count, longest_s = found.get(what, (0, 0.0))
            found[what] = count + 1, max(longest_s, since_s)
    return found


class _Names(msgspec.Struct):
    """The workers of one stage that a listing had."""

    prefixes: tuple[str, ...] = ()
    found: list[str] = msgspec.field(default_factory=list)
    again: float = float("-inf")
    """When they are listed again."""


class WorkSeen:
    """What is in work in the stages of a run, looked at again and again."""

    def __init__(self, observer: Observer, pipeline: Pipeline, clock: Clock) -> None:
        self._observer, self._pipeline, self._clock = observer, pipeline, clock
        self._still, self._heartbeat_s = Stillness(clock), pipeline.timing.heartbeat_s
        self._names: dict[str, _Names] = {}
        self._read: dict[str, tuple[float, Beat, float]] = {}
        """Path → when it was read, what it held, and for how long that had stood still."""

    def of(self, views: Sequence[StageView], now_ns: Callable[[], int] = lambda: 0) -> dict[str, StageWork]:
        """Stage → what is in work in it, of each that has workers.

        `now_ns`: stamp that the store gave a file not long ago, for silence that began before the first look.
        """
        found, now_ns = {}, cache(now_ns)
        for view in views:
            prefixes = prefixes_of(view.rounds) if view.listed and not view.complete else ()
            if prefixes:
                found[view.name] = self._of(self._pipeline.stage(view.name), prefixes, now_ns)
        return found

    def _of(self, stage: PlannedStage, prefixes: tuple[str, ...], now_ns: Callable[[], int]) -> StageWork:
        store = self._observer.store(stage.folder)
        names = self._list(store, prefixes)
        read = names[:READ]
        idle_s = min(self._heartbeat_s, IDLE_S + PER_WORKER_S * len(read))
        beats = [(name, *self._beat(store, store.folder.worker(name), idle_s, now_ns)) for name in read]
        silent_from_s = OVERDUE * self._heartbeat_s
        shards = in_work(beats, self._observer.open_weights(stage), silent_from_s)
        if stage.checkpoints:
            shards = tuple(with_curves(shard, store) for shard in shards[:CURVES]) + shards[CURVES:]
        return StageWork(shards=shards, starting=starting(beats, silent_from_s), workers=len(names), read=len(read))

    def _list(self, store: StageStore, prefixes: tuple[str, ...]) -> list[str]:
        """In the order of their nonces: any few of them are like the others."""
        known, now = self._names.setdefault(store.folder.path, _Names()), self._clock.monotonic()
        if prefixes != known.prefixes or now >= known.again:
            fans = store.filesystem.names(store.folder.workers)
            names = [name for fan in fans for name in store.filesystem.names(f"{store.folder.workers}/{fan}")]
            known.found = sorted((name for name in names if name.startswith(prefixes)), key=lambda name: name[::-1])
            known.prefixes, known.again = prefixes, now + LISTED_S + PER_FOLDER_S * len(fans)
        return known.found

    def _beat(self, store: StageStore, path: str, idle_s: float, now_ns: Callable[[], int]) -> tuple[Beat, float]:
        asked, known = self._clock.monotonic(), self._read.get(path)
        if known is None or asked - known[0] >= (known[1].every_s or idle_s):
            beat = decoded(_content(store, path))
            still_s = self._still.of(path, beat.counter, asked)
            if not self._still.moved(path):
                still_s = max(still_s, _stood_still_before(path, now_ns()))
            known = self._read[path] = (asked, beat, still_s)
        return known[1:]


def _content(store: StageStore, path: str) -> bytes:
    with suppress(OSError):
        return store.filesystem.read(path)
    return b""


def _stood_still_before(path: str, now_ns: int) -> float:
    """Seconds, by two stamps of the same store. It says nothing once the counter was seen to move."""
    with suppress(OSError):
        return max(0.0, (now_ns - os.stat(path).st_mtime_ns) / 1e9)
    return 0.0
