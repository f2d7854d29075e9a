"""Which texts belong together: pairs within a group, and the components that pairs make. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from stages.dedup.signatures import similarities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Node = TypeVar("Node", bound=Hashable)


def links(rows: NDArray[np.uint8], threshold: float) -> tuple[list[tuple[int, int, float]], list[float]]:
    """(pairs of rows at least `threshold` alike, with that; of each row the greatest similarity that was seen).

    Of all such pairs, just as many as connect what belongs together. Each row is compared with those that nothing has
    reached yet: n comparisons where all are alike, n²/2 where none are.
    """
    import numpy as np

    left, found = np.arange(len(rows)), list[tuple[int, int, float]]()
    seen, waiting = np.zeros(len(rows)), deque[int]()
    while len(left):
        if not waiting:
            waiting.append(int(left[0]))
            left = left[1:]
        one = waiting.popleft()
        alike = similarities(rows[one], rows[left])
        seen[left] = np.maximum(seen[left], alike)
        seen[one] = max(float(seen[one]), float(alike.max(initial=0.0)))
        near = alike >= threshold
        found += [(one, int(other), round(float(value), 4)) for other, value in zip(left[near], alike[near])]
        waiting += map(int, left[near])
        left = left[~near]
    return found, [round(float(value), 4) for value in seen]


def components(pairs: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """What is connected by pairs, each once; the order is that in which they appear."""
    parent: dict[Node, Node] = {}
    for one, other in pairs:
        parent[_root(parent, other)] = _root(parent, one)
    found: dict[Node, list[Node]] = {}
    for node in parent:
        found.setdefault(_root(parent, node), []).append(node)
    return list(found.values())


def longest(names: Sequence[tuple[int, str]]) -> int:
    """Index of the one with the greatest length, of equals the least id. Pure."""
    return min(range(len(names)), key=lambda n: (-names[n][0], names[n][1]))


def _root(parent: dict[Node, Node], node: Node) -> Node:
    """Path halving (Tarjan and van Leeuwen 1984)."""
    parent.setdefault(node, node)
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
