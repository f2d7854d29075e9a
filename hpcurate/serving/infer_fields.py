"""The form of a class with `infer`: fields from annotations and docstrings, and a request that is checked first.

What cannot be imported in the server's own process has one field, `request`, and is checked by its worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeGuard, get_args, get_origin

import attrs
import msgspec

from hpcurate.docstrings import about, args_section, texts_below_fields
from hpcurate.errors import PipelineError
from hpcurate.infer import Infers
from hpcurate.infer.form import BadRequest, Form, form_of, validated, validator_of
from hpcurate.infer.records import NEEDED, Asked
from hpcurate.infer.target import found, resolved
from hpcurate.serving.fields import LONG, SIMPLE, without_none
from hpcurate.serving.served import Field, Given, Kind
from hpcurate.serving.service import Unfit
from hpcurate.serving.tasks import plain_values
from hpcurate.task import Task

__all__ = [
    "REQUEST",
    "about_of_class",
    "check",
    "example_of",
    "fields_of",
    "infer_task",
    "inputs_of_first",
    "is_asked_by_request",
    "request_of",
]

REQUEST = "request"
"""The one field of a form without others: all of the request, as JSON."""
EXAMPLE = "default_request"
"""Attribute of a class, or of its module, with a request to begin with."""


def fields_of(target: str, output: str = "output_dir") -> tuple[Field, ...]:
    """What a person gives to a request, those that have to be given first. `output`: the key of the folder.

    Raises PipelineError for a target that is none.
    """
    known = _known(resolved(target))
    example = example_of(target, output)
    if known is None or known[1].asked is None:
        help = "the request, a JSON object; infer is given it as a dict"
        default = example or None
        return (Field(key=REQUEST, kind="json", help=help, required=default is None, default=default),)
    there, form = known
    assert form.asked is not None
    helps = _helps(there, form)
    fields = [_field(one, helps.get(one.name, "")) for one in form.asked if one.name != output]
    return tuple(sorted(fields, key=lambda field: not field.required))


def example_of(target: str, output: str = "output_dir") -> dict[str, Any]:
    """A request to begin with: `default_request` of the class, or of its module; empty without."""
    known = _known(resolved(target))
    if known is None:
        return {}
    places = [known[0], inspect.getmodule(known[0])]
    given = next((value for place in places if isinstance(value := getattr(place, EXAMPLE, None), Mapping)), {})
    return {str(key): value for key, value in given.items() if key != output}


def request_of(fields: tuple[Field, ...], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The request, from the values of the form. Raises Unfit. Pure."""
    if [field.key for field in fields] != [REQUEST] or fields[0].kind != "json":
        return dict(inputs)
    request = inputs.get(REQUEST, fields[0].default)
    if not isinstance(request, Mapping):
        raise Unfit({REQUEST: f'expected a JSON object, such as {{"prompt": "a cat"}}, got {request!r:.80}'})
    return {str(key): value for key, value in request.items()}


def check(target: str, request: Mapping[str, Any], folder: str, output: str = "output_dir") -> None:
    """Ask the class, and its `validate`, whether they take a request. `folder`: that of the request.

    Raises Unfit naming each field. A class that cannot be imported here is asked by its worker, and nowhere else.
    """
    known = _known(resolved(target))
    if known is None:
        return
    there, form = known
    validate = validator_of(there)
    try:
        made = dict(request) if validate is None else validated(validate, request)
        form.check({**made, **({output: folder} if form.takes(output) else {})})
    except BadRequest as error:
        raise Unfit(error.problems) from None


def is_asked_by_request(stage: object, kind: type[Task]) -> TypeGuard[Infers]:
    """Whether a request is one of the stage's class: its task holds it as a dict. Pure."""
    return isinstance(stage, Infers) and bool(_holder(kind))


