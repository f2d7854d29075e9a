"""`hpcurate install +pipeline=…`: weights and environments that a pipeline needs, made ready before a run."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.cli.start.inputs import read_source
from hpcurate.cli.start.launch import combinations_of
from hpcurate.cli.start.overrides import Typed, sort_arguments
from hpcurate.cli.start.request import binds_of, without_input
from hpcurate.cli.start.steps import read_steps
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import say, say_error, show, table
from hpcurate.cli.verbs.common import ending_at_once, store_parser
from hpcurate.config_files import conf_folders
from hpcurate.environments.binds import Bind
from hpcurate.environments.files import env_folders
from hpcurate.environments.needed import provide_env
from hpcurate.environments.pack import pack
from hpcurate.environments.resolve import Environments
from hpcurate.errors import UserError
from hpcurate.models.registry import ModelEntry, Registry, read_registry
from hpcurate.models.weights import Weights, WeightStore, faults, files_of
from hpcurate.planning.build import Step, installed
from hpcurate.planning.missing import Need, NotInstalled
from hpcurate.planning.pipeline import Environment, WeightsRef
from hpcurate.runs.code import merge_packages
from hpcurate.source import Source
from hpcurate.units import bytes_text, megabytes

ABOUT = (
    "build the environments and fetch the weights that a run with the same arguments needs, and check those that are "
    "there; what was interrupted continues when the same is typed again"
)


def parser() -> argparse.ArgumentParser:
    """See `hpcurate install --help`."""
    made = store_parser("install", ABOUT)
    made.add_argument("words", nargs="*", metavar="+pipeline=NAME | KEY=VALUE", help="as for a run, without input=")
    made.add_argument("--dry-run", action="store_true", help="only print what is needed, and how large it is")
    made.add_argument("-m", "--multirun", action="store_true", help="of each combination of a sweep")
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    return made


def verb(argv: list[str]) -> int:
    """Do what is asked; the exit status."""
    options = parser().parse_intermixed_args(argv[1:])
    if not options.words:
        parser().print_help()
        return 0
    merge_packages()
    typed = sort_arguments(_as_typed(options))
    wanted = [_wanted(one) for one in (combinations_of(typed) if typed.multirun else [typed])]
    found = list(map(_look, wanted))
    rows = list(dict.fromkeys(row for one in found for row in one.rows))
    show(table(("needs", "from", "size", "state"), rows) if rows else [])
    show(list(dict.fromkeys(line for one in found for line in one.why)))
    show(_room(wanted, found))
    if options.dry_run:
        return 0
    return ending_at_once(lambda: _make_ready(wanted, found))


def _as_typed(options: argparse.Namespace) -> list[str]:
    """The arguments of the run. Pure."""
    keys = [f"{key}={value}" for key, value in (("store", options.store), ("site", options.site)) if value is not None]
    folders = [word for folder in options.config_dir for word in ("--config-dir", folder)]
    return [*options.words, *keys, *folders, *["-m"][: options.multirun]]


# -- what is needed ---------------------------------------------------------------------------------


@attrs.define(frozen=True)
class _Wanted:
    """What one pipeline may need, before anybody looked."""

    store: WeightStore
    registry: Registry
    steps: Mapping[str, Step]
    places: Sequence[str]
    source: Source
    binds: Sequence[Bind]


@attrs.define(frozen=True)
class _Look:
    """What was found."""

    rows: list[tuple[str, ...]]
    here: list[Weights]
    missing: tuple[Need, ...]
    why: tuple[str, ...] = ()
    """Of each environment to build, what the current one lacks."""


def _wanted(typed: Typed) -> _Wanted:
    _, settings = without_input(typed)
    registry = read_registry(conf_folders(typed.config_dirs), settings.models)
    store = WeightStore(find_store(settings.store, settings.site))
    steps, source = read_steps(settings.stages), read_source(settings.source)
    return _Wanted(store, registry, steps, settings.places, source, binds_of(settings))


def _look(wanted: _Wanted) -> _Look:
    store, environments = wanted.store, Environments(wanted.store.root, env_folders(), wanted.binds)
    here: dict[str, Weights] = {}
    rows: dict[str, tuple[str, ...]] = {}

    def weights(name: str) -> WeightsRef:
        found = store.need(wanted.registry, name)
        here[found.entry.name] = found
        return found.ref

    def environment(env: Any, to_node: bool) -> Environment:
        found = environments(env, to_node)
        if found.prefix or found.container:
            rows[str(env)] = (f"env {env}", found.prefix or " ".join(found.python), "-", "there")
        return found

    missing: tuple[Need, ...] = ()
    why: tuple[str, ...] = ()
    try:
        installed(wanted.source, wanted.steps, wanted.places, weights, environment)
    except NotInstalled as error:
        missing, why = error.needs, tuple(what for what in error.lacks if what.startswith("env="))
    models = [_row(one.entry, _bytes(one), "there") for one in here.values()]
    lacking = [_row_of(need, wanted.registry) for need in missing]
    return _Look([*models, *rows.values(), *lacking], list(here.values()), missing, why)


def _row_of(need: Need, registry: Registry) -> tuple[str, ...]:
    if need.kind == "model":
        entry = registry[need.name]
        return _row(entry, entry.size or "unknown", "to fetch")
    return (f"env {need.name}", need.name, "-", "to pack" if need.kind == "prefix" else "to build")


def _row(entry: ModelEntry, size: str, state: str) -> tuple[str, ...]:
    return (f"model {entry.name}", entry.origin.text, size, state + (", untried" if entry.untried else ""))


def _room(wanted: Sequence[_Wanted], found: Sequence[_Look]) -> list[str]:
    """What is to be fetched in all, and where it goes; nothing if there is nothing to do."""
    lines = {}
    for one, look in zip(wanted, found, strict=True):
        entries = {need.name: one.registry[need.name] for need in look.missing if need.kind == "model"}
        total = sum(megabytes(entry.size) for entry in entries.values() if entry.size)
        more = ", and what has no size here" if not all(entry.size for entry in entries.values()) else ""
        there = next(path for path in (Path(one.store.root), *Path(one.store.root).parents) if path.is_dir())
        free = shutil.disk_usage(there).free / 2**30
        lines[f"to fetch: {total} MiB{more}; {one.store.root} has {free:.0f} GiB free"] = bool(entries)
    return [line for line, needed in lines.items() if needed]


def _bytes(weights: Weights) -> str:
    return bytes_text(sum(file.size for file in files_of(weights.path)))


# -- doing it ---------------------------------------------------------------------------------------


def _make_ready(wanted: Sequence[_Wanted], found: Sequence[_Look]) -> int:
    status = 0
    for one, look in zip(wanted, found, strict=True):
        status = max(status, _damaged(look), _install(one, look))
    if not status:
        say("everything is there")
    return status


def _damaged(look: _Look) -> int:
    """Of what is there: what was changed since. `models verify` computes all digests."""
    status = 0
    for one in look.here:
        for fault in faults(one.path, unchanged=True):
            name, status = one.entry.name, 1
            say(f"model {name}: {fault}; type hpcurate models remove {name}, then the same command again")
    return status


def _install(wanted: _Wanted, look: _Look) -> int:
    """One after the other; what cannot be had does not keep the rest away. A model may bring an environment with it."""
    status = 0
    done: set[Need] = set()
    while todo := [need for need in look.missing if need not in done]:
        for need in todo:
            done.add(need)
            try:
                _ACTIONS[need.kind](wanted, need)
            except UserError as error:
                say_error(str(error))
                status = 1
        look = _look(wanted)
    return status


def _fetch(wanted: _Wanted, need: Need) -> None:
    from hpcurate.models.fetch import fetch

    fetch(wanted.store, wanted.registry[need.name], echo=say)


def _build(wanted: _Wanted, need: Need) -> None:
    provide_env(need.name, env_folders(), wanted.store.root, say, to_node=need.to_node)


def _pack(wanted: _Wanted, need: Need) -> None:
    pack(need.name, wanted.store.root, say)


_ACTIONS: dict[str, Callable[[_Wanted, Need], None]] = {"model": _fetch, "env": _build, "prefix": _pack}
