"""Stages that ask a model, whatever about: the engine's life is the stage process's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from hpcurate import CurrentOr, NodeInfo, Stage, Task, WorkerInfo
from stages.language.engine import Engine, engine_of

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)


class Asking(Stage[In, Out]):
    """Base: its `model` is an engine. A subclass writes `process`, and perhaps `prepare`."""

    model: Engine
    operational = ("server",)

    def _take_engine(
        self,
        about: Literal["video", "text"],
        model: str,
        backend: str,
        options: Mapping[str, Any] | None,
        generate: Mapping[str, Any] | None,
        server: Mapping[str, Any] | None,
    ) -> None:
        """Who answers: the parameters that all of them have."""
        if backend == "vllm":
            self.env = CurrentOr("vllm")  # type: ignore[misc]
        self.model = engine_of(about, model, backend, options=options, generate=generate, server=server)
        self.node_server = self.model.node_server
        self.deterministic = self.model.deterministic  # type: ignore[misc]

    def setup_on_node(self, node: NodeInfo) -> None:
        """What the engine makes once for all processes of a node."""
        self.model.on_node(node)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the model, or reach the server."""
        self.model.start(worker)

    def teardown(self) -> None:
        """Let go of both."""
        self.model.stop()
