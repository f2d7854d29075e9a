"""Imports run one way: cli → runs → planning → store; worker → store; stage_process → what users import."""

from __future__ import annotations

import re
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import pytest
from checkout import ROOT
from imports import files_of, imports, module_name, modules, package, wall_patterns

GROUND = "errors units other_tools fields failures verdict digest imports inside secrets masks results ids sums named_stage resources transient"
USERS = f"{GROUND} task savers model server stage members spec"
CORE = f"{USERS} system store world source planning"
SITE = "config_files site site_files models environments"

MAY_IMPORT = {
    # the ground floor, and what users write against
    "errors": "",
    "units": "errors",
    "other_tools": "",
    "fields": "errors units other_tools",
    "docstrings": "",
    "failures": "errors",
    "verdict": "failures",
    "digest": "",
    "grammar": "errors",
    "imports": "",
    "inside": "",
    "secrets": "errors",
    "masks": "errors secrets",
    "results": "errors",
    "ids": "",
    "sums": "",
    "named_stage": "",
    "resources": "errors fields units",
    "start": "",
    "transient": "",
    "objects": "errors inside transient",
    "task": GROUND,
    "model": "errors",
    "server": "errors fields",
    "savers": "errors ids sums task",
    "stage": f"{GROUND} task model server savers",
    "members": "errors server stage task",
    "group": "errors fields resources stage task",
    "spec": f"{GROUND} task model server stage",
    "programs": f"{USERS} imports stage_process",
    "command": f"{USERS} programs stage_process",
    "infer": "errors fields",
    "inference": "errors fields task stage",
    "golden": "errors",
    "testing": f"{USERS} golden group store stage_process",
    # the core
    "system": GROUND,
    "store": f"{GROUND} task system",
    "world": f"{GROUND} system store",
    "source": f"{USERS} system store world objects",
    "planning": f"{USERS} group command system store world source",
    # in a job
    "stage_process": f"{USERS} group system store node objects",
    "node": f"{GROUND} system store",
    "worker": f"{USERS} system store world planning node stage_process start",
    # what a site has, and what runs on it
    "config_files": "errors fields",
    "site": GROUND,
    "site_files": f"{GROUND} config_files site",
    "models": f"{GROUND} config_files store system planning",
    "environments": f"{GROUND} config_files store system planning",
    "runs": f"{CORE} site environments start",
    "report": f"{CORE} config_files runs web",
    "replay": f"{CORE} {SITE} golden group runs report",
    "carry": f"{CORE} runs report start",
    # pages and endpoints
    "web": "errors",
    "serving": f"{USERS} command docstrings infer system store world planning node stage_process worker web runs report",
    # how it is started
    "api": f"{USERS} store source planning config_files site site_files models environments runs report",
    "hpcurate": f"{CORE} command runs api",
    "form": f"{GROUND} grammar store system runs report web",
    "cli": f"{CORE} {SITE} golden replay carry docstrings grammar hpcurate runs report api serving worker web form",
    "__main__": "cli system",
    "launchers": f"{GROUND} system store world planning runs site start worker",
}
"""Package, or module of hpcurate/ → what it may import. A package may import from itself."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(module, package that it imports all the same): why. None so far; a new one needs a good reason."""


def _allowed(importer: str, imported: str) -> bool:
    return package(imported) in {package(importer), *MAY_IMPORT.get(package(importer), "").split()}


def test_every_package_has_its_row() -> None:
    """The table is complete, and nothing in it is gone."""
    assert MAY_IMPORT.keys() == {package(module) for module in modules()}


def test_imports_run_one_way() -> None:
    """Also within functions: an import that is put off is an import."""
    wrong = {(i.importer, package(i.imported)) for i in imports() if not _allowed(i.importer, i.imported)}
    assert set() == wrong - EXCEPTIONS.keys()


def test_every_exception_is_still_needed() -> None:
    """One that is solved leaves the list."""
    wrong = {(i.importer, package(i.imported)) for i in imports() if not _allowed(i.importer, i.imported)}
    assert set() == EXCEPTIONS.keys() - wrong


def _cycle(edges: Iterable[tuple[str, str]]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_table_has_no_cycle() -> None:
    """So a package that keeps to it is in none."""
    assert [] == _cycle((name, other) for name, allowed in MAY_IMPORT.items() for other in allowed.split())


def test_packages_do_not_import_each_other() -> None:
    """No two packages, directly or around a corner, apart from the exceptions."""
    kept = [i for i in imports() if (i.importer, package(i.imported)) not in EXCEPTIONS]
    assert [] == _cycle({(a, b) for i in kept if (a := package(i.importer)) != (b := package(i.imported))})


def test_modules_do_not_import_each_other() -> None:
    """While they are imported; a cycle that a function puts off would be one between packages, or within one."""
    assert [] == _cycle((i.importer, i.imported) for i in imports() if not i.lazy)


# -- the wall: what runs on Python 3.9 in a stage's own environment -------------------------------------------

WALL = {module_name(path) for pattern in wall_patterns() for path in files_of(pattern)}
USERS_OWN = {"hpcurate.command", "hpcurate.infer.form", "hpcurate.infer.returned", "hpcurate.infer.target"} | {
    "hpcurate.golden",
    "hpcurate.inference",
    "hpcurate.testing",
}
"""What users' tests and stages import in a stage's environment, and nothing of a stage process does."""


def _reached(start: set[str]) -> set[str]:
    """Modules, and the packages they lie in, that these import, also within functions."""
    edges: dict[str, set[str]] = {}
    for each in imports():
        edges.setdefault(each.importer, set()).add(each.imported)
    reached, waiting = set(), list(start)
    while waiting:
        module = waiting.pop()
        if module and module not in reached:
            reached.add(module)
            waiting += [*edges.get(module, ()), module.rpartition(".")[0]]
    return reached


def test_a_stage_process_stays_within_the_wall() -> None:
    """Whatever it can ever import, also within functions, is checked for Python 3.9."""
    start = {module for module in modules() if package(module) == "stage_process"}
    assert set() == _reached(start) - WALL


@pytest.mark.parametrize("pattern", wall_patterns())
def test_the_wall_has_nothing_that_no_stage_process_needs(pattern: str) -> None:
    """A file that is listed by name is reached; of a whole folder at least one is."""
    start = {module for module in modules() if package(module) == "stage_process"} | USERS_OWN
    listed, reached = {module_name(path) for path in files_of(pattern)}, _reached(start)
    assert listed <= reached if "{" in pattern else listed & reached


def test_there_is_one_list_of_the_wall() -> None:
    """A module that says that it runs on Python 3.9 is on it; nothing else in the repository lists them."""
    saying = {name for name, path in modules().items() if "Python 3.9" in path.read_text().split('"""')[1]}
    assert set() == saying - WALL
    lists = [
        path.name for path in (ROOT / "tests").rglob("*.py") if re.search(r"^WALL = [\[(]", path.read_text(), re.M)
    ]
    assert [] == lists
