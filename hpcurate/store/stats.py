"""What is counted of a shard: while it is made, in its `stats.json`, and by those who read that. Pure; Python 3.9."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, Optional

import msgspec

from hpcurate.failures import AttemptEnd

NOT_RETURNED = "not returned"
"""The reason of a task that was neither passed on nor dropped: nobody meant it."""


Amounts = dict[str, float]
"""What tasks amount to, by unit: `{"seconds": 812.4, "bytes": 1.2e9}` of video; an unknown unit is left out."""


def add_amounts(total: Amounts, amounts: Amounts, times: int = 1) -> None:
    """Add to `total`, so many times."""
    for unit, amount in amounts.items():
        total[unit] = total.get(unit, 0.0) + times * amount


def sum_amounts(many: Iterable[Amounts]) -> Amounts:
    """All together."""
    return rounded(exact_sums(many))


def exact_sums(many: Iterable[Amounts]) -> Amounts:
    """The same, before it is rounded. Of ten thousand shards a look adds up several: unit by unit is three times as
    fast.
    """
    known = [amounts for amounts in many if amounts]
    units = dict.fromkeys(itertools.chain.from_iterable(known))
    return {unit: _sum_of(unit, known) for unit in units}


def _sum_of(unit: str, many: list[Amounts]) -> float:
    try:
        total: float = sum(map(operator.itemgetter(unit), many))
    except KeyError:
        total = sum(amounts.get(unit, 0.0) for amounts in many)
    return total


def rounded(amounts: Amounts) -> Amounts:
    """To the millionth; without what is too large for a number."""
    return {unit: round(amount, 6) for unit, amount in amounts.items() if math.isfinite(amount)}


class LeftOut(msgspec.Struct, frozen=True):
    """What a stage left out of the tasks that it passed on, and never became a task: spans that are too short."""

    count: int = 0
    amounts: Amounts = msgspec.field(default_factory=dict)

    def __add__(self, other: LeftOut) -> LeftOut:
        """Both together."""
        return LeftOut(self.count + other.count, sum_amounts((self.amounts, other.amounts)))


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage logged under one name, in one shard or in several."""

    kind: str = "number"
    """`number`, `table` or `figure`."""
    count: int = 0
    """How often; of numbers, only the finite ones."""
    total: float = 0.0
    """Sum of the numbers; this and what follows is of numbers alone."""
    least: Optional[float] = None
    most: Optional[float] = None
    first: Optional[tuple[int, float]] = None
    """Lowest step, and the number there; None where nothing had a step."""
    last: Optional[tuple[int, float]] = None
    """Highest step, and the number there."""

    @classmethod
    def of(cls, kind: str, value: Optional[float], step: Optional[int]) -> Logged:
        """A single one; `value` is None for what is no number."""
        if kind != "number":
            return cls(kind=kind, count=1)
        if value is None:
            return cls()
        point = None if step is None else (step, value)
        return cls(count=1, total=value, least=value, most=value, first=point, last=point)

    def __add__(self, other: Logged) -> Logged:
        """Both together; at the same step the number of `other` stands last."""
        firsts = [one.first for one in (self, other) if one.first is not None]
        lasts = [one.last for one in (other, self) if one.last is not None]
        return Logged(
            kind=self.kind,
            count=self.count + other.count,
            total=self.total + other.total,
            least=min((v for v in (self.least, other.least) if v is not None), default=None),
            most=max((v for v in (self.most, other.most) if v is not None), default=None),
            first=min(firsts, key=lambda point: point[0], default=None),
            last=max(lasts, key=lambda point: point[0], default=None),
        )


def added(shards: Iterable[Mapping[str, Logged]]) -> dict[str, Logged]:
    """What several shards logged, by name; where they disagree on what a name is, the first one stands."""
    found: dict[str, Logged] = {}
    for shard in shards:
        for name, one in shard.items():
            there = found.get(name)
            if there is None or there.kind == one.kind:
                found[name] = one if there is None else there + one
    return found


