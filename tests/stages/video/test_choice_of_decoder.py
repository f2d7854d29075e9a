"""What decodes, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from video_help import make_video, probe

from hpcurate.planning.needs import packages_of
from hpcurate.stage import CurrentOr, WorkerInfo, environment_of
from hpcurate.testing import try_stage
from stages.video.media.container import VideoError
from stages.video.media.decoders import chosen_decoder, nvdec_works
from stages.video.media.shots import small_picture
from stages.video.split import Split
from stages.video.tasks import VideoTask

pytestmark = pytest.mark.video
HERE = WorkerInfo(index=0, process=0, cpus=1)


def test_the_decoder_that_was_chosen_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` takes the GPU where one decodes, the CPU elsewhere; only `cpu` is deterministic."""
    video = probe(make_video(tmp_path / "v.mp4", frames=96), tmp_path)
    cpu, auto = (try_stage(Split(decoder=one, min_s=0), [video], tmp_path / one) for one in ("cpu", "auto"))  # type: ignore[arg-type]
    assert ([], [clip.id for clip in cpu.tasks]) == (auto.failed, [clip.id for clip in auto.tasks])
    assert f"decoder=auto: {'nvdec' if nvdec_works() else 'cpu'}\n" == capsys.readouterr().out
    assert (True, False, False) == tuple(Split(decoder=choice).deterministic for choice in ("cpu", "auto", "nvdec"))  # type: ignore[arg-type]


@pytest.mark.skipif(nvdec_works(), reason="this machine has a GPU that decodes")
def test_a_gpu_that_is_not_there_is_a_clear_error() -> None:
    """At setup, with what to use instead."""
    with pytest.raises(VideoError, match=r"^decoder=nvdec: no GPU of this node .* resources\.gpus=1 .* decoder=auto"):
        Split(decoder="nvdec").setup(HERE)
    assert "cpu" == chosen_decoder("auto")


@pytest.mark.skipif(not nvdec_works(), reason="no GPU that decodes")
def test_the_gpu_decodes_the_same_frames(tmp_path: Path) -> None:
    """As many, at the same times."""
    video = probe(make_video(tmp_path / "v.mp4", width=256, height=192), tmp_path)
    spans = [
        [(clip.start_pts, clip.end_pts) for clip in try_stage(stage, [video], tmp_path / name).tasks]
        for name, stage in (("cpu", Split(min_s=0)), ("nvdec", Split(min_s=0, decoder="nvdec")))
    ]
    assert spans[0] == spans[1]


def test_pictures_as_a_gpu_gives_them_are_reduced_alike() -> None:
    """NVDEC's have their colours side by side (nv12); the network sees the same."""
    noise = np.random.default_rng(5).integers(0, 256, (180, 320, 3), dtype=np.uint8)
    given = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuv420p")
    expected = small_picture(given).astype(int)
    assert abs(small_picture(given.reformat(format="nv12")) - expected).max() <= 2


def test_a_network_needs_an_environment_that_has_torch() -> None:
    """The current one if it has it, else `vision`: known before anything is submitted. `content` names none."""
    stage = Split(detector="transnetv2")
    assert CurrentOr("vision") == environment_of(stage)
    assert "torch" in packages_of(stage, VideoTask)
    assert None is environment_of(Split())
