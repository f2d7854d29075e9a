"""`hpcurate models list|fetch|verify|remove`: the weights of a store."""

from __future__ import annotations

import argparse
import os

from hpcurate.cli.terminal import say, show, table
from hpcurate.cli.verbs.common import store_parser, store_path
from hpcurate.config_files import conf_folders
from hpcurate.errors import ConfigError
from hpcurate.models.registry import ModelEntry, Registry, read_registry
from hpcurate.models.weights import WeightStore, faults, files_of
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.units import bytes_text


def parser() -> argparse.ArgumentParser:
    """See `hpcurate models --help`."""
    made = store_parser("models", "the weights of a store")
    made.add_argument("action", choices=("list", "fetch", "verify", "remove"), help="what to do")
    made.add_argument("name", nargs="*", help="models of conf/models; verify: all of them by default")
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    made.add_argument(
        "--update",
        action="store_true",
        help="fetch: ask again which commit a branch or tag is, and what a folder holds now",
    )
    return made


def verb(argv: list[str]) -> int:
    """Do what is asked; the exit status."""
    options = parser().parse_args(argv[1:])
    registry = read_registry(conf_folders(options.config_dir))
    store = WeightStore(store_path(options))
    if options.action == "list":
        return _list(registry, store)
    if not options.name and options.action != "verify":
        raise ConfigError(f"models {options.action}: name a model: {', '.join(registry.entries) or 'there is none'}")
    entries = [registry[name] for name in options.name] or list(registry.entries.values())
    if options.action == "fetch":
        return _fetch(entries, store, update=options.update)
    if options.action == "verify":
        return _verify(entries, store)
    return _remove(entries, store)


def _list(registry: Registry, store: WeightStore) -> int:
    rows = [_row(entry, store) for entry in registry.entries.values()]
    show(table(("name", "from", "licence", "in the store"), rows))
    return 0


def _row(entry: ModelEntry, store: WeightStore) -> tuple[str, ...]:
    weights = store.find(entry)
    size = sum(file.size for file in files_of(weights.path)) if weights else 0
    there = f"{bytes_text(size)}, {weights.version[:12]}" if weights else f"no{f', {entry.size}' if entry.size else ''}"
    return (entry.name, entry.origin.text, entry.licence or "-", there + (", untried" if entry.untried else ""))


def _fetch(entries: list[ModelEntry], store: WeightStore, *, update: bool) -> int:
    from hpcurate.models.fetch import fetch

    for entry in entries:
        print(fetch(store, entry, update=update, echo=say).path)
        for line in store.notes(entry):
            say(line)
    return 0


def _verify(entries: list[ModelEntry], store: WeightStore) -> int:
    worst = 0
    for entry in entries:
        weights = store.find(entry)
        wrong = faults(weights.path) if weights else []
        state = "not in the store" if weights is None else "; ".join(wrong) or "every file has its size and digest"
        print(f"{entry.name}: {state}")
        if wrong:
            print(f"  next: hpcurate models remove {entry.name} && hpcurate models fetch {entry.name}")
            worst = 1
    return worst


def _remove(entries: list[ModelEntry], store: WeightStore) -> int:
    for entry in entries:
        weights = store.find(entry)
        if weights is None:
            print(f"{entry.name}: not in the store")
            continue
        POSIX.discard(weights.path, Store(os.path.dirname(store.folder)).trash)
        print(f"{entry.name}: {weights.identity} removed")
    return 0
