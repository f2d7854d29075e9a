"""A small filesystem of its own for a store, which a test can fill, forbid, make read-only, or take away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

LIKE_A_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
"""Runs a command as who may be forbidden what is his own, which root is not."""


@dataclass
class Fragile:
    """An ext4 of some MB with few inodes, seen at `store`."""

    folder: Path
    mb: int = 32
    inodes: int = 4000

    @property
    def store(self) -> Path:
        """Where it is mounted, except when it is not."""
        return self.folder / "store"

    @property
    def behind(self) -> Path:
        """Where it is always mounted."""
        return self.folder / "behind"

    @property
    def locked(self) -> Path:
        """The same, where nobody can write."""
        return self.folder / "locked"

    def make(self) -> None:
        """Mount it. Raises CalledProcessError where that may not be done."""
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(self.mb << 20)
        _run("mkfs.ext4", "-q", "-m", "0", "-N", str(self.inodes), str(image))
        self.behind.mkdir()
        self.store.mkdir()
        _run("mount", "-o", "loop", str(image), str(self.behind))
        (self.behind / "top").mkdir()
        self.locked.mkdir()
        _run("mount", "--bind", str(self.behind / "top"), str(self.locked))
        _run("mount", "-o", "remount,bind,ro", str(self.locked))
        self._show(self.behind / "top")

    def remove(self) -> None:
        """Unmount it, however often it is there."""
        for place in (self.store, self.locked, self.behind):
            while os.path.ismount(place):
                _run("umount", "-l", str(place))

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        """One of TROUBLES, for a while."""
        with _TROUBLES[kind](self):
            yield

    def _show(self, what: Path) -> None:
        _run("mount", "--bind", str(what), str(self.store))

    def _hide(self) -> None:
        _run("umount", "-l", str(self.store))

    @contextmanager
    def _full(self) -> Iterator[None]:
        stuff = self.behind / "stuff"
        with open(stuff, "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 10):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
        stuff.unlink()

    @contextmanager
    def _no_inodes(self) -> Iterator[None]:
        stuff = self.behind / "many"
        stuff.mkdir(exist_ok=True)
        made = []
        with suppress(OSError):
            while True:
                made.append(stuff / f"{len(made)}")
                made[-1].touch(exist_ok=False)
        yield
        for path in made:
            path.unlink(missing_ok=True)

    @contextmanager
    def _read_only(self) -> Iterator[None]:
        self._show(self.locked)
        yield
        self._hide()

    @contextmanager
    def _forbidden(self) -> Iterator[None]:
        (self.behind / "top").chmod(0)
        yield
        (self.behind / "top").chmod(0o755)

    @contextmanager
    def _unmounted(self) -> Iterator[None]:
        self._hide()
        yield
        assert [] == sorted(self.store.rglob("*")), "somebody made a store where there is none"
        self._show(self.behind / "top")


_TROUBLES: dict[str, Callable[[Fragile], object]] = {
    "full": Fragile._full,
    "no inodes": Fragile._no_inodes,
    "read-only": Fragile._read_only,
    "forbidden": Fragile._forbidden,
    "unmounted": Fragile._unmounted,
}
TROUBLES = tuple(_TROUBLES)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def fragile(folder: Path) -> Iterator[Fragile]:
    """One below a folder; the test is skipped where nothing can be mounted."""
    found = Fragile(folder)
    try:
        found.make()
    except (OSError, subprocess.CalledProcessError) as error:
        found.remove()
        pytest.skip(f"cannot mount an ext4 here: {error} {getattr(error, 'stderr', '')}")
    try:
        yield found
    finally:
        found.remove()
