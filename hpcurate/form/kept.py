"""`python -m hpcurate.form.kept FILE NAME…`: what a command prints, into a file, with secrets masked.

A process of its own: it ends with the last one that can print, whatever becomes of the page. NAME: variables whose
values are secrets, also where their names would not say so.
"""

from __future__ import annotations

import os
import signal
import sys

from hpcurate.masks import Sieve, keep, known

BLOCK = 1 << 16
MOST_BYTES = 64 << 20
"""Of the file; what comes after that is read and dropped, so that nobody who prints is held up."""


def main(path: str, names: list[str]) -> None:
    """Until nobody is left who could print."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for name in names:
        keep(name, os.environ.get(name, ""))
    sieve, size = Sieve(known()), 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0) as file:
        while data := os.read(0, BLOCK):
            done = sieve.feed(data)
            size += len(done)
            if size <= MOST_BYTES:
                file.write(done)
        file.write(sieve.rest())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
