"""Inputs: every kind of source gives the same tasks whatever the order on disk, whatever the names."""

from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import Shell
from snapshot import difference, snapshot

from hpcurate import FileTask, Task
from hpcurate.cli.verbs.split_manifest import cut
from hpcurate.errors import ConfigError
from hpcurate.source import (
    Csv,
    FileList,
    Files,
    Folders,
    Groups,
    Jsonl,
    Parquet,
    Part,
    RecordTask,
    Source,
    Triplets,
    Undone,
)
from hpcurate.source.parts import in_part, parse_part
from hpcurate.source.scan import scan
from hpcurate.store.rows import codec
from hpcurate.testing import try_stage
from stages.files import ExportTriplets, WriteJson

ODD = [
    b"a b.mp4", b"it's.mp4", b"new\nline.mp4", b"-dash.mp4", b"date=2024-01-01/x,y.MP4", b"[z]/{q}.mp4",
    b"\xff\xfe.mp4", b"u\xc3\xbc/u\xc3\xbc.mp4", b"a/b.mp4", b"a.mp4", b"a-b/c.mp4", b"%s$(x).mp4",
]  # fmt: skip


@attrs.define(kw_only=True)
class Clip(Task):
    """What a table's columns become."""

    url: str
    seconds: float


def make(folder: Path, names: list[bytes]) -> Path:
    """A folder with these files, made in this order."""
    for name in names:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)
    return folder


def sources(source: Source) -> list[str]:
    """What each task is called, in order; through rows, as a list holds them."""
    return [str(getattr(task, "source", task.id)) for _, task, *_ in scan(source).entries()]


def test_shuffled_order_on_disk_gives_the_same_manifest(tmp_path: Path) -> None:
    """And it is the order of full relative paths."""
    shuffled = random.Random(1).sample(ODD, len(ODD))
    one, two = make(tmp_path / "one", ODD), make(tmp_path / "two", shuffled)
    assert sources(Files(str(one))) == sources(Files(str(two)))
    assert sources(Files(str(one))) == sorted(os.fsdecode(name) for name in ODD)
    assert sources(Files(f"{two}/**")) == sources(Files(str(one)))


def test_hidden_files_are_left_out_and_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    """The walk ends."""
    make(tmp_path / "d", [b"a/x.mp4", b".hidden/y.mp4", b"a/.z.mp4"])
    (tmp_path / "d" / "a" / "loop").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "a" / "ring").symlink_to("ring")
    (tmp_path / "d" / "a" / "gone").symlink_to("nowhere")
    assert sources(Files(str(tmp_path / "d"))) == ["a/x.mp4"]


def test_a_list_keeps_its_order_and_odd_names(tmp_path: Path) -> None:
    """Newline-separated where that is possible, else NUL-separated; relative to the list."""
    folder = make(tmp_path / "d", ODD)
    (folder / "all.lst").write_bytes(b"\0".join(ODD))
    assert sources(FileList(str(folder / "all.lst"))) == [os.fsdecode(name) for name in ODD]
    plain = [name for name in ODD if b"\n" not in name]
    (folder / "plain.lst").write_bytes(b"\r\n".join(plain) + b"\n\n")
    assert sources(FileList(str(folder / "plain.lst"))) == [os.fsdecode(name) for name in plain]


def test_a_listed_file_that_is_not_there(tmp_path: Path) -> None:
    """An error with its line, or left out and counted."""
    (make(tmp_path, [b"a.mp4"]) / "l").write_text("a.mp4\nb.mp4\n")
    with pytest.raises(ConfigError, match=r"line 2: .*b.mp4: No such file"):
        scan(FileList(str(tmp_path / "l")))
    found = scan(FileList(str(tmp_path / "l"), missing="skip"))
    assert (1, ("not there: 1 file of the list, e.g. 'b.mp4'",)) == (found.count, found.notes)


