"""Data sets of Hugging Face on disk: rows are tasks, images stay in the files until a stage asks for them."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import attrs
import pytest

arrow = pytest.importorskip("pyarrow", reason="the video extra is not installed")
parquet = pytest.importorskip("pyarrow.parquet")

from hpcurate.errors import ConfigError
from hpcurate.inside import HasChanged
from hpcurate.source import HuggingFace, RowTask, files_read
from hpcurate.source.hugging_face import split_of
from hpcurate.source.intake import Intake, take_in
from hpcurate.source.scan import scan
from hpcurate.source.taken import Taken
from hpcurate.store.layout import Store
from hpcurate.store.rows import codec
from hpcurate.world import World


@attrs.define(kw_only=True)
class Caption(RowTask):
    """A class whose fields are columns."""

    text: str
    label: int


def table(start: int, count: int) -> Any:
    """Rows with a text, a label, an image as `datasets` has it, and raw bytes."""
    numbers = range(start, start + count)
    return arrow.table(
        {
            "text": [f"text {n}" for n in numbers],
            "label": list(numbers),
            "image": [{"bytes": b"%d" % n * 50, "path": None} for n in numbers],
            "raw": [b"\xff%d" % n for n in numbers],
        }
    )


def save_arrow(path: Path, rows: Any, chunk: int = 7) -> None:
    """As `datasets` writes it: a stream, in batches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with arrow.OSFile(os.fspath(path), "wb") as file, arrow.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=chunk)


def save_parquet(path: Path, rows: Any, group: int = 16) -> None:
    """As the hub has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(rows, path, row_group_size=group)


def save_to_disk(folder: Path, splits: dict[str, list[Any]]) -> Path:
    """The layout of `DatasetDict.save_to_disk`."""
    for split, tables in splits.items():
        names = [f"data-{n:05d}-of-{len(tables):05d}.arrow" for n in range(len(tables))]
        for name, rows in zip(names, tables):
            save_arrow(folder / split / name, rows)
        state = {"_data_files": [{"filename": name} for name in names], "_split": split}
        (folder / split / "state.json").write_text(json.dumps(state))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


def rows_of(source: HuggingFace) -> list[Any]:
    """Its tasks, through rows, as a stage gets them."""
    return [codec(source.task_type).decode(codec(source.task_type).encode(task)) for task in source.tasks()]


def test_a_saved_data_set_of_several_splits(tmp_path: Path) -> None:
    """In the order of its files; images and raw bytes are read from the row's place, in whatever order."""
    folder = save_to_disk(tmp_path / "set", {"train": [table(0, 20), table(20, 5)], "test": [table(100, 3)]})
    rows = rows_of(HuggingFace(os.fspath(folder)))
    assert [*range(25), 100, 101, 102] == [row.data["label"] for row in rows]
    assert {"text": "text 21", "label": 21} == rows[21].data
    assert "train/data-00001-of-00002.arrow:1" == rows[21].source
    assert ["train"] * 25 + ["test"] * 3 == [row.split for row in rows]
    for row in random.Random(1).sample(rows, 28):
        assert b"%d" % row.data["label"] * 50 == row.bytes("image")
        assert b"\xff%d" % row.data["label"] == row.bytes("raw")
    assert b"text 3" == rows[3].bytes("text")
    assert {"bytes": b"3" * 50, "path": None} == rows[3].read("image")
    assert [100, 101, 102] == [row.data["label"] for row in rows_of(HuggingFace(os.fspath(folder), split="test"))]
    assert 25 == len(rows_of(HuggingFace(os.fspath(folder / "train"))))
    assert len({row.id for row in rows}) == len(rows)


def test_a_folder_of_parquet_as_on_the_hub(tmp_path: Path) -> None:
    """Nested, with splits by name; row groups are no borders."""
    save_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", table(0, 40))
    save_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", table(40, 40))
    save_parquet(tmp_path / "more" / "dev" / "0.parquet", table(200, 2))
    save_arrow(tmp_path / "cache-0123.arrow", table(900, 2))
    rows = rows_of(HuggingFace(os.fspath(tmp_path), split="train"))
    assert list(range(80)) == [row.data["label"] for row in rows]
    for row in [*rows, *random.Random(1).sample(rows, 20)]:
        assert b"%d" % row.data["label"] * 50 == row.bytes("image")
    assert [200, 201] == [row.data["label"] for row in rows_of(HuggingFace(os.fspath(tmp_path), split="validation"))]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"), ("data/mine-00003-of-00010.parquet", "mine"),
        ("train-00000-of-00001-0a1b2c3d.parquet", "train"), ("imdb-test.arrow", "test"), ("val.parquet", "validation"),
        ("en/dev/x.parquet", "validation"), ("test/train.parquet", "train"), ("contest.parquet", "train"),
        ("imdb-unsupervised-00000-of-00002.arrow", "unsupervised"),
    ],
)  # fmt: skip
def test_splits_are_read_from_names(name: str, split: str) -> None:
    """Whole words of the file's name, then of its folders."""
    assert split == split_of(name)


