"""What a page types, sent to a service and followed; over real stage processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from serving import Asking, serving

from hpcurate.serving.page_runs import Runs, Shot, read
from hpcurate.serving.page_uploads import Progress, Uploads, name_in
from hpcurate.serving.served import Cancelled, Event, Failed, Field, Given, Result, Served
from hpcurate.serving.service import Answers, NotAccepted

INPUTS = (Field(key="word", kind="text"), Field(key="file", kind="file"))
PARAMETERS = (Field(key="a.level", kind="number", default=1.0), Field(key="a.more", kind="json", default=[1]))


def test_what_is_typed_becomes_a_request() -> None:
    """Inputs, parameters that differ from what is served, files by the names of their uploads, and what is wrong."""
    typed = read(INPUTS, PARAMETERS, ["hello", "abc.png", 2.0, "[1]"])
    assert ({"word": "hello"}, {"a.level": 2.0}, {"file": "abc.png"}, {}) == attrs.astuple(typed, recurse=False)
    typed = read(INPUTS, PARAMETERS, ["", None, 1.0, "{"])
    assert ({"word": ""}, {}, {}) == (typed.inputs, typed.parameters, typed.files)
    assert ["a.more"] == list(typed.problems)
    assert {} == read(INPUTS, PARAMETERS, ["", {"path": "/etc/passwd"}, 1.0, ""]).files


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """The usual test stages."""
    with serving(tmp_path_factory.mktemp("runs"), queue=1) as found:
        yield found


@attrs.define
class Meddling:
    """A service, and something that happens just before a request is submitted to it."""

    service: Answers
    before: Callable[[], None]

    @property
    def served(self) -> Served:
        """Of it."""
        return self.service.served

    def submit(self, given: Given, tell: Callable[[Event], None]) -> None:
        """After that."""
        self.before()
        self.service.submit(given, tell)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.service, name)


def shots(
    service: Answers, values: dict[str, Any], during: Callable[[Runs, Shot], None] = lambda *_: None
) -> list[Shot]:
    """All that the page shows of a request of session `s`; `during` is called with each."""

    async def follow() -> list[Shot]:
        runs = Runs(service, Uploads(service), service.served.inputs, service.served.parameters)
        fields = [*service.served.inputs, *service.served.parameters]
        typed = [values.get(field.key, field.default) for field in fields]
        seen = []
        async for shot in runs.run("s", typed):
            seen.append(shot)
            during(runs, shot)
        assert {} == runs._running
        return seen

    return asyncio.run(follow())


def test_a_request_is_followed_to_its_end(asking: Asking) -> None:
    """The first shot is there before it is sent; the last has the result."""
    first, *_, last = shots(asking.service, {"word": "abc"})
    assert (None, False) == (first.view.last, first.over)
    assert isinstance(last.view.last, Result)
    assert last.over


def test_it_is_cancelled_while_it_is_worked_on(asking: Asking) -> None:
    """By its own session alone."""

    def cancel(runs: Runs, shot: Shot) -> None:
        runs.cancel("other")
        if shot.request:
            runs.cancel("s")

    assert isinstance(shots(asking.service, {"word": "a", "do": "hang"}, cancel)[-1].view.last, Cancelled)


def test_it_is_taken_back_before_it_was_sent(asking: Asking) -> None:
    """Whoever leaves while it is checked leaves no request behind."""
    runs: list[Runs] = []
    service = Meddling(asking.service, lambda: runs[0].cancel("s"))
    last = shots(service, {"word": "a", "do": "hang"}, lambda each, _: runs.append(each))[-1]  # type: ignore[arg-type]
    assert isinstance(last.view.last, Cancelled)


def test_who_stops_reading_cancels(asking: Asking) -> None:
    """As Gradio does when its queue ends."""

    async def leave() -> None:
        service = asking.service
        runs = Runs(service, Uploads(service), service.served.inputs, service.served.parameters)
        typed = [{"word": "a", "do": "hang"}.get(field.key, field.default) for field in service.served.inputs]
        following = runs.run("s", [*typed, *(field.default for field in service.served.parameters)])
        async for shot in following:
            if shot.request:
                break
        await following.aclose()

    asyncio.run(leave())
    assert isinstance(asking.ask(word="next"), Result)


def test_what_the_service_does_not_take_is_said(asking: Asking) -> None:
    """Problems by field; a full queue; and an error that nobody thought of, which the server's log has, too."""
    (_, last) = shots(asking.service, {"size": "many"})
    assert ["size"] == list(last.problems)
    assert last.over

    def refuse(error: Exception) -> Callable[[], None]:
        def now() -> None:
            raise error

        return now

    (_, last) = shots(Meddling(asking.service, refuse(NotAccepted("full"))), {"word": "a"})  # type: ignore[arg-type]
    assert ("full", True) == (last.refusal, last.over)
    seen: list[Shot] = []
    with pytest.raises(ZeroDivisionError):
        shots(Meddling(asking.service, refuse(ZeroDivisionError("by me"))), {"word": "a"}, lambda _, s: seen.append(s))  # type: ignore[arg-type]
    assert "ZeroDivisionError: by me" == seen[-1].refusal


def test_a_failure_is_an_end(asking: Asking) -> None:
    """With its kind."""
    last = shots(asking.service, {"word": "a", "do": "fail"})[-1].view.last
    assert isinstance(last, Failed)
    assert "failed" == last.kind


def test_an_upload_says_how_far_it_is() -> None:
    """Bytes since the last message, under the name that its form begins with; then that it is done."""

    async def told() -> list[dict[str, Any]]:
        progress = Progress()
        progress.came(b'--x\r\nContent-Disposition: form-data; name="files"; filename="a b.mp4"\r\n\r\n')
        messages = progress.messages()
        first = await anext(messages)
        progress.came(b"x" * 10)
        progress.came(b"y" * 5)
        second = await anext(messages)
        progress.end()
        return [first, second, *[message async for message in messages]]

    first, second, last = asyncio.run(told())
    assert "a b.mp4" == first["orig_name"] == second["orig_name"]
    assert (15, {"msg": "done"}) == (second["chunk_size"], last)
    assert "" == name_in(b"no form")


def test_the_queue_of_the_page_does_not_poll() -> None:
    """No timer runs while nothing is asked, and none of a call that waits for nobody."""
    import gradio

    from hpcurate.serving.page_queue import PushedQueue

    async def timers() -> list[Any]:
        with gradio.Blocks(analytics_enabled=False) as blocks:
            gradio.Textbox()
        queue = PushedQueue(blocks)
        queue.start()
        for _ in range(5):
            await asyncio.sleep(0)
        left = list(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]
        queue.close()
        await asyncio.sleep(0)
        return left

    assert [] == asyncio.run(timers())
