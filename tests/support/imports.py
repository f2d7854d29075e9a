"""The imports between our own modules, read from their source."""

from __future__ import annotations

import ast
import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs
from checkout import ROOT


@attrs.define(frozen=True)
class Import:
    """One module imports another."""

    importer: str
    imported: str
    lazy: bool
    """Within a function: not when the module is imported."""


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Name → file of every module of hpcurate and of the launchers, without the project that `init` writes."""
    files = [*root.glob("hpcurate/**/*.py"), *root.glob("launchers/**/*.py")]
    return {module_name(path, root): path for path in sorted(files) if "template" not in path.parts}


def module_name(path: Path, root: Path = ROOT) -> str:
    """`hpcurate/store/rows.py` → `hpcurate.store.rows`."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports(root: Path = ROOT) -> tuple[Import, ...]:
    """All of them; those that only a type checker sees are no imports."""
    known = modules(root)
    found = [
        Import(name, target, lazy)
        for name, path in known.items()
        for wanted, lazy in _wanted(ast.parse(path.read_text()), False)
        if (target := _known(wanted, known)) is not None and target != name
    ]
    return tuple(dict.fromkeys(found))


def _wanted(tree: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", lazy) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (pair for each in node.orelse for pair in _wanted(each, lazy))
        else:
            yield from _wanted(node, lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def _known(name: str, known: dict[str, Path]) -> str | None:
    """The module that `from a.b import c` reads: `a.b.c` or `a.b`."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def package(module: str) -> str:
    """`hpcurate.store.rows` → `store`; `hpcurate` and `launchers` are their own."""
    parts = module.split(".")
    return parts[1] if parts[0] == "hpcurate" and len(parts) > 1 else parts[0]


def wall_patterns() -> list[str]:
    """Patterns of the files that run on Python 3.9: the one list, which the linter reads, too."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["per-file-target-version"]
    return [pattern for pattern, version in table.items() if version == "py39"]


def files_of(pattern: str) -> list[Path]:
    """`a/**` or `a/{b,c}.py`, as files."""
    if "{" not in pattern:
        return sorted(ROOT.glob(f"{pattern}/*.py"))
    before, _, rest = pattern.partition("{")
    names, _, after = rest.partition("}")
    return [ROOT / f"{before}{name}{after}" for name in names.split(",")]
