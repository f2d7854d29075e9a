"""What `infer` of a class takes, from its signature; and its arguments, from a request that is checked first.

Python 3.9. Three forms: `infer(args: dict)`, `infer(request: Request)` with a class of fields, `infer(prompt: str, …)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Optional, get_origin, get_type_hints

import attrs
import msgspec

from hpcurate.errors import PipelineError, StageError
from hpcurate.fields import in_yaml, suggestion
from hpcurate.infer.records import NEEDED, Asked, fields_of_record, is_record, made

__all__ = ["BadRequest", "Form", "form_of", "validated", "validator_of"]

P = inspect.Parameter
NAMED = (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD, P.KEYWORD_ONLY)


class BadRequest(StageError):
    """A request that `infer` cannot be called with: `problems` names each field and what is expected of it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {text}" for key, text in problems.items()))
        self.problems = dict(problems)


@attrs.define(frozen=True)
class Form:
    """How `infer` is called."""

    asked: Optional[tuple[Asked, ...]] = None
    """Fields of the request; None: it is passed on as a dict, whatever is in it."""
    record: Optional[type] = None
    """The class of its one argument; None: fields are keywords, or there are none."""
    by_place: tuple[str, ...] = ()
    """Fields that have no name in a call."""
    open_ended: bool = False
    """Whether further fields are taken."""

    def takes(self, name: str) -> bool:
        """Whether a request may have this field."""
        return self.asked is None or self.open_ended or any(one.name == name for one in self.asked)

    def checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The values as they are typed, those that are left out left out. Raises BadRequest."""
        if self.asked is None:
            return dict(request)
        known, problems = {one.name: one for one in self.asked}, dict[str, str]()
        values = {}
        for name, value in request.items():
            if name not in known and not self.open_ended:
                problems[name] = f"there is no such field; {suggestion(name, known)}"
                continue
            try:
                values[name] = _converted(known[name].hint, value) if name in known else value
            except ValueError as error:
                problems[name] = str(error)
        for one in self.asked:
            if one.default is NEEDED and one.name not in request:
                problems[one.name] = "needs a value"
        if problems:
            raise BadRequest(problems)
        return values

    def arguments(self, request: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """What to call `infer` with. Raises BadRequest."""
        values = self.checked(request)
        if self.asked is None:
            return [values], {}
        if self.record is None:
            placed = [values.pop(name) for name in self.by_place if name in values]
            return placed, values
        return [self._made(values)], {}

    def check(self, request: Mapping[str, Any]) -> None:
        """Raise BadRequest where `arguments` would."""
        self.arguments(request)

    def _made(self, values: dict[str, Any]) -> Any:
        assert self.record is not None
        try:
            return made(self.record, values)
        except Exception as error:  # checks of the user's own class may raise anything
            raise BadRequest(_problems(error)) from error


def form_of(infer: Any) -> Form:
    """That of a function, bound or not. Raises PipelineError where its annotations cannot be evaluated here."""
    parameters = [one for one in inspect.signature(infer).parameters.values() if one.name != "self"]
    named = [one for one in parameters if one.kind in NAMED]
    open_ended = any(one.kind is P.VAR_KEYWORD for one in parameters)
    hints = _hints(infer)
    if len(named) == 1 and not open_ended:
        hint = hints.get(named[0].name)
        if hint is None or hint is Any or _is_dict(hint):
            return Form()
        if is_record(hint):
            return Form(tuple(_fields(hint)), hint)
    asked = tuple(Asked(one.name, hints.get(one.name, Any), one.default) for one in named)
    by_place = tuple(one.name for one in named if one.kind is P.POSITIONAL_ONLY)
    return Form(asked, None, by_place, open_ended)


def _is_dict(hint: Any) -> bool:
    kind = get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, Mapping) and not is_record(kind)


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # a name that only a type checker sees, `int | None` on Python 3.9
        raise PipelineError(
            f"{getattr(function, '__qualname__', function)}: its annotations cannot be evaluated here: "
            f"{type(error).__name__}: {error}"
        ) from None


def _fields(cls: type) -> list[Asked]:
    try:
        return fields_of_record(cls)
    except (NameError, TypeError) as error:
        raise PipelineError(f"{cls.__qualname__}: its annotations cannot be evaluated here: {error}") from None


def _converted(hint: Any, value: Any) -> Any:
    """A value as its type has it; of a type that is no plain data, as it is. Raises ValueError."""
    try:
        return msgspec.convert(value, hint, strict=not isinstance(value, str), dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise ValueError(f"{in_yaml(error, value)}, got {value!r:.80}") from None
    except TypeError:
        return value


def _from_text(kind: type, value: Any) -> Any:
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(kind)


def _problems(error: Exception) -> dict[str, str]:
    """Field → problem; of pydantic each, of others all of it."""
    listed = getattr(error, "errors", None)
    if callable(listed):
        try:
            return {".".join(map(str, one["loc"])) or "request": str(one["msg"]) for one in listed()}
        except (KeyError, TypeError):
            pass
    return {"request": f"{type(error).__name__}: {error}"}


def validator_of(found: Any) -> Any:
    """`validate(request) → request` of a class, static, else of the module of a class or factory; None without."""
    own = inspect.getattr_static(found, "validate", None) if isinstance(found, type) else None
    if isinstance(own, (staticmethod, classmethod)):
        return found.validate
    module = inspect.getmodule(found)
    there = getattr(module, "validate", None)
    return there if callable(there) and getattr(there, "__module__", None) == getattr(module, "__name__", "") else None


def validated(validate: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the user's `validate` returns it. Raises BadRequest."""
    try:
        checked = validate(dict(request))
    except Exception as error:  # whatever it raises says why the request is not accepted
        raise BadRequest({"request": str(error) or type(error).__name__}) from error
    if not isinstance(checked, dict):
        raise BadRequest({"request": f"validate returned {type(checked).__name__}; a dict is expected, the request"})
    return checked
