"""Inputs that are no plain files."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.stages.broken.media import video


def sparse(path: Path) -> None:
    """Four gigabytes that need no room."""
    with open(path, "wb") as file:
        file.truncate(4 * 2**30)


def pipe(path: Path) -> None:
    """Nobody writes to it: who opens it waits."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """Bound by its name in its folder: the whole path may be too long."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def link(path: Path, target: str) -> None:
    """A symbolic link."""
    path.symlink_to(target)


def ring(path: Path) -> None:
    """Two folders, each with a link to the other and to itself, and a video in one."""
    for here, there in (("a", "b"), ("b", "a")):
        (path / here).mkdir(parents=True, exist_ok=True)
        (path / here / "other").symlink_to(f"../{there}")
        (path / here / "self").symlink_to(".")
    (path / "a" / "video.mp4").write_bytes(video())


def folder(path: Path) -> None:
    """An empty one."""
    path.mkdir()


def unreadable(path: Path) -> None:
    """By anybody but root."""
    path.write_bytes(video())
    path.chmod(0)
