"""A rank of a program that runs on several nodes: `python -I rank.py FOLDER PROGRAM [ARGUMENT]...`. Python 3.9.

FOLDER is empty, and the current one of the program. On the first node it is there, and is removed by who made it; on
the others it is made here, and removed afterwards. It imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys


def main(folder: str, argv: list[str]) -> int:
    """The program's own end: its exit status, or 128 and its signal."""
    if os.path.isdir(folder):
        os.chdir(folder)
        os.execvp(argv[0], argv)
    os.makedirs(folder, mode=0o700)
    try:
        with subprocess.Popen(argv, cwd=folder) as process:
            signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            status = process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.removedirs(os.path.dirname(folder))
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror} on {os.environ.get('SLURMD_NODENAME', '')}", file=sys.stderr)
        sys.exit(127)
