"""Put results into an output folder, or a bucket: each file whole or not at all; the same again changes nothing."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable

from hpcurate.objects.address import is_remote, parse
from hpcurate.objects.publishing import content, put_bytes, put_file
from hpcurate.store.access import is_groups, make_folders


def publish_file(source: str, target: str) -> bool:
    """Make `target` the same file as `source`: a hard link where possible, else a copy.

    Returns False if it was already.
    """
    if is_remote(target):
        return put_file(source, parse(target))
    if _same_file(source, target):
        return False
    _replace(target, lambda temporary: _link_or_copy(source, temporary))
    return True


def publish_bytes(data: bytes, target: str) -> bool:
    """Make `target` hold `data`. Returns False if it did already."""
    if is_remote(target):
        return put_bytes(data, parse(target))
    if published(target) == data:
        return False
    _replace(target, lambda temporary: _write(temporary, data))
    return True


def published(target: str) -> bytes | None:
    """What `target` holds; None if it is not there."""
    if is_remote(target):
        return content(parse(target))
    try:
        with open(target, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _same_file(source: str, target: str) -> bool:
    try:
        return os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False)
    except FileNotFoundError:
        os.stat(source)  # a missing source is an error, a missing target is not
        return False


def _replace(target: str, make: Callable[[str], None]) -> None:
    """Let `make` write a file under a temporary name beside the target, then rename it."""
    parent, name = os.path.split(os.path.abspath(target))
    make_folders(parent)
    folder = tempfile.mkdtemp(prefix=f".{_start(name)}.", dir=parent)
    try:
        temporary = os.path.join(folder, name)
        make(temporary)
        if os.stat(temporary).st_nlink == 1 and is_groups(parent):  # a link has the mode of the shard's file
            os.chmod(temporary, 0o660)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(name: str) -> str:
    """As much of a name as one with something added to it may have."""
    return os.fsdecode(os.fsencode(name)[:200])


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another filesystem, too many links, or links not allowed
        shutil.copyfile(source, target)
        _flush(target)


def _write(target: str, data: bytes) -> None:
    with open(target, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
