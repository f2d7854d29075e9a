"""Items that are left out: by globs as in .gitignore, by files of names, before and after they were taken in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from together import together

from hpcurate import FileTask
from hpcurate.errors import ConfigError
from hpcurate.source import Exclude, Files, Groups, Jsonl, Part, Several, Source, Undone
from hpcurate.source.compare import KEEP
from hpcurate.source.intake import Intake, foresee, take_in, take_in_all
from hpcurate.source.names import Calls, Pattern, names_of, wanted
from hpcurate.source.scan import scan, scans
from hpcurate.source.taken import Taken
from hpcurate.store.layout import Store
from hpcurate.world import World

WORLD = World()
FOLDER = "source-0123456789ab"
NAMES = ["a.mp4", "a.tmp.mp4", "drafts/b.mp4", "x/drafts/c.mp4", "x/y.bak/d.mp4", "new\nline.mp4", "\udcff.mp4"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with all these."""
    for name in NAMES:
        path = os.path.join(os.fsencode(tmp_path / "data"), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"x")
    return tmp_path / "data"


def left(source: Source) -> list[str]:
    """What the tasks are called."""
    return [str(getattr(e.task, "source", e.task.id)) for one in scans(source) for e in one.entries()]


GLOBS = [
    ("*.tmp.mp4", ["a.tmp.mp4"]),
    ("drafts", ["drafts/b.mp4", "x/drafts/c.mp4"]),
    ("drafts/", ["drafts/b.mp4", "x/drafts/c.mp4"]),
    ("drafts/**", ["drafts/b.mp4"]),
    ("./drafts/**", ["drafts/b.mp4"]),
    ("**/drafts/*", ["drafts/b.mp4", "x/drafts/c.mp4"]),
    ("x/*", ["x/drafts/c.mp4", "x/y.bak/d.mp4"]),
    ("x/*.mp4", []),
    ("x/**/?.mp4", ["x/drafts/c.mp4", "x/y.bak/d.mp4"]),
    ("*.bak/", ["x/y.bak/d.mp4"]),
    ("[ad].mp4", ["a.mp4", "x/y.bak/d.mp4"]),
    ("[!a].mp4", ["drafts/b.mp4", "x/drafts/c.mp4", "x/y.bak/d.mp4", "\udcff.mp4"]),
    ("[^a].mp4", ["drafts/b.mp4", "x/drafts/c.mp4", "x/y.bak/d.mp4", "\udcff.mp4"]),
    ("a.mp4/", []),
    ("A.mp4", []),
    ("new*", ["new\nline.mp4"]),
    ("**", NAMES),
    ("a?mp4", ["a.mp4"]),
    ("[]", []),
    ("[]a].mp4", ["a.mp4"]),
    ("a.mp4|drafts", []),
]  # fmt: skip


@pytest.mark.parametrize(("glob", "excluded"), GLOBS)
def test_globs(glob: str, excluded: list[str]) -> None:
    """As git reads them; a folder that matches is left out with all that is in it."""
    pattern = Pattern(glob)
    found = [name for name in NAMES if pattern.has(Calls("id", (name,), (f"/drafts/{name}",)))]
    assert (excluded, not excluded) == (found, bool(pattern.unused()))


def test_an_absolute_glob_is_compared_with_absolute_paths_alone() -> None:
    """And any other one never with these, nor with the id of an item that has a path."""
    item = Calls("drafts", ("a.mp4",), ("/data/drafts/a.mp4",))
    assert [True, True, False, False] == [
        Pattern(text).has(item) for text in ("/data/*/a.mp4", "/data", "drafts", "/a.mp4")
    ]
    assert Pattern("row-*").has(Calls("row-1", (), ()))
    assert Pattern("s3://b/*.mp4").has(Calls("i", ("x.mp4",), ("s3://b/x.mp4",)))


@pytest.mark.parametrize("text", ["", "/", "..", "[z-a]"])
def test_globs_that_are_none_are_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(ConfigError, match=r"expected a glob .*drafts/\*\*"):
        Pattern(text)


def test_what_is_left_and_what_is_said(data: Path) -> None:
    """How many, and which pattern matched nothing."""
    (data.parent / "bad.txt").write_text("x")
    typo = str(data.parent / "bad.txt")
    source = Exclude(Files(str(data)), ("*.tmp.mp4", "drafts", "*.mkv", typo))
    assert ["a.mp4", "new\nline.mp4", "x/y.bak/d.mp4", "\udcff.mp4"] == left(source)
    assert [
        f"excluded: 3 items (*.tmp.mp4, drafts, *.mkv, {typo})",
        "exclude: *.mkv matches nothing",
        f"exclude: {typo} matches nothing; exclude=@{typo} reads the names in that file",
    ] == list(scan(source).notes)
    assert Files(str(data)).identity() == source.identity()


