"""Simulated time and simulated processes: exactly one thread moves at a time, and a seed says which.

A thread is a greenlet. At each call into its World it pauses for a random time, and the one that is due first moves on;
so the order of all calls of all threads follows from the seed alone. A process that is killed has its threads parked
for ever: nothing is raised into them, because a `finally` that runs is not what SIGKILL does.
"""

from __future__ import annotations

import datetime
import functools
import heapq
import itertools
import random
import traceback
import zlib
from collections.abc import Callable
from typing import Any

import attrs
import greenlet

from hpcurate.system.processes import ProcessIdentity

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
PARKED: list[greenlet.greenlet] = []
"""Threads of the dead, of all episodes: to collect one would raise into it."""


class Violation(BaseException):
    """Something is true that never may be: the invariant, and what was seen. The code that did it cannot catch it."""


@attrs.define(eq=False)
class Host:
    """A machine: a clock of its own, and a cache of the shared storage of its own."""

    name: str
    offset: float = 0.0
    """Seconds that its monotonic clock is ahead of true time."""
    rate: float = 1.0
    skew: float = 0.0
    """Seconds that its wall clock is ahead."""
    frozen_until: float = 0.0
    boots: int = 1
    cluster: str = "sim"
    """The one that its clients of the scheduler ask, and that it belongs to."""
    namespaces: int = 1
    """Processes are spread over so many pid namespaces, which cannot see each other."""
    processes: list[Process] = attrs.field(factory=list, repr=False)


@attrs.define(eq=False)
class Process:
    """A process: some threads, and who it is."""

    kernel: Kernel = attrs.field(repr=False)
    host: Host
    label: str
    identity: ProcessIdentity
    alive: bool = True
    status: int | None = None
    """Exit status, once it has ended by itself."""
    leaving: bool = False
    """It was told to."""
    store: str = ""
    """The one that its command is about."""
    frozen_until: float = 0.0
    answered_late: float = 0.0
    """When a read of it last took long."""
    signals: list[Callable[[], None]] = attrs.field(factory=list, repr=False)
    on_terminate: Callable[[], None] | None = attrs.field(default=None, repr=False)
    """What its handler of SIGTERM does, in its first thread; without one the signal kills."""
    killed_for_memory: bool = False
    on_warning: Callable[[], None] | None = attrs.field(default=None, repr=False)
    """What its handler of SIGUSR2 does; without one the signal kills."""
    at_end: list[Callable[[Process], None]] = attrs.field(factory=list, repr=False)
    main: Thread | None = attrs.field(default=None, repr=False)
    requeue: Callable[[], None] | None = attrs.field(default=None, repr=False)
    """Begins it again, where its scheduler may."""
    children: list[Process] = attrs.field(factory=list, repr=False)
    """Processes that are sent SIGTERM when this one has died."""


@attrs.define(eq=False)
class Thread:
    """One thread of a process."""

    process: Process
    name: str
    let: greenlet.greenlet = attrs.field(repr=False)
    token: int = 0
    """Raised at each pause: an entry of the timetable that has an older one is void."""
    done: bool = False
    joining: list[Thread] = attrs.field(factory=list, repr=False)


