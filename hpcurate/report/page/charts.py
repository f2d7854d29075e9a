"""Bars as SVG that is stretched to the width that there is; texts stand beside it in HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from hpcurate.report.page.measures import Histogram

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
