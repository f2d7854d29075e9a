"""Publishing: results appear whole in an output folder, and publishing again changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stages.publish import publish_bytes, publish_file


def test_bytes_are_written_once(tmp_path: Path) -> None:
    """Folders are made; the second call reports that nothing changed, and leaves no temporary file."""
    target = tmp_path / "a" / "b.json"
    assert publish_bytes(b"{}", str(target))
    inode = target.stat().st_ino
    assert not publish_bytes(b"{}", str(target))
    assert publish_bytes(b"[]", str(target))
    assert (target.read_bytes(), target.stat().st_ino != inode) == (b"[]", True)
    assert os.listdir(target.parent) == ["b.json"]


def test_a_path_without_a_folder_is_in_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for any program."""
    monkeypatch.chdir(tmp_path)
    assert publish_bytes(b"x", "list.jsonl")
    assert (tmp_path / "list.jsonl").read_bytes() == b"x"


def test_a_file_is_linked_and_replaced(tmp_path: Path) -> None:
    """The same file by its content counts as published; a missing source is an error."""
    source, target = tmp_path / "s", tmp_path / "out" / "t"
    source.write_bytes(b"1")
    assert publish_file(str(source), str(target))
    assert os.path.samefile(source, target)
    assert not publish_file(str(source), str(target))
    with pytest.raises(FileNotFoundError):
        publish_file(str(tmp_path / "missing"), str(target))
