"""Which nodes a run leaves out, from what its rounds tell. Pure."""

from __future__ import annotations

import pytest

from hpcurate.failures import Ending, FailureKind, JobEnd, Report
from hpcurate.runs.nodes import Nodes, RoundTold, bad_nodes, setups_failed


def report(node: str, kind: str = "node", message: str = "no GPU") -> Report:
    """Of a worker there."""
    return Report(worker=f"w-{node}", node=node, kind=FailureKind(kind), message=message)


def told(*nodes: str, begun: tuple[str, ...] = (), others: bool = False) -> RoundTold:
    """Elements 0, 1, … failed by themselves on these nodes."""
    ends = {f"7_{n}": JobEnd(node=node) for n, node in enumerate(nodes)}
    return RoundTold(ends=ends, begun=begun, others_began=others or bool(begun))


EATS = "2 jobs failed there before a worker began, and others did not"
ONE = "a job failed there before a worker began, and others did not"


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([], {}),
        ([RoundTold(reports=(report("a"), report("b", "setup"), report("c", "store")))], {"a": "no GPU"}),
        ([RoundTold(ends={"7_0": JobEnd(ending=Ending.FREE, node="a", node_failed=True)})],
         {"a": "the scheduler says that it broke down"}),
        ([RoundTold(ends={"7_0": JobEnd(ending=Ending.OOM, node="a")})], {}),
        ([told("a")], {}),
        ([told("a", "a")], {"a": EATS}),
        ([told("a"), told("a")], {"a": EATS}),
        ([told("a", others=True)], {"a": ONE}),
        ([told("a", "b", others=True)], {"a": ONE, "b": ONE}),
        ([told("a", "a", "b", "b")], {}),
        ([told("a"), told("b")], {}),
        ([told("a", begun=("7_0",))], {}),
        ([told("a", "a", begun=("7_0",))], {"a": ONE}),
        ([told("a"), RoundTold(others_began=True)], {}),
    ],
)  # fmt: skip
def test_a_node_is_bad_by_evidence_against_it_alone(rounds: list[RoundTold], expected: dict[str, str]) -> None:
    """A worker's own checks, the scheduler's word, or a black hole. What fails everywhere is no fault of a node."""
    assert expected == bad_nodes([rounds])
    assert expected == bad_nodes([[one] for one in rounds])


@pytest.mark.parametrize(
    ("nodes", "excluded", "why"),
    [
        (Nodes(usable=4), (), ""),
        (Nodes(usable=4, bad={"b": "x", "a": "y"}), ("a", "b"), ""),
        (Nodes(usable=4, bad={"b": "x"}, setups=(report("a", "setup", "no"),), rounds_of_setups=1), ("a", "b"), ""),
        (Nodes(usable=3, bad={"b": "x"}, setups=(report("a", "setup", "no"),), rounds_of_setups=1), ("b",), ""),
        (Nodes(usable=1, setups=(report("a", "setup", "no"),), rounds_of_setups=1), (), ""),
        (Nodes(usable=0, bad={"b": "x"}), (), ""),
        (Nodes(usable=3, bad={"b": "x", "a": "y"}), ("a", "b"),
         "2 of 3 nodes are not to be used, more than half: a: y; b: x"),
        (Nodes(usable=9, setups=(report("a", "setup", "no"), report("b", "setup", "bad")), rounds_of_setups=1),
         ("a", "b"), "setup failed on a and b: bad"),
        (Nodes(usable=9, setups=(report("a", "setup", "no"),), rounds_of_setups=2), ("a",), "setup failed on a: no"),
    ],
)  # fmt: skip
def test_never_more_than_half_of_the_nodes_are_left_out(nodes: Nodes, excluded: tuple[str, ...], why: str) -> None:
    """More than that end the stage with their names; one that only failed a setup stays in rather than that.

    A setup that failed on a second node, or in a second round, is no node's fault.
    """
    assert (why, excluded) == (nodes.why_none, nodes.excluded)


def test_jobs_that_fail_before_a_worker_begins_are_the_reason_of_idle_rounds() -> None:
    """Where every job did, by a line of `launcher.setup`, a run was stalled without a reason, and without any log."""
    said = Nodes(unbegun=("b", "a", "b")).why_idle
    assert said.startswith(": 3 jobs failed before a worker began, on a, b: see launcher.setup, ")
    assert Nodes(unbegun=("a",)).why_idle.startswith(": a job failed before")
    assert "" == Nodes().why_idle


def test_setups_are_counted_by_node_and_by_round() -> None:
    """Two workers of one node in one round are one."""
    first = RoundTold(reports=(report("a", "setup", "x"), report("a", "setup", "y"), report("b")))
    reports, times = setups_failed([first, RoundTold(), RoundTold(reports=(report("b", "setup", "z"),))])
    assert ([("a", "y"), ("b", "z")], 2) == ([(r.node, r.message) for r in reports], times)
