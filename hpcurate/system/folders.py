"""Folders that go, whatever programs have made of the rights to them. Python 3.9."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

__all__ = ["remove_folder"]


def remove_folder(path: str) -> None:
    """With all that is in it, as far as possible: our own folders that may be neither read nor written, too."""
    import shutil  # here: a gate or a worker that removes nothing need not load what unpacks archives

    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        _make_own(path)
        shutil.rmtree(path, ignore_errors=True)


def _make_own(path: str) -> None:
    """Each before it is listed: what may not be read is not walked."""
    with suppress(OSError):
        os.chmod(path, stat.S_IRWXU)
    for base, names, _ in os.walk(path):
        for name in names:
            with suppress(OSError):
                if not os.path.islink(os.path.join(base, name)):
                    os.chmod(os.path.join(base, name), stat.S_IRWXU)
