"""What `input=s3://…` stands for: the items that the same files on disk would be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from object_server import Bucket

from hpcurate.errors import ConfigError
from hpcurate.source import Exclude, FileList, Files, Several, Undone
from hpcurate.source.buckets import glob_pattern
from hpcurate.store.layout import Store
from hpcurate.task import FileTask
from stages.shards.settings import check_folder

NAMES = [
    "x/a.mp4", "x/b/c.MP4", "x/b/d.txt", "x/b.mp4", "x/.hidden/e.mp4", "x/b/.f.mp4", "x/ü/g h.mp4", "x/[z]/i.mp4",
    "xy/j.mp4", "x/b/c/k.mp4",
]  # fmt: skip
GLOBS = [
    "x/*.mp4", "x/**/*.mp4", "x/**/*.[mM][pP]4", "x/?.mp4", "x/b/**", "x/**/c*", "*/a.mp4", "**/*.mp4", "x/[!a].mp4",
    "x/b/*", "x/[[]z]/*.mp4", "x/*/*.mp4", "x/**/b/*.MP4",
]  # fmt: skip


def both(bucket: Bucket, folder: Path) -> None:
    """The same files in a bucket and on disk."""
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
        bucket.put(name, name.encode())


def shown(tasks: list[FileTask], root: str) -> list[tuple[str, str, str, int, float]]:
    """What both have."""
    return [(task.id, task.source, os.path.relpath(task.path, root), task.size, task.weight) for task in tasks]


def test_a_bucket_has_the_items_of_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    """Prefixes, globs, one object; the same ids in the same order."""
    both(bucket, tmp_path)
    for path in ("x", "x/", "", "x/b", "x/a.mp4", *GLOBS):
        disk = shown(list(Files(path=f"{tmp_path}/{path}").tasks()), str(tmp_path))
        there = shown(list(Files(path=f"s3://{bucket.name}/{path}").tasks()), f"s3://{bucket.name}")
        assert disk == there, path
        assert disk, path


def test_extensions_count_in_a_bucket(bucket: Bucket) -> None:
    """Without regard to case."""
    for name in NAMES:
        bucket.put(name, b"1")
    found = Files(path=f"s3://{bucket.name}/x", extensions=("mp4",)).tasks()
    assert {"x/b/d.txt"} == set(NAMES[:4]) - {f"x/{task.source}" for task in found}


@pytest.mark.parametrize("path", ["none", "x/**/*.mov", "a.mp"])
def test_nothing_there_is_refused(bucket: Bucket, path: str) -> None:
    """By what was typed."""
    bucket.put("a.mp4", b"1")
    with pytest.raises(ConfigError, match=r"input=s3://.*: no file there"):
        list(Files(path=f"s3://{bucket.name}/{path}").tasks())


def test_a_bucket_that_is_not_there_is_refused(bucket: Bucket) -> None:
    """With what the server says."""
    with pytest.raises(ConfigError, match=r"input=s3://no-such-bucket/x: .*no such bucket"):
        list(Files(path="s3://no-such-bucket/x").tasks())


def test_keys_that_could_not_be_files_are_left_out_and_counted(bucket: Bucket) -> None:
    """Beside or below an output they would lead out of it; those that end in a slash stand for folders."""
    for key in ("in/a.mp4", "in/folder/", "in//b.mp4", "in/../../c.mp4", "in/x//d.mp4"):
        bucket.put(key, b"1")
    source = Files(path=f"s3://{bucket.name}/in")
    assert ["a.mp4"] == [task.source for task in source.tasks()]
    [note] = source.notes()
    assert note.startswith("no path of a file: 3 objects, e.g. ")


def test_a_list_of_files_names_no_objects(tmp_path: Path) -> None:
    """Each would be a request of its own."""
    (tmp_path / "list").write_text("s3://b/x.mp4\n")
    with pytest.raises(ConfigError, match=r"line 1: s3://b/x.mp4: .*input=s3://BUCKET/PREFIX"):
        list(FileList(path=str(tmp_path / "list")).tasks())


def test_the_store_is_a_folder() -> None:
    """Claims are exclusive files, and commits renames: a bucket has neither."""
    with pytest.raises(ConfigError, match=r"store=s3://b/store: expected a folder on shared storage"):
        Store.at("s3://b/store")


def test_training_shards_grow_in_a_folder() -> None:
    """Refused before anything starts."""
    with pytest.raises(ConfigError, match=r"output=s3://b/x: expected a folder"):
        check_folder("s3://b/x")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.mp4", "a.mp4", True),
        ("*.mp4", ".a.mp4", False),
        ("*.mp4", "b/a.mp4", False),
        ("**/*.mp4", "a.mp4", True),
        ("**/*.mp4", "b/c/a.mp4", True),
        ("**/*.mp4", "b/.c/a.mp4", False),
        ("a.b", "axb", False),
        ("[!a]", "b", True),
        ("[!a]", "a", False),
        ("[^a]", "^", True),
        ("[]]", "]", True),
        ("[a-c]*", "bx\ny", True),
        ("[", "[", True),
    ],
)
def test_globs_mean_what_they_mean_on_disk(pattern: str, name: str, expected: bool) -> None:
    """Hidden names match no star, and no star a slash."""
    assert expected == bool(glob_pattern(pattern).fullmatch(name))


def test_what_is_done_and_what_is_left_out_in_a_bucket(bucket: Bucket) -> None:
    """`done=s3://…` lists once; `exclude=` with an address; two prefixes as one input."""
    for name in ("x/a.mp4", "x/b.mp4", "x/c.mp4", "y/a.mp4", "out/x/a.mp4.json", "out/y/a.mp4.json", "out/x/b.mp4"):
        bucket.put(name, b"1")
    root = f"s3://{bucket.name}"
    both = Several({name: Files(path=f"{root}/{name}") for name in "xy"})
    assert ["x/a.mp4", "x/b.mp4", "x/c.mp4", "y/a.mp4"] == [task.source for task in both.tasks()]  # type: ignore[attr-defined]
    done = Undone(Exclude(both, (f"{root}/x/c.*",)), f"{root}/out/{{relative}}.json")
    assert ["x/b.mp4"] == [task.source for task in done.tasks()]  # type: ignore[attr-defined]
    listings = [one for one in bucket.proxy.asked if "list-type" in one.target and "prefix=out" in one.target]
    assert 1 == len(listings)


def test_a_bucket_that_is_not_there_has_done_nothing(bucket: Bucket) -> None:
    """It is refused, with its name: an item of which nobody knows would be done again."""
    bucket.put("x/a.mp4", b"1")
    with pytest.raises(ConfigError, match="s3://no-such-bucket/"):
        list(Undone(Files(path=f"s3://{bucket.name}/x"), "s3://no-such-bucket/{relative}").tasks())
