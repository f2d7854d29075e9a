"""The graph of a pipeline in plain text, as `git log --graph` draws one: a row a stage, a column an open edge. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

SOURCE = "the source"
LEGEND = "(: and .. only wait, and read nothing)"
_STEP = 3
"""Characters of a column."""


class _Edge(msgspec.Struct, frozen=True):
    """From a stage above to one that is still to come."""

    target: str
    reads: bool

    def __str__(self) -> str:
        return "|" if self.reads else ":"


Columns = list[_Edge | None]


def diagram(after: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]], width: int = 80) -> list[str]:
    """Stages in topological order; empty where each follows the one before it, and where it would be too wide."""
    if not any(needs.values()) and list(map(tuple, after.values())) == _line(after):
        return []
    columns: Columns = [_Edge(SOURCE, True)]
    rows: list[tuple[str, str]] = []
    for name in (SOURCE, *after):
        arriving = [place for place, edge in enumerate(columns) if edge and edge.target == name]
        first = arriving[0]
        if arriving[1:]:
            rows.append((_across(columns, first, arriving[1:]), ""))
        for place in arriving:
            columns[place] = None
        rows.append((_row(columns, {first: "o"}), name))
        leaving = _opened(columns, first, _edges(name, after, needs))
        if leaving:
            rows.append((_across(columns, first, leaving), ""))
    widest = max(len(drawn) for drawn, _ in rows)
    lines = [f"{drawn:<{widest}}{name}".rstrip() for drawn, name in rows]
    return [] if max(map(len, lines)) > width else lines + [LEGEND] * any(needs.values())


def _line(names: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """What each follows if it follows the one before it."""
    return [(), *((name,) for name in list(names)[:-1])]


def _edges(name: str, after: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]]) -> list[_Edge]:
    reading = {one for one, above in after.items() if name in (above or [SOURCE])}
    return [_Edge(one, one in reading) for one in after if one in reading or name in needs.get(one, ())]


def _opened(columns: Columns, first: int, edges: Sequence[_Edge]) -> list[int]:
    """Give each edge a column, the first one that of its stage; those of the others."""
    taken = []
    for edge in edges:
        free = [place for place in range(first, len(columns)) if columns[place] is None]
        place = free[0] if free else len(columns)
        columns[place : place + 1] = [edge]
        taken.append(place)
    return taken[1:]


def _row(columns: Columns, nodes: Mapping[int, str]) -> str:
    return "".join(f"{nodes.get(place, edge or ' ')!s:<{_STEP}}" for place, edge in enumerate(columns))


def _across(columns: Columns, first: int, others: Sequence[int]) -> str:
    """A row in which one column forks into others, or others join it."""
    drawn = _row(columns, dict.fromkeys(others, "+"))
    for place in range(first, max(others)):
        reads = any(edge.reads for other in others if other > place and (edge := columns[other]))
        at = place * _STEP
        gap = drawn[at] if drawn[at] != " " else "-" if reads else "."
        drawn = drawn[:at] + gap + ("-" if reads else ".") * (_STEP - 1) + drawn[at + _STEP :]
    return drawn
