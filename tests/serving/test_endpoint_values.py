"""What the HTTP endpoint says, without a server: answers, statuses, OpenAPI, the page about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpcurate.serving.app import headers_of
from hpcurate.serving.endpoint_page import POLICY, curl, page_of
from hpcurate.serving.endpoint_schema import OPERATIONS, document, field_schema, request_body
from hpcurate.serving.followed import MOST_ENDED, Followed, forgotten
from hpcurate.serving.served import (
    Cancelled,
    Event,
    Failed,
    Field,
    Limits,
    Line,
    OutFile,
    Queued,
    Result,
    Served,
    Working,
)  # fmt: skip
from hpcurate.serving.service import Unfit
from hpcurate.serving.taking import given_of, most_body, typed_of
from hpcurate.serving.wire import done_of, event_of, state_of, status_of

FILE = Field(key="file", kind="file", help="the clip", required=True, suffixes=(".mp4",))
THRESHOLD = Field(key="motion.threshold", kind="number", help="less is dropped", default=0.5)
MODE = Field(key="motion.mode", kind="choice", choices=("fast", "<b>"), default="fast", optional=True)
SERVED = Served(
    title="motion of video",
    about="How much moves.",
    stages=("cut", "motion"),
    inputs=(FILE,),
    parameters=(THRESHOLD, MODE),
)
TEXTS = Served(
    title="t",
    stages=("a",),
    inputs=(Field(key="text", kind="text", required=True),),
    parameters=(),
    example={"text": "it's"},
)
CLIP = OutFile(number=0, name="é.mp4", field="clip", media="video/mp4", size=7, path="/secret/place/é.mp4")


def failed(kind: Any) -> Failed:
    """An end without a result."""
    return Failed(kind=kind, stage="motion", message="why", traceback="…")


# -- answers


def test_where_files_lie_is_sent_to_nobody() -> None:
    """They have numbers, and a path of the server."""
    done = done_of("ab", Result(tasks=({"id": "1", "clip": {"file": 0}},), files=(CLIP,), seconds={"motion": 1.5}))
    assert "/requests/ab/files/0" == done.files[0].url
    assert ("ab", {"motion": 1.5}, "é.mp4", 7) == (done.id, done.seconds, done.files[0].name, done.files[0].size)
    assert "secret" not in str(done) + str(event_of("ab", Result(tasks=(), files=(CLIP,))))


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (Result(tasks=()), 200), (failed("failed"), 422), (failed("timeout"), 504), (failed("memory"), 507),
        (failed("crash"), 502), (failed("setup"), 502), (failed("ending"), 503), (Cancelled(), 409),
    ],
)  # fmt: skip
def test_each_end_has_its_status(event: Event, status: int) -> None:
    """The input's fault is the client's; a stage's is the server's."""
    assert status == status_of(event)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (None, ("queued", None, None)), (Queued(3), ("queued", 3, None)), (Working("cut", 0, 2), ("working", None, "cut")),
        (Result(tasks=()), ("done", None, None)), (failed("crash"), ("failed", None, None)), (Cancelled(), ("cancelled", None, None)),
    ],
)  # fmt: skip
def test_where_a_request_stands(event: Event | None, state: tuple[Any, ...]) -> None:
    """By its newest event; a result and an error are in it."""
    found = state_of("ab", event)
    assert state == (found.state, found.place, found.stage)
    assert (isinstance(event, Result), isinstance(event, Failed)) == (found.result is not None, found.error is not None)
    assert "/requests/ab/events" == found.links["events"]


def test_a_request_is_followed_to_its_end() -> None:
    """Lines are no state; the end wakes who waits, and ends its events."""
    over: list[bool] = []
    followed = Followed("ab", lambda: over.append(True))
    for event in (Queued(2), Working("cut", 0, 1), Line("hello")):
        followed.tell(event)
    assert (Working("cut", 0, 1), False, False) == (followed.newest, followed.ended, followed.topic.ended)
    followed.tell(Cancelled())
    assert ([True], True, True) == (over, followed.ended, followed.topic.ended)


def test_an_end_that_cannot_be_said_is_an_end() -> None:
    """Whoever waits for it does not wait for ever."""
    followed = Followed("ab")
    with pytest.raises(TypeError):
        followed.tell(Result(tasks=({"a": object()},)))
    assert followed.ended


@pytest.mark.parametrize(
    ("name", "media", "disposition"),
    [
        ("a.mp4", "video/mp4", "inline; filename*=UTF-8''a.mp4"),
        ("a b\r\n\"é/\udc80.png", "image/png", "inline; filename*=UTF-8''a%20b%0D%0A%22%C3%A9%2F%3F.png"),
        ("a.txt", "text/plain", "inline; filename*=UTF-8''a.txt"),
        ("a.svg", "image/svg+xml", "attachment; filename*=UTF-8''a.svg"),
        ("a.html", "text/html", "attachment; filename*=UTF-8''a.html"),
        ("a.js", "text/javascript", "attachment; filename*=UTF-8''a.js"),
        ("a.xml", "application/xhtml+xml", "attachment; filename*=UTF-8''a.xml"),
        ("a", "application/octet-stream", "attachment; filename*=UTF-8''a"),
    ],
)  # fmt: skip
def test_a_browser_shows_what_can_only_be_shown(name: str, media: str, disposition: str) -> None:
    """And whatever it is called, its header is one line."""
    headers = headers_of(OutFile(number=0, name=name, field="f", media=media, size=1, path="/p"))
    assert disposition == headers["Content-Disposition"]
    assert headers["Content-Security-Policy"].startswith("sandbox;")


def test_what_ended_is_forgotten_after_its_time_and_the_oldest_of_many_before() -> None:
    """What has not ended never is."""
    requests = {str(n): Followed(str(n)) for n in range(MOST_ENDED + 3)}
    for number, followed in enumerate(requests.values()):
        followed.ended_at = float(number) if number else None
    assert ["1", "2"] == forgotten(requests, before=0.0)
    assert ["1", "2", "3", "4"] == forgotten(requests, before=5.0)
    assert [] == forgotten({"a": Followed("a")}, before=9.0)


# -- what is given


def test_fields_of_a_form_are_parameters_or_of_the_task() -> None:
    """What is neither is the service's to refuse."""
    given = given_of(SERVED, "ab", "/f", {"motion.threshold": "1", "other": "x"}, {})
    assert ({"motion.threshold": "1"}, {"other": "x"}) == (given.parameters, given.inputs)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"input": {}}',
        b'{"inputs": []}',
        b'{"inputs": null}',
        b"[" * 100_000,
        b"\xff",
        b'{"inputs": {"a": NaN}}',
    ],
)
def test_json_that_is_no_request_is_refused(body: bytes) -> None:
    """With what is expected."""
    with pytest.raises(Unfit) as refused:
        typed_of(body)
    assert refused.value.problems["body"].startswith('expected {"inputs": {…}, "parameters": {…}}: ')


