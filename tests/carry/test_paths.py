"""Paths that are others in another store."""

from __future__ import annotations

import json

import pytest

from hpcurate.carry.paths import Paths
from hpcurate.errors import ConfigError
from hpcurate.store.rows import codec
from hpcurate.task import FileTask

PATHS = Paths((("/data/videos", "/mnt/v"), ("/data/videos/b", "/other"), ("/data/caf\udce9", "/mnt/é")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/data/videos", "/mnt/v"),
        ("/data/videos/a.mp4", "/mnt/v/a.mp4"),
        ("/data/videos/b/c.mp4", "/other/c.mp4"),
        ("/data/videos/*.mp4", "/mnt/v/*.mp4"),
        ("/data/videos2/a.mp4", "/data/videos2/a.mp4"),
        ("data/videos", "data/videos"),
        ("/data/caf\udce9/x", "/mnt/é/x"),
    ],
)
def test_a_path_below_an_old_one_is_below_the_new_one(old: str, new: str) -> None:
    """The longest that fits counts; a name that only begins so does not."""
    assert PATHS.of(old) == new
    assert PATHS.within({"files": [old, 1, None]}) == {"files": [new, 1, None]}
    assert PATHS.words([f"input={old}"]) == (f"input={new}",)


@pytest.mark.parametrize(
    "name", ["a.mp4", 'say "/data/videos/x".mp4', "\\", 'back\\"/data/videos/y', "\udcff", "\n", "ü"]
)
def test_rows_keep_every_other_byte(name: str) -> None:
    """What is written of a mapped row is what a scan of the new place would write."""

    def row(root: str) -> bytes:
        task = FileTask(id="1", source=name, path=f"{root}/{name}", size=1, mtime_ns=2)
        return codec(FileTask).encode(task) + b"\n"

    assert PATHS.rows(row("/data/videos") * 2) == row("/mnt/v") * 2
    assert json.loads(PATHS.rows(row("/data/videos"))) == json.loads(row("/mnt/v"))


def test_nothing_changes_without_any() -> None:
    """Nor where the new place is the old one."""
    assert Paths().rows(b'{"path":"/data/x"}') == b'{"path":"/data/x"}'
    assert Paths.typed(["/data=/data"]).rows(b'{"path":"/data/x"}') == b'{"path":"/data/x"}'


@pytest.mark.parametrize("words", [["/data"], ["data=/mnt"], ["/data="], ["/data=/a", "/data/=/b"]])
def test_what_is_no_pair_is_refused(words: list[str]) -> None:
    """With an example of one."""
    with pytest.raises(ConfigError, match="--path"):
        Paths.typed(words)


def test_a_relative_path_is_that_of_the_folder_where_it_was_typed() -> None:
    """Only where an old one has it; addresses are no paths, and of other words nothing changes."""
    texts = ["ten", "./ten/*.txt", "../v/a", "s3://ten", "elsewhere", "/w/ten"]
    found = Paths((("/w/ten", "/mnt/ten2"), ("/v", "/v"))).typed_in("/w", texts)
    assert dict(found.pairs) == {"ten": "/mnt/ten2", "./ten/*.txt": "/mnt/ten2/*.txt", "../v/a": "/v/a"}
    assert found.words(["input=[ten,../v/a]"]) == ("input=[/mnt/ten2,/v/a]",)
    assert Paths((("/w", "/x"),)).typed_in("", ["ten"]) == Paths()
