"""The video and image pipelines read tars: the same results as of the same files in a folder, but for the names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="the video extra is not installed")

from checkout import ROOT
from shell import Shell
from tars import make_tar, tar_task
from video_help import make_video

from hpcurate import Chain, Stage
from hpcurate.source import Files
from hpcurate.testing import try_stage
from stages.datasets.tars import Members
from stages.video.cut import Cut
from stages.video.media.container import VideoError, open_container
from stages.video.motion import Motion
from stages.video.probe import Probe
from stages.video.split import Split
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video


def clips_of(tasks: list[Any], folder: Path, *cut: Stage[ClipTask, ClipTask]) -> list[ClipTask]:
    """Clips of two seconds."""
    videos = try_stage(Probe(), tasks, folder / "probe")
    spans = try_stage(Split(method="stride", stride_s=2, min_s=1), videos.tasks, folder / "split")
    assert [] == videos.failed + spans.failed
    made = try_stage(Chain(list(cut)), spans.tasks, folder / "cut")
    assert [] == [row["message"] for row in made.failed]
    return made.tasks


def worth(clip: ClipTask) -> tuple[Any, ...]:
    """What is the same whatever the video is called."""
    return clip.start_frame, clip.end_frame, clip.sha256, clip.frames, clip.has_audio, clip.encoder, clip.motion


def test_every_kind_of_file_gives_the_same_clips(tmp_path: Path) -> None:
    """Containers that seek and that do not, sound, odd names."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b, c:d.mkv", "e.avi", "f.ts"):
        make_video(folder / name, frames=72, width=64, height=64)
    names = sorted(path.name for path in folder.iterdir())
    tar = make_tar(tmp_path / "o'dd, :\udcff\n.tar", {name: (folder / name).read_bytes() for name in names})
    stages = (Cut(preset="ultrafast"), Motion())
    plain = clips_of(list(Files(os.fspath(folder)).tasks()), tmp_path / "plain", *stages)
    inside = clips_of(try_stage(Members(), [tar_task(tar)], tmp_path / "members").tasks, tmp_path / "tar", *stages)
    assert [f"{tar.name}/{clip.source}" for clip in plain] == [clip.source for clip in inside]
    assert list(map(worth, plain)) == list(map(worth, inside))
    assert 8 == len(plain)


def test_the_real_videos_give_the_same_clips(tmp_path: Path) -> None:
    """Byte for byte, out of a tar that is nowhere unpacked."""
    folder = Path(os.environ.get("HPCURATE_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))
    names = sorted(path.name for path in folder.glob("*.mp4"))
    if not names:
        pytest.skip("no real videos here")
    tar = make_tar(tmp_path / "real.tar", {name: (folder / name).read_bytes() for name in names})
    cut = Cut(mode="copy", fallback=False, max_shift_s=60)  # copied packets: decoding all of them takes a minute
    plain = clips_of(list(Files(f"{folder}/*.mp4").tasks()), tmp_path / "plain", cut)
    inside = clips_of(try_stage(Members(), [tar_task(tar)], tmp_path / "members").tasks, tmp_path / "inside", cut)
    assert list(map(worth, plain)) == list(map(worth, inside))
    assert len(names) <= len(plain)


def test_a_broken_member_is_a_dead_letter_with_its_name(tmp_path: Path) -> None:
    """Cut off, empty, no video, or beyond the end of the tar: as a file of its own, and no neighbour's bytes are read."""
    whole = make_video(tmp_path / "v.mp4", frames=24, width=64, height=64).read_bytes()
    files = {"cut.mp4": whole[:-300], "empty.mp4": b"", "good.mp4": whole, "text.mp4": b"text" * 100}
    tar = make_tar(tmp_path / "x.tar", files)
    found = try_stage(Members(), [tar_task(tar)], tmp_path / "members").tasks
    probed = try_stage(Probe(), found, tmp_path / "probe")
    assert ["x.tar/good.mp4"] == [task.source for task in probed.tasks]
    said = {row["message"].partition(":")[0]: row["message"] for row in probed.failed}
    assert "truncated" in said["x.tar/cut.mp4"]
    assert "empty file" in said["x.tar/empty.mp4"]
    assert "not a video file" in said["x.tar/text.mp4"]
    written = tar.stat().st_mtime_ns
    os.truncate(tar, found[0].offset)
    with pytest.raises(VideoError, match=r"x\.tar/cut\.mp4: .* was written again"):
        open_container(found[0].path, found[0].source)
    os.utime(tar, ns=(written, written))
    with pytest.raises(VideoError, match="empty file"):
        open_container(found[0].path, found[0].source)
    tar.unlink()
    with pytest.raises(FileNotFoundError):
        open_container(found[0].path, found[0].source)


def test_a_name_that_is_no_address_opens_nothing_else(tmp_path: Path) -> None:
    """A playlist in a tar may not name other files, as one in a folder may not."""
    make_video(tmp_path / "v.ts", frames=24, width=64, height=64)
    tar = make_tar(
        tmp_path / "x.tar", {"list.m3u8": f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/v.ts\n#EXT-X-ENDLIST\n".encode()}
    )
    [member] = try_stage(Members(), [tar_task(tar)], tmp_path / "members").tasks
    with pytest.raises(VideoError, match="not a video file"):
        open_container(member.path, member.source)


def test_one_word_makes_a_pipeline_read_tars(shell: Shell) -> None:
    """`+tars=images`: the members of all tars, one image of which is broken."""
    pytest.importorskip("PIL")
    from PIL import Image

    picture = shell.folder / "p.png"
    Image.new("RGB", (8, 6), "red").save(picture)
    for number in range(2):
        files = {"good.png": picture.read_bytes(), "bad.png": picture.read_bytes()[:40], "x.txt": b"text"}
        make_tar(shell.folder / "in" / f"{number}.tar", files)
    words = ["+pipeline=images", "+tars=images", f"input={shell.folder}/in", f"output={shell.folder}/out"]
    assert "2 failed" in shell.inline(*words).stderr
    found = [json.loads(path.read_text()) for path in (shell.folder / "out").rglob("metas/**/*.json")]
    assert {"0.tar/good.png", "1.tar/good.png"} == {row["source"] for row in found}
    assert {8} == {row["width"] for row in found}
