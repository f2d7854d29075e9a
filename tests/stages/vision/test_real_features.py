"""Vectors of real features: what was encoded again stays near, what is different does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import av
import numpy as np
import pyarrow.parquet as parquet
import pytest
from checkout import ROOT
from real_weights import weights
from video_help import cut_clips, short_clips

from hpcurate import File, stable_id
from hpcurate.model import provide_weights
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.media.sampling import Sampling
from stages.video.tasks import ClipTask
from stages.vision.embed import Embed
from stages.vision.look import Fit
from stages.vision.nsfw import NsfwNetwork, fit

pytestmark = pytest.mark.video
PLACES = {"cc10.mp4": [0], "dj1.mp4": [0, 4], "dj3.mp4": [0, 8, 20]}
"""Spans of two seconds: numbers of those that are taken."""


class Features(NsfwNetwork):
    """What the last layer of Open NSFW is given, as an encoder of pictures."""

    def sampling(self, kind: type[Sampling], **options: Any) -> Sampling:
        """Whole frames, as the network was trained on them."""
        return kind(size=1 << 16, enlarge=False, reduce=fit, **options)

    def encode(self, pictures: Sequence[Sequence[Any]]) -> list[np.ndarray]:
        """Of length 1, without what all pictures have in common."""
        features = [self.see(some)[1] for some in pictures]
        centred = [rows - np.concatenate(features).mean(axis=0) for rows in features]
        return [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in centred]


class Thumbnails:
    """The picture itself, very small."""

    name = "thumbnails"
    model_id_names = ()

    def setup(self, *_: object) -> None:
        """Nothing to load."""

    def sampling(self, kind: type[Sampling], **options: Any) -> Sampling:
        """Of 16 by 16 pixels."""
        return kind(size=1 << 16, enlarge=False, reduce=Fit(16, 16), **options)

    def encode(self, pictures: Sequence[Sequence[Any]]) -> list[np.ndarray]:
        """Of length 1, without the brightness."""
        rows = [np.stack(some).reshape(len(some), -1).astype(np.float32) for some in pictures]
        centred = [one - one.mean(axis=1, keepdims=True) for one in rows]
        return [one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-6) for one in centred]


class RealEmbed(Embed):
    """`Embed`, with features that mean something."""

    def __init__(self, model: Any) -> None:
        super().__init__(frames=4)
        self.model = model


def encoded_again(clip: ClipTask, path: Path) -> ClipTask:
    """The clip at three quarters of its size, with fewer bits."""
    with av.open(os.fspath(clip.clip or "")) as given, av.open(os.fspath(path), "w") as out:
        stream = out.add_stream("libx264", rate=24, options={"crf": "28", "preset": "veryfast"})
        stream.width, stream.height = (side * 3 // 4 // 2 * 2 for side in (clip.width, clip.height))
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(given.decode(video=0)):
            small = frame.reformat(stream.width, stream.height)
            small.pts, small.time_base = number, Fraction(1, 24)
            out.mux(stream.encode(small))
        out.mux(stream.encode(None))
    return attrs.evolve(clip, id=stable_id(clip.id, "again"), clip=File(os.fspath(path), os.fspath(path)))


def check(model: Any, clips: list[ClipTask], folder: Path) -> None:
    """Each copy is nearer to its clip than any two of different clips are to each other."""
    copies = [encoded_again(clip, folder / f"{k}.mp4") for k, clip in enumerate(clips)]
    outcome = try_stage(RealEmbed(model), clips + copies, folder / "embed")
    assert [] == outcome.failed
    table = parquet.read_table(outcome.tasks[0].embeddings[0])
    assert [task.id for task in clips + copies] == table["id"].to_pylist()
    rows = np.array(table["embedding"].to_pylist())
    near, count = rows @ rows.T, len(clips)
    same = [near[k, k + count] for k in range(count)]
    different = max(near[a, b] for a in range(2 * count) for b in range(a) if a % count != b % count)
    assert min(same) > different


def test_thumbnails_of_the_samples(tmp_path: Path) -> None:
    """Eight scenes of the sample videos, by what they show in 16 by 16 pixels."""
    script = ROOT / "scripts" / "make-samples"
    subprocess.run([sys.executable, script, tmp_path, "--small"], check=True, capture_output=True)
    videos = ["cuts.mp4", "fade.mp4", "pan.mp4"]
    clips = [clip for name in videos for clip in cut_clips(tmp_path / name, tmp_path / f"cut-{name}")]
    assert 8 == len(clips)
    check(Thumbnails(), clips, tmp_path)


def test_features_of_real_videos(real_videos: Path, tmp_path: Path) -> None:
    """Two seconds each of several places, by features of a real network."""
    pytest.importorskip("onnxruntime", reason="the vision extra is not installed")
    provide_weights({"open-nsfw": str(weights("open-nsfw"))})
    clips: list[ClipTask] = []
    for name, places in PLACES.items():
        spans = short_clips(real_videos / name, tmp_path / name, stride_s=2.0)
        made = try_stage(
            Cut(preset="ultrafast", audio=False), [spans[k] for k in places], tmp_path / name / "cut"
        ).tasks
        clips += [attrs.evolve(clip, clip=File(os.fspath(clip.clip), os.fspath(clip.clip))) for clip in made]
    check(Features(), clips, tmp_path)
