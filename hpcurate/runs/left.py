"""What is left of a stage after a round, and what the next one has to have for it. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from hpcurate.failures import AGAINST, Against, AttemptEnd, Ending
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.units import minutes
from hpcurate.verdict import Allowance, Limits, judge, memory_in_words

LONGER = 1.25
"""So many times as long is more than what two clocks differ by."""
SMALLER = 4
"""Shards of so many times fewer tasks are done in time: twice the most was not enough."""
History = Sequence[AttemptEnd]
"""How the attempts of a shard have ended."""


class Group(msgspec.Struct, frozen=True):
    """Open shards that are for the same round."""

    shards: int
    has: Allowance = Allowance()
    """What it has to have; nothing in particular for an ordinary one."""
    least_s: float = 0.0
    """Time that an ordinary one needs where it is free to choose (`resources.time=auto`)."""
    why: str = ""
    """What is special about them, and what it has for them."""


class Left(msgspec.Struct, frozen=True):
    """What is known of the open shards of a stage."""

    groups: tuple[Group, ...] = ()
    """In the order of their rounds: ordinary ones first, then those that need the least."""
    stuck: tuple[str, ...] = ()
    """Why no round that there may be can finish a shard, for each that is stuck."""
    overrides: tuple[str, ...] = ()
    """What lets one finish them."""
    told: int = 0
    """Attempts of them whose ending the verdicts on them rest on: with each more, the next round knows more. And those
    that moved a checkpoint: with each more, it has less to do."""


def left_of(
    stage: PlannedStage,
    untried: int,
    tried: Iterable[tuple[str, History]],
    limits: Limits,
    tasks: Mapping[str, int] = MappingProxyType({}),
) -> Left:
    """From the histories of the open shards, by name, the number of those that have none, and how many tasks each
    has. Pure.
    """
    groups: dict[Allowance, list[History]] = defaultdict(list)
    stuck, told, ordinary, least_s = dict[str, str](), 0, untried, 0.0
    for shard, history in tried:
        verdict, told = judge(history, stage.attempts, limits), told + _told(history)
        if verdict.stuck:
            stuck[shard] = verdict.stuck
        elif limits.ordinary.suffices(verdict.needs):
            ordinary, least_s = ordinary + 1, max(least_s, verdict.needs.seconds)
        else:
            groups[_whole(limits.ordinary.raised(verdict.needs))].append(history)
    special = sorted(groups, key=lambda has: (has.memory_mb, has.seconds))
    first = [Group(ordinary, least_s=least_s)] if ordinary else []
    way_out, overrides = _way_out(stage, limits, min((tasks[shard] for shard in stuck if shard in tasks), default=1))
    return Left(
        groups=(*first, *(Group(len(groups[has]), has, why=_why(groups[has], has, limits)) for has in special)),
        stuck=tuple(f"shard {shard}: {why}; {way_out}" for shard, why in stuck.items()),
        overrides=overrides if stuck else (),
        told=told,
    )


def _told(history: History) -> int:
    return sum(tells(end, history[:n]) for n, end in enumerate(history))


def _whole(has: Allowance) -> Allowance:
    """In whole minutes, as a scheduler takes them."""
    return msgspec.structs.replace(has, seconds=math.ceil(has.seconds / 60) * 60.0)


def tells(end: AttemptEnd, before: History = ()) -> bool:
    """Whether a verdict rests on it: not on the mere death of a worker, nor on no more time than was too short before.

    Or whether its attempt moved a checkpoint, however it ended: that is progress, too. Pure.
    """
    if end.moved:
        return True
    if end.ending is Ending.WALLTIME:
        return end.seconds > LONGER * max((one.seconds for one in before if one.ending is Ending.WALLTIME), default=0.0)
    return AGAINST[end.ending] is not Against.NOTHING and (end.ending is not Ending.DEAD or len(end.in_flight) == 1)


def _why(histories: Sequence[History], has: Allowance, limits: Limits) -> str:
    """`3 shards that ran out of memory, 816 of 419 MB; it has 838 MB`. Pure."""
    one, ends = len(histories) == 1, [end for history in histories for end in history]
    said, more = [], []
    if has.memory_mb > limits.ordinary.memory_mb:
        short = max((end for end in ends if end.ending is Ending.OOM), key=lambda end: (end.memory_mb, end.peak_mb))
        said.append(f"ran out of memory, {memory_in_words(short, limits)}")
        more.append(f"{has.memory_mb} MB")
    if has.seconds > limits.ordinary.seconds:
        longest = max(end.seconds for end in ends if end.ending is Ending.WALLTIME)
        said.append(f"{'was' if one else 'were'} not done after {longest / 60:.0f} min")
        more.append(f"{has.seconds / 60:.0f} min")
    return f"{len(histories)} shard{'' if one else 's'} that {' and '.join(said)}; it has {' and '.join(more)}"


def _way_out(stage: PlannedStage, limits: Limits, tasks: int) -> tuple[str, tuple[str, ...]]:
    """What gives a shard more time than the most that there is, or makes it of fewer tasks; and the overrides. Pure."""
    if stage.max_time and minutes(stage.max_time) * 60 <= limits.most.seconds:
        longer = f"stages.{stage.name}.max_time={2 * minutes(stage.max_time)}m"
        return f"{longer} allows more", (longer,)
    other = f"stages.{stage.name}.sbatch.partition=NAME for one that does"
    if tasks < SMALLER:
        return f"its partition allows no more: {other}", ()
    smaller = f"stages.{stage.name}.shard_tasks={tasks // SMALLER}"
    return (
        f"its partition allows no more: {other}, or smaller shards, {smaller}",
        (smaller, f"rerun={stage.name}"),
    )