def test_folders_at_a_level_are_items(tmp_path: Path) -> None:
    """Of any name."""
    make(tmp_path / "d", [b"p/one/x", b"p/t wo/x", b"q/\xff/x", b"r/file"])
    assert sources(Folders(str(tmp_path / "d"), level=2)) == ["p/one", "p/t wo", "q/\udcff"]
    assert sources(Folders(str(tmp_path / "d"))) == ["p", "q", "r"]
    with pytest.raises(ConfigError, match="no folder 5 steps below"):
        scan(Folders(str(tmp_path / "d"), level=5))


ROWS: list[dict[str, Any]] = [{"id": "a", "url": 'x,"y"\nü', "seconds": 1.5}, {"id": "b", "url": "", "seconds": 2.0}]


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The same rows in the form that the extension says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


TABLES = [(Jsonl, "t.jsonl"), (Csv, "t.csv"), (Parquet, "t.parquet")]


@pytest.mark.parametrize(("kind", "name"), TABLES)
def test_rows_become_tasks_of_a_class(tmp_path: Path, kind: Any, name: str) -> None:
    """Columns are fields, of their types; without a class a row is a record."""
    table = str(write_table(tmp_path / name, ROWS))
    found = [task for _, task, *_ in scan(kind(table, task=f"{__name__}.Clip")).entries()]
    assert [attrs.evolve(task, id="") for task in found] == [
        attrs.evolve(
            codec(type(task)).decode(b'{"id":"","url":"","seconds":0}'), url=row["url"], seconds=row["seconds"]
        )
        for task, row in zip(found, ROWS, strict=True)
    ]
    assert [task.id for task in found] == ["a", "b"]
    records = [task for _, task, *_ in scan(kind(table)).entries()]
    assert all(isinstance(task, RecordTask) for task in records)
    assert [str(task.data["seconds"]) for task in records if isinstance(task, RecordTask)] == ["1.5", "2.0"]


def test_a_row_without_an_id_is_named_by_its_content(tmp_path: Path) -> None:
    """The same row has the same id wherever it stands."""
    rows = [{"url": "a"}, {"url": "b"}]
    one = [t.id for _, t, *_ in scan(Jsonl(str(write_table(tmp_path / "1.jsonl", rows)))).entries()]
    two = [t.id for _, t, *_ in scan(Jsonl(str(write_table(tmp_path / "2.jsonl", rows[::-1])))).entries()]
    assert one == two[::-1]


def test_weights_come_from_their_column(tmp_path: Path) -> None:
    """As numbers."""
    table = write_table(tmp_path / "t.csv", [{"id": "a", "cost": "7.5"}])
    assert [7.5] == [task.weight for _, task, *_ in scan(Csv(str(table), weight="cost")).entries()]


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_a_further_column_is_ignored_if_asked(tmp_path: Path, name: str) -> None:
    """One column more than the class has fields refused the whole table, and nothing said otherwise."""
    rows = [{**row, "licence": "cc", "crawl": 7} for row in ROWS]
    kind = {".jsonl": Jsonl, ".csv": Csv, ".parquet": Parquet}[Path(name).suffix]
    table = str(write_table(tmp_path / name, rows))
    with pytest.raises(ConfigError, match=r":\d+: Clip has no field 'crawl'; .*source.extra=ignore"):
        scan(kind(table, task=f"{__name__}.Clip"))
    found = [task for _, task, *_ in scan(kind(table, task=f"{__name__}.Clip", extra="ignore")).entries()]
    assert [(row["id"], row["url"], row["seconds"]) for row in ROWS] == [(t.id, t.url, t.seconds) for t in found]
    assert kind(table).identity() == kind(table, extra="ignore").identity()


