"""Scenarios: what people do, and how rough the site is. The seed draws the plan of an episode from one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.simulation.plan import Plan
from tests.simulation.results import STAGES as RESULT_STAGES

Draw = Callable[[random.Random], dict[str, Any]]


def _small(dice: random.Random) -> dict[str, Any]:
    """One stage, a few shards."""
    return {
        "tasks": dice.randint(2, 4),
        "workers": dice.randint(1, 3),
        "nodes": dice.randint(1, 3),
        "processes": dice.choice((1, 1, 2)),
        "namespaces": dice.choice((1, 1, 2)),
        "slowest_s": dice.choice((5.0, 60.0, 400.0)),
    }


def _rough(dice: random.Random) -> dict[str, Any]:
    """Some of what goes wrong; seldom all at once, so that each has its turn."""
    some: dict[str, Any] = {
        "stale_s": dice.choice((0.0, 60.0, 60.0)),
        "errors": dice.choice((0.0, 0.0, 0.004, 0.02)),
        "hangs": dice.choice((0.0, 0.0, 0.0, 0.01)),
        "links": dice.random() < 0.8,
        "full": int(dice.random() < 0.1),
        "stops": dice.choice((0.0, 0.0, 0.002, 0.01)),
        "kills": dice.choice((0, 0, 1, 2)),
        "host_deaths": int(dice.random() < 0.1),
        "clock_jumps": int(dice.random() < 0.1),
        "poison": int(dice.random() < 0.1),
        "lost_rows": dice.choice((0.0, 0.0, 0.0, 0.05)),
    }
    return some


def _lying(dice: random.Random) -> dict[str, Any]:
    """A scheduler that is slow, silent, wrong, or somebody else's."""
    return {
        "silent": dice.choice((0.0, 0.1, 0.3)),
        "empty": dice.choice((0.0, 0.1, 0.3)),
        "unanswered": dice.choice((0.0, 0.1, 0.4)),
        "refused": dice.choice((0.0, 0.0, 0.2)),
        "preempted": dice.choice((0, 0, 1, 2)),
        "lost_nodes": int(dice.random() < 0.15),
        "foreign": dice.random() < 0.15,
        "accounting": dice.random() < 0.7,
    }


def _slurm(dice: random.Random) -> dict[str, Any]:
    return {**_small(dice), **_rough(dice), **(_lying(dice) if dice.random() < 0.6 else {})}


def _local(dice: random.Random) -> dict[str, Any]:
    return {**_small(dice), **_rough(dice), "launcher": "local"}


def _array(dice: random.Random) -> dict[str, Any]:
    """One kill at most: no scheduler is there to say that it was nobody's fault, and two with the same task alone in
    work are no coincidence to hpcurate.
    """
    some = {**_small(dice), **_rough(dice), "alone": True, "full": 0, "workers": dice.randint(2, 3)}
    return {**some, "kills": dice.randint(0, 1), "preempted": dice.randint(0, 1), "shard_tasks": dice.choice((1, 1, 2))}


def _limits(dice: random.Random) -> dict[str, Any]:
    """A gate, the array that it submits and the gate after that have to have room."""
    return {
        "most_queued": dice.randint(3, 5),
        "others": dice.randint(0, 4),
        "workers": dice.randint(1, 3),
        "again": dice.randint(0, 1),
        "stages": dice.choice((("double",), ("double", "sift"))),
    }


def _short(dice: random.Random) -> dict[str, Any]:
    """Jobs end in the middle of the work, which fits into one; no lease fits into the short ones."""
    limit_s = dice.choice((300.0, 600.0))
    return {
        "limit_s": limit_s,
        **({"links": True} if limit_s < 450 else {}),
        "kill_wait": dice.random() < 0.7,
        "shard_tasks": dice.choice((1, 1, 2)),
        "slowest_s": dice.choice((60.0, 200.0)),
    }


def _killers(dice: random.Random) -> dict[str, Any]:
    """Nobody else kills: two workers that die with the same task alone in work are no coincidence to hpcurate."""
    return {
        "killers": dice.randint(1, 2),
        "shard_tasks": dice.randint(1, 3),
        "accounting": True,
        "kills": dice.choice((0, 1)),
        "host_deaths": 0,
        "preempted": dice.randint(0, 1),
        "lost_nodes": dice.randint(0, 1),
        "namespaces": 1,
    }


