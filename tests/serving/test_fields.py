"""What a request may say of a stage's parameters."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hpcurate import Stage, Task
from hpcurate.command import Command
from hpcurate.planning.options import StageOptions
from hpcurate.serving.fields import parameters_of
from hpcurate.serving.selection import Part
from hpcurate.spec import InputFile


class Odd(Stage[Task, Task]):
    """Has parameters of all kinds."""

    operational = ("threads",)

    def __init__(
        self,
        size: int,
        prompt: str = "say",
        share: float | None = None,
        words: list[str] | None = None,
        table: InputFile | None = None,
        tables: list[InputFile] | None = None,
        api_key: str = "",
        url: str = "",
        options: dict[str, Any] | None = None,
        threads: int = 2,
        **more: Any,
    ) -> None:
        """Take them.

        Args:
            size: how large,
                in pixels.
            prompt: what is said.
        """


def fields(stage: Stage[Any, Any], **options: Any) -> dict[str, tuple[Any, ...]]:
    """Of one stage."""
    found = parameters_of([Part("odd", "odd", stage, StageOptions(**options))])
    return {field.key: (field.kind, field.default, field.optional, field.quick) for field in found}


def test_plain_values_and_no_places_secrets_or_what_never_counts() -> None:
    """As they are now."""
    assert {
        "odd.size": ("integer", 3, False, True),
        "odd.prompt": ("long_text", "say", False, True),
        "odd.share": ("number", None, True, True),
        "odd.words": ("json", ["a"], True, True),
    } == fields(Odd(3, words=["a"]))


def test_where_prepare_runs_elsewhere_nothing_is_quick() -> None:
    """The processes that prepare have stages of their own."""
    assert {False} == {quick for *_, quick in fields(Odd(3), prepare="processes").values()}


def test_of_a_command_nothing() -> None:
    """Whoever may say what a program is given may say what it does."""
    assert {} == fields(Command(argv=["echo", "{id}"]))


@pytest.mark.parametrize(
    "target", ["stages.language.caption:Caption", "stages.video.motion:Motion", "stages.video.cut:Cut"]
)
def test_of_shipped_stages_none_names_a_place(target: str) -> None:
    """And each has its help."""
    module, _, name = target.partition(":")
    stage = getattr(importlib.import_module(module), name)()
    found = parameters_of([Part("odd", "odd", stage, StageOptions())])
    assert found
    assert all(field.help for field in found)
    assert not {"odd.server", "odd.options", "odd.output"} & {field.key for field in found}
