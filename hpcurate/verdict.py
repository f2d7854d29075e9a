"""What follows for a shard from how its attempts have ended: try it again, isolate, ask for more, or give up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from hpcurate.failures import AGAINST, Against, AttemptEnd, Blame, Ending

DEATHS_ALONE = 2
"""So many deaths with the same task alone in work are no coincidence."""
TRIES_IN_VAIN = 2
"""So many times all the time that there is may end before a shard is finished."""
MORE = 2
"""A further round has so many times the memory, or the time, that was not enough."""

EXCUSED = 20
"""So many endings count for nothing because the shard's checkpoints had moved on: then a shard has had enough (I14)."""


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """Main memory and time of a worker; as what a shard needs, 0 is nothing in particular."""

    memory_mb: int = 0
    """MiB, of all its stage processes together; 0: not known."""
    seconds: float = 0.0
    """Wall time of its job; 0: without end."""

    def __bool__(self) -> bool:
        return bool(self.memory_mb or self.seconds)

    def suffices(self, needs: Allowance) -> bool:
        """Whether it is enough for what needs that much."""
        return needs.memory_mb <= self.memory_mb and (not self.seconds or needs.seconds <= self.seconds)

    def raised(self, needs: Allowance) -> Allowance:
        """As much as it is, and at least what needs that much."""
        return Allowance(
            memory_mb=max(self.memory_mb, needs.memory_mb), seconds=self.seconds and max(self.seconds, needs.seconds)
        )

    def exceeds(self, others: Iterable[Allowance]) -> bool:
        """Whether it has more of something than each of these; of none there is nothing to compare with."""
        known = [(other.memory_mb, other.seconds) for other in others]
        return bool(known) and any(
            mine > max(theirs) for mine, theirs in zip(msgspec.structs.astuple(self), zip(*known))
        )


class Limits(msgspec.Struct, frozen=True):
    """What workers of a stage may have."""

    ordinary: Allowance = Allowance()
    """In an ordinary round."""
    most: Allowance = Allowance()
    """In any round: the stage's `max_memory` and `max_time`, and what the site has."""
    here: Allowance = Allowance()
    """In this round."""

    def takes(self, needs: Allowance) -> bool:
        """Whether a shard with these needs is for a worker of this round: a special one is for those who need it."""
        ordinary = self.ordinary.suffices(needs)
        return ordinary if self.here == self.ordinary else not ordinary and self.here.suffices(needs)


class Verdict(msgspec.Struct, frozen=True):
    """What the next attempt of a shard does, judged from how the earlier ones ended."""

    isolate: bool = False
    """One task at a time, so that a crash names its task."""
    alone: bool = False
    """Nothing else runs in its worker meanwhile, so that the death of the whole worker names its task, too."""
    poison: dict[str, Blame] = msgspec.field(default_factory=dict)
    """Tasks that become dead letters untried."""
    exhausted: Blame | None = None
    """If set, all tasks of the shard become dead letters."""
    needs: Allowance = Allowance()
    """What its worker has to have."""
    stuck: str = ""
    """If set, no round that there may be can finish it: the reason."""
    patience: int = 1
    """Times `task_timeout` that a batch may take."""


def judge(history: Iterable[AttemptEnd], attempts: int, limits: Limits | None = None) -> Verdict:
    """Retry, isolate, ask for more, or give up. Pure.

    Endings that blame nobody count towards `attempts` if they are evidence against the shard; so a shard with several
    poison tasks still passes its good ones on, and the mere death of workers never condemns a shard. An ending that
    was shared with another shard blames nobody and does not count: either may have been the cause, so both run one
    task at a time, and share no more. Nor does one whose attempt had moved a checkpoint: the next has less to do.
    """
    ends, limits = _without_excused(history), limits or Limits()
    counted = [end for end in ends if AGAINST[end.ending] in (Against.TASK, Against.SHARD)]
    own = [end for end in counted if not end.shared]
    unnamed = [end for end in own if len(end.in_flight) != 1 and end.ending is not Ending.DEAD]
    blamed = {**_deaths(own, attempts), **_without_memory(own, limits), **_too_slow(own), **_unwritten(own)}
    seconds, stuck = _time(ends, limits)
    return Verdict(
        isolate=bool(counted),
        alone=any(end.ending in _OF_WHOLE_WORKERS for end in counted),
        poison={task: Blame(end.ending.kind, _why(end, limits)) for task, end in blamed.items()},
        exhausted=_exhausted(unnamed, limits) if len(unnamed) >= attempts else None,
        needs=Allowance(memory_mb=_memory(own, blamed, limits), seconds=seconds),
        stuck=stuck,
        patience=MORE if any(end.ending is Ending.TIMEOUT for end in ends) else 1,
    )


