"""The video pipeline on rendered videos whose truth is known, and on real ones where there are any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from checkout import ROOT
from PIL import Image

from hpcurate import Chain, FileTask, stable_id
from hpcurate.testing import Outcome, try_stage
from stages.video.cut import Cut
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.probe import Probe
from stages.video.split import Split
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video


def same_tree(a: Path, b: Path) -> str:
    """What `scripts/same-tree` says of two trees; empty if they are equal."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "same-tree", a, b], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's videos, with `truth.json` beside them."""
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, ROOT / "scripts" / "make-samples", folder], check=True, capture_output=True)
    return folder


SMALL_SHARDS = ["stages.probe.shard_tasks=2", "stages.split.shard_tasks=1", "stages.clips.shard_weight=20"]
"""So that the small samples make several shards of each stage."""
QUICK = ("stages.cut.preset=ultrafast", "stages.cut.crf=35", "stages.preview.effort=0")
"""Where it does not matter how small a clip is: half of the time of a run."""


def run_pipeline(
    folder: Path, store: Path, output: Path, launcher: str = "local", *more: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Type the command of the README."""
    words = ["+pipeline=video", f"input={folder}", f"store={store}", f"output={output}", f"launcher={launcher}", *more]
    environment = {**os.environ, "XDG_STATE_HOME": str(store.parent), **env}
    words += ["wait=true", *SMALL_SHARDS] if "samples" in folder.name else ["wait=true"]
    done = subprocess.run(
        [sys.executable, "-m", "hpcurate", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done


@pytest.fixture(scope="session")
def curated(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store, output and decode log of one run over the samples."""
    folder = tmp_path_factory.mktemp("curated")
    run_pipeline(
        samples, folder / "store", folder / "out", "local", *QUICK, HPCURATE_DECODE_LOG=str(folder / "decoded")
    )
    return folder


def file_task(path: Path) -> FileTask:
    """As the source would make it."""
    return FileTask(id=stable_id(path.name), source=path.name, path=str(path), size=path.stat().st_size, mtime_ns=0)


def spans(path: Path, folder: Path, **parameters: object) -> list[tuple[int, int]]:
    """First and past-the-last frame of every span of a video."""
    probed = try_stage(Probe(), [file_task(path)], folder / "probe")
    assert not probed.failed, probed.failed
    split = try_stage(Split(**parameters), probed.tasks, folder / "split")  # type: ignore[arg-type]
    return [(clip.start_frame, clip.end_frame) for clip in split.tasks]


def clips(path: Path, folder: Path) -> Outcome:
    """Every scene of a video, cut."""
    probed = try_stage(Probe(), [file_task(path)], folder / "probe")
    split = try_stage(Split(min_s=0.5), probed.tasks, folder / "split")
    return try_stage(Chain([Cut(), Motion(threshold=0), Preview()]), split.tasks, folder / "cut")


@pytest.fixture(scope="session")
def cuts(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ClipTask]:
    """The scenes of one of them, cut as by default."""
    return clips(samples / "cuts.mp4", tmp_path_factory.mktemp("cuts")).tasks


def test_hard_cuts_are_found_within_one_frame(samples: Path, tmp_path: Path) -> None:
    """Against the known boundaries of the rendered video."""
    truth = json.loads((samples / "truth.json").read_text())["videos"]["cuts.mp4"]
    starts = [start for start, _ in spans(samples / "cuts.mp4", tmp_path)]
    expected = [0, *truth["cuts"]]
    assert len(starts) == len(expected)
    assert all(abs(a - b) <= 1 for a, b in zip(starts, expected))


@pytest.mark.parametrize(("name", "cuts"), [("fade", 1), ("dissolve", 0), ("static", 0), ("black", 0)])
def test_soft_changes_are_as_the_docs_say(samples: Path, tmp_path: Path, name: str, cuts: int) -> None:
    """A fade is one cut in its black middle; a one-second dissolve is missed."""
    truth = json.loads((samples / "truth.json").read_text())["videos"][f"{name}.mp4"]
    found = [start for start, _ in spans(samples / f"{name}.mp4", tmp_path)][1:]
    assert len(found) == cuts
    if name == "fade":
        assert truth["fade"][0] <= found[0] <= truth["fade"][2]


def test_a_video_without_a_cut_is_one_clip(samples: Path, tmp_path: Path) -> None:
    """From the first frame to the last."""
    assert spans(samples / "static.mp4", tmp_path) == [(0, 96)]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"stride_s": 5.0}, [(0, 120), (120, 240), (240, 360)]),
        ({"stride_s": 4.0}, [(0, 96), (96, 192), (192, 288), (288, 360)]),
        ({"stride_s": 7.0}, [(0, 168), (168, 336)]),  # the rest of one second is shorter than min_s: dropped
        ({"stride_s": 15.0, "max_s": 6.0}, [(0, 120), (120, 240), (240, 360)]),  # too long: fewest equal pieces
    ],
)
def test_strides_short_and_long_ones(
    samples: Path, tmp_path: Path, parameters: dict[str, float], expected: list[tuple[int, int]]
) -> None:
    """15 s at 24 frames a second, under the stated rule for shorter and longer spans."""
    assert spans(samples / "cuts.mp4", tmp_path, method="stride", **parameters) == expected


