"""Every measure of quality, beside a value counted by hand."""

from __future__ import annotations

import pytest

from hpcurate.errors import ConfigError
from stages.texts.measures import MEASURES, parts
from stages.texts.rules import RULES, Bound, asked, bounds

LINES = "• one\n• two\n- three…\nfour...\nEnd. \n\nEnd.\n"
"""Six lines, of which three have bullets, two end with an ellipsis, two with a full stop, and one is there again; eight
words in it, and two paragraphs."""
BY_HAND = [
    ("words", "It has 5 words – really, it’s so.", 7),  # the dash is none
    ("words", "", 0),
    ("mean_word_length", "a bb ccc", 2),
    ("symbols_per_word", "# one # two … three ...", 2 / 7),  # two of each kind, not four
    ("symbols_per_word", "#a #b c d", 0.5),
    ("alphabetic_words", "a1 12 - b", 0.5),
    ("stop_words", "The cat, the dog and: WITH", 3),
    ("stop_words", "theory of", 1),
    ("bullet_lines", LINES, 3 / 6),
    ("ellipsis_lines", LINES, 2 / 6),
    ("ended_lines", LINES, 2 / 6),
    ("ended_lines", 'He said "no"\n什么？\nand then', 2 / 3),
    ("short_lines", "x" * 30 + "\n" + "x" * 31, 0.5),
    ("lines_per_word", "a b\nc d", 0.25),
    ("sentences", 'One. Two! "Three?" Version 1.5 is four…\nFive.', 4),
    ("sentences", "一。二！", 2),
    ("lorem_ipsum", "Lorem ipsum dolor; LOREM IPSUM", 2),
    ("curly_brackets", "if (a) { b }", 1),
    ("repeated_lines", LINES, 1 / 6),
    ("repeated_lines", "a\na\na\nb", 0.5),
    ("repeated_paragraphs", "a\nb\n\na\nb\n \nc", 1 / 3),
    ("repeated_line_characters", "aaa\naaa\nbb", 3 / 8),
    ("repeated_paragraph_characters", "aaa\n\nbb\n\naaa", 3 / 8),
    ("top_2gram", "a bb c a bb", 6 / 7),  # "a bb" twice, three characters each, of seven
    ("top_2gram", "a b c d", 0),
    ("top_3gram", "a b c x a b c y", 6 / 8),
    ("top_4gram", "a b c d a b c d", 1),
    ("top_2gram", "a a a a a", 1),  # runs that overlap are no more than all
    ("repeated_5grams", "a b c d e a b c d e", 0.5),
    ("repeated_5grams", "a b c d e f a b c d e f", 0.5),  # two runs of five, that cover six words
    ("repeated_6grams", "a b c d e a b c d e", 0),
    *((f"repeated_{n}grams", " ".join("abcdefghij" * 2), 0.5) for n in range(6, 11)),
]


@pytest.mark.parametrize(("name", "text", "value"), BY_HAND)
def test_a_measure_is_what_one_counts_by_hand(name: str, text: str, value: float) -> None:
    """See the comments."""
    assert value == pytest.approx(MEASURES[name](parts(text)))


def test_no_measure_is_left_out_here() -> None:
    """And each has a bound in some rule."""
    assert set(MEASURES) == {name for name, _, _ in BY_HAND}
    assert set(MEASURES) == {bound.measure for rules in RULES.values() for bound in rules}


def test_a_text_without_anything_has_all_measures() -> None:
    """None divides by nothing."""
    assert {0.0} == {measure(parts(" \n ")) for measure in MEASURES.values()}


def test_the_stricter_of_two_bounds_counts_and_the_users_before_all() -> None:
    """Gopher and FineWeb bound one measure; `.inf` asks nothing."""
    measure = "repeated_line_characters"
    both = {bound.measure: bound for bound in bounds(["gopher_repetition", "fineweb"], {}, {})}
    assert Bound(measure, most=0.1) == both[measure]
    (mine,) = (bound for bound in bounds(["fineweb"], {}, {measure: float("inf")}) if bound.measure == measure)
    assert mine == Bound(measure)
    assert bounds([], {"words": 5}, {"words": 9}) == (Bound("words", 5, 9),)


def test_a_measure_that_is_misspelt_is_refused() -> None:
    """With the one that is meant."""
    with pytest.raises(ConfigError, match=r"most: repeated_line: no such measure; .*repeated_lines"):
        bounds([], {}, {"repeated_line": 0.1})


def test_words_are_not_asked_of_where_no_spaces_are() -> None:
    """Nor English stop words of German."""
    every = bounds(["gopher_quality", "fineweb"], {}, {})
    left = {language: {bound.measure for bound in asked(every, language)} for language in ("en", "de", "ja")}
    assert left["en"] - left["de"] == {"stop_words"}
    assert {"bullet_lines", "ellipsis_lines", "ended_lines", "short_lines", "repeated_line_characters"} == left["ja"]
