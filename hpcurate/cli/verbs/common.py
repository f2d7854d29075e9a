"""What every verb does first and last: find the run that is meant, and print any bytes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable

from hpcurate.cli.store_choice import find_store
from hpcurate.errors import StoreError
from hpcurate.runs.folder import Run, find_run
from hpcurate.store.layout import Store


def run_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for `hpcurate NAME [RUN] [--store DIR]`."""
    parser = store_parser(name, description)
    parser.add_argument("run", nargs="?", help="name, path or part of a name; default: the latest")
    return parser


def store_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for `hpcurate NAME [--store DIR]`."""
    parser = argparse.ArgumentParser(prog=f"hpcurate {name}", description=description)
    parser.add_argument("--store", help="default: HPCURATE_STORE, then the last one used")
    return parser


def the_store(options: argparse.Namespace) -> Store:
    """The store that is meant. Raises StoreError where there is none."""
    store = Store(os.path.abspath(find_store(options.store)))
    if not os.path.isdir(store.runs):
        raise StoreError(f"--store {store.root}: is no store; it has no runs/ folder")
    return store


def the_run(options: argparse.Namespace) -> Run:
    """The run that is meant. Raises StoreError listing the candidates."""
    return find_run(the_store(options), options.run)


def show(lines: Iterable[str]) -> None:
    """Print lines whose names may be any bytes."""
    for line in lines:
        print(printable(line))
    sys.stdout.flush()


def printable(text: str) -> str:
    """What any terminal takes: other bytes as `\\udcff`. Pure."""
    return text.encode("utf-8", "backslashreplace").decode()


def columns(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A table: the first column to the left, the others to the right. Pure."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in cells
    ]