BAD = [
    ("t.jsonl", '{"id": 1}\nnonsense\n', {}, "t.jsonl:2: not JSON"),
    ("t.jsonl", "[1]\n", {}, "t.jsonl:1: expected a JSON object"),
    ("t.jsonl", "", {}, "holds no row"),
    ("t.jsonl", '{"id": "a"}\n{"id": "a"}\n', {}, "two tasks have the id 'a'"),
    ("t.jsonl", '{"id": "a", "weight": "heavy"}\n', {}, "t.jsonl:1: not a RecordTask"),
    ("t.jsonl", '{"id": "a", "url": "x"}\n', {"task": f"{__name__}.Clip"}, "t.jsonl:1: not a Clip"),
    ("t.jsonl", '{"id": "a", "url": "x", "seconds": 1, "odd": 1}\n', {"task": f"{__name__}.Clip"}, "Clip has no field 'odd'"),
    ("t.jsonl", "{}\n", {"task": "no.such.Class"}, "source.task=no.such.Class"),
    ("t.csv", "id,url\na\n", {}, "t.csv:2: expected 2 columns"),
    ("t.csv", 'id,url\na,"b\nc,d\n', {}, "not CSV"),
    ("t.csv", "id,id\na,b\n", {}, "t.csv:1: two columns are called 'id'"),
    ("t.jsonl", "[" * 100_000 + "\n", {}, "t.jsonl:1: not JSON"),
    ("t.parquet", "no parquet", {}, "cannot be read as Parquet"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "options", "told"), BAD)
def test_a_bad_table_is_refused_with_file_and_line(
    tmp_path: Path, name: str, text: str, options: dict[str, str], told: str
) -> None:
    """One message that says where."""
    (tmp_path / name).write_text(text)
    kinds: dict[str, Any] = {"jsonl": Jsonl, "csv": Csv, "parquet": Parquet}
    with pytest.raises(ConfigError) as refused:
        scan(kinds[name.partition(".")[2]](str(tmp_path / name), **options))
    assert told in str(refused.value)


MEMBERS = {"video": ["mp4", "mkv"], "meta": ["info.json"], "audio": ["wav"]}


def test_files_are_joined_by_stem(tmp_path: Path) -> None:
    """In each folder by itself; the longest extension counts; an incomplete item is an error or is counted."""
    names = [
        b"a.mp4",
        b"a.info.json",
        b"a.WAV",
        b"a.k.mkv",
        b"a.k.info.json",
        b"a.k.wav",
        b"s/a.mp4",
        b"s/a.wav",
        b"note.txt",
    ]
    folder = str(make(tmp_path / "d", names))
    with pytest.raises(
        ConfigError, match=r"incomplete: 1 item: 's/a lacks meta'; complete them, or source.missing=skip"
    ):
        scan(Groups(folder, MEMBERS))
    found = scan(Groups(folder, MEMBERS, missing="skip"))
    files = [task.files for _, task, *_ in found.entries()]  # type: ignore[attr-defined]
    assert [sorted(os.path.basename(p) for p in one.values()) for one in files] == [
        ["a.WAV", "a.info.json", "a.mp4"],
        ["a.k.info.json", "a.k.mkv", "a.k.wav"],
    ]
    assert found.notes == ("1 incomplete items left out, e.g. 's/a lacks meta'",)


def test_triplets_are_exported_and_read_back(tmp_path: Path) -> None:
    """Groups, to JSONL, to the same groups; the exporter writes the same again as the same."""
    folder = make(
        tmp_path / "d", [stem + end for stem in (b"x y", b"\xff", b"s/[z]") for end in (b".mp4", b".wav", b".json")]
    )
    members = {"video": ["mp4"], "audio": ["wav"], "json": ["json"]}
    given_ = [task for _, task, *_ in scan(Groups(str(folder), members)).entries()]
    out = tmp_path / "out" / "triplets.jsonl"
    for k in range(2):
        trial = try_stage(ExportTriplets(str(out)), list(given_), tmp_path / f"trial{k}", batch_size=0)
        assert (3, []) == (len(trial.tasks), trial.failed)
    again = [task for _, task, *_ in scan(Triplets(str(out))).entries()]
    assert sorted(given_, key=lambda t: t.source) == again  # type: ignore[attr-defined]


def test_a_triplet_that_lacks_a_member_is_refused(tmp_path: Path) -> None:
    """With its line."""
    (tmp_path / "t.jsonl").write_text('{"video": "a.mp4", "json": "a.json"}\n{"video": "b.mp4"}\n')
    with pytest.raises(ConfigError, match=r"t.jsonl:2: expected a path each for video, json"):
        scan(Triplets(str(tmp_path / "t.jsonl")))


