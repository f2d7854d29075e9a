"""Plain data and typed records as JSON, texts, notebooks. Python 3.9."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec

from hpcurate.errors import SavedError
from hpcurate.savers.base import Facts, Saver, class_name, class_of, other_form

PLAIN = (dict, list, int, float, bool, type(None))
"""What is JSON by itself."""


class JsonSaver(Saver):
    """Plain data, and values of classes of attrs, msgspec or dataclasses, which are read back as these."""

    suffix = ".json"

    def takes(self, value: Any) -> bool:
        """See `Saver`."""
        return type(value) in PLAIN or _is_record(type(value))

    def write(self, value: Any, path: str) -> Facts:
        """Refused where what is read back would be another value: NaN, tuples in plain data, keys that are no texts."""
        kind = type(value)
        facts = {"type": class_name(kind)} if _is_record(kind) else {}
        try:
            text = _text(msgspec.to_builtins(value, order="deterministic") if facts else value)
            back = self._value(text, kind if facts else None)
        except (TypeError, ValueError, RecursionError, msgspec.ValidationError) as error:
            other = other_form(value)
            what = f"a {kind.__name__} that JSON cannot hold: {error!s:.200}{'; ' + other if other else ''}"
            raise SavedError(what) from None
        if not _same(back, value):
            raise SavedError(
                f"a {kind.__name__} that would be read back as another one: JSON has neither tuples nor keys that are "
                "no texts; declare a class for it, or convert it"
            )
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return facts

    def read(self, path: str, facts: Facts) -> Any:
        """Of the class that it was. Raises SavedError where that is not to be found here."""
        with open(path, encoding="utf-8") as file:
            text = file.read()
        kind = class_of(facts["type"], "the value's class") if "type" in facts else None
        if kind is not None and not _is_record(kind):
            raise SavedError(f"{facts['type']!r} is no class of records")
        return self._value(text, kind)

    @staticmethod
    def _value(text: str, kind: Any) -> Any:
        plain = json.loads(text)
        return plain if kind is None else msgspec.convert(plain, kind)


def _is_record(kind: type) -> bool:
    return attrs.has(kind) or hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__struct_fields__")


def _text(plain: Any) -> str:
    """Readable where every character is one; lone surrogates, of names that are no text, are escaped."""
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    return text if text.isascii() or _encodes(text) else json.dumps(plain, allow_nan=False)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(back: Any, value: Any) -> bool:
    """Equal, and of the same types: `1 == True`, and a text of a class of its own equals a text."""
    if type(back) is not type(value):
        return False
    if isinstance(value, dict):
        return list(back) == list(value) and all(_same(back[key], value[key]) for key in value)
    if isinstance(value, list):
        return len(back) == len(value) and all(map(_same, back, value))
    return bool(back == value)


class TextSaver(Saver):
    """A text, in UTF-8; line ends stay as they are."""

    suffix = ".txt"

    def takes(self, value: Any) -> bool:
        """See `Saver`."""
        return type(value) is str

    def write(self, value: Any, path: str) -> Facts:
        """Also with bytes that are no text, as names of files may have them."""
        with open(path, "wb") as file:
            file.write(value.encode("utf-8", "surrogatepass"))
        return {"characters": len(value)}

    def read(self, path: str, facts: Facts) -> Any:
        """See `Saver`."""
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "surrogatepass")


class NotebookSaver(Saver):
    """A notebook, checked where `nbformat` is installed: its nodes, or a dict with `nbformat` and `cells`."""

    suffix = ".ipynb"

    def takes(self, value: Any) -> bool:
        """See `Saver`."""
        return isinstance(value, dict) and "nbformat" in value and isinstance(value.get("cells"), list)

    def write(self, value: Any, path: str) -> Facts:
        """As Jupyter writes it. Raises SavedError for what is no notebook."""
        _check_notebook(value)
        try:
            text = json.dumps(value, ensure_ascii=True, allow_nan=False, indent=1, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise SavedError(f"a notebook that JSON cannot hold: {error}") from None
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
        return {"nbformat": value["nbformat"], "cells": len(value["cells"])}

    def read(self, path: str, facts: Facts) -> Any:
        """A node of `nbformat` where that is installed, else a dict, which equals it."""
        with open(path, encoding="utf-8") as file:
            plain = json.load(file)
        try:
            import nbformat
        except ImportError:
            return plain
        return nbformat.from_dict(plain)  # type: ignore[no-untyped-call]


def _check_notebook(value: Any) -> None:
    try:
        import nbformat
    except ImportError:
        if not isinstance(value["nbformat"], int) or not all(isinstance(one, dict) for one in value["cells"]):
            raise SavedError("no notebook: `nbformat` is a whole number, and each of `cells` a dict") from None
        return
    try:
        nbformat.validate(nbformat.from_dict(value))  # type: ignore[no-untyped-call]
    except Exception as error:  # of jsonschema, by the version of nbformat
        raise SavedError(f"no notebook: {error!s:.300}") from None
