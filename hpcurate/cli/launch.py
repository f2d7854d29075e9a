"""Start or continue runs from a command line."""

from __future__ import annotations

import sys
from typing import Any

from hpcurate.api import LAUNCHERS, Outcome, execute
from hpcurate.cli.auto import choose, probe
from hpcurate.cli.bars import Bars
from hpcurate.cli.compose import compose, dump
from hpcurate.cli.overrides import Typed, combinations, sort_arguments
from hpcurate.cli.places import find_store, remember_store
from hpcurate.cli.settings import Settings, read_settings, read_source, read_stages
from hpcurate.errors import ConfigError, UserError
from hpcurate.pipeline import Pipeline, build
from hpcurate.runs import UNNAMED
from hpcurate.stage import members


def launch(argv: list[str]) -> int:
    """One run, or one for each combination of a sweep. The worst exit status wins."""
    typed = sort_arguments(argv)
    if not typed.multirun:
        return _one(typed, typed.overrides)
    return _sweep(typed)


def _one(typed: Typed, overrides: tuple[str, ...]) -> int:
    plain = compose(overrides, typed.paths, typed.config_dirs)
    if typed.show_config:
        print(dump(plain), end="")
        return 0
    outcome = start(plain)
    tell_end(outcome)
    return outcome.state.exit_status


def _sweep(typed: Typed) -> int:
    rows, worst = [], 0
    for overrides in combinations(typed.overrides):
        changed = " ".join(o.lstrip("+") for o in overrides if o not in typed.overrides)
        try:
            outcome = start(compose(overrides, typed.paths, typed.config_dirs))
            rows.append((outcome.run.name, changed, outcome.state.value))
            worst = max(worst, outcome.state.exit_status)
        except UserError as error:
            rows.append(("-", changed, f"refused: {error}"))
            worst = 2
    widths = [max(len(row[i]) for row in [*rows, ("run", "overrides", "state")]) for i in range(2)]
    for run, changed, state in [("run", "overrides", "state"), *rows]:
        print(f"{run:<{widths[0]}}  {changed:<{widths[1]}}  {state}")
    return worst


def start(plain: dict[str, Any]) -> Outcome:
    """Check the resolved configuration and run it. Raises UserError."""
    settings = read_settings(plain)
    named = None if settings.output in (None, UNNAMED) else settings.output
    store = find_store(settings.store)
    source = read_source(settings.source)
    nodes = read_stages(settings.stages)
    launcher = _launcher(settings)

    def make(output: str) -> Pipeline:
        """The pipeline with this output folder in place of the run's own."""
        here = nodes if named else read_stages(_with_output(plain, output)["stages"])
        return build(settings.name, source, here, budget=settings.budget, timing=settings.timing)

    bars = Bars() if sys.stderr.isatty() else None
    try:
        outcome = execute(
            make,
            source,
            store=store,
            output=named,
            launcher=launcher,
            wait=settings.wait,
            modules=[type(m).__module__ for node in nodes.values() for m in members(node.stage)],
            config=dump(plain),
            echo=bars.say if bars else say,
            progress=bars,
        )
    finally:
        if bars:
            bars.close()
    remember_store(store)
    return outcome


def _with_output(plain: Any, output: str) -> Any:
    """Values equal to the place holder replaced by the run's output folder."""
    if isinstance(plain, dict):
        return {key: _with_output(value, output) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_with_output(value, output) for value in plain]
    return output if plain == UNNAMED else plain


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
    letters = f", {failed} dead letter{'s' * (failed != 1)} (hpcurate logs --failed)" if failed else ""
    reason = f": {summary['reason']}" if summary["reason"] and summary["state"] != "running" else ""
    print(f"output: {summary['output']}")
    if summary["next"]:
        print(f"next: {summary['next']}")
    print(f"{summary['run']}: {summary['state']}{reason}{letters}")
