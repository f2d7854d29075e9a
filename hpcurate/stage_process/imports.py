"""Whether what a stage imports is in its environment. Runs in every stage environment: Python 3.9 or newer."""

from __future__ import annotations

import importlib
from collections.abc import Collection

from hpcurate.imports import imported_names


def not_imported(source: str, classes: Collection[str]) -> list[str]:
    """`module: reason` of each that cannot be imported here."""
    found = []
    for name in imported_names(source, classes):
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken package may raise anything
            found.append(f"{name}: {type(error).__name__}: {error}")
    return found
