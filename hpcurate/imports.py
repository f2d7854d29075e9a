"""What a stage's module imports, within its functions, too, from its source. Runs on Python 3.9 or newer."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator
from typing import Optional

import msgspec

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def imported_names(source: str, classes: Collection[str]) -> list[str]:
    """Modules that the module itself imports, these classes of it, and what they refer to; wherever it runs.

    Not what the code tries, nor what only type checkers see, nor what other stages of the file need. Pure.
    """
    return list(dict.fromkeys(one.module for one in imports_of(source, classes)))


class Import(msgspec.Struct, frozen=True):
    """One name that a program imports."""

    module: str
    name: str
    """Taken from the module; empty: the module itself."""
    used: bool
    """Whether what is reached refers to it; else the module only runs."""


def imports_of(source: str, classes: Optional[Collection[str]] = None) -> list[Import]:
    """What `imported_names` is about, name by name; of the whole module if `classes` is None. Pure."""
    module = _parsed(source)
    nodes = [module] if classes is None else _reached(module, classes)
    used = {name for node in nodes for name in _referred(node)}
    return [Import(module, name, bound in used) for node in nodes for module, name, bound in _names(node)]


@functools.lru_cache(maxsize=64)  # each of a file's classes asks
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


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


def _names(node: ast.AST) -> Iterator[tuple[str, str, str]]:
    """(module, name taken from it, what it is called here)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((a.name, "", a.asname or a.name.partition(".")[0]) for a in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.module and not child.level:
                yield from ((child.module, a.name, a.asname or a.name) for a in child.names)
        elif isinstance(child, ast.Try):
            yield from (name for part in (*child.orelse, *child.finalbody) for name in _names(part))
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield from _names(child)
