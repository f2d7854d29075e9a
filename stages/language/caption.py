"""Caption: what happens in each window of a clip, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcurate import Resources
from stages.language.asks import Answer, Ask
from stages.language.engine import Backend
from stages.language.prompts import CAPTION, OF_IMAGES, prompt_of
from stages.language.thoughts import spoken
from stages.language.windowed import AsksOfWindows, Seen
from stages.language.windows import Window
from stages.vision.tasks import VisualTask


class Caption(AsksOfWindows):
    """Describe each window of a clip, or an image, by a vision-language model.

    A window has its text, how the answer ended (`status`), and the tokens of question and answer. An empty answer is
    a window without a caption and with the status `empty`.
    """

    resources = Resources(cpus=4, gpus=1, memory="48GB", time="8h")
    batch_size = 8
    adjustable = ("prompt",)
    version = 1

    def __init__(
        self,
        model: str = "qwen3-vl-8b",
        prompt: str = "default",
        windows: Mapping[str, Any] | None = None,
        generate: Mapping[str, Any] | None = None,
        backend: Backend = "transformers",
        options: Mapping[str, Any] | None = None,
        server: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the model, and what it is asked.

        Args:
            model: a name in conf/models; with backend=openai the server's name of it.
            prompt: default, short, driving, surveillance, image, or a text of your own.
            windows: frames, remainder, fps, most: how a clip is cut, and what is seen of it.
            generate: max_tokens, temperature, top_p, repetition_penalty, seed.
            backend: who answers: `transformers` here, `vllm` here, or `openai`: a server that speaks its protocol.
            options: the backend's own.
            server: of backend=openai: url, key, concurrency, …; not part of the fingerprint.
        """
        self._take(model, backend, windows, options, generate, server)
        self.prompt = prompt_of(prompt, CAPTION)

    def question(self, task: VisualTask, seen: Seen) -> Ask:
        """The same of all videos, and of all images."""
        prompt = self.prompt if seen.times_s else OF_IMAGES.get(self.prompt, self.prompt)
        return Ask(prompt, pictures=seen.pictures, times_s=seen.times_s)

    def answered(self, task: VisualTask, windows: Sequence[tuple[Window, Answer]]) -> VisualTask:
        """The clip, its windows filled in."""
        for window, answer in ((window, spoken(answer)) for window, answer in windows):
            window.caption, window.status, window.model = answer.text or None, answer.status, self.model.name
            window.prompt_tokens, window.output_tokens = answer.prompt_tokens, answer.output_tokens
        return task
