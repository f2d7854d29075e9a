"""Writing the result: linked, whole, and the same again changes nothing."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from video_help import cut, make_video

from hpcurate.errors import ConfigError
from hpcurate.task import StageSums
from hpcurate.testing import try_stage
from stages import publish
from stages.video.index import Index, summary, write_index
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.tasks import ClipTask
from stages.video.write import Write

pytestmark = pytest.mark.video


@pytest.fixture
def clips(tmp_path: Path) -> list[ClipTask]:
    """Two clips of a video whose name is no UTF-8, with previews."""
    made = make_video(tmp_path / "v.mp4")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    made.rename(odd)
    return cut(odd, tmp_path / "work", Motion(threshold=0), Preview(), method="stride", stride_s=2.0).tasks


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and modification time."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def publish_all(clips: list[ClipTask], output: Path, fan: int = 1) -> None:
    """What the stages `write` and `index` do."""
    Write(str(output), fan).process(clips)
    write_index(clips, str(output), fan)


def test_writing_twice_touches_nothing(clips: list[ClipTask], tmp_path: Path) -> None:
    """Not an inode, not a time, and nothing is left over."""
    publish_all(clips, tmp_path / "out")
    before = tree(tmp_path / "out")
    publish_all(clips, tmp_path / "out")
    assert tree(tmp_path / "out") == before
    assert len(before) == 2 * 3 + 2


def test_clips_are_hard_links(clips: list[ClipTask], tmp_path: Path) -> None:
    """On the store's filesystem no byte is copied."""
    publish_all(clips, tmp_path / "out", fan=0)
    for clip in clips:
        assert clip.clip is not None
        assert os.path.samefile(clip.clip, tmp_path / "out" / "clips" / f"{clip.id}.mp4")


def test_without_links_files_are_copied(clips: list[ClipTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As between filesystems; a second time nothing is copied again."""

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(publish.os, "link", refuse)
    publish_all(clips, tmp_path / "out")
    before = tree(tmp_path / "out")
    publish_all(clips, tmp_path / "out")
    assert tree(tmp_path / "out") == before
    (copy,) = (tmp_path / "out").glob(f"clips/*/{clips[0].id}.mp4")
    assert clips[0].clip is not None
    assert copy.read_bytes() == Path(clips[0].clip).read_bytes()


def test_a_half_written_file_is_replaced(clips: list[ClipTask], tmp_path: Path) -> None:
    """Whatever stood there."""
    target = tmp_path / "out" / "clips" / f"{clips[0].id}.mp4"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half")
    publish_all(clips, tmp_path / "out", fan=0)
    assert target.stat().st_size == clips[0].bytes


def test_a_metadata_file_is_valid_json_for_any_name(clips: list[ClipTask], tmp_path: Path) -> None:
    """UTF-8 without lone surrogates, and nothing about times or hosts."""
    publish_all(clips, tmp_path / "out")
    for path in (tmp_path / "out").glob("metas/v0/*/*.json"):
        meta = json.loads(path.read_bytes().decode("utf-8"))
        assert meta["source_video"] == "caf\\xe9.mp4"
        assert meta["num_frames"] == 48
        assert (tmp_path / "out" / meta["clip_location"]).stat().st_size == meta["num_bytes"]


def test_the_table_is_sorted_and_typed(clips: list[ClipTask], tmp_path: Path) -> None:
    """By source and start, whatever the order it was given."""
    import pyarrow.parquet

    write_index(list(reversed(clips)), str(tmp_path), 1)
    first = (tmp_path / "clips.parquet").read_bytes()
    write_index(clips, str(tmp_path), 1)
    assert (tmp_path / "clips.parquet").read_bytes() == first
    table = pyarrow.parquet.read_table(tmp_path / "clips.parquet")
    assert [start for start, _ in table.column("duration_span").to_pylist()] == [0.0, 2.0]


def test_no_clips_give_a_summary_of_zeros() -> None:
    """Not an error."""
    counts: dict[str, Any] = summary([])
    assert counts["total_num_clips_passed"] == counts["num_processed_videos"] == counts["total_clip_duration"] == 0


def test_the_summary_counts_what_became_of_the_inputs(clips: list[ClipTask], tmp_path: Path) -> None:
    """In every stage above: of three videos one failed, and one clip was filtered."""
    above = [StageSums("probe", 3, 2, 0, 1), StageSums("clips", 3, 2, 1, 0)]
    bare = [attrs.evolve(clip, clip=None, preview=None) for clip in clips]
    try_stage(Index(str(tmp_path / "out")), bare, tmp_path / "index", upstream=above)
    counts = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (counts["num_input_videos"], counts["num_processed_videos"]) == (3, 1)
    assert (counts["num_failed"], counts["num_filtered"], counts["total_num_clips_passed"]) == (1, 1, 2)
    assert counts["stages"]["clips"] == {"in": 3, "out": 2, "filtered": 1, "failed": 0}


def test_levels_of_folders_have_bounds() -> None:
    """Refused before anything runs."""
    with pytest.raises(ConfigError, match=r"^fan"):
        Write("out", fan=4)
