"""What of a script, or of the cells of a notebook, some classes need: as the source of a module. Pure.

Taken are classes, functions, imports and assignments, each where its name is needed, and the last one of each name.
What runs beside them, such as the call that starts the run, is not: in a job it would start another.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

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


def needed_source(sources: Sequence[str], wanted: Iterable[str], known: Mapping[str, Any]) -> str:
    """A module in which these names are defined as in the sources, which ran one after the other.

    `known`: what is defined where they ran. Raises PipelineError for a name that is needed, and whose definition is in
    no source, or was changed in place since.
    """
    statements = [one for number, source in enumerate(sources) for one in _statements(number, source)]
    last = {name: one for one in statements for name in _bound(one.node)}
    first = {name: one.place for one in reversed(statements) for name in _bound(one.node)}
    stars = [one for one in statements if isinstance(one.node, ast.ImportFrom) and one.node.names[0].name == "*"]
    taken: dict[tuple[int, int], _Statement] = {}
    waiting, seen = list(wanted), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or (name not in last and (name not in known or hasattr(builtins, name))):
            continue
        seen.add(name)
        if name not in last and not stars:
            raise PipelineError(f"{name!r} is needed there, and no cell or line of the script defines it")
        if name not in last:
            taken.update({one.place: one for one in stars})
            continue
        one = last[name]
        _check_unchanged(name, one, statements, known)
        place = min(first[other] for other in _bound(one.node))  # so a cell that ran again is where it was
        if taken.get(place) is not one:
            taken[place] = one
            waiting += sorted(_referred(one, last))
    futures = dict.fromkeys(one.text for one in statements if _is_future(one.node))
    return "\n\n\n".join([*futures, *(taken[place].text for place in sorted(taken))]) + "\n"


def _check_unchanged(name: str, defined: _Statement, all_: Iterable[_Statement], known: Mapping[str, Any]) -> None:
    """Whether it is still what its definition says, as far as that can be seen. Raises PipelineError."""
    for one in all_:
        if one.place > defined.place and name in _changed(one.node):
            line = one.text.splitlines()[0]
            raise PipelineError(f"`{line}` changes {name!r} after its definition; write all of it there")
    node = defined.node
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None or len(set(_bound(node))) != 1:
        return
    try:
        said = ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError):  # no constant
        return
    value = known.get(name, said)
    if type(value) is not type(said) or value != said:
        raise PipelineError(f"{name!r} is not what its definition says any more: {value!r:.80}; write that there")


def _changed(node: ast.stmt) -> set[str]:
    """Names of what a statement changes in place: `a[0] = 1`, `a.b = 1`, `a += 1`, `del a[0]`."""
    targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    found = set()
    for target in targets:
        inner: ast.AST = target
        while isinstance(inner, ast.Subscript | ast.Attribute):
            inner = inner.value
        if isinstance(inner, ast.Name) and (inner is not target or isinstance(node, ast.AugAssign)):
            found.add(inner.id)
    return found


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
        yield from (one.asname or one.name.partition(".")[0] for one in node.names if one.name != "*")
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
