"""Who looks at a run, how often, and for whom."""

from __future__ import annotations

import asyncio
import threading

from hpcurate.form.watching import Sight, Watching


class Looks:
    """A run that has ended after so many looks."""

    def __init__(self, ends: int) -> None:
        self.count, self.ends = 0, ends
        self.more = threading.Event()

    def look(self, id: str) -> Sight:
        """The next one; at most three before somebody allows more."""
        self.count += 1
        if self.count > 3:
            assert self.more.wait(10)
        return Sight(f"<p>{id} {self.count}", moves=self.count < self.ends)


async def _all(watching: Watching, id: str) -> list[bytes]:
    return [data async for data in watching.stream(id)]


def test_all_who_watch_see_the_same_look() -> None:
    """Three pages: each is shown the newest, and the end; the store is not looked at three times as often."""

    async def three(watching: Watching, looks: Looks) -> list[list[bytes]]:
        pages = [asyncio.create_task(_all(watching, "a")) for _ in range(3)]
        await asyncio.sleep(0)
        looks.more.set()
        return await asyncio.gather(*pages)

    looks = Looks(ends=6)
    seen = asyncio.run(three(Watching(looks.look, every_s=0.01), looks))
    assert 6 == looks.count
    assert all(b"<p>a 6" in b"".join(one) and b"event: end" in one[-1] for one in seen)


def test_nobody_looks_at_what_nobody_watches() -> None:
    """Neither before somebody comes, nor after the last one has left."""

    async def leave(watching: Watching) -> None:
        stream = watching.stream("a")
        assert b"<p>a 1" in await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    looks = Looks(ends=1000)
    watching = Watching(looks.look, every_s=0.001)
    assert 0 == looks.count
    asyncio.run(leave(watching))
    looks.more.set()
    with watching._changed:
        assert {} == watching._watched
    before = looks.count
    threading.Event().wait(0.1)
    assert looks.count <= before + 1, "one look may have been under way"
