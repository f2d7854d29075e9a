"""Filter: drop clips that show what is not wanted, by questions of yes and no to a vision-language model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stages.language.engine import Backend
from stages.language.json_answer import Malformed, booleans
from stages.language.judges import Judges, filled, intro_of, texts_of
from stages.language.windows import Window
from stages.video.samples import a_share

CRITERIA = {
    "slide_show": "It is a slide show: still pictures one after the other, and nothing in them moves.",
    "screen_recording": "It is a recording of the screen of a computer or a phone.",
    "mostly_text": "Text fills most of the picture: slides, titles, credits, a page.",
    "watermark": "A logo, a watermark or the name of a channel lies over the picture.",
    "video_game": "It shows a video game being played.",
    "animation": "It is drawn, animated or made by a computer, not filmed by a camera.",
    "split_screen": "The picture is made of several pictures: side by side, a collage, one within another.",
    "borders": "Bars, a frame or a blurred background fill a part of the picture around the scene itself.",
    "blurred": "The picture is so blurred, or so out of focus, that its details are lost.",
    "dark": "The picture is so dark that it is hard to see what it shows.",
    "shaky": "The camera shakes so much that it is hard to follow what happens.",
    "talking_head": "Somebody speaks to the camera, and hardly anything else happens.",
    "corrupted": "The picture is damaged: blocks, stripes, smeared or missing parts, wrong colours.",
}
"""What makes a clip unfit for training, in words that a model is asked with. Another text is another `version`."""

INTRO = """Look at this {kind}. Decide of each statement in the list whether it is true of most of the {kind}. \
Go only by what can be seen.

{criteria}"""
PLACEHOLDER = "{criteria}"


class Filter(Judges):
    """Drop clips, or images, of which a vision-language model says that they meet criteria.

    Each window of a clip is asked about all criteria at once; it is rejected if it meets any. A clip with more
    rejected windows than `max_rejected` is dropped, and the reason is the criterion that most of them meet. The
    windows of other clips keep what they meet, as `rejected_for`. An answer that cannot be read drops the clip.
    """

    version = 1

    def __init__(
        self,
        model: str = "qwen3-vl-8b",
        criteria: Sequence[str] | Mapping[str, str | None] | None = None,
        max_rejected: float | None = 0.5,
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
            criteria: those that count instead of ours: a list of names of ours, or names with what they mean (null:
                ours).
            max_rejected: greatest share of rejected windows of a clip that is kept, 0 … 1; null only notes what
                windows meet.
            prompt: default, or a text of your own with {criteria} in it; how to answer is added.
            windows: frames, remainder, fps, most: how a clip is cut, and what is seen of it.
            generate: max_tokens, temperature, top_p, repetition_penalty, seed.
            backend: who answers: `transformers` here, `vllm` here, or `openai`: a server that speaks its protocol.
            options: the backend's own.
            server: of backend=openai: url, key, concurrency, …; not part of the fingerprint.
        """
        self._take(model, backend, windows, options, generate, server)
        self.criteria = texts_of(criteria, CRITERIA, "criteria")
        self.max_rejected = a_share("max_rejected", max_rejected)
        self.intro = intro_of(prompt, INTRO, PLACEHOLDER)

    def asked(self, kind: str) -> str:
        """All criteria at once."""
        return filled(self.intro, kind, PLACEHOLDER, self.criteria, form(self.criteria))

    def read(self, text: str) -> list[str] | Malformed:
        """The criteria that hold; each has to be answered."""
        found = booleans(text, self.criteria)
        return found if isinstance(found, Malformed) else [name for name, holds in found.items() if holds]

    def note(self, window: Window, names: list[str]) -> None:
        """As `rejected_for`."""
        window.rejected_for = names

    def faults(self, names: Sequence[str]) -> list[str]:
        """Every criterion is one."""
        return list(names)


def form(criteria: Mapping[str, str]) -> str:
    """The object that is wanted. `true|false` is no value, so that a model that repeats it has given no answer."""
    return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: true|false" for name in criteria) + "}"
