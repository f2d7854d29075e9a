"""`+pipeline=text` the whole way, with processes of its own: what is kept, why the others are not, and what grows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT
from documents import document, edited, reordered, with_notice
from shell import Shell

for needed in ("rensa", "py3langid", "pyarrow"):
    pytest.importorskip(needed, reason="the text extra is not installed")

GERMAN = "Die alten Häuser am Hafen sind lange leer, und niemand weiß, wer dort gewohnt hat. "


def table(path: Path, **given: str) -> None:
    """Rows with an id, a text under another name, and a column of its own."""
    rows = [{"name": id, "body": text, "url": f"https://example.org/{id}", "n": 1} for id, text in given.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def packed(shell: Shell) -> dict[str, dict[str, Any]]:
    """Rows of the shards by id."""
    import pyarrow.parquet as parquet

    files = sorted((shell.cwd / "out" / "shards").glob("*.parquet"))
    return {row["id"]: row for file in files for row in parquet.read_table(file).to_pylist()}


def test_texts_become_a_training_set_which_grows(shell: Shell) -> None:
    """Planted twins of each kind are dropped, with their twin named; columns travel, those that the page's class has as fields of their own. One more file: what is packed
    stays as it is, and a twin of what is there is not packed.
    """
    page = (ROOT / "docs" / "text-pipeline.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "class NearDocs" in block)
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "doc.py").write_text(code)
    given = {f"doc{n}": document(n) for n in range(12)}
    table(
        shell.cwd / "a.jsonl", **given, spaced=given["doc0"].replace(" ", "  "), edited=edited(given["doc1"], 1)[:-40],
        reordered=reordered(given["doc2"]), longer=with_notice(given["doc3"]), german=GERMAN * 20, spam=f"{document(60)[:80]}.\n" * 9,
    )  # fmt: skip
    words = ["+pipeline=text", "input=*.jsonl", "output=out", "params.languages=[en]", f"store={shell.store}"]
    words += ["params.text=body", "params.id=name", "source.task=stages.doc.Doc"]
    words += ["stages.near._target_=stages.doc.NearDocs"]
    shell.type(*words, "launcher=local")
    rows = packed(shell)
    assert {*given, "longer"} - {"doc3"} == set(rows)
    assert ("https://example.org/longer", {"n": 1}) == (rows["longer"]["url"], json.loads(rows["longer"]["data"]))
    assert (with_notice(given["doc3"]), "en") == (rows["longer"]["text"], rows["longer"]["language"])
    stages = ("language", "quality", "exact", "near")
    dropped = [json.loads(row) for stage in stages for row in shell.rows(stage, "dropped.jsonl")]
    assert {
        "german": "another language",
        "spam": "repeated_lines above 0.3",
        "spaced": "same content as another",
        "edited": "near duplicate of another",
        "reordered": "near duplicate of another",
        "doc3": "near duplicate of another",
    } == {row["id"]: row["reason"] for row in dropped if "text" in row["task"]}
    first = (shell.cwd / "out" / "shards" / "000000.parquet").stat()
    table(shell.cwd / "b.jsonl", new=document(50), twin=edited(given["doc5"], 3)[:-40])
    shell.type(*words, "launcher=inline")
    assert {*rows, "new"} == set(packed(shell))
    assert first.st_mtime_ns == (shell.cwd / "out" / "shards" / "000000.parquet").stat().st_mtime_ns
