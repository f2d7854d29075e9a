"""Who types what, and where: what a run keeps of the call that started or continued it."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from hpcurate.planning.modules import installed
from hpcurate.runs.commands import Command

GIT_S = 5.0
"""Seconds that git may take: a checkout on a slow filesystem is not worth waiting for."""


def typed_here(words: Sequence[str], config_dirs: Sequence[str] = ()) -> Command:
    """A command that was typed in the current folder."""
    return msgspec.structs.replace(_here(), words=tuple(words), config_dirs=tuple(config_dirs))


def called_here() -> Command:
    """A call of `hpcurate.run` in this process: there is no command line that would repeat it."""
    script = os.path.abspath(getattr(sys.modules.get("__main__"), "__file__", None) or "")
    return msgspec.structs.replace(_here(), script="" if os.path.isdir(script) or installed(Path(script)) else script)


def _here() -> Command:
    folder = os.getcwd()
    return Command(folder=folder, user=_user(), host=socket.gethostname(), checkout=_checkout(Path(folder)))


def _user() -> str:
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def _checkout(folder: Path) -> str:
    """What git calls the code there, `-dirty` where something was edited since; empty without git or checkout."""
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return ""
    words = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    with suppress(OSError, subprocess.SubprocessError):
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # a look writes nothing
        done = subprocess.run(
            words, capture_output=True, env=environment, timeout=GIT_S, check=True, stdin=subprocess.DEVNULL
        )
        return done.stdout.decode(errors="replace").strip()
    return ""
