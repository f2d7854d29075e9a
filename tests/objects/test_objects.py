"""Reading and writing objects of a real server that is busy, and cuts connections."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from object_server import Bucket

from hpcurate.errors import SetupLost, StoreFailed
from hpcurate.inside import HasChanged
from hpcurate.objects import publishing
from stages.publish import publish_bytes, publish_file, published

DATA = os.urandom(200_000)


def test_a_listing_goes_over_pages_in_the_order_of_keys(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers with 1000 keys at most."""
    for n in range(5):
        bucket.put(f"x/{n}", b"1")
    bucket.proxy.busy = 2
    asked = []

    def few(what: str, method: str, **given: object) -> object:
        asked.append(method)
        return once(what, method, **{**given, "MaxKeys": 2})

    once = bucket.through.once
    monkeypatch.setattr(bucket.through, "once", few)
    assert [f"x/{n}" for n in range(5)] == bucket.keys("x/")
    assert asked.count("list_objects_v2") > 3


def test_an_object_comes_over_a_connection_that_is_cut_again_and_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on where the file ends: what was written is not read again."""
    data = os.urandom(3_000_000)
    bucket.put("a.bin", data)
    monkeypatch.setattr(bucket.proxy, "cut_after", 800_000)
    bucket.proxy.cut, bucket.proxy.busy = 1, 3
    seen = bucket.through.fetch(bucket.at("a.bin"), str(tmp_path / "a"))
    assert data == (tmp_path / "a").read_bytes()
    assert len(data) == seen.size
    begun = [int(one.headers.get("range", "bytes=0-")[6:-1]) for one in bucket.proxy.gets("a.bin")]
    assert len(begun) > 3
    assert begun == sorted(begun)


def test_an_object_that_is_as_listed_is_one_request(bucket: Bucket, tmp_path: Path) -> None:
    """Of many small ones each request counts."""
    bucket.put("a.bin", DATA)
    [listed] = bucket.through.listed(bucket.at("a"))
    before = len(bucket.proxy.asked)
    bucket.through.fetch(bucket.at("a.bin"), str(tmp_path / "a"), listed.seen)
    assert before + 1 == len(bucket.proxy.asked)


def test_an_object_that_was_written_again_is_not_taken(bucket: Bucket, tmp_path: Path) -> None:
    """Also in the same second, and with the same size."""
    bucket.put("a.bin", DATA)
    [listed] = bucket.through.listed(bucket.at("a"))
    bucket.put("a.bin", DATA[::-1])
    with pytest.raises(HasChanged, match=r"/a\.bin: was written again .* changed=redo"):
        bucket.through.fetch(bucket.at("a.bin"), str(tmp_path / "a"), listed.seen)


def test_an_object_that_is_written_again_while_it_is_read_is_not_mixed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first half would be the old one. Where nothing had come before the cut, it is the new one alone."""
    read, target = bucket.through.read, tmp_path / "a"

    def changes(body: object) -> bytes:
        monkeypatch.setattr(bucket.through, "read", read)
        try:
            return read(body)
        finally:
            bucket.put("a.bin", DATA[::-1])

    for _ in range(20):
        bucket.put("a.bin", DATA)
        bucket.proxy.cut = 1
        monkeypatch.setattr(bucket.through, "read", changes)
        try:
            bucket.through.fetch(bucket.at("a.bin"), str(target))
        except HasChanged:
            return
        assert DATA[::-1] == target.read_bytes()
    pytest.fail("was never cut in the middle")


@pytest.mark.parametrize("key", ["none.bin", "a.bin/b"])
def test_a_missing_object_is_named(bucket: Bucket, tmp_path: Path, key: str) -> None:
    """At once."""
    with pytest.raises(FileNotFoundError, match=f"s3://{bucket.name}/{key}"):
        bucket.through.fetch(bucket.at(key), str(tmp_path / "a"))


def test_a_server_that_stays_busy_is_nobodys_fault(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shard is handed back. Whoever waits is told once, before."""
    bucket.proxy.busy = 1
    with pytest.raises(StoreFailed, match=r"SlowDown.*still so after 9 tries"):
        bucket.through.fetch(bucket.at("a.bin"), str(tmp_path / "a"))
    assert 1 == capsys.readouterr().err.count("tried again, up to 6 times")


def test_without_credentials_it_says_where_they_are_looked_for(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no item is to blame."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(SetupLost, match=r"NoCredentialsError.*AWS_PROFILE"):
        type(bucket.through)().fetch(bucket.at("a.bin"), str(tmp_path / "a"))


def test_a_full_disk_is_no_fault_of_the_object(bucket: Bucket) -> None:
    """Nor is it tried again."""
    bucket.put("a.bin", DATA)
    with pytest.raises(StoreFailed, match="No space left"):
        bucket.through.fetch(bucket.at("a.bin"), "/dev/full")


# -- writing ----------------------------------------------------------------------------------------


def test_what_is_published_comes_whole_through_cut_connections(bucket: Bucket) -> None:
    """And the same again asks for nothing more than a look."""
    bucket.proxy.busy, bucket.proxy.cut_up = 3, 2
    address = f"s3://{bucket.name}/out/ä ?#&.json"
    assert [True, False] == [publish_bytes(DATA, address), publish_bytes(DATA, address)]
    assert DATA == published(address)
    assert publish_bytes(DATA[1:], address)
    assert DATA[1:] == published(address)
    assert published(f"s3://{bucket.name}/nothing") is None


def test_a_large_file_goes_up_in_parts_that_nobody_sees_before_the_last(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is cut and busy meanwhile, nothing of a try that failed is left."""
    monkeypatch.setattr(publishing, "PART", 5 << 20)
    data = os.urandom((11 << 20) + 1)
    (tmp_path / "big").write_bytes(data)
    bucket.proxy.busy, bucket.proxy.cut_up = 5, 3
    address = f"s3://{bucket.name}/big"
    assert [True, False] == [publish_file(str(tmp_path / "big"), address) for _ in range(2)]
    bucket.proxy.busy = bucket.proxy.cut = bucket.proxy.cut_up = 0
    assert data == bucket.read("big")
    assert [] == bucket.uploads()


def test_a_large_file_that_cannot_be_finished_leaves_nothing(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an object nor parts that cost money."""
    monkeypatch.setattr(publishing, "PART", 5 << 20)
    (tmp_path / "big").write_bytes(bytes(6 << 20))
    once = bucket.through.once

    def refuses(what: str, method: str, **given: object) -> object:
        if method == "upload_part" and given["PartNumber"] == 2:
            raise PermissionError("no more")
        return once(what, method, **given)

    monkeypatch.setattr(bucket.through, "once", refuses)
    with pytest.raises(PermissionError):
        publish_file(str(tmp_path / "big"), f"s3://{bucket.name}/big")
    assert ([], []) == (bucket.keys(), bucket.uploads())


def test_parts_that_a_killed_process_left_are_removed_by_the_next(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same object; the server says that they are years old."""
    monkeypatch.setattr(publishing, "PART", 5 << 20)
    (tmp_path / "big").write_bytes(bytes(6 << 20))
    for key in ("big", "other"):
        bucket.through.call("begin", "create_multipart_upload", Bucket=bucket.name, Key=key)
    publish_file(str(tmp_path / "big"), f"s3://{bucket.name}/big")
    assert ["other"] == bucket.uploads()


def test_where_s3fs_is_missing_it_says_so(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of a stage's own may lack it: no item is to blame."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SetupLost, match=r"/a\.bin: s3fs is missing .*hpcurate\[s3\]"):
        type(bucket.through)().fetch(bucket.at("a.bin"), str(tmp_path / "a"))
