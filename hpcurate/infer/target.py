"""Which class or factory somebody means: `module.Class`, `module:Class`, or `./file.py:Class`. Python 3.9."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from hpcurate.errors import PipelineError

__all__ = ["found", "module_of", "resolved"]


def resolved(target: str) -> str:
    """`module:name` of what is meant; of a file, its folder is appended to the import path. Imports nothing of it.

    Raises PipelineError with what was expected.
    """
    file, _, name = target.partition(":")
    if file.endswith(".py"):
        return _in_file(file, name)
    module, _, name = target.partition(":") if ":" in target else target.rpartition(".")
    if not module or not name:
        raise PipelineError(f"target={target}: expected module.Class, module:Class or ./file.py:Class")
    return f"{module}:{name}"


def module_of(target: str) -> str:
    """The module of a target that `resolved` gave. Pure."""
    return target.partition(":")[0]


def found(target: str) -> Any:
    """What a target that `resolved` gave names. Raises PipelineError with the cause."""
    module, _, names = target.partition(":")
    try:
        there: Any = importlib.import_module(module)
        for name in names.split("."):
            there = getattr(there, name)
    except Exception as error:  # a module of the user's may raise anything at import
        raise PipelineError(f"target={target}: cannot be imported: {type(error).__name__}: {error}") from error
    return there


def _in_file(file: str, name: str) -> str:
    path = Path(os.path.abspath(os.path.expanduser(file)))
    if not path.stem.isidentifier():
        raise PipelineError(f"target={file}: its name must be that of a Python module, e.g. my_model.py")
    if not path.is_file():  # in a stage process: the copy of its code is on the path, under the name alone
        if name and importlib.util.find_spec(path.stem) is not None:
            return f"{path.stem}:{name}"
        raise PipelineError(f"target={file}: there is no such file below {os.getcwd()}")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
        importlib.invalidate_caches()
    spec = importlib.util.find_spec(path.stem)
    if spec is None or spec.origin is None or not os.path.samefile(spec.origin, path):
        where = spec.origin if spec else None
        raise PipelineError(f"target={file}: another module is called {path.stem!r} ({where}); rename the file")
    return f"{path.stem}:{name or _only_class(path)}"


def _only_class(path: Path) -> str:
    """The class with `infer` in a file: it is read, not run."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError) as error:
        raise PipelineError(f"target={path.name}: is no Python: {error}") from None
    classes = [node.name for node in body if isinstance(node, ast.ClassDef) and any(map(_is_infer, node.body))]
    if len(classes) != 1:
        names = ", ".join(classes) or "none"
        raise PipelineError(
            f"target={path.name}: has {len(classes)} classes with infer ({names}); name one, or a function that makes "
            f"one: {path.name}:NAME"
        )
    return classes[0]


def _is_infer(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "infer"