def _hungry(dice: random.Random) -> dict[str, Any]:
    """Some tasks need a round with more memory. Nobody else kills, and whoever is asked answers truly."""
    return {
        "hungry": dice.randint(1, 4),
        "again": dice.choice((0, 0, 1)),
        "shard_tasks": dice.randint(1, 3),
        "tasks": dice.randint(1, 3),
        "accounting": True,
        "kills": 0,
        "host_deaths": 0,
        "lost_nodes": 0,
        "silent": 0.0,
        "empty": 0.0,
        "poison": dice.choice((0, 0, 1)),
        "workers": dice.randint(1, 4),
    }


def _longer(dice: random.Random) -> dict[str, Any]:
    """Some shards are not done in an ordinary job, and are in one that has more time. Who is killed at the end of it
    without a word looks like one that a task has killed: whoever is asked answers truly.
    """
    return {
        **_short(dice),
        "accounting": True,
        "silent": 0.0,
        "empty": 0.0,
        "limit_s": 300.0,
        "links": True,
        "shard_tasks": 1,
        "fastest_s": dice.choice((0.1, 320.0)),
        "slowest_s": 450.0,
        "longer": True,
        "kills": 0,
        "host_deaths": 0,
    }


def _ahead(dice: random.Random) -> dict[str, Any]:
    """Stage processes are given the next shard while they end one; at the end of a stage others have nothing to do."""
    return {
        "ahead": dice.choice((0.5, 1.0)),
        "tasks": dice.randint(3, 7),
        "poison": dice.choice((0, 0, 1, 2)),
        "slowest_s": dice.choice((5.0, 60.0)),
    }


def _accidents(dice: random.Random) -> dict[str, Any]:
    """No task has two of them, or a kill besides: that would be no coincidence to hpcurate."""
    return {"accidents": dice.randint(1, 3), "shard_tasks": dice.randint(1, 2), "kills": 0, "host_deaths": 0}


def _buggy(dice: random.Random) -> dict[str, Any]:
    """Some tasks fail until their bug is fixed, and people retry them."""
    return {
        "bugs": dice.randint(1, 3),
        "retries": dice.randint(1, 3),
        "tasks": dice.randint(1, 3),
        "stages": dice.choice((("double",), ("double", "sift"), ("double", "collect"))),
        "shard_tasks": dice.randint(1, 3),
        "slowest_s": dice.choice((5.0, 60.0)),
    }


def _keeping(dice: random.Random) -> dict[str, Any]:
    """Files are freed while two runs that share stages work, and some are needed again. Without hard links an entry of
    the log is half for a moment: see the weak spots of the protocol.
    """
    return {
        "keeps_results": True,
        "stages": ("make", "copy", "sift"),
        "tasks": dice.randint(1, 3),
        "sweep": True,
        "sweep_s": dice.choice((5.0, 1500.0)),
        "again": dice.randint(0, 2),
        "links": True,
        "lost_rows": 0.0,
        "poison": 0,
    }


def _training(dice: random.Random) -> dict[str, Any]:
    """What tasks have reached outlives attempts. Zombies are many: paused, cut off, and declared dead by others."""
    return {
        "stages": ("train",),
        "tasks": dice.randint(1, 2),
        "shard_tasks": dice.choice((1, 1, 2)),
        "poison": 0,
        "stops": dice.choice((0.002, 0.01, 0.02)),
        "preempted": dice.randint(0, 2),
        "slowest_s": dice.choice((60.0, 400.0, 1500.0)),
        "workers": dice.randint(2, 3),
        "nodes": dice.randint(2, 3),
    }


def _with_result(dice: random.Random) -> dict[str, Any]:
    """What one stage returns is a parameter of another; it changes by growth, or because dead letters come right."""
    return {
        "stages": RESULT_STAGES,
        "tasks": dice.randint(1, 3),
        "growth": dice.choice((0, 1, 1, 2)),
        "again": dice.choice((0, 0, 1)),
        "slowest_s": dice.choice((5.0, 60.0)),
        "poison": 0,
    }


