"""The stage in a process of its own, in its own environment and session: start, give a shard, wait, kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress

import attrs
import msgspec

from hpcurate.failures import Ending
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.channel import Channel, ChannelClosed, Listener, NoMessage
from hpcurate.stage_process.messages import Broken, Done, Hello, Message, Ready, Refused, ShardJob
from hpcurate.store.heartbeat import AtWork
from hpcurate.system.memory import MemoryGroup, used_mb
from hpcurate.system.processes import Watched, descendants, resident_mb, session_members, writers_under
from hpcurate.system.programs import activated
from hpcurate.worker.hosts import Ahead, Hosts, Log, SetupFailed, ShardEnded, hello_of
from hpcurate.worker.hosts.command import cache_variables, prefix_variables, stage_variables, start_command
from hpcurate.worker.hosts.exchange import Exchange
from hpcurate.worker.hosts.forked import Forked, fork
from hpcurate.worker.hosts.stacks import write_stacks
from hpcurate.worker.node_staging import NodeStaging, Place

SETTLE_S = 1.0
"""How long files of an attempt may stay open for writing after the stage reported that it is done."""
GRACE_S = 2.0
"""How much later than its stage process a supervisor may hear that the job is to leave."""
START_S = 0.2
"""How often a container that has not connected yet is looked at."""


class StageProcess:
    """The stage in a process of its own, in its own environment and session."""

    def __init__(
        self,
        plan: Plan,
        info: WorkerInfo,
        place: Place,
        log: Log,
        forked: Forked | None = None,
        printed: int | None = None,
    ) -> None:
        """`printed`: a descriptor for what a process that is started prints; None: where this one prints."""
        self._plan, self._info, self._place, self._log, self._forked = plan, info, place, log, forked
        self._printed = printed
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._keeper: Watched | None = None
        self._session: int | None = None
        self._channel: Channel | None = None
        self._exchange: Exchange | None = None
        self._killed = False
        self._memory, self._kills = MemoryGroup.here(), 0

    def start(self) -> Ready:
        """See `StageHost`."""
        return self._ask(check=False)

    def check(self) -> Ready:
        """Start it, and have it import what the stage needs; nothing is set up. Raises SetupFailed."""
        return self._ask(check=True)

    def guard(self) -> None:
        """Start it, and have it keep the stage's `node_server` until `close`. Raises SetupFailed."""
        self._connect()
        assert self._channel is not None
        with suppress(ChannelClosed):  # it has died: `ended` tells
            self._channel.send(msgspec.structs.replace(self._hello(), guard=True))

    def ended(self) -> bool:
        """Whether it was started, and has ended: then nothing of it is left, also where somebody killed its keeper."""
        if self._process is None:
            return False
        if self._process.poll() is None:
            self._session = self._session or self._first_below()
            return False
        self._stop_hard()
        return True

    def hang_up(self) -> None:
        """Let it leave by itself; `close` waits for it."""
        if self._channel:
            self._channel.hang_up()

    def _hello(self, *, check: bool = False) -> Hello:
        return hello_of(self._plan, self._info, self._place, self._late_variables(), check=check)

    def _ask(self, *, check: bool) -> Ready:
        self._connect()
        assert self._process is not None
        assert self._channel is not None
        try:
            self._channel.send(self._hello(check=check))
            answer = self._channel.receive(None if check else self._plan.stage.setup_timeout)
        except ChannelClosed:
            raise SetupFailed(f"the stage process {_how_it_ended(self._process)} during setup") from None
        except NoMessage as error:
            raise SetupFailed(f"{INTRUDER}: {error}") from None
        if answer is None:
            raise self._never_ready()
        if isinstance(answer, Refused):
            raise SetupFailed(f"{answer.error}: {answer.message}", answer.traceback)
        if not isinstance(answer, Ready):
            raise SetupFailed(f"the stage process answered {type(answer).__name__} to the first message")
        self._session = self._first_below()
        return answer

    def _first_below(self) -> int | None:
        """Pid of the stage process itself, which is its session's, below its keeper."""
        return next(iter(descendants(self._keeper.pid)), None) if self._keeper else None

    def _never_ready(self) -> SetupFailed:
        stage = self._plan.stage
        where = write_stacks(f"stacks of the setup of {stage.name}:", self._below(), self._log)
        self._stop_hard()
        took = f"setup took over {stage.setup_timeout:g} s (stages.{stage.name}.setup_timeout)"
        return SetupFailed(f"{took}; where it was: {where}")

    def _late_variables(self) -> dict[str, str]:
        """What a forked process, which is older than its place, cannot have inherited; in a container, all of it."""
        env = self._place.env
        given = {**os.environ, **(prefix_variables(env) if env.prefix else {})}
        caches = cache_variables(self._place.folder, env.digest, given)
        return {**stage_variables(self._plan, self._info), **caches} if env.container else caches

    def _connect(self) -> None:
        """The channel to a process that waits for its first message."""
        if self._channel:
            self._channel.close()
        end, keeper = self._contained() if self._place.env.container else self._child()
        self._keeper = Watched(keeper) if keeper else None
        self._channel = Channel(end, self._keeper)
        self._exchange = Exchange(self._channel)
        self._kills = self._memory.kills()

    def _child(self) -> tuple[socket.socket, int]:
        if self._forked is not None:
            self._process, self._forked = self._forked, None
            return self._process.channel, self._process.pid
        ours, theirs = socket.socketpair()
        with theirs:
            process = self._launch(str(theirs.fileno()), os.getpid(), (theirs.fileno(),))
        return ours, process.pid

    def _contained(self) -> tuple[socket.socket, int]:
        listener = Listener()
        try:
            process = self._launch(f"@{listener.address}", 0, ())
            while True:
                connection = listener.accept(START_S)
                if connection is not None:
                    return connection
                if process.poll() is not None:
                    raise SetupFailed(
                        f"the container's command {_how_it_ended(process)} before a stage process came up in it: "
                        f"{' '.join(self._place.env.python)}; what it printed is in the log"
                    )
        finally:
            listener.close()

    def _launch(self, address: str, parent: int, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        plan = self._plan
        command = start_command(
            self._place.env, plan.code, plan.store, "hpcurate.stage_process.main", address, str(parent)
        )
        try:
            process = subprocess.Popen(
                command,
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise SetupFailed(f"env: {command[0]} does not start on this node: {error.strerror}") from None
        self._process = process
        if self._killed:  # while it was started: whoever did so saw no process yet
            self._stop_hard()
        return process

    def _environment(self) -> dict[str, str]:
        variables, env = stage_variables(self._plan, self._info), self._place.env
        if env.prefix:
            return {**activated(env.prefix, os.environ), **variables, **prefix_variables(env)}
        return {**os.environ, **variables}

    def run(self, job: ShardJob, ahead: Ahead | None = None) -> Done:
        """See `StageHost`. A process that has ended is set up again for the next shard."""
        if self._killed:
            raise ShardEnded(Ending.FREE, "drained")
        begun = self._exchange is not None and self._exchange.has_begun(job)
        if self._process is None or (self._process.poll() is not None and not begun):
            self.start()
        assert self._exchange is not None
        try:
            answer = self._exchange.run(job, ahead)
            if answer is None:
                raise self._too_late(job)
            return self._finish(job, answer, ahead)
        except ChannelClosed:
            raise self._ended(job) from None
        except NoMessage as error:
            raise self._intruded(job, error) from None

    def _finish(self, job: ShardJob, message: Message, ahead: Ahead | None) -> Done:
        if isinstance(message, Broken) and message.kind in (Ending.CRASH, Ending.OOM):
            raise self._of_no_use(job, message)
        if isinstance(message, Broken) and message.kind is Ending.FREE:
            raise SetupFailed(message.message, message.traceback)
        if isinstance(message, Broken):
            raise ShardEnded(message.kind, f"{message.said}\n{message.traceback}")
        if not isinstance(message, Done):
            raise NoMessage(f"a {type(message).__name__} is no answer to a shard")
        assert self._exchange is not None
        self._exchange.begin_next(ahead)
        self._wait_for_writers(job)
        return message

    def _of_no_use(self, job: ShardJob, message: Broken) -> ShardEnded:
        """No task is to blame for what it would say of the others, nor is one before it had the memory to itself."""
        self._stop_hard()
        if message.kind is Ending.OOM:
            detail, of_next = f"not enough main memory: {message.said}", Ending.FREE
        else:
            lost = _LOST.get(message.error, "lost a process of `prepare`")
            detail, of_next = f"the stage process {lost} and was ended: {message.message}", message.kind
        self._log(f"{message.traceback}\n{detail} ({message.kind.value}); {self._in_flight(job)}")
        ended = self._end_of(job, message.kind, detail, of_next=of_next)
        return self._with_peak(ended, message.peak_mb)

    def _with_peak(self, ended: ShardEnded, used: int) -> ShardEnded:
        """Where memory ran out: with what the job had in use if the kernel killed for it, else what was `used`."""
        if ended.ending is not Ending.OOM:
            return ended
        killed = self._memory.kills() > self._kills
        return attrs.evolve(ended, peak_mb=(killed and self._memory.peak_mb()) or used)

    def _too_late(self, job: ShardJob) -> ShardEnded:
        """It hangs, or is too slow: its stacks are written, then all of it is ended."""
        assert self._exchange is not None
        flying, seconds = self._exchange.in_work(job), job.timeout or 0.0
        where = write_stacks(f"stacks of shard {job.shard} after {seconds:g} s:", self._below(), self._log)
        self._stop_hard()
        one = f"{'group' if job.groups else 'task'} {flying[0]}" if len(flying) == 1 else ""
        what = one or f"a batch ({', '.join(flying[:3])}, …)"
        detail = f"{what} took over {seconds:g} s; where it was: {where}"
        ended = self._end_of(job, Ending.TIMEOUT, detail, of_next=Ending.FREE)
        return attrs.evolve(ended, seconds=seconds)

    def _in_flight(self, job: ShardJob) -> str:
        assert self._exchange is not None
        ids = self._exchange.in_work(job) + self._exchange.in_work(self._exchange.ahead)
        return f"in flight: {', '.join(ids[:3]) or 'nothing'}"

    def _end_of(self, job: ShardJob, ending: Ending, detail: str, of_next: Ending | None = None) -> ShardEnded:
        """How a shard ends with its process, and the one ahead with it: each with its own tasks in flight."""
        exchange = self._exchange
        assert exchange is not None
        mine = ShardEnded(ending, detail, exchange.in_work(job))
        if exchange.ahead is None:
            return mine
        why = f"with its stage process, which had another shard, too: {detail}"
        next_one = ShardEnded(of_next or ending, why, exchange.in_work(exchange.ahead), shared=True)
        return attrs.evolve(mine, shared=True, ahead=next_one)

    def _wait_for_writers(self, job: ShardJob) -> None:
        """No process of the stage may still write into the attempt, by a descriptor or a memory map (I11)."""
        deadline = time.monotonic() + SETTLE_S
        while writers := writers_under(job.directory, self._below()):
            if time.monotonic() > deadline:
                pid, path = writers[0]
                self._stop_hard()
                why = f"process {pid} can still write {path!r}; close files before process() returns, memory maps too"
                raise attrs.evolve(self._end_of(job, Ending.ERROR, why, of_next=Ending.FREE), shared=False)
            time.sleep(0.05)

    def _ended(self, job: ShardJob) -> ShardEnded:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        how = _how_it_ended(self._process)
        self._stop_hard()
        deadline = time.monotonic() + GRACE_S
        while self._process.returncode == -signal.SIGTERM and not self._killed and time.monotonic() < deadline:
            time.sleep(0.05)  # a requeue signals all processes of a job at once: ours may come a moment later
        if self._killed:
            return self._end_of(job, Ending.FREE, "drained")
        ending = Ending.CRASH
        if self._process.returncode == -signal.SIGKILL and self._memory.kills() > self._kills:
            ending = Ending.OOM
        self._log(f"stage process {how} ({ending.value}); {self._in_flight(job)}")
        ended = self._end_of(job, ending, f"the stage process {how}")
        return self._with_peak(ended, used_mb())

    def _intruded(self, job: ShardJob, error: NoMessage) -> ShardEnded:
        self._stop_hard()
        if self._killed:
            return self._end_of(job, Ending.FREE, "drained")
        self._log(f"{INTRUDER}: {error} (crash); {self._in_flight(job)}")
        return self._end_of(job, Ending.CRASH, f"{INTRUDER}: {error}")

    def at_work(self) -> AtWork | None:
        """See `StageHost`."""
        return self._exchange.at_work() if self._exchange else None

    def used_mb(self) -> int:
        """MiB that the stage's processes have in use."""
        return resident_mb(self._below()) if self._process else 0

    def kill(self) -> None:
        """See `StageHost`. The shard in work, if any, is handed back."""
        self._killed = True
        self._stop_hard()

    def close(self) -> None:
        """See `StageHost`. teardown() gets ten seconds."""
        if self._forked:
            self._forked.channel.close()  # never asked to do anything
        if self._channel:
            self._channel.close()
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self._stop_hard()

    def _leave_container(self, process: subprocess.Popen[bytes] | Forked) -> None:
        """What runs in it may be no child of ours: it sees that we hang up, and its command is asked to end it."""
        if self._channel:
            self._channel.hang_up()
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(LEAVE_S)

    def _stop_hard(self) -> None:
        """Kill every process of the stage: none may write after its attempt has ended. Its keeper leaves then."""
        if self._process is None:
            return
        if self._place.env.container:
            self._leave_container(self._process)
        deadline = time.monotonic() + LEAVE_S
        while self._process.poll() is None:
            below = self._below() if time.monotonic() < deadline else []
            for pid in below or (self._process.pid,):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_S)
        if self._session is not None:  # somebody may have killed the keeper, which would have left nobody
            for pid in session_members(self._session):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._session = None

    def _below(self) -> list[int]:
        """Pids of all that the stage started, and of itself: below its keeper, which may be no child of ours."""
        assert self._process is not None
        found = descendants(self._process.pid) if self._process.poll() is None else []
        if self._keeper and not self._keeper.gone():
            found += descendants(self._keeper.pid)
        return [pid for pid in dict.fromkeys(found) if not self._keeper or pid != self._keeper.pid]


LEAVE_S = 5.0
"""How long a container's command, or a keeper, may take to end what is below it, before it is killed."""
_LOST = {"GpuLost": "lost its GPU", "ProgramKilled": "lost its program"}
KILL_S = 0.05
"""How often it is looked again whether anything is left."""
INTRUDER = "the stage's code wrote to a descriptor that it did not open, the channel to its worker"


def _how_it_ended(process: subprocess.Popen[bytes] | Forked) -> str:
    code = process.poll()
    if code is None:
        return "closed its channel"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with status {code}"


class ProcessHosts(Hosts):
    """See `Hosts`: forked where the stage shares the worker's environment, so that nothing is imported twice."""

    threads = True

    def __init__(self) -> None:
        self._forked: dict[int, Forked] = {}

    def prepare(self, plan: Plan, infos: list[WorkerInfo]) -> None:
        """See `Hosts`."""
        if plan.stage.env.python:
            return
        import hpcurate.stage_process.main  # noqa: F401 - once, for all of them

        for info in infos:
            self._forked[info.process] = fork(_Serve(plan, info), list(self._forked.values()))

    def staging(self, plan: Plan, submission: str, log: Log) -> NodeStaging:
        """See `Hosts`."""
        return NodeStaging(plan, submission, log=log)

    def host(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> StageProcess:
        """See `Hosts`."""
        return StageProcess(plan, info, place, log, self._forked.pop(info.process, None))

    def close(self) -> None:
        """See `Hosts`."""
        for unused in self._forked.values():
            unused.channel.close()


class _Serve:
    """What a forked stage process does: as a started one, in the variables of one."""

    def __init__(self, plan: Plan, info: WorkerInfo) -> None:
        self._plan, self._info = plan, info

    def __call__(self, end: socket.socket, parent: int) -> None:
        from hpcurate.stage_process.main import serve_channel

        os.environ.update(stage_variables(self._plan, self._info))
        serve_channel(end, parent)
