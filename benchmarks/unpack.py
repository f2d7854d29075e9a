"""Bringing an environment to a node: our unpacking of one packed file, beside `cp -r` of the prefix.

    python benchmarks/unpack.py [FILES]      default: 20000, of 1 to 16 kB

Same disk, warm page cache; each target is removed before the next. Best of three. Over NFS or Lustre each of the
small files costs `cp` round trips; this disk has none.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hpcurate.environments.pack import pack
from hpcurate.node.cache import NodeCache


def make(prefix: Path, count: int) -> int:
    """A conda prefix of small files that no package claims; the bytes in all."""
    draw = random.Random(1)
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta" / "history").touch()
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python").symlink_to(sys.executable)
    total = 0
    for number in range(count):
        folder = prefix / "lib" / f"package{number // 200}"
        folder.mkdir(parents=True, exist_ok=True)
        data = b"\xff" + draw.randbytes(draw.randrange(1_000, 16_000))
        (folder / f"module{number}.so").write_bytes(data)
        total += len(data)
    return total


def cp(prefix: Path, packed: str, target: Path) -> None:
    """Plain cp, flushed, as ours is."""
    subprocess.run(["cp", "-r", str(prefix), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def ours(prefix: Path, packed: str, target: Path) -> None:
    """Through the node's cache: read, verified, unpacked, relocated, flushed."""
    target.mkdir()
    cache = NodeCache(str(target))
    item = cache.unpack("env", packed)
    cache.close()
    if not item.local:
        raise SystemExit(item.reason)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as scratch:
        prefix = Path(scratch, "prefix")
        total = make(prefix, count)
        started = time.perf_counter()
        packed = pack(str(prefix), os.path.join(scratch, "store"))
        print(f"{count} files, {total / 1e6:.0f} MB, {os.cpu_count()} cores")
        print(f"{'packing, once':<14} {time.perf_counter() - started:6.2f} s")
        ways: dict[str, Callable[[Path, str, Path], None]] = {"cp -r": cp, "hpcurate": ours}
        seconds = dict.fromkeys(ways, float("inf"))
        for _ in range(3):
            for name, way in ways.items():
                target = Path(scratch, "target")
                started = time.perf_counter()
                way(prefix, packed, target)
                seconds[name] = min(seconds[name], time.perf_counter() - started)
                shutil.rmtree(target)
        for name, spent in seconds.items():
            print(f"{name:<14} {spent:6.2f} s  {seconds['cp -r'] / spent:5.2f} of cp")


if __name__ == "__main__":
    main()
