"""The stage process: runs in the stage's environment and turns shard jobs into rows and files.

Started by the supervisor with the number of an inherited descriptor, or, in a container, `@` and the name of a
socket; it dies with its supervisor, and needs Python 3.9, attrs and msgspec, nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import platform
import queue
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Optional

import attrs
import msgspec

from hpcurate.errors import PipelineError, ProgramKilled, SetupLost, StoreFailed
from hpcurate.failures import Ending
from hpcurate.masks import known, mask
from hpcurate.members import resolve_types
from hpcurate.model import provide_weights
from hpcurate.node.place import node_name
from hpcurate.spec import find_task, from_spec
from hpcurate.stage import NodeInfo, Stage, members
from hpcurate.stage_process.adjusting import adjust
from hpcurate.stage_process.batches import PrepareDied
from hpcurate.stage_process.channel import Channel, ChannelClosed, NoMessage, apart, connect
from hpcurate.stage_process.device import keep_to_share, seen_gpu
from hpcurate.stage_process.gpu_errors import GpuLost
from hpcurate.stage_process.imports import not_imported
from hpcurate.stage_process.keeper import keep
from hpcurate.stage_process.messages import (
    PROTOCOL,
    Broken,
    Done,
    Hello,
    Message,
    NodeSetup,
    Ready,
    Refused,
    ShardJob,
)
from hpcurate.stage_process.prepare import Preparer, has_prepare
from hpcurate.stage_process.program import own_crash
from hpcurate.stage_process.raised import RAISED, described, out_of_memory, trace_of
from hpcurate.stage_process.runner import Runner, runner_of
from hpcurate.stage_process.stacks import write_on_signal
from hpcurate.system.memory import used_mb
from hpcurate.system.processes import end_by, pin


def build_runner(hello: Hello) -> tuple[Runner, Optional[NodeSetup]]:
    """Construct the stage, set it up on the node if nobody has, and set it up in this process.

    (what runs its shards, what this process made on the node).
    """
    os.environ.update(hello.variables)
    known()  # before the stage's code may take them out of the environment
    stage = construct(hello, secrets=True)
    if hello.weights:
        cache = tempfile.mkdtemp(prefix="hpcurate-hub-")
        atexit.register(shutil.rmtree, cache, ignore_errors=True)
        provide_weights(hello.weights, cache, hello.remote_code)
    pin(hello.worker.cores)
    made = once_per_node(stage, hello.node_setup, hello.node_folder)
    worker = attrs.evolve(hello.worker, node_folder=made.path if made else None)
    keep_to_share(worker.device, worker.gpu_share)
    stage.setup(worker)
    keep_to_share(worker.device, worker.gpu_share)
    preparer = _preparer(hello) if has_prepare(stage) else None
    runner = runner_of(stage, threads=hello.worker.cpus, name=hello.stage, preparer=preparer, folder=hello.node_folder)
    return runner, made if made and made.copied_files else None


def _preparer(hello: Hello) -> Optional[Preparer]:
    if hello.prepare != "processes":
        return None
    from hpcurate.stage_process.prepare_pool import InProcesses  # few stages need it

    return InProcesses(hello)


def construct(hello: Hello, *, secrets: bool = False) -> Stage[Any, Any]:
    """The stage, for the class of tasks that it is given. Raises PipelineError or ConfigError."""
    stage = from_spec(hello.spec, secrets=secrets)
    if hello.takes:
        try:
            resolve_types(stage, find_task(hello.takes))
        except PipelineError as error:
            raise PipelineError(
                f"{error}; {hello.stage} is given these tasks: their class belongs into a module that imports only "
                "what all the environments after it have"
            ) from None
    return stage


def check_imports(hello: Hello) -> list[str]:
    """Construct the stage, and import what its classes need; `module: reason` of each that fails."""
    os.environ.update(hello.variables)
    stage = construct(hello)
    found = [f"{name}: there is no such program in PATH" for member in members(stage) for name in member.lacks()]
    files: dict[str, set[str]] = {}
    for kind in {type(member) for member in members(stage)}:
        path = getattr(sys.modules[kind.__module__], "__file__", None)
        if path:
            files.setdefault(path, set()).add(kind.__qualname__.partition(".")[0])
    for path, classes in sorted(files.items()):
        with open(path, encoding="utf-8") as file:
            found += not_imported(file.read(), classes)
    return list(dict.fromkeys(found))


def once_per_node(stage: Stage[Any, Any], name: str, folder: str) -> Optional[NodeSetup]:
    """Run `setup_on_node` unless another process did so on this node since it booted; what it made, where."""
    if all(type(member).setup_on_node is Stage.setup_on_node for member in members(stage)):
        return None
    from hpcurate.node.items import NodeItems
    from hpcurate.node.once import once_per_boot

    items = NodeItems(folder)
    atexit.register(items.close)  # until then nobody removes the folder
    made = once_per_boot(items, name, lambda made: stage.setup_on_node(NodeInfo(name=node_name(), folder=made)))
    return NodeSetup(
        path=made.path, copied_files=made.copied_files, copied_bytes=made.copied_bytes, seconds=made.seconds
    )


def environment(device: str) -> dict[str, str]:
    """What the stage really ran in and on; recorded with each shard."""
    names = ("numpy", "torch", "transformers", "av", "cv2")
    versions = {n: str(getattr(sys.modules[n], "__version__", "?")) for n in names if n in sys.modules}
    return {"python": platform.python_version(), "prefix": sys.prefix, **versions, "device": device, **seen_gpu(device)}


def serve(channel: Channel) -> None:
    """Answer the supervisor until it closes the channel."""
    hello: Optional[Message] = None
    with contextlib.suppress(NoMessage):  # one of another protocol
        hello = channel.receive()
    if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
        channel.send(Refused(error="Protocol", message=f"this side speaks protocol {PROTOCOL}"))
        return
    if hello.guard:
        from hpcurate.stage_process.server_guard import keep_server  # few stages have one

        os.environ.update(hello.variables)
        return keep_server(hello, channel, construct)
    try:
        if hello.check:
            channel.send(Ready(environment=environment(hello.worker.device), not_imported=check_imports(hello)))
            return
        runner, made = build_runner(hello)
    except RAISED as error:
        channel.send(Refused(error=type(error).__name__, message=mask(str(error)), traceback=trace_of(error)))
        return
    leave_to_stay()
    channel.send(Ready(environment=environment(hello.worker.device), made=made))
    try:
        for job in _jobs(channel, runner):
            _run(channel, runner, job, hello.worker.device)
    except ChannelClosed:
        runner.close()
    finally:
        channel.hang_up()  # whatever else may still run, or hang, in here


def leave_to_stay() -> None:
    """What is there after set-up stays: a collection looks at none of it again, as each would after a few batches."""
    gc.collect()
    gc.freeze()


def _jobs(channel: Channel, runner: Runner) -> Iterator[ShardJob]:
    """The shards to run, one after the other. Raises ChannelClosed, NoMessage."""
    if not runner.looks_ahead:
        while True:
            message = channel.receive()
            if isinstance(message, ShardJob) and not message.ahead:  # there is nothing to prepare
                yield message
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(channel, runner, jobs), daemon=True).start()
    while True:
        job = jobs.get()
        if isinstance(job, BaseException):
            raise job
        yield job


def _read(channel: Channel, runner: Runner, jobs: queue.SimpleQueue[Any]) -> None:
    """Read while the shard before is processed: the next one's first batches are prepared meanwhile."""
    try:
        while True:
            message = channel.receive()
            if isinstance(message, ShardJob) and message.ahead:
                runner.hold(msgspec.structs.replace(message, ahead=False), channel.send)
            elif isinstance(message, ShardJob):
                jobs.put(message)
    except BaseException as error:
        jobs.put(error)


