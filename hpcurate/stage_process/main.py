"""The stage process: runs in the stage's environment and turns shard jobs into rows and files.

Started by the supervisor with the number of an inherited descriptor, or, in a container, `@` and the name of a
socket; it dies with its supervisor, and needs Python 3.9, attrs and msgspec, nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import shutil
import socket
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING, Any, Optional

import attrs

from hpcurate.model import lend_weights
from hpcurate.node.place import node_name
from hpcurate.spec import StageSpec, from_spec
from hpcurate.stage import NodeInfo, Stage, WorkerInfo, members
from hpcurate.stage_process.imports import not_imported
from hpcurate.stage_process.messages import PROTOCOL, Channel, ChannelClosed, Message, connect
from hpcurate.stage_process.runner import ShardJob, ShardRunner
from hpcurate.system.processes import die_with_parent, pin

if TYPE_CHECKING:
    from hpcurate.node.items import StagedItem

TEARDOWN_S = 10.0
"""How long a stage in a container may take to tear down once its supervisor is gone."""


def build_runner(hello: Message) -> tuple[ShardRunner, dict[str, Any]]:
    """Construct the stage, set it up on the node if nobody has, and set it up in this process.

    (what runs its shards, what this process made on the node; empty if another had).
    """
    os.environ.update(hello["variables"])
    stage = from_spec(StageSpec(**hello["spec"]), secrets=True)
    if hello["weights"]:
        cache = tempfile.mkdtemp(prefix="hpcurate-hub-")
        atexit.register(shutil.rmtree, cache, ignore_errors=True)
        lend_weights(hello["weights"], cache)
    told = hello["worker"]
    info = WorkerInfo(**{**told, "gpus": tuple(told["gpus"]), "cores": tuple(told["cores"])})
    pin(info.cores)
    made = once_per_node(stage, hello["node_setup"], hello["node_folder"])
    stage.setup(attrs.evolve(info, node_folder=made.path if made else None))
    told = attrs.asdict(made) if made and made.copied_files else {}
    return ShardRunner(stage, threads=info.cpus, name=hello["stage"]), told


def check_imports(hello: Message) -> list[str]:
    """Construct the stage, and import what its modules do; `module: reason` of each that fails."""
    os.environ.update(hello["variables"])
    stage = from_spec(StageSpec(**hello["spec"]))
    files = {getattr(sys.modules[type(member).__module__], "__file__", None) for member in members(stage)}
    found = []
    for path in sorted(file for file in files if file):
        with open(path, encoding="utf-8") as file:
            found += not_imported(file.read())
    return found


def once_per_node(stage: Stage[Any, Any], name: str, folder: str) -> Optional[StagedItem]:
    """Run `setup_on_node` unless another process did so on this node since it booted; what it made, where."""
    if all(type(member).setup_on_node is Stage.setup_on_node for member in members(stage)):
        return None
    from hpcurate.node.items import NodeItems
    from hpcurate.node.once import once_per_boot

    items = NodeItems(folder)
    atexit.register(items.close)  # until then nobody removes the folder
    return once_per_boot(items, name, lambda made: stage.setup_on_node(NodeInfo(name=node_name(), folder=made)))


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
        if hello.get("check"):
            wrong = check_imports(hello)
            channel.send("ready", environment=environment(), not_imported=wrong)
            return
        runner, made = build_runner(hello)
    except Exception as error:
        channel.send("refused", **describe(error))
        return
    channel.send("ready", environment=environment(), made=made)
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
    address, parent = sys.argv[1], int(sys.argv[2])
    if address.startswith("@"):
        channel = Channel(connect(address[1:]))
        channel.on_end(lambda: os._exit(1), TEARDOWN_S)  # the supervisor may be no ancestor of ours
    else:
        channel = Channel(socket.socket(fileno=int(address)))
    serve_channel(channel, parent)


def serve_channel(channel: Channel, parent: int) -> None:
    """Serve until the supervisor hangs up; die with it where it is our parent, which is not 0 then."""
    if parent:
        die_with_parent(parent)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")  # rather this process than its supervisor
    with contextlib.suppress(ChannelClosed):
        serve(channel)


if __name__ == "__main__":
    main()
