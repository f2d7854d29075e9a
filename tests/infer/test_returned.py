"""What comes of what `infer` returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import infer_models as models
import pytest

from hpcurate.errors import StageError
from hpcurate.infer.returned import outcome


@pytest.mark.parametrize(
    ("returned", "values"),
    [
        (None, {}),
        ({"a": 1, 2: [1.5, None]}, {"a": 1, "2": [1.5, None]}),
        ("text", {"result": "text"}),
        ([1, 2], {"result": [1, 2]}),
        (models.Answer("hello"), {"text": "hello", "picture": None}),
        (models.AttrsRequest("p", 2), {"prompt": "p", "seed": 2}),
        (models.StructRequest("p", 2), {"prompt": "p", "seed": 2}),
        (models.ModelRequest(prompt="p", seed=2), {"prompt": "p", "seed": 2}),
        ({"deep": models.Answer("hello")}, {"deep": {"text": "hello", "picture": None}}),
    ],
)
def test_plain_results(returned: Any, values: dict[str, Any], tmp_path: Path) -> None:
    """By their fields; what has none is called `result`."""
    assert (values, {}) == outcome(returned, str(tmp_path))


@pytest.mark.parametrize("returned", [object(), {"a": object()}, iter([1]), {1, object()}, int, (n for n in [1])])
def test_what_is_no_data_is_refused(returned: Any, tmp_path: Path) -> None:
    """With what to do instead."""
    with pytest.raises(StageError, match="no plain data"):
        outcome(returned, str(tmp_path))


def test_an_array_is_refused_and_its_numbers_are_not(tmp_path: Path) -> None:
    """A picture belongs into a file."""
    numpy = pytest.importorskip("numpy")
    assert ({"score": 0.5}, {}) == outcome({"score": numpy.float64(0.5)}, str(tmp_path))
    assert ({"count": 3}, {}) == outcome({"count": numpy.int32(3)}, str(tmp_path))
    with pytest.raises(StageError, match=r"numpy\.ndarray.*output_dir"):
        outcome({"pixels": numpy.zeros((2, 2))}, str(tmp_path))


def test_every_file_that_was_left_is_in_it(tmp_path: Path) -> None:
    """Below folders, too; called by the field that names it."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("a.txt", "deep/er/b.txt", "c.txt"):
        (tmp_path / name).touch()
    returned = {"clip": str(tmp_path / "c.txt"), "note": f"in {tmp_path}/a.txt", "seed": 1}
    values, files = outcome(returned, str(tmp_path))
    assert {"note": "in a.txt", "seed": 1} == values
    assert {"clip": "c.txt", "a.txt": "a.txt", "deep/er/b.txt": "deep/er/b.txt"} == files


def test_paths_are_files(tmp_path: Path) -> None:
    """One, a list of them; those that lie elsewhere are copied, under another name where theirs is taken."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").write_text("inside")
    (tmp_path / "a.txt").write_text("elsewhere")
    assert ({}, {"a.txt": "a.txt"}) == outcome([folder / "a.txt"], str(folder))
    assert ({"seed": 1}, {"clip": "1-a.txt", "a.txt": "a.txt"}) == outcome(
        {"clip": tmp_path / "a.txt", "seed": 1}, str(folder)
    )
    assert "elsewhere" == (folder / "1-a.txt").read_text()


def test_a_name_that_is_taken_loses_no_file(tmp_path: Path) -> None:
    """A field may be called as another file is."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    assert ({}, {"a.txt": "b.txt", "./a.txt": "a.txt"}) == outcome({"a.txt": tmp_path / "b.txt"}, str(tmp_path))


def test_paths_that_lead_nowhere_or_anywhere_are_refused(tmp_path: Path) -> None:
    """Where no file is, and links: what they lead to would be given to whoever asked."""
    with pytest.raises(StageError, match="no file"):
        outcome(Path("/no/such/file"), str(tmp_path))
    with pytest.raises(StageError, match="a folder"):
        outcome({"all": tmp_path}, str(tmp_path / "out"))
    (tmp_path / "folder").symlink_to("/etc")
    with pytest.raises(StageError, match="is a link"):
        outcome(None, str(tmp_path))
