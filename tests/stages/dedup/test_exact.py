"""Exact duplicates: one of each content is kept, whoever arrives first; files are compared by bytes, texts folded."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from shell import Shell

from hpcurate import FileTask
from hpcurate.errors import ConfigError, StageError
from hpcurate.spec import InputFile
from hpcurate.testing import try_stage
from stages.dedup.digests import DigestedFile, DigestFiles, DigestTexts, file_digest, folded, text_digest
from stages.dedup.exact import ExactDuplicates
from stages.dedup.kept import Kept, WriteKept, earlier_digests
from stages.texts.tasks import TextTask

pytest.importorskip("pyarrow", reason="the text extra is not installed")


def files(folder: Path, **contents: bytes) -> list[FileTask]:
    """Real files, with the times 1, 2, … in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for time, (name, content) in enumerate(contents.items(), 1):
        path = folder / name
        path.write_bytes(content)
        made.append(FileTask(id=f"id-{name}", source=name, path=os.fspath(path), size=len(content), mtime_ns=time))
    return made


def digested(folder: Path, **contents: bytes) -> list[DigestedFile]:
    """The same, with digests."""
    return list(try_stage(DigestFiles(), files(folder / "in", **contents), folder / "digests").tasks)


def test_files_are_compared_by_what_is_in_them(tmp_path: Path) -> None:
    """Longer than a block, and different only at its end; the name and the time do not matter, and ids stay."""
    big = b"x" * (1 << 20)
    tasks = digested(tmp_path, b=big + b"1", a=big + b"1", c=big + b"2", e=b"", d=b"")
    out = try_stage(ExactDuplicates(), tasks, tmp_path / "exact")
    assert {"a", "c", "d"} == {task.source for task in out.tasks}
    assert {"id-a", "id-c", "id-d"} == {task.id for task in out.tasks}
    assert {("id-b", "a"), ("id-e", "d")} == {(row["id"], row["value"]) for row in out.dropped}


def test_a_file_that_has_changed_since_it_was_listed_is_an_error(tmp_path: Path) -> None:
    """Its digest would be one of half a file."""
    (task,) = files(tmp_path, a=b"12345")
    Path(task.path).write_bytes(b"1234")
    with pytest.raises(StageError, match="4 bytes were read, 5 were listed"):
        file_digest(task.path, task.size)


@pytest.mark.parametrize(("keep", "kept"), [("first", "a"), ("newest", "c"), ("oldest", "b")])
def test_what_is_kept_does_not_depend_on_the_order(tmp_path: Path, keep: str, kept: str) -> None:
    """All orders of three twins; b is the oldest, c the newest."""
    twins = digested(tmp_path, b=b"1", a=b"1", c=b"1")
    for number, order in enumerate(itertools.permutations(twins)):
        out = try_stage(ExactDuplicates(keep), list(order), tmp_path / str(number))  # type: ignore[arg-type]
        assert [kept] == [task.source for task in out.tasks]


def test_the_longest_text_is_kept_and_of_equals_the_least_id(tmp_path: Path) -> None:
    """Where spaces do not count, twins differ in length."""
    texts = [TextTask(id=str(n), text=text) for n, text in enumerate(["a b", "a  b", "A  b", "a c"])]
    tasks = try_stage(DigestTexts(), texts, tmp_path / "digests").tasks
    out = try_stage(ExactDuplicates("longest"), tasks, tmp_path / "exact")
    assert {"1", "3"} == {task.id for task in out.tasks}


def test_what_does_not_count_in_a_text() -> None:
    """Case and spaces, forms of Unicode, and with `words` all but letters and digits."""
    assert ("A  b.", "a b.", "a b") == tuple(folded("A  b.", fold) for fold in ("none", "space", "words"))
    assert folded("ﬁne Straße", "space") == "fine strasse"
    assert text_digest("E\u0301!", "words") == text_digest("\u00e9", "words")
    assert len(text_digest("\ud800")) == 32


def test_what_an_earlier_run_kept_wins(tmp_path: Path) -> None:
    """New ones are dropped with the old one named; the old one is not returned."""
    old = digested(tmp_path / "old", x=b"1", y=b"2")
    kept = try_stage(Kept(), old, tmp_path / "kept").tasks
    try_stage(WriteKept(os.fspath(tmp_path / "out")), kept, tmp_path / "written")
    listed = InputFile(tmp_path / "out" / "dedup" / "kept.parquet")
    new = digested(tmp_path, a=b"1", b=b"1", c=b"3")
    out = try_stage(ExactDuplicates(against=[listed]), new, tmp_path / "exact")
    assert ["c"] == [task.source for task in out.tasks]
    assert {("id-a", "x"), ("id-b", "x")} == {(row["id"], row["value"]) for row in out.dropped}


def test_a_list_of_what_was_kept_does_not_depend_on_the_order(tmp_path: Path) -> None:
    """The same bytes."""
    tasks = try_stage(Kept(), digested(tmp_path, x=b"1", y=b"2"), tmp_path / "kept").tasks
    lists = []
    for name, order in (("1", tasks), ("2", tasks[::-1])):
        try_stage(WriteKept(os.fspath(tmp_path / name)), order, tmp_path / f"written-{name}")
        lists.append((tmp_path / name / "dedup" / "kept.parquet").read_bytes())
    assert lists[0] == lists[1]


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    """With what to give instead."""
    (tmp_path / "a.parquet").write_bytes(b"1")
    with pytest.raises(StageError, match=r"against: .*a.parquet: not a list .* give the dedup/kept.parquet"):
        earlier_digests([os.fspath(tmp_path / "a.parquet")])


def test_tasks_without_what_is_compared_are_refused() -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError, match="finding duplicates needs the field 'digest', which FileTask does not have"):
        ExactDuplicates().accept(FileTask)
    with pytest.raises(ConfigError, match="keep=newest needs the field 'mtime_ns', which TextTask"):
        ExactDuplicates("newest").accept(TextTask)


def test_equal_files_are_dropped_before_anything_looks_into_them(shell: Shell) -> None:
    """`+dedup=exact`, with images: neither the twin nor what an earlier run had reaches `probe`; a list is published."""
    (shell.cwd / "in").mkdir()
    for name, shade in (("a", 10), ("b", 10), ("c", 200), ("d", 99)):
        Image.new("L", (8, 8), shade).save(shell.cwd / "in" / f"{name}.png")
    old = digested(shell.folder / "old", d=(shell.cwd / "in" / "d.png").read_bytes())
    try_stage(
        WriteKept(os.fspath(shell.cwd / "old")),
        try_stage(Kept(), old, shell.folder / "kept").tasks,
        shell.folder / "written",
    )
    shell.inline(
        "+pipeline=images", "+dedup=exact", "input=in", "output=out",
        "stages.exact.against=[old/dedup/kept.parquet]",
    )  # fmt: skip
    assert ["a.png", "c.png"] == sorted(json.loads(row)["source"] for row in shell.rows("probe"))
    assert 2 == len(earlier_digests([os.fspath(shell.cwd / "out" / "dedup" / "kept.parquet")]))
