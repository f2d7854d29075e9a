"""A server that speaks OpenAI's protocol: what it is asked, what its answers mean, and all that goes wrong there."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import endpoint as local
import numpy as np
import pytest
from endpoint import BROKEN, BUSY, CUT, HALF_JSON, HTML, NOTHING, LocalEndpoint, Reply
from PIL import Image

from hpcurate import WorkerInfo
from hpcurate.errors import ConfigError, SetupLost
from hpcurate.stage_process.raised import names_of
from hpcurate.transient import worth
from stages.language import chat, endpoint
from stages.language.asks import Answer, Ask, Generate
from stages.language.chat import ContentFiltered, Malformed, NoAnswer, RateLimited, ServerError, TooSlow, read_answer
from stages.language.client import seconds_of
from stages.language.endpoint import SMALL_TALK, Endpoint

pytest.importorskip("httpx2", reason="the openai extra is not installed")

WORKER = WorkerInfo(index=0, process=0, cpus=1)
KEY = "sk-0123456789abcdef"


@pytest.fixture(scope="module")
def running() -> Iterator[LocalEndpoint]:
    """One for all tests."""
    with LocalEndpoint() as one:
        yield one


@pytest.fixture
def server(running: LocalEndpoint) -> LocalEndpoint:
    """It repeats what the user says."""
    running.answer, running.key = lambda asked: f"You said {asked.text}", ""
    running.asked.clear()
    running.most_at_once = 0
    return running


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there is not waited for."""
    monkeypatch.setattr(endpoint, "START_S", 0.0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def made(server: LocalEndpoint, generate: dict[str, Any] | None = None, **more: Any) -> Endpoint:
    """Not started."""
    options, model = more.pop("options", {}), more.pop("model", "tiny")
    return Endpoint(model, Generate(**(generate or {})), options, {"url": server.url, "wait_s": 0.0, **more})


@pytest.fixture(scope="module")
def started(running: LocalEndpoint) -> Iterator[Endpoint]:
    """One for all tests: a client takes 50 ms to make."""
    running.answer, running.key = lambda asked: Reply(), ""
    one = made(running, concurrency=4)
    one.start(WORKER)
    yield one
    one.stop()


@pytest.fixture
def engine(server: LocalEndpoint, started: Endpoint) -> Endpoint:
    """Asks `server`, and has kept nothing."""
    started._kept.clear()
    return started


def ask(engine: Endpoint, *prompts: str) -> list[Answer]:
    """Text alone."""
    return engine.answers([engine.ready(Ask(prompt)) for prompt in prompts])


def scripted(server: LocalEndpoint, **faults: list[Reply]) -> None:
    """Each of these questions gets these replies, and then an answer."""

    def answer(asked: local.Asked) -> Reply | str:
        left = faults.get(asked.text)
        return left.pop(0) if left else f"You said {asked.text}"

    server.answer = answer


def prompts_of(server: LocalEndpoint) -> list[str]:
    """What it was asked, in order of the alphabet; but for small talk."""
    return sorted(asked.text for asked in server.asked if asked.text != SMALL_TALK.prompt)


# -- what is asked ----------------------------------------------------------------------------------


def test_a_question_has_pictures_words_and_how_the_answer_is_made(
    server: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures in order, small enough; the key in the header; what the server has besides, and what it has not."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.key = KEY
    generate = {"max_tokens": 99, "temperature": 0.5, "repetition_penalty": 1.05, "seed": 3}
    one = made(server, generate, options={"longest_side": 64, "body": {"top_k": 5, "seed": None}})
    one.start(WORKER)
    pictures = [one.fit(np.full((90, 160, 3), shade, np.uint8)) for shade in (20, 220)]
    (answer,) = one.answers([one.ready(Ask("What is it?", "Be brief.", pictures, (0.0, 0.5)))])
    one.stop()
    asked = server.asked[-1]
    wanted = {
        "model": "tiny", "max_tokens": 99, "temperature": 0.5, "top_p": 1.0, "repetition_penalty": 1.05, "top_k": 5,
    }  # fmt: skip
    assert wanted == {key: value for key, value in asked.body.items() if key != "messages"}
    assert "What is it?\n\nThe 2 pictures are frames of one video, in order, 0.5 seconds apart." == asked.text
    assert ("Be brief.", "tiny") == (asked.system, one.name)
    sent = [np.asarray(Image.open(io.BytesIO(picture))) for picture in asked.pictures]
    assert [(36, 64, 3)] * 2 == [picture.shape for picture in sent]
    assert [20, 220] == [round(float(picture.mean())) for picture in sent]
    assert Answer(f"You said {asked.text}", "done", 7, 18) == answer


def test_text_alone_and_defaults(engine: Endpoint, server: LocalEndpoint) -> None:
    """A plain text, no penalty, which is not OpenAI's; no key."""
    ask(engine, "Hello")
    assert [{"role": "user", "content": "Hello"}] == server.asked[-1].body["messages"]
    assert "repetition_penalty" not in server.asked[-1].body
    assert "Authorization" not in server.asked[-1].headers


@pytest.mark.parametrize("changed", [{"quality": 50}, {"longest_side": 32}, {"body": {"top_k": 1}}])
def test_options_change_the_request(server: LocalEndpoint, changed: dict[str, Any]) -> None:
    """They are part of the fingerprint for that."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    one, other = made(server), made(server, options=changed)
    bodies = [each.ready(Ask("?", pictures=[each.fit(picture)])).inputs.body for each in (one, other, one)]
    assert bodies[0] == bodies[2] != bodies[1]


def test_many_at_once_but_no_more_and_in_order(engine: Endpoint, server: LocalEndpoint) -> None:
    """Four and four: each waits until four are there. What is asked twice in a batch is asked once."""
    gate = threading.Barrier(4)

    def answer(asked: local.Asked) -> str:
        gate.wait(30)
        return asked.text

    server.answer = answer
    prompts = [f"q{n}" for n in range(20)]
    assert [*prompts, "q3"] == [answer.text for answer in ask(engine, *prompts, "q3")]
    assert (4, sorted(prompts)) == (server.most_at_once, prompts_of(server))


# -- what an answer means ---------------------------------------------------------------------------


def body(finish: str | None = "stop", **reply: Any) -> bytes:
    """Of an answer."""
    return Reply(finish=finish, **reply).encoded()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (body(), Answer("Yes.", "done", 7, 1)),
        (body("length", text="one two"), Answer("one two", "truncated", 7, 2)),
        (body(text=" \n"), Answer("", "empty", 7, 0)),
        (body(text=None), Answer("", "empty", 7, 0)),
        (body("eos_token", usage=False), Answer("Yes.", "done", None, None)),
    ],
)
def test_how_answers_end(sent: bytes, expected: Answer) -> None:
    """By themselves, at the most tokens, without a word; tokens that nobody counted are not known."""
    assert expected == read_answer(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"<html>", b"null", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"text": "old"}]}', b'{"error": {"message": "no"}}', b"\xff\xfe", body()[:-4], b"[" * 100_000,
        b'{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": "stop"}]}', body(None), body("abort"),
    ],
)  # fmt: skip
def test_what_is_no_answer(sent: bytes) -> None:
    """Nothing of it becomes a caption; the message has the beginning of what was said."""
    with pytest.raises(Malformed) as raised:
        read_answer(sent)
    assert worth(names_of(raised.value), None)
    assert len(str(raised.value)) < 450


@pytest.mark.parametrize(
    "sent", [body("content_filter", text=None), b'{"choices": [{"message": {"refusal": "I will not"}}]}']
)
def test_a_withheld_answer_fails_its_clip_at_once(sent: bytes) -> None:
    """It is no empty answer, and the same a moment later."""
    with pytest.raises(ContentFiltered) as raised:
        read_answer(sent)
    assert not worth(names_of(raised.value), None)


@pytest.mark.parametrize(
    ("status", "error", "again"),
    [
        (429, "RateLimited", True), (500, "ServerError", True), (502, "ServerError", True), (503, "ServerError", True),
        (529, "ServerError", True), (408, "ServerError", True), (400, "Refused", False), (401, "Refused", False),
        (413, "Refused", False), (307, "Refused", False), (501, "Refused", False),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, error: str, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, as `why` groups them; what the server says is there, and no secret that it repeats."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    failed = chat.failure_of(status, f"bad\n{KEY} {'x' * 500}".encode())
    assert (error, again) == (type(failed).__name__, worth(names_of(failed), None))
    assert f"HTTP {status}: bad ***OPENAI_API_KEY*** xxx" in str(failed)
    assert len(str(failed)) < 230


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("0.5", 0.5), ("Thu, 01 Jan 1970 00:01:30 GMT", 30), ("soon", 0), ("", 0), ("-3", 0)],
)
def test_retry_after(said: str, seconds: float) -> None:
    """A number, or a date."""
    assert seconds == seconds_of(said, now=60)


# -- what goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (BUSY, "RateLimited"), (BROKEN, "ServerError"), (CUT, "CutOff"), (HALF_JSON, "Malformed"), (HTML, "Malformed"),
        (NOTHING, "Malformed"), (Reply(headers={"Content-Encoding": "gzip"}), "Malformed"),
    ],
)  # fmt: skip
def test_what_was_answered_before_is_not_asked_again(
    engine: Endpoint, server: LocalEndpoint, reply: Reply, error: str
) -> None:
    """The batch fails, and is tried again in parts: only what failed is asked once more. All were asked before that."""
    scripted(server, b=[reply])
    with pytest.raises(NoAnswer) as raised:
        ask(engine, *"abcdefg")
    assert (error, True) == (type(raised.value).__name__, worth(names_of(raised.value), None))
    again = [ask(engine, prompt)[0].text for prompt in "abcdefg"]
    assert [f"You said {prompt}" for prompt in "abcdefg"] == again
    assert list("abbcdefg") == prompts_of(server)


def test_what_is_hopeless_is_raised_before_what_is_not(engine: Endpoint, server: LocalEndpoint) -> None:
    """Other tries would end as this one."""
    scripted(server, a=[BUSY], b=[Reply(status=400)])
    with pytest.raises(chat.Refused, match="HTTP 400: "):
        ask(engine, "a", "b")


def test_answers_that_are_kept_are_bounded(
    engine: Endpoint, server: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go."""
    monkeypatch.setattr(endpoint, "KEPT", 2)
    ask(engine, *"abc")
    ask(engine, *"abc")
    assert list("aabc") == prompts_of(server)


@pytest.mark.parametrize("drops", [False, True])
def test_too_slow(server: LocalEndpoint, drops: bool) -> None:
    """Nothing comes in time, or a little at a time without an end."""
    gate = threading.Event()
    one = made(server, timeout_s=0.6)
    one.start(WORKER)
    scripted(server, slow=[Reply(drop_s=0.3) if drops else Reply(held=gate)])
    with pytest.raises(TooSlow, match=r"within 0.6 s \(server.timeout_s\)") as raised:
        ask(one, "quick", "slow")
    gate.set()
    assert worth(names_of(raised.value), None)
    assert ["You said slow"] == [answer.text for answer in ask(one, "slow")]
    one.stop()


def test_a_server_that_says_when_is_asked_then(engine: Endpoint, server: LocalEndpoint) -> None:
    """No question of this process comes before."""
    asked_at: list[float] = []

    def answer(asked: local.Asked) -> Reply:
        asked_at.append(time.monotonic())
        return Reply(status=429, headers={"Retry-After": "0.3"}) if len(asked_at) == 1 else Reply()

    server.answer = answer
    with pytest.raises(RateLimited):
        ask(engine, "a")
    ask(engine, "b")
    assert asked_at[1] - asked_at[0] >= 0.3


# -- a server that is not there ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "model", "said"),
    [
        ("", "tiny", "{url}: Refused: HTTP 404: .*which usually ends in /v1"),
        ("/v1", "large", "HTTP 404: .*asked for model 'large', the server has: tiny"),
        ("/v1", "tiny", "HTTP 401: .*; no key was sent: export OPENAI_API_KEY"),
    ],
)
def test_what_would_be_the_same_for_all_questions_is_said_at_the_start(
    server: LocalEndpoint, url: str, model: str, said: str
) -> None:
    """A wrong address, model or key makes no dead letters."""
    server.key = "" if "404" in said else KEY
    url = server.url.removesuffix("/v1") + url
    with pytest.raises(ConfigError, match="^server: .*" + said.format(url=url)):
        made(server, url=url, model=model).start(WORKER)
    assert [] == prompts_of(server)


def test_nobody_is_there() -> None:
    """The port is free."""
    server = LocalEndpoint()
    with server:
        pass
    with pytest.raises(ConfigError, match=r"server: http://.*: Unreachable: no connection: .*refused"):
        made(server).start(WORKER)


def test_a_server_that_is_gone_is_no_tasks_fault(engine: Endpoint, server: LocalEndpoint) -> None:
    """Before, each remaining clip would have become a dead letter."""
    server.stop()
    with pytest.raises(SetupLost, match=r"the server answers no question any more: http://.*: Unreachable: "):
        ask(engine, "a")
    server.start()
    assert ["You said a"] == [answer.text for answer in ask(engine, "a")]


@pytest.mark.parametrize("status", [401, 500])
def test_a_server_that_refuses_everything_is_no_tasks_fault(
    engine: Endpoint, server: LocalEndpoint, status: int
) -> None:
    """A key that has run out, an engine that died behind its gateway."""
    server.answer = lambda asked: Reply(status=status)
    with pytest.raises(SetupLost, match=f"HTTP {status}"):
        ask(engine, "a")


def test_a_server_that_comes_back_in_time(server: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question has another try."""
    one = made(server, wait_s=60.0)
    one.start(WORKER)
    left = [BROKEN] * 2
    server.answer = lambda asked: left.pop() if left else "Back."
    with pytest.raises(ServerError):
        ask(one, "a")
    assert ["Back."] == [answer.text for answer in ask(one, "a")]
    one.stop()


# -- what is refused before anything runs -----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "server", "said"),
    [
        ({}, {}, "server.url='': expected an address such as http://gpu7:8000/v1"),
        ({}, {"url": "gpu7:8000"}, "server.url='gpu7:8000': expected"),
        ({}, {"url": "http://me:pw@gpu7/v1"}, "server.url: has a password in it"),
        ({}, {"url": "http://a/v1", "key": "sk-0123"}, "server.key: expected the NAME of an environment variable"),
        ({}, {"url": "http://a/v1", "key": "a1b2c3d4"}, "server.key: expected the NAME of an environment variable"),
        ({}, {"url": "http://a/v1", "key": "NO_SUCH_API_KEY"}, "server.key=NO_SUCH_API_KEY: there is no such environ"),
        ({}, {"url": "http://a/v1", "timeout_s": 0}, "server.timeout_s=0: must be above 0"),
        ({}, {"urls": "http://a/v1"}, "server.urls: there is no such key; did you mean 'url'"),
        ({"quality": 96}, {"url": "http://a/v1"}, "options.quality=96: must be at most 95"),
        ({"body": {"stream": True}}, {"url": "http://a/v1"}, "options.body.stream: is not to be set here"),
    ],
)
def test_wrong_settings(options: dict[str, Any], server: dict[str, Any], said: str) -> None:
    """With the full key, and no value of what may be a key."""
    with pytest.raises(ConfigError) as raised:
        Endpoint("m", Generate(), options, server)
    assert str(raised.value).startswith(said)
    assert not {"sk-0123", "a1b2c3d4", "pw@"} & set(str(raised.value).split())
