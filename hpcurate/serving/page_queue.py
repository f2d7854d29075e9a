"""Gradio's queue without its polling: its own looks a thousand times a second whether something waits."""

from __future__ import annotations

import asyncio
from typing import Any

from gradio import queueing

__all__ = ["PushedQueue"]

EVENTS = 200
"""Calls of the page at once, of all browsers: the service has a bound of its own, this is for those who wait."""


class PushedQueue(queueing.Queue):  # type: ignore[misc, unused-ignore]
    """Starts a call when it comes, or when another ends; nothing runs meanwhile.

    As of Gradio 6.31: `start_processing`, `start_progress_updates` and `notify_clients` are its three loops. The first
    is written again, on an event instead of a sleep; progress bars of Gradio are not used, and estimates not shown.
    """

    stopped: bool

    def __init__(self, blocks: Any) -> None:
        super().__init__(
            live_updates=True,  # no third loop
            concurrency_count=EVENTS,
            update_intervals=1,
            max_size=EVENTS,
            blocks=blocks,
            default_concurrency_limit=None,
        )
        self.ANALYTICS_MAX_EVENTS = EVENTS
        self._wake = asyncio.Event()

    def compute_analytics_summary(self, records: Any) -> Any:
        """For its dashboard, which we do not have: with each call a table of the last ten thousand."""
        return self.cached_event_analytics_summary

    async def push(self, *args: Any, **kwargs: Any) -> Any:
        """A call comes."""
        pushed = await super().push(*args, **kwargs)
        self._wake.set()
        return pushed

    async def process_events(self, *args: Any, **kwargs: Any) -> None:
        """A call, to its end."""
        try:
            await super().process_events(*args, **kwargs)
        finally:
            self._wake.set()

    async def start_processing(self) -> None:
        """Start what waits, as long as there is room."""
        try:
            while not self.stopped:
                self._wake.clear()
                while None in self.active_jobs and await self._start_next():
                    pass
                await self._wake.wait()
        finally:
            self.stopped = True
            self._cancel_asyncio_tasks()

    async def _start_next(self) -> bool:
        async with self.delete_lock:
            batch = self.get_events()
        if batch is None:
            return False
        events, is_batch, concurrency = batch
        self.active_jobs[self.active_jobs.index(None)] = events
        self.event_queue_per_concurrency_id[concurrency].current_concurrency += 1
        started = asyncio.get_running_loop().time()
        task = asyncio.create_task(self.process_events(events, is_batch, started, events[0].fn))
        self._asyncio_tasks.add(task)
        task.add_done_callback(self._asyncio_tasks.discard)
        return True

    async def start_progress_updates(self) -> None:
        """Nothing: progress is what the page's own calls yield."""

    def close(self) -> None:
        """Start nothing more."""
        super().close()
        self._wake.set()
