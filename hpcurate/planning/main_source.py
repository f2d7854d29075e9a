"""What of a script, or of the cells of a notebook, some classes need: as the source of a module. Pure.

Taken are classes, functions, imports and assignments, each where its name is needed, and the last one of each name.
What runs beside them, such as the call that starts the run, is not: in a job it would start another.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from hpcurate.errors import PipelineError

__all__ = ["needed_source"]

_BLOCKS = (ast.If, ast.Try, ast.With)
"""Statements that are taken whole where they bind a name that is needed: `try: import x`."""


class _Statement(msgspec.Struct, frozen=True):
    """One statement at the top of a source."""

    place: tuple[int, int]
    """Number of the source, line in it."""
    node: ast.stmt
    text: str


def needed_source(sources: Sequence[str], wanted: Iterable[str], known: Collection[str]) -> str:
    """A module in which these names are defined as in the sources, which ran one after the other.

    `known` are the names that are defined where they ran. Raises PipelineError for one that is needed, and whose
    definition is in no source.
    """
    statements = [one for number, source in enumerate(sources) for one in _statements(number, source)]
    last = {name: one for one in statements for name in _bound(one.node)}
    first = {name: one.place for one in reversed(statements) for name in _bound(one.node)}
    taken: dict[tuple[int, int], _Statement] = {}
    waiting, seen = list(wanted), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or (name not in last and (name not in known or hasattr(builtins, name))):
            continue
        seen.add(name)
        one = last.get(name)
        if one is None:
            raise PipelineError(f"{name!r} is needed there, and no cell or line of the script defines it")
        place = min(first[other] for other in _bound(one.node))  # so a cell that ran again is where it was
        if taken.get(place) is not one:
            taken[place] = one
            waiting += sorted(_referred(one, last))
    futures = dict.fromkeys(one.text for one in statements if _is_future(one.node))
    return "\n\n\n".join([*futures, *(taken[place].text for place in sorted(taken))]) + "\n"


def _statements(number: int, source: str) -> Iterator[_Statement]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a cell that never ran, either
        return
    lines = source.splitlines(keepends=True)
    for node in tree.body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        text = "".join(lines[first - 1 : node.end_lineno]).rstrip()
        alone = sum(first <= (one.end_lineno or 0) and one.lineno <= (node.end_lineno or 0) for one in tree.body) == 1
        yield _Statement((number, node.lineno * 1000 + node.col_offset), node, text if alone else ast.unparse(node))


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement defines, if it is one that is taken."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom) and not _is_future(node):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise PipelineError(f"`{ast.unparse(node)}` is relative to a package, which the script has none of there")
        yield from (one.asname or one.name.partition(".")[0] for one in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = (one for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
        yield from (one.id for one in names if isinstance(one.ctx, ast.Store))
    elif isinstance(node, _BLOCKS) and not _asks_who_runs(node):
        yield from (name for inner in ast.iter_child_nodes(node) for name in _bound_inside(inner))


def _bound_inside(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.stmt):
        yield from _bound(node)
    elif isinstance(node, ast.ExceptHandler):
        yield from (name for inner in node.body for name in _bound(inner))


def _asks_who_runs(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":` is what only the script does."""
    return isinstance(node, ast.If) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test))


def _referred(one: _Statement, last: Collection[str]) -> set[str]:
    """Names of the module that a statement refers to: no variables of functions, but names in annotations."""
    found = set(_globals(symtable.symtable(one.text, "<main>", "exec")))
    for node in ast.walk(one.node):
        annotations = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for part in (inner for hint in annotations if hint is not None for inner in ast.walk(hint)):
            if isinstance(part, ast.Name):
                found.add(part.id)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):  # a name in quotes
                found |= {part.value} & set(last)
    return found


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_global() or (table.get_type() == "module" and symbol.is_referenced()):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _globals(inner)
