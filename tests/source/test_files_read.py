"""Tables that were read before: what has not changed is not read again, and whatever has is found as if all was read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from engine_stages import Double
from together import together

import hpcurate
from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.source import Csv, Jsonl, files_read
from hpcurate.source.base import Source
from hpcurate.source.intake import Edits, Intake, take_in
from hpcurate.source.scan import Scan, scan
from hpcurate.source.taken import Taken
from hpcurate.store.layout import Store
from hpcurate.world import World

WORLD = World()
FOLDER = "source-0123456789ab"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are young."""
    monkeypatch.setattr(files_read, "SETTLED_NS", -(10**12))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three rows."""
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"id": "{name}", "x": 1}}\n' for name in "abc"))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"))


def look(store: Store, source: Source) -> Scan:
    """As a call looks, which has a store."""
    return scan(source, taken=Taken(WORLD.stage(store, FOLDER), source.task_type))


def take(store: Store, source: Source, edits: Edits = Edits()) -> Intake:  # noqa: B008 - frozen
    """As a call does."""
    return take_in(WORLD, store, FOLDER, look(store, source), None, edits)


def record(store: Store) -> Path:
    """Where it is written down."""
    return Path(store.stage(FOLDER).files_read)


def change(store: Store, **fields: Any) -> None:
    """Make the record of the one file lie."""
    plain = json.loads(record(store).read_bytes())
    plain["files"][0].update(fields)
    record(store).write_text(json.dumps(plain))


def state(path: Path) -> list[int]:
    """What is compared of a file."""
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def bytes_read() -> int:
    """By this process, from anywhere."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("kind", [Jsonl, Csv])
def test_an_unchanged_file_is_not_read(tmp_path: Path, store: Store, kind: type[Source]) -> None:
    """It is opened, which an NFS client needs to know that it is unchanged."""
    row = '{{"id": "{0}"}}\n' if kind is Jsonl else "{0}\n"
    (tmp_path / "t").write_text(("" if kind is Jsonl else "id\n") + "".join(row.format(n) for n in range(200_000)))
    source = kind(str(tmp_path / "t"))  # type: ignore[call-arg]  # each is a table
    take(store, source)
    before = bytes_read()
    again = take(store, source)
    assert Intake(lists=("0001",), tasks=200_000, new=0) == again
    assert bytes_read() - before < 200_000 < (tmp_path / "t").stat().st_size


def test_of_a_file_that_has_grown_only_the_rest_becomes_rows(store: Store, table: Path) -> None:
    """And after that it counts as read, whole."""
    take(store, Jsonl(str(table)))
    with table.open("a") as file:
        file.write('{"id": "d"}\n')
    found = look(store, Jsonl(str(table)))
    assert (("0001",), ["d"]) == (found.base, [entry.task.id for entry in found.entries()])
    assert Intake(lists=("0001", "0002"), tasks=4, new=1) == take(store, Jsonl(str(table)))
    found = look(store, Jsonl(str(table)))
    assert (("0001", "0002"), 0) == (found.base, found.count)


def append(path: Path) -> None:
    """One more row."""
    rows = path.read_bytes()
    path.write_bytes(rows + b'{"id": "d%d"}\n' % len(rows))


def edit(path: Path) -> None:
    """Another row, of the same length."""
    path.write_bytes(path.read_bytes().replace(b'"a", "x": 1', b'"a", "x": 2'))


def edit_and_append(path: Path) -> None:
    """Both in one save: the end of what was read is as it was."""
    edit(path)
    append(path)


