"""Several folders, globs or lists as one input: named, each file once, and each with lists of its own."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from shell import Shell
from together import together

from hpcurate.cli.start.inputs import read_source
from hpcurate.cli.start.overrides import plain_of_path, split_list
from hpcurate.digest import digest
from hpcurate.errors import ConfigError
from hpcurate.source import FileList, Files, Groups, Jsonl, Part, Several, Source, Undone
from hpcurate.source.intake import Intake, foresee_all, take_in_all
from hpcurate.source.scan import scans
from hpcurate.source.several import check_apart, named_inputs, taken_alone
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.task import FileTask, Task
from hpcurate.world import World

WORLD = World()
FOLDER = "source-0123456789ab"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three folders with two files each, of the same names."""
    for name in "abc":
        make(tmp_path / name, "1.mp4", "s/2.mp4")
    return tmp_path


def make(folder: Path, *names: str) -> None:
    """A folder with these files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def several(data: Path, *names: str, **more: Any) -> Source:
    """These folders as one input, as a configuration has it."""
    return read_source({"_target_": "hpcurate.source.Files", "path": [str(data / name) for name in names], **more})


def called(source: Source, limit: int | None = None) -> list[str]:
    """What the tasks are called."""
    tasks = [entry.task for one in scans(source, limit) for entry in one.entries()]
    return [str(getattr(task, "source", task.id)) for task in tasks]


def take(tmp_path: Path, source: Source, limit: int | None = None) -> Intake:
    """Take in what is there now."""
    return take_in_all(WORLD, Store(str(tmp_path / "store")), FOLDER, scans(source, limit), limit)


def test_items_are_called_by_their_input_and_their_path(data: Path) -> None:
    """So the same path below two folders is two items; the order in which they are named makes no difference."""
    assert ["a/1.mp4", "a/s/2.mp4", "b/1.mp4", "b/s/2.mp4"] == called(several(data, "a", "b"))
    assert called(several(data, "a", "b")) == called(several(data, "b", "a"))
    ids = {entry.task.id for one in scans(several(data, "a", "b")) for entry in one.entries()}
    assert 4 == len(ids)


def test_one_path_is_the_source_that_it_always_was(data: Path) -> None:
    """Its identity is in the fingerprints of all that was ever done."""
    path = str(data / "a")
    source = read_source({"_target_": "hpcurate.source.Files", "path": path})
    assert ({"files": path, "extensions": []}, Files(path)) == (source.identity(), source)
    assert ["1.mp4", "s/2.mp4"] == called(source)


def test_which_folders_there_are_is_no_part_of_the_identity(data: Path) -> None:
    """But what they are read with is."""
    assert several(data, "a", "b").identity() == several(data, "c").identity()
    assert several(data, "a").identity() != several(data, "a", extensions=["mp4"]).identity()


def test_another_folder_adds_its_own_items_alone(data: Path, tmp_path: Path) -> None:
    """What the others have stays as it was, in lists of theirs; and a run has just those of its inputs."""
    both = take(tmp_path, several(data, "a", "b"))
    assert (4, 4, 2) == (both.tasks, both.new, len(both.lists))
    three = take(tmp_path, several(data, "c", "b", "a"))
    assert (6, 2, both.lists) == (three.tasks, three.new, tuple(n for n in three.lists if n in both.lists))
    again = take(tmp_path, several(data, "b", "a"))
    assert (both.lists, 4, 0, ()) == (again.lists, again.tasks, again.new, again.vanished)
    other = take(tmp_path, several(data, "c"))
    assert (2, 0, 1) == (other.tasks, other.new, len(other.lists))


def test_the_lists_are_listed_once_however_many_inputs_there_are(data: Path, tmp_path: Path) -> None:
    """A range may stand for thousands (I12)."""
    listings = Listings()
    store, world = Store(str(tmp_path / "store")), World(filesystem=listings)
    for names, new in ((["a", "b"], 4), (["a", "b", "c"], 2)):
        found = scans(several(data, *names))
        listings.of.clear()
        assert new == take_in_all(world, store, FOLDER, found).new
        assert 1 == listings.of.count(store.stage(FOLDER).lists)


class Listings(PosixFilesystem):
    """Remembers what was listed."""

    def __init__(self) -> None:
        self.of: list[str] = []

    def names(self, path: str) -> list[str]:
        """See `Filesystem`."""
        self.of.append(path)
        return super().names(path)


def test_new_files_and_those_that_are_gone_are_noticed_in_each(data: Path, tmp_path: Path) -> None:
    """As of one folder."""
    take(tmp_path, several(data, "a", "b"))
    make(data / "a", "3.mp4")
    (data / "b" / "1.mp4").unlink()
    now = take(tmp_path, several(data, "a", "b"))
    assert (5, 1, ("b/1.mp4",)) == (now.tasks, now.new, now.vanished)
    seen = foresee_all(WORLD, Store(str(tmp_path / "store")), FOLDER, scans(several(data, "a", "b")), None, now_edits())
    assert (5, 0, ("b/1.mp4",)) == (seen.tasks, seen.new, seen.vanished)


def now_edits() -> Any:
    """Nothing that anybody asked for."""
    from hpcurate.source.intake import Edits

    return Edits()


@pytest.mark.parametrize(("limit", "lists", "tasks"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (4, 2, 4), (9, 2, 4)])
def test_a_limit_takes_the_first_of_all(data: Path, tmp_path: Path, limit: int, lists: int, tasks: int) -> None:
    """Folders that it does not reach have no lists; the full run adds the rest."""
    trial = take(tmp_path, several(data, "a", "b"), limit)
    assert (lists, tasks) == (len(trial.lists), trial.tasks)
    assert called(several(data, "a", "b"), limit) == called(several(data, "a", "b"))[:limit]
    full = take(tmp_path, several(data, "a", "b"))
    assert (4, 4 - tasks, ()) == (full.tasks, full.new, full.vanished)


def test_a_trial_after_the_full_run_has_just_the_first(data: Path, tmp_path: Path) -> None:
    """The first folder whole, and a list of its own for the rest."""
    full = take(tmp_path, several(data, "a", "b"))
    trial = take(tmp_path, several(data, "a", "b"), 3)
    assert (3, full.lists[0], True) == (trial.tasks, trial.lists[0], trial.lists[1].startswith("first1."))


def test_what_is_gone_counts_in_a_limit_as_in_one_folder(data: Path, tmp_path: Path) -> None:
    """It has its place in the lists: the folders after it get what is left, and nothing where nothing is."""
    source = several(data, "a", "b", "c")
    take(tmp_path, source)
    (data / "a" / "1.mp4").unlink()
    for limit, lists in ((2, 1), (3, 2), (4, 2), (5, 3)):
        seen = foresee_all(WORLD, Store(str(tmp_path / "store")), FOLDER, scans(source, limit), limit, now_edits())
        trial = take(tmp_path, source, limit)
        assert (limit, limit, lists) == (trial.tasks, seen.tasks, len(trial.lists))


def test_a_folder_of_which_all_is_done_keeps_what_was_taken_in(data: Path, tmp_path: Path) -> None:
    """Its lists are the run's, although the scan has nothing of it."""
    full = take(tmp_path, several(data, "a", "b"))
    make(data / "done" / "a", "1.mp4", "s/2.mp4")
    source = Part(Undone(several(data, "a", "b"), f"{data}/done/{{relative}}"), ((0, 1),))
    now = take(tmp_path, source)
    assert (full.lists, 4, ()) == (now.lists, now.tasks, now.vanished)
    assert ["already done: 2 items " + f"({data}/done/{{relative}})"] == [n for one in scans(source) for n in one.notes]


