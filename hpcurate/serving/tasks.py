"""From what a request gives to its task, checked before any worker sees it; and from rows to what is answered."""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any, get_type_hints

import attrs
import msgspec

from hpcurate.errors import RecordError
from hpcurate.fields import in_yaml, suggestion
from hpcurate.serving.fields import FILE
from hpcurate.serving.served import Field, Given, OutFile
from hpcurate.serving.service import Unfit
from hpcurate.serving.values import why_not_plain
from hpcurate.store.rows import codec
from hpcurate.task import File, FileTask, Task, saved_of

__all__ = ["outcome_of", "plain_values", "rows_of", "task_of"]


def plain_values(given: dict[str, Any], fields: Sequence[Field], what: str) -> dict[str, Any]:
    """What was given, with texts read as what their fields are; empty ones left out. Raises Unfit naming each field."""
    known, problems, found = {field.key: field for field in fields}, dict[str, str](), dict[str, Any]()
    for key, value in given.items():
        field = known.get(key)
        if field is None:
            problems[key] = f"there is no such {what}; {suggestion(key, known)}"
        elif isinstance(value, str) and field.kind not in ("text", "long_text"):
            if value.strip():
                found[key] = _read(key, field, value.strip(), problems)
        else:
            found[key] = value
        if key not in problems and (why := why_not_plain(found.get(key)) or _no_text(field, found)):
            problems[key] = why
        if field and field.choices and found.get(key) not in (*field.choices, None) and key not in problems:
            problems[key] = f"expected one of {', '.join(map(str, field.choices))}, got {found[key]!r}"
    if problems:
        raise Unfit(problems)
    return found


def _no_text(field: Field | None, found: dict[str, Any]) -> str:
    """Why a value is none of a field that is text: it would be written as Python writes it."""
    if field is None or field.kind not in ("text", "long_text") or field.key not in found:
        return ""
    value = found[field.key]
    fits = value is None and (field.optional or field.default is None)
    return "" if fits or isinstance(value, (str, int, float)) else f"expected text, got {json.dumps(value)[:80]}"


def _read(key: str, field: Field, text: str, problems: dict[str, str]) -> Any:
    if field.kind == "choice":
        return next((choice for choice in field.choices if str(choice) == text), text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        problems[key] = f"expected {_WORDS.get(field.kind, 'JSON')}, got {text[:80]!r}"
        return None


_WORDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}


# -- the task -------------------------------------------------------------------------------------------


def task_of(kind: type[Task], given: Given, fields: Sequence[Field]) -> Task:
    """The task of a request; its id is the request's. Raises Unfit naming each field."""
    known = {field.key: field for field in fields}
    if FILE in known and known[FILE].kind == "file":
        return _of_file(kind, given, known[FILE])
    if given.files:
        raise Unfit(dict.fromkeys(given.files, "takes no file"))
    values = plain_values(given.inputs, fields, "field of the task")
    missing = [field.key for field in fields if field.required and values.get(field.key) is None]
    if missing:
        raise Unfit(dict.fromkeys(missing, "needs a value"))
    return _of_values(kind, given.id, values)


def _of_file(kind: type[Task], given: Given, field: Field) -> Task:
    others = {
        key: "there is no such field; the one there is: file" for key in (given.inputs | given.files) if key != FILE
    }
    upload = given.files.get(FILE)
    if upload is None:
        others[FILE] = "needs a file that is uploaded with the request: a path or an address is none"
    elif field.suffixes and PurePath(upload.path).suffix.lower() not in field.suffixes:
        others[FILE] = f"{upload.name!a:.80}: expected a name that ends in {', '.join(field.suffixes)}"
    if others or upload is None:
        raise Unfit(others)
    status = os.stat(upload.path)
    assert issubclass(kind, FileTask)
    size = max(status.st_size / 1e6, 0.001)
    return kind(
        id=given.id, source=_name(upload.name), path=upload.path, size=status.st_size, mtime_ns=status.st_mtime_ns,
        weight=size,
    )  # fmt: skip


def _name(name: str) -> str:
    """What a file is called, for people: its last part, without what is no text."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(one if one.isprintable() else "�" for one in last)[:200] or "upload"


def _of_values(kind: type[Task], request: str, values: dict[str, Any]) -> Task:
    hints, problems, made = get_type_hints(kind), dict[str, str](), dict[str, Any]()
    for key, value in values.items():
        try:
            made[key] = msgspec.convert(value, hints.get(key, Any))
        except (msgspec.ValidationError, TypeError) as error:
            said = in_yaml(error, value) if isinstance(error, msgspec.ValidationError) else str(error)
            problems[key] = f"{said}, got {value!r:.80}"
    if problems:
        raise Unfit(problems)
    try:
        task = kind(id=request, **made)
        codec(kind).encode(task)
    except (TypeError, ValueError, RecordError) as error:
        raise Unfit({"task": str(error)}) from None
    return task


# -- the outcome ----------------------------------------------------------------------------------------


def rows_of(folder: str, name: str) -> list[dict[str, Any]]:
    """Rows of `dropped`, `failed` or `logged` in an attempt's folder; none where there is no such file."""
    path = Path(folder, f"{name}.jsonl")
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def outcome_of(kind: type[Task], folder: str, rows: bytes) -> tuple[tuple[dict[str, Any], ...], tuple[OutFile, ...]]:
    """(tasks as plain data, files that they name). `folder` is the request's; no path of it is in the data.

    References of files begin in the folder of all requests: a codec is kept for each such root.
    """
    files: list[OutFile] = []
    tasks = []
    for line in rows.splitlines():
        task = codec(kind, os.path.dirname(folder)).decode(line)
        tasks.append(_shown(task, json.loads(line), "", folder, files))
    return tuple(tasks), tuple(files)


def _shown(value: Any, plain: Any, field: str, folder: str, files: list[OutFile]) -> Any:
    """A value as others get it: a file by its number, and no path of this machine."""
    if isinstance(value, File):
        files.append(_out_file(value, len(files), field))
        return {"file": files[-1].number, "name": files[-1].name, "media": files[-1].media}
    if isinstance(plain, str):
        return plain.replace(f"{folder}/", "")
    if isinstance(plain, dict):
        inner = dict(_items(value))
        return {key: _shown(inner.get(key), one, field or key, folder, files) for key, one in plain.items()}
    if isinstance(plain, list):
        several = list(value) if isinstance(value, (list, tuple)) else [None] * len(plain)
        return [_shown(one, also, field, folder, files) for one, also in zip(several, plain, strict=False)]
    return plain


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((str(key), one) for key, one in value.items())
    elif attrs.has(type(value)):
        yield from ((one.name, getattr(value, one.name)) for one in attrs.fields(type(value)))
        if isinstance(value, Task) and saved_of(value):
            yield "saved", dict(saved_of(value))
    elif isinstance(value, msgspec.Struct):
        yield from ((name, getattr(value, name)) for name in value.__struct_fields__)


def _out_file(file: File, number: int, field: str) -> OutFile:
    path = os.path.realpath(os.fspath(file))
    media = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return OutFile(number=number, name=file.name, field=field, media=media, size=os.path.getsize(path), path=path)
