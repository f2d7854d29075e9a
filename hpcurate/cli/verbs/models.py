"""`hpcurate models list|fetch|verify|remove`: the weights of a store."""

from __future__ import annotations

import argparse
import os

from hpcurate.cli.store_choice import find_store
from hpcurate.cli.verbs.explain import table
from hpcurate.config_files import conf_folders
from hpcurate.errors import ConfigError
from hpcurate.models.registry import ModelEntry, Registry, read_registry
from hpcurate.models.weights import WeightStore, faults, files_of
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store


def verb(argv: list[str]) -> int:
    """Do one of them; the exit status."""
    options = _parser().parse_args(argv[1:])
    registry = read_registry(conf_folders(options.config_dir))
    store = WeightStore(find_store(options.store))
    if options.action == "list":
        return _list(registry, store)
    if not options.name and options.action != "verify":
        raise ConfigError(f"models {options.action}: name one of {', '.join(registry.entries) or 'none'}")
    entries = [registry[name] for name in options.name] or list(registry.entries.values())
    if options.action == "fetch":
        return _fetch(entries, store, update=options.update)
    if options.action == "verify":
        return _verify(entries, store)
    return _remove(entries, store)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hpcurate models", description="the weights of a store")
    parser.add_argument("action", choices=("list", "fetch", "verify", "remove"))
    parser.add_argument("name", nargs="*", help="models of conf/models; verify: default all that are there")
    parser.add_argument("--store", help="default: HPCURATE_STORE, then the last one used")
    parser.add_argument("--config-dir", action="append", default=[], help="a conf folder of yours")
    parser.add_argument("--update", action="store_true", help="fetch: ask anew what a branch or tag means")
    return parser


def _list(registry: Registry, store: WeightStore) -> int:
    rows = [_row(entry, store) for entry in registry.entries.values()]
    print("\n".join(table(("name", "repository", "revision", "licence", "in the store"), rows)))
    return 0


def _row(entry: ModelEntry, store: WeightStore) -> tuple[str, ...]:
    found = store.find(entry)
    size = sum(file.size for file in files_of(found.path)) if found else 0
    there = f"{size / 1e6:.1f} MB, {found.commit[:12]}" if found else f"no{f', {entry.size}' if entry.size else ''}"
    return (entry.name, entry.repo, entry.revision[:12], entry.licence or "-", there)


def _fetch(entries: list[ModelEntry], store: WeightStore, *, update: bool) -> int:
    from hpcurate.cli.start.launch import say
    from hpcurate.models.hub import fetch

    for entry in entries:
        print(fetch(store, entry, update=update, echo=say).path)
    return 0


def _verify(entries: list[ModelEntry], store: WeightStore) -> int:
    worst = 0
    for entry in entries:
        found = store.find(entry)
        wrong = faults(found.path) if found else []
        told = "not in the store" if found is None else "; ".join(wrong) or "every file has its size and digest"
        print(f"{entry.name}: {told}")
        if wrong:
            print(f"  next: hpcurate models remove {entry.name} && hpcurate models fetch {entry.name}")
            worst = 1
    return worst


def _remove(entries: list[ModelEntry], store: WeightStore) -> int:
    for entry in entries:
        found = store.find(entry)
        if found is None:
            print(f"{entry.name}: not in the store")
            continue
        PosixFilesystem().discard(found.path, Store(os.path.dirname(store.folder)).trash)
        print(f"{entry.name}: {found.identity} removed")
    return 0
