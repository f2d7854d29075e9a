"""Results out of the store: the rows of a stage for other programs, and the files that they name (D12)."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import attrs
import pyarrow.parquet
import pytest
from films import Films, copy_of
from shell import Shell

from hpcurate.cli.verbs.results import chosen
from hpcurate.errors import ConfigError, StoreError
from hpcurate.report.columns import JSON, Column, cell, columns_of
from hpcurate.report.exporting import write_csv, write_folder, write_jsonl, write_parquet
from hpcurate.report.results import Results, results_of
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import Run
from hpcurate.store.layout import Store


@pytest.fixture
def looked(films: Films) -> Results:
    """What `look` has passed on: nine halves of scenes, each with a still."""
    return results_of(RunView(films.run), "look")


def test_rows_are_those_that_were_committed(looked: Results) -> None:
    """In order; nothing but the files differs, which are absolute paths and open."""
    rows = list(looked.rows())
    committed = [json.loads(line) for line in looked.lines()]
    assert (9, 9) == (len(rows), looked.tasks)
    assert [{**row, "still": ""} for row in committed] == [{**row, "still": ""} for row in rows]
    assert [f"{row['number']}\n" for row in rows] == [Path(row["still"]).read_text() for row in rows]


def test_each_format_has_the_same_rows(looked: Results) -> None:
    """Lines of JSON, CSV and Parquet."""
    lines, table, parquet = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_jsonl(looked, lines)
    write_csv(looked, table)
    write_parquet(looked, parquet)
    rows = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert list(looked.rows()) == rows
    texts = [{**row, "source": row["source"].replace("\udcff", "\\udcff")} for row in rows]
    assert texts == pyarrow.parquet.read_table(parquet).to_pylist()
    read = list(csv.DictReader(io.StringIO(table.getvalue().decode())))
    assert [(row["id"], str(row["number"])) for row in rows] == [(row["id"], row["number"]) for row in read]
    assert rows[0]["parents"] == json.loads(read[0]["parents"])


def test_a_folder_has_the_files_beside_their_rows(looked: Results, tmp_path: Path) -> None:
    """Hard links, or copies of one's own; a folder that has something in it is left as it is."""
    assert 5 == write_folder(looked, str(tmp_path / "out"))
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    stills = [tmp_path / "out" / row["still"] for row in rows]
    assert [f"{row['number']}\n" for row in rows] == [still.read_text() for still in stills]
    assert all(os.stat(still).st_nlink == 2 for still in stills)
    with pytest.raises(ConfigError, match="exists and is not an empty folder"):
        write_folder(looked, str(tmp_path / "out"))
    write_folder(looked, str(tmp_path / "copies"), copy=True)
    assert os.access(tmp_path / "copies" / rows[0]["still"], os.W_OK)
    assert 1 == os.stat(tmp_path / "copies" / rows[0]["still"]).st_nlink


def test_a_file_that_is_gone_is_named(looked: Results, tmp_path: Path) -> None:
    """With what to type; the folder has no manifest, so that nobody takes it for whole."""
    with pytest.raises(StoreError, match=r"still\.txt: is not there any more; type hpcurate verify"):
        write_folder(attrs.evolve(looked, stages=str(tmp_path)), str(tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.jsonl").exists()


def test_what_was_taken_in_and_what_is_partial(films: Films, tmp_path: Path) -> None:
    """The input has its name, too. Of a stage in the middle what is committed is there, and that it is not all."""
    taken = results_of(RunView(films.run), "input")
    assert ("film-a/one", "") == (next(taken.rows())["id"], taken.missing)
    store = copy_of(films, tmp_path)
    [shards] = store.glob("stages/look-*/shards/0001-000")
    shutil.rmtree(sorted(shards.iterdir())[0])
    half = results_of(RunView(Run(Store(str(store)), films.run.name)), "look")
    assert half.missing.startswith("look is not complete: 3 of 4 shards; ")
    with pytest.raises(ConfigError, match="there is no stage 'lok'; did you mean 'look'"):
        results_of(RunView(films.run), "lok")


COLUMNS = [
    ([1, 2], Column("int64")),
    ([1, 2.5, None], Column("double")),
    ([None, "a"], Column("string")),
    ([None], Column()),
    ([True, 1], JSON),
    ([2**70], JSON),
    ([[1], [], None, [2.5]], Column("double", listed=True)),
    ([[], []], Column(listed=True)),
    ([[1], 1], JSON),
    ([[[1]]], JSON),
    ([{"a": 1}], JSON),
    ([[1, "a"]], JSON),
    ([None, []], Column(listed=True)),
]


@pytest.mark.parametrize(("values", "column"), COLUMNS)
def test_a_column_holds_all_values_of_a_field(values: list[object], column: Column) -> None:
    """Scalars and lists of them; what has no one type, and what is nested, is JSON text."""
    assert {"x": column} == columns_of({"x": value} for value in values)


def test_a_value_of_a_table_is_one_that_readers_take() -> None:
    """Bytes that are no text, numbers that JSON has no word for."""
    assert ["\\udcff", None] == [cell(value, Column("string")) for value in ("\udcff", None)]
    assert '{"a": null}' == cell({"a": float("nan")}, JSON)
    assert [1.0, 2.0] == cell([1, 2.0], Column("double", listed=True))


def test_the_format_is_named_or_that_of_the_file() -> None:
    """A word that is a format elsewhere is no folder by accident."""
    assert ["jsonl", "csv", "parquet", "out"] == [
        chosen(None, None), chosen(None, "a.csv"), chosen("parquet", "a.bin"), chosen("out", None)
    ]  # fmt: skip
    for to, output, copy, why in [
        ("json", None, False, r"type --to \./json"),
        ("out", "a.csv", False, "give one of them"),
        ("csv", None, True, "is for files"),
    ]:
        with pytest.raises(ConfigError, match=why):
            chosen(to, output, copy)


def test_results_are_typed(films: Films, shell: Shell) -> None:
    """To stdout and nothing else there, secrets masked; into a file that is never overwritten."""
    store = ("--store", films.run.store.root)
    done = shell.type("results", "publish", *store, TEST_API_KEY="b/one.mp4")
    sources = [json.loads(line)["source"] for line in done.stdout.splitlines()]
    assert (9, 2, "") == (len(sources), sources.count("***TEST_API_KEY***"), done.stderr)
    assert "9 tasks in a.csv" in shell.type("results", "publish", *store, "--output", "a.csv").stderr
    before = (shell.cwd / "a.csv").read_bytes()
    assert "nothing is overwritten" in shell.type("results", "publish", *store, "--output", "a.csv", status=2).stderr
    assert "cannot be made" in shell.type("results", "look", *store, "--output", "no/a.csv", status=2).stderr
    assert (before, ["a.csv"]) == ((shell.cwd / "a.csv").read_bytes(), os.listdir(shell.cwd))
