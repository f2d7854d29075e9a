"""Classes of requests and their fields: dataclasses, attrs, msgspec, TypedDict, pydantic. Python 3.9."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_type_hints

import attrs
import msgspec

__all__ = ["NEEDED", "Asked", "fields_of_record", "is_record", "made"]

NEEDED: Any = inspect.Parameter.empty
"""The default of what has none."""


@attrs.define(frozen=True)
class Asked:
    """One value that a request gives."""

    name: str
    hint: Any = Any
    default: Any = NEEDED
    help: str = ""
    """What its class says about it beside its type."""


def is_record(hint: Any) -> bool:
    """Whether a type is a class with fields."""
    return isinstance(hint, type) and (
        dataclasses.is_dataclass(hint)
        or attrs.has(hint)
        or issubclass(hint, msgspec.Struct)
        or _is_typed_dict(hint)
        or _is_pydantic(hint)
    )


def _is_typed_dict(cls: type) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def _is_pydantic(cls: type) -> bool:
    return hasattr(cls, "model_fields") and hasattr(cls, "model_validate")


def fields_of_record(cls: type) -> list[Asked]:
    """In their order. Raises NameError or TypeError where annotations cannot be evaluated."""
    if _is_pydantic(cls):
        return [_of_pydantic(name, one) for name, one in cls.model_fields.items()]  # type: ignore[attr-defined]
    hints = get_type_hints(cls, include_extras=True)
    if _is_typed_dict(cls):
        needed = cls.__required_keys__  # type: ignore[attr-defined]
        return [Asked(name, hint, NEEDED if name in needed else None) for name, hint in hints.items()]
    if issubclass(cls, msgspec.Struct):
        return [_of_struct(one) for one in msgspec.structs.fields(cls)]
    if attrs.has(cls):
        return [_of_attrs(one, hints) for one in attrs.fields(cls) if one.init]
    return [_of_dataclass(one, hints) for one in dataclasses.fields(cls) if one.init]  # type: ignore[arg-type]


def _of_pydantic(name: str, one: Any) -> Asked:
    default = NEEDED if one.is_required() else one.get_default(call_default_factory=True)
    return Asked(one.alias or name, one.annotation, default, one.description or "")


def _of_struct(one: Any) -> Asked:
    made = one.default_factory() if one.default_factory is not msgspec.NODEFAULT else one.default
    return Asked(one.encode_name, one.type, NEEDED if made is msgspec.NODEFAULT else made)


def _of_attrs(one: Any, hints: dict[str, Any]) -> Asked:
    default = one.default.factory() if isinstance(one.default, attrs.Factory) else one.default  # type: ignore[arg-type]
    help = str(one.metadata.get("help", ""))
    return Asked(one.alias or one.name, hints.get(one.name, Any), NEEDED if default is attrs.NOTHING else default, help)


def _of_dataclass(one: Any, hints: dict[str, Any]) -> Asked:
    default = one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
    return Asked(one.name, hints.get(one.name, Any), NEEDED if default is dataclasses.MISSING else default)


def made(cls: type, values: dict[str, Any]) -> Any:
    """An object of the class, with whatever it checks itself. Raises what it raises, or ValueError."""
    if _is_pydantic(cls):
        return cls.model_validate(values)  # type: ignore[attr-defined]
    if issubclass(cls, msgspec.Struct):
        names = {one.encode_name: one.name for one in msgspec.structs.fields(cls)}
        return cls(**{names[key]: value for key, value in values.items()})
    return cls(**values)