def test_a_source_of_which_nothing_is_left_is_refused(data: Path) -> None:
    """A slip, most likely; a part of which nothing is left is none."""
    with pytest.raises(ConfigError, match=r"exclude=\*: leaves nothing of 7 items"):
        scan(Exclude(Files(str(data)), ("*",)))
    counts = [scan(Part(Exclude(Files(str(data)), ("[!a]*",)), ((n, 2),))).count for n in range(2)]
    assert 2 == sum(counts)


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_a_file_of_names(data: Path, separator: bytes) -> None:
    """Relative and absolute paths, ids, any bytes; names that are no item's are counted."""
    (id_,) = [e.task.id for e in scan(Files(str(data))).entries() if e.name == "a.tmp.mp4"]
    lines = [b"./a.mp4", os.fsencode(data / "drafts" / "b.mp4"), id_.encode(), b"\xff.mp4", b"nobody", b""]
    (data.parent / "bad.txt").write_bytes(separator.join(lines))
    source = Exclude(Files(str(data)), (f"@{data.parent}/bad.txt",))
    assert ["new\nline.mp4", "x/drafts/c.mp4", "x/y.bak/d.mp4"] == left(source)
    assert f"exclude: @{data.parent}/bad.txt: 1 of 5 names are no item's, e.g. 'nobody'" == scan(source).notes[1]


