"""Generate: a language model answers prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcurate import CurrentOr, Resources
from stages.language.asking import Asking
from stages.language.asks import Ask, Ready
from stages.language.engine import Backend, engine_of
from stages.language.prompt_tasks import PromptTask

READY = "language.ready"
"""Key of `task.memory`: the question, made ready."""


class Generate(Asking[PromptTask, PromptTask]):
    """Answer each prompt, or continue it, where the model knows no conversation."""

    resources = Resources(cpus=2, memory="4GB", time="1h")
    batch_size = 32
    env = CurrentOr("models")
    adjustable = ("system",)
    version = 1

    def __init__(
        self,
        model: str = "smollm2-135m-instruct",
        system: str = "",
        generate: Mapping[str, Any] | None = None,
        backend: Backend = "transformers",
        options: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the model, and how it answers.

        Args:
            model: a name in conf/models, of a causal language model; with backend=openai the server's name of it.
            system: what the model is told about its part; empty: nothing. A task with a `system` of its own has that.
            generate: max_tokens, temperature, top_p, repetition_penalty, seed.
            backend: who answers: `transformers` here, `vllm` here, or `openai`: a server that speaks its protocol.
            options: the backend's own; of transformers: at_once, batching, dtype, template.
            server: of backend=openai: url, key, concurrency, …; not part of the fingerprint.
        """
        self.model = engine_of("text", model, backend, options=options, generate=generate, server=server)
        self.system = system
        self.deterministic = self.model.generate.temperature == 0  # type: ignore[misc]

    def prepare(self, task: PromptTask) -> None:
        """What the engine can do ahead."""
        task.memory[READY] = self._ready(task)

    def process(self, tasks: list[PromptTask]) -> list[PromptTask]:
        """Fill in the answers, how they ended, and the tokens."""
        asked = [task.memory.pop(READY, None) or self._ready(task) for task in tasks]
        for task, answer in zip(tasks, self.model.answers(asked), strict=True):
            task.answer, task.status, task.model = answer.text or None, answer.status, self.model.name
            task.prompt_tokens, task.output_tokens = answer.prompt_tokens, answer.output_tokens
        return tasks

    def _ready(self, task: PromptTask) -> Ready:
        return self.model.ready(Ask(task.prompt, task.system or self.system))
