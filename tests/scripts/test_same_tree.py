"""What `scripts/same-tree` calls equal, and how it says what is not."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from checkout import ROOT

SCRIPT = ROOT / "scripts" / "same-tree"
Trees = tuple[Path, Path]


def _load() -> ModuleType:
    loader = SourceFileLoader("same_tree", str(SCRIPT))
    spec = importlib.util.spec_from_loader("same_tree", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


same_tree = _load()


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """Two equal trees with one nested file each."""
    for name in ("a", "b"):
        _write(tmp_path / name / "clips" / "c1.mp4", b"\x00\x01\x02")
    return tmp_path / "a", tmp_path / "b"


def _write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _write_json(trees: Trees, name: str, a: Any, b: Any) -> None:
    for tree, value in zip(trees, (a, b), strict=True):
        _write(tree / name, json.dumps(value))


def _differences(trees: Trees) -> list[str]:
    return list(same_tree.differences(*trees))


def _run(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_equal_trees_exit_0_and_count_the_files(trees: Trees) -> None:
    """Equal trees give one line with the number of files, and exit 0."""
    done = _run(*trees)
    assert (0, "equal: 1 files\n", "") == (done.returncode, done.stdout, done.stderr)


def test_different_trees_exit_1(trees: Trees) -> None:
    """Different trees print the difference and exit 1."""
    _write(trees[0] / "x.txt", "x")
    done = _run(*trees)
    assert (1, "only in A: 'x.txt'\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize("missing", ["nowhere", "clips/c1.mp4"])
def test_what_is_no_folder_exits_2(trees: Trees, missing: str) -> None:
    """A missing folder or a plain file in place of a tree is a usage error, not an empty tree."""
    done = _run(trees[0], trees[1] / missing)
    assert (2, True) == (done.returncode, "is not a folder" in done.stderr)


def test_one_argument_exits_2(trees: Trees) -> None:
    """Two trees must be named."""
    assert 2 == _run(trees[0]).returncode


def test_only_the_first_differences_are_printed(trees: Trees) -> None:
    """After 20 differences the rest is a count."""
    for i in range(23):
        _write(trees[0] / f"{i:02}", "x")
    lines = _run(*trees).stdout.splitlines()
    assert (21, "and 3 more") == (len(lines), lines[-1])


def test_missing_file(trees: Trees) -> None:
    """A file that only A holds is named with its path."""
    _write(trees[0] / "clips" / "c2.mp4", "x")
    assert ["only in A: 'clips/c2.mp4'"] == _differences(trees)


def test_extra_file(trees: Trees) -> None:
    """A file that only B holds is named with its path."""
    _write(trees[1] / "clips" / "c2.mp4", "x")
    assert ["only in B: 'clips/c2.mp4'"] == _differences(trees)


def test_folder_in_one_tree_only_is_one_line(trees: Trees) -> None:
    """A whole missing folder is one difference that says how many files it holds."""
    _write(trees[1] / "metas" / "v0" / "x", "x")
    _write(trees[1] / "metas" / "y", "y")
    assert ["only in B: 'metas/' (2 files)"] == _differences(trees)


def test_empty_folder_counts(trees: Trees) -> None:
    """An empty folder in one tree only is a difference."""
    (trees[0] / "previews").mkdir()
    assert ["only in A: 'previews/' (0 files)"] == _differences(trees)


def test_empty_trees_are_equal(tmp_path: Path) -> None:
    """Two empty folders are equal, and the line says that nothing was compared."""
    (tmp_path / "a").mkdir()
    assert "equal: 0 files\n" == _run(tmp_path / "a", tmp_path / "a").stdout


def test_changed_byte(trees: Trees) -> None:
    """Same size, one byte changed: its offset is given."""
    _write(trees[1] / "clips" / "c1.mp4", b"\x00\x09\x02")
    assert ["differs: 'clips/c1.mp4': byte 1 (sizes 3 / 3)"] == _differences(trees)


def test_changed_byte_beyond_the_first_chunk(trees: Trees) -> None:
    """The offset counts from the start of the file, not of the chunk that was read."""
    for tree, last in zip(trees, b"xy", strict=True):
        _write(tree / "big", bytes(same_tree.CHUNK + 5) + bytes([last]))
    size = same_tree.CHUNK + 6
    assert [f"differs: 'big': byte {size - 1} (sizes {size} / {size})"] == _differences(trees)


def test_truncated_file(trees: Trees) -> None:
    """A file that is the beginning of the other differs where it ends."""
    _write(trees[1] / "clips" / "c1.mp4", b"\x00\x01")
    assert ["differs: 'clips/c1.mp4': byte 2 (sizes 3 / 2)"] == _differences(trees)


def test_modes_and_times_are_not_compared(trees: Trees) -> None:
    """A read-only or older copy is the same file."""
    (trees[1] / "clips" / "c1.mp4").chmod(0o400)
    os.utime(trees[1] / "clips" / "c1.mp4", (0, 0))
    assert [] == _differences(trees)


def test_folder_against_file(trees: Trees) -> None:
    """A folder in place of a file is a difference of kind."""
    _write(trees[0] / "x", "x")
    (trees[1] / "x").mkdir()
    assert ["differs: 'x': file / folder"] == _differences(trees)


def test_links_are_compared_by_target(trees: Trees) -> None:
    """A link is compared as written; what it points to is not read, and may be missing."""
    (trees[0] / "latest").symlink_to("r1")
    (trees[1] / "latest").symlink_to("r2")
    assert ["differs: 'latest': link to 'r1' / 'r2'"] == _differences(trees)


def test_link_against_its_copy(trees: Trees) -> None:
    """A link and a file with the same content are of different kinds."""
    (trees[0] / "x").symlink_to("clips/c1.mp4")
    _write(trees[1] / "x", b"\x00\x01\x02")
    assert ["differs: 'x': link / file"] == _differences(trees)


def test_names_of_any_bytes(trees: Trees) -> None:
    """Undecodable, multi-line and non-ASCII names are compared, and printed in ASCII."""
    for name in (b"\xff\n", "ü".encode()):
        Path(os.fsdecode(os.fsencode(trees[0]) + b"/" + name)).write_bytes(b"")
    done = _run(*trees)
    assert "only in A: '\\xfc'\nonly in A: '\\udcff\\n'\n" == done.stdout


def test_differences_come_sorted_by_path(trees: Trees) -> None:
    """The order of the lines does not depend on the order of the directory."""
    for name in ("b", "a/z", "a/y", "c"):
        _write(trees[0] / name, "x")
    (trees[1] / "a").mkdir()
    assert ["'a/y'", "'a/z'", "'b'", "'c'"] == [line.split(": ")[1] for line in _differences(trees)]


def test_json_is_compared_as_values(trees: Trees) -> None:
    """White space and the order of keys are not content."""
    _write(trees[0] / "m.json", '{"x": 1, "y": [2]}')
    _write(trees[1] / "m.json", '{"y":[2],\n"x":1}\n')
    assert [] == _differences(trees)


def test_changed_json_key_is_given_with_its_path(trees: Trees) -> None:
    """The first differing key is named from the top, with both values."""
    _write_json(trees, "m.json", {"clips": [{"id": 1}, {"id": 2}]}, {"clips": [{"id": 1}, {"id": 3}]})
    assert ["differs: 'm.json': key 'clips[1].id': 2 / 3"] == _differences(trees)


def test_missing_json_key(trees: Trees) -> None:
    """A key that only one side has is a difference, whatever its value."""
    _write_json(trees, "m.json", {"a": {"caption": None}}, {"a": {}})
    assert ["differs: 'm.json': key 'a.caption': only in A"] == _differences(trees)


def test_json_list_of_another_length(trees: Trees) -> None:
    """A list that is the beginning of the other differs in length."""
    _write_json(trees, "m.json", [1, 2], [1])
    assert ["differs: 'm.json': value: 2 / 1 items"] == _differences(trees)


def test_json_true_is_not_one(trees: Trees) -> None:
    """Python takes True for 1; the comparison does not."""
    _write_json(trees, "m.json", {"x": True}, {"x": 1})
    assert ["differs: 'm.json': key 'x': True / 1"] == _differences(trees)


@pytest.mark.parametrize("key", sorted(same_tree.IGNORED_KEYS["*"]))
def test_ignored_key(trees: Trees, key: str) -> None:
    """A key of the list may differ or be absent, at any depth."""
    _write_json(trees, "m.json", {"x": [{key: 1}], key: 1}, {"x": [{key: 2}]})
    assert [] == _differences(trees)


def test_shards_that_took_another_time_and_memory_are_equal(trees: Trees) -> None:
    """No two committed shards were: the key is `peak_memory_mb`."""
    one = {"passed": 2, "seconds": 1.0, "process_seconds": 0.5, "waiting_seconds": 0.1, "history": []}
    other = {**one, "seconds": 2.0, "process_seconds": 1.5, "waiting_seconds": 0.2, "history": [{"kind": "crash"}]}
    _write_json(trees, "stats.json", {**one, "peak_memory_mb": 20.5}, {**other, "peak_memory_mb": 21.0})
    assert [] == _differences(trees)
    _write_json(trees, "stats.json", one, {**other, "passed": 1})
    assert ["differs: 'stats.json': key 'passed': 2 / 1"] == _differences(trees)


def test_key_ignored_in_one_file_name_only(trees: Trees) -> None:
    """`seconds` is wall time in a summary, but may be data elsewhere."""
    for name in ("summary.json", "meta.json"):
        _write_json(trees, name, {"seconds": 1}, {"seconds": 2})
    assert ["differs: 'meta.json': key 'seconds': 1 / 2"] == _differences(trees)


def test_nan_equals_nan(trees: Trees) -> None:
    """NaN at the same place on both sides is no difference."""
    _write(trees[0] / "m.json", '{"x": NaN, "y": 1}')
    _write(trees[1] / "m.json", '{"y": 1, "x": NaN}')
    assert [] == _differences(trees)


def test_nan_against_a_number(trees: Trees) -> None:
    """NaN equals nothing but NaN."""
    _write_json(trees, "m.json", {"x": float("nan")}, {"x": 0.0})
    assert ["differs: 'm.json': key 'x': nan / 0.0"] == _differences(trees)


def test_json_that_does_not_parse_is_bytes(trees: Trees) -> None:
    """A broken JSON file is compared like any other file."""
    _write(trees[0] / "m.json", '{"x": ')
    _write(trees[1] / "m.json", '{"x":')
    assert ["differs: 'm.json': byte 5 (sizes 6 / 5)"] == _differences(trees)


def test_jsonl_rows_are_compared_in_order(trees: Trees) -> None:
    """The first differing row is given; rows that changed places are a difference."""
    _write(trees[0] / "t.jsonl", '{"id": 1}\n{"id": 2}\n{"id": 3}\n')
    _write(trees[1] / "t.jsonl", '{"id": 1}\n{"id": 3}\n{"id": 2}\n')
    assert ["differs: 't.jsonl': key '[1].id': 2 / 3"] == _differences(trees)


def test_jsonl_of_another_length(trees: Trees) -> None:
    """A file that lacks the last row differs in length."""
    _write(trees[0] / "t.jsonl", '{"id": 1}\n{"id": 2}\n')
    _write(trees[1] / "t.jsonl", '{"id": 1}\n')
    assert ["differs: 't.jsonl': value: 2 / 1 items"] == _differences(trees)


def test_jsonl_with_ignored_key_and_separators_in_text(trees: Trees) -> None:
    """Rows end at line feeds only: a Unicode line separator inside a string does not split one."""
    for tree, host in zip(trees, ("n1", "n2"), strict=True):
        _write(tree / "t.jsonl", json.dumps({"t": "a\u2028b\x85", "host": host}, ensure_ascii=False) + "\n")
    assert [] == _differences(trees)


def _write_parquet(path: Path, columns: dict[str, list[Any]], **options: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path, **options)


@pytest.mark.video
def test_parquet_is_compared_by_content(trees: Trees) -> None:
    """Compression, NaN and an ignored column do not make two tables differ."""
    scores = [1.0, float("nan")]
    _write_parquet(trees[0] / "clips.parquet", {"score": scores, "host": ["x", "x"]}, compression="none")
    _write_parquet(trees[1] / "clips.parquet", {"score": scores, "host": ["y", "y"]}, compression="zstd")
    assert [] == _differences(trees)


@pytest.mark.video
def test_changed_parquet_value(trees: Trees) -> None:
    """The row and the column of the first difference are given."""
    for tree, last in zip(trees, (2, 3), strict=True):
        _write_parquet(tree / "clips.parquet", {"id": [1, last]})
    assert ["differs: 'clips.parquet': key 'rows[1].id': 2 / 3"] == _differences(trees)


@pytest.mark.video
def test_changed_parquet_type(trees: Trees) -> None:
    """Equal numbers in columns of different types are a difference."""
    pyarrow = pytest.importorskip("pyarrow")
    for tree, kind in zip(trees, ("int32", "int64"), strict=True):
        _write_parquet(tree / "clips.parquet", {"id": pyarrow.array([1], kind)})
    assert ["differs: 'clips.parquet': key 'columns.id': 'int32' / 'int64'"] == _differences(trees)


@pytest.mark.video
def test_parquet_that_does_not_parse_is_bytes(trees: Trees) -> None:
    """A file that is parquet by name only is compared like any other."""
    pytest.importorskip("pyarrow")
    _write(trees[0] / "x.parquet", "abc")
    _write(trees[1] / "x.parquet", "abd")
    assert ["differs: 'x.parquet': byte 2 (sizes 3 / 3)"] == _differences(trees)


def test_unreadable_file_exits_2(trees: Trees) -> None:
    """A folder that cannot be listed is an error, never an empty folder."""
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (trees[0] / "clips").chmod(0)
    done = _run(*trees)
    (trees[0] / "clips").chmod(0o700)
    assert (2, True) == (done.returncode, "cannot read" in done.stderr)


def test_rows_as_sets(trees: Trees) -> None:
    """Their order does not count, their number does; that of a list in a row counts."""
    for tree, rows in zip(trees, (["[1, 2]", "[3]", "[3]"], ["[3]", "[1, 2]", "[3]"]), strict=True):
        _write(tree / "rows.jsonl", "".join(f"{row}\n" for row in rows))
    assert (1, 0) == (_run(*trees).returncode, _run("--rows-as-sets", *trees).returncode)
    _write(trees[1] / "rows.jsonl", "[3]\n[2, 1]\n[3]\n")
    assert 1 == _run("--rows-as-sets", *trees).returncode
