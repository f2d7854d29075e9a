"""Which encoder is used, and what is recorded of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from video_help import make_video, short_clips

from hpcurate import Chain
from hpcurate.stage import WorkerInfo
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.media.container import VideoError
from stages.video.media.encoders import chosen_encoder, nvenc_works
from stages.video.motion import Motion

pytestmark = pytest.mark.video


def test_the_encoder_that_was_used_is_recorded(tmp_path: Path) -> None:
    """`auto` takes the GPU where one encodes, x264 elsewhere; only `cpu` is deterministic."""
    clips = short_clips(make_video(tmp_path / "v.mp4", frames=24), tmp_path)
    expected = "h264_nvenc" if nvenc_works() else "libx264"
    done = try_stage(Chain([Cut(encoder="auto", preset="ultrafast"), Motion(0)]), clips, tmp_path / "c")
    assert {expected} == {task.encoder for task in done.tasks}
    assert (True, False, False) == tuple(Cut(encoder=choice).deterministic for choice in ("cpu", "auto", "nvenc"))  # type: ignore[arg-type]


@pytest.mark.skipif(nvenc_works(), reason="this machine has a GPU that encodes")
def test_a_gpu_that_is_not_there_is_a_clear_error() -> None:
    """At setup, with what to use instead."""
    with pytest.raises(VideoError, match=r"^encoder=nvenc: no GPU of this node .* resources\.gpus=1 .* encoder=auto"):
        Cut(encoder="nvenc").setup(WorkerInfo(index=0, process=0, cpus=1))
    assert chosen_encoder("auto") == "libx264"
