"""Sources: the same data give the same tasks in the same order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from unit_stages import Number, Other, numbers

from hpcurate.errors import ConfigError
from hpcurate.source import Files, Items, Once
from hpcurate.source.scan import scan


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files of several kinds, made in an order that is not theirs."""
    for name in (
        "z.mp4",
        "b/y.MKV",
        "a.mp4",
        "b/a.mp4",
        "b/c/deep.Mp4",
        "notes.txt",
        ".hidden.mp4",
        ".cache/x.mp4",
        "B.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def found(path: Path | str, *extensions: str) -> list[str]:
    """Relative names, in order."""
    return [task.source for task in Files(str(path), extensions).tasks()]


def test_a_folder_is_searched_to_the_bottom_and_sorted(data: Path) -> None:
    """By relative path, whatever order the folder lists; hidden files and folders left out."""
    assert ["B.mp4", "a.mp4", "b/a.mp4", "b/c/deep.Mp4", "b/y.MKV", "notes.txt", "z.mp4"] == found(data)


def test_the_listing_order_does_not_matter(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another filesystem lists backwards."""
    before, scandir = found(data), os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self._entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self) -> Backwards:
            return self

        def __exit__(self, *exc: object) -> None: ...

        def __next__(self) -> os.DirEntry[str]:
            return next(self._entries)

        def __iter__(self) -> Backwards:
            return self

    monkeypatch.setattr(os, "scandir", Backwards)
    assert before == found(data)


@pytest.mark.parametrize("extensions", [("mp4", "mkv"), (".MP4", "Mkv")])
def test_extensions_ignore_case_and_dot(data: Path, extensions: tuple[str, ...]) -> None:
    """Cameras write them as they like."""
    assert ["B.mp4", "a.mp4", "b/a.mp4", "b/c/deep.Mp4", "b/y.MKV", "z.mp4"] == found(data, *extensions)


def test_an_extension_is_not_just_an_ending(data: Path) -> None:
    """A dot belongs to it."""
    (data / "notmp4").write_text("")
    assert "notmp4" not in found(data, "mp4")


def test_a_glob_names_files_from_its_fixed_part(data: Path) -> None:
    """`**` goes to the bottom."""
    assert ["a.mp4", "c/deep.Mp4", "y.MKV"] == found(f"{data}/b/**/*.*")


def test_a_glob_takes_each_file_once(data: Path) -> None:
    """Python's own finds some twice."""
    assert ["b/a.mp4", "b/c/deep.Mp4", "b/y.MKV"] == [n for n in found(f"{data}/**/**/*.*") if n.startswith("b/")]


def test_a_single_file_is_a_source(data: Path) -> None:
    """Named by its own name."""
    assert ["a.mp4"] == found(data / "a.mp4")


def test_a_folder_with_magic_characters_is_a_folder(tmp_path: Path) -> None:
    """`[2024]` is a name before it is a pattern."""
    (tmp_path / "[2024]*").mkdir()
    (tmp_path / "[2024]*" / "a.mp4").write_text("")
    assert ["a.mp4"] == found(tmp_path / "[2024]*")


def test_undecodable_names_are_names(tmp_path: Path) -> None:
    """Any bytes but / and NUL."""
    with open(os.fsencode(tmp_path) + b"/\xff\n.mp4", "w") as file:
        file.write("x")
    assert ["\udcff\n.mp4"] == found(tmp_path, "mp4")


def test_links_to_files_and_folders_are_followed(tmp_path: Path, data: Path) -> None:
    """Data sets are often assembled from links."""
    other = tmp_path / ".elsewhere"
    other.mkdir()
    (other / "linked.mp4").write_text("x")
    (data / "link").symlink_to(other)
    assert "link/linked.mp4" in found(data)


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_that_leads_back_is_not_followed(data: Path, target: str) -> None:
    """It would never end."""
    (data / "b" / "c" / "loop").symlink_to(target)
    assert ["b/c/deep.Mp4"] == [name for name in found(data) if name.startswith("b/c/")]


def test_a_link_to_nothing_is_left_out(data: Path) -> None:
    """As is a file that is deleted during the scan."""
    (data / "broken.mp4").symlink_to(data / "gone")
    assert "broken.mp4" not in found(data)


def test_a_task_tells_what_its_file_was(data: Path) -> None:
    """Size, time, absolute path; the id depends on the relative name alone."""
    [task] = Files(str(data / "a.mp4")).tasks()
    status = os.stat(data / "a.mp4")
    assert (str(data / "a.mp4"), status.st_size, status.st_mtime_ns) == (task.path, task.size, task.mtime_ns)


def test_moved_data_keep_their_ids(data: Path, tmp_path: Path) -> None:
    """The id comes from the relative name."""
    before = [task.id for task in Files(str(data / "b")).tasks()]
    (data / "b").rename(data / "moved")
    assert before == [task.id for task in Files(str(data / "moved")).tasks()]


def test_a_missing_folder_is_named_with_the_fix(tmp_path: Path) -> None:
    """Key, value, and what to give."""
    with pytest.raises(ConfigError, match=r"input=.*nowhere: no such folder or file; give a folder or a glob"):
        found(tmp_path / "nowhere")


@pytest.mark.parametrize("pattern", ["", "/*.mp4"])
def test_nothing_found_is_an_error(tmp_path: Path, pattern: str) -> None:
    """An empty run is a mistake in the path, mostly."""
    with pytest.raises(ConfigError, match="no file with extension mp4, mkv there"):
        found(f"{tmp_path}{pattern}", "mp4", "mkv")


def test_the_identity_is_path_and_extensions(data: Path) -> None:
    """In one form, however they were written."""
    assert Files(f"{data}/b/../", ("MKV", ".mp4")).identity() == Files(str(data), ("mp4", "mkv")).identity()


# -- tasks given outright ---------------------------------------------------------------------------


def test_items_keep_their_order() -> None:
    """They are somebody's list."""
    assert ["n3", "n1", "n2"] == [task.id for task in Items(numbers(3, 1, 2)).tasks()]


def test_items_are_identified_by_their_content() -> None:
    """Not by which objects they are."""
    same, other = Items(numbers(1, 2)).identity(), Items(numbers(2, 1)).identity()
    assert (Items(numbers(1, 2)).identity(), True) == (same, same != other)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "there are no tasks"),
        ([Number(id="a", value=1), Other(id="b")], r"of one Task class, got \['Number', 'Other'\]"),
        (["a"], "of one Task class"),
        (numbers(1, 1), "two tasks have the id 'n1'"),
        ([Number(id="a", value=1, weight=float("nan"))], "'a' has the weight nan"),
    ],
)
def test_items_that_make_no_sense_are_refused(items: list[object], said: str) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError, match=said):
        Items(items)  # type: ignore[arg-type]


def test_an_item_that_no_row_can_hold_is_refused() -> None:
    """Before anything is written; it ended with a traceback."""
    with pytest.raises(ConfigError, match="source: item 2: a Number has an empty id"):
        scan(Items([*numbers(1), Number(id="", value=1)]))
    with pytest.raises(ConfigError, match="source: a Number has an empty id"):
        Items([Number(id="", value=1)]).identity()


def test_a_pipeline_without_input_has_one_task() -> None:
    """Of which its name is all that is known, and identifies it."""
    assert ["run"] == [task.id for task in Once().tasks()]
    assert Once("a").identity() != Once("b").identity()


def test_what_leads_nowhere_is_answered_with_what_was_meant() -> None:
    """Several, or an address of another kind."""
    with pytest.raises(ConfigError, match=r"several are one list, 'input=\[/no/a,/no/b\]'"):
        found("/no/a,/no/b")
    with pytest.raises(ConfigError, match=r"input=gs://b/x: of addresses only s3://BUCKET/PREFIX is read, not gs://"):
        found("gs://b/x")
