"""Benchmarks start, are named where their figures are shown, and a ratio that became worse is seen."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest
from checkout import ROOT

BENCHMARKS = ROOT / "benchmarks"
RATIOS = BENCHMARKS / "ratios.json"
MAINS = sorted(
    path.stem
    for path in BENCHMARKS.glob("*.py")
    if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body)
)
HELP = """import contextlib, importlib, io, json, sys
found = {}
for name in sys.argv[1:]:
    module, printed = importlib.import_module(name), io.StringIO()
    sys.argv = [name, "--help"]
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        module.main()
    found[name] = printed.getvalue(), callable(getattr(module, "quick", None))
print(json.dumps(found))
"""
"""All in one process: their imports take longer than they do."""


def _in_benchmarks(program: str, *words: str) -> str:
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, cwd=BENCHMARKS, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def started() -> dict[str, tuple[str, bool]]:
    """Benchmark → (what --help prints, whether it has a `quick`)."""
    return {name: (text, quick) for name, (text, quick) in json.loads(_in_benchmarks(HELP, *MAINS)).items()}


@pytest.mark.video
def test_each_benchmark_starts_and_says_what_it_measures(started: dict[str, tuple[str, bool]]) -> None:
    """--help prints the options, and the docstring whole."""
    shown = {name: ast.get_docstring(ast.parse((BENCHMARKS / f"{name}.py").read_text())) or "?" for name in MAINS}
    assert {} == {name: text for name, (text, _) in started.items() if shown[name] not in text or "usage:" not in text}


@pytest.mark.video
def test_each_that_is_measured_quickly_has_a_function_for_it(started: dict[str, tuple[str, bool]]) -> None:
    """`quick.NAMES` and the modules agree."""
    names = json.loads(_in_benchmarks("import json, quick; print(json.dumps(quick.NAMES))"))
    assert names
    assert [] == [name for name in names if not started[name][1]]


def test_each_benchmark_is_named_on_a_page() -> None:
    """A figure has its command, and a benchmark a reader."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "Makefile"]
    text = "\n".join(page.read_text() for page in pages)
    assert [] == [name for name in MAINS if f"benchmarks/{name}.py" not in text]


def test_a_ratio_that_became_worse_is_marked() -> None:
    """Slower is less than three quarters of what is stored; a new ratio is neither slower nor faster."""
    program = """import json, quick
found = quick.compared({"a": 0.74, "b": 0.76, "new": 0.1}, {"a": 1.0, "b": 1.0, "gone": 1.0})
print(json.dumps([(one.name, one.slower, one.row()) for one in found]))
"""
    assert [
        ["a", True, "| a | 0.74 | 1.00 | slower |"],
        ["b", False, "| b | 0.76 | 1.00 |  |"],
        ["new", False, "| new | 0.10 | – | new |"],
    ] == json.loads(_in_benchmarks(program))


def test_stored_ratios_are_those_of_benchmarks_that_run() -> None:
    """A ratio of a benchmark that is gone would never be compared again."""
    names = json.loads(_in_benchmarks("import json, quick; print(json.dumps(quick.NAMES))"))
    assert [] == [name for name in json.loads(RATIOS.read_text()) if name.partition(": ")[0] not in names]
