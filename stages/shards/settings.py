"""What a folder of training shards was begun with: other settings would pack a sample twice, so they are refused."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hpcurate.errors import ConfigError, StageError
from hpcurate.objects.address import is_remote
from hpcurate.store.access import is_groups, make_folders
from hpcurate.store.filesystem import name_once

NAME = "settings.json"


def check_folder(output: str) -> str:
    """The folder. Raises ConfigError for one in a bucket: files are numbered, and begun once, by what is there."""
    if is_remote(output):
        raise ConfigError(
            f"output={output}: expected a folder of a file system, to which shards are added one after the other; copy "
            "it to the bucket once it is done, e.g. with `aws s3 sync`"
        )
    return output


def keep_settings(folder: str, settings: Mapping[str, Any]) -> None:
    """Write them into the folder, once; raise StageError, with what to do, if it was begun with others."""
    path = os.path.join(folder, NAME)
    data = json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n"
    if not os.path.exists(path):
        make_folders(folder)
        _write_once(path, data)
    with open(path, "rb") as file:
        begun = json.loads(file.read())
    wanted = json.loads(data)
    if begun != wanted:
        name = next(one for one in sorted({*begun, *wanted}) if begun.get(one) != wanted.get(one))
        raise StageError(
            f"{folder} was begun with {name}={json.dumps(begun.get(name))}, and now it is "
            f"{json.dumps(wanted.get(name))}: name another folder (stages.shards.output=…), or set it as it was; "
            "files that are there are never written again"
        )


def _write_once(path: str, data: bytes) -> None:
    """Two that come at one moment: the first one's stay."""
    folder = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{NAME}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_groups(folder):
            os.chmod(temporary, 0o660)
        if name_once(temporary, path) is None:
            os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
