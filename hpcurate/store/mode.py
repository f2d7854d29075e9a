"""`store_mode`: whether a store is its owner's alone, or a group's. `format.json` has it since the store was made."""

from __future__ import annotations

import json
import os
import pwd
import shlex
from contextlib import suppress

from hpcurate.errors import StoreError
from hpcurate.store.access import is_groups
from hpcurate.store.layout import Store

PRIVATE, GROUP = "private", "group"
MODES = (PRIVATE, GROUP)


def mode_of(root: str) -> str | None:
    """The mode of a store; None where there is none yet. One of an earlier release is a group's if its folders are."""
    store = Store.at(root)
    with suppress(OSError, ValueError, AttributeError):
        with open(store.format_json, encoding="utf-8") as file:
            recorded = json.load(file).get("mode")
        return recorded if recorded in MODES else (GROUP if is_groups(store.stages) else PRIVATE)
    return None


def check_mode(root: str, wanted: str | None) -> None:
    """Whether a store of that mode can be made or used at `root`; writes nothing. Raises StoreError."""
    there, path = mode_of(root), Store.at(root).root
    if there is not None and wanted not in (None, there):
        raise StoreError(
            f"store_mode={wanted}: store={root} is {there}, and a store stays as it was made; name another store, or "
            "see docs/security.md on how to share one later"
        )
    if there is not None:
        return
    if not os.path.isdir(path):
        if wanted == GROUP and not os.path.isdir(os.path.dirname(path)):
            raise StoreError(f"store_mode=group: make {os.path.dirname(path)} first, which the group has to enter, too")
        return
    if wanted == GROUP and not is_groups(path):
        quoted = shlex.quote(path)
        raise StoreError(
            f"store_mode=group: {path} is there already and is no group's folder; name one that is not there yet, or "
            f"type: chgrp -R GROUP {quoted}; chmod -R g=u {quoted}; find {quoted} -type d -exec chmod g+s {{}} +"
        )
    if wanted is None and is_groups(path):
        raise StoreError(
            f"store={root}: its group may write this folder, so whatever is in it is theirs, too; type "
            f"store_mode=group to share the store with them, or name a folder that is not there yet"
        )


def sharer(root: str) -> str:
    """This user, where a store is a group's: then each has runs of their own; else empty."""
    return _name_of(os.getuid()) if mode_of(root) == GROUP else ""


def owner_of(path: str) -> str:
    """Who has a file or folder, for people."""
    with suppress(OSError):
        return _name_of(os.stat(path).st_uid)
    return "another user"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def may_read(path: str) -> bool:
    """Whether this user may read it."""
    return os.access(path, os.R_OK)
