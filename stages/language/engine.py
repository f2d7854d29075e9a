"""Who answers: models that run here, or a server. One interface, chosen by `backend`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from hpcurate import NodeInfo, NodeServer, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.fields import convert
from hpcurate.model import Model
from stages.language.asks import Answer, Ask, Generate, Ready

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

Backend = Literal["transformers", "vllm", "openai"]
ENGINES = {
    ("transformers", "video"): "stages.language.vision_language:VisionLanguageModel",
    ("transformers", "text"): "stages.language.language_model:LanguageModel",
    ("vllm", "video"): "stages.language.vllm:VllmEngine",
    ("vllm", "text"): "stages.language.vllm:VllmEngine",
    ("openai", "video"): "stages.language.endpoint:Endpoint",
    ("openai", "text"): "stages.language.endpoint:Endpoint",
}
"""(backend, what it is asked about) → its class."""


class Engine(Model):
    """Answers questions. Made in the driver: the constructor looks at its arguments and imports nothing heavy."""

    node_server: NodeServer | None = None
    """A program that the nodes run beside the stage, and that answers."""

    def __init__(self, name: str, generate: Generate, options: Mapping[str, Any], server: Mapping[str, Any]) -> None:
        """Check what is asked for; a subclass fills a class of its own from `options`, and from `server`.

        Args:
            name: of the model, in conf/models or as its server calls it.
            generate: how answers are made.
            options: the backend's own; part of the fingerprint.
            server: where it is and how much it is asked at once; no part of the fingerprint.
        """
        self.name, self.generate = name, generate

    @property
    def deterministic(self) -> bool:
        """Whether it gives the same answers to the same batches."""
        return self.generate.temperature == 0

    @property
    def fit(self) -> Callable[[Picture], Picture] | None:
        """Makes a picture as large as the model sees it; None: it takes any. Called where pictures are decoded."""
        return None

    def on_node(self, node: NodeInfo) -> None:
        """Once per node, before any `start` there: what is made in a folder of its own below `node.folder`, `start`
        finds below `worker.node_folder`. Stages of one chain share these.
        """

    def start(self, worker: WorkerInfo) -> None:
        """Load the model, or reach the server. Raises ConfigError for weights of something else."""
        raise NotImplementedError

    def ready(self, ask: Ask) -> Ready:
        """What can be done ahead: tokens, pixels. Called in threads, or in processes, beside `answers`."""
        return Ready(ask)

    def answers(self, asked: Sequence[Ready]) -> list[Answer]:
        """One for each, in the same order. Raises what it was that went wrong: no answer is made up."""
        raise NotImplementedError

    def stop(self) -> None:
        """At the end of the stage process."""


def engine_of(
    about: Literal["video", "text"],
    model: str,
    backend: str,
    *,
    options: Mapping[str, Any] | None,
    generate: Mapping[str, Any] | None,
    server: Mapping[str, Any] | None,
) -> Engine:
    """The engine that a stage's parameters name. Raises ConfigError."""
    if (backend, about) not in ENGINES:
        raise ConfigError(f"backend: {backend}: there is no such backend; there are: transformers, vllm, openai")
    if server and backend != "openai":
        raise ConfigError(f"server: belongs to backend=openai, this stage has backend={backend}")
    module, _, name = ENGINES[backend, about].partition(":")
    cls: type[Engine] = getattr(import_module(module), name)
    return cls(model, convert(Generate, generate or {}, "generate"), options or {}, server or {})
