"""Committed shards by the thousand, each thousand as one: what adds up is added up, exactly. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from hpcurate.store.packed import blocks
from hpcurate.store.stats import Amounts, Committed, LeftOut, added, exact_sums

__all__ = ["Folded", "GpuSums", "Share"]

T = TypeVar("T")


class Share(msgspec.Struct):
    """A mean over time; where it is not known the time does not count."""

    total: float = 0.0
    seconds: float = 0.0

    def add(self, share: float | None, seconds: float) -> None:
        """So large for so long."""
        if share is not None:
            self.total, self.seconds = self.total + share * seconds, self.seconds + seconds

    def __add__(self, other: Share) -> Share:
        return Share(self.total + other.total, self.seconds + other.seconds)

    @property
    def mean(self) -> float | None:
        """None where nothing is known."""
        return round(self.total / self.seconds, 4) if self.seconds else None


class GpuSums(msgspec.Struct):
    """What the GPUs of the shards that were watched did."""

    shards: int = 0
    busy: Share = msgspec.field(default_factory=Share)
    encoder: Share = msgspec.field(default_factory=Share)
    decoder: Share = msgspec.field(default_factory=Share)
    memory_mb: float = 0.0
    waiting: float = 0.0
    working: float = 0.0

    @classmethod
    def of(cls, shards: Iterable[Committed]) -> GpuSums:
        """Of all these."""
        sums = cls()
        for shard in shards:
            sums.add(shard)
        return sums

    def __add__(self, other: GpuSums) -> GpuSums:
        return GpuSums(
            shards=self.shards + other.shards,
            busy=self.busy + other.busy,
            encoder=self.encoder + other.encoder,
            decoder=self.decoder + other.decoder,
            memory_mb=max(self.memory_mb, other.memory_mb),
            waiting=self.waiting + other.waiting,
            working=self.working + other.working,
        )

    def add(self, shard: Committed) -> None:
        """Of one more."""
        if (use := shard.gpu) is None:
            return
        self.shards += 1
        self.busy.add(use.busy, use.seconds)
        self.encoder.add(use.encoder, use.seconds)
        self.decoder.add(use.decoder, use.seconds)
        self.memory_mb = max(self.memory_mb, use.memory_mb)
        self.waiting, self.working = self.waiting + shard.waiting_seconds, self.working + shard.process_seconds


class Folded(msgspec.Struct):
    """Committed shards, a thousand as one."""

    sums: list[Committed] = msgspec.field(default_factory=list)
    shards: int = 0
    unmeasured: int = 0
    """Those that had tasks, and of which it is not known what they amount to."""

    gpu: GpuSums = msgspec.field(default_factory=GpuSums)

    @classmethod
    def of(cls, shards: Iterable[Committed]) -> Folded:
        """In one pass."""
        folded = cls()
        for block in blocks(shards):
            folded.sums.append(_fold(block))
            folded.shards += len(block)
            folded.unmeasured += sum(1 for shard in block if shard.tasks_in and not shard.amounts_in)
            folded.gpu += GpuSums.of(block)
        return folded

    @classmethod
    def together(cls, folds: Iterable[Folded]) -> Folded:
        """All of these."""
        folded = cls()
        for one in folds:
            folded.sums += one.sums
            folded.shards, folded.unmeasured = folded.shards + one.shards, folded.unmeasured + one.unmeasured
            folded.gpu += one.gpu
        return folded

    @property
    def tasks_out(self) -> int:
        """That they have passed on."""
        return sum(one.tasks_out for one in self.sums)

    @property
    def failed(self) -> int:
        """Their dead letters."""
        return sum(one.failed for one in self.sums)


def _fold(shards: Sequence[Committed]) -> Committed:
    return Committed(
        shard="",
        nonce="",
        weight_out=sum(s.weight_out for s in shards),
        tasks_in=sum(s.tasks_in for s in shards),
        tasks_out=sum(s.tasks_out for s in shards),
        passed=sum(s.passed for s in shards),
        dropped=sum(s.dropped for s in shards),
        not_returned=sum(s.not_returned for s in shards),
        failed=sum(s.failed for s in shards),
        groups_in=sum(s.groups_in for s in shards),
        groups_failed=sum(s.groups_failed for s in shards),
        seconds=sum(s.seconds for s in shards),
        cpu_seconds=sum(s.cpu_seconds for s in shards),
        peak_memory_mb=max(s.peak_memory_mb for s in shards),
        ended=max((s.ended for s in shards if s.ended is not None), default=None),
        reasons=add_reasons(s.reasons for s in shards if s.reasons),
        amounts_in=exact_sums(s.amounts_in for s in shards),
        amounts_out=exact_sums(s.amounts_out for s in shards),
        amounts_failed=exact_sums(s.amounts_failed for s in shards),
        lost=add_lost(s.lost for s in shards if s.lost),
        left_out=add_left_out(s.left_out for s in shards if s.left_out),
        logged=added(s.logged for s in shards if s.logged),
    )


def add_reasons(shards: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reasons in shards:
        for reason, count in reasons.items():
            found[reason] = found.get(reason, 0) + count
    return found


def add_lost(shards: Iterable[Mapping[str, Amounts]]) -> dict[str, Amounts]:
    return {reason: exact_sums(many) for reason, many in _by_reason(shards).items()}


def add_left_out(shards: Iterable[Mapping[str, LeftOut]]) -> dict[str, LeftOut]:
    return {
        reason: LeftOut(sum(one.count for one in many), exact_sums(one.amounts for one in many))
        for reason, many in _by_reason(shards).items()
    }


def _by_reason(shards: Iterable[Mapping[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for shard in shards:
        for reason, one in shard.items():
            found.setdefault(reason, []).append(one)
    return found
