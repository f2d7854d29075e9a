"""TransNetV2 with its published weights: hard cuts, a dissolve, and the video that comes with the weights."""

from __future__ import annotations

import itertools
import runpy
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from checkout import ROOT
from real_weights import brought, weights
from shell import Shell
from video_help import make_video, probe

from hpcurate.config_files import shipped_conf
from hpcurate.errors import ConfigError
from hpcurate.model import provide_weights
from hpcurate.models.registry import ModelEntry, read_registry
from hpcurate.stage import WorkerInfo
from hpcurate.testing import try_stage
from stages.video import detectors
from stages.video.detectors import SHOT_THRESHOLD
from stages.video.media.shots import ShotFinder, first_frames, small_picture
from stages.video.shot_network import ShotNetwork
from stages.video.split import Split

pytestmark = pytest.mark.video

GOLDEN = ROOT / "tests" / "golden" / "transnetv2-cuts.txt"


@pytest.fixture(scope="module", autouse=True)
def needs_torch() -> None:
    """Nothing here is of use without it."""
    pytest.importorskip("torch", reason="the models extra is not installed")


@pytest.fixture
def published() -> None:
    """The registry's weights are where a stage looks for them."""
    provide_weights({"transnetv2": str(weights("transnetv2"))})


@pytest.fixture(scope="module")
def its_video() -> Path:
    """The video that comes in the same package: 5301 frames, 160×90."""
    digest = "f912ecc64858dc0d5cdd93392d50c1463debeac98c53409e4542f74c11892750"
    package = read_registry([shipped_conf()])["transnetv2"].package
    entry = ModelEntry(name="transnetv2-sample", package=package, file="tests/test.mp4", sha256=digest)
    return brought(entry) / "test.mp4"


def starts_of(path: Path, folder: Path, **parameters: Any) -> list[int]:
    """First frames of the scenes that Split finds, but the first."""
    done = try_stage(Split(min_s=0, detector="transnetv2", **parameters), [probe(path, folder)], folder / "shots")
    assert [] == done.failed
    return [clip.start_frame for clip in done.tasks][1:]


