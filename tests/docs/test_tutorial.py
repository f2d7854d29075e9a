"""The tutorial notebook runs from top to bottom, in a process of Jupyter's, and what it says comes true (W18)."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import nbformat
import pytest
from checkout import ROOT
from nbclient import NotebookClient

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
WRONG_WORDS = r"\b(?:anew|mends?|mended|last words|brought|yardstick)\b"


def source(cell: Any) -> str:
    """Text of a cell."""
    return "".join(cell["source"])


def test_it_is_kept_without_output() -> None:
    """And as a valid notebook, whose lines fit and lead somewhere."""
    notebook = json.loads(TUTORIAL.read_text())
    nbformat.validate(nbformat.from_dict(notebook))  # type: ignore[no-untyped-call]
    assert [] == [cell["id"] for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
    text = "\n".join(source(cell) for cell in notebook["cells"])
    assert [] == [line for line in text.splitlines() if len(line) > 120]
    assert [] == re.findall(WRONG_WORDS, text)
    assert [] == [link for link in re.findall(r"\]\(([^)#]+)", text) if not (TUTORIAL.parent / link).exists()]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What its cells of code print and show, in order; each ran without an error. The environment is not activated."""
    folder = tmp_path_factory.mktemp("tutorial")
    notebook: Any = nbformat.read(TUTORIAL, as_version=4)  # type: ignore[no-untyped-call]
    with pytest.MonkeyPatch.context() as patch:
        own = os.path.dirname(sys.executable)
        patch.setenv("PATH", os.pathsep.join(one for one in os.environ["PATH"].split(os.pathsep) if one != own))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return ["".join(map(_shown, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"]


def _shown(output: Any) -> str:
    return str(
        output.text if output.output_type == "stream" else output.data.get("text/html") or output.data["text/plain"]
    )


def test_each_cell_shows_what_the_text_says(executed: list[str]) -> None:
    """A run as a table, a drop, a failure, its repair, workers, the same run again, and the report."""
    _, _, _, first, tasks, summary, ends, retried, local, report, frame = executed
    assert "<td>read</td><td>5/5</td><td>5</td><td>3</td><td>1</td><td>1</td>" in first
    assert "tuesday.txt 3 {'sun,': 4, 'at': 2, 'last': 4}" in tasks
    assert ["'longest': 'again'", "'notes': 3", "'words': 13"] == re.findall(
        r"'(?:longest|notes|words)': [^,]+", summary
    )
    assert "dropped: wednesday.txt - no words" in ends
    assert "failed:  thursday.txt - 'utf-8' codec can't decode byte 0xe9" in ends
    assert "complete> []" in retried
    assert retried.endswith("[(4, 18, 'again')]")
    assert "complete> True" in local
    assert local.endswith("[(4, 18, 'again')]")
    assert "tutorial/report.html" in report
    assert "<iframe" in frame
