"""`hpcurate compile +pipeline=… DIR`: a run as a folder of sbatch scripts, which its user submits."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence

from hpcurate.cli.arguments import VerbParser, as_keys
from hpcurate.cli.start.compiled import contents
from hpcurate.cli.start.launch import read_request
from hpcurate.cli.start.overrides import Typed, key_of, sort_arguments
from hpcurate.cli.terminal import say, show
from hpcurate.errors import ConfigError
from hpcurate.runs.code import merge_packages
from hpcurate.runs.commands import ONCE, quoted

ABOUT = (
    "write a run down as a folder: an sbatch script of each job, in their order, one that submits all of them, the "
    "resolved configuration and the code. Nothing is submitted"
)
LATER = ("logs", "__pycache__")
"""Folders in it that jobs fill."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate compile --help`."""
    made = VerbParser("compile", ABOUT)
    made.add_argument("words", nargs="*", metavar="+pipeline=NAME | KEY=VALUE", help="as for a run")
    made.add_argument("folder", metavar="DIR", help="the folder to write; on shared storage, for jobs read it")
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    return made


def verb(argv: list[str]) -> int:
    """Write it; the exit status."""
    words, folder, dirs = _arguments(argv[1:])
    merge_packages()
    typed = sort_arguments([*words, *(word for one in dirs for word in ("--config-dir", one))])
    _check_any_time(typed)
    made = contents(folder, *read_request(typed))
    try:
        written = _write(folder, made)
    except OSError as error:
        raise ConfigError(f"compile: {folder} cannot be written: {error.strerror}; name another folder") from None
    if written:
        jobs = [name for name in made if name.endswith(".sbatch") and "/" not in name]
        say(f"{folder}: {len(jobs)} jobs; nothing is submitted")
    else:
        say(f"{folder}: is as it would be written; nothing to do")
    show([f"to submit it: {quoted(os.path.join(folder, 'submit.sh'))}"])
    return 0


def _arguments(argv: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Words of the run, the folder, and conf folders. Raises ConfigError."""
    options = parser().parse_intermixed_args(as_keys(argv))
    every = [*options.words, options.folder]
    folders = [word for word in every if not _is_of_run(word)]
    if len(folders) != 1:
        named = f"there are {', '.join(folders)}" if folders else "there is none"
        raise ConfigError(f"compile: expected one folder to write, {named}; type hpcurate compile +pipeline=NAME … DIR")
    path = os.path.abspath(os.path.expanduser(folders[0]))
    return [word for word in every if _is_of_run(word)], path, options.config_dir


def _is_of_run(word: str) -> bool:
    return word.startswith("~stages.") or ("=" in word and "/" not in word.partition("=")[0])


def _check_any_time(typed: Typed) -> None:
    """Whether it means the same whenever it is submitted. Raises ConfigError."""
    once = [key for word in typed.words if (key := key_of(word)) in ONCE]
    if once:
        raise ConfigError(f"compile: {once[0]}= holds for one call, and a folder can be submitted again; leave it out")


# -- writing --------------------------------------------------------------------------------------------


def _write(folder: str, made: Mapping[str, bytes]) -> bool:
    """Whether anything was lacking. What is there already and is the same stays. Raises ConfigError, OSError."""
    lacking = {name: data for name, data in made.items() if not _is_there(os.path.join(folder, name), data)}
    for name in [*_others(folder, made), *(name for name in lacking if os.path.lexists(os.path.join(folder, name)))]:
        raise ConfigError(
            f"{folder}: has {name}, which is not what this command writes; name another folder, or remove this one"
        )
    os.makedirs(os.path.join(folder, LATER[0]), exist_ok=True)
    for name, data in sorted(lacking.items()):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(data)
    os.chmod(os.path.join(folder, "submit.sh"), 0o755)
    return bool(lacking)


def _is_there(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() == data
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False


def _others(folder: str, made: Mapping[str, bytes]) -> list[str]:
    """Files there that are none of ours."""
    found = []
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LATER]
        paths = (os.path.relpath(os.path.join(base, name), folder) for name in names)
        found += [path for path in paths if path not in made]
    return sorted(found)
