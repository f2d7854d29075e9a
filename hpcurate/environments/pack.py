"""Packing a conda prefix once, for the nodes' own disks (`stage_to_node`), with conda-pack.

`<store>/packs/<name>-<digest>/` holds `env.tar` and, written last, `files.json` with its size and SHA-256.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from hpcurate.environments.build import MARKER
from hpcurate.errors import ConfigError, StoreError
from hpcurate.store.access import make_folders
from hpcurate.store.exclusive import exclusive, publish
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.store.manifest import MANIFEST, FileEntry, sha256_of, write_manifest

ARCHIVE = "env.tar"
PIPS = ("dist-info", "egg-info", "egg-link", "pth")
"""What pip leaves of an installed package, or one that is edited elsewhere."""
Echo = Callable[[str], None]


def pack_of(prefix: str, store: str) -> str:
    """Where the pack of a prefix lies, or will: installing something there later makes another pack."""
    prefix = os.path.abspath(os.path.expanduser(prefix))
    content = [prefix, *_installed(Path(prefix))]
    digest = hashlib.sha256("\0".join(content).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return os.path.join(Store.at(store).packs, f"{os.path.basename(prefix)}-{digest}")


def _installed(prefix: Path) -> list[str]:
    """conda's records, those that pip leaves, and our own marker, with their times.

    Not the folder that packages are in: Python makes a `__pycache__` there when a module is imported.
    """
    of_pip = [path for kind in PIPS for path in prefix.glob(f"lib/python*/site-packages/*.{kind}")]
    found = [*prefix.glob("conda-meta/*.json"), *of_pip, prefix / MARKER]
    return sorted(f"{path.relative_to(prefix)} {path.stat().st_mtime_ns}" for path in found if path.exists())


def is_packed(pack: str) -> bool:
    """Whether it is complete."""
    return MANIFEST in POSIX.names(pack)


def pack(prefix: str, store: str, echo: Echo = lambda line: None) -> str:
    """Pack it unless that is done; the pack's folder. Raises ConfigError or StoreError."""
    prefix = os.path.abspath(os.path.expanduser(prefix))
    if not os.path.isdir(os.path.join(prefix, "conda-meta")):
        raise ConfigError(
            f"{prefix}: is not a conda prefix (no conda-meta); a venv cannot be moved, build one with envs/NAME.yml"
        )
    target = pack_of(prefix, store)
    if is_packed(target):
        echo(f"{target} is complete")
        return target
    make_folders(os.path.dirname(target))
    with exclusive(target, "packing") as turn:
        if is_packed(target):
            return target
        _remove_parts(target)
        part = f"{target}.part.{turn}"
        os.mkdir(part)
        _archive(os.path.realpath(prefix), os.path.join(part, ARCHIVE), echo)  # the path that its files hold
        archive = Path(part, ARCHIVE)
        write_manifest(part, [FileEntry(ARCHIVE, archive.stat().st_size, sha256_of(archive))])
        publish(part, target)
    return target


def _remove_parts(target: str) -> None:
    """What killed ones left."""
    for path in Path(os.path.dirname(target)).glob(f"{glob.escape(os.path.basename(target))}.part*"):
        shutil.rmtree(path, ignore_errors=True)


def _archive(prefix: str, path: str, echo: Echo) -> None:
    try:
        import conda_pack
    except ImportError:
        raise ConfigError("envs pack: conda-pack is not installed here; pip install 'hpcurate[envs]'") from None
    echo(f"packing {prefix}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            conda_pack.pack(prefix=prefix, output=path, format="tar", ignore_missing_files=True)
        except conda_pack.CondaPackException as error:
            raise StoreError(f"{prefix}: cannot be packed: {' '.join(str(error).split())[:400]}") from None
    for warning in caught:
        if "missing" not in str(warning.message).lower():
            echo(f"packing: {' '.join(str(warning.message).split())[:200]}")
