"""`hpcurate init FOLDER`: a small project, ready to run."""

from __future__ import annotations

import argparse
import keyword
import os
import re
import shlex
from pathlib import Path

from hpcurate.cli.arguments import VerbParser
from hpcurate.cli.store_choice import find_store
from hpcurate.cli.terminal import show
from hpcurate.config_files import names_in, shipped, shipped_conf
from hpcurate.errors import ConfigError

TEMPLATE = Path(__file__).resolve().parents[1] / "template"


def parser() -> argparse.ArgumentParser:
    """See `hpcurate init --help`."""
    made = VerbParser("init", "make a small project: a pipeline, a stage and its test, ready to run")
    made.add_argument("folder", help="a new folder, or an empty one")
    made.add_argument("--name", help="name of pipeline and stage module; default: the folder's name")
    return made


def verb(argv: list[str]) -> int:
    """Write the project; existing files are never touched."""
    options = parser().parse_args(argv[1:])
    folder = Path(os.path.abspath(os.path.expanduser(options.folder)))
    name = options.name or module_name(folder.name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"--name {name}: expected lower-case letters, digits and _, e.g. my_clips")
    if name in taken():
        raise ConfigError(
            f"--name {name}: a module or pipeline that comes with hpcurate, or Python, has that name, and "
            f"yours would hide it; type e.g. --name my_{name}"
        )
    written = write_project(folder, name)
    store = "" if _has_store() else " store=store"
    following = f"next: cd {shlex.quote(options.folder)} && hpcurate +pipeline={name}{store}"
    show([*(f"  {path.relative_to(folder)}" for path in written), following])
    return 0


def _has_store() -> bool:
    try:
        return bool(find_store(None))
    except ConfigError:
        return False


def module_name(folder: str) -> str:
    """A module name from a folder's name."""
    plain = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")
    return plain if plain[:1].isalpha() and plain not in taken() else f"my_{plain}".rstrip("_")


def taken() -> set[str]:
    """Names that a stage module or pipeline of the user's would hide, and those that none can have."""
    modules = {path.stem for path in shipped("stages").iterdir()}
    return {*modules, *names_in([shipped_conf()], "pipeline"), *keyword.kwlist}


def write_project(folder: Path, name: str) -> list[Path]:
    """Copy the template with `name` filled in. Raises ConfigError if a file already exists."""
    files = {path: folder / _target_name(path.relative_to(TEMPLATE), name) for path in sorted(_template_files())}
    for target in files.values():
        if target.exists():
            raise ConfigError(f"init {folder}: {target.relative_to(folder)} already exists; name another folder")
    try:
        for path, target in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text().replace("NAME", name))
    except OSError as error:
        raise ConfigError(f"init {folder}: cannot write there: {error.strerror}") from None
    return list(files.values())


def _target_name(path: Path, name: str) -> str:
    return ".gitignore" if path.name == "gitignore" else str(path).replace("NAME", name)


def _template_files() -> list[Path]:
    return [p for p in TEMPLATE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
