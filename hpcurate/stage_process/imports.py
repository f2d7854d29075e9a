"""What a stage's module imports, within its functions, too. Runs in every stage environment: Python 3.9 or newer."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection, Iterator

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def imported_names(source: str, classes: Collection[str]) -> list[str]:
    """Modules that the module itself imports, these classes of it, and what they refer to; wherever it runs.

    Not what the code tries, nor what only type checkers see, nor what other stages of the file need. Pure.
    """
    nodes = _reached(ast.parse(source), classes)
    return list(dict.fromkeys(name for node in nodes for name in _names(node)))


def _reached(module: ast.Module, classes: Collection[str]) -> list[ast.AST]:
    """What runs on import, then the functions and classes that can be reached from there by their names."""
    named = {node.name: node for node in module.body if isinstance(node, _NAMED)}
    plain = [node for node in module.body if not isinstance(node, _NAMED)]
    found: dict[str, ast.AST] = {}
    waiting = [*classes, *(name for node in plain for name in _referred(node))]
    while waiting:
        name = waiting.pop()
        if name in named and name not in found:
            found[name] = named[name]
            waiting += _referred(named[name])
    return [ast.Module(plain, []), *found.values()]


def _referred(node: ast.AST) -> list[str]:
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]


def _names(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.module and not child.level:
                yield child.module
        elif isinstance(child, ast.Try):
            yield from (name for part in (*child.orelse, *child.finalbody) for name in _names(part))
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield from _names(child)


def not_imported(source: str, classes: Collection[str]) -> list[str]:
    """`module: reason` of each that cannot be imported here."""
    found = []
    for name in imported_names(source, classes):
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package may raise anything
            found.append(f"{name}: {type(error).__name__}: {error}")
    return found
