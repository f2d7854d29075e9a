"""Copying weights to a node, verified by SHA-256, beside `cp -r`: `benchmarks/node_copy.py [--megabytes 1200]`.

The same files, the same disk, warm page cache, in turns; each target is removed after its round, and each way ends when
the data are on disk.

- *cp -r*, the peer, and *cp -r, sha256sum*, which reads everything again to verify it.
- *hpcurate*: the node's cache, which verifies while the kernel copies.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from rounds import in_a_folder, in_turns, parser, scratch, table

from hpcurate.node.cache import NodeCache
from hpcurate.store.manifest import FileEntry, write_manifest

FILES = 6


def make(folder: Path, megabytes: int) -> int:
    """Files of random bytes with their manifest; the bytes in all."""
    folder.mkdir()
    each, files = megabytes * 1_000_000 // FILES, []
    for number in range(FILES):
        data = os.urandom(each)
        (folder / f"model-{number}.safetensors").write_bytes(data)
        files.append(FileEntry(f"model-{number}.safetensors", each, hashlib.sha256(data).hexdigest()))
    write_manifest(str(folder), files)
    return each * FILES


def ours(source: Path, target: Path) -> None:
    """Through the node's cache."""
    target.mkdir()
    cache = NodeCache(str(target))
    cache.copy("m@1", str(source))
    cache.close()


def cp(source: Path, target: Path) -> None:
    """Plain cp, flushed, as ours is."""
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def cp_and_sum(source: Path, target: Path) -> None:
    """cp, then reading everything again to verify it."""
    cp(source, target)
    names = [str(path) for path in sorted(target.glob("*.safetensors"))]
    subprocess.run(["sha256sum", *names], check=True, stdout=subprocess.DEVNULL)


def seconds(fill: Callable[[Path], None], folder: Path) -> float:
    """Until a target has been filled."""
    began = time.perf_counter()
    fill(folder / "target")
    return time.perf_counter() - began


def compared(ways: Mapping[str, Callable[[Path], None]], folder: Path, repeat: int) -> str:
    """The table of ways that fill a target, beside `cp -r`."""
    turns = {name: partial(in_a_folder, partial(seconds, way), folder) for name, way in ways.items()}
    return table(in_turns(turns, repeat), "cp -r")


def main() -> None:
    """Print the table."""
    options = parser(__doc__, folder=True)
    options.add_argument("--megabytes", type=int, default=1200, help=f"in {FILES} files (default: 1200)")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        source = folder / "source"
        total = make(source, given.megabytes)
        ways = {"cp -r": cp, "cp -r, sha256sum": cp_and_sum, "hpcurate": ours}
        print(f"{total / 1e6:.0f} MB in {FILES} files, {os.cpu_count()} cores\n")
        print(compared({name: partial(way, source) for name, way in ways.items()}, folder, given.repeat))


if __name__ == "__main__":
    main()
