"""Tables read in blocks: the same rows, ids and refusals as row by row, whoever reads them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from checkout import ROOT

from hpcurate import File, Task
from hpcurate.errors import ConfigError
from hpcurate.source import Csv, Jsonl, ids, pieces
from hpcurate.source.base import Source
from hpcurate.source.columns import columns
from hpcurate.source.ids import Ids
from hpcurate.source.scan import scan
from hpcurate.system import forked
from hpcurate.system.forked import in_processes, may_fork


@attrs.define(kw_only=True)
class Clip(Task):
    """Fields of all plain kinds."""

    source: str = "?"
    start_s: float = 0.5
    number: int | None = None
    flag: bool = False
    tags: list[str] = attrs.field(factory=list)
    meta: dict[str, Any] = attrs.field(factory=dict)
    file: File | None = None


@attrs.define(frozen=True)
class OneByOne:
    """Another source without its blocks."""

    source: Source

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return self.source.task_type

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return self.source.tasks()

    def placed(self) -> Iterator[tuple[str, Task]]:
        """See `Placed`."""
        return self.source.placed()  # type: ignore[attr-defined, no-any-return]


def both(source: Source) -> tuple[Any, Any]:
    """What the two ways find, or refuse."""
    found = []
    for one in (source, OneByOne(source)):
        try:
            found.append([entry.row for entry in scan(one).entries()])
        except ConfigError as error:
            found.append([str(error)])
    return found[0], found[1]


PLAIN = (
    '{"id": "a", "source": "s", "start_s": 1, "number": 2, "tags": ["t"], "meta": {"z": 1e5, "a": {"y": 1, "b": null}}}'
)
ROWS = [
    PLAIN,
    '{"id": 5, "source": "\\u00e9\u00e9"}',
    '{"id": "b", "weight": 2}',
    '{"id": "c", "weight": ""}',
    '{"id": "d", "weight": null, "start_s": "3.5"}',
    '{"id": "e", "weight": NaN}',
    '{"id": "f", "start_s": -0, "number": 12345678901234567890123}',
    '{"id": "g", "start_s": 1e999}',
    '{"id": "h", "source": "\\ud800"}',
    '{"id": "h", "start_s": "\\ud800"}',
    '{"id": ""}',
    '{"source": "no id"}',
    '{"id": "i", "unknown": 1}',
    '{"id": "j", "id": "k"}',
    '{"id": "l"} {"id": "m"}',
    '{"id": "n",\n"source": "o"}',
    '{"id": "p", "flag": 1}',
    "[1]",
    "",
    "nonsense",
    '{"id": "q"}\r',
    ' {"id": "r"} ',
    '{"id": "s", "data": {"c": 1}, "parents": []}',
    '{"id": true}',
    '{"id": "t", "file": "a/b"}',
    '{"id": "u", "file": 5}',
    '{"id": [1]}',
]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("task", [None, f"{__name__}.Clip"], ids=["record", "class"])
@pytest.mark.parametrize(
    "names", [{}, {"id": "source", "weight": "start_s"}, {"extra": "ignore"}, {"id": "name"}], ids=str
)
def test_each_row_is_read_as_row_by_row(tmp_path: Path, row: str, task: str | None, names: dict[str, Any]) -> None:
    """Between plain ones, which are read in blocks; what is refused is refused with the same words."""
    lines = ['{"id": "first", "name": "1st"}', row, '{"id": "last", "name": "3rd"}']
    (tmp_path / "t.jsonl").write_bytes("\n".join(lines).encode() + b"\n")
    blocks, rows = both(Jsonl(str(tmp_path / "t.jsonl"), task=task, **names))
    assert rows == blocks


@pytest.mark.parametrize("row", [b'{"id": "a", "x\xff": 1}', b'{"id": "a", "x": ["\xff"]}'])
def test_bytes_that_are_no_text_are_refused_in_ignored_columns_too(tmp_path: Path, row: bytes) -> None:
    """Read in blocks such a row was taken, and refused with a `limit`, which reads row by row."""
    (tmp_path / "t.jsonl").write_bytes(row + b"\n")
    blocks, rows = both(Jsonl(str(tmp_path / "t.jsonl"), task=f"{__name__}.Clip", extra="ignore"))
    assert rows == blocks
    assert "not JSON" in str(rows)


@pytest.mark.parametrize("task", [None, f"{__name__}.Clip"], ids=["record", "class"])
def test_plain_rows_are_read_in_blocks(tmp_path: Path, task: str | None) -> None:
    """Else the tests above would compare a way with itself."""
    source = Jsonl(str(tmp_path), task=task)
    reader = columns(source.task_type, "id", "weight", ignore=False)
    assert reader is not None
    for row in (PLAIN, ROWS[1], ROWS[2]):
        assert reader.block(row.encode() + b"\n") is not None


@attrs.define(kw_only=True)
class Checked(Task):
    """Code of its own may change or refuse what is read."""

    value: int = attrs.field(default=1, validator=attrs.validators.ge(0))


@attrs.define(kw_only=True, slots=False)
class Dicted(Task):
    """Written in the order in which its fields were set."""

    value: int = 1


@pytest.mark.parametrize("cls", [Checked, Dicted])
def test_a_class_with_code_of_its_own_is_read_row_by_row(cls: type[Task]) -> None:
    """Nobody can tell what it does."""
    assert columns(cls, "id", "weight", ignore=False) is None


class Doubled(Jsonl):
    """Somebody's own: each row twice."""

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """See `Jsonl`."""
        for where, row in super().rows():
            yield where, row
            yield where, {**row, "id": row["id"] + "'"}


