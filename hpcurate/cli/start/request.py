"""From a composed configuration to a request."""

from __future__ import annotations

import os
import shlex
import tempfile
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.cli.start.auto import choose, probe
from hpcurate.cli.start.compose import Composed, compose, dump
from hpcurate.cli.start.inputs import part_of, read_source
from hpcurate.cli.start.overrides import Typed
from hpcurate.cli.start.settings import Settings, read_settings
from hpcurate.cli.start.steps import read_steps
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import say
from hpcurate.config_files import conf_folders
from hpcurate.environments.binds import Bind, parse_binds
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError
from hpcurate.fields import names_of
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import weights_of
from hpcurate.planning.epochs import Epochs
from hpcurate.runs.caller import typed_here
from hpcurate.runs.folder import UNNAMED
from hpcurate.runs.launcher import LAUNCHERS
from hpcurate.runs.prepare import Request
from hpcurate.site_files import load_site
from hpcurate.source.compare import Edits
from hpcurate.system.classes import load_class

DEBUG_TASKS = 3
"""Tasks that `debug=true` takes, unless `limit` names another number."""
BUILT = ("weights", "envs", "packs", "runtime")
"""Folders of a store with what was fetched and built, which serves a trial, too."""


def without_input(typed: Typed) -> tuple[Composed, Settings]:
    """The configuration where none need be named, as nothing of it is read: a folder stands for it, or rows.

    Raises ConfigError.
    """
    try:
        return _with_input(typed, os.curdir)
    except ConfigError as error:
        if "input" in typed.paths or not str(error).startswith("input="):
            raise
    return _with_input(typed, "rows.jsonl")


def _with_input(typed: Typed, some: str) -> tuple[Composed, Settings]:
    composed = compose(typed.overrides, {"input": some, **typed.paths}, typed.config_dirs)
    settings = settings_of(composed)
    read_source(settings.source)
    return composed, settings


def settings_of(composed: Composed) -> Settings:
    """The top level of the configuration, checked. Raises ConfigError."""
    return read_settings({**composed.draft(), "output": composed.output})


def request_of(settings: Settings, composed: Composed, typed: Typed, epochs: Epochs | None = None) -> Request:
    """The configuration as the engine takes it; `epochs` are those of the sweep it belongs to. Raises UserError."""
    store = find_store(settings.store, settings.site)
    drafted = settings.output or UNNAMED
    return Request(
        name=settings.name,
        source=part_of(
            read_source(settings.source), settings, lambda: read_steps(composed.with_output(drafted)["stages"])
        ),
        steps=lambda output: read_steps(composed.with_output(output)["stages"]),
        places=settings.places,
        store=store,
        store_mode=settings.store_mode,
        output=settings.output,
        launcher=_launcher(settings),
        weights=weights_of(store, read_registry(conf_folders(typed.config_dirs), settings.models), say),
        environments=Environments(store, env_folders(), binds_of(settings)),
        epochs=epochs or Epochs(store, settings.rerun),
        wait=settings.wait,
        limit=settings.limit,
        edits=Edits(changed=settings.changed, vanished=settings.vanished),
        keep=settings.keep,
        budget=settings.budget,
        timing=settings.timing,
        durability=settings.durability,
        metrics=_metrics(settings),
        config=dump(composed.with_output(drafted)),
        command=typed_here(typed.words, typed.config_dirs),
        install=install_command(typed, None if settings.debug else store),
    )


def binds_of(settings: Settings) -> tuple[Bind, ...]:
    """Those of the site profile, and the run's, which replace what the site has at the same place."""
    try:
        of_site = parse_binds(load_site(settings.site).binds)
    except ConfigError as error:
        raise ConfigError(f"site.binds: {error}") from None
    return tuple({bind.target: bind for bind in (*of_site, *parse_binds(settings.binds))}.values())


def _metrics(settings: Settings) -> str:
    """The folder, as jobs see it, too; none of a trial in this process."""
    named = "" if settings.debug else load_site(settings.site).metrics or ""
    return os.path.abspath(os.path.expandvars(os.path.expanduser(named))) if named else ""


def install_command(typed: Typed, store: str | None) -> str:
    """What installs everything that this command line needs: the same arguments. Pure."""
    words = [word for word in typed.words if word.partition("=")[0].lstrip("+") not in ("dry_run", "debug")]
    if store is not None and "store" not in typed.paths:
        words.append(f"store={store}")
    folders = [word for folder in typed.config_dirs for word in ("--config-dir", folder)]
    return shlex.join(["hpcurate", "install", *words, *folders])


def for_debug(settings: Settings) -> tuple[Settings, str]:
    """`debug=true`: in this process, a few tasks, breakpoints work; and a line about it.

    Nothing lands where results belong: store and output are scratch ones.
    """
    folder = tempfile.mkdtemp(prefix="hpcurate-debug-")
    limit = settings.limit or DEBUG_TASKS
    with suppress(ConfigError, OSError):
        there = os.path.abspath(find_store(settings.store, settings.site))
        for name in BUILT:
            if os.path.isdir(os.path.join(there, name)):
                os.symlink(os.path.join(there, name), os.path.join(folder, name))
    changed = attrs.evolve(settings, launcher={"kind": "inline"}, store=folder, store_mode=None, output=None)
    changed = attrs.evolve(changed, wait=True, limit=limit)
    return changed, f"debug=true: in this process, the first {limit} tasks, scratch store {folder}"


def choose_launcher(settings: Settings) -> tuple[Settings, str]:
    """`launcher=auto` decided; and a line about it, empty where the user named one. Raises LauncherError."""
    if "_target_" in settings.launcher or settings.launcher.get("kind", "auto") != "auto":
        return settings, ""
    name, why = choose(probe())
    launcher = {"kind": name, **_only_fields_of(name, settings.launcher)}
    return attrs.evolve(settings, launcher=launcher), f"launcher={name}: {why}"


def _only_fields_of(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """With `auto`, fields of the launchers that were not chosen do no harm."""
    fields = {known: set(names_of(load_class(target, "launcher"))) for known, target in LAUNCHERS.items()}
    foreign = set().union(*fields.values()) - fields[name] | {"kind"}
    return {key: value for key, value in config.items() if key not in foreign}


def _launcher(settings: Settings) -> dict[str, Any]:
    """`_target_` and parameters of the launcher, with what the site profile gives to it."""
    config = {key: value for key, value in settings.launcher.items() if key != "kind"}
    if "_target_" in config:
        return config
    name = str(settings.launcher["kind"])
    if name not in LAUNCHERS:
        raise ConfigError(f"launcher={name}: expected one of auto, {', '.join(LAUNCHERS)}")
    taken = load_site(settings.site).for_launcher(names_of(load_class(LAUNCHERS[name], "launcher")))
    return {"_target_": LAUNCHERS[name], **taken, **config}
