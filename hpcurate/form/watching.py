"""One thread looks at the runs that somebody watches, for all who do. At what nobody watches nobody looks."""

from __future__ import annotations

import threading
import traceback
from collections.abc import AsyncIterator, Callable

import attrs

from hpcurate.web.events import Topic

__all__ = ["Sight", "Watching"]

FIRST_S, EVERY_S = 0.25, 2.0
"""Between two looks at the store: soon after somebody has come, then each time twice as long."""


@attrs.define(frozen=True)
class Sight:
    """What is shown of a run now."""

    html: str
    moves: bool
    """Whether there will be more to see."""


@attrs.define
class _Watched:
    topic: Topic = attrs.field(factory=lambda: Topic(most_events=1))
    watchers: int = 0
    html: str = ""


class Watching:
    """Pushes what is seen of a run, while it moves."""

    def __init__(self, look: Callable[[str], Sight], every_s: float = EVERY_S) -> None:
        self._look, self._every_s = look, every_s
        self._watched: dict[str, _Watched] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    async def stream(self, id: str) -> AsyncIterator[bytes]:
        """Server-sent events `seen`, each with what is shown from now on; then the end."""
        with self._changed:
            watched = self._watched.setdefault(id, _Watched())
            watched.watchers += 1
            self._begin()
            self._changed.notify()
        try:
            async for data in watched.topic.stream():
                yield data
        finally:
            with self._changed:
                watched.watchers -= 1
                if not watched.watchers and self._watched.get(id) is watched:
                    del self._watched[id]

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        pause_s = FIRST_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._watched)
                now = list(self._watched.items())
            for id, watched in now:
                self._show(id, watched)
            with self._changed:
                new = self._changed.wait_for(self._somebody_is_new, min(pause_s, self._every_s))
            pause_s = FIRST_S if new else min(2 * pause_s, self._every_s)

    def _somebody_is_new(self) -> bool:
        return any(not watched.html for watched in self._watched.values())

    def _show(self, id: str, watched: _Watched) -> None:
        try:
            sight = self._look(id)
        except Exception:  # one that cannot be looked at must not end the sight of all others
            watched.html = watched.html or " "
            traceback.print_exc()
            return
        if sight.html != watched.html:
            watched.topic.publish("seen", sight.html)
            watched.html = sight.html
        if not sight.moves:
            with self._changed:
                if self._watched.get(id) is watched:
                    del self._watched[id]
            watched.topic.end()