TRIPLETS = [
    ('{"video": "a", "weight": "heavy"}\n', "t.jsonl:1: weight='heavy': expected a number"),
    ('{"video": "a", "weight": true}\n', "expected a number"),
    ('{"weight": 1}\n', "expected a path each for its files"),
    ("", "holds no row"),
    ('{"video": "a"}\n{"video": "a"}\n', "t.jsonl:1 and "),
]


@pytest.mark.parametrize(("text", "told"), TRIPLETS)
def test_bad_triplets_are_refused(tmp_path: Path, text: str, told: str) -> None:
    """With file and line, both where two have one id."""
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(ConfigError) as refused:
        scan(Triplets(str(tmp_path / "t.jsonl")))
    assert told in str(refused.value)


def test_a_table_of_odd_values(tmp_path: Path) -> None:
    """Times, decimals and bytes of Parquet become what a record holds; a long CSV field is no error."""
    import datetime
    import decimal

    row = {
        "id": "a",
        "at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "cost": decimal.Decimal("1.50"),
        "raw": b"\xff",
    }
    found = [task for _, task, *_ in scan(Parquet(str(write_table(tmp_path / "t.parquet", [row])))).entries()]
    assert isinstance(found[0], RecordTask)
    assert {"at": "2026-01-02T00:00:00Z", "cost": "1.50", "raw": "/w=="}.items() <= found[0].data.items()
    long = write_table(tmp_path / "t.csv", [{"id": "a", "caption": "x" * 200_000}])
    assert 1 == scan(Csv(str(long))).count


def test_linked_folders_are_followed_and_links_that_lead_back_are_not(tmp_path: Path) -> None:
    """By groups as by files; a member that two files could be is told."""
    make(tmp_path / "elsewhere", [b"a.mp4", b"a.wav", b"b.mp4", b"b.mkv", b"b.wav"])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "d")
    found = scan(Groups(str(tmp_path / "d"), {"video": ["mp4", "mkv"], "audio": ["wav"]}, missing="skip"))
    assert ["linked/a"] == [task.source for _, task, *_ in found.entries()]  # type: ignore[attr-defined]
    assert found.notes == ("1 incomplete items left out, e.g. 'linked/b has more than one video'",)
    assert sources(Files(str(tmp_path / "d"))) == [f"linked/{n}" for n in ("a.mp4", "a.wav", "b.mkv", "b.mp4", "b.wav")]


@pytest.mark.parametrize("layout", ["beside", "folder"])
def test_records_lie_beside_the_input_or_in_a_folder_an_item(tmp_path: Path, layout: Any) -> None:
    """Under odd names, too; such an output then counts as done."""
    folder = make(tmp_path / "d", ODD)
    tasks = [task for _, task, *_ in scan(Files(str(folder))).entries()]
    trial = try_stage(WriteJson(str(tmp_path / "out"), layout), tasks, tmp_path / "trial")
    assert (len(ODD), []) == (len(trial.tasks), trial.failed)
    pattern = {"beside": "{relative}.json", "folder": "{parent}/{stem}/record.json"}[layout]
    rest = scan(Undone(Files(str(folder)), f"{tmp_path}/out/{pattern}"))
    assert (0, 1) == (rest.count, len(rest.notes))
    written = {codec(FileTask).decode(p.read_bytes()).source for p in (tmp_path / "out").rglob("*.json")}
    assert written == {os.fsdecode(name) for name in ODD}


def test_what_another_tool_has_done_is_left_out(tmp_path: Path) -> None:
    """By a pattern over the item; a pattern that names nothing is refused."""
    folder = make(tmp_path / "d", [b"s/a.mp4", b"s/b.mp4"])
    make(tmp_path / "captions", [b"s/a.mp4.json"])
    rest = scan(Undone(Files(str(folder)), f"{tmp_path}/captions/{{relative}}.json"))
    assert ["s/b.mp4"] == [task.source for _, task, *_ in rest.entries()]  # type: ignore[attr-defined]
    assert "already done: 1 item (" in rest.notes[0]
    with pytest.raises(ConfigError, match=r"done=.*expected one path with {relative}"):
        Undone(Files(str(folder)), "/x/{nothing}.json")


