"""A store that fails, in words; and one that is not there, which is never taken for an empty one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fragile import TROUBLES, fragile

from hpcurate.errors import STORE_ERRNOS
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.store.mounted import Mounted
from hpcurate.store.trouble import AGAIN, Room, amount, explain, in_words, standing_trouble

S = "/scratch/me/curate"
MB = 1 << 20
FULL = Room(0, 512 * MB, 1000, 4000)


@pytest.mark.parametrize(
    ("number", "room", "said"),
    [
        (errno.ENOSPC, FULL, "No space left on device, 0.0 of 512.0 MB free; make room"),
        (errno.ENOSPC, None, "No space left on device; make room"),
        (
            errno.ENOSPC,
            Room(99 * MB, 512 * MB, 0, 4000),
            "left on device, 0 of 4000 files (inodes) free; make room: remove",
        ),
        (errno.ENOSPC, Room(400 * MB, 512 * MB), "400.0 of 512.0 MB free; `quota -s`, or `lfs quota -h /scratch/me/cu"),
        (errno.EDQUOT, FULL, "Disk quota exceeded; `quota -s`, or `lfs quota -h /scratch/me/curate` on Lustre, shows"),
        (errno.EROFS, FULL, "Read-only file system; have it mounted for writing again"),
        (errno.EACCES, FULL, "Permission denied (owner); give the permission back"),
        (errno.EKEYEXPIRED, FULL, "Key has expired; renew your credentials (kinit, or log in again)"),
        (errno.ESTALE, FULL, "Stale file handle; see that it is mounted and its server answers"),
        (errno.EINVAL, FULL, "Invalid argument; look at it"),
    ],
)
def test_what_fails_is_said_with_what_to_type(number: int, room: Room | None, said: str) -> None:
    """Path, reason, number, and the way out."""
    words = in_words(S, number, os.strerror(number), room, "owner")
    assert words.startswith(f"{S}: {os.strerror(number)}")
    assert said in words
    assert words.endswith(f", {AGAIN}")


@pytest.mark.parametrize("number", sorted(STORE_ERRNOS), ids=errno.errorcode.get)
def test_every_error_of_a_store_has_its_words(number: int) -> None:
    """None of them is only to be looked at."""
    assert "look at it" not in in_words(S, number, "")


def test_sizes_are_in_the_unit_of_the_whole() -> None:
    """As a person reads them."""
    assert ["0.0 of 512.0 MB", "1.5 of 2.0 GB", "0.0 of 3.0 TB", "0.1 of 0.2 MB"] == [
        amount(0, 512 * MB), amount(1536 * MB, 2048 * MB), amount(MB, 3 << 40), amount(100_000, 200_000)
    ]  # fmt: skip


def test_a_filesystem_is_short_of_room_by_its_own_size() -> None:
    """A fiftieth of a small one, 256 MB of a large one; or a few files."""
    assert [True, False, True, False, True, False] == [
        Room(10 * MB, 512 * MB).short, Room(11 * MB, 512 * MB).short,
        Room(255 * MB, 1 << 50).short, Room(256 * MB, 1 << 50).short,
        Room(1 << 40, 1 << 50, 15, 99).short, Room(1 << 40, 1 << 50, 0, 0).short,
    ]  # fmt: skip


def test_the_path_is_the_stores_unless_one_file_is_meant() -> None:
    """Room is of the whole, a permission of one folder, and another disk is named."""
    full, forbidden = (OSError(n, os.strerror(n), f"{S}/stages/a") for n in (errno.ENOSPC, errno.EACCES))
    elsewhere = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/nowhere/x")
    said = [explain(error, S).partition(": ")[0] for error in (full, forbidden, elsewhere)]
    assert [S, f"{S}/stages/a", "/nowhere/x"] == said
    assert "is drwx" in explain(forbidden, S)


# -- a store that is not there -----------------------------------------------------------------------

CALLS: dict[str, Callable[[Mounted, str], object]] = {
    "names": lambda files, store: files.names(f"{store}/claims"),
    "stamp": lambda files, store: files.stamp(f"{store}/claims"),
    "read": lambda files, store: files.read(f"{store}/claims/1"),
    "create": lambda files, store: files.create(f"{store}/claims/1", b""),
    "replace": lambda files, store: files.replace(f"{store}/claims/1", b""),
    "beat": lambda files, store: files.beat(f"{store}/claims/1", b""),
    "make_folder": lambda files, store: files.make_folder(f"{store}/claims/1"),
    "make_folders": lambda files, store: files.make_folders(f"{store}/claims/1"),
    "sizes": lambda files, store: files.sizes(f"{store}/claims"),
    "rename": lambda files, store: files.rename(f"{store}/claims/1", f"{store}/claims/2"),
    "discard": lambda files, store: files.discard(f"{store}/claims/1", f"{store}/trash"),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_unmounted_store_is_not_an_empty_one(tmp_path: Path, call: str) -> None:
    """Before, nothing was committed there, and folders and claims were made under the mount point."""
    files = Mounted(POSIX, Store(str(tmp_path)))
    with pytest.raises(OSError, match=r"format\.json is missing: is it mounted") as caught:
        CALLS[call](files, str(tmp_path))
    assert (errno.ENODEV, str(tmp_path), []) == (caught.value.errno, caught.value.filename, os.listdir(tmp_path))


def test_what_is_not_in_a_store_that_is_there_is_not_there(tmp_path: Path) -> None:
    """As without it."""
    (tmp_path / "format.json").write_text("{}")
    files = Mounted(POSIX, Store(str(tmp_path)))
    found = (files.names(f"{tmp_path}/a"), files.stamp(f"{tmp_path}/a"), files.sizes(f"{tmp_path}/a"))
    assert ([], 0, {}) == found
    with pytest.raises(FileNotFoundError):
        files.read(f"{tmp_path}/a")
    files.make_folders(f"{tmp_path}/a/b")
    assert (True, False) == (files.create(f"{tmp_path}/a/b/c", b"x"), files.create(f"{tmp_path}/a/b/c", b"y"))
    assert ["c"] == files.names(f"{tmp_path}/a/b")


def test_trouble_is_seen_without_writing(tmp_path: Path) -> None:
    """For `status`: each kind but the one that root has not, and none where there is none."""
    with fragile(tmp_path) as disk:
        root = str(disk.store)
        (disk.store / "format.json").touch()
        said = {"": standing_trouble(root)}
        for kind in TROUBLES:
            with disk.trouble(kind):
                said[kind] = standing_trouble(root)
    assert "" == said[""] == said["forbidden"]
    assert "0.0 of 2" in said["full"]
    assert "0 of 4000 files (inodes) free" in said["no inodes"]
    assert "Read-only file system" in said["read-only"]
    assert "is it mounted?" in said["unmounted"]
