"""Start or continue runs from a command line."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.api import LAUNCHERS, Outcome, Request, execute
from hpcurate.cli.progress_bars import Bars
from hpcurate.cli.start.auto import choose, probe
from hpcurate.cli.start.compose import compose, dump
from hpcurate.cli.start.overrides import Typed, combinations, sort_arguments
from hpcurate.cli.start.settings import Settings, part_of, read_settings, read_source, read_stages
from hpcurate.cli.store_choice import find_store, remember_store
from hpcurate.cli.verbs.explain import preview_lines, table
from hpcurate.config_files import conf_folders
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError, UserError
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import weights_of
from hpcurate.planning.build import EpochOf, build
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.folder import UNNAMED
from hpcurate.runs.preview import Preview, preview
from hpcurate.site import load_site
from hpcurate.stage import members
from hpcurate.units import megabytes

LISTING_S = 5.0
"""Seconds between two lines about a long listing."""
DEBUG_TASKS = 3
"""Tasks that `debug=true` takes, unless `limit` says otherwise."""


def launch(argv: list[str]) -> int:
    """One run, or one for each combination of a sweep. The worst exit status wins."""
    typed = sort_arguments(argv)
    if not typed.multirun:
        return _one(typed)
    return _sweep(typed)


def _one(typed: Typed) -> int:
    plain = compose(typed.overrides, typed.paths, typed.config_dirs)
    if typed.show_config:
        print(dump(plain), end="")
        return 0
    settings = read_settings(plain)
    if settings.dry_run:
        _print_preview(preview(request_of(settings, plain, typed)))
        return 0
    outcome = started(request_of(settings, plain, typed), settings)
    if settings.debug:
        _tell_tracebacks(outcome)
    tell_end(outcome)
    return outcome.state.exit_status


def _sweep(typed: Typed) -> int:
    rows, worst, epochs = [], 0, None
    for overrides in combinations(typed.overrides):
        changed = " ".join(o.lstrip("+") for o in overrides if o not in typed.overrides)
        try:
            plain = compose(overrides, typed.paths, typed.config_dirs)
            settings = read_settings(plain)
            words = (*(f"{k}={v}" for k, v in typed.paths.items()), *(o.lstrip("+") for o in overrides))
            request = request_of(settings, plain, typed, epochs, words)
            epochs = request.epochs
            if settings.dry_run:
                _print_preview(preview(request))
                continue
            outcome = started(request, settings)
            rows.append((outcome.run.name, changed, outcome.state.value))
            worst = max(worst, outcome.state.exit_status)
        except UserError as error:
            rows.append(("-", changed, f"refused: {error}"))
            worst = 2
    print("\n".join(table(("run", "overrides", "state"), rows)).encode("utf-8", "backslashreplace").decode())
    return worst


def previews(argv: list[str]) -> list[Preview]:
    """What the command would do, for each combination. Raises UserError."""
    typed = sort_arguments(argv)
    found = []
    for overrides in combinations(typed.overrides) if typed.multirun else [typed.overrides]:
        plain = compose(overrides, typed.paths, typed.config_dirs)
        found.append(preview(request_of(read_settings(plain), plain, typed)))
    return found


def _print_preview(seen: Preview) -> None:
    print("\n".join(preview_lines(seen)).encode("utf-8", "backslashreplace").decode())


def request_of(
    settings: Settings, plain: dict[str, Any], typed: Typed, epochs: Epochs | None = None, words: tuple[str, ...] = ()
) -> Request:
    """The resolved configuration as the engine takes it. Raises UserError."""
    if settings.debug:
        plain = _replaced(plain, settings.output, UNNAMED)  # nothing of a trial lands where results belong
        settings = for_debug(settings)
    named = None if settings.output in (None, UNNAMED) else settings.output
    source = part_of(read_source(settings.source), settings)
    nodes = read_stages(settings.stages)
    store = find_store(settings.store)
    weights = weights_of(store, read_registry(conf_folders(typed.config_dirs), settings.models))
    environments = Environments(store, env_folders())

    def make(output: str, epoch: EpochOf) -> Pipeline:
        """The pipeline with this output folder in place of the run's own."""
        here = nodes if named else read_stages(_replaced(plain, UNNAMED, output)["stages"])
        return build(
            settings.name,
            source,
            here,
            budget=settings.budget,
            timing=settings.timing,
            epoch=epoch,
            weights=weights,
            environment=environments,
        )

    return Request(
        make=make,
        source=source,
        store=store,
        output=named,
        launcher=_launcher(settings),
        wait=settings.wait,
        limit=settings.limit,
        epochs=epochs or Epochs(store, settings.rerun),
        modules=tuple(type(m).__module__ for node in nodes.values() for m in members(node.stage)),
        provide=environments.provide,
        config=dump(plain),
        overrides=words or typed.words,
    )