def _without_excused(history: Iterable[AttemptEnd]) -> tuple[AttemptEnd, ...]:
    ends = tuple(history)
    excused = [n for n, end in enumerate(ends) if end.moved and AGAINST[end.ending] is not Against.NOTHING][:EXCUSED]
    return tuple(end for n, end in enumerate(ends) if n not in excused)


_OF_WHOLE_WORKERS = frozenset([Ending.DEAD, Ending.OOM])
"""May be the doing of whatever else ran in the worker."""
Blamed = dict[str, AttemptEnd]
"""Task → the ending that it is to blame for."""


def _named(own: Iterable[AttemptEnd], *endings: Ending) -> list[tuple[str, AttemptEnd]]:
    """(task, ending) of those with one task in flight."""
    return [(end.in_flight[0], end) for end in own if len(end.in_flight) == 1 and end.ending in endings]


def _deaths(own: Sequence[AttemptEnd], attempts: int) -> Blamed:
    """By deaths alone in work. After many crashes of different tasks each is to blame at once: so it ends (I14)."""
    deaths = _named(own, Ending.CRASH, Ending.DEAD)
    times = Counter(task for task, _ in deaths)
    crashes = [end for _, end in deaths if end.ending is Ending.CRASH]
    at_once = len(crashes) > attempts
    sure = {task: end for task, end in deaths if times[task] >= DEATHS_ALONE}
    return {**sure, **{task: end for task, end in deaths if end.ending is Ending.CRASH and (at_once or task in sure)}}


def _without_memory(own: Sequence[AttemptEnd], limits: Limits) -> Blamed:
    """By the want of memory, alone in a worker that had as much as there may be."""
    return {task: end for task, end in _named(_alone(own), Ending.OOM) if _had(end, limits) >= limits.most.memory_mb}


def _too_slow(own: Sequence[AttemptEnd]) -> Blamed:
    """By time-outs in twice the time."""
    late = [end for end in own if end.ending is Ending.TIMEOUT]
    return dict(_named(late[1:], Ending.TIMEOUT))


def _unwritten(own: Sequence[AttemptEnd]) -> Blamed:
    """By what cannot be kept of it."""
    return dict(_named(own, Ending.ERROR))


def _alone(own: Sequence[AttemptEnd]) -> Sequence[AttemptEnd]:
    """Those that had their worker to themselves: after the first that killed a whole one."""
    first = next((n for n, end in enumerate(own) if end.ending in _OF_WHOLE_WORKERS), len(own))
    return own[first + 1 :]


def _had(end: AttemptEnd, limits: Limits) -> int:
    return end.memory_mb or limits.ordinary.memory_mb


def _memory(own: Sequence[AttemptEnd], blamed: Blamed, limits: Limits) -> int:
    """What a worker has to have after those that alone had not enough; 0: as much as any."""
    short = [end for end in _alone(own) if end.ending is Ending.OOM and not set(end.in_flight) & set(blamed)]
    most = max((_had(end, limits) for end in short), default=0)
    return min(MORE * most, limits.most.memory_mb)


def _time(ends: Iterable[AttemptEnd], limits: Limits) -> tuple[float, str]:
    """(what a worker has to have after those whose time was over, why no time that there may be is enough)."""
    cut, most = [end.seconds for end in ends if end.ending is Ending.WALLTIME], limits.most.seconds
    wanted = MORE * max(cut, default=0.0)
    in_vain = [seconds for seconds in cut if most and MORE * seconds > most]
    if len(in_vain) < TRIES_IN_VAIN:
        return min(wanted, most or wanted), ""
    last = f"{max(in_vain) / 60:.0f} of {most / 60:.0f} min"
    return min(wanted, most), f"{len(in_vain)} attempts were not done after {last}, the most that it may have"


def _why(end: AttemptEnd, limits: Limits) -> str:
    """What a dead letter says of an ending that blames its task."""
    if end.ending is Ending.OOM:
        return "; ".join(part for part in ("killed for memory", memory_in_words(end, limits), end.detail) if part)
    if end.ending is Ending.DEAD:
        return f"its worker was killed {DEATHS_ALONE} times while this task alone was in work; by what is not known"
    return end.detail or f"its stage process ended: {end.ending.value}"


def memory_in_words(end: AttemptEnd, limits: Limits) -> str:
    """`816 of 419 MB`, as far as it is known. Pure."""
    had = _had(end, limits)
    if not had:
        return ""
    return f"{end.peak_mb} of {had} MB" if end.peak_mb else f"it had {had} MB"


def _exhausted(unnamed: Sequence[AttemptEnd], limits: Limits) -> Blame:
    kinds = Counter(end.ending.value for end in unnamed)
    last = next((f"; the last: {_why(end, limits)}" for end in reversed(unnamed) if end.detail), "")
    why = f"{len(unnamed)} attempts ended without a result ({', '.join(sorted(kinds))}){last}"
    return Blame(unnamed[-1].ending.kind, why)
