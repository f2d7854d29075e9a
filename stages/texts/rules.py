"""Rules of quality: which values of the measures a text must have. The defaults are those of the papers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion
from stages.texts.measures import MEASURES

Rules = Literal["gopher_quality", "gopher_repetition", "c4", "fineweb"]


@attrs.define(frozen=True)
class Bound:
    """What a measure must be."""

    measure: str
    least: float = -math.inf
    most: float = math.inf


RULES: dict[Rules, tuple[Bound, ...]] = {
    "gopher_quality": (
        Bound("words", 50, 100_000),
        Bound("mean_word_length", 3, 10),
        Bound("symbols_per_word", most=0.1),
        Bound("bullet_lines", most=0.9),
        Bound("ellipsis_lines", most=0.3),
        Bound("alphabetic_words", least=0.8),
        Bound("stop_words", least=2),
    ),
    "gopher_repetition": (  # table A1
        Bound("repeated_lines", most=0.30),
        Bound("repeated_paragraphs", most=0.30),
        Bound("repeated_line_characters", most=0.20),
        Bound("repeated_paragraph_characters", most=0.20),
        *(Bound(f"top_{n}gram", most=most) for n, most in ((2, 0.20), (3, 0.18), (4, 0.16))),
        *(Bound(f"repeated_{n}grams", most=(20 - n) / 100) for n in range(5, 11)),
    ),
    "c4": (  # what C4 does to single lines is not done here: a text is kept as it is, or dropped
        Bound("sentences", least=3),  # the paper's; datatrove's code has 5
        Bound("lorem_ipsum", most=0),
        Bound("curly_brackets", most=0),
    ),
    "fineweb": (
        Bound("ended_lines", least=0.12),
        Bound("repeated_line_characters", most=0.1),  # the paper's; datatrove's code has 0.01
        Bound("short_lines", most=0.67),
        Bound("lines_per_word", most=0.3),  # datatrove's FineWebQualityFilter; not in the paper
    ),
}
"""Sources: see `stages/texts/measures.py`."""
ENGLISH = frozenset(["stop_words"])
"""Measures that say something of English alone."""
SPACED = frozenset(
    ["words", "mean_word_length", "symbols_per_word", "alphabetic_words", "lines_per_word"]
    + [name for name in MEASURES if name.endswith(("gram", "grams"))]
)
"""Measures of words: they say nothing where words are not parted by spaces."""
UNSPACED = frozenset(["zh", "ja", "th", "lo", "km", "my", "bo", "dz"])
"""Languages that are written so."""


def bounds(rules: Iterable[Rules], least: Mapping[str, float], most: Mapping[str, float]) -> tuple[Bound, ...]:
    """One bound a measure: where several rules have one, the stricter; `least` and `most` replace it. Pure.

    Raises ConfigError for a measure that there is not.
    """
    found: dict[str, Bound] = {}
    for bound in (one for each in rules for one in RULES[each]):
        other = found.get(bound.measure, bound)
        found[bound.measure] = Bound(bound.measure, max(bound.least, other.least), min(bound.most, other.most))
    for name in _known("least", least):
        found[name] = attrs.evolve(found.get(name, Bound(name)), least=float(least[name]))
    for name in _known("most", most):
        found[name] = attrs.evolve(found.get(name, Bound(name)), most=float(most[name]))
    return tuple(found.values())


def _known(key: str, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name not in MEASURES:
            raise ConfigError(f"{key}: {name}: no such measure; {suggestion(name, sorted(MEASURES))}")
        yield name


def asked(all_bounds: Sequence[Bound], language: str | None) -> list[Bound]:
    """Those that are asked of a text in a language; None is taken for English. Pure."""
    english, unspaced = language in (None, "en"), language in UNSPACED
    return [
        bound
        for bound in all_bounds
        if (english or bound.measure not in ENGLISH) and not (unspaced and bound.measure in SPACED)
    ]
