"""Classify: which types of video a clip is, by a vision-language model; keep some, drop others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcurate.errors import ConfigError
from stages.language.engine import Backend
from stages.language.json_answer import Malformed, chosen
from stages.language.judges import Judges, filled, intro_of, some_of, texts_of
from stages.language.windows import Window
from stages.video.samples import a_share

TYPES = {
    "landscape": "land without people as the subject: mountains, forests, deserts, fields",
    "water": "the sea, rivers, lakes, or what is under water",
    "sky": "weather, clouds, sunsets, stars",
    "animals": "animals, wild or tame",
    "plants": "plants, flowers, gardens, seen closely",
    "city": "streets, squares and buildings from outside",
    "interior": "rooms and halls from inside",
    "aerial": "seen from high above, by a drone or an aircraft",
    "driving": "seen from a vehicle that moves on a road or on rails",
    "vehicles": "cars, trains, ships or aircraft as the subject",
    "daily_life": "people at home, in the street, with family or friends",
    "work": "people at a craft, in a factory, on a farm, on a building site",
    "machines": "machines or robots that work",
    "science": "experiments, laboratories, medicine, space, what a microscope shows",
    "cooking": "food being made or eaten",
    "sport": "sport, exercise, martial arts, outdoor adventures",
    "dance": "people who dance",
    "music": "people who sing or play instruments, concerts",
    "speech": "talks, interviews, meetings, somebody who speaks to the camera",
    "news": "a news programme or a report",
    "lesson": "something is explained or shown step by step",
    "advertisement": "a product, a brand or a fashion that is presented to be sold",
    "fiction": "a scene that actors play: films, series, theatre",
    "animation": "drawn, animated or made by a computer",
    "video_game": "a video game being played",
    "screen": "the screen of a computer or phone, slides, text",
    "surveillance": "filmed by a fixed camera that watches a place",
}
"""Types of video, in words that a model is asked with. Another text is another `version`."""

INTRO = """Look at this {kind}. Which of the types in the list does it belong to? It may be several, or none.

{types}"""
PLACEHOLDER = "{types}"
KEY = "types"
FORM = '{"types": ["…", "…"]}, with the names of those that it belongs to; an empty list if it is none of them'
"""What is between the brackets is no name, so that a model that repeats it has given no answer."""


class Classify(Judges):
    """Say which types of video each window of a clip, or an image, belongs to; drop clips for it.

    A window has any number of types, as `types`. It is rejected if one of them is in `block`, or if there is an
    `allow` and none of them is in it. A clip with more rejected windows than `max_rejected` is dropped. Without both
    lists none is, but for an answer that cannot be read.
    """

    version = 1

    def __init__(  # noqa: PLR0913 - what a person may set
        self,
        model: str = "qwen3-vl-8b",
        types: Sequence[str] | Mapping[str, str | None] | None = None,
        allow: Sequence[str] | None = None,
        block: Sequence[str] | None = None,
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
            types: those that there are instead of ours: a list of names of ours, or names with what they mean (null:
                ours).
            allow: types of which a window has to have one; null allows all.
            block: types that a window must not have.
            max_rejected: greatest share of rejected windows of a clip that is kept, 0 … 1; null only notes types.
            prompt: default, or a text of your own with {types} in it; how to answer is added.
            windows: frames, remainder, fps, most: how a clip is cut, and what is seen of it.
            generate: max_tokens, temperature, top_p, repetition_penalty, seed.
            backend: who answers: `transformers` here, `vllm` here, or `openai`: a server that speaks its protocol.
            options: the backend's own.
            server: of backend=openai: url, key, concurrency, …; not part of the fingerprint.
        """
        self._take(model, backend, windows, options, generate, server)
        self.types = texts_of(types, TYPES, "types")
        self.allow, self.block = some_of(allow, self.types, "allow"), some_of(block, self.types, "block")
        for name in self.allow:
            if name in self.block:
                raise ConfigError(f"allow and block: both name {name!r}: leave it out of one")
        share = a_share("max_rejected", max_rejected)
        self.max_rejected = share if self.allow or self.block else None
        self.intro = intro_of(prompt, INTRO, PLACEHOLDER)

    def asked(self, kind: str) -> str:
        """All types at once."""
        return filled(self.intro, kind, PLACEHOLDER, self.types, FORM)

    def read(self, text: str) -> list[str] | Malformed:
        """The types that the answer lists; a name that is none of them makes it malformed."""
        return chosen(text, KEY, self.types)

    def note(self, window: Window, names: list[str]) -> None:
        """As `types`."""
        window.types = names

    def faults(self, names: Sequence[str]) -> list[str]:
        """Each blocked type, or that none is allowed."""
        blocked = [f"type {name} is blocked" for name in names if name in self.block]
        missing = bool(self.allow) and not any(name in self.allow for name in names)
        return blocked or (["no allowed type"] if missing else [])
