"""A stage from a loose `.py` file: `stages.mine.file=./mine.py`. It is frozen into the run like any other code."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from hpcurate.errors import PipelineError
from hpcurate.stage import Stage


def stage_in_file(file: str, name: str | None) -> str:
    """`module:Class` of the stage class in `file`: the one that `name` says, or the only one there is.

    The file's folder is appended to the import path, so the file may import its neighbours. Raises
    PipelineError.
    """
    path = Path(os.path.abspath(os.path.expanduser(file)))
    if not path.is_file():
        raise PipelineError(f"there is no such file below {os.getcwd()}; give a path to a .py file")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise PipelineError(f"its name must be that of a Python module, e.g. my_stage.py, not {path.name}")
    return _chosen(_import(path), path.stem, name)


def stage_in_frozen_file(file: str, name: str | None) -> str:
    """The same where the code of the file is a frozen copy, which is on the import path. Raises PipelineError."""
    return _chosen(_imported(Path(file).stem), Path(file).stem, name)


def _chosen(module: object, stem: str, name: str | None) -> str:
    classes = [n for n, v in vars(module).items() if _is_stage_of(v, stem)]
    if name is None and len(classes) != 1:
        raise PipelineError(
            f"holds {len(classes)} stage classes ({', '.join(classes) or 'none'}); name one with _target_"
        )
    chosen = name or classes[0]
    if chosen not in classes:
        raise PipelineError(f"holds no stage class {chosen!r}; there are: {', '.join(classes) or 'none'}")
    return f"{stem}:{chosen}"


def _import(path: Path) -> object:
    """The module, importable by its plain name wherever the frozen code is on the path."""
    sys.path.append(str(path.parent))
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(path.stem)
    if spec is None or spec.origin is None or not os.path.samefile(spec.origin, path):
        raise PipelineError(f"another module is called {path.stem!r} ({spec and spec.origin}); rename the file")
    return _imported(path.stem)


def _imported(module: str) -> object:
    try:
        return importlib.import_module(module)
    except Exception as error:  # a module of the user's may raise anything at import
        raise PipelineError(f"cannot be imported: {type(error).__name__}: {error}") from error


def _is_stage_of(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Stage) and value.__module__ == module
