"""Help that stands beside what it is about: in `Args:` of a docstring, and in texts below the fields of a class."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from itertools import pairwise

__all__ = ["about", "args_section", "first_line", "helps_of", "texts_below_fields"]


def first_line(cls: type) -> str:
    """What its docstring begins with."""
    return about(cls).split("\n\n")[0].replace("\n", " ")


def about(cls: type) -> str:
    """Its docstring, or that of a class that it derives from, without indentation."""
    return inspect.getdoc(cls) or ""


def helps_of(cls: type) -> dict[str, str]:
    """Constructor parameter → help, from `Args:` of its docstring, or of the class's."""
    documented = (cls, inspect.getattr_static(cls, "__init__"))
    return {name: help for one in documented for name, help in args_section(inspect.getdoc(one) or "").items()}


def args_section(doc: str) -> dict[str, str]:
    """Parameter → help, from a docstring's `Args:` section. Pure."""
    _, _, section = doc.partition("Args:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.fullmatch(r" {4}(\w+): (.*)", line)
        if match:
            name = match[1]
            found[name] = match[2].strip()
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return found


@functools.lru_cache(maxsize=256)
def _own_texts(cls: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):  # made by a program, or its file is gone
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, text in pairwise(body):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return found


def texts_below_fields(cls: type) -> dict[str, str]:
    """Field → the text that stands below it in the source of its class, or of one that it derives from."""
    return {name: text for one in reversed(cls.__mro__[:-1]) for name, text in _own_texts(one).items()}
