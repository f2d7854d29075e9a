"""Measures of a text's quality: pure functions of its words, lines and paragraphs.

Sources: [Gopher] Rae et al. 2021, arXiv:2112.11446, section A.1.1; [C4] Raffel et al. 2020, JMLR 21(140), section 2.2;
[FineWeb] Penedo et al. 2024, arXiv:2406.17557, section 3.6. A word is what stands between spaces, and shares of
characters are of those in words: so a measure does not depend on how a text is set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import attrs

STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
"""[Gopher]: at least two of them are in any English text."""
BULLETS = ("•", "‣", "▪", "●", "◦", "*", "-", "–")
ELLIPSES = ("...", "…")
ENDS = (".", "!", "?", '"', "'", "”", "’", "。", "！", "？", "؟", "।")
"""Terminal punctuation: [C4]'s, and that of scripts which have their own."""
SHORT_LINE = 30
"""Characters of a short line at most. [FineWeb]"""
_SENTENCE = re.compile(r"[.!?。！？؟।]+[\"'”’)\]]*(?=\s|$)|[。！？]")
_PARAGRAPHS = re.compile(r"\n\s*\n")


@attrs.define(frozen=True)
class Parts:
    """A text, taken apart once."""

    text: str
    words: Sequence[str]
    lines: Sequence[str]
    """Those that are not empty, without the spaces around them."""
    paragraphs: Sequence[str]
    """What empty lines part."""


def parts(text: str) -> Parts:
    """Words, lines and paragraphs. Pure."""
    lines = [line for each in text.split("\n") if (line := each.strip())]
    paragraphs = [one for each in _PARAGRAPHS.split(text) if (one := each.strip())]
    return Parts(text, text.split(), lines, paragraphs)


# -- words --------------------------------------------------------------------------------------------


def words(of: Parts) -> float:
    """How many have a letter or a digit."""
    return float(sum(any(map(str.isalnum, word)) for word in of.words))


def mean_word_length(of: Parts) -> float:
    """Characters of a word; 0 without words."""
    return _share(_characters(of.words), len(of.words))


def symbols_per_word(of: Parts) -> float:
    """Of hash signs, or of ellipses, if these are more, to words."""
    ellipses = sum(of.text.count(one) for one in ELLIPSES)
    return _share(max(of.text.count("#"), ellipses), len(of.words))


def alphabetic_words(of: Parts) -> float:
    """Share of the words that have a letter."""
    return _share(sum(any(map(str.isalpha, word)) for word in of.words), len(of.words))


def stop_words(of: Parts) -> float:
    """How many different ones of `STOP_WORDS` there are."""
    return float(len(STOP_WORDS.intersection(word.strip(".,;:!?\"'()").casefold() for word in of.words)))


# -- lines and sentences ------------------------------------------------------------------------------


def bullet_lines(of: Parts) -> float:
    """Share of the lines that begin with a bullet."""
    return _share(sum(line.startswith(BULLETS) for line in of.lines), len(of.lines))


def ellipsis_lines(of: Parts) -> float:
    """Share of the lines that end with an ellipsis."""
    return _share(sum(line.endswith(ELLIPSES) for line in of.lines), len(of.lines))


def ended_lines(of: Parts) -> float:
    """Share of the lines that end with terminal punctuation, an ellipsis not counted."""
    return _share(sum(line.endswith(ENDS) and not line.endswith(ELLIPSES) for line in of.lines), len(of.lines))


def short_lines(of: Parts) -> float:
    """Share of the lines with at most `SHORT_LINE` characters."""
    return _share(sum(len(line) <= SHORT_LINE for line in of.lines), len(of.lines))


def lines_per_word(of: Parts) -> float:
    """Lines after the first, to words: a list has many."""
    return _share(max(len(of.lines) - 1, 0), len(of.words))


def sentences(of: Parts) -> float:
    """How many ends of sentences there are."""
    return float(len(_SENTENCE.findall(of.text)))


def lorem_ipsum(of: Parts) -> float:
    """How often this filler text begins."""
    return float(of.text.casefold().count("lorem ipsum"))


def curly_brackets(of: Parts) -> float:
    """How many: text for people has none, code has."""
    return float(of.text.count("{"))


# -- repetition ---------------------------------------------------------------------------------------


def repeated_lines(of: Parts) -> float:
    """Share of the lines that were there before."""
    return _share(len(of.lines) - len(set(of.lines)), len(of.lines))


def repeated_paragraphs(of: Parts) -> float:
    """Share of the paragraphs that were there before."""
    return _share(len(of.paragraphs) - len(set(of.paragraphs)), len(of.paragraphs))


def repeated_line_characters(of: Parts) -> float:
    """Share of the characters in lines that were there before."""
    return _share(_characters(of.lines) - _characters(set(of.lines)), _characters(of.lines))


def repeated_paragraph_characters(of: Parts) -> float:
    """Share of the characters in paragraphs that were there before."""
    return _share(_characters(of.paragraphs) - _characters(set(of.paragraphs)), _characters(of.paragraphs))


def top_ngram(n: int) -> Callable[[Parts], float]:
    """Share of the characters in the most frequent run of n words, if it is there twice; of several the longest."""

    def measure(of: Parts) -> float:
        counts = Counter(_ngrams(of.words, n))
        often = max(counts.values(), default=0)
        longest = max((_characters(ngram) for ngram, count in counts.items() if count == often), default=0)
        return min(_share(often * longest, _characters(of.words)), 1.0) if often > 1 else 0.0

    return measure


def repeated_ngrams(n: int) -> Callable[[Parts], float]:
    """Share of the characters in runs of n words that were there before; what several of them cover counts once."""

    def measure(of: Parts) -> float:
        seen, covered, ended = set[tuple[str, ...]](), 0, 0
        for start, ngram in enumerate(_ngrams(of.words, n)):
            if ngram in seen:
                covered += _characters(of.words[max(start, ended) : start + n])
                ended = start + n
            seen.add(ngram)
        return _share(covered, _characters(of.words))

    return measure


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(n))))


def _characters(texts: Sequence[str] | set[str]) -> int:
    return sum(map(len, texts))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


MEASURES: dict[str, Callable[[Parts], float]] = {
    one.__name__: one
    for one in (
        words, mean_word_length, symbols_per_word, alphabetic_words, stop_words,
        bullet_lines, ellipsis_lines, ended_lines, short_lines, lines_per_word, sentences, lorem_ipsum, curly_brackets,
        repeated_lines, repeated_paragraphs, repeated_line_characters, repeated_paragraph_characters,
    )
}  # fmt: skip
MEASURES |= {f"top_{n}gram": top_ngram(n) for n in (2, 3, 4)}
MEASURES |= {f"repeated_{n}grams": repeated_ngrams(n) for n in range(5, 11)}
"""Name → what measures it."""