class Kernel:
    """Everything that moves, and the order in which it does."""

    def __init__(self, seed: int, *, tempo: Tempo | None = None, tracing: bool = False) -> None:
        self.random, self.tempo = random.Random(seed), tempo or Tempo()
        self.now, self.steps, self.interleaving = 0.0, 0, 0
        self.running: Thread | None = None
        self.hosts: list[Host] = []
        self.processes: dict[ProcessIdentity, Process] = {}
        self.trace: list[Event] | None = [] if tracing else None
        self.violation: BaseException | None = None
        self._timetable: list[tuple[float, float, int, Any, int]] = []
        self._numbers, self._pids = itertools.count(1), itertools.count(100)
        self._hub = greenlet.getcurrent()
        self._threads: list[Thread] = []
        self._stop_at = self._most_steps = 0.0

    # -- what there is ------------------------------------------------------------------------------

    def host(self, name: str, **how: Any) -> Host:
        """One more machine."""
        made = Host(name, offset=self.random.uniform(0, 1e5), **how)
        self.hosts.append(made)
        return made

    def spawn(
        self,
        host: Host,
        label: str,
        main: Callable[[Process], int | None],
        after: float = 0.0,
        parent: Process | None = None,
    ) -> Process:
        """Start a process; `main` is its first thread. A child is in the pid namespace of its parent."""
        pid = next(self._pids)
        namespace = self.random.randrange(host.namespaces) if host.namespaces > 1 else 0
        who = ProcessIdentity(
            parent.identity.host if parent else f"{host.name} boot{host.boots} ns{namespace}", pid, pid * 7
        )
        process = Process(self, host, label, who)
        host.processes.append(process)
        self.processes[who] = process
        process.main = self.thread(process, lambda: self._main(process, main), "main", after)
        return process

    def _main(self, process: Process, main: Callable[[Process], int | None]) -> None:
        status = 1
        try:
            status = main(process) or 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except KeyboardInterrupt:
            status = 130
        except Exception:
            self.exit(process, 1)
            raise
        self.exit(process, status)

    def thread(self, process: Process, action: Callable[[], None], name: str, after: float = 0.0) -> Thread:
        """Start a thread of a process."""
        thread = Thread(process, name, greenlet.greenlet(lambda: self._body(thread, action), self._hub))
        self._threads.append(thread)
        self._at(self.now + after, thread)
        return thread

    def _body(self, thread: Thread, action: Callable[[], None]) -> None:
        try:
            action()
        except Violation as error:
            self.violation = self.violation or error
        except OSError:  # of the simulated storage: told on stderr, and the thread ends
            pass
        except Exception as error:
            error.add_note(f"in {thread.process.label}/{thread.name}: {traceback.format_exc(limit=-6)}")
            self.violation = self.violation or error
        thread.done = True
        for other in thread.joining:
            self.wake(other)

    def exit(self, process: Process, status: int) -> None:
        """The process has ended by itself: daemon threads stop where they are."""
        process.status = status
        self._gone(process)

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        if process.alive:
            self.note(f"! {process.label} is killed")
            self._gone(process)
            if self.running is not None and self.running.process is process:
                self.block()

    def _gone(self, process: Process) -> None:
        process.alive = False
        process.host.processes.remove(process)
        for child in list(process.children):
            self.terminate(child)
        for told in process.at_end:
            told(process)

    def warn(self, process: Process) -> None:
        """SIGUSR2."""
        if process.alive:
            self.signal(process, process.on_warning or functools.partial(self.kill, process))

    def terminate(self, process: Process) -> None:
        """SIGTERM."""
        if not process.alive:
            return
        process.leaving = True
        if process.on_terminate is None:
            self.kill(process)
        else:
            self.signal(process, process.on_terminate)

    def signal(self, process: Process, handler: Callable[[], None]) -> None:
        """Have the handler run in the first thread of a process, as Python does: between two of its steps."""
        if process.alive and process.main is not None:
            process.signals.append(handler)
            self.wake(process.main)

    def kill_host(self, host: Host) -> None:
        """The machine loses power, and boots again."""
        self.note(f"! host {host.name} dies")
        host.boots += 1
        for process in list(host.processes):
            self.kill(process)

    # -- moving -------------------------------------------------------------------------------------

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._timetable, (when, self.random.random(), next(self._numbers), action, 0))

    def _at(self, when: float, thread: Thread) -> None:
        thread.token += 1
        heapq.heappush(self._timetable, (when, self.random.random(), next(self._numbers), thread, thread.token))

    def run(self, until: float, most_steps: int, over: Callable[[], bool] = lambda: False) -> bool:
        """Move until the time, or the number of steps, or nothing is left to move, or `over`; True for the last two."""
        self._stop_at, self._most_steps = until, most_steps
        while self._timetable and self.violation is None:
            when, _, _, what, token = self._timetable[0]
            if when > until or self.steps > most_steps:
                return False
            heapq.heappop(self._timetable)
            if isinstance(what, Thread):
                self._resume(when, what, token)
            else:
                self.now = max(self.now, when)
                try:
                    what()
                except Violation as error:
                    self.violation = self.violation or error
            if over():
                return True
        return True

    def _resume(self, when: float, thread: Thread, token: int) -> None:
        process = thread.process
        if thread.token != token or not process.alive or thread.done:
            return
        frozen = max(process.frozen_until, process.host.frozen_until)
        if frozen > when:
            self._at(frozen, thread)
            return
        self.now, self.running = max(self.now, when), thread
        thread.let.switch()
        self.running = None

    def park(self) -> None:
        """Nobody moves any more."""
        PARKED.extend(thread.let for thread in self._threads if not thread.done)

    def suspend(self, until: float) -> None:
        """The running thread waits for a time, or until it is woken."""
        thread, due = self.running, self._timetable[0][0] if self._timetable else float("inf")
        assert thread is not None
        if until < due and until <= self._stop_at and self.steps <= self._most_steps and not thread.process.signals:
            self.now = until  # nobody else is due before
            return
        self._at(until, thread)
        self._hub.switch()
        if thread.process.signals and thread is thread.process.main:
            self._deliver(thread.process)

    def block(self) -> None:
        """The running thread waits until it is woken, or for ever."""
        thread = self.running
        assert thread is not None
        thread.token += 1
        self._hub.switch()
        if thread.process.signals and thread is thread.process.main:
            self._deliver(thread.process)

    @staticmethod
    def _deliver(process: Process) -> None:
        while process.signals:
            process.signals.pop(0)()

    def wake(self, thread: Thread) -> None:
        """Let a waiting thread go on now."""
        if not thread.done and thread.process.alive and thread is not self.running:
            self._at(self.now, thread)

    def step(self, what: str, detail: str = "") -> None:
        """A call of the running thread into its World: it happens after a pause in which anybody may move."""
        thread = self.running
        if thread is None:  # somebody who looks at the true state
            return
        self.steps += 1
        self.interleaving = zlib.crc32(f"{thread.process.label}{thread.name}{what}{detail}".encode(), self.interleaving)
        self.suspend(self.now + self.tempo.pause(self, thread))

    def at_least(self, seconds: float) -> float:
        """Who polls every moment is late most of the time: a busy machine, and fewer steps in which nothing happens."""
        return seconds * self.random.uniform(1, 150 if seconds < 1 else 12) if seconds <= 2 else seconds

    # -- telling ------------------------------------------------------------------------------------

    def note(self, what: str, result: object = "") -> None:
        """Keep for the trace what somebody did and saw."""
        if self.trace is not None:
            who = f"{self.running.process.label}/{self.running.name}" if self.running else "·"
            self.trace.append(Event(self.now, who, what, str(result)))


