"""All results in one file: in order, replaced as a whole, with files that no two tasks share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from captioned import caption

from hpcurate.errors import ConfigError, StageError
from stages.results.jsonl import WriteJsonl, check_apart, line_of


def lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a JSONL file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_each_task_is_a_line_in_the_order_of_the_input(tmp_path: Path) -> None:
    """With paths from where the file is; several of one source have files of their own."""
    tasks = [caption(tmp_path, "b.mp4", id="2"), caption(tmp_path, "b.mp4", id="1", thumb=None)]
    assert tasks == WriteJsonl(str(tmp_path / "out")).process(list(tasks))
    found = lines(tmp_path / "out" / "results.jsonl")
    assert ["2", "1"] == [row["id"] for row in found]
    assert ["files/2.thumb.webp", None] == [row["thumb"] for row in found]
    assert "x/thumb.webp" == (tmp_path / "out" / found[0]["thumb"]).read_text()
    inode = (tmp_path / "out" / "results.jsonl").stat().st_ino
    WriteJsonl(str(tmp_path / "out")).process(tasks)
    assert inode == (tmp_path / "out" / "results.jsonl").stat().st_ino


def test_files_of_two_tasks_never_meet(tmp_path: Path) -> None:
    """Both are named, before anything is written; what has no files may share a name."""
    tasks = [caption(tmp_path, "b.mp4", id="2"), caption(tmp_path, "b.mp4", id="1")]
    with pytest.raises(StageError, match=r"'files/b.mp4.thumb.webp' .*task 2 and of task 1.*name='\{id\}'"):
        WriteJsonl(str(tmp_path / "out"), name="{relative}").process(list(tasks))
    assert not (tmp_path / "out").exists()
    bare = [caption(tmp_path, "b.mp4", id=name, thumb=None, masks=[]) for name in "21"]
    check_apart([line_of(task, "{relative}") for task in bare])


@pytest.mark.parametrize("manifest", ["results.json", "a/results.jsonl", "../x.jsonl"])
def test_the_file_is_a_name(manifest: str) -> None:
    """Of JSON lines."""
    with pytest.raises(ConfigError, match=r"expected a name such as results\.jsonl"):
        WriteJsonl("out", manifest=manifest)
