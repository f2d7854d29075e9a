"""What a model is asked, and what it answers. Values; whoever answers is an `Engine` (`engine.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from hpcurate.fields import above_zero, option

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

Status = Literal["done", "truncated", "empty"]
"""How an answer ended: by itself; at the most tokens that it may have; without a word."""
T = TypeVar("T")
A = TypeVar("A")


@attrs.define(frozen=True, eq=False)
class Ask:
    """One question to a model: text, perhaps with pictures."""

    prompt: str
    system: str = ""
    """What the model is told about its part; empty: nothing."""
    pictures: Sequence[Picture] = ()
    """Of equal size, (height, width, 3), uint8, in order."""
    times_s: tuple[float, ...] = ()
    """When each picture is shown, in seconds since the first; none: the pictures are no video."""


@attrs.define(frozen=True)
class Answer:
    """What a model said."""

    text: str
    status: Status
    prompt_tokens: int | None
    """Of the question, its pictures included; None: its server does not say."""
    output_tokens: int | None
    """Of the answer, without padding."""


@attrs.define(frozen=True, kw_only=True)
class Generate:
    """How an answer is made. All of it counts in the fingerprint."""

    max_tokens: int = option(512, "tokens of an answer at most; one that is cut off there is `truncated`", minimum=1)
    temperature: float = option(0.0, "0: the most likely token, always; above: chosen at random", minimum=0)
    top_p: float = option(1.0, "of what is chosen at random: the likeliest tokens of this share", check=above_zero)
    repetition_penalty: float = option(1.0, "above 1: words that were said become less likely", check=above_zero)
    seed: int = option(0, "of what is chosen at random", minimum=0)


def answer_of(text: str, *, whole: bool, prompt_tokens: int | None, output_tokens: int | None) -> Answer:
    """An answer without space around it. `whole`: the model ended it by itself. Pure."""
    said = text.strip()
    status: Status = "empty" if not said else "done" if whole else "truncated"
    return Answer(said, status, prompt_tokens, output_tokens)


def by_length(
    items: Sequence[T], length: Callable[[T], int], at_once: int, answer: Callable[[list[T]], list[A]]
) -> list[A]:
    """Answers in the order of `items`, asked for `at_once` at a time: the longest first, neighbours of like length.

    What does not fit into memory shows at once, and little of a batch is padding.
    """
    order = sorted(range(len(items)), key=lambda n: -length(items[n]))
    found: dict[int, A] = {}
    for start in range(0, len(order), at_once):
        part = order[start : start + at_once]
        found.update(zip(part, answer([items[n] for n in part]), strict=True))
    return [found[n] for n in range(len(items))]


@attrs.define(frozen=True, eq=False)
class Ready:
    """A question as its engine wants it: made ahead, on the CPU."""

    ask: Ask
    inputs: Any = None
    """The engine's own."""
    length: int = 0
    """Of the question, in tokens or what stands for them."""