def test_a_file_of_names_as_json_lines(data: Path) -> None:
    """Texts, or objects with an id, a source or a path: rows of a manifest."""
    rows: list[Any] = ["a.mp4", {"source": "drafts/b.mp4", "why": "dark"}, {"path": str(data / "x/drafts/c.mp4")}]
    (data.parent / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert ["a.tmp.mp4", "new\nline.mp4", "x/y.bak/d.mp4", "\udcff.mp4"] == left(
        Exclude(Files(str(data)), (f"@{data.parent}/bad.jsonl",))
    )


BAD = [
    (b"{}\n", "bad.jsonl:1: expected a text"),
    (b"\n[1]", "bad.jsonl:2: expected"),
    (b"a.mp4", "bad.jsonl:1: not JSON"),
]


@pytest.mark.parametrize(("text", "told"), [*BAD, (b'{"id": 1}', "bad.jsonl:1"), (b"[" * 100_000, "not JSON")])
def test_bad_files_of_names_are_refused(text: bytes, told: str) -> None:
    """With their line."""
    with pytest.raises(ConfigError) as refused:
        names_of(text, "bad.jsonl", json_lines=True)
    assert told in str(refused.value)


def test_files_of_names_that_are_empty_or_not_there_are_refused(tmp_path: Path) -> None:
    """They would leave out nothing."""
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(ConfigError, match=r"exclude=@.*empty.txt: names nothing"):
        wanted(f"@{tmp_path}/empty.txt", "exclude")
    with pytest.raises(ConfigError, match=r"exclude=@.*no.txt: cannot be read: No such file"):
        wanted(f"@{tmp_path}/no.txt", "exclude")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        wanted(f"@{tmp_path}", "exclude")


def test_an_item_of_several_files_is_left_out_by_any_of_them(tmp_path: Path) -> None:
    """Or by its stem."""
    for name in ("a.mp4", "a.json", "s/b.mp4", "s/b.json", "c.mp4", "c.json"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text("x")
    groups = Groups(str(tmp_path / "d"), {"video": ["mp4"], "meta": ["json"]})
    assert ["c"] == left(Exclude(groups, ("a", "s/b.mp4")))


def test_items_of_several_inputs_with_and_without_the_name_of_theirs(data: Path) -> None:
    """`drafts/**` is that folder of each input, `data/drafts/**` that of one."""
    other = data.parent / "other"
    (other / "drafts").mkdir(parents=True)
    (other / "drafts" / "b.mp4").write_text("x")
    (other / "z.mp4").write_text("x")
    both = Several({"data": Files(str(data)), "other": Files(str(other))})
    assert ["other/z.mp4"] == [name for name in left(Exclude(both, ("drafts/**",))) if name.startswith("other")]
    assert ["other/drafts/b.mp4", "other/z.mp4"] == left(Exclude(both, ("data/**",)))


def test_rows_are_left_out_by_id(tmp_path: Path) -> None:
    """They have no path."""
    (tmp_path / "t.jsonl").write_text("".join(f'{{"id": "row-{n}"}}\n' for n in range(4)))
    assert ["row-0", "row-3"] == left(Exclude(Jsonl(str(tmp_path / "t.jsonl")), ("row-[12]",)))


# -- items that were taken in before ------------------------------------------------------------------


def take(data: Path, source: Source) -> Intake:
    """Take in what there is."""
    return take_in_all(WORLD, Store(str(data.parent / "store")), FOLDER, scans(source))


def test_what_was_taken_in_is_left_out_from_now_on(data: Path) -> None:
    """Without any other key, as a dry run foresees; the next call finds nothing to do, one without it takes it back."""
    files, fewer = Files(str(data)), Exclude(Files(str(data)), ("drafts",))
    assert 7 == take(data, files).tasks
    store = Store(str(data.parent / "store"))
    seen = foresee(WORLD, store, FOLDER, scan(fewer), None, KEEP)
    now = take(data, fewer)
    for one in (seen, now):
        assert (5, ("drafts/b.mp4", "x/drafts/c.mp4"), (), 7) == (one.tasks, one.excluded, one.vanished, one.again)
    assert "2 items excluded that had been taken in, e.g. 'drafts/b.mp4'; left out" in " ".join(now.lines(KEEP))
    again = take(data, fewer)
    assert (now.lists, 5, (), 0) == (again.lists, again.tasks, again.excluded, again.again)
    back = take(data, files)
    assert (7, 2, now.lists[0]) == (back.tasks, back.new, back.lists[0])
    assert (now.lists, 5) == (take(data, fewer).lists[:1], take(data, fewer).tasks)


def test_an_excluded_item_that_is_gone_from_disk_is_left_out_and_no_other(data: Path) -> None:
    """It was deleted and named in a file of names: its results go, too. Of another that vanished they stay."""
    take(data, Files(str(data)))
    (data / "a.mp4").unlink()
    (data / "a.tmp.mp4").unlink()
    now = take(data, Exclude(Files(str(data)), ("a.mp4", "drafts")))
    assert (("a.tmp.mp4",), 4) == (now.vanished, now.tasks)
    assert ("a.mp4", "drafts/b.mp4", "x/drafts/c.mp4") == now.excluded


def test_an_item_that_is_done_has_not_vanished_and_one_that_is_excluded_is_not_done(data: Path) -> None:
    """`done=` leaves what was taken in; `exclude=` does not."""
    take(data, Files(str(data)))
    done = Undone(Exclude(Files(str(data)), ("drafts",)), f"{data}/{{relative}}")
    now = take_in(WORLD, Store(str(data.parent / "store")), FOLDER, scan(done))
    assert (5, (), 2) == (now.tasks, now.vanished, len(now.excluded))


def test_a_trial_leaves_out_what_is_excluded(data: Path) -> None:
    """Of what was taken in, and of what it takes in itself."""
    store = Store(str(data.parent / "store"))
    trial = take_in(WORLD, store, FOLDER, scan(Files(str(data)), 3), 3)
    assert ("0001",) == trial.lists
    fewer = Exclude(Files(str(data)), ("a.mp4",))
    now = take_in(WORLD, store, FOLDER, scan(fewer, 3), 3)
    assert (3, ("a.mp4",)) == (now.tasks, now.excluded)
    assert ["a.tmp.mp4", "drafts/b.mp4", "new\nline.mp4"] == sorted(taken_in(store, now))
    less = take_in(WORLD, store, FOLDER, scan(Exclude(Files(str(data)), ("a.*",)), 1), 1)
    assert ["drafts/b.mp4"] == taken_in(store, less)


def taken_in(store: Store, intake: Intake) -> list[str]:
    """What the items of these lists are called."""
    taken = Taken(WORLD.stage(store, FOLDER), FileTask)
    return [entry.name for _, entries in taken.shards(intake.lists) for entry in entries]


def _exclude(number: int, data: Path) -> tuple[str, ...]:
    return take(data, Exclude(Files(str(data)), ("drafts",))).lists


def test_excluded_by_many_at_once_it_is_one_version(data: Path) -> None:
    """As with other edits."""
    take(data, Files(str(data)))
    assert [("0001+1",)] * 8 == together(_exclude, data)


@pytest.mark.parametrize("given", [3, [3], ["a", None], {"a": "b"}])
def test_what_is_no_text_is_named(given: Any, data: Path) -> None:
    """As Python may give it."""
    with pytest.raises(ConfigError, match=r"exclude: .*expected a glob"):
        Exclude(Files(str(data)), given)
