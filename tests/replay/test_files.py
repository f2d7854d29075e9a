"""Files that rows name: compared by bytes or by what is in them, and kept in a golden folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from hpcurate.errors import ConfigError, StoreError
from hpcurate.golden.files import FileComparer
from hpcurate.golden.folder import Given, Golden, Placer, read_golden, write_golden
from hpcurate.golden.outcomes import Kept
from hpcurate.golden.rules import read_rules
from hpcurate.golden.values import KeptFile

STAGE = {"name": "s", "target": "m:S", "parameters": {}}


def differs(before: Path, after: Path, *tolerances: str) -> str:
    """In what two files of the field `f` differ."""
    return FileComparer(read_rules(tolerances))("f", KeptFile(str(before)), KeptFile(str(after)))


def two(folder: Path, suffix: str = ".bin") -> tuple[Path, Path]:
    """Names of two files."""
    return folder / f"a{suffix}", folder / f"b{suffix}"


def test_bytes_differ_in_their_number_or_from_one_on(tmp_path: Path) -> None:
    """Also behind the first MiB."""
    one, other = two(tmp_path)
    one.write_bytes(b"x" * (1 << 20) + b"abc")
    other.write_bytes(b"x" * (1 << 20) + b"abd")
    assert f"differs from byte {(1 << 20) + 2} of {(1 << 20) + 3} on" == differs(one, other)
    other.write_bytes(b"x")
    assert f"{(1 << 20) + 3} bytes → 1 bytes" == differs(one, other)
    assert "" == differs(one, one)


def test_a_file_of_before_that_is_gone_is_counted_and_one_of_now_is_a_difference(tmp_path: Path) -> None:
    """Freed files cannot be compared; that a stage lost one can be seen."""
    one, other = two(tmp_path)
    other.write_bytes(b"x")
    comparer = FileComparer(read_rules())
    assert "" == comparer("f", KeptFile(str(one)), KeptFile(str(other)))
    assert 1 == comparer.gone
    assert "the file is not there now" == comparer("f", KeptFile(str(other)), KeptFile(str(one)))


def test_arrays_are_compared_by_their_elements(tmp_path: Path) -> None:
    """Within the tolerance of the field that names the file; shapes and types first."""
    numpy = pytest.importorskip("numpy")
    one, other = two(tmp_path, ".npy")
    numpy.save(one, numpy.array([[1.0, numpy.nan], [3.0, numpy.inf]], "f4"))
    numpy.save(other, numpy.array([[1.0, numpy.nan], [3.5, numpy.inf]], "f4"))
    assert "[1, 0]: 3.0 → 3.5" == differs(one, other)
    assert "" == differs(one, other, "f=0.6")
    numpy.save(other, numpy.array([[1.0, 2.0], [3.0, numpy.inf]], "f4"))
    assert "[0, 1]: nan → 2.0" == differs(one, other, "f=9")
    numpy.save(other, numpy.array([1.0, 2.0]))
    assert "float32[2, 2] → float64[2]" == differs(one, other)


def test_archives_of_arrays_are_compared_name_by_name(tmp_path: Path) -> None:
    """Their bytes have times in them, and differ each second."""
    numpy = pytest.importorskip("numpy")
    one, other = two(tmp_path, ".npz")
    numpy.savez(one, a=numpy.arange(3), b=numpy.arange(2))
    numpy.savez_compressed(other, b=numpy.arange(2), a=numpy.arange(3))
    assert "" == differs(one, other)
    numpy.savez(other, a=numpy.arange(3), b=numpy.array([0, 9]))
    assert "b: [1]: 1 → 9" == differs(one, other)
    numpy.savez(other, a=numpy.arange(3))
    assert "has a, b, and now a" == differs(one, other)


def test_tables_and_json_are_compared_by_their_values(tmp_path: Path) -> None:
    """With the tolerance of the field."""
    one, other = two(tmp_path, ".json")
    one.write_text('{"a": 1.0, "b": [1]}')
    other.write_text('{"b": [1],  "a": 1.1}')
    assert "a: 1.0 → 1.1" == differs(one, other)
    assert "" == differs(one, other, "f=0.2") == differs(one, other, "f.a=0.2")
    assert "a: 1.0 → 1.1" == differs(one, other, "f.b=0.2")
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    one, other = two(tmp_path, ".parquet")
    parquet.write_table(arrow.table({"x": [1, 2]}), one)
    parquet.write_table(arrow.table({"x": [1, 2]}), other, compression="gzip")
    assert "" == differs(one, other)
    parquet.write_table(arrow.table({"x": [1, 3]}), other)
    assert "x[1]: 2 → 3" == differs(one, other)


def test_a_broken_array_is_a_difference_and_no_error(tmp_path: Path) -> None:
    """It may be what the edit has broken."""
    one, other = two(tmp_path, ".json")
    one.write_text("{}")
    other.write_text("{not json")
    assert differs(one, other).startswith("2 bytes → 9 bytes; not read as json: JSONDecodeError")


def test_folders_are_compared_file_by_file(tmp_path: Path) -> None:
    """A program's output may be a folder."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "in").mkdir(parents=True)
    (one / "in" / "x.txt").write_text("x")
    shutil.copytree(one, other)
    assert "" == differs(one, other)
    (other / "in" / "x.txt").write_text("y")
    assert "in/x.txt: differs from byte 0 of 1 on" == differs(one, other)
    (other / "more").touch()
    assert "has in/x.txt, and now in/x.txt, more" == differs(one, other)


