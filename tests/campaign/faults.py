"""What is done to a run, drawn from a seed. Pure."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

import attrs

T = TypeVar("T")


class Fault(enum.Enum):
    """One kind of fault; the value is its row in the table."""

    STAGE_PROCESS = "kill -9 of a stage process"
    KEEPER = "kill -9 of a keeper"
    SUPERVISOR = "kill -9 of a supervisor"
    SCRIPT = "kill -9 of a batch script"
    GATE = "kill -9 of a gate"
    CALL = "kill -9 of a person's call"
    DRIVER = "kill -9 of a driver"
    HELPER = "kill -9 of a program that a stage runs"
    ELEMENT = "scancel of an element"
    ARRAY = "scancel of an array"
    CANCELLED_GATE = "scancel of a gate"
    REQUEUE = "scontrol requeue of an element"
    PREEMPTION = "preemption by another partition"
    SLURMD = "slurmd killed and back"
    CONTROLLER_STOPS = "slurmctld stands still"
    CONTROLLER_DIES = "slurmctld killed and back"
    MEMORY = "memory limit hit"
    FULL = "store full for a while"
    SBATCH = "sbatch fails once"
    SQUEUE = "squeue fails once"
    SACCT = "sacct fails once"


LASTS = {
    Fault.CALL: (0.2, 2.5),
    Fault.PREEMPTION: (1.0, 5.0),
    Fault.SLURMD: (1.0, 10.0),
    Fault.CONTROLLER_STOPS: (2.0, 60.0),
    Fault.CONTROLLER_DIES: (0.5, 60.0),
    Fault.FULL: (1.0, 15.0),
}
"""Seconds that it lasts, at least and at most; the others are over at once."""
ONLY_TEXT = (Fault.HELPER, Fault.MEMORY)
"""The stages for videos run no programs, and take no memory when they are told to."""
ONLY_MOUNTED = (Fault.FULL,)
"""Needs a store on a filesystem of its own."""
ONLY_LOCAL = (Fault.DRIVER,)
"""On Slurm nobody waits for a run but its gates."""
LOCAL = (Fault.STAGE_PROCESS, Fault.KEEPER, Fault.SUPERVISOR, *ONLY_LOCAL)
"""What there is to kill where no scheduler runs anything."""


@attrs.define(frozen=True, kw_only=True)
class Blow:
    """One fault that is to happen."""

    fault: Fault
    choice: float
    """0 … 1: which of those that it may hit, or how it shows."""
    seconds: float = 0.0

    def pick(self, among: Sequence[T]) -> T:
        """The one that it hits."""
        return among[min(int(self.choice * len(among)), len(among) - 1)]


def kinds(*, text: bool, mounted: bool, local: bool = False) -> list[Fault]:
    """What can be done here to a run of our own stages for text, or of another pipeline."""
    if local:
        return list(LOCAL)
    left_out = ONLY_LOCAL + (() if text else ONLY_TEXT) + (() if mounted else ONLY_MOUNTED)
    return [fault for fault in Fault if fault not in left_out]


def blows(seed: str, among: Sequence[Fault], longest_s: float) -> Iterator[Blow]:
    """As many as one likes: each kind once, in random order, before any comes again. None lasts more than `longest_s`."""
    dice = random.Random(seed)
    while True:
        for fault in dice.sample(among, len(among)):
            least, most = LASTS.get(fault, (0.0, 0.0))
            yield Blow(fault=fault, choice=dice.random(), seconds=dice.uniform(least, min(most, longest_s)))


def moments(seed: str, number: int, last: float = 0.75) -> list[float]:
    """When: which share of the run's shards is committed by then."""
    dice = random.Random(f"{seed} moments")
    return sorted(dice.uniform(0.0, last) for _ in range(number))