class Counts(msgspec.Struct, kw_only=True):
    """Where tasks ended (I6): `tasks_in == passed + dropped + failed`; and what they amounted to."""

    tasks_in: int = 0
    tasks_out: int = 0
    passed: int = 0
    dropped: int = 0
    failed: int = 0
    not_returned: int = 0
    """Of those dropped: neither passed on nor dropped with a reason."""
    groups_in: int = 0
    """Of a stage that gets groups: how many these tasks were."""
    groups_failed: int = 0
    """Of these, whose tasks are dead letters."""
    seconds: float = 0.0
    """Of stage processes."""
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    """Drop reason → tasks, those that members of a chain dropped included."""
    amounts_in: Amounts = msgspec.field(default_factory=dict)
    amounts_out: Amounts = msgspec.field(default_factory=dict)
    amounts_failed: Amounts = msgspec.field(default_factory=dict)
    """Of dead letters."""
    lost: dict[str, Amounts] = msgspec.field(default_factory=dict)
    """Drop reason → what those tasks amounted to."""
    left_out: dict[str, LeftOut] = msgspec.field(default_factory=dict)
    """Reason → what was left out of tasks that went on."""
    logged: dict[str, Logged] = msgspec.field(default_factory=dict)
    """Name → what the stage logged under it."""


class ShardCounts(Counts, kw_only=True):
    """What a stage process counts of one shard."""

    weight_out: float = 0.0
    names_files_of: Optional[list[str]] = None
    """Folders of stages whose files its rows name; None: of a release that did not write that down."""
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    """Type of error → tasks."""
    tries: dict[str, int] = msgspec.field(default_factory=dict)
    """Number of tries → tasks that came right at the last of so many by themselves, where that is more than one."""
    retried: dict[str, int] = msgspec.field(default_factory=dict)
    """Type of error → tries that failed, of tasks or of whole batches, after which there was another."""
    process_seconds: float = 0.0
    """Of batches that went through, without the time that they waited for `prepare`."""
    waiting_seconds: float = 0.0
    """How long `process` waited for `prepare`."""
    cpu_seconds: float = 0.0
    """Of cores: user and system time of the stage process and its children while the shard was in work."""
    peak_memory_mb: float = 0.0
    """Of main memory by the stage process and its children, each at its most, up to now."""
    peak_gpu_memory_mb: float = 0.0
    """Of this process, as torch counts; 0: it was not used there."""


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage process's GPUs did while a shard was in work. None: their driver does not say."""

    seconds: float
    """How long it was in work."""
    busy: Optional[float] = None
    """Share of the time in which any kernel ran; not how much of the GPU these kernels filled."""
    encoder: Optional[float] = None
    decoder: Optional[float] = None
    memory_mb: float = 0.0
    """Most that torch took on one of them in this process; of others, all that was in use there, by whomever."""
    device_mb: float = 0.0
    """That the smallest of them has; 0: not known."""


class ShardStats(ShardCounts, kw_only=True):
    """`stats.json` of a committed shard."""

    shard: str
    nonce: str
    attempt: Optional[int] = None
    """None for the shards of a source, which nobody claims."""
    worker: Optional[str] = None
    node: Optional[str] = None
    """Where the worker ran."""
    begun: Optional[float] = None
    """Unix seconds, by the clock of the node: for people to read, never compared between nodes."""
    ended: Optional[float] = None
    history: tuple[AttemptEnd, ...] = ()
    """How the attempts before this one ended."""
    gpu: Optional[GpuUse] = None
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Python, prefix and the versions that the stage really ran with."""
    files: dict[str, int] = msgspec.field(default_factory=dict)
    """Size in bytes of every file, by relative path."""

    def to_json(self) -> dict[str, Any]:
        """Plain form; what is not known is left out."""
        plain = msgspec.to_builtins(self)
        return {name: value for name, value in plain.items() if value is not None}


class Committed(Counts, frozen=True, kw_only=True):  # type: ignore[misc]  # only who counts may change what it has
    """What readers need to know of a committed shard: a part of its `stats.json`, and of a list's index."""

    shard: str
    nonce: str
    weight_out: float
    names_files_of: Optional[list[str]] = None
    process_seconds: float = 0.0
    waiting_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    gpu: Optional[GpuUse] = None
    worker: Optional[str] = None
    attempt: Optional[int] = None
    begun: Optional[float] = None
    ended: Optional[float] = None