def inputs_of_first(stage: object, kind: type[Task]) -> tuple[tuple[Field, ...], dict[str, Any]] | None:
    """(form, default request) of what the first stage asks for; None for one that takes tasks as others do."""
    if not is_asked_by_request(stage, kind):
        return None
    where = (stage.infer_target, stage.infer_output)
    return fields_of(*where), example_of(*where)


def about_of_class(stage: object) -> str:
    """The docstring of the class that a stage calls; empty for other stages, and where it cannot be imported."""
    known = _known(stage.infer_target) if isinstance(stage, Infers) else None
    return "" if known is None else about(known[0] if isinstance(known[0], type) else type(known[0]))


def infer_task(kind: type[Task], stage: Infers, given: Given, fields: tuple[Field, ...]) -> Task:
    """The task of a request to a class with `infer`; its id is the request's. Raises Unfit naming each field."""
    known = {field.key: field for field in fields if field.kind == "file"}
    problems = {name: "takes no file" for name in given.files if name not in known}
    problems |= {name: "needs a file that is uploaded with the request" for name in given.inputs if name in known}
    if problems:
        raise Unfit(problems)
    values = plain_values(given.inputs, fields, "field of the request")
    request = request_of(fields, values) | {name: upload.path for name, upload in given.files.items()}
    check(stage.infer_target, request, given.folder, stage.infer_output)
    fields_of_task: dict[str, Any] = {"id": given.id, _holder(kind): request}
    return kind(**fields_of_task)


def _holder(kind: type[Task]) -> str:
    """The field of a task that holds a request: of an InferTask, of a row of a table; empty without."""
    names = {field.name for field in attrs.fields(kind)}
    return next((name for name in (REQUEST, "data") if name in names), "")


def _known(target: str) -> tuple[Any, Form] | None:
    """(what the target names, its form); None where this process cannot import it, or nobody says what it makes."""
    try:
        there = found(target)
        made = there if isinstance(there, type) or not callable(there) else inspect.signature(there).return_annotation
        if isinstance(made, str):
            made = getattr(inspect.getmodule(there), made, None)
        infer = getattr(made, "infer", None)
        return (made, form_of(infer)) if callable(infer) else None
    except PipelineError:
        return None


# -- one field ------------------------------------------------------------------------------------------


def _field(one: Asked, help: str) -> Field:
    hint, said = _described(one.hint)
    optional, inner = without_none(hint)
    choices = _choices(inner)
    default = None if one.default is NEEDED else _plain(one.default)
    return Field(
        key=one.name,
        kind="choice" if choices else _kind(one.name, inner, default),
        help=one.help or said or help,
        required=one.default is NEEDED,
        default=default,
        choices=choices,
        optional=optional,
    )


def _kind(name: str, hint: Any, default: Any) -> Kind:
    if isinstance(hint, type) and issubclass(hint, PurePath):
        return "file"
    kind = SIMPLE.get(hint) or (SIMPLE.get(type(default)) if hint is Any else None) or "json"
    return "long_text" if kind == "text" and name in LONG else kind


def _described(hint: Any) -> tuple[Any, str]:
    """(the type, what an annotation says about it: `Annotated[int, "steps of the sampler"]`, msgspec.Meta)."""
    if get_origin(hint) is not Annotated:
        return hint, ""
    inner, *said = get_args(hint)
    texts = [one if isinstance(one, str) else getattr(one, "description", None) for one in said]
    return inner, next((text for text in texts if text), "")


def _choices(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(one.value for one in hint) if isinstance(hint, type) and issubclass(hint, Enum) else ()


def _plain(value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, enc_hook=str)
    except (TypeError, ValueError):
        return None


def _helps(there: Any, form: Form) -> dict[str, str]:
    """Field → help: from `Args:` of infer's docstring, or of the class of the request, and texts below its fields."""
    written = [there.infer] if form.record is None else [there.infer, form.record]
    below = texts_below_fields(form.record) if form.record is not None else {}
    return below | {name: help for one in written for name, help in args_section(inspect.getdoc(one) or "").items()}
