"""What `infer` returned, as plain values and files: a dict, an object with fields, None, or paths. Python 3.9."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Optional

import attrs
import msgspec

from hpcurate.errors import StageError

__all__ = ["files_below", "outcome"]

NO_PLAIN = (
    "infer returned {kind}, which is no plain data: write it to a file in the request's output_dir, or return numbers, "
    "texts, lists and dicts"
)


def outcome(result: Any, folder: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(values, name → path relative to `folder` of each file). Files elsewhere that it names are copied there.

    Files are called by their field if one of the result names them, else by their path. Raises StageError.
    """
    values = {str(name): value for name, value in _named(result).items()}
    named: dict[str, str] = {}
    for name, value in tuple(values.items()):
        paths = _paths(value, folder)
        if paths is not None:
            del values[name]
            below = [_below(path, folder) for path in paths]
            if not isinstance(value, (list, tuple)):
                named[name] = below[0]
    plain = {name: _plain(value, folder) for name, value in values.items()}
    rest = [path for path in files_below(folder) if path not in named.values()]
    return plain, {**named, **{path if path not in named else f"./{path}": path for path in rest}}


def files_below(folder: str) -> Iterator[str]:
    """Every file that was left in a folder, relative, in order. Raises StageError for a link: it may lead anywhere."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in (*folders, *names):
            if os.path.islink(path := os.path.join(above, name)):
                raise StageError(f"{os.path.relpath(path, folder)} in output_dir is a link; write the file itself")
        yield from (os.path.relpath(os.path.join(above, name), folder) for name in sorted(names))


def _named(result: Any) -> dict[Any, Any]:
    """Its fields; what has none is called `result`."""
    if result is None:
        return {}
    if isinstance(result, Mapping):
        return dict(result)
    if isinstance(result, msgspec.Struct):
        return msgspec.structs.asdict(result)
    if isinstance(result, type):
        raise StageError(NO_PLAIN.format(kind=f"the class {result.__qualname__}"))
    if attrs.has(type(result)):
        return attrs.asdict(result, recurse=False)
    if dataclasses.is_dataclass(result):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if hasattr(result, "model_dump"):
        return dict(result.model_dump())
    return {"result": result}


def _paths(value: Any, folder: str) -> Optional[list[str]]:
    """The files that a value is: a path, a list of paths, or a text that is a path in `folder`; None for others."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if values and all(isinstance(one, PurePath) or _is_in(one, folder) for one in values):
        return [os.fspath(one) for one in values]
    return None


def _is_in(value: Any, folder: str) -> bool:
    return isinstance(value, str) and value.startswith(folder + os.sep) and os.path.isfile(value)


def _below(path: str, folder: str) -> str:
    """The file's path relative to the folder; one that lies elsewhere is copied first."""
    full = os.path.join(folder, path) if not os.path.isabs(path) and not os.path.exists(path) else os.path.abspath(path)
    if not os.path.isfile(full):
        what = "a folder" if os.path.isdir(full) else "no file"
        raise StageError(f"infer returned the path {path}, where there is {what}")
    if full.startswith(folder + os.sep):
        return os.path.relpath(full, folder)
    name, number = os.path.basename(full), 1
    while os.path.lexists(os.path.join(folder, name)):
        name, number = f"{number}-{os.path.basename(full)}", number + 1
    shutil.copyfile(full, os.path.join(folder, name))
    return name


def _plain(value: Any, folder: str) -> Any:
    """As JSON has it; paths in the folder, which is gone afterwards, relative to it. Raises StageError."""

    def other(one: Any) -> Any:
        if isinstance(one, PurePath):
            return os.fspath(one)
        if getattr(one, "ndim", None) == 0 and hasattr(one, "item"):  # a number of numpy or torch
            return one.item()
        raise StageError(NO_PLAIN.format(kind=f"a {type(one).__module__}.{type(one).__qualname__}"))

    try:
        plain = msgspec.to_builtins(value, enc_hook=other, str_keys=True)
    except (TypeError, ValueError) as error:
        raise StageError(f"infer returned what is no plain data: {error}") from None
    return _relative(plain, folder + os.sep)


def _relative(plain: Any, folder: str) -> Any:
    if isinstance(plain, str):
        return plain.replace(folder, "")
    if isinstance(plain, list):
        return [_relative(one, folder) for one in plain]
    if isinstance(plain, dict):
        return {name: _relative(one, folder) for name, one in plain.items()}
    return plain
