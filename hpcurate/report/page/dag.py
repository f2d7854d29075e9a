"""The graph of a pipeline as SVG: stages in layers from left to right, wrapped like text where there are many. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from markupsafe import Markup

WIDTH, HEIGHT = 168, 62
"""Of a box."""
ACROSS, DOWN = 34, 26
"""Between boxes beside and below each other."""
LETTERS = 19
"""Of a name that fits into a box."""


@attrs.define(frozen=True, kw_only=True)
class Box:
    """One stage, or the input."""

    name: str
    after: tuple[str, ...] = ()
    line: str = ""
    """What is written under its name."""
    done: float = 1.0
    """Share of its shards that are committed, 0 … 1."""
    failed: bool = False
    """Whether it has dead letters."""
    target: str = ""
    """Id of what on the page is about it."""


@attrs.define(frozen=True)
class Place:
    """Where a box is: its upper left corner."""

    x: int
    y: int
    layer: int
    row: int


def layers(boxes: Sequence[Box]) -> dict[str, int]:
    """How many boxes come before each, on the longest way. The boxes are in topological order."""
    found: dict[str, int] = {}
    for box in boxes:
        found[box.name] = max((found[name] + 1 for name in box.after if name in found), default=0)
    return found


def places(boxes: Sequence[Box], columns: int) -> tuple[dict[str, Place], list[int]]:
    """(where each box is, the lower end of each row of layers)."""
    layer_of = layers(boxes)
    stacks: dict[int, list[str]] = {}
    for name, layer in layer_of.items():
        stacks.setdefault(layer, []).append(name)
    found: dict[str, Place] = {}
    bottoms: list[int] = []
    left = 2 if len(stacks) <= columns else ACROSS // 2
    for first in range(0, max(stacks, default=-1) + 1, columns):
        shown = range(first, min(first + columns, max(stacks) + 1))
        top = bottoms[-1] + DOWN if bottoms else 2
        tallest = max(len(stacks[layer]) for layer in shown)
        for layer in shown:
            shift = (tallest - len(stacks[layer])) * (HEIGHT + DOWN) // 2
            for place, name in enumerate(stacks[layer]):
                x = left + (layer - first) * (WIDTH + ACROSS)
                found[name] = Place(x, top + shift + place * (HEIGHT + DOWN), layer, len(bottoms))
        bottoms.append(top + tallest * (HEIGHT + DOWN) - DOWN)
    return found, bottoms


def edge(source: Place, target: Place, bottoms: Sequence[int]) -> str:
    """The path of an arrow: straight or bent to a neighbour, through the gap below the row to any other."""
    x1, y1 = source.x + WIDTH, source.y + HEIGHT // 2
    x2, y2 = target.x - 5, target.y + HEIGHT // 2
    if target.row == source.row and target.layer == source.layer + 1:
        middle = (x1 + x2) // 2
        return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
    gap, out, back = bottoms[source.row] + DOWN // 2, x1 + 12, x2 - 9
    if target.row == source.row:
        out, back = x1 + ACROSS // 2, x2 - ACROSS // 2 + 5
    end = 6 if y2 > gap else -6
    return (
        f"M{x1} {y1}H{out - 6}Q{out} {y1} {out} {y1 + 6}V{gap - 6}Q{out} {gap} {_towards(out, back, 6)} {gap}"
        f"H{_towards(back, out, 6)}Q{back} {gap} {back} {gap + end}V{y2 - end}Q{back} {y2} {back + 6} {y2}H{x2}"
    )


def _towards(start: int, end: int, by: int) -> int:
    return start + by if end > start else start - by


def graph(boxes: Sequence[Box], columns: int, label: str) -> Markup:
    """All of it as one SVG element that is at most `columns` boxes wide."""
    where, bottoms = places(boxes, columns)
    wide = max((place.x for place in where.values()), default=0) + WIDTH + (14 if len(bottoms) > 1 else 2)
    edges = "".join(
        f'<path d="{edge(where[name], where[box.name], bottoms)}" marker-end="url(#arrow-{columns})"/>'
        for box in boxes
        for name in box.after
        if name in where
    )
    drawn = Markup("").join(_box(box, where[box.name]) for box in boxes)
    return Markup(
        '<svg class="dag" viewBox="0 0 {w} {h}" style="max-width:{w}px" role="img" aria-label="{label}">'
        '<defs><marker id="arrow-{c}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0L8 4L0 8Z" class="head"/></marker></defs>'
        '<g class="edges">{edges}</g>{drawn}</svg>'
    ).format(w=wide, h=(bottoms or [0])[-1] + 2, label=label, c=columns, edges=Markup(edges), drawn=drawn)


def _box(box: Box, place: Place) -> Markup:
    name = box.name if len(box.name) <= LETTERS else box.name[: LETTERS - 1] + "…"
    done = round((WIDTH - 2) * min(1.0, max(0.0, box.done)), 1)
    link = Markup(' href="#{}"').format(box.target) if box.target else ""
    return Markup(
        '<a{link} class="{kind}"><title>{full}: {line}</title>'
        '<rect class="box" x="{x}" y="{y}" width="{w}" height="{h}" rx="7"/>'
        '<text class="name" x="{tx}" y="{ty}">{name}</text><text class="line" x="{tx}" y="{ly}">{line}</text>'
        '<rect class="rest" x="{bx}" y="{by}" width="{full_w}" height="3"/>'
        '<rect class="done" x="{bx}" y="{by}" width="{done}" height="3"/></a>'
    ).format(
        link=link, kind="node failed" if box.failed else "node", full=box.name, line=box.line, name=name,
        x=place.x, y=place.y, w=WIDTH, h=HEIGHT, tx=place.x + 12, ty=place.y + 24, ly=place.y + 43,
        bx=place.x + 1, by=place.y + HEIGHT - 8, full_w=WIDTH - 2, done=done,
    )  # fmt: skip


def in_words(boxes: Sequence[Box]) -> str:
    """The graph for who cannot see it: `split after probe, 5 → 11; …`."""
    return "; ".join(f"{box.name}{_after(box)}, {box.line}" for box in boxes)


def _after(box: Box) -> str:
    return f" after {' and '.join(box.after)}" if box.after else ""