# -- the folder -----------------------------------------------------------------------------------------


def golden_of(folder: Path, name: str = "a b\udcff\n.bin") -> Golden:
    """A file that went in and came out again, and a file of the input, with an odd name."""
    made, given = folder / "made" / name, folder / "given.txt"
    made.parent.mkdir(exist_ok=True)
    made.write_bytes(b"made")
    given.write_text("given")
    row = {"id": "\udcff", "clip": KeptFile(str(made)), "path": KeptFile(str(given), is_input=True), "x": float("inf")}
    return Golden(STAGE, (Given("stages.mine:Clip", [row]),), Kept([{**row, "score": 1}], [{"id": "b"}]))


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_kept_is_read_back_wherever_the_folder_is(tmp_path: Path) -> None:
    """Names are relative, each content is kept once, and made again it is the same."""
    golden = golden_of(tmp_path)
    write_golden(str(tmp_path / "g"), golden)
    first = tree(tmp_path / "g")
    write_golden(str(tmp_path / "g"), golden)
    assert first == tree(tmp_path / "g")
    assert 2 == sum(name.startswith("files/") for name in first)
    assert ["g", "given.txt", "made"] == sorted(os.listdir(tmp_path))
    shutil.move(tmp_path / "g", tmp_path / "elsewhere")
    back = read_golden(str(tmp_path / "elsewhere"))
    row = back.given[0].rows[0]
    assert (b"made", b"given") == (Path(row["clip"].path).read_bytes(), Path(row["path"].path).read_bytes())
    assert (row["path"].is_input, row["clip"].name) == (True, "a b\udcff\n.bin")
    assert [{"id": "b"}] == back.kept.dropped
    assert (float("inf"), "\udcff") == (row["x"], row["id"])
    assert str(tmp_path).encode() not in b"".join(tree(tmp_path / "elsewhere").values())


def test_rows_are_placed_with_their_files(tmp_path: Path) -> None:
    """Those that stages made by reference; those of the input with the time that their row has."""
    write_golden(str(tmp_path / "g"), golden_of(tmp_path, "a.bin"))
    given = read_golden(str(tmp_path / "g")).given[0]
    rows = [{**given.rows[0], "mtime_ns": 1_000_000_007}, given.rows[0]]
    placer = Placer(str(tmp_path / "root"), "in", copies=True)
    first, second = placer.rows(Given(given.kind, rows))
    assert b"made" == (tmp_path / "root" / first["clip"]).read_bytes()
    assert not (tmp_path / "root" / first["clip"]).is_symlink()  # what is one itself, no shard keeps
    assert 1_000_000_007 == os.stat(first["path"]).st_mtime_ns
    assert (first["clip"], first["path"]) == (second["clip"], second["path"])
    assert given.rows[0]["path"] == placer.texts[first["path"]]


