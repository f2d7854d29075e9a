"""What the page shows of a request: a frozen view that each event changes, and its HTML. Pure but for the template."""

from __future__ import annotations

import base64
import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import jinja2
import msgspec
from markupsafe import Markup, escape

from hpcurate.masks import mask
from hpcurate.serving.served import Cancelled, Event, Failed, Line, OutFile, Queued, Result, Served, Working

__all__ = ["View", "after", "head_html", "health_html", "problems_html", "result_html", "state_html", "whole"]

ASSETS = Path(__file__).with_name("assets")
MOST_LINES = 1000
"""Lines of the log that the page keeps, the newest."""
MOST_LINE = 2000
"""Characters of one line."""
MOST_TASKS = 100
"""Tasks with their pictures and texts; all of them are in the JSON."""
MOST_COLUMNS = 60
FEW = 4
"""Tasks that are columns of the table, as each has many values; more are its rows."""
MOST_JSON = 2 * 2**20
"""Bytes of the JSON that the page holds."""
LONG = 80
"""Characters from which on a text is no cell of a table."""
KINDS = {
    "failed": "The task failed",
    "crash": "The process of the stage died; it is replaced",
    "timeout": "The stage took longer than a request may; its process is replaced",
    "memory": "The stage ran out of memory; its process is replaced",
    "room": "There was no room for files where the server keeps them",
    "setup": "The stage could not be set up",
    "ending": "The server is ending",
}
"""Of Failed."""


