"""What a model is asked about a window: variants by name, or text of one's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion

CAPTION = {
    "default": (
        "Describe this video for somebody who cannot see it: who and what appears, where it takes place, what happens "
        "and in which order, how the camera moves, and what the light and the mood are. Say only what can be seen."
    ),
    "short": "Say in one sentence what happens in this video.",
    "driving": (
        "This video was taken from a moving vehicle. Describe the road and its lanes, signs and signals, the weather "
        "and the light, other road users and what each of them does, and how the vehicle itself moves."
    ),
    "surveillance": (
        "This video was taken by a fixed camera. Describe the place, who or what enters and leaves, what each does "
        "and in which order, and anything unusual. Do not guess at what is hidden."
    ),
    "image": "Describe this image for somebody who cannot see it: what it shows, where, the light and the style.",
}
"""Variants for captions."""

OF_IMAGES = {
    CAPTION["default"]: CAPTION["image"],
    CAPTION["short"]: "Say in one sentence what this image shows.",
}
"""What an image is asked instead: nothing moves in it, and nothing happens in an order."""

ENHANCE = {
    "default": (
        "Below is what somebody wrote about a video or an image. Write it again as one fluent and vivid paragraph that "
        "says more precisely what is seen: add nothing that contradicts it, and no names, numbers or events that it "
        "does not have. Answer with the new description alone."
    ),
    "short": (
        "Say in one sentence what the video or image shows that is described below. Answer with that sentence alone."
    ),
    "plain": (
        "Below is what somebody wrote about a video or an image. Write it again in plain words: leave out what is said "
        "twice, what is a guess and what is about the writing itself. Answer with the new description alone."
    ),
}
"""Variants for what a language model makes of a caption, which follows."""


def prompt_of(value: str, variants: Mapping[str, str]) -> str:
    """The text of a variant, or the value itself if it is text. Raises ConfigError for one word that is no variant."""
    if value in variants:
        return variants[value]
    if re.fullmatch(r"[\w.-]*", value.strip(), re.ASCII):  # not all languages have spaces
        raise ConfigError(
            f"prompt: {value!r} is no variant; {suggestion(value, variants)}; or write a text of your own"
        )
    return value
