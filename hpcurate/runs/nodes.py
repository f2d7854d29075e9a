"""Nodes that a run does not use any more until its user's next call, from what its rounds tell of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import msgspec

from hpcurate.failures import FailureKind, JobEnd, Report

SETUPS = 2
"""A setup that failed on so many nodes, or in so many rounds, fails on others, too."""


class RoundTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a round that is over tells of nodes."""

    reports: tuple[Report, ...] = ()
    """Why its workers left before the work was done."""
    ends: Mapping[str, JobEnd] = msgspec.field(default_factory=dict)
    """Element → how it ended."""
    begun: Collection[str] = ()
    """Those of them whose worker began."""
    others_began: bool = False
    """Whether the worker of any element began."""

    @property
    def failed(self) -> list[str]:
        """Nodes, one for each element that failed there before its worker began."""
        ends = self.ends.items()
        return [end.node for element, end in ends if end.ending is None and end.node and element not in self.begun]


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the nodes of a stage."""

    bad: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Node → why it is not used, whichever stage of the run found that out."""
    setups: tuple[Report, ...] = ()
    """Of each node and round on which the stage's setup failed, one."""
    rounds_of_setups: int = 0
    unbegun: tuple[str, ...] = ()
    """Nodes, one for each job of the stage that failed there before its worker began."""
    usable: int = 0
    """How many the stage may run on; 0: it is not known, or there is but this machine."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Left out of the next round: bad ones, and one on which setup failed, if there are others."""
        without = sorted({*self.bad, *(report.node for report in self.setups)})
        return tuple(without if 2 * len(without) <= self.usable else sorted(self.bad) if self.usable else ())

    @property
    def why_none(self) -> str:
        """Why no further round may help: setup fails everywhere, or too few nodes are left. Else empty."""
        where = sorted({report.node for report in self.setups})
        if max(len(where), self.rounds_of_setups) >= SETUPS:
            return f"setup failed on {' and '.join(where)}: {self.setups[-1].message}"
        if not self.usable or 2 * len(self.bad) <= self.usable:
            return ""
        why = "; ".join(f"{node}: {reason}" for node, reason in sorted(self.bad.items()))
        return f"{len(self.bad)} of {self.usable} nodes are not to be used, more than half: {why}"

    @property
    def why_idle(self) -> str:
        """What is known of rounds that committed nothing, as a further part of a reason; empty: nothing."""
        if not self.unbegun:
            return ""
        jobs = "a job" if len(self.unbegun) == 1 else f"{len(self.unbegun)} jobs"
        return (
            f": {jobs} failed before a worker began, on {', '.join(sorted(set(self.unbegun)))}: see launcher.setup, "
            "launcher.python, and what they wrote, submissions/*/array-*.out in the run's folder"
        )


def bad_nodes(stages: Iterable[Iterable[RoundTold]]) -> dict[str, str]:
    """Node → why it is bad, from the rounds of each stage. Pure.

    By a worker's own checks, by the scheduler's word, or because jobs failed there before a worker began, while others
    of the round began; or it failed several, and no other node any.
    """
    rounds = [one for stage in stages for one in stage]
    found = {report.node: report.message for one in rounds for report in one.reports if report.kind is FailureKind.NODE}
    ends = [end for one in rounds for end in one.ends.values()]
    found |= {end.node: "the scheduler says that it broke down" for end in ends if end.node and end.node_failed}
    failed = Counter(node for one in rounds for node in one.failed)
    begun = any(one.others_began and one.failed for one in rounds)
    for node, times in failed.items():
        if begun or (len(failed) == 1 and times > 1):
            jobs = "a job" if times == 1 else f"{times} jobs"
            found.setdefault(node, f"{jobs} failed there before a worker began, and others did not")
    return found


def setups_failed(rounds: Iterable[RoundTold]) -> tuple[tuple[Report, ...], int]:
    """(one report for each node on which setup failed, in how many of a stage's rounds that was). Pure."""
    by_node: dict[str, Report] = {}
    times = 0
    for one in rounds:
        failed = [report for report in one.reports if report.kind is FailureKind.SETUP]
        by_node |= {report.node: report for report in failed}
        times += bool(failed)
    return tuple(by_node.values()), times
