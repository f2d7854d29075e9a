"""The request of a run that is there: what its command asked for, from the configuration that it has frozen."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.cli.start.compose import compose, frozen_config
from hpcurate.cli.start.overrides import Typed, key_of, sort_arguments, value_of
from hpcurate.cli.start.request import choose_launcher, request_of, settings_of
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.terminal import say
from hpcurate.errors import ConfigError, StoreError
from hpcurate.runs.code import merge_packages
from hpcurate.runs.commands import Command
from hpcurate.runs.folder import Run
from hpcurate.runs.prepare import Request

OF_A_CALL = ("launcher", "wait")
"""Who does the work, and who waits for it: a retry that names others leaves the run's command as it is."""
OF_A_RETRY = (*OF_A_CALL, "stages", "budget", "timing", "durability")
"""What may be given to a retry: where it changes a result, the retry is refused."""
OF_A_RUN = (*OF_A_RETRY, "models", "limit", "part", "exclude", "done", "changed", "vanished", "rerun", "dry_run")
"""What may be given to a run that is resumed. Of what others refer to, such as `${input}`, its configuration has only
the values."""


def request_again(
    run: Run, words: Sequence[str], config_dirs: Sequence[str] = (), *, takes: Collection[str] = OF_A_RETRY
) -> tuple[Request, Settings]:
    """What the run's command asked for, with other values where `words` give them, in the folder where it was typed.

    Raises UserError, also for a key that is not among those that it `takes`.
    """
    command = run.frozen().command
    _enter(command.folder)
    merge_packages()
    folders = (*command.config_dirs, *config_dirs)
    composed = frozen_config(_written(run), {"rerun": [], **_given(words, folders, takes)})
    settings, note = choose_launcher(attrs.evolve(settings_of(composed), store=run.store.root))
    if note:
        say(note)
    again = _with_words(command, words, takes)
    typed = Typed(paths={}, overrides=(), words=again.words, config_dirs=folders)
    return request_of(settings, composed, typed), settings


def request_here(run: Run, store: str) -> Request:
    """What the command of a run that comes from elsewhere asks for, typed here: with this folder's code, site and
    models, in that store. Raises UserError.
    """
    command = run.frozen().command
    merge_packages()
    composed = frozen_config(_written(run), {"rerun": [], "site": {"use": "auto"}, "launcher": {"kind": "inline"}})
    settings = attrs.evolve(settings_of(composed), store=store)
    folders = tuple(folder for folder in command.config_dirs if os.path.isdir(folder))
    return request_of(settings, composed, Typed(paths={}, overrides=(), words=command.words, config_dirs=folders))


def _with_words(command: Command, words: Sequence[str], takes: Collection[str]) -> Command:
    """What is typed from now on to continue the run."""
    return command.with_words(word for word in words if takes is OF_A_RUN or _top(word) not in OF_A_CALL)


def _enter(folder: str) -> None:
    """Go to where the command was typed, if that is still there: `stages/`, `conf/` and relative paths are."""
    with suppress(OSError):
        if folder and not os.path.samefile(folder, os.curdir):
            os.chdir(folder)
            sys.path.insert(0, folder)
            say(f"in {folder}, where the run's command was typed")


def _written(run: Run) -> str:
    path = os.path.join(run.path, "config.yaml")
    try:
        text = run.filesystem.read(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}; type the run's command again") from None
    if not text:
        raise ConfigError(
            f"{run.name}: was started from Python, where its stages are: call hpcurate.run(…) there again, to try what "
            f'failed with retry=hpcurate.Retry(run="{run.name}")'
        )
    return text


def _given(words: Sequence[str], config_dirs: Sequence[str], takes: Collection[str]) -> dict[str, Any]:
    """What was typed, by key: values as they are, of a launcher all of it or fields of the run's own."""
    typed = sort_arguments(words)
    for word in words:
        if _top(word) not in takes or word.startswith("~"):
            raise ConfigError(
                f"{key_of(word)}: a run keeps its configuration, but for values of {', '.join(takes)}; "
                "type the run's command with what it is to have instead"
            )
    launcher = [word for word in typed.overrides if _top(word) == "launcher"]
    values = {key_of(word): value_of(word) for word in typed.overrides if word not in launcher}
    return {**typed.paths, **values, **_launcher(launcher, config_dirs)}


def _launcher(overrides: Sequence[str], config_dirs: Sequence[str]) -> dict[str, Any]:
    if not overrides:
        return {}
    told = settings_of(compose(overrides, {}, config_dirs)).launcher
    keys = [key_of(word) for word in overrides]
    if "launcher" in keys:
        return {"launcher": told}
    return {f"launcher.{field}": told[field] for field in {key.split(".")[1] for key in keys}}


def _top(word: str) -> str:
    return key_of(word).partition(".")[0]