@attrs.define(frozen=True)
class Event:
    """A line of a trace."""

    time: float
    who: str
    what: str
    saw: str

    def __str__(self) -> str:
        saw = f"  → {self.saw[:150]}" if self.saw else ""
        return f"{self.time:10.3f}  {self.who:24} {self.what}{saw}"


@attrs.define(kw_only=True)
class Tempo:
    """How long a step takes, in seconds."""

    usual: float = 0.02
    slow: float = 0.03
    """Share of the steps of a thread that take up to `slow_s`."""
    slow_s: float = 3.0
    stops: float = 0.0
    """Share of the steps before which the whole process, or its machine, stands still for up to `stops_s`."""
    stops_s: float = 900.0
    quiet: bool = False

    def pause(self, kernel: Kernel, thread: Thread) -> float:
        """Of one step."""
        chance = kernel.random.random()
        if chance < self.stops and not self.quiet:
            length = kernel.random.uniform(1, self.stops_s)
            what: Process | Host = thread.process if kernel.random.random() < 0.8 else thread.process.host
            what.frozen_until = max(what.frozen_until, kernel.now + length)
            kernel.note(f"! {'process' if isinstance(what, Process) else what.name} stands still", f"{length:.0f} s")
            return length
        if chance < self.stops + self.slow:
            return kernel.random.uniform(0, self.slow_s)
        return kernel.random.random() * self.usual


