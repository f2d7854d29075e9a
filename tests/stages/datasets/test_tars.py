"""Tars as inputs: each file in them is a task once, whatever the tar is like; what is lost is said."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tars import make_tar, tar_task

from hpcurate.inside import HasChanged, Inside, file_of, inside, open_inside, size_inside
from hpcurate.testing import Outcome, try_stage
from stages.datasets.tar_table import TarError, name_fault, table_of
from stages.datasets.tars import Members, Samples, stem_and_extension
from stages.dedup.digests import DigestFiles

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
THREE = {"a.mp4": b"a" * 700, "b/c.mp4": b"", "b/d.txt": b"d" * 512}


def members(path: Path, **options: Any) -> Outcome:
    """What `Members` makes of a tar."""
    return try_stage(Members(**options), [tar_task(path)], path.parent / f"trial {path.name}")


def contents_of(outcome: Outcome) -> dict[str, bytes]:
    """Path in the tar → what is read there."""
    read = {}
    for task in outcome.tasks:
        with task.open() as file:
            read[task.source.partition("/")[2]] = file.read()
        assert task.size == len(read[task.source.partition("/")[2]])
    return read


def left_out(outcome: Outcome) -> dict[str, int]:
    """Reason → count."""
    return {reason: one.count for reason, one in outcome.counts.left_out.items()}


@pytest.mark.parametrize("dialect", FORMATS)
def test_names_and_bytes_of_every_dialect(tmp_path: Path, dialect: str) -> None:
    """Long names, odd bytes, and `./` in front, as `tar -C dir .` writes it."""
    files = {
        "./a b, c.mp4": b"one",
        f"{'d' * 60}/{'n' * 90}.bin": b"two",
        "u\u00fc/x\udcff.mp4": b"three",
        "empty": b"",
    }
    found = contents_of(members(make_tar(tmp_path / "x, :y.tar", files, FORMATS[dialect])))
    assert {name.removeprefix("./"): data for name, data in files.items()} == found
    if dialect != "ustar":
        longer = {"p/" * 200 + "q.mp4": b"long"}
        assert longer == contents_of(members(make_tar(tmp_path / "long.tar", longer, FORMATS[dialect])))


def test_extensions_choose_and_ids_do_not_depend_on_the_place_of_the_tar(tmp_path: Path) -> None:
    """The same tar in another folder has members with the same ids; one without a member of the kind is dropped."""
    here = members(make_tar(tmp_path / "one" / "x.tar", THREE), extensions=["MP4"])
    there = members(make_tar(tmp_path / "two" / "x.tar", THREE), extensions=[".mp4"])
    assert ["x.tar/a.mp4", "x.tar/b/c.mp4"] == [task.source for task in here.tasks]
    assert [task.id for task in here.tasks] == [task.id for task in there.tasks]
    none = members(make_tar(tmp_path / "none.tar", THREE), extensions=["mkv"])
    assert ["no member of these extensions"] == [row["reason"] for row in none.dropped]


def test_what_is_no_file_of_its_own_is_left_out_and_counted(tmp_path: Path) -> None:
    """Links, pipes, sparse and hidden files, names that lead out; of two with one name the last counts, as unpacked."""
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind in (
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("p", tarfile.FIFOTYPE),
            ("f", tarfile.DIRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a"
            tar.addfile(info)
        for name, data in (("a", b"old"), ("../b", b"b"), (".c/d", b"d"), ("/e", b"e"), ("a", b"new")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    outcome = members(tmp_path / "x.tar")
    assert {"e": b"e", "a": b"new"} == contents_of(outcome)
    assert {
        "a link": 2, "a device, a pipe, or of an unknown type": 1, "hidden": 1,
        "a name that leads out of the tar, or none": 1, "replaced by a later member of the same name": 1,
    } == left_out(outcome)  # fmt: skip


def test_sparse_files_of_gnu_tar_are_left_out(tmp_path: Path) -> None:
    """Their holes are not in the tar, so their bytes are not in one piece."""
    if not shutil.which("tar"):
        pytest.skip("no tar program")
    with open(tmp_path / "s", "wb") as file:
        file.truncate(2**20)
        file.seek(2**19)
        file.write(b"x")
    (tmp_path / "t").write_bytes(b"t")
    for number, dialect in enumerate(("gnu", "pax")):
        path = tmp_path / f"{dialect}.tar"
        done = subprocess.run(["tar", f"--format={dialect}", "-S", "-cf", path, "-C", tmp_path, "s", "t"], check=False)
        if done.returncode:
            pytest.skip("its tar has no sparse files")
        outcome = members(path)
        assert {"t": b"t"} == contents_of(outcome), number
        assert {"a sparse file": 1} == left_out(outcome)


def test_a_tar_cut_off_anywhere_gives_what_is_whole_and_says_where(tmp_path: Path) -> None:
    """At each block, and within: exactly the members whose bytes are all there; something is always said."""
    data = make_tar(tmp_path / "whole.tar", THREE).read_bytes()
    ends = {place.name: place.offset + place.size for place in table_of(os.fspath(tmp_path / "whole.tar"))}  # type: ignore[union-attr]
    for size in [*range(1, 512, 100), *range(512, 3072, 128)]:
        path = tmp_path / "cut.tar"
        path.write_bytes(data[:size])
        if size < 512:
            with pytest.raises(TarError, match="no tar"):
                list(table_of(os.fspath(path)))
            continue
        found = list(table_of(os.fspath(path)))
        names = [entry.name for entry in found if hasattr(entry, "name")]
        headers = {"a.mp4": 512, "b/c.mp4": 2048, "b/d.txt": 2560}
        assert [name for name in THREE if ends[name] <= size and headers[name] <= size] == names, size
        assert f"byte {size}" in found[-1][0], size
        assert 0 <= found[-1][1], size


def test_a_tar_cut_off_in_its_first_member_is_dropped_with_the_byte(tmp_path: Path) -> None:
    """What is left out of a dropped task is not counted: it was a tar without members, and no word of the damage."""
    path = make_tar(tmp_path / "cut.tar", THREE)
    path.write_bytes(path.read_bytes()[:513])
    (row,) = members(path, extensions=["mp4"]).dropped
    assert ("no member of these extensions", "cut off at byte 513, within a member") == (row["reason"], row["value"])


def test_a_damaged_header_ends_the_table_and_is_no_end_mark(tmp_path: Path) -> None:
    """Python's own reader takes it for the end of the archive: everything behind it was lost without a word."""
    path = make_tar(tmp_path / "x.tar", THREE)
    data = bytearray(path.read_bytes())
    data[1536 + 20] ^= 0xFF
    path.write_bytes(data)
    outcome = members(path)
    assert ["x.tar/a.mp4"] == [task.source for task in outcome.tasks]
    assert {"damaged at byte 1536": 1} == left_out(outcome)
    path = make_tar(tmp_path / "two.tar", THREE)
    path.write_bytes(path.read_bytes() + path.read_bytes())
    assert {"more than zeros behind the end mark at byte 3072": 1} == left_out(members(path))