def test_a_clip_has_exactly_the_frames_of_its_span(cuts: list[ClipTask]) -> None:
    """Counted by decoding; sound is kept and as long."""
    for clip in cuts:
        with av.open(os.fspath(clip.clip)) as container:
            frames = sum(1 for _ in container.decode(video=0))
            assert container.streams.video[0].codec_context.name == "h264"
            sound = container.streams.audio[0]
            assert float(sound.duration * sound.time_base) == pytest.approx(clip.duration_s, abs=0.08)
        assert frames == clip.end_frame - clip.start_frame == clip.frames


def test_first_frame_of_a_clip_is_that_of_its_scene(samples: Path, cuts: list[ClipTask]) -> None:
    """Frame-accurate, not at the nearest keyframe."""
    with av.open(os.fspath(samples / "cuts.mp4")) as container:
        source = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    for clip in cuts:
        with av.open(os.fspath(clip.clip)) as container:
            first = next(container.decode(video=0)).to_ndarray(format="gray")
        assert np.abs(first.astype(int) - source[clip.start_frame].astype(int)).mean() < 4


def test_cutting_twice_gives_identical_bytes(samples: Path, tmp_path: Path) -> None:
    """Fixed encoder threads, no dates in the file (I2)."""
    first, second = clips(samples / "fade.mp4", tmp_path / "a"), clips(samples / "fade.mp4", tmp_path / "b")
    assert [t.sha256 for t in first.tasks] == [t.sha256 for t in second.tasks]
    assert same_tree(first.folder / "files", second.folder / "files") == ""


def test_a_preview_moves(samples: Path, tmp_path: Path) -> None:
    """Animated WebP that Pillow reads back."""
    for clip in clips(samples / "pan.mp4", tmp_path).tasks:
        with Image.open(os.fspath(clip.preview)) as image:
            assert (image.format, image.n_frames > 1) == ("WEBP", True)


def test_what_stands_still_is_dropped_with_a_reason(curated: Path) -> None:
    """Static and black ones fall below the default; their files are not in the store."""
    rows = [
        json.loads(line)
        for p in curated.glob("store/stages/clips-*/shards/*/*/dropped.jsonl")
        for line in p.read_text().splitlines()
    ]
    assert sorted(row["task"]["source"] for row in rows) == ["black.mp4", "static.mp4"]
    assert all("motion" in row["reason"] and row["value"] < row["threshold"] == 0.25 for row in rows)
    assert [row["task"][row["measure"]] for row in rows] == [row["value"] for row in rows]
    kept = {p.name for p in curated.glob("store/stages/clips-*/shards/*/*/files/*")}
    assert not kept & {row["id"] for row in rows}


def test_every_second_of_the_samples_is_accounted_for(curated: Path) -> None:
    """Each stage is given what the one above passed on, and all of it goes out or has a reason."""
    stages = json.loads((curated / "store/runs/latest/summary.json").read_text())["stages"]
    seconds = {name: ends_of(stage) for name, stage in stages.items()}
    for above, name in (("probe", "split"), ("split", "clips"), ("clips", "write")):
        ends = seconds[name]
        assert seconds[above]["out"] == pytest.approx(ends["in"])
        assert ends["in"] == pytest.approx(sum(ends.values()) - ends["in"], abs=0.05 * 7)
    assert 0 < seconds["clips"]["lost"]
    assert stages["probe"]["amounts_in"]["bytes"] > stages["probe"]["amounts_failed"]["bytes"] > 0


