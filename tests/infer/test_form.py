"""What `infer` of a class takes: its form, and its arguments from a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import infer_models as models
import pytest

from hpcurate.errors import PipelineError
from hpcurate.infer.form import BadRequest, form_of, validator_of
from hpcurate.infer.records import NEEDED


def test_one_dict_is_passed_on() -> None:
    """Whatever is in it; also where nothing is annotated."""

    class Plain:
        def infer(self, args):  # type: ignore[no-untyped-def]
            return args

    for infer in (models.Draws.infer, Plain().infer):
        form = form_of(infer)
        assert form.asked is None
        assert ([{"any": 1}], {}) == form.arguments({"any": 1})


def test_keywords_are_fields() -> None:
    """With their types and defaults; texts of a command line are understood, others are not turned into texts."""
    form = form_of(models.Words().infer)
    assert form.asked is not None
    names = ["prompt", "steps", "style", "ratio", "guidance", "picture", "tags", "output_dir"]
    assert names == [one.name for one in form.asked]
    assert [True] + 7 * [False] == [one.default is NEEDED for one in form.asked]
    args, given = form.arguments({"prompt": "a", "style": "dots", "picture": "a.png", "guidance": None, "steps": "3"})
    assert [] == args
    expected = {"prompt": "a", "style": models.Style.DOTS, "picture": Path("a.png"), "guidance": None, "steps": 3}
    assert expected == given


def test_every_problem_is_named() -> None:
    """By its field."""
    with pytest.raises(BadRequest) as raised:
        form_of(models.Words().infer).arguments({"steps": "many", "ratio": "2:1", "promt": "a", "tags": "a"})
    problems = raised.value.problems
    assert {"prompt", "steps", "ratio", "promt", "tags"} == problems.keys()
    assert "there is no such field; did you mean 'prompt'?" == problems["promt"]
    assert "needs a value" == problems["prompt"]
    assert "Expected `int`, got 'many'" in problems["steps"].replace("`str`", "").replace(", got ,", ",")


RECORDS = [models.Typed, models.WithAttrs, models.WithStruct, models.WithDict, models.WithModel]


@pytest.mark.parametrize("cls", RECORDS)
def test_classes_of_requests(cls: type) -> None:
    """An object of the class is made, with its defaults."""
    form = form_of(cls().infer)  # type: ignore[attr-defined]
    assert form.asked is not None
    assert ["prompt", "seed"] == [one.name for one in form.asked][:2]
    (request,), _ = form.arguments({"prompt": "a", "seed": 7})
    assert ("a", 7) == (
        (request["prompt"], request["seed"]) if cls is models.WithDict else (request.prompt, request.seed)
    )


@pytest.mark.parametrize("cls", RECORDS)
def test_wrong_requests_are_refused(cls: type) -> None:
    """What its types or its own checks refuse, and what it has no field for."""
    form = form_of(cls().infer)  # type: ignore[attr-defined]
    wrong: list[dict[str, Any]] = [{"prompt": 3, "seed": 1}, {"seed": 1}, {"prompt": "a", "seed": 1, "sed": 2}]
    if cls is not models.WithDict:
        wrong.append({"prompt": "a", "seed": -1})
    for request in wrong:
        with pytest.raises(BadRequest):
            form.arguments(request)


def test_further_keywords_are_taken_where_the_class_takes_them() -> None:
    """As they are."""

    class Open:
        def infer(self, prompt: str, /, *, seed: int = 0, **more: Any) -> None: ...

    form = form_of(Open().infer)
    assert (["a"], {"seed": 2, "x": [1]}) == form.arguments({"prompt": "a", "seed": 2, "x": [1]})
    assert form.takes("anything")


def test_annotations_that_cannot_be_evaluated_are_named() -> None:
    """As on an older Python than they were written for."""

    class Unknown:
        def infer(self, request: NoSuchClass) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(PipelineError, match="NoSuchClass"):
        form_of(Unknown().infer)


def test_where_a_validator_stands() -> None:
    """Static in the class, or in the module beside it; a method that needs an object is none."""

    class OfAnObject:
        def validate(self) -> None: ...

    assert {"prompt": "a", "count": 1} == validator_of(models.Draws)({"prompt": "a"})
    assert None is validator_of(OfAnObject)
    assert None is validator_of(models.Words)
