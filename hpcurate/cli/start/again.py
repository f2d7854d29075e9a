"""The request of a run that is there: what its command asked for, from the configuration that it has frozen."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import attrs

from hpcurate.cli.start.compose import compose, frozen_config
from hpcurate.cli.start.overrides import Typed, sort_arguments
from hpcurate.cli.start.request import choose_launcher, request_of, settings_of
from hpcurate.cli.terminal import say
from hpcurate.errors import ConfigError, StoreError
from hpcurate.runs.folder import Run
from hpcurate.runs.prepare import Request

OTHER = ("launcher", "wait")
"""Keys that may be given again: who does the work changes no result."""


def request_again(run: Run, words: Sequence[str], config_dirs: Sequence[str] = ()) -> Request:
    """What the run's command asked for, with other `launcher` and `wait` where `words` name them. Raises UserError."""
    composed = frozen_config(_written(run), _given(words, config_dirs))
    settings = attrs.evolve(settings_of(composed), store=run.store.root, rerun=[])
    settings, note = choose_launcher(settings)
    if note:
        say(note)
    overrides = tuple(json.loads(run.filesystem.read(os.path.join(run.path, "overrides.json"))))
    typed = Typed(paths={}, overrides=(), words=overrides, config_dirs=tuple(config_dirs))
    return request_of(settings, composed, typed)


def _written(run: Run) -> str:
    path = os.path.join(run.path, "config.yaml")
    try:
        text = run.filesystem.read(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}; type the run's command again") from None
    if not text:
        raise ConfigError(
            f"{run.name}: was started from Python, where its stages are: "
            f'call hpcurate.run(…, retry=hpcurate.Retry(run="{run.name}")) there'
        )
    return text


def _given(words: Sequence[str], config_dirs: Sequence[str]) -> dict[str, Any]:
    """The keys of `OTHER` that were typed, as configuration: a whole launcher, or fields of the run's own."""
    typed = sort_arguments(words)
    keys = [override.partition("=")[0].lstrip("+~") for override in typed.overrides]
    for key in (*typed.paths, *keys):
        if key.partition(".")[0] not in OTHER:
            raise ConfigError(
                f"{key}: a retry has the configuration of its run, but for {' and '.join(OTHER)}; "
                "type the run's command with another value first, where it changes no result"
            )
    if not keys:
        return {}
    told = settings_of(compose(typed.overrides, {}, config_dirs))
    given: dict[str, Any] = {"wait": told.wait} if "wait" in keys else {}
    if "launcher" in keys:
        return {**given, "launcher": told.launcher}
    fields = {key.split(".")[1] for key in keys if "." in key}
    return {**given, **{f"launcher.{field}": told.launcher[field] for field in fields}}
