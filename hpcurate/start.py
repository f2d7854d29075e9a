"""Starts a module of frozen code: `python -P <code>/hpcurate/start.py MODULE …`, what `python -m` does in a job.

Beside the files of the code lies one with the bytecode of them all (`runs/bytecode.py` writes it). Read once, it
spares each worker hundreds of calls to shared storage, and Python the search for every module. What it lacks, and all
of it where another Python runs, is imported from the files. A script of its own: nothing of hpcurate is imported here.
"""

import _imp
import gc
import marshal
import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import MAGIC_NUMBER, spec_from_file_location

NAME = f".bytecode-{sys.implementation.cache_tag}"
"""Of the file, in the folder of the code."""
_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
LENGTH = 8
"""Bytes that say how long the index is."""
MANY_OBJECTS = 1_000_000
"""More than modules have: `hpcurate/system/garbage.py` says why, and ends it where work begins."""
STAYING = "hpcurate.worker"
"""It stays: the garbage of importing would be in the memory of each process that it forks, too."""


class _Loader(SourceFileLoader):
    """Of a module whose bytecode is in the file; its source, for tracebacks, lies where its `__file__` says."""

    def __init__(self, name: str, path: str, bytecode: "Bytecode", place: "tuple[int, int]") -> None:
        super().__init__(name, path)
        self._bytecode, self._place = bytecode, place

    def get_code(self, fullname):  # type: ignore[no-untyped-def]
        """See `InspectLoader`."""
        data = self._bytecode.read(*self._place)
        if data is None:
            return super().get_code(fullname)
        code = marshal.loads(data)  # noqa: S302 - of this run's own code, as private as its source
        _imp._fix_co_filename(code, self.path)  # type: ignore[attr-defined]  # as Python does with a file that moved
        return code


class Bytecode:
    """A finder for `sys.meta_path`: the modules of frozen code."""

    def __init__(self, folder: str, data: bytes) -> None:
        """Raises ValueError where it is none that this Python made, or cut short."""
        start = len(MAGIC_NUMBER) + LENGTH
        self._codes = start + int.from_bytes(data[len(MAGIC_NUMBER) : start], "little")
        if data[: len(MAGIC_NUMBER)] != MAGIC_NUMBER or self._codes > len(data):
            raise ValueError("bytecode of another Python")
        self._folder = folder
        self._data: memoryview | None = memoryview(data)
        self._index, self.entries, size = marshal.loads(self._data[start : self._codes])  # noqa: S302
        if len(data) != self._codes + size:
            raise ValueError("bytecode that is cut short")

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """See `MetaPathFinder`. Of a package that adds to others' of its name, only what is frozen."""
        found = self._index.get(name)
        if found is None:
            return None
        file, begin, size = found
        file = os.path.join(self._folder, file)
        loader = _Loader(name, file, self, (begin, size))
        below = [os.path.dirname(file)] if file.endswith("/__init__.py") else None
        return spec_from_file_location(name, file, loader=loader, submodule_search_locations=below)

    def read(self, begin: int, size: int) -> "memoryview | bytes | None":
        """The bytecode of a module; None if the file is not there any more."""
        if self._data is not None:
            return self._data[self._codes + begin : self._codes + begin + size]
        try:
            with open(os.path.join(self._folder, NAME), "rb", buffering=0) as file:
                data = os.pread(file.fileno(), size, self._codes + begin)
        except OSError:
            return None
        return data if len(data) == size else None

    def let_go(self) -> None:
        """Most is imported: what comes now is read by itself. The rest would be in the memory of each child, too."""
        self._data = None


class _Listed:
    """A finder for the folder of the code in `sys.path`: it looks there only for what is there."""

    def __init__(self, folder: str, entries: "frozenset[str]") -> None:
        self._folder, self._entries = folder, entries

    def find_spec(self, name, target=None):  # type: ignore[no-untyped-def]
        """See `PathEntryFinder`."""
        if name not in self._entries:
            return None
        return FileFinder(self._folder, *_LOADERS).find_spec(name, target)


def module_command(python: str, code: "str | None", module: str, *words: str) -> "list[str]":
    """The command that runs one of our modules: as frozen in the folder `code`, or where Python finds it. Pure."""
    how = os.path.join(code, "hpcurate", "start.py") if code else "-m"
    return [python, "-P", how, module, *words]


def install(code: str) -> None:
    """Import from the bytecode in the folder, if this Python made it; the folder comes first in `sys.path` anyway."""
    if code not in sys.path:
        sys.path.insert(0, code)
    try:
        with open(os.path.join(code, NAME), "rb", buffering=0) as file:
            found = Bytecode(code, file.readall())
    except (OSError, ValueError):
        return
    sys.path_importer_cache[code] = _Listed(code, found.entries)
    sys.meta_path.insert(sys.meta_path.index(PathFinder), found)


def let_go() -> None:
    """See `Bytecode.let_go`: of the script that this process began with, which has a class of its own."""
    for finder in sys.meta_path:
        if type(finder).__name__ == Bytecode.__name__:
            finder.let_go()  # type: ignore[attr-defined]


def main() -> None:
    """Run the module as `python -m` does, and let children find the code, too."""
    import runpy

    if sys.argv[1] != STAYING:
        gc.set_threshold(MANY_OBJECTS)
    code = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([code, *filter(None, others)]))
    install(code)
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        gc.freeze()  # all of it goes with the process: no search for garbage before


if __name__ == "__main__":
    main()