def test_what_cannot_be_read_in_place_is_refused(tmp_path: Path) -> None:
    """A dead letter that says what to do; the tars beside it go on."""
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    (tmp_path / "empty.tar").touch()
    (tmp_path / "text.tar").write_text("no tar at all" * 100)
    said = {path.name: members(path).failed[0]["message"] for path in tmp_path.iterdir() if path.is_file()}
    assert "x.tar.gz: is compressed" in said["x.tar.gz"]
    assert "gzip -d" in said["x.tar.gz"]
    assert "empty.tar: is empty" in said["empty.tar"]
    assert "text.tar: is no tar" in said["text.tar"]


def test_damaged_tars_end(tmp_path: Path) -> None:
    """400 tars with bytes flipped, pieces repeated or lost: entries within the file, or a TarError; no other end."""
    chance, refused = random.Random(7), 0
    whole = [
        make_tar(tmp_path / "x.tar", {"n" * 120 + "/" + n: d for n, d in THREE.items()}, f).read_bytes()
        for f in FORMATS.values()
        if f != tarfile.USTAR_FORMAT
    ]
    for number in range(400):
        data = bytearray(chance.choice(whole))
        used = len(bytes(data).rstrip(b"\0"))
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(used)] = chance.choice((0, 0x30, 0x37, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.4:
            start = chance.randrange(0, used, 512)
            data[start : start + 512] = b"" if chance.random() < 0.5 else data[start : start + 512] * 3
        if chance.random() < 0.5:  # headers with a true checksum again: what only this one hides
            for start in range(0, len(data) - 511, 512):
                head = bytes(data[start : start + 148]) + b" " * 8 + bytes(data[start + 156 : start + 512])
                if b"ustar" in head:
                    data[start + 148 : start + 156] = b"%06o\0 " % sum(head)
        path = tmp_path / "damaged.tar"
        path.write_bytes(data)
        try:
            entries = list(table_of(os.fspath(path)))
        except TarError:
            refused += 1
            continue
        for entry in entries:
            if hasattr(entry, "offset"):
                assert 512 <= entry.offset <= entry.offset + entry.size <= len(data), number
                assert not name_fault(entry.name)
    assert 0 < refused < 300


@given(st.binary(max_size=300), st.integers(0, 310), st.integers(0, 310), st.data())
def test_a_part_of_a_file_reads_as_a_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, a: int, b: int, more: Any
) -> None:
    """Seeks and reads give what slices give."""
    start, end = sorted((a, b))
    path = tmp_path_factory.getbasetemp() / "part, of:a file"
    path.write_bytes(data)
    address, part = str(Inside(os.fspath(path), start, end, path.stat().st_mtime_ns)), io.BytesIO(data[start:end])
    assert len(data[start:end]) == size_inside(address)
    with open_inside(address) as file:
        for _ in range(more.draw(st.integers(1, 4))):
            whence, offset = more.draw(st.sampled_from([(0, 5), (0, 400), (1, 3), (2, 0), (2, -0)]))
            assert part.seek(offset, whence) == file.seek(offset, whence)
            size = more.draw(st.integers(-1, 50))
            assert part.read(size) == file.read(size)


def test_addresses_are_those_of_ffmpeg_and_paths_stay_paths() -> None:
    """A path that merely looks odd is no address."""
    assert inside(str(Inside("/x,,:\n.tar", 5, 9, -7))) == Inside("/x,,:\n.tar", 5, 9, -7)
    for path in (
        "/data/subfile,,start,1,start,1,end,2,,:/x",
        "subfile,,start,1,start,-1,end,2,,:/x",
        "subfile,,start,1,start,1,end,2,,:http://x",
        "/a.tar",
    ):
        assert inside(path) is None
        assert path == file_of(path)


def test_a_tar_that_was_written_again_is_not_read_by_its_old_table(tmp_path: Path) -> None:
    """Between two calls with `changed=keep` the same place has bytes of another member: they were its content."""
    path = make_tar(tmp_path / "x.tar", {"a.json": b"first", "b.json": b"other"})
    [member, _] = members(path).tasks
    [sample, _] = try_stage(Samples(), [tar_task(path)], tmp_path / "samples").tasks
    before = path.stat().st_mtime_ns
    os.utime(make_tar(path, {"b.json": b"other"}), ns=(before + 1, before + 1))
    for read in (member.open, sample.json):
        with pytest.raises(HasChanged, match=r"x\.tar: was written again .* changed=redo"):
            read()


def test_members_are_compared_by_their_content(tmp_path: Path) -> None:
    """`+tars=videos +dedup=exact`: what is digested is the member, not its tar."""
    same = b"same" * 1000
    one = members(make_tar(tmp_path / "x.tar", {"a": same, "b": same[1:] + b"s", "c": same})).tasks
    two = members(make_tar(tmp_path / "y.tar", {"d": b"other", "e": same})).tasks
    digested = try_stage(DigestFiles(), [*one, *two], tmp_path / "digests").tasks
    digests = {task.source: task.digest for task in digested}
    assert digests["x.tar/a"] == digests["x.tar/c"] == digests["y.tar/e"]
    assert 3 == len(set(digests.values()))


def test_samples_are_divided_as_webdataset_does(tmp_path: Path) -> None:
    """At the first dot of the name, extensions in lower case, files about the tar passed over."""
    files = {
        "a.b/1.SEG.png": b"mask",
        "__meta__/x.json": b"{}",
        "a.b/2.txt": b"two",
        "a.b/1.json": b'{"n": 1}',
        "README": b"",
    }
    [task] = [tar_task(make_tar(tmp_path / "x.tar", files))]
    outcome = try_stage(Samples(), [task], tmp_path / "all")
    first, second = outcome.tasks
    assert ["x.tar/a.b/1", "x.tar/a.b/2"] == [first.source, second.source]
    assert (b"mask", {"n": 1}, "two") == (first.read("seg.png"), first.json(), second.text())
    assert {"no part of a sample": 2} == left_out(outcome)
    with pytest.raises(LookupError, match=r"no 'mp4'; it has json, seg\.png"):
        first.open("mp4")
    whole = try_stage(Samples(required=["json", ".SEG.png"]), [task], tmp_path / "whole")
    assert [first.id] == [sample.id for sample in whole.tasks]
    assert 1 == left_out(whole)["a sample without json"]
    assert ("a/b", "") == stem_and_extension("a/b")


def test_samples_are_those_of_webdataset(tmp_path: Path) -> None:
    """Read back with the library itself: same keys, same bytes."""
    webdataset = pytest.importorskip("webdataset", reason="the library is not installed")
    files = {f"{n:03d}.{kind}": f"{n} {kind}".encode() for n in range(5) for kind in ("txt", "left.cls", "JSON")}
    path = make_tar(tmp_path / "x.tar", files)
    theirs = {
        s["__key__"]: {k: v for k, v in s.items() if k[0] != "_"}
        for s in webdataset.WebDataset(os.fspath(path), shardshuffle=False)
    }
    ours = try_stage(Samples(), [tar_task(path)], tmp_path / "t").tasks
    assert theirs == {s.source.partition("/")[2]: {k: s.read(k) for k in s.members} for s in ours}