@attrs.frozen
class View:
    """One request, as far as it has come."""

    stages: tuple[str, ...]
    last: Queued | Working | Result | Failed | Cancelled | None = None
    """What it is at."""
    lines: tuple[str, ...] = ()
    left_out: int = 0
    """Lines before those."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return isinstance(self.last, (Result, Failed, Cancelled))

    @property
    def log(self) -> str:
        """The lines, as text."""
        before = [f"… {self.left_out} lines before"] if self.left_out else []
        return "\n".join([*before, *self.lines])


def after(view: View, events: Iterable[Event]) -> View:
    """The view behind these events."""
    last, lines = view.last, list(view.lines)
    for event in events:
        if isinstance(event, Line):
            lines.append(_cut(event.text.rstrip("\r\n"), MOST_LINE))
        else:
            last = event
    gone = max(len(lines) - MOST_LINES, 0)
    return attrs.evolve(view, last=last, lines=tuple(lines[gone:]), left_out=view.left_out + gone)


# -- HTML: everything in it is escaped by the template


def head_html(served: Served) -> str:
    """The title, and what is served."""
    return _render("head", title=served.title, about=served.about, stages=served.stages)


def health_html(health: Mapping[str, object], idle_s: float | None = None) -> str:
    """One line about the service. `idle_s`: seconds without a request after which it ends."""
    workers = health.get("workers")
    count = len(workers) if isinstance(workers, (list, tuple)) else 0
    parts = [
        str(health.get("state", "")),
        f"{count} worker{'s' * (count != 1)}",
        f"{health.get('working', 0)} in work",
        f"{health.get('waiting', 0)} waiting",
        f"{health.get('answered', 0)} answered",
        *_ends({**health, "idle_s": idle_s}),
    ]
    return _render("health", state=parts[0], parts=parts)


def _ends(health: Mapping[str, object]) -> Iterator[str]:
    for key, text in (("ends_in_s", "ends in {}"), ("idle_s", "ends after {} without a request")):
        seconds = health.get(key)
        if isinstance(seconds, (int, float)) and math.isfinite(seconds):
            yield text.format(_span(float(seconds)))


def state_html(view: View) -> str:
    """Where the request is: place, stage, how it ended."""
    last = view.last
    if isinstance(last, Queued):
        return _state("waiting", "It is next." if last.place <= 1 else f"In the queue: place {last.place}.")
    if isinstance(last, Working):
        what = "is being set up for it" if last.setting_up else "is at work"
        number = min(last.done + 1, last.of)
        return _state("working", f"Stage {number} of {last.of}: {last.stage} {what}.", last.done, last.of)
    if isinstance(last, Result):
        return _state("done", f"Done in {_span(sum(last.seconds.values()))}.")
    if isinstance(last, Failed):
        return _render("failed", headline=KINDS[last.kind], failed=last)
    if isinstance(last, Cancelled):
        return _state("cancelled", "Cancelled.")
    return _state("waiting", "It is sent.")


def problems_html(problems: Mapping[str, str]) -> str:
    """Why a request was not sent; what is wrong with a field also stands beside it."""
    return _render("problems", problems=problems)


def refusal_html(text: str) -> str:
    """Why a request was not taken, though it may be later."""
    return _state("failed", text)


def note_html(text: str) -> str:
    """A line of help beside a field."""
    return _render("note", text=text)


def wrong_html(text: str) -> str:
    """What is wrong with the field above."""
    return _render("wrong", text=text)


def preview_html(name: str, media: str, place: str) -> str:
    """A file that was just chosen, if a browser may show it."""
    return _render("preview", media=media, place=place, name=name) if player(media) else ""


def _state(kind: str, text: str, done: int = 0, of: int = 0) -> str:
    return _render("state", kind=kind, text=text, done=done, of=of)


def result_html(view: View, request: str, files: str) -> str:
    """What became of the task. `files`: where the files of a request are asked for, with `{id}` and `{number}`."""
    result = view.last
    if not isinstance(result, Result):
        return ""
    numbered = {file.number: file for file in result.files}
    places = {number: files.format(id=request, number=number) for number in numbered}
    shown = [_task(row, numbered) for row in result.tasks[:MOST_TASKS]]
    names, rows = _table(result.tasks[:MOST_TASKS])
    data = whole(result)
    return _render(
        "result",
        result=result,
        tasks=shown,
        more=max(len(result.tasks) - MOST_TASKS, 0),
        head=names if len(result.tasks) > FEW else [],
        rows=rows if len(result.tasks) > FEW else [],
        pairs=list(zip(names, zip(*rows, strict=True), strict=True)) if 0 < len(result.tasks) <= FEW else [],
        places=places,
        logged=[_plain(row) for row in result.logged],
        json=_cut(data, MOST_JSON),
        link=base64.b64encode(data.encode()).decode() if len(data) <= MOST_JSON else None,
    )


def whole(result: Result) -> str:
    """All of it as JSON, without where anything lies on this machine."""
    files = [{**msgspec.to_builtins(file), "path": None} for file in result.files]
    plain = {**msgspec.to_builtins(result), "files": files}
    for file in files:
        del file["path"]
    return json.dumps(plain, indent=2, ensure_ascii=False)


@attrs.frozen
class _Shown:
    """A task among the results."""

    title: str
    media: tuple[OutFile, ...]
    texts: tuple[tuple[str, str], ...]


def _task(row: Mapping[str, Any], files: Mapping[int, OutFile]) -> _Shown:
    numbers = list(dict.fromkeys(_numbers(list(row.values()))))
    media = tuple(files[number] for number in numbers if number in files and player(files[number].media))
    texts = tuple((key, value) for key, value in row.items() if isinstance(value, str) and _is_long(value))
    return _Shown(str(row.get("id", "")), media, texts)


def player(media: str) -> str | None:
    """The element that shows a file in the page, if one does: an SVG may hold a script, so it is only given out."""
    kind = media.partition("/")[0]
    return kind if kind in ("video", "image", "audio") and "svg" not in media else None


def _numbers(value: Any) -> Iterator[int]:
    """Of all files in a value."""
    if isinstance(value, Mapping):
        if type(value.get("file")) is int:
            yield value["file"]
        else:
            yield from _numbers(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)


def _is_long(value: str) -> bool:
    return len(value) > LONG or "\n" in value


def _table(tasks: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """(names, a row for each task): values that fit into a cell, of names that have one in some task."""
    cells = [{key: text for key, value in row.items() if (text := _cell(value))} for row in tasks]
    names = list(dict.fromkeys(key for row in cells for key in row))[:MOST_COLUMNS]
    return names, [[row.get(key, "") for key in names] for row in cells]


def _cell(value: Any) -> str | None:
    if isinstance(value, str):
        return None if _is_long(value) else value
    if isinstance(value, Mapping) and type(value.get("file")) is int:
        return str(value.get("name", ""))
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or value in ([], {}):
        return ""
    if any(True for _ in _numbers(value)):
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONG else None


def _plain(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else _cut(json.dumps(value), MOST_LINE) for key, value in row.items()}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} …"


def _span(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _render(part: str, **values: Any) -> str:
    return str(getattr(_environment().get_template("page.html").module, part)(**values))


@functools.cache
def _environment() -> jinja2.Environment:
    """All text is escaped, and secrets in it are masked, whoever wrote the template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: mask(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["player"] = player
    environment.filters["size"] = _size
    environment.filters["span"] = _span
    environment.filters["coded"] = _coded
    return environment


def _coded(text: str) -> Markup:
    """What stands between backticks, as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(mask(text)))))


def _size(amount: int) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= length:
            return f"{amount / length:.1f} {unit}"
    return f"{amount} bytes"