# -- what a process is given ----------------------------------------------------------------------------


class SimEvent:
    """See `hpcurate.system.clock.Event`."""

    def __init__(self, process: Process) -> None:
        self._process, self._set = process, False
        self._waiting: list[Thread] = []

    def set(self) -> None:
        """See `Event`."""
        self._set = True
        for thread in self._waiting:
            self._process.kernel.wake(thread)

    def is_set(self) -> bool:
        """See `Event`."""
        return self._set

    def wait(self, timeout: float) -> bool:
        """See `Event`."""
        kernel = self._process.kernel
        end, me = kernel.now + kernel.at_least(timeout) / self._process.host.rate, kernel.running
        assert me is not None
        while not self._set and kernel.now < end:
            self._waiting.append(me)
            kernel.suspend(end)
            self._waiting.remove(me)
        return self._set


class SimLock:
    """Between the threads of one process; not held twice by one."""

    def __init__(self, process: Process) -> None:
        self._kernel = process.kernel
        self._owner: Thread | None = None
        self._waiting: list[Thread] = []

    def __enter__(self) -> None:
        me = self._kernel.running
        assert me is not None
        assert self._owner is not me, "a lock is taken twice by one thread"
        while self._owner is not None:
            self._waiting.append(me)
            self._kernel.block()
        self._owner = me

    def __exit__(self, *exc: object) -> None:
        self._owner = None
        waiting, self._waiting = self._waiting, []
        for thread in waiting:
            self._kernel.wake(thread)


class SimThread:
    """See `hpcurate.system.clock.Thread`."""

    def __init__(self, thread: Thread) -> None:
        self._thread = thread

    def is_alive(self) -> bool:
        """See `Thread`."""
        return not self._thread.done

    def join(self, timeout: float) -> None:
        """See `Thread`."""
        kernel = self._thread.process.kernel
        end, me = kernel.now + kernel.at_least(timeout) / self._thread.process.host.rate, kernel.running
        assert me is not None
        while not self._thread.done and kernel.now < end:
            self._thread.joining.append(me)
            kernel.suspend(end)
            self._thread.joining.remove(me)


class SimClock:
    """See `hpcurate.system.clock.Clock`: the time of one host."""

    def __init__(self, process: Process) -> None:
        self._process, self._kernel = process, process.kernel

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._process.host.offset + self._kernel.now * self._process.host.rate

    def now(self) -> datetime.datetime:
        """See `Clock`."""
        return EPOCH + datetime.timedelta(seconds=self._kernel.now + self._process.host.skew)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        end = self._kernel.now + seconds / self._process.host.rate
        while self._kernel.now < end:
            self._kernel.suspend(end)

    def event(self) -> SimEvent:
        """See `Clock`."""
        return SimEvent(self._process)

    def lock(self) -> SimLock:
        """See `Clock`."""
        return SimLock(self._process)

    def start(self, action: Callable[[], None], name: str) -> SimThread:
        """See `Clock`."""
        return SimThread(self._kernel.thread(self._process, action, name))


class SimProcesses:
    """See `hpcurate.system.processes.Processes`: what one process sees of others."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def mine(self) -> ProcessIdentity:
        """See `Processes`."""
        return self._process.identity

    def alive(self, process: ProcessIdentity) -> bool | None:
        """See `Processes`."""
        self._process.kernel.step("alive?", f"{process.pid}")
        if process.host != self._process.identity.host:
            return None
        found = self._process.kernel.processes.get(process)
        return found is not None and found.alive

    def terminate(self, process: ProcessIdentity) -> None:
        """See `Processes`."""
        if self.alive(process):
            self._process.kernel.terminate(self._process.kernel.processes[process])
