"""The index of an archive: what is refused, by name, before a byte of it is used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hpcurate.carry.index import Entry, Header, Index, check_name, difference
from hpcurate.errors import StoreError

HEADER = Header(store=2, hpcurate="0.1.0", run="20260101-000000-a-000000", folder="/s/runs/a", files="all", open={})
FILES = (Entry("stages/a-0123456789ab/stage.json", 3, "00"), Entry("output/caf\udce9\n.txt", 1, "11"))


def test_it_is_read_as_it_was_written() -> None:
    """Also names that are no text."""
    index = Index(HEADER, FILES)
    assert index == Index.parse(index.to_bytes(), "a")


def test_a_changed_byte_of_it_is_found() -> None:
    """By its own digest, wherever it is."""
    data = Index(HEADER, FILES).to_bytes()
    for place in range(0, len(data) - 1, 7):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(StoreError):
            Index.parse(changed, "a")


def with_header(**values: object) -> bytes:
    """An index with other values in its first line, and a digest that fits."""
    first, *rest = Index(HEADER, FILES).to_bytes().splitlines(keepends=True)
    lines = json.dumps({**json.loads(first), **values}).encode() + b"\n" + b"".join(rest[:-1])
    return lines + json.dumps({"sha256": hashlib.sha256(lines).hexdigest()}).encode() + b"\n"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"archive": 2}, "hpcurate 0.1.0 wrote archive format 2, this one reads 1"),
        ({"store": 9, "hpcurate": "7.0"}, "hpcurate 7.0 wrote store format 9, this one reads 3"),
        ({"run": "../../x"}, "names no run"),
        ({"files": "some"}, "names no run"),
        ({"open": 3}, "is damaged"),
        ({"names": ["../../x"]}, "names no run"),
    ],
)
def test_what_a_later_or_hostile_hpcurate_wrote_is_refused(values: dict[str, object], words: str) -> None:
    """By name, with what to do."""
    with pytest.raises(StoreError, match=words):
        Index.parse(with_header(**values), "a")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "run/../../x",
        "output/./x",
        "output//x",
        "stages/../x",
        "stages/a-0123456789ab/shards/../x/y",
        "stages/a-0123456789ab/shards/.0001-0.1.ab/stats.json",
        "stages/a-0123456789ab/lists/.0001.jsonl",
        "stages/a-0123456789ab/claims/0001/x",
        "stages/.aliases/x/y",
        "stages/x",
        "format.json",
        "run",
        "output/a\0b",
    ],
)
def test_names_that_lead_elsewhere_are_refused(path: str) -> None:
    """Only what an export writes can be in an archive."""
    with pytest.raises(StoreError, match="no such file belongs"):
        check_name(path, "a")


@pytest.mark.parametrize(
    "path", ["run/config.yaml", "output/a b/\udcff\n", "stages/a-0123456789ab/shards/0001+2-0/files/x"]
)
def test_names_of_ours_are_not(path: str) -> None:
    """Whatever users call their files."""
    check_name(path, "a")


def test_a_name_twice_is_refused() -> None:
    """The second would replace the first."""
    with pytest.raises(StoreError, match="is in it twice"):
        Index.parse(Index(HEADER, (*FILES, FILES[0])).to_bytes(), "a")


def test_an_input_file_has_the_name_of_its_content() -> None:
    """A run trusts that name, and would read whatever is there."""
    digest = hashlib.sha256(b"x").hexdigest()
    Index.parse(Index(HEADER, (Entry(f"run/inputs/{digest[:16]}/x", 1, digest),)).to_bytes(), "a")
    with pytest.raises(StoreError, match="not that of its name"):
        Index.parse(Index(HEADER, (Entry(f"run/inputs/{'0' * 16}/x", 1, digest),)).to_bytes(), "a")


def test_what_differs_is_named() -> None:
    """Size, content, one too many, one missing."""
    (one, _other), wanted = FILES, {entry.path: entry for entry in FILES}
    assert difference(wanted, wanted) == ""
    assert "has 4 bytes, 3 were" in difference(wanted, {**wanted, one.path: Entry(one.path, 4, "00")})
    assert "was changed" in difference(wanted, {**wanted, one.path: Entry(one.path, 3, "01")})
    assert "is not in its index" in difference({one.path: one}, wanted)
    assert "is missing" in difference(wanted, {one.path: one})


def test_its_digest_is_that_of_all_that_it_says(tmp_path: Path) -> None:
    """So one digest stands for every byte of the archive."""
    assert Index(HEADER, FILES).digest != Index(HEADER, FILES[:1]).digest
