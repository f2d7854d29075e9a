"""Enhance: better captions, by a language model that reads the first ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpcurate import Resources
from stages.language.asks import Answer, Ask
from stages.language.engine import Backend
from stages.language.prompts import ENHANCE, prompt_of
from stages.language.thoughts import spoken
from stages.language.windowed import Windowed
from stages.language.windows import Window
from stages.vision.tasks import VisualTask


class Enhance(Windowed):
    """Let a language model write the caption of each window again; the first one is kept beside it.

    A window without a caption is left as it is. An empty answer is a window without an enhanced caption and with the
    `enhanced_status` `empty`.
    """

    resources = Resources(cpus=2, gpus=1, memory="48GB", time="8h")
    batch_size = 32
    adjustable = ("prompt",)
    version = 1

    def __init__(
        self,
        model: str = "qwen2_5-14b-instruct",
        prompt: str = "default",
        generate: Mapping[str, Any] | None = None,
        backend: Backend = "transformers",
        options: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the model, and what it is asked.

        Args:
            model: a name in conf/models; with backend=openai the server's name of it.
            prompt: default, short, plain, or a text of your own; the caption follows it.
            generate: max_tokens, temperature, top_p, repetition_penalty, seed.
            backend: who answers: `transformers` here, `vllm` here, or `openai`: a server that speaks its protocol.
            options: the backend's own.
            server: of backend=openai: url, key, concurrency, …; not part of the fingerprint.
        """
        self._take_engine("text", model, backend, options, generate, server)
        self.prompt = prompt_of(prompt, ENHANCE)

    def asked_about(self, task: VisualTask) -> list[Window]:
        """Those with a caption."""
        return [window for window in task.windows if window.caption]

    def questions(self, task: VisualTask) -> Iterable[Ask]:
        """What is asked of all, and the caption."""
        return (Ask(f"{self.prompt}\n\n{window.caption}") for window in self.asked_about(task))

    def answered(self, task: VisualTask, windows: Sequence[tuple[Window, Answer]]) -> VisualTask:
        """The clip, its windows filled in."""
        for window, answer in ((window, spoken(answer)) for window, answer in windows):
            window.enhanced_caption, window.enhanced_status = answer.text or None, answer.status
            window.enhanced_model = self.model.name
        return task
