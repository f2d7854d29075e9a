"""Tasks to look at as compact data for the page's script. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcurate.report.page.fields import numbers, texts
from hpcurate.report.page.model import Page
from hpcurate.report.page.samples import Fate, Item
from hpcurate.report.page.text import shown
from hpcurate.report.rows import label_of

MOST_FIELDS = 40
MOST_TEXT = 2000
"""Characters of all texts of one task."""


def item_data(page: Page) -> dict[str, Any]:
    """Groups, fields and pictures once; a row for each task that refers to them by number."""
    groups = list(dict.fromkeys(item.group for item in page.items))
    fields = [measure.name for measure in page.measures][:MOST_FIELDS]
    pictures = {place: number for number, place in enumerate(page.pictures)}
    return {
        "run": shown(page.report.run),
        "fields": [shown(name) for name in fields],
        "groups": [[group.fate.value, shown(group.stage), shown(group.reason)] for group in groups],
        "pictures": [[picture.data, picture.frames, picture.ratio] for picture in page.pictures.values()],
        "items": [
            [
                shown(label_of(item.row)),
                shown(item.row.get("id", "")),
                groups.index(item.group),
                pictures.get(place, -1),
                _values(item, fields, page.unset),
                _texts(item),
            ]
            for place, item in enumerate(page.items)
        ],
        "offered": page.offered,
    }


def _values(item: Item, fields: list[str], unset: Mapping[str, float]) -> list[float | int | None]:
    """In the order of the fields; what is missing at the end is left out."""
    known = dict(numbers(item.row))
    if item.group.fate is not Fate.KEPT:
        known = {name: value for name, value in known.items() if unset.get(name) != value}
    values = [_short(known.get(name)) for name in fields]
    while values and values[-1] is None:
        values.pop()
    return values


def _short(value: float | None) -> float | int | None:
    if value is None or isinstance(value, int):
        return value
    return int(value) if value == int(value) else float(f"{value:.6g}")


def _texts(item: Item) -> list[list[str]]:
    left, found = MOST_TEXT, []
    for name, value in texts(item.row):
        if left > 0:
            found.append([shown(name), shown(value[:left], lines=True)])
            left -= len(value)
    return found