def test_a_body_may_be_as_long_as_the_uploads() -> None:
    """And what a form has beside them."""
    assert 2**20 < most_body(Limits(upload_mb=1)) < 16 * 2**20


# -- OpenAPI


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        (FILE, {"type": "string", "format": "binary", "description": "the clip"}),
        (THRESHOLD, {"type": "number", "description": "less is dropped", "default": 0.5}),
        (MODE, {"enum": ["fast", "<b>", None], "default": "fast"}),
        (Field(key="a", kind="long_text", required=True), {"type": "string"}),
        (Field(key="a", kind="integer", optional=True), {"type": ["integer", "null"], "default": None}),
        (Field(key="a", kind="boolean", default=True), {"type": "boolean", "default": True}),
        (Field(key="a", kind="json", default=[1]), {"default": [1]}),
    ],
)
def test_a_field_has_its_type_default_choices_and_help(field: Field, schema: dict[str, Any]) -> None:
    """As JSON schema has them."""
    assert schema == field_schema(field)


def test_a_file_comes_in_a_form_alone() -> None:
    """Rows may come as JSON."""
    assert {"multipart/form-data"} == request_body(SERVED)["content"].keys()
    content = request_body(TEXTS)["content"]
    assert {"multipart/form-data", "application/json"} == content.keys()
    assert ["inputs"] == content["application/json"]["schema"]["required"]
    assert ["file"] == request_body(SERVED)["content"]["multipart/form-data"]["schema"]["required"]


def test_every_reference_of_the_document_leads_somewhere() -> None:
    """And each path has its answers."""
    found = document(SERVED)
    text = json.dumps(found)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.partition('"')[0] in found["components"]["schemas"]
    assert {one.path for one in OPERATIONS} == found["paths"].keys()
    assert {"200", "401", "422", "429", "504"} <= found["paths"]["/run"]["post"]["responses"].keys()


# -- the page


def test_the_page_lists_what_may_be_given() -> None:
    """With a line to try, and nothing that is loaded from elsewhere, or that a help text could bring in."""
    page = page_of(SERVED, "http://127.0.0.1:1")
    assert "script" not in POLICY + page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert [] == [word for word in ("src=", "@import", "url(", "https://") if word in page]
    for text in ("motion.threshold", "less is dropped", ".mp4", "POST&nbsp;/run", "the queue is full"):
        assert text.lower() in page.lower()


def test_a_line_that_sends_a_request_can_be_pasted() -> None:
    """Into a shell: quotes and all."""
    line = 'curl -H "Authorization: Bearer $TOKEN" -F file=@clip.mp4 -F motion.threshold=0.5 http://h:1/run'
    assert line == curl(SERVED, "http://h:1")
    assert """-F 'text=it'"'"'s' http""" in curl(TEXTS, "http://h:1")
