"""The stage process: runs in the stage's environment and turns shard jobs into rows and files.

Started by the supervisor as `python …/child.py <descriptor>`; it speaks over the inherited socket, dies
with its supervisor, and needs Python 3.9, attrs and msgspec, nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import platform
import shutil
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import attrs

from hpcurate.model import lend_weights
from hpcurate.process import die_with_parent, pin
from hpcurate.spec import StageSpec, from_spec
from hpcurate.stage import Stage, WorkerInfo, members
from hpcurate.worker.protocol import PROTOCOL, Channel, ChannelClosed, Message
from hpcurate.worker.shard import ShardJob, ShardRunner


def build_runner(hello: Message) -> ShardRunner:
    """Construct the stage, set it up on the node if nobody has, and set it up in this process."""
    stage = from_spec(StageSpec(**hello["spec"]), secrets=True)
    if hello["weights"]:
        cache = tempfile.mkdtemp(prefix="hpcurate-hub-")
        atexit.register(shutil.rmtree, cache, ignore_errors=True)
        lend_weights(hello["weights"], cache)
    told = hello["worker"]
    info = WorkerInfo(**{**told, "gpus": tuple(told["gpus"]), "cores": tuple(told["cores"])})
    pin(info.cores)
    once_per_node(stage, hello["node_key"])
    stage.setup(info)
    return ShardRunner(stage, threads=info.cpus, name=hello["stage"])


def once_per_node(stage: Stage[Any, Any], key: str) -> None:
    """Run `setup_on_node` unless another process of the same submission did so on this node.

    The lock lies in a node-local folder, where flock is reliable.
    """
    if all(type(member).setup_on_node is Stage.setup_on_node for member in members(stage)):
        return
    node = os.environ.get("SLURMD_NODENAME") or platform.node()
    folder = Path(tempfile.gettempdir(), f"hpcurate-{os.getuid()}", f"{node}-{key}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if not done.exists():
            stage.setup_on_node(node)
            done.touch()


def environment() -> dict[str, str]:
    """What the stage really ran in; recorded with each shard."""
    names = ("numpy", "torch", "transformers", "av", "cv2", "scenedetect")
    versions = {n: str(getattr(sys.modules[n], "__version__", "?")) for n in names if n in sys.modules}
    return {"python": platform.python_version(), "prefix": sys.prefix, **versions}


def describe(error: BaseException) -> dict[str, str]:
    """An exception as a message carries it."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False))
    return {"error": type(error).__name__, "message": str(error), "traceback": trace[-6000:]}


def serve(channel: Channel) -> None:
    """Answer the supervisor until it closes the channel."""
    hello = channel.receive()
    if hello is None or hello.get("protocol") != PROTOCOL:
        channel.send("refused", error="Protocol", message=f"this side speaks protocol {PROTOCOL}", traceback="")
        return
    try:
        runner = build_runner(hello)
    except Exception as error:
        channel.send("refused", **describe(error))
        return
    channel.send("ready", environment=environment())
    try:
        while True:
            message = channel.receive()
            if message is not None:
                _answer(channel, runner, message)
    except ChannelClosed:
        runner.close()


def _answer(channel: Channel, runner: ShardRunner, message: Message) -> None:
    job = ShardJob(**{**message["job"], "inputs": [tuple(i) for i in message["job"]["inputs"]]})
    try:
        counts = runner.run(job, lambda ids: channel.send("started", tasks=ids))
    except Exception as error:
        channel.send("broken", **describe(error))
        return
    channel.send("done", counts=attrs.asdict(counts), environment=environment())


def main() -> None:
    """Entry of the stage process."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    with open("/proc/self/oom_score_adj", "w") as score:  # rather this process than its supervisor
        score.write("500")
    channel = Channel(socket.socket(fileno=descriptor))
    with contextlib.suppress(ChannelClosed):
        serve(channel)


if __name__ == "__main__":
    main()