def test_links_to_one_folder_and_folders_within_another_are_refused(data: Path) -> None:
    """Naming both."""
    (data / "link").symlink_to(data / "a")
    with pytest.raises(ConfigError, match=r"a and .*link are the same; name each file once"):
        several(data, "a", "link")
    with pytest.raises(ConfigError, match=r"a and .*a/s overlap"):
        several(data, "a/s", "a", "b")
    check_apart({"a": "/data/a", "b": "/data/a-b", "c": "/data/ab"})


def test_two_folders_of_one_name_are_refused_until_they_have_names(data: Path) -> None:
    """The message has what to type."""
    make(data / "b" / "a", "3.mp4")
    with pytest.raises(ConfigError, match=r"are both called 'a'; give them names, input=\{one: .*a, two: .*b/a\}"):
        several(data, "a", "b/a")
    named = {"x": str(data / "a"), "y": str(data / "b" / "a")}
    source = read_source({"_target_": "hpcurate.source.Files", "path": named})
    assert ["x/1.mp4", "x/s/2.mp4", "y/3.mp4"] == called(source)


def test_a_file_that_two_globs_or_lists_have_is_refused(data: Path) -> None:
    """By its name, and those of both."""
    with pytest.raises(ConfigError, match=r"a/1.mp4' is in 'x' and in 'y'; name each file once"):
        scans(Several({"x": Files(f"{data}/a/*"), "y": Files(f"{data}/*/1.mp4")}))
    (data / "one.txt").write_text("a/1.mp4\nb/1.mp4\n")
    (data / "two.txt").write_text("c/1.mp4\nb/1.mp4\n")
    with pytest.raises(ConfigError, match=r"b/1.mp4' is in 'one' and in 'two'"):
        scans(Several({name: FileList(f"{data}/{name}.txt") for name in ("one", "two")}))