def test_a_saved_value_stands_beside_what_is_known_of_it(tmp_path: Path) -> None:
    """Where it is loaded from, its class is looked for there."""
    rows = []
    for task in "ab":  # with one content, and other words about it
        (tmp_path / task).mkdir()
        (tmp_path / task / "v.npy").write_bytes(b"value")
        (tmp_path / task / "v.npy.json").write_text(task)
        file, about = (KeptFile(str(tmp_path / task / name)) for name in ("v.npy", "v.npy.json"))
        rows.append({"id": task, "saved": {"v": {"file": file, "about": about}}})
    write_golden(str(tmp_path / "g"), Golden(STAGE, (Given("m:T", rows),), Kept()))
    for copies, given in ((True, read_golden(str(tmp_path / "g")).given[0]), (False, Given("m:T", rows))):
        placer = Placer(str(tmp_path / f"root-{copies}"), "in", copies=copies)
        for row in placer.rows(given):
            file = tmp_path / f"root-{copies}" / row["saved"]["v"]["file"]
            assert (b"value", row["id"]) == (file.read_bytes(), Path(f"{file}.json").read_text())


def test_a_folder_as_a_file_is_kept_whole(tmp_path: Path) -> None:
    """With the names in it."""
    (tmp_path / "made" / "in").mkdir(parents=True)
    (tmp_path / "made" / "in" / "x").write_text("x")
    row = {"id": "a", "out": KeptFile(str(tmp_path / "made"))}
    write_golden(str(tmp_path / "g"), Golden(STAGE, (), Kept([row])))
    kept = read_golden(str(tmp_path / "g")).kept.tasks[0]["out"]
    assert "x" == Path(kept.path, "in", "x").read_text()
    Path(kept.path, "in", "x").rename(Path(kept.path, "in", "y"))
    with pytest.raises(StoreError, match="was changed since it was kept"):
        read_golden(str(tmp_path / "g"))


def test_a_file_that_was_changed_or_leads_out_is_refused(tmp_path: Path) -> None:
    """What is compared is what was kept."""
    write_golden(str(tmp_path / "g"), golden_of(tmp_path))
    rows = tmp_path / "g" / "tasks.jsonl"
    before, row = rows.read_text(), json.loads(rows.read_text())
    for name in ("../given.txt", str(tmp_path / "given.txt"), "files/none/x"):
        rows.write_text(json.dumps({**row, "clip": {"$file": name}}) + "\n")
        with pytest.raises(StoreError, match="is named by a row, and not there"):
            read_golden(str(tmp_path / "g"))
    for broken in (before[:-9], '{"n": 1}\n', "[]\n"):
        rows.write_text(broken)
        with pytest.raises(StoreError, match="cannot be read"):
            read_golden(str(tmp_path / "g"))
    (tmp_path / "g" / "files" / "out").symlink_to(tmp_path)
    rows.write_text(json.dumps({**row, "clip": {"$file": "files/out/given.txt"}}) + "\n")
    with pytest.raises(StoreError, match="is named by a row, and not there"):
        read_golden(str(tmp_path / "g"))
    rows.write_text(before)
    (tmp_path / "g" / row["clip"]["$file"]).write_bytes(b"edit")
    with pytest.raises(StoreError, match="was changed since it was kept"):
        read_golden(str(tmp_path / "g"))


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    """A folder of something else stays; so does the old one where the new cannot be made."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="no golden folder"):
        write_golden(str(tmp_path / "mine"), golden_of(tmp_path))
    with pytest.raises(ConfigError, match="no golden folder"):
        read_golden(str(tmp_path / "mine"))
    write_golden(str(tmp_path / "g"), golden_of(tmp_path))
    before = tree(tmp_path / "g")
    gone = Golden(STAGE, (), Kept([{"id": "a", "clip": KeptFile(str(tmp_path / "gone"))}]))
    with pytest.raises(StoreError, match="is gone"):
        write_golden(str(tmp_path / "g"), gone)
    assert before == tree(tmp_path / "g")
    assert ["g", "given.txt", "made", "mine"] == sorted(os.listdir(tmp_path))


def test_a_notebook_is_compared_without_the_ids_of_its_cells(tmp_path: Path) -> None:
    """Which nbformat draws by chance."""
    one, other = two(tmp_path, ".ipynb")
    for path, cell in ((one, "a1b2"), (other, "c3d4")):
        path.write_text(json.dumps({"nbformat": 4, "cells": [{"id": cell, "source": "x"}], "metadata": {}}))
    assert "" == differs(one, other)
    other.write_text(other.read_text().replace('"x"', '"y"'))
    assert 'cells[0].source: "x" → "y"' == differs(one, other)