def _run(channel: Channel, runner: Runner, job: ShardJob, device: str) -> None:
    try:
        if job.adjusted is not None:
            adjust(runner.stage, from_spec(job.adjusted, secrets=True))
        counts = runner.run(job, channel.send)
    except RAISED as error:
        if isinstance(error, ProgramKilled) and not own_crash(error.number):
            end_by(error.number)
        kind, message, trace = described(error)
        channel.send(Broken(kind=_ending(error), error=kind, message=mask(message), traceback=trace, peak_mb=used_mb()))
        return
    channel.send(Done(counts=counts, environment=environment(device)))


def _ending(error: BaseException) -> Ending:
    if out_of_memory(error):
        return Ending.OOM
    if isinstance(error, (GpuLost, PrepareDied, ProgramKilled)):
        return Ending.CRASH
    if isinstance(error, SetupLost):
        return Ending.FREE
    return Ending.STORE if isinstance(error, StoreFailed) else Ending.ERROR


def main() -> None:
    """Entry of the stage process."""
    address, parent = sys.argv[1], int(sys.argv[2])
    serve_channel(connect(address[1:]) if address.startswith("@") else socket.socket(fileno=int(address)), parent)


def serve_channel(end: socket.socket, parent: int) -> None:
    """Serve until the supervisor hangs up, below a keeper; `parent`, if not 0, is the supervisor's process."""
    keep(end, parent)
    channel = Channel(apart(end))
    channel.close_in_children()
    write_on_signal()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")  # rather this process than its supervisor
    with contextlib.suppress(ChannelClosed):
        serve(channel)


if __name__ == "__main__":
    main()