def test_rows_of_several_tables_keep_their_ids(tmp_path: Path) -> None:
    """Two of one id are refused, with where both stand."""
    for name, first in (("one", 0), ("two", 2), ("three", 3)):
        rows = [json.dumps({"id": str(n), "text": name}) + "\n" for n in range(first, first + 2)]
        (tmp_path / f"{name}.jsonl").write_text("".join(rows))
    tables = {name: Jsonl(str(tmp_path / f"{name}.jsonl")) for name in ("one", "two", "three")}
    assert ["0", "1", "2", "3"] == called(Several({name: tables[name] for name in ("one", "two")}))
    with pytest.raises(ConfigError, match=r"two tasks have the id '3': .*three.jsonl:1 and .*two.jsonl:2"):
        scans(Several(tables))


def test_groups_of_several_folders(data: Path) -> None:
    """Each joined within its folder."""
    make(data / "a", "1.json")
    make(data / "b", "1.json")
    options = {"members": {"video": ["mp4"], "meta": ["json"]}, "missing": "skip"}
    source = read_source({"_target_": "hpcurate.source.Groups", "path": [str(data / "a"), str(data / "b")], **options})
    assert ["a/1", "b/1"] == called(source)
    assert isinstance(source, Several)
    assert isinstance(source.sources["a"], Groups)
    assert ["a: 1 incomplete items left out, e.g. 's/2 lacks meta'"] == list(scans(source)[0].notes)[:1]


NUMBERED = [
    ("/data/{08..10}", {"08": "/data/08", "09": "/data/09", "10": "/data/10"}),
    ("/data/s-{0..1}.d/v", {"s-0.d": "/data/s-0.d/v", "s-1.d": "/data/s-1.d/v"}),
    (["/data/{0000..0001}", "/data/0007"], {f"000{n}": f"/data/000{n}" for n in (0, 1, 7)}),
    (["/x/a", "/y/*/c.mp4", "s3://bucket/b/"], {"a": "/x/a", "y": "/y/*/c.mp4", "b": "s3://bucket/b/"}),
    ({"v": "/x/a", "w": "/y/a"}, {"v": "/x/a", "w": "/y/a"}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "named"), NUMBERED)
def test_names_of_inputs(given: Any, named: dict[str, str]) -> None:
    """Of folders that are numbered, of lists, of mappings."""
    assert named == named_inputs(given)