def ends_of(stage: dict[str, Any]) -> dict[str, float]:
    """Seconds in, and where they ended."""
    lost = sum(amounts.get("seconds", 0.0) for amounts in stage.get("lost", {}).values())
    left = sum(left["amounts"].get("seconds", 0.0) for left in stage.get("left_out", {}).values())
    whole = {end: stage.get(f"amounts_{end}", {}).get("seconds", 0.0) for end in ("in", "out", "failed")}
    return {**whole, "lost": lost, "left out": left}


def test_the_result_is_laid_out_as_promised(curated: Path) -> None:
    """clips, metas, previews by id; hard links where possible; a table and a summary."""
    out = curated / "out"
    ids = {p.stem for p in out.glob("clips/*/*.mp4")}
    assert ids == {p.stem for p in out.glob("metas/v0/*/*.json")}
    assert ids == {p.parent.name for p in out.glob("previews/*/*/0_*.webp")}
    summary = json.loads((out / "summary.json").read_text())
    assert len(ids) == summary["total_num_clips_passed"] == 9
    assert (summary["num_input_videos"], summary["num_failed"], summary["num_filtered"]) == (7, 1, 2)
    assert summary["stages"]["probe"] == {"in": 7, "out": 6, "filtered": 0, "failed": 1}
    assert all(p.stat().st_nlink > 1 for p in out.glob("clips/*/*.mp4"))
    import pyarrow.parquet

    assert set(pyarrow.parquet.read_table(out / "clips.parquet").column("span_uuid").to_pylist()) == ids


def test_the_broken_file_is_a_dead_letter_and_the_second_call_does_nothing(curated: Path, samples: Path) -> None:
    """Named with its path and reason; no shard is attempted again."""
    (row,) = [json.loads(p.read_text()) for p in curated.glob("store/stages/probe-*/shards/*/*/failed.jsonl")]
    assert row["task"]["source"] == "broken.mp4"
    assert "truncated" in row["message"]
    before = sorted(curated.glob("store/stages/*/claims/*/*"))
    done = run_pipeline(samples, curated / "store", curated / "out", "local", *QUICK)
    assert "nothing to do" in done.stderr
    assert sorted(curated.glob("store/stages/*/claims/*/*")) == before


def decoded(log: Path) -> Counter[str]:
    """Frames decoded of each source over all processes."""
    counts: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        _, source, frames = line.split()
        counts[source] += int(frames)
    return counts


LOOKED_BEHIND = 4
"""Frames after a span that are decoded before it is known to have ended."""


def most_frames(video: Path, spans: list[tuple[float, float]]) -> int:
    """Each frame once to find the cuts, and for each span those from the key frame before it to its end."""
    with av.open(os.fspath(video)) as container:
        stream = container.streams.video[0]
        packets = [(p.pts * stream.time_base, p.is_keyframe) for p in container.demux(stream) if p.pts is not None]
    frames, first = sorted(packets), min(packets)[0]
    needed = len(frames)
    for begin, end in spans:
        start = max((at for at, key in frames if key and at - first <= begin), default=first)
        needed += sum(1 for at, _ in frames if start <= at and at - first < end) + LOOKED_BEHIND
    return needed


def spans_of(store: Path) -> dict[str, list[tuple[float, float]]]:
    """Spans that `split` found, by the name of their video."""
    found: dict[str, list[tuple[float, float]]] = {}
    for rows in store.glob("stages/split-*/shards/*/[!.]*/tasks.jsonl"):
        for row in map(json.loads, rows.read_text().splitlines()):
            found.setdefault(os.path.basename(row["source"]), []).append((row["start_s"], row["end_s"]))
    return found


def test_only_what_a_span_needs_is_decoded(curated: Path, samples: Path) -> None:
    """Once to find the cuts, once for cut, motion and preview together, from the key frame before each clip."""
    spans, counts = spans_of(curated / "store"), decoded(curated / "decoded")
    assert spans
    assert {name: counts[name] for name in spans if counts[name] > most_frames(samples / name, spans[name])} == {}


def test_inline_and_local_give_the_same_result(curated: Path, samples: Path, tmp_path: Path) -> None:
    """By the one comparer of trees."""
    run_pipeline(samples, tmp_path / "store", tmp_path / "out", "inline", *QUICK)
    assert same_tree(curated / "out", tmp_path / "out") == ""


