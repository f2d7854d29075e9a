"""The registry of models: `conf/models/NAME.yaml`, one file a model, the user's before ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from hpcurate.config_files import read_yaml
from hpcurate.errors import ConfigError
from hpcurate.fields import convert, option, suggestion
from hpcurate.units import megabytes

_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
_REVISION = re.compile(r"[\w./-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


def _check_repo(repo: str) -> None:
    if not _REPO.fullmatch(repo):
        raise ConfigError("expected owner/name as on the hub")


def _check_revision(revision: str) -> None:
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ConfigError("expected a commit of 40 digits, a branch or a tag")


@attrs.define(frozen=True, kw_only=True)
class ModelEntry:
    """One model of the registry."""

    name: str = option("", "name of the entry; the file's")
    repo: str = option("", "repository on the hub, e.g. openai-community/gpt2", check=_check_repo)
    revision: str = option(
        "main",
        "commit of 40 digits; a branch or tag is resolved, and pinned, when it is fetched",
        check=_check_revision,
    )
    files: list[str] = option(
        list, "patterns of the files that are needed, e.g. ['*.safetensors', '*.json']; empty: all"
    )
    size: str | None = option(
        None, "expected size, e.g. 550MB: refused before the download if the disk has less", check=megabytes
    )
    licence: str = option("", "licence of the weights, shown when they are listed")
    env: str | None = option(None, "environment that loads the model, where the stage names none")
    aliases: list[str] = option(list, "further names that code may use in from_pretrained(), e.g. [gpt2]")

    @property
    def names(self) -> tuple[str, ...]:
        """All that the model may be called."""
        return (self.name, self.repo, *self.aliases)


class Registry:
    """Models by name, repository or alias."""

    def __init__(self, entries: Iterable[ModelEntry]) -> None:
        self.entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> ModelEntry:
        """The entry. Raises ConfigError with the nearest name."""
        for entry in self.entries.values():
            if name in entry.names:
                return entry
        raise ConfigError(
            f"model {name!r}: there is no such model; {suggestion(name, list(self.entries))}; "
            f"add one as conf/models/{name.rpartition('/')[2]}.yaml with `repo:` and `revision:`"
        )


def read_registry(folders: Iterable[Path], overlay: Mapping[str, Any] | None = None) -> Registry:
    """All `models/*.yaml` of the conf folders, the first of a name counts, changed by `models.NAME.KEY=`.

    Raises ConfigError naming file and key.
    """
    plain: dict[str, dict[str, Any]] = {}
    where: dict[str, str] = {}
    for folder in folders:
        for path in sorted((folder / "models").glob("*.yaml")):
            if path.stem not in plain:
                plain[path.stem], where[path.stem] = read_yaml(path), f"{path}: "
    for name, changes in (overlay or {}).items():
        plain[name] = {**plain.get(name, {}), **dict(changes or {})}
        where[name] = f"models.{name}"
    return Registry(entry_of(name, values, where[name]) for name, values in plain.items())


def entry_of(name: str, values: Mapping[str, Any], where: str) -> ModelEntry:
    """A checked entry. Raises ConfigError naming file and key."""
    return convert(ModelEntry, {"name": name, **values}, where)
