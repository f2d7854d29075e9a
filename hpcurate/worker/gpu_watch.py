"""What the GPUs of a worker do while shards are in work: sampled by its supervisor, about once a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from hpcurate.stage_process.messages import Done, Ready, ShardJob
from hpcurate.store.heartbeat import AtWork
from hpcurate.store.stats import GpuUse
from hpcurate.system.clock import Clock
from hpcurate.system.gpus import Gpus, GpuSample, NoDriver, Nvml
from hpcurate.worker.gpu_probe import visible_gpus
from hpcurate.worker.hosts import Ahead, StageHost

EVERY_S = 1.0
"""A driver averages over up to a second."""


def used(samples: Iterable[GpuSample], seconds: float, own_mb: float = 0.0) -> GpuUse | None:
    """Summed up for one shard; None if nothing was seen. `own_mb` is what its process says that it took. Pure."""
    known = list(samples)
    memory = [one.memory_mb for one in known if one.memory_mb is not None]
    if not memory:
        return None
    return GpuUse(
        seconds=round(seconds, 3),
        busy=_mean([one.busy for one in known]),
        encoder=_mean([one.encoder for one in known]),
        decoder=_mean([one.decoder for one in known]),
        memory_mb=round(own_mb or max(memory), 1),
        device_mb=round(min((one.device_mb for one in known if one.device_mb), default=0.0), 1),
    )


def _mean(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return round(sum(known) / len(known), 4) if known else None


class GpuWatch:
    """Looks at a worker's devices, in a thread of its own: a driver in trouble may never answer, and nobody waits."""

    def __init__(self, tokens: tuple[str, ...] | None, clock: Clock, driver: Callable[[], Gpus]) -> None:
        self._tokens, self._clock, self._driver = tokens, clock, driver
        self._latest: dict[str, GpuSample] = {}
        self._open: list[_Shard] = []
        self._lock, self._stopped = clock.lock(), clock.event()
        clock.start(self._watch, "gpus")

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    @contextmanager
    def shard(self, tokens: tuple[str, ...]) -> Iterator[list[GpuSample]]:
        """While one is in work on these devices: what was seen of them by its end; none: all of the worker's."""
        this = _Shard(tokens)
        with self._lock:
            self._open.append(this)
        try:
            yield this.samples
        finally:
            with self._lock:
                self._open.remove(this)
                if not this.samples:  # a short one: better the moment before it than nothing
                    this.add(self._latest)

    def _watch(self) -> None:
        try:
            gpus = self._driver()
        except NoDriver:
            return
        tokens = gpus.tokens() if self._tokens is None else self._tokens
        while not self._stopped.is_set():
            seen = {token: gpus.sample(token) for token in tokens}
            with self._lock:
                self._latest = seen
                for shard in self._open:
                    shard.add(seen)
            self._stopped.wait(EVERY_S)


class _Shard(msgspec.Struct, eq=False):
    """One in work."""

    tokens: tuple[str, ...]
    samples: list[GpuSample] = msgspec.field(default_factory=list)

    def add(self, seen: Mapping[str, GpuSample]) -> None:
        self.samples += [sample for token, sample in seen.items() if not self.tokens or token in self.tokens]


class WatchedHost(StageHost):
    """A host that also tells what its GPUs did."""

    def __init__(self, host: StageHost, watch: GpuWatch, tokens: tuple[str, ...], clock: Clock) -> None:
        self._host, self._watch, self._tokens, self._clock = host, watch, tokens, clock

    def start(self) -> Ready:
        """See `StageHost`."""
        return self._host.start()

    def run(self, job: ShardJob, ahead: Ahead | None = None) -> Done:
        """See `StageHost`."""
        began = self._clock.monotonic()
        with self._watch.shard(self._tokens) as samples:
            done = self._host.run(job, ahead)
        own_mb = done.counts.peak_gpu_memory_mb
        return msgspec.structs.replace(done, gpu=used(samples, self._clock.monotonic() - began, own_mb))

    def at_work(self) -> AtWork | None:
        """See `StageHost`."""
        return self._host.at_work()

    def kill(self) -> None:
        """See `StageHost`."""
        self._host.kill()

    def close(self) -> None:
        """See `StageHost`."""
        self._host.close()


def watch_gpus(device: str, clock: Clock) -> GpuWatch | None:
    """None, at no cost, where a stage computes on the CPU."""
    return GpuWatch(visible_gpus(), clock, Nvml) if device == "cuda" else None
