"""Fetching weights into the store, from wherever they come: once, resumed, checked, visible when complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hpcurate.errors import ConfigError
from hpcurate.models import folder, hub, package, url
from hpcurate.models.offer import Echo, Offer, check_room
from hpcurate.models.origin import Folder, Hub, Package, Url
from hpcurate.models.registry import ModelEntry
from hpcurate.models.weights import Weights, WeightStore, version_of_content
from hpcurate.store.access import make_folders
from hpcurate.store.exclusive import exclusive, publish
from hpcurate.store.manifest import MANIFEST, FileEntry, write_manifest

LOOK_UP: dict[type, Callable[[ModelEntry, str | None], Offer]] = {
    Hub: hub.look_up,
    Folder: folder.look_up,
    Url: url.look_up,
    Package: package.look_up,
}
"""Origin → what it has for an entry, of a version that is known already or of the newest."""


def fetch(store: WeightStore, entry: ModelEntry, *, update: bool = False, echo: Echo = lambda line: None) -> Weights:
    """Fetch the entry's weights into the store, unless they are there. Raises ConfigError or StoreError.

    `update` asks again what a branch or tag means, or what a folder holds; else what it was pinned to stays.
    """
    found = None if update else store.find(entry)
    if found is not None:
        echo(f"{entry.name}: {found.identity} is there")
        return found
    origin = entry.origin
    offer = LOOK_UP[type(origin)](entry, None if update else store.version_of(entry))
    place = store.path(origin, offer.version) if offer.version else store.beside(origin.wish)
    make_folders(store.folder)
    with exclusive(place, "fetching"):
        there = offer.version is not None and os.path.isdir(place)
        version = offer.version if there and offer.version else _bring(store, entry, offer, f"{place}.part", echo)
        if origin.version is None:
            store.pin(entry, version, offer.stamp)
    return Weights(entry, version, store.path(origin, version))


def _bring(store: WeightStore, entry: ModelEntry, offer: Offer, part: str, echo: Echo) -> str:
    """Into the part folder, which the next call continues; renamed when every file was checked. The version."""
    check_room(entry, part, offer.size)
    make_folders(part)
    with suppress(FileNotFoundError):  # of a call that was killed just before the end
        os.unlink(os.path.join(part, MANIFEST))
    echo(f"{entry.name}: {offer.text}")
    files = offer.bring(part, echo)
    version = offer.version or version_of_content(files)
    _check_names(entry, files)
    _only(part, files)
    write_manifest(part, files)
    publish(part, store.path(entry.origin, version))
    return version


def _check_names(entry: ModelEntry, files: Sequence[FileEntry]) -> None:
    if any(file.path == MANIFEST for file in files):
        raise ConfigError(f"model {entry.name}: {MANIFEST} is the name of our own list of its files; leave it out")


def _only(part: str, files: Sequence[FileEntry]) -> None:
    """Remove what an earlier call left that is no part of it now."""
    wanted = {file.path for file in files}
    for path in Path(part).rglob("*"):
        if not path.is_dir() and str(path.relative_to(part)) not in wanted:
            path.unlink()
    for base, _, _ in os.walk(part, topdown=False):
        with suppress(OSError):
            os.rmdir(base)
