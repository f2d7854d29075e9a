"""Requests in their order, and the stage processes that answer them."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from hpcurate.errors import UserError
from hpcurate.serving.infer_fields import infer_task, is_asked_by_request
from hpcurate.serving.lane import Interrupted, Lane, Request
from hpcurate.serving.plans import Planner, Way
from hpcurate.serving.served import Cancelled, Event, Failed, Given, OutFile, Queued, Result, Served
from hpcurate.serving.service import NotAccepted, Unfit
from hpcurate.serving.tasks import plain_values, task_of
from hpcurate.serving.values import own_of, refuse_meant
from hpcurate.serving.waiting import Waiting
from hpcurate.stage import members
from hpcurate.units import plural
from hpcurate.worker.hosts import Log, SetupFailed

__all__ = ["Service"]

TICK_S = 0.25
"""How often the memory of the processes is looked at."""
MOST_KEPT = 200
"""Results that are kept at once: the endpoint remembers as many."""
END_S = 15.0
"""How long a process that is ended may take to be gone."""
_ID = re.compile(r"[0-9a-f]{32}")


class Service:
    """See `Answers`. Its threads: one for each worker, and one that looks after them."""

    def __init__(
        self,
        served: Served,
        planner: Planner,
        folder: str,
        lanes: Callable[[int], Lane],
        log: Log,
        tick: Callable[[], None] = lambda: None,
        until: float | None = None,
    ) -> None:
        """`folder`: of the server; requests have theirs below it. `tick` is called now and then. `until`: when its job
        ends, in seconds since the epoch.
        """
        self.served, self._planner, self._log = served, planner, log
        self._tick, self._until = tick, until
        self._requests = os.path.join(folder, "requests")
        os.makedirs(self._requests, 0o700, exist_ok=True)
        self._usual = planner.plan({})
        self._lanes = [lanes(number) for number in range(served.limits.workers)]
        self._changed = threading.Condition()
        self._waiting: Waiting[Request] = Waiting(served.limits.queue)
        self._moved = False
        """Whether those that wait have other places than they were told."""
        self._known: dict[str, Request] = {}
        self._ready, self._broken = 0, 0
        """Workers that are set up, and those that could not be."""
        self._state: Literal["starting", "ready", "ending"] = "starting"
        self._answered = 0
        self.failure: SetupFailed | None = None
        """Why no worker could be set up."""

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Set the workers up; requests may come already."""
        for lane in self._lanes:
            threading.Thread(target=self._work, args=(lane,), name=f"worker-{lane.number}", daemon=True).start()
        threading.Thread(target=self._look_after, name="look-after", daemon=True).start()

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Whether a worker is set up; waits for the first. Raises SetupFailed where none can be."""
        with self._changed:
            none = len(self._lanes)
            self._changed.wait_for(lambda: self._ready or self._broken == none or self._state == "ending", timeout)
            if self.failure and self._broken == none:
                raise self.failure
            return self._ready > 0

    @property
    def busy(self) -> int:
        """Requests that wait or are in work."""
        return len(self._waiting) + len(self._in_work())

    def close(self, grace_s: float) -> None:
        """See `Answers`."""
        with self._changed:
            self._state = "ending"
            given_up = [request for _, request in self._waiting.places()]
            for request in given_up:
                self._waiting.remove(request.id)
            self._changed.notify_all()
        for request in given_up:
            self._end(request, Failed(kind="ending", stage="", message="the server is ending"))
        with self._changed:
            self._changed.wait_for(lambda: not self._in_work(), grace_s)
        for lane in self._lanes:
            lane.interrupt("ending")
        with self._changed:
            self._changed.wait_for(lambda: not self._in_work(), END_S)
        with ThreadPoolExecutor(len(self._lanes)) as each:  # each may take long
            list(each.map(Lane.close, self._lanes))
        shutil.rmtree(self._requests, ignore_errors=True)

    def _in_work(self) -> list[str]:
        return [lane.request for lane in self._lanes if lane.request]

    # -- requests: any thread -----------------------------------------------------------------------

    def folder_for(self) -> tuple[str, str]:
        """See `Answers`."""
        with self._changed:
            self._refuse_more()
        name = secrets.token_hex(16)
        folder = os.path.join(self._requests, name)
        os.mkdir(folder, 0o700)
        return name, folder

    def submit(self, given: Given, tell: Callable[[Event], None]) -> None:
        """See `Answers`."""
        try:
            request = self._checked(given, tell)
            with self._changed:
                self._refuse_more()
                self._known[request.id] = request
                request.place = self._waiting.add(request.id, request)
                request.tell(Queued(request.place))
                self._changed.notify_all()
        except BaseException:
            self.discard(given.id)
            raise

    def _checked(self, given: Given, tell: Callable[[Event], None]) -> Request:
        with self._changed:
            self._refuse_more()  # before it is checked: that takes a while
        way = self._way(own_of(plain_values(given.parameters, known := self.served.parameters, "parameter"), known))
        first = members(way.steps[0].stage)[0]
        if is_asked_by_request(first, way.takes):
            task = infer_task(way.takes, first, given, self.served.inputs)
        else:
            task = task_of(way.takes, given, self.served.inputs)
        return Request(given.id, given.folder, task, way, lambda event: self._said(given.id, tell, event))

    def _way(self, parameters: dict[str, Any]) -> Way:
        refuse_meant(parameters)
        try:
            return self._planner.plan(parameters) if parameters else self._usual
        except UserError as error:
            raise Unfit({_key_in(str(error), parameters): str(error)}) from None
        except Exception as error:  # a stage's constructor may raise anything
            raise Unfit({"parameters": f"{type(error).__name__}: {error}"}) from None

    def _refuse_more(self) -> None:
        """Raises NotAccepted."""
        if self._state == "ending":
            raise NotAccepted("the server is ending")
        if self._waiting.is_full:
            raise NotAccepted(
                f"{plural(len(self._waiting), 'request')} wait already, which is the most (queue=); try later"
            )

    def cancel(self, request: str) -> bool:
        """See `Answers`."""
        with self._changed:
            known = self._known.get(request)
            if known:
                known.cancelled = True
            waiting = self._waiting.remove(request)
            self._tell_places()
        if waiting:
            self._end(waiting, Cancelled())
            return True
        return any(lane.interrupt("cancelled", request) for lane in self._lanes)

    def discard(self, request: str) -> None:
        """See `Answers`."""
        if _ID.fullmatch(request) and request not in self._known:
            shutil.rmtree(os.path.join(self._requests, request), ignore_errors=True)

    def file(self, request: str, number: int) -> OutFile | None:
        """See `Answers`."""
        found = self._known.get(request)
        files = found.result.files if found and found.result else ()
        return next((file for file in files if file.number == number), None)

    def health(self) -> dict[str, object]:
        """See `Answers`."""
        return {
            "state": self._state,
            "workers": [{"number": lane.number, "request": lane.request} for lane in self._lanes],
            "waiting": len(self._waiting),
            "working": len(self._in_work()),
            "answered": self._answered,
            **({} if self._until is None else {"ends_in_s": max(0.0, round(self._until - time.time()))}),
        }

    # -- a worker's thread --------------------------------------------------------------------------

    def _work(self, lane: Lane) -> None:
        self._set_up(lane)
        while (request := self._next()) is not None:
            self._end(request, self._answer(lane, request))
            self._replace(lane)

    def _replace(self, lane: Lane) -> None:
        try:
            if self._state != "ending":
                lane.replace(self._usual)
        except Exception as error:  # its disk is full: the next request tries again, and hears of it
            self._log(f"worker {lane.number}: {type(error).__name__}: {error}")

    def _set_up(self, lane: Lane) -> None:
        failure = None
        try:
            lane.set_up(self._usual)
        except SetupFailed as error:
            failure = error
        except Exception as error:  # whoever waits is to hear of it
            failure = SetupFailed(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
        if failure:
            self._log(f"worker {lane.number}: setup failed: {failure}\n{failure.traceback}")
        with self._changed:
            self.failure = failure or self.failure
            self._broken += failure is not None
            self._ready += failure is None
            if self._state == "starting":
                self._state = "ready"
            self._changed.notify_all()

    def _next(self) -> Request | None:
        """The next request, once there is one; None when the server ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._state == "ending")
            self._moved = True  # told by another thread: a worker is not to wait until all have heard
            return self._waiting.first()

    def _answer(self, lane: Lane, request: Request) -> Event:
        try:
            return lane.run(request)
        except Interrupted as interrupted:
            if interrupted.cause == "cancelled":
                return Cancelled()
            return Failed(kind="ending", stage="", message="the server is ending")
        except Exception as error:  # the request's folder is gone, its disk is full: the next one is served
            self._log(f"request {request.id}: {type(error).__name__}: {error}")
            return _as_failed(error)

    def _end(self, request: Request, event: Event) -> None:
        with self._changed:
            request.result = event if isinstance(event, Result) else None
            request.until = time.monotonic() + (self.served.limits.keep_s if request.result else 0.0)
            self._answered += 1
            self._changed.notify_all()
        request.tell(event)

    def _tell_moved(self) -> None:
        """Those that wait hear of a new place, at most once a tick."""
        with self._changed:
            if self._moved:
                self._moved = False
                self._tell_places()

    def _tell_places(self) -> None:
        for place, request in self._waiting.places():
            if request.place != place:
                request.place = place
                request.tell(Queued(place))

    def _said(self, request: str, tell: Callable[[Event], None], event: Event) -> None:
        try:
            tell(event)
        except Exception as error:  # whoever listened is gone
            self._log(f"request {request}: nobody hears: {type(error).__name__}: {error}")

    # -- what is looked after -----------------------------------------------------------------------

    def _look_after(self) -> None:
        while self._state != "ending":
            time.sleep(TICK_S)
            for look in (*(lane.check_memory for lane in self._lanes), self._tell_moved, self.forget, self._tick):
                try:
                    look()
                except Exception as error:  # of one; the others are looked after
                    self._log(f"looking after the server: {type(error).__name__}: {error}")

    def forget(self) -> None:
        """Remove the folders of requests whose time is over, and of the oldest of too many."""
        now = time.monotonic()
        with self._changed:
            ended = sorted((one.until, one.id) for one in self._known.values() if one.until is not None)
            too_many = len(ended) - MOST_KEPT
            over = [name for place, (until, name) in enumerate(ended) if until <= now or place < too_many]
            gone = [self._known.pop(name) for name in over]
        for request in gone:
            shutil.rmtree(request.folder, ignore_errors=True)


def _as_failed(error: Exception) -> Failed:
    """Of the server's own doing; where its files lie is nobody's business."""
    said = (error.strerror if isinstance(error, OSError) else None) or error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return Failed(kind="room" if full else "crash", stage="", message=f"{type(error).__name__}: {said}")


def _key_in(message: str, parameters: Mapping[str, object]) -> str:
    """The parameter that a refusal is about, by what it begins with."""
    return next((key for key in parameters if message.startswith(f"stages.{key}")), "parameters")
