"""`+pipeline=dedup`, the smallest example of a group-by: which files of a folder are the same."""

from __future__ import annotations

import pytest
from shell import Shell

pytest.importorskip("pyarrow", reason="the list of what is kept is Parquet")


def kept(shell: Shell) -> list[str]:
    """Names in the published list."""
    from pyarrow import parquet

    return sorted(parquet.read_table(shell.cwd / "out" / "dedup" / "kept.parquet")["name"].to_pylist())


def test_equal_files_of_a_folder_are_found(shell: Shell) -> None:
    """The first of them is kept, and `why` names it; what comes later is compared with it."""
    photos = shell.cwd / "photos"
    photos.mkdir()
    for name, data in {"a.jpg": b"1", "b.jpg": b"2", "copy of a.jpg": b"1"}.items():
        (photos / name).write_bytes(data)
    shell.inline("+pipeline=dedup", "input=photos", "output=out")
    assert ["a.jpg", "b.jpg"] == kept(shell)
    assert "copy of a.jpg: twin a.jpg" in shell.type("why", "--store", str(shell.store)).stdout
    (photos / "new.jpg").write_bytes(b"2")
    shell.inline("+pipeline=dedup", "input=photos", "output=out")
    assert ["a.jpg", "b.jpg"] == kept(shell)


def test_a_list_that_a_run_is_compared_with_is_not_written_over(shell: Shell) -> None:
    """What it named was lost, and the same command again dropped what it had kept before."""
    (shell.cwd / "photos").mkdir()
    (shell.cwd / "photos" / "a.jpg").write_bytes(b"1")
    shell.inline("+pipeline=dedup", "input=photos", "output=out")
    (shell.cwd / "photos" / "b.jpg").write_bytes(b"2")
    words = ("+pipeline=dedup", "input=photos", "stages.exact.against=[out/dedup/kept.parquet]")
    refused = shell.inline(*words, "output=./out", status=2)
    assert "name another output=…, and give later runs both lists" in refused.stderr
    assert ["a.jpg"] == kept(shell)
    shell.inline(*words, "output=out2")
    assert ["a.jpg"] == kept(shell)