def remove(path: Path) -> None:
    """The first row."""
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def cut(path: Path) -> None:
    """The last one."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(True)[:-1]))


def lengthen(path: Path) -> None:
    """The last row, in place."""
    path.write_bytes(path.read_bytes()[:-1] + b" \n")


def touch(path: Path) -> None:
    """Nothing but its times."""
    os.utime(path, ns=(5, 5))


def move(path: Path) -> None:
    """Another file of the same content in its place."""
    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").rename(path)


def second(path: Path) -> None:
    """One more file that sorts before it."""
    path.with_name("s.jsonl").write_text('{"id": "e"}\n')


def nothing(path: Path) -> None:
    """The same."""


CHANGES = [append, edit, edit_and_append, remove, cut, lengthen, touch, move, second, nothing]


@pytest.mark.parametrize("edits", [Edits(), Edits(changed="redo", vanished="drop")], ids=["keep", "redo"])
@pytest.mark.parametrize("changes", [(one, two) for one in CHANGES for two in (nothing, append, edit)])
@pytest.mark.parametrize("kept_time", [False, True])
def test_every_change_is_found_as_if_all_was_read(
    tmp_path: Path, table: Path, changes: tuple[Callable[[Path], None], ...], edits: Edits, kept_time: bool
) -> None:
    """With a record and without one; also where an editor puts the time back."""
    source = Jsonl(str(tmp_path / "*.jsonl"))
    one, other = Store(str(tmp_path / "one")), Store(str(tmp_path / "other"))
    assert take(one, source) == take(other, source)
    for change_it in changes:
        before = table.stat()
        change_it(table)
        if kept_time:
            os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
        record(other).unlink(missing_ok=True)
        assert take(other, source, edits) == take(one, source, edits)
    assert rows(other) == rows(one)


def rows(store: Store) -> list[bytes]:
    """All shards of the source."""
    return [path.read_bytes() for path in sorted(Path(store.root).glob("stages/*/shards/*/*/tasks.jsonl"))]


def test_a_change_in_the_tick_in_which_it_was_read_is_found(store: Store, table: Path) -> None:
    """Same inode, size and times: what was so young when it was read is compared by content."""
    take(store, Jsonl(str(table)))
    edit(table)
    change(store, state=state(table), settled=False)
    assert ("a",) == take(store, Jsonl(str(table))).changed


def test_what_is_young_does_not_count_as_settled(store: Store, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of this machine; a time that lies ahead of it is young, too."""
    monkeypatch.setattr(files_read, "SETTLED_NS", 10**11)
    assert [False] == [file.settled for file in files_read.look([str(table)])]
    monkeypatch.setattr(files_read, "SETTLED_NS", 0)
    os.utime(table, ns=(2**62, 2**62))
    assert [False] == [file.settled for file in files_read.look([str(table)])]


def test_a_settled_file_with_the_state_of_the_record_is_believed(store: Store, table: Path) -> None:
    """Else the tests above would compare a way with itself: here the record lies."""
    take(store, Jsonl(str(table)))
    edit(table)
    change(store, state=state(table), settled=True)
    assert () == take(store, Jsonl(str(table))).changed


@pytest.mark.parametrize(
    "data", [b"", b"{", bytes(100), b"[]", b'{"format": 1}', b"\xff\xfe", b'{"format": 99, "files": 1}'], ids=repr
)
def test_a_damaged_record_is_none(store: Store, table: Path, data: bytes) -> None:
    """All is read, and it is written again."""
    take(store, Jsonl(str(table)))
    good = record(store).read_bytes()
    record(store).write_bytes(data)
    assert () == look(store, Jsonl(str(table))).base
    assert Intake(lists=("0001",), tasks=3, new=0) == take(store, Jsonl(str(table)))
    assert good == record(store).read_bytes()


@pytest.mark.parametrize("field", ["format", "reading", "lists", "shards"])
def test_a_record_of_another_release_source_or_list_is_none(store: Store, table: Path, field: str) -> None:
    """What it says is about something else."""
    take(store, Jsonl(str(table)))
    plain = json.loads(record(store).read_bytes())
    plain[field] = {"format": 0, "lists": ["0001", "0002"]}.get(field, "other")
    record(store).write_text(json.dumps(plain))
    assert () == look(store, Jsonl(str(table))).base


def test_a_source_that_reads_its_rows_otherwise_has_another_record(table: Path) -> None:
    """A parameter that is no part of its identity, and a field of the class, decide what a row is."""
    names = [
        Jsonl(str(table)).reading(),
        Jsonl(str(table), extra="ignore").reading(),
        Jsonl(str(table), task=f"{__name__}.Two").reading(),
        Jsonl(str(table), task=f"{__name__}.Three").reading(),
        Csv(str(table)).reading(),
    ]
    assert (5, False) == (len(set(names)), None in names)
    assert Jsonl(str(table), task=f"{__name__}.Checked").reading() is None


