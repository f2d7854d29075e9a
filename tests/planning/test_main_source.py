"""What classes of a script or notebook need, as a module (W18)."""

from __future__ import annotations

import ast

import pytest

from hpcurate.errors import PipelineError
from hpcurate.planning.main_source import needed_source

KNOWN = dict.fromkeys(("Stage", "Mine", "helper", "run", "odd", "made", "np", "print", "hpcurate", "starred"))


def taken(*sources: str, wanted: str = "Mine") -> list[str]:
    """First lines of the statements that are taken, without those of a function or class."""
    return [ast.unparse(node).splitlines()[0] for node in ast.parse(needed_source(sources, [wanted], KNOWN)).body]


def test_what_is_needed_is_taken_and_nothing_else() -> None:
    """By names, through functions and constants; in order."""
    source = """
import os, sys
import numpy as np
from hpcurate import Stage
LIMIT = 3
OTHER = print("never")
def helper(x): return min(x, LIMIT)
def unused(): return np
class Mine(Stage):
    def process(self, tasks): return [helper(len(tasks))]
run = hpcurate.run([Mine()])
print(run)
"""
    expected = ["from hpcurate import Stage", "LIMIT = 3", "def helper(x):", "class Mine(Stage):"]
    assert expected == taken(source)


def test_a_variable_of_a_function_is_no_name_of_the_module() -> None:
    """Else the call that starts the run would be started by each worker."""
    source = "run = hpcurate.run()\nclass Mine:\n    def a(self, run): return [odd for odd in run]\nodd = run\n"
    assert ["class Mine:"] == taken(source)


def test_names_in_annotations_count() -> None:
    """Also in quotes, and where annotations are not evaluated."""
    for future in ("", "from __future__ import annotations\n"):
        source = f"{future}class helper: pass\nclass odd: pass\nclass Mine:\n    a: 'helper'\n    def b(self) -> list[odd]: ...\n"
        assert ["class helper:", "class odd:", "class Mine:"] == taken(source)[bool(future) :]


def test_decorators_and_defaults_count() -> None:
    """With the lines that they stand in."""
    source = (
        "import made\n@made.define(\n  slots=True)\nclass Mine:\n    def a(self, b=LIMIT): ...\nLIMIT = 1; odd = 2\n"
    )
    assert ["import made", "@made.define(slots=True)", "LIMIT = 1"] == taken(source)


def test_the_last_definition_counts_in_the_place_of_the_first() -> None:
    """A cell that is run again is where it was: bases stay before their classes, and the code has the same digest."""
    cells = ["class helper: a = 1", "LIMIT = 1", "class Mine(helper): a = LIMIT"]
    again = [*cells, "LIMIT = 2", "class helper: a = 2", "LIMIT = 1", cells[0]]
    assert needed_source(cells, ["Mine"], KNOWN) == needed_source(again, ["Mine"], KNOWN)
    assert "LIMIT = 2" in needed_source([*cells, "LIMIT = 2"], ["Mine"], KNOWN)


def test_what_is_tried_is_taken_whole_and_what_only_a_script_does_is_not() -> None:
    """`try: import`, `if`, and the guard."""
    source = """
try:
    import made
except ImportError:
    made = None
if made:
    LIMIT = 1
else:
    LIMIT = 2
class Mine:
    def a(self): return made, LIMIT
if __name__ == "__main__":
    LIMIT = hpcurate.run()
"""
    assert ["try:", "if made:", "class Mine:"] == taken(source)


def test_cells_that_are_no_python_are_left_out() -> None:
    """They never ran."""
    assert ["class Mine:"] == taken("class Mine(:", "!ls", "class Mine: ...", "def Mine(")


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("class Mine:\n    a = made", "'made' is needed there, and no cell or line"),
        ("for made in (1, 2): pass\nclass Mine:\n    a = made", "'made' is needed there"),
        ("odd = 1", "'Mine' is needed there"),
        (
            "made = {}\nmade['a'] = 1\nclass Mine:\n    a = made",
            r"`made\['a'\] = 1` changes 'made' after its definition",
        ),
        ("made = f()\nclass Mine:\n    a = made\nmade.b.c += 1", "changes 'made' after its definition"),
        ("class Mine: ...\nMine.batch_size = 3", "`Mine.batch_size = 3` changes 'Mine'"),
        (
            "made = [1]\nmade.append(2)\nclass Mine:\n    a = made",
            "'made' is not what its definition says any more: None",
        ),
        ("from .beside import helper\nclass Mine(helper): ...", "`from .beside import helper` is relative"),
    ],
)
def test_what_is_nowhere_defined_is_named(source: str, wrong: str) -> None:
    """Before anything starts."""
    with pytest.raises(PipelineError, match=wrong):
        needed_source([source], ["Mine"], KNOWN)


def test_what_python_has_need_not_be_defined() -> None:
    """Builtins, and names that are nowhere: Python says so where they are used."""
    assert ["class Mine:"] == taken("class Mine:\n    def a(self): return print(nowhere)")


def test_a_constant_that_was_set_again_is_unchanged() -> None:
    """By the last statement that defines it, whatever was done before that."""
    assert ["made = None", "class Mine:"] == taken(
        "made = {}", "made['a'] = 1", "class Mine:\n    a = made", "made = None"
    )


def test_names_from_a_star_come_with_it() -> None:
    """All stars: nobody knows which."""
    assert ["from numpy import *", "class Mine:"] == taken("from numpy import *\nclass Mine:\n    a = starred")