def sample(path: Path, name: str, first: int, frames: int) -> Path:
    """A part of a demo sample, small: it is as `scripts/make-samples` draws it."""
    drawn = getattr(runpy.run_path(str(ROOT / "scripts" / "make-samples"))["Samples"](320, 180), name)()
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=24, options={"crf": "18", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 24)
        for number, drawing in enumerate(itertools.islice(drawn, first, first + frames)):
            frame = av.VideoFrame.from_ndarray(np.clip(drawing, 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return path


def chances_of(path: Path, predict: Any, together: int, frames: int | None = None) -> list[float]:
    """Of the first frames of a video."""
    finder = ShotFinder(predict, together)
    with av.open(str(path)) as video:
        for frame in itertools.islice(video.decode(video=0), frames):
            finder.add(small_picture(frame))
    return finder.chances()


def golden() -> list[int]:
    """What the published inference answers."""
    lines = GOLDEN.read_text().splitlines()
    return [int(word) for line in lines if not line.startswith("#") for word in line.split()]


def test_hard_cuts_are_found_to_the_frame(published: None, tmp_path: Path) -> None:
    """Where the content detector finds them, too."""
    assert [72, 132] == starts_of(sample(tmp_path / "cuts.mp4", "cuts", 0, 150), tmp_path)


def test_a_dissolve_is_one_cut_in_its_middle(published: None, tmp_path: Path) -> None:
    """The content detector misses it: one clip had both scenes."""
    path = sample(tmp_path / "dissolve.mp4", "dissolve", 36, 96)  # frames 36 to 60 of these
    (start,) = starts_of(path, tmp_path)
    assert abs(start - 48) <= 3
    content = try_stage(Split(min_s=0), [probe(path, tmp_path / "c")], tmp_path / "content")
    assert [0] == [clip.start_frame for clip in content.tasks]


def test_the_beginning_of_the_published_video_has_its_known_cuts(published: None, its_video: Path) -> None:
    """Those that the published code finds; and several windows at once give what one at a time gives."""
    network = ShotNetwork()
    network.setup()
    several, single = (chances_of(its_video, network.predict, together, 150) for together in (4, 1))
    assert [start for start in golden() if start < 150] == first_frames(several, SHOT_THRESHOLD)
    assert single == pytest.approx(several, abs=1e-6)


@pytest.mark.long
def test_the_published_video_has_its_known_cuts(published: None, its_video: Path, tmp_path: Path) -> None:
    """All 116 of 5301 frames, through the stage."""
    assert golden() == starts_of(its_video, tmp_path)


@pytest.mark.long
def test_the_demo_samples_have_their_cuts(published: None, tmp_path: Path) -> None:
    """At full size: each hard cut to the frame, the dissolve, nothing where nothing happens."""
    samples = tmp_path / "samples"
    subprocess.run([sys.executable, ROOT / "scripts" / "make-samples", samples], check=True, capture_output=True)
    found = {
        name: starts_of(samples / f"{name}.mp4", tmp_path / name) for name in ("cuts", "dissolve", "static", "black")
    }
    assert {"cuts": [72, 132, 228, 282], "dissolve": [86], "static": [], "black": []} == found


def test_a_video_too_long_to_prepare_has_the_same_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is decoded while the network works, and no picture is kept; also where its container promised fewer frames."""
    network = Bright()
    ways: dict[str, Callable[[], Any]] = {
        "prepared": lambda: None,
        "streamed": lambda: monkeypatch.setattr(detectors, "PREPARED_FRAMES", 10),
    }
    path = make_video(tmp_path / "v.mp4", frames=120)
    found = {}
    for name, arrange in ways.items():
        arrange()
        shots, task = network.shots(), probe(path, tmp_path / name)
        shots.prepare(task)
        found[name] = (detectors.MEMORY_KEY in task.memory, shots.scenes(task)[1])
    lying = probe(path, tmp_path / "lying")
    lying.frames = 5
    shots.prepare(lying)
    found["lying"] = (detectors.MEMORY_KEY in lying.memory, shots.scenes(lying)[1])
    assert {"prepared": (True, [64]), "streamed": (False, [64]), "lying": (False, [64])} == found


class Bright:
    """Takes frame 63 for a cut, by the number that the test video shows: no weights are needed."""

    device = "cpu"

    def shots(self) -> detectors.Shots:
        """A detector with this in place of the network."""
        made = detectors.Shots(0.4)
        made._network = self  # type: ignore[assignment]
        return made

    def predict(self, windows: np.ndarray) -> np.ndarray:
        """1 where the six lowest bits of the number are light and the others dark."""
        light = windows[:, :, 4, 3::6, 0] > 126
        return (light[:, :, :6].all(2) & ~light[:, :, 6:].any(2)).astype(np.float32)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Another model's tensors, or no tensors at all: a ConfigError that names the file."""
    import torch

    from stages.vision.networks.transnetv2 import FILE

    provide_weights({"transnetv2": str(tmp_path)})
    for write in (lambda path: torch.save({"a": torch.zeros(1)}, path), lambda path: path.write_bytes(b"no tensors")):
        write(tmp_path / FILE)
        with pytest.raises(ConfigError, match=f"model transnetv2: {FILE} does not have TransNetV2's tensors"):
            Split(detector="transnetv2").setup(WorkerInfo(index=0, process=0, cpus=1))


@pytest.mark.parametrize("threshold", [0.0, 1.0, 27.0])
def test_a_threshold_of_the_other_detector_is_refused(threshold: float) -> None:
    """27 is a probability of nothing."""
    with pytest.raises(ConfigError, match=r"threshold: .* with detector=transnetv2 it is a probability .* for 0\.4"):
        Split(detector="transnetv2", threshold=threshold)


def test_missing_weights_are_refused_before_anything_is_submitted(shell: Shell, tmp_path: Path) -> None:
    """With the command that fetches them; what finds no shots needs none."""
    make_video(tmp_path / "v.mp4", frames=4)
    words = ["+pipeline=video", f"input={tmp_path / 'v.mp4'}", "stages.split.detector=transnetv2", "dry_run=true"]
    refused = shell.run(*words, status=2)
    assert "model transnetv2: its weights" in refused.stderr
    assert "hpcurate install +pipeline=video" in refused.stderr
    assert [None, None] == [Split().model, Split(detector="transnetv2", method="stride").model]
