"""What is written after `key=` is read back as it was, by Hydra and by OmegaConf."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hpcurate.cli.start.overrides import sort_arguments, value_of
from hpcurate.errors import ConfigError
from hpcurate.grammar import as_it_is, written

HARD = st.sampled_from(
    ["\\", "$", "{", "}", "${", "${x}", "${oc.env:HOME}", "'", '"', " ", "\n", "\t", ",", "[", "]", "(", ")", "=", ":"]
)
TEXTS = st.lists(st.one_of(HARD, st.text(max_size=3)), max_size=8).map("".join).filter(lambda text: text != "???")
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b_1"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def read_back(word: str) -> Any:
    """As a command has it: sorted, read by the grammar, resolved."""
    (override,) = sort_arguments([word]).overrides
    return OmegaConf.to_container(OmegaConf.create({"x": value_of(override)}), resolve=True)["x"]  # type: ignore[index,call-overload]


@settings(max_examples=60)
@given(TEXTS)
def test_a_text_is_read_back_as_it_was(text: str) -> None:
    """Whatever a shell, the grammar, or an interpolation would make of it: the sampled pieces are those that matter."""
    assert text == read_back(f"x={written(text)}")


@settings(max_examples=40)
@given(PLAIN)
def test_a_value_is_read_back_as_it_was(value: Any) -> None:
    """Of its type, at any depth."""
    found = read_back(f"x={written(value)}")
    assert (value, repr(value)) == (found, repr(found))


@pytest.mark.parametrize("text", ["null", "True", "NaN", "1.10", "1e3", "a b", "", " a", "a,b", "choice(a,b)", "~"])
def test_texts_that_look_like_something_else_stay_texts(text: str) -> None:
    """A number, a boolean, a sweep."""
    assert text == read_back(f"x={written(text)}")


def test_plain_texts_have_no_quotes() -> None:
    """They are what a person would type."""
    assert ["small", "/data/x-1.mp4", "'a b'", "nan"] == [
        written(one) for one in ("small", "/data/x-1.mp4", "a b", math.nan)
    ]
    assert "\\${x}" == as_it_is("${x}")


@pytest.mark.parametrize("value", [{"a b": 1}, {1: 1}, {"null": 1}, {1, 2}, b"x"])
def test_what_has_no_form_is_refused(value: Any) -> None:
    """Rather than being something else later."""
    with pytest.raises(ConfigError):
        written(value)
