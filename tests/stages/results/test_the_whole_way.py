"""A user's own captions through `+results=…`, typed: beside the input, seen by `done=`, and in one file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from checkout import ROOT
from shell import Shell

CAPTIONS = """# @package _global_
name: captions
source: {_target_: hpcurate.source.Files, path: '${input}', extensions: [mp4]}
stages:
  caption: {_target_: captioned.Captioner}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """With five files, one in a folder, and the pipeline of captions."""
    shell = Shell(tmp_path)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "captions.yaml").write_text(CAPTIONS)
    shutil.copy(ROOT / "tests" / "support" / "captioned.py", shell.cwd)
    for number, name in enumerate(["s/a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"]):
        path = shell.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    return shell


def test_what_is_beside_the_input_counts_as_done(shell: Shell) -> None:
    """`a.mp4.json` of a type of one's own, with its file; the next call in another store leaves it out."""
    folder = shell.folder / "in"
    words = ["+pipeline=captions", "+results=beside", f"input={folder}", f"output={folder}"]
    shell.inline(*words)
    record = json.loads((folder / "s" / "a.mp4.json").read_bytes())
    assert ("s/a.mp4", "0 bytes", "a.mp4.thumb.txt") == (record["source"], record["text"], record["thumb"])
    assert "thumb of 0 bytes" == (folder / "s" / record["thumb"]).read_text()
    for number, done in enumerate([f"done={folder}/{{relative}}.json", "done=stages.results"]):
        (folder / "c.mp4.json").unlink()
        told = shell.type(*words, done, f"store={shell.folder / f'other{number}'}", "launcher=inline").stderr
        assert "already done: 4 items" in told
        assert "results: 1/1 shards, 1 in, 1 out" in told
        assert (folder / "c.mp4.json").exists()


def test_all_in_one_file(shell: Shell) -> None:
    """In the order of the input."""
    words = ["+pipeline=captions", "+results=jsonl", f"input={shell.folder / 'in'}", f"output={shell.folder / 'out'}"]
    shell.inline(*words)
    rows = [json.loads(line) for line in (shell.folder / "out" / "results.jsonl").read_bytes().splitlines()]
    assert ["b.mp4", "c.mp4", "d.mp4", "e.mp4", "s/a.mp4"] == [row["source"] for row in rows]
    assert {"thumb of 3 bytes"} == {(shell.folder / "out" / rows[2]["thumb"]).read_text()}


def test_files_as_triplets(shell: Shell) -> None:
    """What came in, and what was made of it: two lists that Kagurazaka reads."""
    words = [
        "+pipeline=captions",
        "+results=triplets",
        f"input={shell.folder / 'in'}",
        f"output={shell.folder / 'out'}",
    ]
    shell.inline(*words, "stages.results.members={input: thumb}")
    made = [json.loads(line)["input"] for line in (shell.folder / "out" / "triplets.jsonl").read_bytes().splitlines()]
    assert "thumb of 1 bytes" == Path(made[0]["path"]).read_text()
    shell.inline("+pipeline=files", *words[1:])
    found = [json.loads(line)["input"] for line in (shell.folder / "out" / "triplets.jsonl").read_bytes().splitlines()]
    assert {"path": str(shell.folder / "in/s/a.mp4"), "rel_dir": "s", "file_name": "a.mp4"} == found[-1]


def test_numbered_folders_are_one_input(shell: Shell) -> None:
    """Two files a folder; then all folders as one input, whose items are called by them."""
    out = shell.folder / "out"
    words = ["+pipeline=files", "+results=numbered", "stages.number.items=2"]
    shell.inline(*words, "stages.results.input_files=true", f"input={shell.folder / 'in'}", f"output={out}")
    assert ["0000", "0001", "0002", "lists"] == sorted(path.name for path in out.iterdir())
    shell.inline(
        "+pipeline=captions", "+results=jsonl", f"input={out}/{{0000..0002}}", f"output={shell.folder / 'all'}"
    )
    rows = [json.loads(line) for line in (shell.folder / "all" / "results.jsonl").read_bytes().splitlines()]
    assert ["0000/b.mp4", "0000/c.mp4", "0001/d.mp4", "0001/e.mp4", "0002/s/a.mp4"] == [row["source"] for row in rows]


def test_results_that_would_be_inputs_are_refused(shell: Shell) -> None:
    """Before anything starts, with what leaves them out; which does."""
    folder = shell.folder / "in"
    words = ["+pipeline=captions", "~source.extensions", f"input={folder}", f"output={folder}"]
    for results in ("beside", "jsonl", "folder", "numbered", "triplets"):
        told = shell.type(*words, f"+results={results}", "launcher=inline", f"store={shell.store}", status=2).stderr
        assert "would be inputs of the next call" in told
        assert "exclude='*.json" in told
    assert not shell.store.exists()
    for _ in range(2):
        shell.inline(*words, "+results=beside", "exclude=[*.json,*.thumb.txt]")
    assert 5 == len(list(folder.rglob("*.json")))
