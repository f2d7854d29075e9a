"""What the page shows of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcurate.serving import page_view
from hpcurate.serving.page_view import MOST_LINES, MOST_TASKS, View, after, player
from hpcurate.serving.served import Cancelled, Event, Failed, Line, OutFile, Queued, Result, Served, Working

START = View(stages=("split", "caption"))
FILES = "/requests/{id}/files/{number}"


def shown(*events: Event) -> str:
    """The line about a request behind these events."""
    return page_view.state_html(after(START, events))


def result(**more: Any) -> str:
    """What is shown of a result."""
    return page_view.result_html(after(START, [Result(**more)]), "r1", FILES)


def file(number: int, media: str, name: str = "a.bin") -> OutFile:
    """One of a result."""
    return OutFile(number=number, name=name, field="clip", media=media, size=1500, path=f"/secret/place/{name}")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Queued(place=1), "It is next."),
        (Queued(place=3), "In the queue: place 3."),
        (Working(stage="split", done=0, of=2), "Stage 1 of 2: split is at work."),
        (Working(stage="caption", done=1, of=2, setting_up=True), "Stage 2 of 2: caption is being set up for it."),
        (Cancelled(), "Cancelled."),
        (Result(tasks=(), seconds={"a": 1.0, "b": 90.0}), "Done in 1.5 min."),
    ],
)
def test_where_a_request_is(event: Event, text: str) -> None:
    """One line for each event; a line of the log changes nothing of it."""
    assert text in shown(event)
    assert shown(event) == shown(event, Line(text="printed"))
    assert isinstance(event, (Cancelled, Result)) == after(START, [event]).over


def test_nothing_has_come_yet() -> None:
    """The request is on its way."""
    assert "It is sent." in page_view.state_html(START)
    assert "" == page_view.result_html(START, "r1", FILES)


@pytest.mark.parametrize("kind", ["failed", "crash", "timeout", "memory", "room", "setup", "ending"])
def test_a_failure_says_what_and_where(kind: Any) -> None:
    """With the message, and the traceback where there is one."""
    text = shown(Failed(kind=kind, stage="caption", message="ValueError: <i>no</i>", traceback="Traceback …"))
    assert page_view.KINDS[kind] in text
    assert "(caption)" in text
    assert "ValueError: &lt;i&gt;no&lt;/i&gt;" in text
    assert "<details><summary>Traceback" in text
    assert "<details>" not in shown(Failed(kind=kind, stage="", message="no"))


def test_the_log_is_bounded() -> None:
    """In lines, and each in its length; what is gone is counted."""
    view = after(after(START, [Line(text=f"{n}\n") for n in range(MOST_LINES)]), [Line(text="x" * 10_000)] * 2)
    first, *lines = view.log.split("\n")
    assert "… 2 lines before" == first
    assert (MOST_LINES, "2") == (len(lines), lines[0])
    assert all(len(line) < 3000 for line in lines)


def test_a_result_shows_pictures_texts_and_values() -> None:
    """Files by what a browser can show; long texts as text; the rest in one table for all tasks."""
    files = (
        file(0, "video/mp4", "a.mp4"),
        file(1, "image/png", "b.png"),
        file(2, "audio/wav"),
        file(3, "image/svg+xml", "c.svg"),
    )
    row = {
        "id": "t1", "clip": {"file": 0, "name": "a.mp4", "media": "video/mp4"}, "frames": [{"file": 1}, {"more": {"file": 2}}],
        "drawing": {"file": 3, "name": "c.svg"}, "caption": "long " * 40, "score": 0.123456789, "n": 3, "on": True, "no": None,
    }  # fmt: skip
    html = result(tasks=(row, {"id": "t2", "label": "cat"}), files=files)
    for element in ("video controls", "audio controls", "img loading"):
        assert 1 == html.count(f"<{element}")
    assert 'src="/requests/r1/files/0"' in html
    assert '<a href="/requests/r1/files/3" download="c.svg">' in html
    assert 'src="/requests/r1/files/3"' not in html
    for name, cells in {
        "id": ("t1", "t2"),
        "clip": ("a.mp4", ""),
        "score": ("0.123457", ""),
        "on": ("true", ""),
    }.items():
        assert f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" in html
    assert "<th>no</th>" not in html
    assert "1.5 kB" in html


def test_many_tasks_are_rows_of_a_table() -> None:
    """Few are its columns; what no task has is in neither."""
    html = result(tasks=tuple({"id": f"t{n}", "score": n, "more": [], "none": None} for n in range(5)))
    assert "<thead><tr><th>id</th><th>score</th></tr></thead>" in html
    assert "<tr><td>t4</td><td>4</td></tr>" in html


def test_help_shows_code_as_code() -> None:
    """And no other markup."""
    assert "below <code>a &lt; b</code> &lt;b&gt;" in page_view.note_html("below `a < b` <b>")


def test_a_result_shows_what_was_dropped_failed_and_logged() -> None:
    """And how long each stage took."""
    html = result(
        tasks=(),
        dropped=({"stage": "blur", "reason": "too dark", "value": 0.1, "threshold": None},),
        failed=({"stage": "blur", "error": "OSError", "message": "no <b>"},),
        logged=({"stage": "blur", "kind": "metric", "value": {"a": 1}},),
        seconds={"blur": 61.0},
    )
    for text in ("No task is left", "<b>reason</b> too dark", "no &lt;b&gt;", "{&#34;a&#34;: 1}", "blur 1.0 min"):
        assert text in html
    assert "<b>threshold</b>" not in html


def test_nothing_of_a_result_is_markup_or_a_path() -> None:
    """Whatever stages and users have written."""
    evil = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"
    row = {"id": evil, evil: evil, "caption": evil * 9, "clip": {"file": 0, "name": evil}}
    html = result(
        tasks=(row,),
        files=(file(0, "video/mp4", evil),),
        dropped=({evil: evil},),
        logged=({"a": [evil]},),
        seconds={evil: 1.0},
    )
    assert "<script" not in html
    assert "<img" not in html
    assert "/secret/place" not in html
    for other in (
        page_view.head_html(Served(title=evil, about=evil, stages=(evil,), inputs=(), parameters=())),
        page_view.problems_html({evil: evil}),
        page_view.wrong_html(evil),
        page_view.note_html(evil),
        page_view.refusal_html(evil),
        page_view.preview_html(evil, "video/mp4", evil),
        page_view.health_html({"state": evil, "workers": []}),
        shown(Working(stage=evil, done=0, of=1)),
        shown(Failed(kind="crash", stage=evil, message=evil, traceback=evil)),
    ):
        assert "<script" not in other
        assert "<img" not in other


def test_the_whole_is_there_as_json() -> None:
    """Without where files lie on the server."""
    made = Result(tasks=({"id": "t1"},), files=(file(0, "video/mp4"),), seconds={"a": 1.0})
    whole = json.loads(page_view.whole(made))
    assert {"number": 0, "name": "a.bin", "field": "clip", "media": "video/mp4", "size": 1500} == whole["files"][0]
    assert [{"id": "t1"}] == whole["tasks"]


def test_many_tasks_are_bounded() -> None:
    """The page shows the first; all are in the JSON."""
    html = result(tasks=tuple({"id": f"t{n}"} for n in range(MOST_TASKS + 5)))
    assert "5 more tasks are in the JSON." in html
    assert MOST_TASKS == html.count("<td>t")
    assert f"t{MOST_TASKS + 4}" in html


@pytest.mark.parametrize(
    ("health", "idle_s", "text"),
    [
        ({"state": "ready", "workers": [1, 2], "working": 1, "waiting": 3, "answered": 5}, None,
         "ready · 2 workers · 1 in work · 3 waiting · 5 answered"),
        ({"state": "ready", "workers": [1], "ends_in_s": 5400.0}, None, "ends in 1.5 h"),
        ({"state": "ready", "workers": [1]}, 600.0, "ends after 10.0 min without a request"),
        ({}, None, "0 workers"),
    ],
)  # fmt: skip
def test_the_service_has_its_line(health: dict[str, Any], idle_s: float | None, text: str) -> None:
    """How many workers, what is waiting, and when it ends if that is known."""
    assert text in page_view.health_html(health, idle_s)


@pytest.mark.parametrize(
    ("media", "element"),
    [
        ("video/mp4", "video"),
        ("image/png", "image"),
        ("audio/x-wav", "audio"),
        ("image/svg+xml", None),
        ("text/html", None),
        ("", None),
    ],
)
def test_what_a_browser_may_show(media: str, element: str | None) -> None:
    """Nothing that may hold a script."""
    assert element == player(media)