def test_a_class_that_reads_its_rows_otherwise_is_not_passed_over(tmp_path: Path) -> None:
    """Its rows are its own."""
    (tmp_path / "t.jsonl").write_text('{"id": "a"}\n')
    assert 2 == scan(Doubled(str(tmp_path / "t.jsonl"))).count


@pytest.fixture
def many(tmp_path: Path) -> Jsonl:
    """Three files, one of them with a row that is read by itself, the last without an end of line."""
    for number in range(3):
        rows = [f'{{"id": "{number}-{n}", "x": {n}}}\n' for n in range(2000)]
        rows[700] = rows[700].replace("700}", "NaN}")
        (tmp_path / f"{number}.jsonl").write_text("".join(rows)[:-1])
    return Jsonl(str(tmp_path / "*.jsonl"))


def alone(function: str, *arguments: object) -> str:
    """What a function of this module returns where no library has threads: only such a process is forked."""
    code = f"from {__name__} import {function}; print({function}(*{arguments!r}))"
    words = [sys.executable, "-c", code]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _differences(path: str) -> tuple[bool, int]:
    """(whether pieces of any size give the same as row by row, children that were forked)."""
    pieces.cores = lambda: 3  # type: ignore[assignment]
    forked.os.register_at_fork(after_in_parent=lambda: FORKED.append(1))
    found = []
    for size in (97, 1000, 4096):
        pieces.PIECE = size
        blocks, rows = both(Jsonl(path))
        found.append(rows == blocks and len(blocks) == 6000)
    return all(found), len(FORKED)


FORKED: list[int] = []


def test_pieces_read_by_several_processes_are_in_order(many: Jsonl) -> None:
    """The same as row by row, wherever a piece ends."""
    assert "(True, 9)" == alone("_differences", many.path)


def _killed(thing: int) -> bytes:
    if thing == 3 and os.getpid() != MAIN:
        os.kill(os.getpid(), signal.SIGKILL)
    return b"%d" % thing


MAIN = os.getpid()


def _numbers() -> bool:
    return [b"%d" % n for n in range(9)] == list(in_processes(_killed, range(9), 4))


def test_what_a_killed_child_did_not_do_is_done() -> None:
    """For memory, as a rule: the call goes on without it."""
    assert "True" == alone("_numbers")


def _children_left() -> tuple[int, int]:
    def children() -> int:
        return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    results = in_processes(lambda thing: bytes(2**20), range(99), 4)
    next(results)
    some = children()
    results.close()  # type: ignore[attr-defined]  # a generator
    return some, children()


def test_a_reader_who_stops_leaves_no_child() -> None:
    """Each of them waits to be read from, and holds the pipes of those before it."""
    assert "(4, 0)" == alone("_children_left")


def _beside_a_thread() -> tuple[bool, bool]:
    before = may_fork()
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    with_thread = may_fork()
    end.set()
    thread.join()
    return before, with_thread


def test_a_process_with_threads_is_not_forked() -> None:
    """A lock that one of them holds would never be let go in the child."""
    assert "(True, False)" == alone("_beside_a_thread")


def test_a_file_that_is_replaced_while_it_is_read_is_refused(many: Jsonl, tmp_path: Path) -> None:
    """Half of each would be taken in."""
    piece = pieces.Piece(str(tmp_path / "0.jsonl"), 1, 0, None)
    with pytest.raises(ConfigError, match=r"0\.jsonl: was replaced while it was read; type the same command again"):
        piece.lines()


def test_two_rows_with_one_id_are_named_although_a_later_one_is_broken(tmp_path: Path) -> None:
    """What comes first is said first."""
    (tmp_path / "a.jsonl").write_text('{"id": "a"}\n{"id": "b"}\n')
    (tmp_path / "b.jsonl").write_text('{"id": "b"}\nbroken\n')
    with pytest.raises(ConfigError, match=r"the id 'b': .*a\.jsonl:2 and .*b\.jsonl:1; ids are unique"):
        scan(Jsonl(str(tmp_path / "*.jsonl")))


@pytest.mark.parametrize("last", [12345, 77])
def test_ids_that_do_not_fit_into_memory_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Of both signs, in any order."""
    monkeypatch.setattr(ids, "IN_MEMORY", 100)
    found = Ids()
    for n in range(0, 1000, 50):
        found.add(array("q", [hash(f"{k}") for k in range(n, n + 50)]))
    found.add(array("q", [hash(f"{last}")]))
    assert (last < 1000) == found.twice()


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    """Also one of empty lines."""
    (tmp_path / "t.jsonl").write_text("\n\n")
    blocks, rows = both(Jsonl(str(tmp_path / "t.jsonl")))
    assert (blocks, "holds no row") == (rows, blocks[0][-12:])
    (tmp_path / "t.csv").write_text("id\n")
    assert "holds no row" in both(Csv(str(tmp_path / "t.csv")))[0][0]
