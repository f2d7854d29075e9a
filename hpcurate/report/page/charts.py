"""Bars as SVG that is stretched to the width that there is; texts stand beside it in HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from hpcurate.report.page.logged import Curve
from hpcurate.report.page.measures import Histogram
from hpcurate.report.page.text import shown
from hpcurate.report.page.timeline import Lane, Piece

TALL = 100
"""Units of height of a histogram."""


def histogram(bars: Histogram, label: str) -> Markup:
    """Kept tasks below, dropped ones on top of them: two paths, one unit of width for each bin."""
    scale = TALL / max(1, bars.most)
    kept = _columns((place, 0.0, count * scale) for place, count in enumerate(bars.kept))
    dropped = _columns(
        (place, below * scale, count * scale)
        for place, (below, count) in enumerate(zip(bars.kept, bars.dropped, strict=True))
    )
    return Markup(
        '<svg class="bars" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path class="kept" d="{kept}"/><path class="dropped" d="{dropped}"/></svg>'
    ).format(w=len(bars.kept), h=TALL, label=label, kept=kept, dropped=dropped)


def _columns(columns: Iterable[tuple[int, float, float]]) -> str:
    """(bin, lower end, height), each as a rectangle with a gap beside it."""
    return "".join(
        f"M{place + 0.06:g} {TALL - low:.1f}v{-tall:.1f}h.88v{tall:.1f}z" for place, low, tall in columns if tall > 0
    )


def lanes(many: Sequence[Lane], breaks: Sequence[float], label: str) -> Markup:
    """A row for each worker: a line while it is there, thick while it works."""
    rows = Markup("").join(_lane(lane, row) for row, lane in enumerate(many))
    gaps = "".join(f"M{1000 * place:.1f} 0V{len(many)}" for place in breaks)
    return Markup(
        '<svg class="lanes" viewBox="0 0 1000 {n}" preserveAspectRatio="none" role="img" aria-label="{label}" '
        'style="height:{h}px">{rows}<path class="gap" d="{gaps}"/></svg>'
    ).format(n=len(many), h=min(16 * len(many), max(7 * len(many), 84)), label=label, rows=rows, gaps=gaps)


def _lane(lane: Lane, row: int) -> Markup:
    parts = [
        ("idle", _pieces([lane.there], row, 0.22)),
        ("setup", _pieces([lane.setup] if lane.setup else [], row, 0.5)),
        ("kept", _pieces(lane.busy, row, 0.8)),
        ("failed", _pieces(lane.lost, row, 0.8)),
        ("failed", _pieces([(lane.there[1] - 0.002, lane.there[1] + 0.001)] if lane.killed else [], row, 1.0)),
    ]
    drawn = Markup("").join(Markup('<path class="{}" d="{}"/>').format(kind, path) for kind, path in parts if path)
    return Markup("<g><title>{}</title>{}</g>").format(shown(lane.name), drawn)


def _pieces(pieces: Iterable[Piece], row: int, thick: float) -> str:
    top = f"{row + (1 - thick) / 2:.2f}"
    wide = ((1000 * start, max(0.7, 1000 * (end - start))) for start, end in pieces)
    return "".join(f"M{start:.1f} {top}h{width:.1f}v{thick:g}h-{width:.1f}z" for start, width in wide)


def curve(one: Curve) -> Markup:
    """A line through all points, with its gaps."""
    steps, values = [step for step, _ in one.points], one.values or [0.0]
    low, high = min(values), max(values)
    wide, tall = (steps[-1] - steps[0]) or 1, (high - low) or 1.0
    path, up = "", True
    for step, value in one.points:
        if value is not None:
            x, y = 1000 * (step - steps[0]) / wide, TALL - TALL * (value - low) / tall
            path += f"{'M' if up else 'L'}{x:.0f} {y:.1f}"
        up = value is None
    return Markup(
        '<svg class="curve" viewBox="0 -4 1000 {h}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<path d="{path}"/></svg>'
    ).format(h=TALL + 8, label=f"{shown(one.name)} over {len(one.points)} steps", path=path)