@pytest.mark.parametrize(
    "given", ["/d/{3..1}", "/d/{0..99999}", "/d/{0..1}/{0..1}", ["/"], [".."[:0]], [], {"a/b": "/x"}]
)
def test_inputs_without_a_name_are_refused(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ranges that are none."""
    monkeypatch.chdir("/")
    with pytest.raises(ConfigError, match="input"):
        named_inputs(given)


def test_a_numbered_folder_that_is_not_there_is_named(data: Path) -> None:
    """The union of those that are there is the input."""
    for number in ("0000", "0001", "0003"):
        make(data / number, "x.mp4")
    options = {"_target_": "hpcurate.source.Files"}
    with pytest.raises(ConfigError, match="0002: no such folder"):
        scans(read_source({**options, "path": f"{data}/{{0000..0003}}"}))
    union = read_source({**options, "path": [f"{data}/{{0000..0001}}", f"{data}/0003"]})
    assert ["0000/x.mp4", "0001/x.mp4", "0003/x.mp4"] == called(union)


TYPED = [
    ("/a", "/a"), ("[/a,/b]", ["/a", "/b"]), ("[ /a , '/b,c' ]", ["/a", "/b,c"]), ("[]", []), ("[ab]*", "[ab]*"),
    ("{a: /x/v,b:/y/v}", {"a": "/x/v", "b": "/y/v"}), ("{0..3}", "{0..3}"), ("[/d/{0..3},/x]", ["/d/{0..3}", "/x"]),
    ("[/a{b,/c}d,/e{]", ["/a{b,/c}d", "/e{"]), ("[/a}b]", ["/a}b"]), ("[/it's,/b's]", ["/it's", "/b's"]),
    ("{a: '/x,b', \"c,d\": /y:z}", {"a": "/x,b", "c,d": "/y:z"}), ("{a: , b: /x}", "{a: , b: /x}"),
    ("{${a}: /x/${b}}", {"${a}": r"/x/\${b}"}),
    ("[\udcff/a,b c]", ["\udcff/a", "b c"]), ("[/a/${x}]", [r"/a/\${x}"]), ("[s3://b/x,/y]", ["s3://b/x", "/y"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), TYPED)
def test_several_inputs_on_a_command_line(text: str, value: Any) -> None:
    """Any bytes; quotes for what has a comma."""
    assert value == plain_of_path("input", text)


def test_two_inputs_of_one_typed_name_are_refused() -> None:
    """The first was lost."""
    with pytest.raises(ConfigError, match="two have one name"):
        plain_of_path("input", "{a: /x, a: /y}")


@pytest.mark.parametrize("given", [[1, "/x"], [None], [["/x"]], [""], {"a": ""}, {"a": 1}])
def test_what_is_no_path_is_named(given: Any) -> None:
    """As YAML may have it."""
    with pytest.raises(ConfigError, match=r"no path|expected a path"):
        named_inputs(given)


@pytest.mark.parametrize("given", [[Files("/a")], {"a/b": Files("/a")}, {1: Files("/a")}, {"a": "/a"}, {}])
def test_what_python_gives_by_mistake_is_named(given: Any) -> None:
    """Not by a traceback of ours; nor is a list of paths where there is one."""
    with pytest.raises(ConfigError, match=r"source: |input"):
        Several(given)
    with pytest.raises(ConfigError, match=r"no path; several are hpcurate.source.Several"):
        scans(Files(["/a", "/b"]))  # type: ignore[arg-type]


def test_folders_that_are_called_like_globs_are_folders(data: Path) -> None:
    """One within the other would have its files twice."""
    make(data / "[x]" / "sub", "1.mp4")
    with pytest.raises(ConfigError, match=r"\[x\] and .*\[x\]/sub overlap"):
        several(data, "[x]", "[x]/sub")


@attrs.define(frozen=True)
class OfMany:
    """A user's own source, from before there were several inputs."""

    path: list[str] | str
    task_type = FileTask

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"mine": self.path}


def test_own_sources_take_lists_as_they_did() -> None:
    """Their identity is in fingerprints."""
    for path in (["/a", "/b"], "/a/{0..3}.tar"):
        entry = {"_target_": f"{__name__}.OfMany", "path": path}
        assert {"mine": path} == read_source(entry).identity()


@attrs.define(frozen=True)
class Backwards:
    """A user's own order."""

    source: Source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def tasks(self) -> Iterator[Task]:
        """The last first."""
        return reversed(list(self.source.tasks()))


def test_another_order_of_several_inputs_is_refused(data: Path) -> None:
    """Their lists would have tasks of others."""
    with pytest.raises(ConfigError, match="Backwards changes the order of several inputs"):
        scans(Backwards(several(data, "a", "b")))


