"""Answers as models give them, and what each of them means: one table. What is not clearly an answer is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.language.json_answer import LONGEST, Malformed, booleans, chosen, form_of, object_of

NAMES = ("dark", "slide_show")
NO, DARK = {"dark": False, "slide_show": False}, {"dark": True, "slide_show": False}
GOOD = '{"dark": false, "slide_show": false}'
BAD = '{"dark": true, "slide_show": false}'

ANSWERS: list[tuple[str, str, dict[str, bool] | str]] = [
    # -- the object itself, and what stands around it
    ("as asked", GOOD, NO),
    ("over several lines", '{\n  "dark": true,\n  "slide_show": false\n}\n', DARK),
    ("in one word", '{"dark":false,"slide_show":false}', NO),
    ("fence", f"```json\n{GOOD}\n```", NO),
    ("fence without a language", f"```\n{BAD}\n```", DARK),
    ("fence with another language", f"```JSON5\n{BAD}\n```", DARK),
    ("fence that does not end", f"```json\n{GOOD}", NO),
    ("inline code", f"`{GOOD}`", NO),
    ("prose before", f"Sure! Here is the JSON object:\n\n{GOOD}", NO),
    ("prose after", f"{GOOD}\n\nThe scene is well lit, and the camera moves.", NO),
    ("prose with braces", f"The set {{a, b}} has two. {GOOD}", NO),
    ("prose with a quote in braces", f'See {{"a", "b"}} below: {BAD}', DARK),
    ("LaTeX", rf"\boxed{{{GOOD}}}", NO),
    ("braces twice, as in a template", f"{{{BAD}}}", DARK),
    ("tags", f"<answer>{GOOD}</answer>", NO),
    ("an array of one object", f"[{BAD}]", DARK),
    ("a token that was left", f"{GOOD}<|im_end|>", NO),
    # -- thoughts
    ("thoughts", f"<think>It is night.</think>\n{BAD}", DARK),
    ("empty thoughts", f"<think>\n\n</think>\n\n{GOOD}", NO),
    ("thoughts with an object in them", f"<think>First guess: {GOOD}. No, it is night.</think>{BAD}", DARK),
    ("thoughts with a broken object", '<think>{"dark": tr, hm</think>' + BAD, DARK),
    ("thoughts that the prompt began", f"It is night: {GOOD}?</think>{BAD}", DARK),
    ("thoughts twice", f"<think>a</think>{GOOD}<think>wait</think>{BAD}", DARK),
    ("thoughts by another name", f"<Thinking>{GOOD}</Thinking>\n{BAD}", DARK),
    ("thoughts of Kimi", f"◁think▷{GOOD}◁/think▷{BAD}", DARK),
    ("thoughts of Magistral", f"[THINK]{GOOD}[/THINK]{BAD}", DARK),
    ("thoughts that do not end", f"<think>Perhaps {GOOD}, but", "thoughts that do not end"),
    ("thoughts that begin again", f"{GOOD} <think>Wait, is it dark", "thoughts that do not end"),
    ("nothing but thoughts", f"<think>{GOOD}</think>\n", "empty"),
    # -- several objects
    ("the same twice", f"{GOOD}\n{GOOD}", NO),
    ("the same twice, spelled otherwise", f"{GOOD}\n{{'slide_show': False, 'dark': False}}", NO),
    ("two that differ", f"{GOOD} Wait, it is night. {BAD}", "several objects that differ"),
    ("an array of two that differ", f"[{GOOD}, {BAD}]", "several objects that differ"),
    ("one for each question", '{"dark": false}\n{"slide_show": false}', "several objects that differ"),
    ("one whole, one cut off", f'{GOOD}\n{{"dark": tr', "cut off"),
    ("a template, then the answer", f'In the form {{"dark": true|false}}: {GOOD}', "cannot be read at"),
    # -- other spellings
    ("Python", "{'dark': True, 'slide_show': False}", DARK),
    ("comma at the end", '{"dark": true, "slide_show": false,}', DARK),
    ("comments", '{"dark": true, // it is night\n "slide_show": false /* {moves} */ # so\n}', DARK),
    ("keys without quotes", "{dark: true, slide_show: false}", DARK),
    ("typographic quotes", "{“dark”: true, “slide_show”: false}", DARK),
    ("full-width", "｛＂ｄａｒｋ＂：true，＂slide_show＂：false｝", DARK),
    ("full-width digits", '{"dark": １, "slide_show": ０}', DARK),
    ("byte order mark", f"\ufeff{GOOD}", NO),
    ("spaces that are none", '{\u00a0"dark":\u3000true,\u200b"slide_show": false}', DARK),
    ("line ends of Windows", GOOD.replace(" ", "\r\n"), NO),
    ("escaped for Markdown", r'{"dark": true, "slide\_show": false}', DARK),
    ("escaped letters", r'{"\u0064ark": true, "slide_show": false}', DARK),
    ("keys in other case", '{"Dark": true, "SLIDE_SHOW": false}', DARK),
    ("keys with spaces", '{" dark ": true, "Slide show": false}', DARK),
    ("keys with hyphens", '{"dark": true, "slide-show": false}', DARK),
    # -- values
    ("yes and no", '{"dark": "yes", "slide_show": "No."}', DARK),
    ("yes and no without quotes", "{dark: Yes, slide_show: no}", DARK),
    ("booleans as text", '{"dark": "True", "slide_show": " false "}', DARK),
    ("numbers", '{"dark": 1, "slide_show": 0}', DARK),
    ("numbers as text", '{"dark": "1", "slide_show": "0"}', DARK),
    ("null", '{"dark": null, "slide_show": false}', "'dark' is None, no yes or no"),
    ("unsure", '{"dark": "maybe", "slide_show": false}', "'dark' is 'maybe', no yes or no"),
    ("not applicable", '{"dark": "n/a", "slide_show": false}', "'dark' is 'n/a', no yes or no"),
    ("a sentence", '{"dark": "No doubt.", "slide_show": false}', "'dark' is 'No doubt.', no yes or no"),
    ("empty text", '{"dark": "", "slide_show": false}', "'dark' is '', no yes or no"),
    ("a probability", '{"dark": 0.0, "slide_show": 0.9}', "'dark' is 0.0, no yes or no"),
    ("a negative number as text", '{"dark": "-1", "slide_show": false}', "'dark' is '-1', no yes or no"),
    ("another number", '{"dark": 2, "slide_show": 0}', "'dark' is 2, no yes or no"),
    ("a number of many digits", f'{{"dark": {"9" * 5000}, "slide_show": 0}}', "'dark' is inf, no yes or no"),
    ("NaN", '{"dark": NaN, "slide_show": false}', "'dark' is 'NaN', no yes or no"),
    ("a list", '{"dark": [false], "slide_show": false}', "'dark' is [False], no yes or no"),
    ("an object", '{"dark": {"answer": false}, "slide_show": false}', "'dark' is {'answer': False}, no yes or no"),
    ("both", '{"dark": true or false, "slide_show": false}', "cannot be read at 'or false"),
    ("the form that was asked for", '{"dark": true|false, "slide_show": true|false}', "cannot be read at '|false"),
    # -- keys
    ("more keys", '{"dark": true, "reason": "it is {night}, \\"late\\"", "slide_show": false}', DARK),
    ("more keys, nested", '{"dark": true, "slide_show": false, "by": {"s": [1, {"x": -2.5e3}], "t": {}}}', DARK),
    ("a brace and an apostrophe in text", '{"dark": true, "why": "it\'s } late", "slide_show": false}', DARK),
    ("a key that is missing", '{"dark": false}', "no answer to 'slide_show'"),
    ("a key that is misspelt", '{"dark": false, "slide_shows": false}', "no answer to 'slide_show'"),
    ("another object around it", f'{{"answer": {GOOD}}}', "no answer to 'dark'"),
    ("no key", "{}", "no answer to 'dark'"),
    ("a key twice, the same", '{"dark": true, "dark": 1, "slide_show": false}', DARK),
    ("a key twice, not the same", '{"dark": true, "dark": false, "slide_show": false}', "two answers to 'dark'"),
    ("a key twice, in other case", '{"dark": true, "Dark": false, "slide_show": false}', "two answers to 'dark'"),
    # -- broken
    ("cut off in a value", '{"dark": false, "slide_show": fal', "cut off"),
    ("cut off before a value", '{"dark": false, "slide_show":', "cut off"),
    ("cut off in a key", '{"dark": false, "slide_', "cut off"),
    ("cut off before the brace", '{"dark": false, "slide_show": false', "cut off"),
    ("cut off at once", "{", "cut off"),
    (
        "cut off in a fence that was closed",
        '```json\n{"dark": false, "slide_show": false\n```',
        "cannot be read at '```'",
    ),
    ("a comma is missing", '{"dark": false "slide_show": false}', "cannot be read at"),
    ("a value is missing", '{"dark": , "slide_show": false}', "cannot be read at ',"),
    ("dots", '{"dark": false, ...}', "cannot be read at '...}'"),
    ("the wrong bracket", '{"dark": false, "slide_show": false]', "cannot be read at ']'"),
    ("escaped quotes", r"{\"dark\": false, \"slide_show\": false}", "no object"),
    # -- no object
    ("nothing", "", "empty"),
    ("only space", " \n\t\u3000\ufeff ", "empty"),
    ("a refusal", "I'm sorry, but I can't help with that.", "no object"),
    ("a sentence of two words", "dark: no", "no object"),
    ("a list of names", '["dark"]', "no object"),
    ("an empty list", "[]", "no object"),
    ("a word", "false", "no object"),
    ("a table", "| dark | slide_show |\n|---|---|\n| no | no |", "no object"),
    ("YAML", "dark: false\nslide_show: false", "no object"),
    ("newlines of a model without training", "\n" * 500, "empty"),
    ("a lone surrogate", '\udcff{"dark": true, "x": "\\ud800", "slide_show": false}\ud800', DARK),
    ("a null byte", "\0" + GOOD + "\0", NO),
    ("nested too deep", '{"dark": ' * 5000, "nested too deep"),
    ("lists nested too deep", '{"dark": ' + "[" * 5000, "nested too deep"),
]


@pytest.mark.parametrize(("text", "means"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS])
def test_an_answer_means_what_it_clearly_says(text: str, means: dict[str, bool] | str) -> None:
    """A yes or a no to each question, or why there is none."""
    found = booleans(text, NAMES)
    if isinstance(means, str):
        assert isinstance(found, Malformed)
        assert found.why.startswith(means)
    else:
        assert means == found


TYPES = ("animals", "city", "slide_show")
LISTS: list[tuple[str, list[str] | str]] = [
    ('{"types": ["city", "animals"]}', ["animals", "city"]),
    ('```json\n{"Types": ["City", "Slide show", "city"]}\n```', ["city", "slide_show"]),
    ("{'types': ['city',], 'why': None}", ["city"]),
    ('{"types": "city"}', ["city"]),
    ('{"types": "city, animals"}', ["animals", "city"]),
    ("{types: [city, animals]}", ["animals", "city"]),
    ('{"types": []}', []),
    ('{"types": ["town"]}', "'town' is none of the names"),
    ('{"types": ["city", "town"]}', "'town' is none of the names"),
    ('{"types": ["…", "…"]}', "'…' is none of the names"),
    ('{"types": ""}', "'' is none of the names"),
    ('{"types": null}', "'types' is None, no list of names"),
    ('{"types": [null]}', "'types' is [None], no list of names"),
    ('{"types": [["city"]]}', "'types' is [['city']], no list of names"),
    ('{"types": {"city": true}}', "'types' is {'city': True}, no list of names"),
    ('{"types": 1}', "'types' is 1, no list of names"),
    ('{"type": ["city"]}', "no answer to 'types'"),
    ('["city"]', "no object"),
    ('{"types": ["city", "anim', "cut off"),
    ('{"types": ["city"', "cut off"),
]


@pytest.mark.parametrize(("text", "means"), LISTS)
def test_names_that_are_chosen_are_in_the_order_of_the_names(text: str, means: list[str] | str) -> None:
    """Each once; one that is none of them may mean anything, so it makes the answer malformed."""
    found = chosen(text, "types", TYPES)
    assert means == (found if isinstance(means, list) else getattr(found, "why", found))


def test_the_table_is_long_enough() -> None:
    """And no answer is in it twice."""
    assert 50 <= len({text for _, text, _ in ANSWERS}) == len(ANSWERS)


PIECES = st.sampled_from(
    [
        *"{}[]:,\"'\\/#*<>|｛｝“”－ \n01",
        "dark",
        "slide_show",
        "true",
        "false",
        '"dark": ',
        "null",
        "<think>",
        "</think>",
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.characters().map(lambda c: c * 50)))
@example('{"dark": false, "slide_show": fals')
@settings(max_examples=60)
def test_whatever_is_said_there_is_an_answer_or_a_reason(text: str) -> None:
    """Nothing is raised, and what is taken for an answer has a word for each name."""
    found = booleans(text, NAMES)
    if not isinstance(found, Malformed):
        assert set(NAMES) == found.keys()
        assert all(name in form_of(text) for name in map(form_of, NAMES))


@given(st.text(), st.data())
def test_a_broken_answer_is_never_a_pass(text: str, data: st.DataObject) -> None:
    """Cut off anywhere, or with anything put in anywhere: it says no to all only where a whole object says so."""
    at, end = data.draw(st.integers(0, len(GOOD))), data.draw(st.integers(0, len(BAD) - 1))
    assert isinstance(booleans(BAD[:end], NAMES), Malformed)
    assert NO != booleans(f"{BAD[:at]}{text}{BAD[at:]}", NAMES)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
@settings(max_examples=60)
def test_json_is_read_as_json_is(value: dict[str, Any]) -> None:
    """Whatever is in it."""
    assert value == object_of(json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize(
    "text",
    [
        "{" * 10_000_000,
        "<think>" * 1_000_000,
        "{\n//" * 20_000,
        "{/*" * 30_000,
        "{'" * 40_000,
        '{"\\' * 30_000,
        "{a" * 40_000,
    ],
    ids=lambda text: text[:4],
)
def test_an_answer_that_never_ends_is_read_in_linear_time(text: str) -> None:
    """A model that repeats itself does not hold a worker: what is read twice here would take minutes."""
    assert isinstance(object_of(text), Malformed)
    assert isinstance(object_of(text[:LONGEST]), Malformed)
