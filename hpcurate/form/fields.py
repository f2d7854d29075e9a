"""What the form of a pipeline asks for: frozen values, from which the page and the command are made. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

__all__ = ["ENVIRONMENT", "Field", "Form", "Kind", "Part", "shown"]

Kind = Literal["literal", "text", "integer", "number", "switch", "choice", "data", "secret"]
"""`literal`: a path as `input=` takes it; `data`: YAML, for lists, mappings, and what may be of several types."""
ENVIRONMENT = "env."
"""Begins the key of a variable that the pipeline reads itself, `${oc.env:NAME}`: what is typed before the command."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One value that somebody may give."""

    key: str
    """What is typed before the `=`: `input`, `params.size`, `stages.split.min_s`; or `env.NAME`."""
    kind: Kind
    type: str = ""
    """As it was declared, for people."""
    help: str = ""
    text: str = ""
    """What stands in it at first. That is what holds already, and is not typed."""
    usual: str = ""
    """What holds while nothing stands in it, for people."""
    choices: tuple[Any, ...] = ()
    required: bool = False
    """Something must stand in it."""
    always: bool = False
    """It is typed also where it is what stands in it at first."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that stand together."""

    title: str
    about: str = ""
    fields: tuple[Field, ...]
    closed: bool = False


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """All that is asked for."""

    pipeline: str
    about: tuple[str, ...]
    """Lines of the pipeline's own comment."""
    parts: tuple[Part, ...]
    words: tuple[str, ...]
    """That every command of this form begins with: the pipeline, and overrides that were typed with the form."""
    config_dirs: tuple[str, ...] = ()

    @property
    def fields(self) -> Iterator[Field]:
        """Of all parts."""
        return (field for part in self.parts for field in part.fields)

    @property
    def asks_for_secrets(self) -> bool:
        """Whether any of them is one."""
        return any(field.kind == "secret" for field in self.fields)

    def texts(self, given: Mapping[str, str]) -> dict[str, str]:
        """Key → what stands in each field; lines end as they do here, whatever a browser sends."""
        return {field.key: _lines(given.get(field.key, field.text)) for field in self.fields}


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def shown(value: Any) -> str:
    """A value as it stands in a field: text as it is, all else as JSON, which is YAML, too."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
