"""Versions of installed distributions, read from the names of their folders: no worker needs to import a parser."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress


def versions_here(names: Iterable[str]) -> dict[str, str]:
    """Distribution → version, of those that are installed here (`NAME-VERSION.dist-info`, PEP 376)."""
    wanted = {_plain(name): name for name in names}
    found: dict[str, str] = {}
    for folder in sys.path if wanted else ():
        with suppress(OSError):
            for entry in os.listdir(folder or "."):
                stem, extension = os.path.splitext(entry)
                name, _, version = stem.partition("-")
                if extension == ".dist-info" and _plain(name) in wanted:
                    found.setdefault(wanted[_plain(name)], version)
    return found


def _plain(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def difference(wanted: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What is installed here in another version than where the run was submitted, as a message; else empty. Pure."""
    found = [
        f"{name} was {version} where the run was submitted, and is {here.get(name, 'missing')} here"
        for name, version in wanted.items()
        if here.get(name) != version
    ]
    return "; ".join([*found, "type the run's command again to continue with what is installed now"]) if found else ""