@attrs.define(kw_only=True)
class Two(hpcurate.Task):
    """With a default."""

    x: int = 2


@attrs.define(kw_only=True)
class Three(hpcurate.Task):
    """With another."""

    x: int = 3


@attrs.define(kw_only=True)
class Checked(hpcurate.Task):
    """With code of its own."""

    x: int = attrs.field(default=2, converter=int)


def test_an_added_row_with_an_id_of_before_is_refused(store: Store, table: Path) -> None:
    """Both lines are named."""
    take(store, Jsonl(str(table)))
    with table.open("a") as file:
        file.write('{"id": "b"}\n')
    with pytest.raises(ConfigError, match=r"two tasks have the id 'b': .*t\.jsonl:2 and .*t\.jsonl:4; ids are unique"):
        take(store, Jsonl(str(table)))


def test_an_added_row_that_is_broken_is_named_by_its_line(store: Store, table: Path) -> None:
    """Although only the rest was read."""
    take(store, Jsonl(str(table)))
    with table.open("a") as file:
        file.write('{"id": "d"}\nbroken\n')
    with pytest.raises(ConfigError, match=r"t\.jsonl:5: not JSON"):
        take(store, Jsonl(str(table)))


def test_a_lost_shard_is_missed(store: Store, table: Path) -> None:
    """Also where nothing has to be read."""
    take(store, Jsonl(str(table)))
    [shard] = Path(store.root).glob("stages/*/shards/*/*")
    shard.rename(shard.with_name(".lost"))
    with pytest.raises(StoreError, match=r"tasks\.jsonl: is gone"):
        take(store, Jsonl(str(table)))


def test_what_another_call_takes_in_meanwhile_is_not_taken_in_twice(store: Store, table: Path) -> None:
    """Both have looked before one of them writes."""
    take(store, Jsonl(str(table)))
    append(table)
    one, other = look(store, Jsonl(str(table))), look(store, Jsonl(str(table)))
    assert 1 == take_in(WORLD, store, FOLDER, one).new
    assert Intake(lists=("0001", "0002"), tasks=4, new=0) == take_in(WORLD, store, FOLDER, other)


def _take(number: int, store: Store, table: Path) -> Intake:
    return take(store, Jsonl(str(table)))


def test_calls_at_once_find_the_same(store: Store, table: Path) -> None:
    """Whoever writes the record last: all are true."""
    for change_it in (nothing, append, touch):
        change_it(table)
        lists = {found.lists for found in together(_take, store, table)}
        assert 1 == len(lists)
        assert (lists.pop(), 0) == ((found := look(store, Jsonl(str(table)))).base, found.count)


def test_a_limit_neither_uses_nor_writes_a_record(store: Store, table: Path) -> None:
    """It reads the first rows alone."""
    found = scan(Jsonl(str(table)), 2, taken=Taken(WORLD.stage(store, FOLDER), hpcurate.Task))
    take_in(WORLD, store, FOLDER, found, 2)
    assert not record(store).exists()


def test_a_run_uses_it(tmp_path: Path) -> None:
    """The record lies, and the second run believes it."""
    table = tmp_path / "n.jsonl"
    table.write_text('{"id": "a", "value": 1}\n')
    first = run(tmp_path, table)
    table.write_text('{"id": "a", "value": 2}\n')
    [path] = tmp_path.glob("store/stages/*/read.json")
    plain = json.loads(path.read_bytes())
    plain["files"][0]["state"] = state(table)
    path.write_text(json.dumps(plain))
    assert first == run(tmp_path, table)
    path.unlink()
    assert "1 item changed" in run(tmp_path, table)


def run(folder: Path, table: Path) -> str:
    """What a run of it says of its input."""
    said: list[str] = []
    hpcurate.run(
        {"double": Step(Double(), StageOptions(resources={"memory": "100MB"}))},
        Jsonl(str(table), task="engine_stages.Number"),
        store=folder / "store",
        launcher="inline",
        echo=said.append,
    )
    return " ".join(line for line in said if line.startswith("input:"))
