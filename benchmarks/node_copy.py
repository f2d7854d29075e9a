"""Bringing weights to a node: our copy, verified by SHA-256, beside `cp -r`, and `cp -r` followed by `sha256sum`.

    python benchmarks/node_copy.py [MEGABYTES]      default: 1200, in six files

Same files, same disk, warm page cache; each target is removed before the next. Best of three.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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


def main() -> None:
    """Print the table."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        total = make(source, megabytes)
        ways: dict[str, Callable[[Path, Path], None]] = {"cp -r": cp, "cp -r, sha256sum": cp_and_sum, "hpcurate": ours}
        seconds = dict.fromkeys(ways, float("inf"))
        for _ in range(3):
            for name, way in ways.items():
                target = Path(scratch, "target")
                started = time.perf_counter()
                way(source, target)
                seconds[name] = min(seconds[name], time.perf_counter() - started)
                shutil.rmtree(target)
        print(f"{total / 1e6:.0f} MB in {FILES} files, {os.cpu_count()} cores")
        for name, spent in seconds.items():
            print(f"{name:<18} {spent:6.2f} s  {total / spent / 1e6:7.0f} MB/s  {seconds['cp -r'] / spent:5.2f} of cp")


if __name__ == "__main__":
    main()
