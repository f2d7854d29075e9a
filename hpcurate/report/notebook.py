"""How a run looks in a notebook: its stages as a table, what reads what, and a few of its pictures. Escaped."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Iterable, Iterator
from html import escape

from hpcurate.masks import mask
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.columns import readable
from hpcurate.report.page.dag import Box, graph
from hpcurate.report.results import Results, results_of
from hpcurate.report.row_files import references
from hpcurate.report.rows import name_of
from hpcurate.report.run_view import RunView
from hpcurate.runs.summary import RunReport, StageReport

PICTURES = {".webp": "webp", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}
SHOWN = 8
"""Pictures, of as many tasks."""
LOOKED_AT = 50
"""Tasks that are looked at for pictures."""
MOST_BYTES = 400_000
"""Of all pictures together: a notebook keeps them."""
COLUMNS = 5
"""Boxes of the graph beside each other."""
HEADER = ("stage", "shards", "in", "out", "dropped", "failed")
STYLE = """\
<style>
.hpcurate .dag { width: 100%; height: auto; display: block }
.hpcurate .dag .box { fill: none; stroke: currentColor; stroke-opacity: .4 }
.hpcurate .dag text { fill: currentColor; font: 13px sans-serif } .hpcurate .dag .name { font-weight: 600 }
.hpcurate .dag .rest { fill: currentColor; fill-opacity: .15 } .hpcurate .dag .done { fill: #2a7de1 }
.hpcurate .dag .edges path { fill: none; stroke: currentColor; stroke-opacity: .6 }
.hpcurate .dag .head { fill: currentColor; stroke: none } .hpcurate .dag .failed .name { fill: #c62828 }
.hpcurate td:not(:first-child), .hpcurate th:not(:first-child) { text-align: right }
</style>"""
"""Light and dark by the colour of the text."""


def page(view: RunView, report: RunReport) -> str:
    """The run as HTML."""
    reason = f": {report.reason}" if report.reason else ""
    parts = [
        STYLE,
        f"<p><b>{_text(report.run)}</b> {_text(report.state.value + reason)}</p>",
        graph([_box(stage, report.stages[stage.name]) for stage in view.planned], COLUMNS, "the stages of the run"),
        _table([(name, *_counts(stage)) for name, stage in report.stages.items()]),
        *([f"<p>output: <code>{_text(report.output)}</code></p>"] if report.output else []),
        *([f"<p>next: <code>{_text(report.next)}</code></p>"] if report.next else []),
        *_gallery(_pictures(view)),
    ]
    return f'<div class="hpcurate">{"".join(parts)}</div>'


def _box(stage: PlannedStage, report: StageReport) -> Box:
    share = report.shards_done / report.shards if report.shards else float(report.shards == 0)
    line = "not begun" if report.shards is None else f"{report.tasks_in} → {report.tasks_out}"
    return Box(name=stage.name, after=stage.behind, line=line, done=share, failed=bool(report.failed))


def _text(value: object) -> str:
    return escape(mask(readable(str(value))))


def _counts(stage: StageReport) -> tuple[str, ...]:
    shards = "?" if stage.shards is None else f"{stage.shards_done}/{stage.shards}"
    return (shards, *map(str, (stage.tasks_in, stage.tasks_out, stage.dropped, stage.failed)))


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    header = "".join(f"<th>{name}</th>" for name in HEADER)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


# -- pictures ---------------------------------------------------------------------------------------


def _pictures(view: RunView) -> Iterator[tuple[str, str]]:
    """(name of a task, `data:` address of a picture of it), of the last stage that has any."""
    for stage in reversed(view.planned):
        found = list(_of_stage(results_of(view, stage.name)))
        if found:
            yield from found
            return


def _of_stage(results: Results) -> Iterator[tuple[str, str]]:
    room, shown = MOST_BYTES, 0
    for row in itertools.islice(results.rows(lambda reference: reference), LOOKED_AT):
        files = (one for one in references(row) if os.path.splitext(one)[1].lower() in PICTURES)
        for reference in itertools.islice(files, 1):
            data = _read(results.path(reference), room)
            if data and shown < SHOWN:
                room, shown = room - len(data), shown + 1
                kind = PICTURES[os.path.splitext(reference)[1].lower()]
                yield name_of(row), f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _read(path: str, most: int) -> bytes:
    """A file of no more than so many bytes; nothing of a larger one, or one that is gone."""
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError:
        return b""
    return data if len(data) <= most else b""


def _gallery(pictures: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, address in pictures:
        text = _text(name)
        yield f'<img src="{address}" alt="{text}" title="{text}" style="height:96px;display:inline-block;margin:2px">'