@pytest.mark.slurm
def test_slurm_gives_the_same_result_on_real_videos(real_videos: Path, tmp_path: Path, slurm) -> None:  # type: ignore[no-untyped-def]
    """Five real videos: `slurm` and `local` agree, and only what is needed is decoded."""
    log = tmp_path / "decoded"
    log_env = {"HPCURATE_DECODE_LOG": str(log)}
    run_pipeline(real_videos, tmp_path / "a" / "store", tmp_path / "a" / "out", "local", *QUICK, **log_env)
    run_pipeline(real_videos, tmp_path / "b" / "store", tmp_path / "b" / "out", "slurm", *QUICK, **slurm.env)
    assert same_tree(tmp_path / "a" / "out", tmp_path / "b" / "out") == ""
    spans = spans_of(tmp_path / "a" / "store")
    for source, frames in decoded(log).items():
        assert frames <= most_frames(real_videos / source, spans[source])


BROKEN = {
    "empty.mp4": b"",
    "text.mp4": b"this is no video\n" * 50,
    "zeros.mkv": b"\0" * 5000,
    "riff.avi": b"RIFF\x10\0\0\0AVI LIST",
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_no_video_is_named(tmp_path: Path, name: str) -> None:
    """A dead letter with the file's name and a reason, never a crash."""
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    outcome = try_stage(Probe(), [file_task(path)], tmp_path / "probe")
    assert len(outcome.failed) == 1
    assert name in outcome.failed[0]["message"]


def render(
    path: Path, *, sides: tuple[int, int] = (320, 180), frames: int = 72, rotation: int = 0, audio_only: bool = False
) -> Path:
    """A small moving video, or sound alone."""
    with av.open(os.fspath(path), "w") as container:
        if audio_only:
            stream = container.add_stream("aac", rate=48000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "fltp", "mono")
            frame.rate = 48000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
            return path
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = sides[0], sides[1], "yuv444p" if sides[0] % 2 else "yuv420p"
        for number in range(frames):
            x = (np.arange(sides[0])[None, :] * 3 + number * 7) % 256
            picture = np.broadcast_to(x, (sides[1], sides[0])).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack([picture] * 3, axis=-1).copy(), "rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def test_sound_alone_is_named(tmp_path: Path) -> None:
    """`no video stream`."""
    outcome = try_stage(Probe(), [file_task(render(tmp_path / "song.mp4", audio_only=True))], tmp_path / "probe")
    assert "no video stream" in outcome.failed[0]["message"]


def test_odd_sides_lose_one_pixel(tmp_path: Path) -> None:
    """H.264 in 4:2:0 needs even sides."""
    (clip,) = clips(render(tmp_path / "odd.mp4", sides=(321, 181)), tmp_path / "x").tasks
    with av.open(os.fspath(clip.clip)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (320, 180) == (clip.width, clip.height)


def test_ids_depend_on_source_and_span_alone(samples: Path, tmp_path: Path) -> None:
    """The same file under another root gives the same ids."""
    copy = tmp_path / "elsewhere" / "fade.mp4"
    copy.parent.mkdir()
    copy.write_bytes((samples / "fade.mp4").read_bytes())
    ids = []
    for number, path in enumerate((samples / "fade.mp4", copy)):
        probed = try_stage(Probe(), [file_task(path)], tmp_path / f"p{number}")
        ids.append([t.id for t in try_stage(Split(), probed.tasks, tmp_path / f"s{number}").tasks])
    assert ids[0] == ids[1]
    assert all(isinstance(t, str) and len(t) == 36 for t in ids[0])


def test_a_rotated_video_is_cut_upright(tmp_path: Path, real_videos: Path) -> None:
    """The display size of the source is the size of the clip (a portrait video stays portrait)."""
    path = real_videos / "dj3.mp4"
    probed = try_stage(Probe(), [file_task(path)], tmp_path / "probe")
    split = try_stage(Split(method="stride", stride_s=5.0), probed.tasks, tmp_path / "split")
    first: ClipTask = split.tasks[0]
    (clip,) = try_stage(Chain([Cut(), Motion(threshold=0)]), [first], tmp_path / "cut").tasks
    assert (clip.width, clip.height) == (362, 640)
