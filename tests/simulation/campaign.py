"""Many episodes in forked processes: threads of the dead stay where they are until their process has ended."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.connection
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from tests.simulation.episode import play
from tests.simulation.scenarios import plan_of
from tests.simulation.work import measure_nothing

A_PROCESS = 300
"""Episodes in one process: what it imports, reads and plans first costs as much as twenty of them. Nothing of an episode
is collected: 0.5 MB each."""
Task = tuple[str, int]
"""(scenario, seed)."""


@attrs.define(frozen=True, kw_only=True)
class Played:
    """What is kept of an episode."""

    scenario: str
    seed: int
    violation: str
    interleaving: int
    steps: int
    commits: int
    attempts: int
    takeovers: int

    @property
    def replay(self) -> str:
        """The command that plays it again."""
        return f"python -m tests.simulation replay --scenario {self.scenario!r} --seed {self.seed}"


@attrs.define
class Tally:
    """What came of many."""

    played: list[Played] = attrs.field(factory=list)
    seconds: float = 0.0

    @property
    def distinct(self) -> int:
        """Interleavings that differ."""
        return len({one.interleaving for one in self.played})

    @property
    def violations(self) -> list[Played]:
        """Episodes in which something was wrong."""
        return [one for one in self.played if one.violation]

    def __str__(self) -> str:
        steps = sum(one.steps for one in self.played)
        each = len(self.played) or 1
        return (
            f"{len(self.played)} episodes, {self.distinct} distinct interleavings, {len(self.violations)} violations; "
            f"{steps / each:.0f} steps, {sum(o.attempts for o in self.played) / each:.1f} attempts, "
            f"{sum(o.takeovers for o in self.played) / each:.2f} takeovers, {sum(o.commits for o in self.played) / each:.1f} "
            f"commits an episode; {self.seconds:.1f} s, {len(self.played) / max(self.seconds, 1e-9):.0f} episodes a second"
        )


def one(task: Task) -> Played:
    """Play one."""
    scenario, seed = task
    result = play(seed, plan_of(scenario, seed))
    return Played(
        scenario=scenario, seed=seed, violation=result.violation, interleaving=result.interleaving, steps=result.steps,
        commits=result.commits, attempts=result.attempts, takeovers=result.takeovers,
    )  # fmt: skip


def some(tasks: Sequence[Task]) -> list[Played]:
    """Play these in this process, quietly."""
    gc.disable()  # nothing of an episode may be collected: that would raise into the threads of the dead
    with open(os.devnull, "w") as nowhere:
        out, err = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = nowhere
        try:
            return [one(task) for task in tasks]
        finally:
            sys.stdout, sys.stderr = out, err


def _child(tasks: Sequence[Task], answer: Any) -> None:
    measure_nothing()
    answer.send(some(tasks))
    answer.close()
    os._exit(0)


def many(tasks: Iterable[Task], processes: int = 2, until_s: float = float("inf"), first: bool = False) -> Tally:
    """Play them side by side, in order, until the time is over, or with `first` until something is wrong."""
    left, tally, started = list(tasks), Tally(), time.monotonic()
    context = multiprocessing.get_context("fork")
    running: dict[Any, Any] = {}
    while left or running:
        while left and len(running) < processes and time.monotonic() - started < until_s:
            share, left = left[:A_PROCESS], left[A_PROCESS:]
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(share, there), daemon=True)  # it ends with us
            process.start()
            there.close()
            running[here] = (process, share)
        if not running:
            break
        for here in multiprocessing.connection.wait(list(running)):
            process, share = running.pop(here)
            try:
                tally.played += here.recv()  # type: ignore[attr-defined]
            except EOFError:
                raise AssertionError(f"a process died while it played {share[0]} … {share[-1]}") from None
            process.join()
        if first and tally.violations:
            left = []
    tally.seconds = time.monotonic() - started
    return tally


def tasks_of(scenarios: Sequence[str], seeds: range) -> list[Task]:
    """Each scenario with each seed, seed by seed."""
    return [(scenario, seed) for seed in seeds for scenario in scenarios]