def _grouping(dice: random.Random) -> dict[str, Any]:
    """A stage that gets groups, of which one has half of all rows, and one below it; the input grows."""
    return {
        "stages": dice.choice((("double", "team", "sift"), ("double", "team", "sift"), ("team", "sift"))),
        "tasks": dice.randint(2, 6),
        "shard_tasks": dice.choice((1, 2, 3, 3, 6)),
        "growth": dice.choice((0, 1, 1, 2)),
        "again": dice.choice((0, 0, 1)),
        "slowest_s": dice.choice((5.0, 60.0)),
        "poison": dice.choice((0, 0, 0, 1, 2)),
    }


def _joining(dice: random.Random) -> dict[str, Any]:
    """Two branches of one stage, which give two classes, are joined by id; a stage below."""
    return {
        **_grouping(dice),
        "stages": ("double", "left", "right", "match", "sift"),
        "tasks": dice.randint(1, 4),
        "growth": dice.choice((0, 1, 1)),
    }


SCENARIOS: dict[str, Draw] = {
    "workers alone": _array,
    "one run": _slurm,
    "a call that stays": lambda dice: {**_slurm(dice), "stays": True},
    "in the same second": lambda dice: {**_slurm(dice), "at_once": True},
    "typed again": lambda dice: {
        **_slurm(dice),
        "again": dice.randint(1, 3),
        "cuts": dice.choice((0, 0, 0, 2)),
        "bad_files": dice.choice((0, 0, 0, 2)),
    },
    "a chain": lambda dice: {**_slurm(dice), "stages": ("double", "sift"), "again": dice.randint(0, 1)},
    "many folders": lambda dice: {
        **_slurm(dice),
        "pairs": True,
        "tasks": dice.randint(5, 9),
        "purges": dice.choice((0, 1)),
    },
    "many folders, workers alone": lambda dice: {**_array(dice), "pairs": True, "tasks": dice.randint(5, 9)},
    "a gather": lambda dice: {**_slurm(dice), "stages": ("double", "collect"), "tasks": dice.randint(1, 3)},
    "a trial": lambda dice: {**_slurm(dice), "trial": True},
    "a sweep": lambda dice: {**_slurm(dice), "sweep": True, "stages": ("double", "sift")},
    "growth": lambda dice: {**_slurm(dice), "growth": dice.randint(1, 2), "stages": ("double", "sift")},
    "a changed input": lambda dice: {**_slurm(dice), "changes": dice.randint(1, 2), "stages": ("double", "sift")},
    "cancel": lambda dice: {**_slurm(dice), "cancels": dice.randint(1, 2), "again": dice.randint(0, 2)},
    "killers": lambda dice: {**_slurm(dice), **_killers(dice)},
    "local, killers": lambda dice: {**_local(dice), **_killers(dice)},
    "hungry": lambda dice: {**_slurm(dice), **_hungry(dice)},
    "more time": lambda dice: {**_slurm(dice), **_longer(dice)},
    "accidents": lambda dice: {**_slurm(dice), **_accidents(dice)},
    "a gather that dies": lambda dice: {**_slurm(dice), "stages": ("double", "collect"), "doomed": True, "poison": 0},
    "interrupted": lambda dice: {
        **_slurm(dice),
        "interrupts": dice.randint(1, 3),
        "again": dice.randint(0, 1),
        "stays": dice.random() < 0.5,
    },
    "a sweep, one is cancelled": lambda dice: {
        **_slurm(dice),
        "sweep": True,
        "stages": ("double", "sift"),
        "cancels": dice.randint(1, 2),
        "slowest_s": 400.0,
        "workers": 1,
    },
    "submit limits": lambda dice: {**_slurm(dice), **_limits(dice)},
    "submit limits, a call that stays": lambda dice: {**_slurm(dice), **_limits(dice), "stays": True},
    "wall time": lambda dice: {**_slurm(dice), **_short(dice)},
    "never in time": lambda dice: {**_slurm(dice), **_short(dice), "fastest_s": 1000.0, "slowest_s": 2000.0},
    "two stores": lambda dice: {
        **_slurm(dice),
        "stores": 2,
        "cancels": dice.choice((0, 1, 2)),
        "again": dice.randint(0, 2),
        "unanswered": dice.choice((0.1, 0.4, 0.6)),
    },
    "cancel against gates": lambda dice: {
        **_slurm(dice),
        "cancels_at_gates": dice.randint(1, 2),
        "stages": ("double", "sift"),
        "again": 1,
    },
    "purge": lambda dice: {**_slurm(dice), "purges": dice.randint(1, 2), "stages": ("double", "sift"), "again": 1},
    "purge, a call that stays": lambda dice: {
        **_slurm(dice),
        "stays": True,
        "stages": ("double", "sift"),
        "purges": 2,
        "again": 1,
        "tasks": 2,
        "hangs": 0.0,
        "stops": dice.choice((0.0, 0.005)),
    },
    "looking ahead": lambda dice: {**_slurm(dice), **_ahead(dice)},
    "looking ahead, workers alone": lambda dice: {**_array(dice), **_ahead(dice)},
    "looking ahead, killers": lambda dice: {**_slurm(dice), **_ahead(dice), **_killers(dice)},
    "looking ahead, wall time": lambda dice: {**_slurm(dice), **_ahead(dice), **_short(dice)},
    "local, looking ahead": lambda dice: {**_local(dice), **_ahead(dice), "again": dice.randint(0, 1)},
    "retry": lambda dice: {**_slurm(dice), **_buggy(dice), "again": dice.randint(0, 1)},
    "retry, a sweep": lambda dice: {**_slurm(dice), **_buggy(dice), "sweep": True, "stages": ("double", "sift")},
    "retry, purge": lambda dice: {**_slurm(dice), **_buggy(dice), "purges": dice.randint(1, 2)},
    "local, retry": lambda dice: {**_local(dice), **_buggy(dice)},
    "a result": lambda dice: {**_slurm(dice), **_with_result(dice), "trial": dice.random() < 0.5},
    "a result, retry": lambda dice: {**_slurm(dice), **_buggy(dice), **_with_result(dice), "growth": 0},
    "groups": lambda dice: {**_slurm(dice), **_grouping(dice)},
    "groups, purge": lambda dice: {**_slurm(dice), **_grouping(dice), "purges": dice.randint(1, 2), "again": 1},
    "groups, retry": lambda dice: {**_slurm(dice), **_buggy(dice), **_grouping(dice)},
    "groups, cancel": lambda dice: {**_slurm(dice), **_grouping(dice), "cancels": 1, "again": dice.randint(0, 1)},
    "groups of a changed input": lambda dice: {**_slurm(dice), **_grouping(dice), "changes": dice.randint(1, 2)},
    "groups, killers": lambda dice: {**_slurm(dice), **_grouping(dice), **_killers(dice), "stages": ("team", "sift")},
    "groups, local": lambda dice: {**_local(dice), **_grouping(dice)},
    "a join": lambda dice: {**_slurm(dice), **_joining(dice)},
    "a join, retry": lambda dice: {**_slurm(dice), **_buggy(dice), **_joining(dice)},
    "a join, purge": lambda dice: {**_slurm(dice), **_joining(dice), "purges": 1, "again": 1},
    "results alone": lambda dice: {**_slurm(dice), **_keeping(dice)},
    "results alone, local": lambda dice: {**_local(dice), **_keeping(dice)},
    "checkpoints": lambda dice: {**_slurm(dice), **_training(dice), "again": dice.randint(0, 1)},
    "checkpoints, workers alone": lambda dice: {**_array(dice), **_training(dice), "poison": 0},
    "local": _local,
    "local, typed again": lambda dice: {**_local(dice), "again": dice.randint(1, 2)},
    "taken over": lambda dice: {**_local(dice), "logout": True, "again": dice.randint(1, 2)},
    "logged out": lambda dice: {**_slurm(dice), "logout": True, "stages": ("double", "sift")},
    "local, cancel": lambda dice: {**_local(dice), "cancels": 1, "again": 1},
}


def plan_of(scenario: str, seed: int) -> Plan:
    """The plan of an episode."""
    return Plan(**SCENARIOS[scenario](random.Random(f"{scenario} {seed}")))