def test_clips_of_one_file_may_be_in_two_tables(tmp_path: Path) -> None:
    """They have ids of their own; and what two lists had once is no matter when they are read again."""
    for name in ("one", "two"):
        row = {"id": name, "source": "x", "path": "/x.mp4", "size": 1, "mtime_ns": 1, "start": 0}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
        (tmp_path / f"{name}.mp4").touch()
        (tmp_path / f"{name}.txt").write_text(f"{name}.mp4\n")
    clips = Several({name: Jsonl(str(tmp_path / f"{name}.jsonl"), task=f"{__name__}.Cut") for name in ("one", "two")})
    assert ["one/x", "two/x"] == called(clips)
    lists = Several({name: FileList(str(tmp_path / f"{name}.txt")) for name in ("one", "two")})
    assert ["one/one.mp4", "two/two.mp4"] == called(lists)
    (tmp_path / "one.txt").write_text("two.mp4\n")
    (tmp_path / "two.txt").write_text("one.mp4\n")
    assert ["one/two.mp4", "two/one.mp4"] == called(lists)


@attrs.define(kw_only=True)
class Cut(FileTask):
    """A stretch of a file."""

    start: float


def test_a_file_that_is_called_like_a_list_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And other keys have one path."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("[a,b]")
    assert ("[a,b]", "[a,c]") == (plain_of_path("input", "[a,b]"), plain_of_path("store", "[a,c]"))
    assert ["a", "b'c"] == split_list("a, b'c,")


def _take_some(number: int, data: Path) -> tuple[int, tuple[str, ...]]:
    names = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "b", "c")][number % 4]
    found = take(data, several(data, *names))
    return found.tasks, found.lists


def test_many_at_once_over_different_inputs_share_the_lists_of_each(data: Path) -> None:
    """Whoever writes the list of an input first, it is that of all."""
    found = together(_take_some, data)
    lists = {name: several(data, name).lists[name] for name in "abc"}  # type: ignore[attr-defined]
    assert [(4, (f"{lists['a']}_0001", f"{lists['b']}_0001"))] * 2 == [found[0], found[4]]
    assert (6, tuple(f"{lists[name]}_0001" for name in "abc")) == found[3]
    names = WORLD.stage(Store(str(data / "store")), FOLDER).lists.names()
    assert sorted(f"{one}_0001" for one in lists.values()) == names


class Full(PosixFilesystem):
    """A disk that is full from the n-th list on."""

    def __init__(self, lists: int) -> None:
        self.lists = lists

    def create(self, path: str, data: bytes) -> bool:
        """Of a list, only the first so many."""
        if f"{os.sep}lists{os.sep}" in path:
            self.lists -= 1
            if self.lists < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return super().create(path, data)


@pytest.mark.parametrize("lists", [0, 1, 2])
def test_a_disk_that_fills_up_between_two_inputs_leaves_whole_lists(data: Path, lists: int) -> None:
    """The next call takes in the rest; nothing is there twice."""
    source, store = several(data, "a", "b", "c"), Store(str(data / "store"))
    with pytest.raises(OSError, match="No space left"):
        take_in_all(World(filesystem=Full(lists)), store, FOLDER, scans(source))
    assert lists == len(WORLD.stage(store, FOLDER).lists.names())
    now = take(data, source)
    assert (6, 6 - 2 * lists, 3) == (now.tasks, now.new, len(now.lists))


def test_a_folder_that_was_taken_in_by_itself_is_named(data: Path, shell: Shell) -> None:
    """Its items are called otherwise as one of several: all of them are done, and that is said before, once."""
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "records.yaml").write_text(
        "# @package _global_\nname: records\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages:\n  write: {_target_: stages.files.WriteJson, output: '${output}'}\n"
    )
    words = ["+pipeline=records", f"output={shell.folder / 'out'}"]
    shell.inline(*words, f"input={data}/a", "limit=1")
    both = several(data, "a", "b")
    line = f"input: {data}/a: was taken in by itself before; as one of several inputs its items have other names, `a/…`"
    assert line in shell.inline(*words, f"input=[{data}/a,{data}/b]", "dry_run=true").stdout
    stages = os.listdir(shell.store / "stages")
    assert [[], [], 1] == [
        taken_alone(several(data, "b"), lambda: stages),
        taken_alone(both, lambda: [*stages, f"source-{digest({'source': both.identity()})[:12]}"]),
        len(taken_alone(both, lambda: stages)),
    ]
