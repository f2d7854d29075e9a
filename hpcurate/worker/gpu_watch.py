"""What the GPUs of a worker do while shards are in work: sampled by its supervisor, about once a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs

from hpcurate.stage_process.messages import Done, Ready, ShardJob
from hpcurate.store.stats import GpuUse
from hpcurate.system.clock import Clock
from hpcurate.system.gpus import Gpus, GpuSample, NoDriver, Nvml
from hpcurate.worker.hosts import Ahead, StageHost

EVERY_S = 1.0
"""A driver averages over up to a second."""


def used(samples: Iterable[GpuSample], seconds: float) -> GpuUse | None:
    """Summed up for one shard; None if nothing was seen. Pure."""
    known = list(samples)
    memory = [one.memory_mb for one in known if one.memory_mb is not None]
    if not known or not memory:
        return None
    return GpuUse(
        seconds=round(seconds, 3),
        busy=_mean([one.busy for one in known]),
        encoder=_mean([one.encoder for one in known]),
        decoder=_mean([one.decoder for one in known]),
        memory_mb=round(max(memory), 1),
    )


def _mean(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return round(sum(known) / len(known), 4) if known else None


@attrs.define(eq=False)
class _Open:
    """A shard in work."""

    tokens: tuple[str, ...]
    samples: list[GpuSample] = attrs.field(factory=list)


class GpuWatch:
    """Looks at the devices of shards in work."""

    def __init__(self, gpus: Gpus, clock: Clock, every_s: float = EVERY_S) -> None:
        self._gpus, self._clock, self._every_s = gpus, clock, every_s
        self._open: list[_Open] = []
        self._lock, self._stopped = clock.lock(), clock.event()
        clock.start(self._watch, "gpus")

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    @contextmanager
    def shard(self, tokens: tuple[str, ...]) -> Iterator[list[GpuSample]]:
        """While one is in work on these devices: what is seen of them, from its beginning to its end."""
        this = _Open(tokens or self._gpus.tokens())
        with self._lock:
            self._open.append(this)
        try:
            yield this.samples
        finally:
            with self._lock:
                self._open.remove(this)
                if not this.samples:  # a short one: better the moment after it than nothing
                    this.samples += [self._gpus.sample(token) for token in this.tokens]

    def _watch(self) -> None:
        while not self._stopped.wait(self._every_s):
            with self._lock:
                seen = {token: self._gpus.sample(token) for one in self._open for token in one.tokens}
                for one in self._open:
                    one.samples += [seen[token] for token in one.tokens]


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
        return attrs.evolve(done, gpu=used(samples, self._clock.monotonic() - began))

    def kill(self) -> None:
        """See `StageHost`."""
        self._host.kill()

    def close(self) -> None:
        """See `StageHost`."""
        self._host.close()


def watch_gpus(device: str, clock: Clock) -> GpuWatch | None:
    """None, at no cost, where a stage computes on the CPU, or where there is no NVML."""
    if device != "cuda":
        return None
    try:
        return GpuWatch(Nvml(), clock)
    except NoDriver:
        return None
