"""Freeing files of a shard, by several at once."""

from __future__ import annotations

import os
from pathlib import Path

from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.freed import Freed
from hpcurate.store.layout import StageFolder


class Late(PosixFilesystem):
    """Somebody else carries the decision out between the two calls with which this one makes its tombstone."""

    def __init__(self, other: Freed) -> None:
        self._other = other

    def create(self, path: str, data: bytes) -> bool:
        """Its temporary file is there when the other one looks what is to be deleted."""
        beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.0badcafe")
        Path(beside).write_bytes(data)
        self._other.free("0001-000000", 1)
        os.unlink(beside)  # FileNotFoundError where the other one took it for a file of the shard
        return super().create(path, data)


def test_two_carry_out_one_decision_at_once(tmp_path: Path) -> None:
    """The faster one deleted what the other was about to name: a driver of another run ended in a traceback."""
    folder, trash = StageFolder(str(tmp_path / "stage")), str(tmp_path / "trash")
    files = Path(folder.shard("0001-000000"), "files")
    files.mkdir(parents=True)
    (files / "clip.mp4").touch()
    Freed(Late(Freed(PosixFilesystem(), folder, trash)), folder, trash).free("0001-000000", 1)
    assert ["freed"] == os.listdir(folder.freed_files("0001-000000", 1))
