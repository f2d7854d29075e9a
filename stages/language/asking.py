"""Stages that ask a model, whatever about: the engine's life is the stage process's."""

from __future__ import annotations

from typing import TypeVar

from hpcurate import NodeInfo, Stage, Task, WorkerInfo
from stages.language.engine import Engine

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)


class Asking(Stage[In, Out]):
    """Base: its `model` is an engine. A subclass writes `process`, and perhaps `prepare`."""

    model: Engine
    operational = ("server",)

    def setup_on_node(self, node: NodeInfo) -> None:
        """What the engine makes once for all processes of a node."""
        self.model.on_node(node)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the model, or reach the server."""
        self.model.start(worker)

    def teardown(self) -> None:
        """Let go of both."""
        self.model.stop()
