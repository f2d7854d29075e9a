"""Which modules are the user's own, and which of them a module imports. Reads sources; imports and runs nothing."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Container, Iterable, Iterator
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

import msgspec

__all__ = ["SHIPPED_STAGES", "find_module", "imported_names", "installed", "own_code", "own_file", "syntax_digest"]

SHIPPED_STAGES = (
    "chunking", "datasets", "dedup", "files", "hello", "infer", "language", "layout", "merge", "networks",
    "output_fields", "output_table", "output_types", "programs", "publish", "results", "shards", "text", "texts",
    "video", "vision",
)  # fmt: skip
"""What of `stages/` comes with hpcurate: each of these stages has a version. In a checkout a user's lie beside them."""
_SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)
_PACKAGE = Path(__file__).resolve().parents[1]


class Found(msgspec.Struct, frozen=True):
    """Where a module lies."""

    file: Path | None = None
    """None for a package without `__init__.py`, and for what is not there."""
    folders: tuple[Path, ...] = ()
    """Where the modules of a package lie."""


def own_code(modules: Iterable[str], without: Container[str] = ()) -> dict[str, str]:
    """`package/module.py` → digest, of these modules and all that they import, directly or not, and that is the user's.

    Left out are those of `without`, and modules in which nothing stands: they change no result.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [part for module in modules for part in _with_parents(module)]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = own_file(name)
        if path is not None:
            source = path.read_bytes()
            if (digest := syntax_digest(source)) and name not in without:
                found[_shown(name, path)] = digest
            waiting += imported_names(source, name if path.name == "__init__.py" else name.rpartition(".")[0])
    return dict(sorted(found.items()))


@functools.lru_cache(maxsize=2048)
def syntax_digest(source: bytes) -> str:
    """Digest of a program: comments and layout do not count. Empty if nothing stands in it. Pure.

    Normalised by `ast.unparse`, which is steadier across Python versions than `ast.dump`. What cannot be parsed, such
    as an extension module, counts by its bytes.
    """
    tree = _parsed(source)
    normal = source if tree is None else ast.unparse(tree).encode("utf-8", "surrogatepass")
    return hashlib.sha256(normal).hexdigest()[:16] if normal else ""


@functools.lru_cache(maxsize=2048)
def imported_names(source: bytes, package: str | None) -> tuple[str, ...]:
    """Every module that the program may import, wherever the import stands, with the packages above it. Pure.

    `from a import b` gives `a.b`, too, which may be no module. Relative imports are those of `package`; None leaves
    them out.
    """
    tree = _parsed(source)
    found = [] if tree is None else [name for node in ast.walk(tree) for name in _names(node, package)]
    return tuple(dict.fromkeys(part for name in found for part in _with_parents(name)))


def own_file(name: str) -> Path | None:
    """File of a module that is the user's: on the import path, in no installed distribution, not hpcurate's."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or not _may_be_own(find_module(top)):
        return None
    path = find_module(name).file
    if path is None or not path.is_file() or installed(path) or _shipped(path):
        return None
    return path


def _may_be_own(top: Found) -> bool:
    """Nothing below an installed package is looked for: on shared storage each look costs."""
    places = [*([top.file] if top.file else []), *top.folders]
    return any(not installed(place) and place != _PACKAGE for place in places)


def installed(path: Path) -> bool:
    """Whether a file or folder lies where distributions are installed."""
    resolved = os.path.realpath(path)
    return "site-packages" in path.parts or any(resolved.startswith(root + os.sep) for root in _installed_roots())


@functools.cache
def _installed_roots() -> frozenset[str]:
    paths = sysconfig.get_paths()
    return frozenset(os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib"))


def _shipped(path: Path) -> bool:
    """Whether a file came with hpcurate. A release of it raises a stage's version where its output changes meaning."""
    beside = _PACKAGE.parent
    names = [_PACKAGE, beside / "launchers", *(beside / "stages" / name for name in SHIPPED_STAGES)]
    resolved = path.resolve()
    return any(resolved.is_relative_to(name) or resolved == name.with_suffix(".py") for name in names)


def find_module(name: str) -> Found:
    """Where a module lies. Found without importing the packages above it, which `importlib.util.find_spec` would do."""
    above, _, last = name.rpartition(".")
    return _below(find_module(above).folders, last) if above else _top(name)


def _top(name: str) -> Found:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return Found()
    if spec is None:
        return Found()
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    return Found(file, tuple(map(Path, spec.submodule_search_locations or ())))


def _below(folders: Iterable[Path], name: str) -> Found:
    """A module or package in the folders of a package, as Python would find it: an extension module before its source.

    A package without `__init__.py` may have a portion in each folder.
    """
    portions = []
    for folder in folders:
        for file in (folder / name / "__init__.py", *(folder / f"{name}{suffix}" for suffix in _SUFFIXES)):
            if file.is_file():
                return Found(file, (file.parent,) if file.name == "__init__.py" else ())
        if (folder / name).is_dir():
            portions.append(folder / name)
    return Found(None, tuple(portions))


@functools.lru_cache(maxsize=1)  # its digest and its imports are asked for one after the other
def _parsed(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # ValueError: it holds null bytes
        return None


def _names(node: ast.AST, package: str | None) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, package)
        if base:
            yield from (base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names)


def _base(node: ast.ImportFrom, package: str | None) -> str:
    """The package that `from … import` reads from; empty if there is none."""
    if not node.level:
        return node.module or ""
    above = package.rsplit(".", node.level - 1)[0] if package else ""
    return ".".join(part for part in (above, node.module) if part) if above else ""


def _with_parents(name: str) -> list[str]:
    """`a.b.c` → a, a.b, a.b.c: importing it runs them all. Pure."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _shown(name: str, path: Path) -> str:
    """The file as its import path has it, the same wherever the folder lies. Pure."""
    folders = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    return "/".join([*folders, path.name])
