"""Damaged and hostile archives: refused by name, with nothing written."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcurate.carry.archive import checked, unpack, write_archive
from hpcurate.carry.index import INDEX, Header, Index
from hpcurate.errors import StoreError

HEADER = Header(store=2, hpcurate="0.1.0", run="a", folder="/s/runs/a", files="all", open={})
CONTENT = {"run/pipeline.json": b"{}\n", "output/b.bin": bytes(range(256)) * 40, "output/caf\udce9\n": b"x"}
NAMES = ["archive", "archive.tar", "archive.tar.gz"]


def written(folder: Path, name: str) -> Path:
    """An archive of that content."""
    source = folder / "source"
    for path, data in CONTENT.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    write_archive(str(folder / name), HEADER, [(path, str(source / path)) for path in CONTENT])
    return folder / name


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    """In each form, with any name; and nothing else is left beside it."""
    archive = checked(str(written(tmp_path, name)))
    unpack(archive, str(tmp_path / "out"), {path: f"x/{path}" for path in CONTENT})
    assert {path: (tmp_path / "out" / "x" / path).read_bytes() for path in CONTENT} == CONTENT
    assert {name, "source", "out"} == set(os.listdir(tmp_path))


def test_each_form_has_the_same_digest(tmp_path: Path) -> None:
    """It is that of what is in it."""
    assert len({checked(str(written(tmp_path, name))).index.digest for name in NAMES}) == 1


@pytest.mark.parametrize("name", NAMES[:2])
def test_one_changed_byte_is_named(tmp_path: Path, name: str) -> None:
    """Of a file, wherever in it."""
    archive = written(tmp_path, name)
    path = archive / "output/b.bin" if archive.is_dir() else archive
    data = path.read_bytes()
    at = data.index(CONTENT["output/b.bin"]) + 5000
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(StoreError, match=r"'output/b.bin' was changed"):
        checked(str(archive))


@pytest.mark.parametrize("name", NAMES[1:])
def test_whatever_byte_of_a_tar_is_changed_nothing_else_comes_out(tmp_path: Path, name: str) -> None:
    """Refused, or, where the byte says nothing (padding, times), the same."""
    archive = written(tmp_path, name)
    data, refused = archive.read_bytes(), 0
    before = checked(str(archive)).index
    for at in range(0, len(data), 97):
        archive.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            found = checked(str(archive)).index
        except StoreError:
            refused += 1
        else:
            assert found == before
    assert refused > 5


@pytest.mark.parametrize("name", NAMES)
def test_half_of_it_is_refused(tmp_path: Path, name: str) -> None:
    """A copy that was cut short, a file that is missing."""
    archive = written(tmp_path, name)
    if archive.is_dir():
        (archive / "output/b.bin").unlink()
    else:
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(StoreError, match=r"is missing|is damaged|has no index"):
        checked(str(archive))


Edit = Callable[[tarfile.TarFile], None]


def member(name: str, data: bytes = b"x", **values: object) -> Edit:
    """A member that a tar has too many."""

    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        for key, value in values.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))

    return add


def claiming(name: str, size: int) -> Edit:
    """A member that says it is so large, and then nothing."""

    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = size
        header = info.tobuf(tarfile.GNU_FORMAT)
        assert tar.fileobj
        tar.fileobj.write(header)
        tar.offset += len(header)

    return add


HOSTILE = {
    "above": (member("../x"), "no such file belongs"),
    "absolute": (member("/etc/cron.d/x"), "no such file belongs"),
    "link": (member("output/l", b"", type=tarfile.SYMTYPE, linkname="/etc"), "is no plain file"),
    "hard link": (member("output/l", b"", type=tarfile.LNKTYPE, linkname="output/b.bin"), "is no plain file"),
    "device": (member("output/d", b"", type=tarfile.CHRTYPE), "is no plain file"),
    "pipe": (member("output/p", b"", type=tarfile.FIFOTYPE), "is no plain file"),
    "folder": (member("output/f", b"", type=tarfile.DIRTYPE), "is no plain file"),
    "twice": (member("output/b.bin"), "is in it twice"),
    "one too many": (member("output/y"), "is not in its index"),
    "second index": (member(INDEX), "is in it twice"),
    "claims much": (claiming("output/z", 1 << 60), "is damaged"),
    "claims a large index": (claiming(INDEX, 1 << 40), "is in it twice"),
    "other root": (member("format.json"), "no such file belongs"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_is_refused(tmp_path: Path, what: str) -> None:
    """Before anything is written."""
    edit, words = HOSTILE[what]
    archive = written(tmp_path, "archive.tar")
    with tarfile.open(archive, "a") as tar:
        edit(tar)
    with pytest.raises(StoreError, match=words):
        checked(str(archive))


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe"])
def test_what_is_no_plain_file_in_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """It may lead anywhere, or never end."""
    archive = written(tmp_path, "archive")
    path = archive / "output" / "odd"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/etc" if kind == "folder link" else "/etc/passwd")
    with pytest.raises(StoreError, match="'output/odd' is no plain file"):
        checked(str(archive))


def test_an_index_that_was_written_again_is_another_archive(tmp_path: Path) -> None:
    """Whoever changes a file and the index with it changes the digest that export printed."""
    archive = written(tmp_path, "archive")
    before = checked(str(archive)).index
    (archive / "output/b.bin").write_bytes(b"y")
    found = json.loads((archive / INDEX).read_bytes().splitlines()[2])
    import hashlib

    from hpcurate.carry.index import Entry

    assert found["path"] == "output/b.bin"
    entries = [
        one if one.path != "output/b.bin" else Entry(one.path, 1, hashlib.sha256(b"y").hexdigest())
        for one in before.entries
    ]
    (archive / INDEX).write_bytes(Index(HEADER, tuple(entries)).to_bytes())
    assert checked(str(archive)).index.digest != before.digest


def test_what_is_changed_between_check_and_use_is_found(tmp_path: Path) -> None:
    """An archive on storage that others write."""
    archive = written(tmp_path, "archive")
    seen = checked(str(archive))
    (archive / "output/b.bin").write_bytes(b"y")
    with pytest.raises(StoreError, match="while it was read"):
        unpack(seen, str(tmp_path / "out"), {path: path for path in CONTENT})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_of_an_export_that_fails(tmp_path: Path, name: str) -> None:
    """Half of an archive has no name."""
    (tmp_path / "a").write_bytes(b"x")
    files = [("output/a", str(tmp_path / "a")), ("output/gone", str(tmp_path / "gone"))]
    with pytest.raises(FileNotFoundError):
        write_archive(str(tmp_path / name), HEADER, files)
    assert ["a"] == os.listdir(tmp_path)


@pytest.mark.parametrize("there", ["no archive.txt", "empty"])
def test_what_is_no_archive_is_named(tmp_path: Path, there: str) -> None:
    """A file of something else, an empty folder, nothing."""
    (tmp_path / "no archive.txt").write_bytes(b"hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match=r"no tar|has no index"):
        checked(str(tmp_path / there))
    with pytest.raises(StoreError, match="there is no such archive"):
        checked(str(tmp_path / "missing.tar"))
