"""Pictures of clips at fixed times."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import Shell
from video_help import make_video, number_of, short_clips

from hpcurate.testing import try_stage
from stages.video.frames import Frames

pytestmark = pytest.mark.video


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_frames_are_those_shown_at_their_times(tmp_path: Path, format: Any) -> None:
    """At 0, 1/fps, 2/fps … of each clip; the same bytes again."""
    from PIL import Image

    clips = short_clips(make_video(tmp_path / "v.mp4"), tmp_path, stride_s=2.0)
    done = try_stage(Frames(fps=4, format=format), clips, tmp_path / "a")
    assert [(k / 4) for k in range(8)] * 2 == [task.time_s for task in done.tasks]
    numbers = [number_of(np.asarray(Image.open(os.fspath(task.image)).convert("L"))) for task in done.tasks]
    assert [round(k * 6) for k in range(16)] == numbers
    again = try_stage(Frames(fps=4, format=format), clips, tmp_path / "b")
    assert [Path(t.image).read_bytes() for t in done.tasks] == [Path(t.image).read_bytes() for t in again.tasks]
    small = try_stage(Frames(fps=1, size=64, format=format), clips, tmp_path / "c").tasks[0]
    assert (64, 48) == (small.width, small.height) == Image.open(os.fspath(small.image)).size


def test_the_frames_pipeline_publishes_pictures(shell: Shell) -> None:
    """One folder a clip, a record beside each picture."""
    (shell.folder / "in").mkdir()
    make_video(shell.folder / "in" / "a [x] ü.mp4")
    shell.run(
        "+pipeline=frames",
        f"input={shell.folder / 'in'}",
        f"output={shell.folder / 'out'}",
        "stages.frames.fps=2",
        "stages.split.method=stride",
    )
    found = sorted((shell.folder / "out" / "frames").glob("*/*.jpg"))
    assert [f"{500 * k:08d}.jpg" for k in range(8)] == [path.name for path in found]
    record = json.loads(Path(f"{found[3]}.json").read_text())
    assert (1.5, "a [x] ü.mp4", 128) == (record["time_s"], record["source_video"], record["width"])
