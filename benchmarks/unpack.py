"""An environment on a node: one packed file that we unpack, beside `cp -r` of its prefix: `benchmarks/unpack.py`.

20 000 files of 1 to 16 kB (`--files`), the same disk, warm page cache, in turns; each target is removed after its
round, and each way ends when the data are on disk. Over NFS or Lustre each of the small files costs `cp` round trips;
this disk has none.

- *cp -r*, the peer.
- *hpcurate*: the node's cache reads, verifies, unpacks, rewrites paths and flushes.
"""

from __future__ import annotations

import os
import random
import sys
import time
from functools import partial
from pathlib import Path

from node_copy import compared, cp
from rounds import parser, scratch

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


def unpack(packed: str, target: Path) -> None:
    """Through the node's cache: read, verified, unpacked, relocated, flushed."""
    target.mkdir()
    cache = NodeCache(str(target))
    item = cache.unpack("env", packed)
    cache.close()
    if not item.local:
        raise SystemExit(item.reason)


def main() -> None:
    """Print the table."""
    options = parser(__doc__, folder=True)
    options.add_argument("--files", type=int, default=20_000, help="of the environment (default: 20000)")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        prefix = folder / "prefix"
        total = make(prefix, given.files)
        began = time.perf_counter()
        packed = pack(str(prefix), os.fspath(folder / "store"))
        print(f"{given.files} files, {total / 1e6:.0f} MB, {os.cpu_count()} cores")
        print(f"packing, once: {time.perf_counter() - began:.2f} s\n")
        ways = {"cp -r": partial(cp, prefix), "hpcurate": partial(unpack, packed)}
        print(compared(ways, folder, given.repeat))


if __name__ == "__main__":
    main()