@given(ids=st.sets(st.text(), max_size=60), n=st.sampled_from([1, 2, 3, 7]), m=st.sampled_from([1, 2, 3, 7]))
def test_parts_cover_exactly(ids: set[str], n: int, m: int) -> None:
    """Nested ones, too: each item is in one and only one."""
    for id in ids:
        assert 1 == sum(in_part(id, ((i, n), (j, m))) for i in range(n) for j in range(m))
        assert 1 == sum(in_part(id, ((i, n),)) for i in range(n))


def test_parts_of_a_folder_cover_it(tmp_path: Path) -> None:
    """Through the source; a part keeps its items when others are added."""
    folder = str(make(tmp_path / "d", [b"%d.mp4" % k for k in range(40)]))
    before = [sources(Part(Files(folder), ((i, 3),))) for i in range(3)]
    assert sorted(name for part in before for name in part) == sources(Files(folder))
    make(tmp_path / "d", [b"new%d.mp4" % k for k in range(9)])
    after = [sources(Part(Files(folder), ((i, 3),))) for i in range(3)]
    assert all(set(b) <= set(a) for b, a in zip(before, after, strict=True))


@pytest.mark.parametrize("text", ["3/3", "1", "a/b", "-1/3", "1/0", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(ConfigError, match="expected i/n"):
        parse_part(text)


@given(weights=st.lists(st.floats(0.5, 2), min_size=70, max_size=200), n=st.sampled_from([1, 2, 3, 7]))
def test_a_cut_is_balanced_and_exact(weights: list[float], n: int) -> None:
    """Every line once, order kept, max/mean at most 1.1."""
    parts = cut(weights, n)
    assert sorted(i for part in parts for i in part) == list(range(len(weights)))
    assert all(part == sorted(part) for part in parts)
    loads = [sum(weights[i] for i in part) for part in parts]
    assert max(loads) / (sum(loads) / n) <= 1.1


def test_the_shard_tool_cuts_by_count_bytes_and_duration(shell: Shell) -> None:
    """JSONL, CSV with its header in each part, and a list of paths; other files are never overwritten."""
    rows = [{"path": f"{k}.bin", "duration_s": k + 1} for k in range(12)]
    for k in range(12):
        (shell.cwd / f"{k}.bin").write_bytes(b"x" * (100 * (k + 1)))
    write_table(shell.cwd / "m.jsonl", rows)
    write_table(shell.cwd / "m.csv", rows)
    (shell.cwd / "m.txt").write_text("".join(f"{k}.bin\n" for k in range(12)))
    for name, by in (("m.jsonl", "duration"), ("m.csv", "bytes"), ("m.txt", "bytes"), ("m.jsonl", "count")):
        told = shell.type("split-manifest", name, "3", "--by", by, "--output", f"parts-{by}").stdout
        assert float(told.splitlines()[-1].split()[-1]) <= 1.1
        stem, end = name.split(".")
        parts = [
            (shell.cwd / f"parts-{by}" / f"{stem}-{k:05d}-of-00003.{end}").read_text().splitlines() for k in range(3)
        ]
        heads = {part.pop(0) for part in parts} if end == "csv" else set()
        assert heads <= {"path,duration_s"}
        assert sorted(line for part in parts for line in part) == sorted(
            (shell.cwd / name).read_text().splitlines()[len(heads) :]
        )
    told = shell.type("split-manifest", "m.jsonl", "3", "--by", "path", "--output", "parts-count", status=2).stderr
    assert "m.jsonl:1: no path there" in told
    assert (
        "other content"
        in shell.type("split-manifest", "m.jsonl", "3", "--by", "duration", "--output", "parts-count", status=2).stderr
    )


def test_a_record_of_several_lines_stays_whole(shell: Shell) -> None:
    """A quoted newline cuts nothing; a quote that stays open is refused."""
    rows = [{"id": str(k), "caption": f'one,\n"two" {k}', "seconds": k + 1} for k in range(9)]
    write_table(shell.cwd / "m.csv", rows)
    for by in ("count", "seconds"):
        shell.type("split-manifest", "m.csv", "3", "--by", by, "--output", by)
        parts = [list(csv.DictReader(path.open(newline=""))) for path in sorted((shell.cwd / by).iterdir())]
        assert sorted(row["caption"] for part in parts for row in part) == [row["caption"] for row in rows]
    (shell.cwd / "m.csv").write_text('id,caption\na,b\nc,"d\ne,f\n')
    told = shell.type("split-manifest", "m.csv", "3", "--output", "x", status=2).stderr
    assert "m.csv:3: a quote opened here is never closed" in told


def records_pipeline(shell: Shell) -> None:
    """`+pipeline=records`: a JSON file for each of the input's."""
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "records.yaml").write_text(
        "# @package _global_\nname: records\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages:\n  write: {_target_: stages.files.WriteJson, output: '${output}'}\n"
    )


def test_what_is_done_has_not_vanished(shell: Shell) -> None:
    """The second run with `done=` leaves out what the first has made, and reports nothing missing."""
    make(shell.folder / "in", [b"%d.bin" % k for k in range(4)])
    records_pipeline(shell)
    out = shell.folder / "out"
    words = ["+pipeline=records", f"input={shell.folder / 'in'}", f"output={out}", f"done={out}/{{relative}}.json"]
    shell.inline(*words)
    (shell.folder / "in" / "0.bin").unlink()
    told = shell.inline(*words).stderr
    assert "already done: 3 items" in told
    assert "1 item no longer there" in told


def test_a_dry_run_and_explain_say_what_the_run_would_say_of_edits(shell: Shell) -> None:
    """They said nothing of what was changed or gone; and they write nothing."""
    folder = make(shell.folder / "in", [b"%d.bin" % k for k in range(4)])
    records_pipeline(shell)
    words = ["+pipeline=records", f"input={folder}", f"output={shell.folder / 'out'}"]
    shell.inline(*words)
    (folder / "0.bin").unlink()
    (folder / "1.bin").write_text("longer than before")
    words += ["changed=redo", "vanished=drop"]
    before = snapshot(shell.store / "stages")
    foretold = [line for line in shell.inline(*words, "dry_run=true").stdout.splitlines() if line.startswith("input")]
    explained = shell.type("explain", *words, "launcher=local", f"store={shell.store}").stdout.splitlines()
    assert {} == difference(before, snapshot(shell.store / "stages"))
    assert [
        "input: 3 tasks",
        "input: 1 item changed since they were taken in, e.g. '1.bin'; done again",
        "input: 1 item no longer there, e.g. '0.bin'; left out",
        "input: source shards of 4 tasks are done again because of them",
    ] == foretold
    assert foretold == explained[:4]
    assert foretold == [line for line in shell.inline(*words).stderr.splitlines() if line.startswith("input")]


def test_inputs_are_shaped_on_the_command_line(shell: Shell) -> None:
    """`part=`, `done=` and a source of another kind, through a whole run."""
    folder = make(shell.folder / "in put", [b"%d.bin" % k for k in range(9)])
    records_pipeline(shell)
    out = shell.folder / "out"
    words = ["+pipeline=records", f"input={folder}", f"output={out}"]
    counts = [len(list(out.rglob("*.json"))) for i in range(3) if shell.inline(*words, f"part={i}/3")]
    assert (counts[-1], sorted(set(counts))) == (9, counts)
    for path in sorted(out.rglob("*.json"))[:4]:
        path.unlink()
    told = shell.inline(*words, f"done={out}/{{relative}}.json", f"store={shell.folder / 'other'}").stderr
    assert "input: already done: 5 items" in told
    assert "input: 4 tasks" in told
    words[1] = f"input={folder.parent}"
    shell.inline(*words, "source._target_=hpcurate.source.Folders", status=2)
