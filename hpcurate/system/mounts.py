"""What kind of filesystem a folder is on."""

from __future__ import annotations

import os
from functools import lru_cache

__all__ = ["keeps_names", "syncs_whole"]

LUSTRE, CEPH, NFS = 0x0BD00BD0, 0x00C36400, 0x6969
LOCAL = frozenset(
    [
        0xEF53,  # ext4
        0x58465342,  # XFS
        0x9123683E,  # Btrfs
        0x2FC12FC1,  # ZFS
        0x01021994,  # tmpfs
        0x794C7630,  # overlayfs
    ]
)
"""`f_type` of statfs(2)."""
KEEPS_NAMES = LOCAL | {LUSTRE, CEPH, 0x47504653, 0x19830326}  # GPFS, BeeGFS
"""Where open(2) with O_EXCL has one winner, and a failure is one.

Not NFS, whose client may ask twice and hear of its own file; nor FUSE, SMB and what is not known.
"""
SYNCS_WHOLE = LOCAL | {CEPH, NFS}
"""Where syncfs(2) is as good as an fsync of each file and folder. Not Lustre, which has no such call of its own."""


@lru_cache(maxsize=1024)
def keeps_names(folder: str) -> bool:
    """Whether an exclusive create in a folder can be believed. Raises OSError, also if there is no such folder."""
    return _kind(folder) in KEEPS_NAMES


def syncs_whole(folder: str) -> bool:
    """Whether syncfs(2) on a folder flushes all that is on its filesystem. Raises OSError."""
    return _kind(folder) in SYNCS_WHOLE


def _kind(folder: str) -> int:
    """`f_type`: the first number of what statfs(2) fills in, as long as a C long."""
    import ctypes  # here: a gate that changes nothing need not load it

    library, found = ctypes.CDLL(None, use_errno=True), (ctypes.c_long * 64)()
    if library.statfs(os.fsencode(folder), found):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)
    return int(found[0]) & 0xFFFFFFFF
