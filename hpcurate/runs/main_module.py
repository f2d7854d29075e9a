"""Classes that are defined in the script itself, or in a notebook, as a module that workers can import.

Their source, and what it needs, is written into a file of this process's own; from there it is frozen with the run
like any other code.
"""

from __future__ import annotations

import ast
import atexit
import functools
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Iterable, Sequence
from importlib.util import spec_from_file_location
from typing import Any

from hpcurate.errors import PipelineError
from hpcurate.planning.main_source import needed_source

__all__ = ["MAIN", "NAME", "give_module"]

MAIN = "__main__"
NAME = "main_code"
"""Of the module: in a stage's identity its class is `main_code:Caption`."""
REMEDY = (
    "write them into a module of their own, mystages.py (in a notebook: a cell that begins with `%%writefile "
    "mystages.py`), and `from mystages import …`, or give the stages a `version` and use "
    "launcher='inline'"
)


def give_module(classes: Iterable[type], *, in_process: bool) -> None:
    """Let these classes, if they are of the script or notebook itself, be of a module that has a file.

    So is every class that they need. What runs in this process needs that only in a notebook, for a stage without a
    version: its code is what its identity is made of. Each time it is written as the cells are by then. Raises
    PipelineError with what to do where their source is not known.
    """
    own = [cls for cls in classes if cls.__module__ in (MAIN, NAME)]
    if not own or (in_process and not any(map(_needs_source, own))):
        return
    main, names = sys.modules[MAIN], sorted({cls.__qualname__.partition(".")[0] for cls in own})
    what = f"{', '.join(names)}: defined in the script or notebook itself, which workers cannot import"
    if not (sources := _sources(main)):
        raise PipelineError(f"{what}, and its source is not known; {REMEDY}")
    for cls in own:
        _check_current(main, cls, what)
    try:
        text = needed_source(sources, names, vars(main))
    except PipelineError as error:
        raise PipelineError(f"{what}: {error}; {REMEDY}") from None
    _adopt(main, _written(text), _defined(text))


def _needs_source(cls: type) -> bool:
    """Also in this process: what was adopted before may have been edited since."""
    return cls.__module__ == NAME or (_shell() is not None and getattr(cls, "version", 0) is None)


def _check_current(main: types.ModuleType, cls: type, what: str) -> None:
    """Whether it is what its name means by now. Raises PipelineError."""
    found: object = main
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise PipelineError(f"{what}, and {cls.__qualname__} is no class at its top; {REMEDY}")
    if found is not cls:
        raise PipelineError(
            f"{cls.__qualname__} was defined again since its stages and tasks were made; run the cells of the classes "
            "that name it once more, and make stages and tasks again"
        )


def _sources(main: types.ModuleType) -> Sequence[str]:
    """What has run there: the cells of a notebook in order, or the script; nothing of what was typed into Python."""
    shell = _shell()
    if shell is not None:
        return list(shell.history_manager.input_hist_parsed)
    try:
        with open(getattr(main, "__file__", None) or "", encoding="utf-8") as file:
            return [file.read()]
    except (OSError, UnicodeDecodeError):
        return []


def _shell() -> Any:
    """That of a notebook; None elsewhere."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _written(text: str) -> str:
    path = os.path.join(_folder(), f"{NAME}.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'"""Classes of a script or notebook, and what they need."""\n\n{text}')
    return path


@functools.cache
def _folder() -> str:
    """Of this process alone: two notebooks have two modules of one name."""
    folder = tempfile.mkdtemp(prefix="hpcurate-main-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _defined(text: str) -> set[str]:
    """Names of classes that a module may define."""
    nodes = list(ast.walk(ast.parse(text)))
    assigned = {one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return {one.name for one in nodes if isinstance(one, ast.ClassDef)} | assigned


def _adopt(main: types.ModuleType, path: str, names: set[str]) -> None:
    """The classes themselves stay what they are: the module has the same ones, and they say that they are its."""
    module = types.ModuleType(NAME, main.__doc__)
    vars(module).update({name: value for name, value in vars(main).items() if not name.startswith("__")})
    module.__file__, module.__spec__ = path, spec_from_file_location(NAME, path)
    sys.modules[NAME] = module
    for name in names & vars(main).keys():
        _rename(vars(main)[name])


def _rename(value: object) -> None:
    if isinstance(value, type) and value.__module__ == MAIN:
        value.__module__ = NAME  # it stays the same class
        for inner in list(vars(value).values()):
            _rename(inner)