def started(request: Request, settings: Settings) -> Outcome:
    """Run a request, with bars on a terminal."""
    bars = Bars() if sys.stderr.isatty() and not settings.debug else None
    try:
        outcome = execute(
            request, echo=bars.say if bars else say, progress=bars, listing=bars.listing if bars else Listing(say)
        )
    finally:
        if bars:
            bars.close()
    if not settings.debug:
        remember_store(request.store)
    return outcome


def _tell_tracebacks(outcome: Outcome) -> None:
    from hpcurate.report.dead_letters import letters

    for letter in letters(outcome.run):
        say(f"== {letter.row['stage']}: {letter.name}\n{letter.row['traceback']}")


class Listing:
    """A line now and then while a long listing goes on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._next = tell, time.monotonic() + LISTING_S

    def __call__(self, count: int) -> None:
        """So many items were found."""
        if time.monotonic() >= self._next:
            self._tell(f"input: {count} found so far")
            self._next = time.monotonic() + LISTING_S


def for_debug(settings: Settings) -> Settings:
    """`debug=true`: in this process, a few tasks, a store and an output of its own, breakpoints work."""
    folder = tempfile.mkdtemp(prefix="hpcurate-debug-")
    limit = settings.limit or DEBUG_TASKS
    with suppress(ConfigError, OSError):  # what was fetched and built serves a trial, too
        there = os.path.abspath(find_store(settings.store))
        for name in ("weights", "envs", "packs", "runtime"):
            if os.path.isdir(os.path.join(there, name)):
                os.symlink(os.path.join(there, name), os.path.join(folder, name))
    say(f"debug=true: in this process, the first {limit} tasks, scratch store {folder}")
    return attrs.evolve(settings, launcher={"kind": "inline"}, store=folder, output=None, wait=True, limit=limit)


def _replaced(plain: Any, old: Any, new: str) -> Any:
    """Values equal to `old`, and not null, replaced: the output folder has no name before its run has."""
    if isinstance(plain, dict):
        return {key: _replaced(value, old, new) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_replaced(value, old, new) for value in plain]
    return new if old is not None and plain == old else plain


def _launcher(settings: Settings) -> dict[str, Any]:
    config = {k: v for k, v in settings.launcher.items() if k != "kind"}
    kind = str(settings.launcher.get("kind", "auto"))
    if "_target_" in config:
        return config
    if kind == "auto":
        kind, why = choose(probe())
        say(f"launcher={kind}: {why}")
        config = _only_fields_of(kind, config)
    if kind not in LAUNCHERS:
        raise ConfigError(f"launcher={kind}: expected one of auto, {', '.join(LAUNCHERS)}")
    profile = load_site(settings.site)
    if kind == "slurm":
        config["site"] = attrs.asdict(profile)
    elif kind == "local" and profile.node_local:
        config.setdefault("node_local", profile.node_local)
        if profile.node_quota:
            config.setdefault("node_quota", megabytes(profile.node_quota) * 2**20)
    return {"_target_": LAUNCHERS[kind], **config}


def _only_fields_of(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """With `auto`, fields of the launcher that was not chosen do no harm."""
    import importlib

    import attrs

    known: set[str] = set()
    own: set[str] = set()
    for name, target in LAUNCHERS.items():
        module, _, cls = target.rpartition(".")
        fields = {f.name for f in attrs.fields(getattr(importlib.import_module(module), cls)) if f.init}
        known |= fields
        own |= fields if name == kind else set()
    return {k: v for k, v in config.items() if k in own or k not in known}


def say(line: str) -> None:
    """One line of progress, to stderr: stdout belongs to results."""
    print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr, flush=True)


def tell_end(outcome: Outcome) -> None:
    """Last lines: where the run is, and what to type next."""
    summary = outcome.summary
    failed = sum(stage["failed"] for stage in summary["stages"].values())
    letters = f", {failed} dead letter{'s' * (failed != 1)} (hpcurate why)" if failed else ""
    hopeless = [name for name, stage in summary["stages"].items() if 0 < stage["in"] == stage["failed"]]
    letters += f", every task of {', '.join(hopeless)} failed" if hopeless else ""
    reason = f": {summary['reason']}" if summary["reason"] and summary["state"] != "running" else ""
    print(f"output: {summary['output']}")
    if summary["next"]:
        print(f"next: {summary['next']}")
    print(f"{summary['run']}: {summary['state']}{reason}{letters}")
