"""Rows and columns that fit a terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from hpcurate.cli.text import Bar, Styled, cells, parts_of, shortened
from hpcurate.cli.wrapping import split_lines, wrapped, wrapped_cell

_SHORT_BAR = 6
"""Cells that are left of a bar where there is no room."""
_LEAST = 12
"""Cells that a column keeps: there is little to gain from a date or a state."""
_LEAST_WRAPPED = 24
"""Cells of a last column, whose text is wrapped."""
_GAP = 2
"""Blanks between two columns."""


class Table(msgspec.Struct, frozen=True):
    """A header and rows of cells."""

    cells: tuple[tuple[str, ...], ...]
    """The header first."""
    right: tuple[bool, ...]
    """Of each column, whether it is aligned right: those are numbers, which are never cut."""
    whole: bool = False
    """Nothing of the first column is left out."""

    def lines(self, width: int | None = None) -> list[list[Styled]]:
        """The lines of each row, and of the header; with a width, as narrow as that.

        Where no table is so narrow, a row is its first cell and, below it, the others with their names.
        """
        widths = self._widths()
        if width is not None and _total(widths) > width:
            narrow = self._narrowed(widths, width)
            if narrow is None:
                return [[], *(_record(self.cells[0], row, width) for row in self.cells[1:])]
            widths = narrow
        return [self._row(number, row, widths) for number, row in enumerate(self.cells)]

    def _widths(self) -> list[int]:
        return [max(cells(row[column]) for row in self.cells) for column in range(len(self.right))]

    def _narrowed(self, widths: list[int], width: int) -> list[int] | None:
        """Widths with which the table fits: bars give first, then the widest texts, the first column last."""
        widths = list(widths)
        for column, least in self._in_order(widths):
            over = _total(widths) - width
            widths[column] = max(widths[column] - over, min(widths[column], least))
            if _total(widths) <= width:
                return widths
        return None

    def _in_order(self, widths: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Columns that can be narrower, and the least that each should keep."""
        heads = [cells(text) for text in self.cells[0]]
        yield from ((column, _SHORT_BAR) for column in range(len(widths)) if self._is_bar(column))
        wide = [column for column, width in enumerate(widths) if width > _LEAST and not self.right[column]]
        texts = sorted((c for c in wide if c > 0 and not self._is_bar(c)), key=lambda column: -widths[column])
        for column in texts:
            yield column, max(_LEAST_WRAPPED if self._wraps(column) else _LEAST, heads[column])
        for column in (*texts, *([0] if 0 in wide and not self.whole else [])):
            yield column, max(_LEAST, heads[column])

    def _is_bar(self, column: int) -> bool:
        return any(isinstance(row[column], Bar) for row in self.cells)

    def _wraps(self, column: int) -> bool:
        return column == len(self.right) - 1 > 0 and not self.right[column]

    def _row(self, number: int, row: tuple[str, ...], widths: Sequence[int]) -> list[Styled]:
        first = [shortened(text, width) for text, width in zip(row, widths, strict=True)]
        last = wrapped_cell(row[-1], widths[-1]) if self._wraps(len(row) - 1) else first[-1:]
        style = "heading" if number == 0 else ""
        below = [""] * (len(row) - 1)
        return [self._aligned([*(below if n else first[:-1]), end], widths, style) for n, end in enumerate(last)]

    def _aligned(self, row: Sequence[str], widths: Sequence[int], style: str) -> Styled:
        parts = list[tuple[str, str]]()
        for column, (text, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - cells(text))
            before, after = (blank, "") if self.right[column] else ("", blank)
            own = [(part, one or style) for part, one in parts_of(text)]
            parts += [(" " * _GAP * (column > 0) + before, ""), *own, (after, "")]
        return _stripped(parts)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _stripped(parts: list[tuple[str, str]]) -> Styled:
    """Without blanks at its end."""
    while parts and not parts[-1][0].strip():
        parts.pop()
    return Styled(*parts[:-1], (parts[-1][0].rstrip(), parts[-1][1])) if parts else Styled()


def _record(header: Sequence[str], row: Sequence[str], width: int) -> list[Styled]:
    shown = [(name, text) for name, text in zip(header[1:], row[1:], strict=True) if text and not isinstance(text, Bar)]
    named = [f"{name} {text}".strip() for name, text in shown]
    return [*wrapped(row[0], width), *wrapped(f"  {', '.join(named)}", width)]


class Row(str):
    """A line of a table as it is in a pipe: as wide as its cells."""

    table: Table
    number: int
    """0: the header."""

    @classmethod
    def all_of(cls, table: Table) -> list[str]:
        """All lines of a table."""
        made = list[str]()
        for number, (line,) in enumerate(table.lines()):
            row = cls(line)
            row.table, row.number = table, number
            made.append(row)
        return made


def fitting(lines: Iterable[str], width: int | None, clean: Callable[[str], str] = str) -> Iterator[Styled]:
    """Lines of text and of tables in a width; `clean` changes every text and cell first."""
    table, drawn = None, list[list[Styled]]()
    for line in lines:
        if isinstance(line, Row):
            if line.table is not table:
                table = line.table
                drawn = _cleaned(table, clean).lines(width)
            yield from drawn[line.number]
        else:
            for one in split_lines(clean(line)):
                yield from wrapped(one, width)


def _cleaned(table: Table, clean: Callable[[str], str]) -> Table:
    return msgspec.structs.replace(table, cells=tuple(tuple(map(clean, row)) for row in table.cells))
