"""One frozen copy of the code that a run needs (invariant I13).

Modules of other installed distributions are not copied; the user's own, and hpcurate with its stages, are.
The copy is named by its content, so that runs of the same code share nothing that could change.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from pathlib import Path

from hpcurate.errors import PipelineError
from hpcurate.planning.modules import imported_names, installed
from hpcurate.runs.bytecode import bytecode_of
from hpcurate.start import NAME as BYTECODE
from hpcurate.system.installed import versions_here

LIMIT_MB = 32
"""A package larger than this beside a stage is surely not only code."""
OURS = ("hpcurate", "stages", "launchers")
"""Copied even where they are installed: a stage's environment need not have them, and a later `pip install`
must not change what a pending job runs (I3)."""
NOT_IN_JOBS = {"cli", "conf", "envs"}
"""Folders of hpcurate that only the command line needs; the last two lie in it in a wheel."""
_SKIP = {"__pycache__", ".git", ".venv", "node_modules"}


def freeze_code(modules: Iterable[str], folder: str) -> str:
    """Copy what the modules need into `folder/code-<digest>/` and return that path.

    Raises PipelineError if a package to be copied is implausibly large.
    """
    return freeze_files(files_to_copy(modules), folder)


def freeze_files(files: Mapping[str, Path], folder: str) -> str:
    """Copy files, by their names in it, into `folder/code-<digest>/`, unless they are there; that path."""
    named = sorted(files.items())
    target = os.path.join(folder, code_name(named))
    if not os.path.isdir(target):
        _copy(named, target)
    return target


def installed_versions(modules: Iterable[str]) -> dict[str, str]:
    """Distribution → version of what the modules import that is installed, and so is not copied (I13)."""
    names: set[str] = set()
    for module in modules:
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(module)
            if spec and spec.origin and spec.origin.endswith(".py"):
                names |= _imports(Path(spec.origin))
    names = {name for name in names - {*OURS, *sys.stdlib_module_names} if not _own_files(name)}
    found = versions_here(names)  # most are called as what they hold
    if names - found.keys():
        providers = importlib.metadata.packages_distributions()
        found |= versions_here(name for top in sorted(names - found.keys()) for name in providers.get(top, ()))
    return found


def frozen_path(modules: Iterable[str], folder: str) -> str:
    """Where `freeze_code` would put the copy. Writes nothing."""
    return _frozen(modules, folder)[1]


def _frozen(modules: Iterable[str], folder: str) -> tuple[list[tuple[str, Path]], str]:
    """Files to copy, and the folder that is named by their content."""
    files = sorted(files_to_copy(modules).items())
    return files, os.path.join(folder, code_name(files))


def code_name(files: Iterable[tuple[str, Path]]) -> str:
    """Name of the folder that holds these files."""
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"code-{digest.hexdigest()[:12]}"


def _copy(files: list[tuple[str, Path]], target: str) -> None:
    temporary = f"{target}.{secrets.token_hex(4)}"
    try:
        for folder in sorted({"", *(above for name, _ in files for above in _folders_above(name))}):
            os.mkdir(os.path.join(temporary, folder))  # never the run's: without that the store is not there
        for name, path in files:
            copy = os.path.join(temporary, name)
            shutil.copyfile(path, copy)
            os.chmod(copy, 0o400)
        read_only = os.open(os.path.join(temporary, BYTECODE), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with open(read_only, "wb") as bytecode:
            bytecode.write(bytecode_of(files))
        if code_name(files) != os.path.basename(target):  # it would be that of the name for ever
            raise PipelineError("code was edited while the run was being started; type the same command again")
        os.rename(temporary, target)
    except (OSError, PipelineError):
        shutil.rmtree(temporary, ignore_errors=True)
        if not os.path.isdir(target):  # nobody else froze the same code meanwhile
            raise


def _folders_above(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def files_to_copy(modules: Iterable[str], skip: Set[str] = NOT_IN_JOBS) -> dict[str, Path]:
    """Relative name → file, for every package or module reached by imports and not installed.

    `skip`: folders of hpcurate that are left out.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = ["hpcurate", *modules]
    while waiting:
        top = waiting.pop().partition(".")[0]
        if top in seen or top in sys.stdlib_module_names or top == "__main__":
            continue
        seen.add(top)
        for name, path in _own_files(top, skip):
            found[name] = path
            if path.suffix == ".py" and top != "hpcurate":  # which imports nothing of the user's
                waiting.extend(_imports(path))
    return found


def _own_files(top: str, skip: Set[str] = NOT_IN_JOBS) -> list[tuple[str, Path]]:
    """Files of a top-level module or package outside installed distributions, over all its portions."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        path = Path(spec.origin or "")
        return [] if installed(path) or not path.is_file() else [(path.name, path)]
    files: list[tuple[str, Path]] = []
    for location in reversed(list(spec.submodule_search_locations)):
        if top in OURS or not installed(Path(location)):
            files += _package(top, Path(location), _SKIP | skip if top == "hpcurate" else _SKIP)
    return files


def _package(top: str, location: Path, skip: Set[str]) -> list[tuple[str, Path]]:
    files, size = [], 0
    for base, folders, names in os.walk(location):
        folders[:] = [f for f in folders if f not in skip]
        for name in names:
            path = Path(base, name)
            if name.endswith((".pyc", ".pyo")) or not path.is_file():
                continue
            size += path.stat().st_size
            files.append((os.path.join(top, os.path.relpath(path, location)), path))
    if size > LIMIT_MB * 1e6:
        raise PipelineError(f"{location} holds {size / 1e6:.0f} MB; move data away from the code of your stages")
    return files


def merge_packages() -> None:
    """Let a user's `stages/` or `launchers/` that has an `__init__.py` add to ours instead of hiding them.

    Without one they are namespace packages, and Python merges them by itself. Raises PipelineError.
    """
    for top in OURS[1:]:
        try:
            module = importlib.import_module(top)
        except Exception as error:  # an __init__.py of the user's may raise anything
            raise PipelineError(f"{top}/__init__.py cannot be imported: {type(error).__name__}: {error}") from None
        for folder in (os.path.join(entry or os.getcwd(), top) for entry in sys.path):
            if os.path.isdir(folder) and folder not in module.__path__ and getattr(module, "__file__", None):
                module.__path__.append(folder)


def _imports(path: Path) -> set[str]:
    """Top-level names a file imports anywhere, also inside functions."""
    return {name.partition(".")[0] for name in imported_names(path.read_bytes(), None)}
