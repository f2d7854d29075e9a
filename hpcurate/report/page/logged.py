"""What stages logged, as the page shows it: numbers, curves, tables, figures. Reads the figures' files."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.report.logged import Results, described

POINTS = 300
"""Of a curve that are drawn."""
ROWS, COLUMNS = 50, 12
"""Of a table that are shown."""
MOST_BYTES = 1_500_000
"""Of one figure."""
FIGURES = 12
"""Of a stage, the newest of each name first."""


@attrs.define(frozen=True, kw_only=True)
class Curve:
    """Numbers over steps."""

    name: str
    points: tuple[tuple[int, float | None], ...]
    """A part of them, in order; None is a gap."""

    @property
    def values(self) -> list[float]:
        """All numbers."""
        return [value for _, value in self.points if value is not None]


@attrs.define(frozen=True, kw_only=True)
class Table:
    """Rows of a table."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    left: int
    """Rows that are not shown."""


@attrs.define(frozen=True, kw_only=True)
class StageLogged:
    """Of one stage."""

    stage: str
    numbers: tuple[tuple[str, str], ...]
    """(name, what is shown)."""
    curves: tuple[Curve, ...]
    tables: tuple[Table, ...]
    figures: tuple[tuple[str, str], ...]
    """(name, `data:` address)."""
    figures_left: int


def stage_logged(results: Results) -> StageLogged:
    """Everything of a stage within the limits."""
    figures = [(name, path) for name, paths in results.figures.items() for path in reversed(paths)]
    newest = sorted(figures, key=lambda one: results.figures[one[0]][::-1].index(one[1]))
    embedded = [(name, address) for name, path in newest[:FIGURES] if (address := _address(path))]
    return StageLogged(
        stage=results.stage,
        numbers=tuple(
            (name, described(one))
            for name, one in results.sums.items()
            if one.kind == "number" and name not in results.curves
        ),
        curves=tuple(Curve(name=name, points=_some(points)) for name, points in results.curves.items()),
        tables=tuple(_table(name, rows) for name, rows in results.tables.items()),
        figures=tuple(embedded),
        figures_left=len(figures) - len(embedded),
    )


def _some(points: Sequence[tuple[int, float | None]]) -> tuple[tuple[int, float | None], ...]:
    """At even distances, the last one included."""
    every = -(-len(points) // POINTS) or 1
    return tuple(points[::-1][::every][::-1])


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    header = list(dict.fromkeys(column for row in rows for column in row))[:COLUMNS]
    shown = tuple(tuple(row.get(column) for column in header) for row in rows[:ROWS])
    return Table(name=name, header=tuple(header), rows=shown, left=max(0, len(rows) - ROWS))


def _address(path: Path) -> str:
    """The file as it is; empty where it is gone, or too large."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
    except OSError:
        return ""
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}" if data else ""
