"""Which files of the project a command is made of: what its arguments name, and what scripts among these import.

Looked for in the folder where the command is typed. Runs on Python 3.9 or newer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hpcurate.errors import ConfigError
from hpcurate.imports import imports_of

__all__ = ["check_scripts", "in_project", "modules_of", "project_files"]

MOST = 1000
"""Files of one command."""
_SKIP = {"__pycache__", ".git", ".venv", "node_modules"}
_INTERPRETERS = ("python", "bash", "sh", "Rscript", "perl", "julia", "node", "ruby")


def project_files(argv: Sequence[str], further: Iterable[str]) -> list[str]:
    """Relative paths, sorted. Raises ConfigError for a further one that is not there, or lies elsewhere."""
    paths = [_named(tail) for part in argv for _, tail in _readings(part)]
    named = [path for path in paths if path and os.path.isfile(path)]
    found: dict[str, None] = {}
    for path in [*named, *(one for given in further for one in _further(given))]:
        for one in _with_imported(path):
            found[one] = None
    if len(found) > MOST:
        raise ConfigError(f"files: {len(found)} files; {MOST} at most are copied with a command: give data as inputs")
    return sorted(found)


def in_project(part: str, files: Mapping[str, object], folder: str) -> str:
    """The argument, with the place below `folder` for a project file that it is, or that stands after its `=`. Pure."""
    for head, tail in _readings(part):
        name = _named(tail)
        if name in files or (tail.endswith("/") and any(one.startswith(f"{name}/") for one in files)):
            return f"{head}{os.path.join(folder, name)}"
    return part


def check_scripts(argv: Sequence[str]) -> None:
    """Raise ConfigError for a program, or an interpreter's script, that is looked for in the project and not there."""
    places = [0] if "/" in argv[0] else []
    if len(argv) > 1 and os.path.basename(argv[0]).startswith(_INTERPRETERS) and not argv[1].startswith("-"):
        places.append(1)
    for place in places:
        path = argv[place]
        if not os.path.isabs(path) and "{" not in path and not os.path.isfile(path):
            raise ConfigError(
                f"argv[{place}]={path!r}: there is no such file in {os.getcwd()}, where you type the command"
            )


def modules_of(argv: Sequence[str]) -> tuple[str, ...]:
    """Modules that Python is to run: `python -m package.module`. Pure."""
    if not os.path.basename(argv[0]).startswith("python"):
        return ()
    return tuple(name for flag, name in zip(argv, argv[1:]) if flag == "-m" and name.replace(".", "").isidentifier())


def _readings(part: str) -> list[tuple[str, str]]:
    """(what stands before, what may be a path): all of an argument, or what follows its `=`."""
    before, equals, after = part.rpartition("=")
    return [("", part), (before + equals, after)] if equals else [("", part)]


def _named(part: str) -> str:
    """The path that an argument may be, within the project; empty if it can be none."""
    if not part or os.path.isabs(part) or "{" in part or "\0" in part or part.startswith("-"):
        return ""
    path = os.path.normpath(part)
    return "" if path == "." or path.split(os.sep)[0] == ".." else path


def _further(given: str) -> list[str]:
    """Files of the project: one, or all of a folder. Raises ConfigError."""
    path = _named(given)
    if not path:
        raise ConfigError(
            f"files: {given!r}: a path below the folder where you type the command is expected; an absolute one is "
            "read where it lies, and needs no entry here"
        )
    found = list(_below(path, "")) if os.path.isdir(path) else [path] if os.path.isfile(path) else []
    if not found:
        raise ConfigError(f"files: {given!r}: there is no such file, or no file in that folder, in {os.getcwd()}")
    return found


def _below(folder: str, suffix: str) -> Iterator[str]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIP)
        yield from (os.path.join(base, name) for name in sorted(names) if name.endswith(suffix or ""))


def _with_imported(script: str) -> Iterator[str]:
    """A file; with a Python script also the modules and packages beside it that it imports, and so on."""
    seen: set[str] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        if path.endswith(".py"):
            waiting += _imported(path, os.path.dirname(script))


def _imported(path: str, folder: str) -> list[str]:
    """Files in the script's folder, which Python looks through first."""
    with open(path, encoding="utf-8", errors="replace") as file:
        try:
            tops = {one.module.partition(".")[0] for one in imports_of(file.read())}
        except (SyntaxError, ValueError):
            return []
    found: list[str] = []
    for top in sorted(tops - {"hpcurate"}):
        beside = os.path.join(folder, top)
        if os.path.isfile(f"{beside}.py"):
            found.append(f"{beside}.py")
        elif os.path.isdir(beside):
            found += _below(beside, ".py")
    return found
