"""Documents in English that nobody wrote, and twins of them."""

from __future__ import annotations

import random

WORDS = """\
harbour baker mountain engine letter window garden teacher river market bridge doctor forest painter station \
kitchen sailor village library winter captain candle factory island orchard tailor museum valley farmer \
concert
watched carried remembered painted followed repaired described crossed opened measured visited guarded
old quiet bright narrow heavy distant familiar broken golden gentle crowded wooden hidden lonely steep ancient
and but while before after because that_is_when as_if so_that although
a the every that one no each
"""
NOUNS, VERBS, MORE, JOINTS, FEW = ([word.replace("_", " ") for word in line.split()] for line in WORDS.splitlines())
NOTICE = (
    "All rights of this page belong to those who wrote it, and it may be read by anybody who has found it.\n"
    "The editors answer every question that is asked in good faith, though it may take a week or two."
)
"""What stands below each page of a site."""


def document(seed: int, sentences: int = 30) -> str:
    """Different for each seed, the same each time; paragraphs of three sentences."""
    rng = random.Random(seed)
    said = [_sentence(rng) for _ in range(sentences)]
    return "\n\n".join(" ".join(said[start : start + 3]) for start in range(0, sentences, 3))


def edited(text: str, seed: int, words: int = 4) -> str:
    """Some words are others."""
    rng, found = random.Random(seed), text.split(" ")
    for place in rng.sample(range(len(found)), words):
        found[place] = f"{rng.choice(MORE)}ish"
    return " ".join(found)


def reordered(text: str) -> str:
    """Its last paragraph comes first."""
    *others, last = text.split("\n\n")
    return "\n\n".join([last, *others])


def with_notice(text: str) -> str:
    """On a site."""
    return f"{text}\n\n{NOTICE}"


def _sentence(rng: random.Random) -> str:
    return f"The {_thing(rng)} of the {_thing(rng)} {rng.choice(JOINTS)} {rng.choice(FEW)} {_thing(rng)}."


def _thing(rng: random.Random) -> str:
    return f"{rng.choice(MORE)} {rng.choice(NOUNS)} {rng.choice(VERBS)} {rng.choice(FEW)} {rng.choice(NOUNS)}"