def test_columns_become_fields(tmp_path: Path) -> None:
    """Of a class derived from RowTask; those that it lacks are refused, or left out."""
    save_parquet(tmp_path / "x.parquet", table(0, 3))
    task = f"{__name__}.Caption"
    rows = rows_of(HuggingFace(os.fspath(tmp_path), task=task, id="label", weight="label"))
    assert [("0", "text 0", 0, 0.0), ("1", "text 1", 1, 1.0)] == [(r.id, r.text, r.label, r.weight) for r in rows[:2]]
    assert b"222"[:1] * 50 == rows[2].bytes("image")
    [first, *_] = rows_of(HuggingFace(os.fspath(tmp_path), columns=["raw", "text"]))
    assert {"raw", "text"} == first.data.keys()
    with pytest.raises(ConfigError, match="no field of its own for column 'raw'"):
        rows_of(HuggingFace(os.fspath(tmp_path), task=task, columns=["raw", "text", "label"]))
    columns = ["raw", "text", "label"]
    assert 3 == len(rows_of(HuggingFace(os.fspath(tmp_path), task=task, columns=columns, extra="ignore")))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A split, a column, a folder, a row; with what there is."""
    save_parquet(tmp_path / "in" / "train.parquet", table(0, 3))
    path = os.fspath(tmp_path / "in")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"path": path, "split": "test"}, "has train"),
        ({"path": path, "columns": ["txt"]}, "no column 'txt'; .*text"),
        ({"path": f"{path}/none"}, "no such folder"),
        ({"path": os.fspath(tmp_path / "empty")}, r"no state.json, and no .parquet or .arrow"),
        ({"path": path, "task": "hpcurate.task.FileTask"}, "not derived from"),
    ]
    (tmp_path / "empty").mkdir()
    for options, said in refused:
        with pytest.raises(ConfigError, match=said):
            list(HuggingFace(**options).tasks())
    [row, *_] = HuggingFace(path).tasks()
    assert isinstance(row, RowTask)
    with pytest.raises(LookupError, match="no column 'audio'; it has text, label, image, raw"):
        row.bytes("audio")
    with pytest.raises(LookupError, match="no row 99"):
        attrs.evolve(row, row=99).bytes("image")
    with pytest.raises(ValueError, match="label is 0, which has no bytes"):
        row.bytes("label")
    save_parquet(tmp_path / "in" / "train.parquet", table(1, 4))
    with pytest.raises(HasChanged, match=r"was written again .* changed=redo"):
        row.bytes("image")


def test_an_image_that_is_a_file_of_its_own(tmp_path: Path) -> None:
    """A row may name a file beside the data set's; one that is elsewhere is not fetched."""
    (tmp_path / "p.jpg").write_bytes(b"picture")
    images = [{"bytes": None, "path": "p.jpg"}, {"bytes": None, "path": "https://x.org/p.jpg"}, None]
    save_parquet(tmp_path / "x.parquet", arrow.table({"image": images, "n": [1, 2, 3]}))
    first, second, third = rows_of(HuggingFace(os.fspath(tmp_path)))
    assert b"picture" == first.bytes("image")
    with pytest.raises(ConfigError, match="not on this machine"):
        second.bytes("image")
    with pytest.raises(ValueError, match="has no bytes"):
        third.bytes("image")


def test_a_changed_file_is_noticed_and_what_is_unchanged_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a changed file is: its rows are reported. Of what is unchanged not a row is read."""
    world, store, folder = World(), Store(str(tmp_path / "store")), "source-0123456789ab"
    source = HuggingFace(os.fspath(save_to_disk(tmp_path / "set", {"train": [table(0, 20), table(20, 5)]})))
    monkeypatch.setattr(files_read, "SETTLED_NS", -(10**12))

    def take() -> tuple[Intake, bool]:
        found = scan(source, taken=Taken(world.stage(store, folder), source.task_type))
        return take_in(world, store, folder, found), bool(found.base)

    assert 25 == take()[0].new
    intake, known = take()
    assert (0, (), True) == (intake.new, intake.changed, known)
    save_arrow(tmp_path / "set" / "train" / "data-00001-of-00002.arrow", table(30, 5))
    intake, known = take()
    assert (0, 5, False) == (intake.new, len(intake.changed), known)


def test_a_stream_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    """At the end of a batch nothing looks wrong: rows were missing without a word."""
    save_arrow(tmp_path / "x.arrow", table(0, 20))
    whole = (tmp_path / "x.arrow").read_bytes()
    for size in range(0, len(whole), 40):
        (tmp_path / "x.arrow").write_bytes(whole[:size])
        with pytest.raises(ConfigError, match=r"x\.arrow: cannot be read"):
            list(HuggingFace(os.fspath(tmp_path)).tasks())


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_damaged_files_end(tmp_path: Path, kind: str) -> None:
    """200 of each with bytes flipped or lost: all rows and values, or one of three errors; no other end."""
    chance, path, refused = random.Random(3), tmp_path / f"x.{kind}", 0
    (save_arrow if kind == "arrow" else save_parquet)(path, table(0, 20))
    whole = path.read_bytes()
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.2:
            start = chance.randrange(len(data))
            del data[start : start + chance.randrange(1, 64)]
        path.unlink()  # what is mapped stays as it is
        path.write_bytes(data)
        try:
            for task in HuggingFace(os.fspath(path)).tasks():
                assert isinstance(task, RowTask)
                task.bytes("image")
        except (ConfigError, ValueError, LookupError):
            refused += 1
    assert 20 < refused
