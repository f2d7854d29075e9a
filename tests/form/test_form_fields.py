"""The fields of real pipelines."""

from __future__ import annotations

import functools

import pytest

from hpcurate.cli.start.form_fields import _variable, form_of
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.verbs.form import field_lines
from hpcurate.form.command import asked
from hpcurate.form.fields import Field, Form


@functools.cache
def form(*words: str) -> Form:
    """Of a pipeline of ours, with overrides."""
    return form_of(sort_arguments([f"+pipeline={words[0]}", "store=/s", *words[1:]]))


def field(form: Form, key: str) -> Field:
    """The one with this key."""
    (found,) = [one for one in form.fields if one.key == key]
    return found


@pytest.mark.parametrize("name", ["words", "video_full", "tao", "text"])
def test_a_pipeline_has_a_form(name: str) -> None:
    """No key twice; and filled in with nothing it is the command that a person would type."""
    made = form(name)
    keys = [one.key for one in made.fields]
    assert len(keys) == len(set(keys))
    assert ("input" in keys) == (name in ("video_full", "text"))
    required = {one.key: "x" for one in made.fields if one.required and one.kind not in ("secret", "literal")}
    assert (f"+pipeline={name}", "store=/s") == asked(made, required, []).words[:2]


def test_parameters_have_help_type_choices_and_default() -> None:
    """As they are declared, with what was typed with the form; a parameter's stage does not ask for it again."""
    made = form("tao")
    assert ("integer", "int", "3", "of the training") == _of(field(made, "params.epochs"))
    assert ("choice", "str", "resnet18", "the pretrained network") == _of(field(made, "params.network"))
    assert ("resnet10", "resnet18", "resnet50") == field(made, "params.network").choices
    assert ("data", "null") == (field(made, "params.container").kind, field(made, "params.container").usual)
    typed = form("words", "limit=5")
    assert ("5", True) == (field(typed, "limit").text, "limit=5" in typed.words)
    assert not any(key.startswith("stages.sign.n") for key in (one.key for one in form("text").fields))


def _of(one: Field) -> tuple[str, str, str, str]:
    return (one.kind, one.type, one.text, one.help)


def test_parameters_of_stages_are_in_closed_parts() -> None:
    """One for each stage, with what the pipeline sets for it."""
    made = form("text")
    (part,) = [part for part in made.parts if part.title == "stages.language"]
    assert part.closed
    assert part.about.startswith("Identify the language")
    fields = {one.key: one for one in part.fields}
    assert ("number", "0.65") == (fields["stages.language.min_score"].kind, fields["stages.language.min_score"].usual)
    assert "10000 in this pipeline" == fields["stages.language.shard_tasks"].usual


def test_a_secret_variable_is_a_choice_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed where neither the pipeline nor the environment has a value for it."""
    monkeypatch.delenv("TAO_KEY", raising=False)
    asked = [_variable("TAO_KEY", "tlt_encode"), _variable("TAO_KEY", "")]
    monkeypatch.setenv("TAO_KEY", "0123456789")
    asked.append(_variable("TAO_KEY", ""))
    usual = [("the pipeline's default", False), ("", True), ("from the environment of this page", False)]
    assert usual == [(one.usual, one.required) for one in asked]
    assert ("secret", "env.TAO_KEY") == (field(form("tao"), "env.TAO_KEY").kind, asked[0].key)


def test_the_fields_can_be_printed() -> None:
    """`hpcurate form NAME --dry-run`."""
    assert any("params.epochs" in line for line in field_lines(form("tao")))
