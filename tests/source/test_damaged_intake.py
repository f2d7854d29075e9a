"""What was taken in of a source and was damaged since: one line that says what to type, or made again; no traceback."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from hpcurate.errors import StoreError
from hpcurate.source import Files, Jsonl
from hpcurate.source.intake import Intake, take_in, write_stage_json
from hpcurate.source.scan import scan
from hpcurate.store.layout import Store
from hpcurate.world import World

WORLD = World()
FOLDER = "source-0123456789ab"


@pytest.fixture
def again(tmp_path: Path) -> Callable[[], Intake]:
    """Three files that were taken in, and how to do it again."""
    (tmp_path / "data").mkdir()
    for name in "abc":
        (tmp_path / "data" / name).write_text(name)

    def take() -> Intake:
        return take_in(WORLD, Store(str(tmp_path / "store")), FOLDER, scan(Files(str(tmp_path / "data"))))

    take()
    return take


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda rows: rows[:-20], "tasks.jsonl: is damaged"),
        (lambda rows: bytes(len(rows)), "tasks.jsonl: is damaged"),
        (lambda rows: rows[: rows.index(b"\n") + 1], "tasks.jsonl: has 1 rows, 3 were taken in"),
        (lambda rows: b"", "tasks.jsonl: has 0 rows, 3 were taken in"),
    ],
    ids=["cut short", "zeros", "fewer rows", "empty"],
)
def test_damaged_rows_are_refused(
    again: Callable[[], Intake], tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    """A traceback in each call; items whose rows were lost were taken in once more beside those of the old shard."""
    [path] = (tmp_path / "store").glob("stages/*/shards/*/*/tasks.jsonl")
    os.chmod(path, 0o644)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError) as refused:
        again()
    assert said in str(refused.value)
    assert f"move {path.parents[3]} out of the store" in str(refused.value)


@pytest.mark.parametrize("gone", ["0001", "0002"])
def test_a_purged_list_is_taken_in_again_under_its_name(again: Callable[[], Intake], tmp_path: Path, gone: str) -> None:
    """Where a later one stood, each call wrote shards for ever: the next name was counted, and so was never free."""
    (tmp_path / "data" / "d").write_text("d")
    before = again()
    [path] = (tmp_path / "store").glob(f"stages/*/lists/{gone}.jsonl")
    lines = path.read_bytes()
    path.unlink()
    lost = {"0001": 3, "0002": 1}[gone]
    assert attrs.evolve(before, new=lost) == again()
    assert lines == path.read_bytes()


@pytest.mark.parametrize("rest", [b"", b'{"stage": "a', b"\0\0\0\0"])
def test_a_stage_json_that_cannot_be_read_is_written_again(tmp_path: Path, rest: bytes) -> None:
    """A traceback in each call, for ever; what the folder is for stands in its name."""
    folder, plain = Store(str(tmp_path)).stage(FOLDER), {"stage": "a"}
    assert plain == write_stage_json(WORLD.filesystem, folder, {"stage": "a"})
    Path(folder.stage_json).write_bytes(rest)
    assert plain == write_stage_json(WORLD.filesystem, folder, {"stage": "a"})
    assert plain == write_stage_json(WORLD.filesystem, folder, {"stage": "b"})


def test_a_store_that_is_full_keeps_nothing_of_a_call_that_fails(tmp_path: Path) -> None:
    """Each call left what it had written, which no other one finds: so it got fuller with each."""
    (tmp_path / "t.jsonl").write_text("".join(f'{{"id": "{n}", "x": "{"x" * (n // 10)}"}}\n' for n in range(3000)))
    store, found = Store(str(tmp_path / "store")), scan(Jsonl(str(tmp_path / "t.jsonl")))
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, most[1]))  # more than two shards have, the third has more
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            take_in(WORLD, store, FOLDER, found)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert not list((tmp_path / "store").rglob("tasks.jsonl"))
    assert 3000 == take_in(WORLD, store, FOLDER, found).tasks
