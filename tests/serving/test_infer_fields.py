"""The form of a class with `infer`, and a request that is checked before any worker sees it."""

from __future__ import annotations

from typing import Any

import pytest

from hpcurate.errors import PipelineError
from hpcurate.serving.infer_fields import check, example_of, fields_of, request_of
from hpcurate.serving.served import Field
from hpcurate.serving.service import Unfit


def test_keywords_make_a_form() -> None:
    """Types, choices, defaults and help; what has to be given comes first; the folder is nobody's to give."""
    expected = (
        Field(key="prompt", kind="long_text", help="what to draw.", required=True),
        Field(key="steps", kind="integer", help="of the sampler, more are better.", default=30),
        Field(key="style", kind="choice", default="lines", choices=("lines", "dots")),
        Field(key="ratio", kind="choice", default="16:9", choices=("16:9", "1:1")),
        Field(key="guidance", kind="number", optional=True),
        Field(key="picture", kind="file", optional=True),
        Field(key="tags", kind="json", default=[]),
    )
    assert expected == fields_of("infer_models.Words")


@pytest.mark.parametrize("name", ["Typed", "WithAttrs", "WithStruct", "WithModel"])
def test_a_class_of_requests_makes_a_form(name: str) -> None:
    """Whatever library it is of; its help is where that library has it."""
    prompt, seed = fields_of(f"infer_models.{name}")[:2]
    assert Field(key="prompt", kind="long_text", help="what to draw", required=True) == prompt
    assert ("seed", "integer", 0) == (seed.key, seed.kind, seed.default)


def test_a_dict_has_one_field() -> None:
    """Filled with the default request of the class, without the folder that it names."""
    example = {"prompt": "a square", "count": 2}
    for name in ("Draws", "draws_in_blue"):
        (field,) = fields_of(f"infer_models.{name}")
        assert ("request", "json", False, example) == (field.key, field.kind, field.required, field.default)
    assert example == example_of("infer_models.Draws")
    (field,) = fields_of("infer_models.Returns")
    assert (True, None) == (field.required, field.default)


@pytest.mark.parametrize("target", ["not_installed_here.Model", "infer_models.draws_something", "infer_models.NoSuch"])
def test_what_is_unknown_here_has_one_field(target: str) -> None:
    """Its environment has what ours lacks: its worker checks the request."""
    (field,) = fields_of(target)
    assert ("request", "json", True) == (field.key, field.kind, field.required)
    check(target, {"any": 1}, "/tmp/folder")
    assert {} == example_of(target)


def test_a_target_that_can_be_none() -> None:
    """Is refused before anything starts."""
    with pytest.raises(PipelineError, match=r"expected module\.Class"):
        fields_of("Words")


def test_a_request_is_checked_before_a_worker() -> None:
    """By its types, by `validate`, by its class; each field is named."""
    check("infer_models.Draws", {"prompt": "a"}, "/tmp/folder")
    check("infer_models.Words", {"prompt": "a"}, "/tmp/folder")
    wrong: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("Draws", {}, {"request": "prompt: write what to draw"}),
        (
            "Words",
            {"promt": "a"},
            {"promt": "there is no such field; did you mean 'prompt'?", "prompt": "needs a value"},
        ),
        ("Typed", {"prompt": "a", "seed": -1}, {"request": "ValueError: a seed is not negative"}),
        ("WithModel", {"prompt": "a", "seed": -1}, {"seed": "Input should be greater than or equal to 0"}),
    ]
    for name, request, problems in wrong:
        with pytest.raises(Unfit) as raised:
            check(f"infer_models.{name}", request, "/tmp/folder")
        assert problems == raised.value.problems


def test_the_request_of_a_form() -> None:
    """The values of its fields, or what stands in the one for all; only an object is a request."""
    one = fields_of("infer_models.Draws")
    assert {"prompt": "b"} == request_of(one, {"request": {"prompt": "b"}})
    assert {"prompt": "a square", "count": 2} == request_of(one, {})
    with pytest.raises(Unfit, match="expected a JSON object"):
        request_of(one, {"request": [1]})
    assert {"prompt": "b"} == request_of(fields_of("infer_models.Words"), {"prompt": "b"})
