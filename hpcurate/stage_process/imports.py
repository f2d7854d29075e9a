"""What a stage's module imports, within its functions, too. Runs in every stage environment: Python 3.9 or newer."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator


def imported_names(source: str) -> list[str]:
    """Modules that the code imports wherever it runs; not what it tries, nor what only type checkers see. Pure."""
    return list(dict.fromkeys(_names(ast.parse(source))))


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


def not_imported(source: str) -> list[str]:
    """`module: reason` of each that cannot be imported here."""
    found = []
    for name in imported_names(source):
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package may raise anything
            found.append(f"{name}: {type(error).__name__}: {error}")
    return found
