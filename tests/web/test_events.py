"""Topics: what is kept, what a late stream sees, how streams end; without a server."""

from __future__ import annotations

import asyncio
import json
from threading import Thread
from typing import Any

import msgspec
import pytest

from hpcurate.web.events import LAST, Topic, json_of


class Place(msgspec.Struct):
    """Any value."""

    name: str


def numbers(stream: bytes) -> list[int]:
    """Of the events in it."""
    return [int(line[4:]) for line in stream.splitlines() if line.startswith(b"id: ")]


def read(topic: Topic, seen: int = 0) -> bytes:
    """A stream to its end."""

    async def all_of_it() -> bytes:
        return b"".join([block async for block in topic.stream(seen)])

    return asyncio.run(all_of_it())


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [1, None]}, {"a": [1, None]}),
        (Place("x"), {"name": "x"}),
        (float("nan"), None),
        ("two\nlines\u2028", "two\nlines\u2028"),
        ({"\udc80a": Place("b\udcff\ud800"), "n": float("inf")}, {"���a": {"name": "b������"}, "n": None}),
    ],
)
def test_any_value_is_one_line_of_json(value: Any, plain: Any) -> None:
    """Also the name of a file whose bytes are no text."""
    line = json_of(value)
    assert b"\n" not in line
    assert plain == json.loads(line)


def test_who_comes_late_sees_what_is_kept() -> None:
    """The newest, by number and by size; the last one always."""
    topic = Topic(most_events=3)
    for number in range(5):
        topic.publish("a", number)
    topic.end()
    assert [3, 4, 5] == numbers(read(topic))
    assert [5] == numbers(read(topic, seen=4))
    assert [] == numbers(read(topic, seen=9))
    small = Topic(most_bytes=10)
    for _ in range(3):
        small.publish("a", "x" * 100)
    small.end()
    assert [3] == numbers(read(small))


def test_the_end_is_said_once_and_nothing_comes_behind_it() -> None:
    """So that a page closes its stream, which a browser would open again."""
    topic = Topic()
    topic.end()
    topic.publish("late", 1)
    assert (LAST, True) == (read(topic), topic.ended)


@pytest.mark.parametrize("name", ["", "a\nb", "a b", "a:b"])
def test_an_event_has_a_plain_name(name: str) -> None:
    """Another would be more than a name in the stream."""
    with pytest.raises(ValueError, match="events are named as variables are"):
        Topic().publish(name, 1)


def test_what_threads_publish_reaches_all_streams() -> None:
    """In one order, without gaps."""
    topic = Topic()

    async def follow() -> list[bytes]:
        streams = [asyncio.ensure_future(one()) for _ in range(3)]
        await asyncio.sleep(0)
        threads = [Thread(target=lambda: [topic.publish("a", n) for n in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        topic.end()
        return await asyncio.gather(*streams)

    async def one() -> bytes:
        return b"".join([block async for block in topic.stream()])

    first, *others = asyncio.run(follow())
    assert list(range(1, 401)) == numbers(first)
    assert [first] * 2 == others


def test_a_loop_that_is_gone_stops_nobody() -> None:
    """A stream that nobody finished belongs to it."""
    topic = Topic()

    async def begin() -> Any:
        stream = topic.stream()
        topic.publish("a", 1)
        await anext(stream)
        return stream

    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(begin())
    loop.close()
    topic.publish("a", 2)
    topic.end()
    assert [1, 2] == numbers(read(topic))
    del left
