"""Stages that ask a server of their node, and a guard and a client of one as processes of their own."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from engine_stages import Number

from hpcurate import NodeServer, Stage, WorkerInfo
from hpcurate.node.server import ServerOnNode
from hpcurate.spec import to_spec
from hpcurate.stage_process.channel import Channel
from hpcurate.stage_process.main import construct
from hpcurate.stage_process.messages import Hello
from hpcurate.stage_process.server_guard import keep_server

PROGRAM = str(HERE / "little_server.py")


class Asks(Stage[Number, Number]):
    """Doubles by asking."""

    version = 1
    batch_size = 2

    def __init__(self, notes: str, how: Sequence[str] = (), server: dict[str, Any] | None = None) -> None:
        command = [sys.executable, PROGRAM, "{port}", notes, *how]
        self.node_server = NodeServer(command=command, **(server or {}))  # type: ignore[arg-type]

    def setup(self, worker: WorkerInfo) -> None:
        """Find it."""
        assert worker.node_server is not None
        self.server = ServerOnNode(worker.node_server)
        self.server.where()

    def process(self, tasks: list[Number]) -> list[Number]:
        """One question each."""
        for task in tasks:
            task.value = twice(self.server, task.value)
        return tasks


def twice(server: ServerOnNode, number: int) -> int:
    """Asked until it is answered."""
    lost = ""
    while True:
        state = server.where(lost)
        request = urllib.request.Request(
            f"{state.url}/twice/{number}", headers={"Authorization": f"Bearer {state.key}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = int(answer.read())
        except OSError:
            lost = state.url
        else:
            server.answered()
            return found


def hello(folder: str, stage: Asks) -> Hello:
    """The first message to a guard."""
    worker = WorkerInfo(index=0, process=0, cpus=1, node_server=folder)
    return Hello(
        stage="asks", spec=to_spec(stage), takes="", worker=worker, weights={}, node_setup="", node_folder=folder,
        variables={}, guard=True,
    )  # fmt: skip


def main() -> None:
    """`guard FOLDER NOTES HOW SERVER`: until stdin ends. As a supervisor would start it, but without a keeper."""
    folder, notes, how, server = sys.argv[1:]
    stage = Asks(notes, how=[how] if how else [], server=json.loads(server))
    keep_server(hello(folder, stage), Channel(socket.socket(fileno=0)), construct)


if __name__ == "__main__":
    main()
