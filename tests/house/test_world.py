"""The protocol reaches files, time, threads, processes and chance only through the World, so that it can be simulated."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from imports import modules

PROTOCOL = {
    "store": "claims commits evidence lists rounds stage_store",
    "worker": "attempts heartbeat picker supervisor turns",
    "runs": "beats cancel commits_seen driver folder gate gate_files indexing lists_seen live looking nodes_seen queues reconcile "
    "rounds_seen start submitting summary",
    "planning": "plan",
    "source": "intake",
    "system": "beats patience",
}
"""Package → its modules that decide, or write what others decide by. Not `store.notes`: a stage process writes those."""

OUTSIDE = "multiprocessing pathlib random secrets shutil signal socket subprocess tempfile threading time"
"""Modules of the standard library that reach past the World."""
PURE = "fsencode fspath path.basename path.commonpath path.dirname path.join path.relpath path.split strerror"
"""What of `os` only computes; `relpath` does so for absolute paths."""
REAL = {"POSIX", "SystemClock", "SystemProcesses", "nonce"}
"""What the World is made of by default: handed in, not taken."""

DEFAULT = "what a call gets that was not handed another"
PROCESS = "the process itself: its signals, its variables, its cores, its log"
EXCEPTIONS = {
    ("planning.plan", "POSIX"): DEFAULT,
    ("runs.folder", "POSIX"): DEFAULT,
    ("runs.folder", "SystemClock"): DEFAULT,
    ("runs.folder", "_is_read_only"): "looks at the path that a user typed, before there is a store",
    ("runs.folder", "check_store_writable"): "the same",
    ("runs.folder", "find_run"): "`runs/latest` is for people",
    ("runs.folder", "point_latest"): "the same",
    ("runs.folder", "point_to_newest"): "the same",
    ("runs.folder", "Run.job_name"): "the store's real path, of which only a digest goes into job names",
    ("runs.gate", "leave_on_sigterm"): PROCESS,
    ("store.commits", "nonce"): "`verify` moves a damaged shard away, no worker does",
    ("worker.supervisor", "Supervisor._cores"): PROCESS,
    ("worker.supervisor", "main"): PROCESS,
}
"""(module, function that may, or name that it imports) → why."""

Use = tuple[str, str]


def _uses(tree: ast.AST, within: str = "") -> Iterator[Use]:
    """(function or class, what it uses of the outside). An imported module counts where it is used."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names = [f"{alias.name}.{alias.asname}" for alias in node.names if alias.asname]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [_dotted(node)]
            inner = node.name if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else ""
            if not names[0]:
                yield from _uses(node, f"{within}.{inner}".strip(".") if inner else within)
        yield from ((within, name) for name in names if _is_outside(name))


def _dotted(node: ast.AST) -> str:
    """`os.path.join`; empty for what is no such name."""
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def _is_outside(name: str) -> bool:
    top, _, rest = name.partition(".")
    if top == "os":
        return bool(rest) and rest not in PURE.split()
    if top == "hpcurate":
        return name.rpartition(".")[2] in REAL
    return name in ("open", "datetime.datetime.now") or (bool(rest) and top in OUTSIDE.split())


def _found() -> set[Use]:
    paths, names = modules(), [f"{top}.{name}" for top, all_of in PROTOCOL.items() for name in all_of.split()]
    uses = ((name, use) for name in names for use in _uses(ast.parse(paths[f"hpcurate.{name}"].read_text())))
    return {(name, within or used.rpartition(".")[2]) for name, (within, used) in uses}


def test_the_protocol_reaches_nothing_but_the_world() -> None:
    """Before, ten of these modules slept, locked, listed and wrote past it."""
    assert set() == _found() - EXCEPTIONS.keys()


def test_every_exception_is_still_needed() -> None:
    """One that is solved leaves the list."""
    assert set() == EXCEPTIONS.keys() - _found()


def test_what_reaches_past_the_world_is_seen() -> None:
    """In a function, in a class, under another name; and what only computes is not."""
    text = (
        "import os, time, threading as t\nfrom time import sleep\nfrom hpcurate.store.filesystem import POSIX\n"
        "class A:\n    def b(self, time: float) -> None:\n        os.path.join(os.listdir('x')[0])\n"
        "        open('x').read()\n        time.sleep(1)\nx = os.path.isdir\ndef c(): datetime.datetime.now()\n"
    )
    assert [
        ("", "threading.t"), ("", "time.sleep"), ("", "hpcurate.store.filesystem.POSIX"),
        ("A.b", "os.listdir"), ("A.b", "open"), ("A.b", "time.sleep"), ("", "os.path.isdir"),
        ("c", "datetime.datetime.now"),
    ] == list(_uses(ast.parse(text)))  # fmt: skip
