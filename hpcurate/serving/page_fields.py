"""Which component asks for a field, and what its value is in a request. Pure: no web library is imported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from hpcurate.serving.served import Field, Served

__all__ = ["LEFT_OUT", "Asked", "Group", "Unreadable", "asked", "changed", "groups", "value_of"]

LEFT_OUT: Final = object()
"""Instead of a value: the request says nothing about the field."""
SETS_UP = "Another value sets the stage up again."
NONE = "–"
"""The choice that is null."""


class Unreadable(ValueError):
    """What was typed is no value of the field at all; the message says why."""


@attrs.frozen
class Asked:
    """A component of Gradio, by the name of its class."""

    component: str
    arguments: dict[str, Any]
    note: str = ""
    """Help for a component that has no place for it: it stands above."""


@attrs.frozen
class Group:
    """Fields that stand together."""

    title: str
    fields: tuple[Field, ...]
    open: bool


def asked(field: Field, value: Any) -> Asked:
    """How it is asked for; `value` is what the page shows first."""
    label, help_ = _label(field), _help(field)
    if field.kind == "file":
        # not gr.Video: when a file is chosen, it fetches an FFmpeg of 32 MB for its scissors, through the user's tunnel
        return Asked("File", {"label": label, "file_types": list(field.suffixes) or None}, help_)
    if field.kind == "json":
        return Asked("Code", {"label": label, "language": "json", "value": _as_json(value), "lines": 4}, help_)
    if _choices(field):
        chosen = _label_of(field, value)
        return Asked(
            "Dropdown",
            {"label": label, "info": help_, "choices": [name for name, _ in _choices(field)], "value": chosen},
        )
    if field.kind == "boolean":
        return Asked("Checkbox", {"label": label, "info": help_, "value": bool(value)})
    if field.kind in ("integer", "number"):
        step = {"precision": 0, "step": 1} if field.kind == "integer" else {"step": 0.1}
        return Asked("Number", {"label": label, "info": help_, "value": value, **step})
    lines = {"lines": 4, "max_lines": 20} if field.kind == "long_text" else {"lines": 1, "max_lines": 1}
    return Asked("Textbox", {"label": label, "info": help_, "value": "" if value is None else str(value), **lines})


def value_of(field: Field, raw: Any) -> Any:
    """What the request says, from what its component holds; `LEFT_OUT`: nothing. Raises Unreadable.

    Whether the value is right is not asked here: that is for the service, which checks every request.
    """
    if field.kind == "json":
        return _from_json(raw)
    if _choices(field):
        return _chosen(field, raw)
    if raw is None or raw == "":
        return _blank(field, raw)
    return raw


def groups(served: Served) -> tuple[Group, ...]:
    """Parameters by stage: those of the named stage, which is the last, in front and open; none without parameters."""
    by_stage: dict[str, list[Field]] = {}
    for field in served.parameters:
        by_stage.setdefault(field.key.rpartition(".")[0], []).append(field)
    named = served.stages[-1] if served.stages else ""
    order = sorted(by_stage, key=lambda stage: stage != named)
    return tuple(Group(stage, tuple(by_stage[stage]), open=stage == named) for stage in order)


def changed(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Of parameters those that differ from what is served: the others are left out of a request."""
    served = {field.key: field.default for field in fields}
    return {key: value for key, value in values.items() if not _same(value, served[key])}


def _label(field: Field) -> str:
    name = field.key.rpartition(".")[2]
    return f"{name} *" if field.required else name


def _help(field: Field) -> str:
    return " ".join(part for part in (field.help, "" if field.quick else SETS_UP) if part)


def _as_json(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _from_json(raw: Any) -> Any:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return LEFT_OUT
    if not isinstance(raw, str):
        raise Unreadable("JSON was expected")
    try:
        return json.loads(raw, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"this is not JSON: {error}") from None


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _choices(field: Field) -> list[tuple[str, Any]]:
    """(label, value): of choices, and of a boolean that may be null."""
    if field.kind == "choice":
        values = list(field.choices)
    elif field.kind == "boolean" and field.optional:
        values = [True, False]
    else:
        return []
    nothing = [(NONE, None)] if field.optional or not field.required else []
    return [*((_name(value), value) for value in values), *(nothing if None not in values else [])]


def _name(value: Any) -> str:
    return value if isinstance(value, str) else NONE if value is None else json.dumps(value)


def _label_of(field: Field, value: Any) -> str | None:
    return next((name for name, each in _choices(field) if _same(each, value)), None)


def _chosen(field: Field, raw: Any) -> Any:
    if raw is None:
        return LEFT_OUT
    for name, value in _choices(field):
        if name == raw:
            return _blank(field, None) if value is None else value
    return raw


def _blank(field: Field, raw: Any) -> Any:
    """An empty field: null where that is a value; a text may be empty; else nothing is said."""
    if field.optional:
        return None
    return raw if raw == "" and field.kind in ("text", "long_text") and not field.required else LEFT_OUT


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one type: 1 is not True. A tuple is a list, as in JSON."""
    return _as_json(one) == _as_json(other)
