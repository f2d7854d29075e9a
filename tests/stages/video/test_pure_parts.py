"""Pure parts of the video stages, without a video."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkout import ROOT

from stages.video.layout import clip_place, meta_place, readable
from stages.video.media.mp4 import mp4_fault
from stages.video.media.picture import filters
from stages.video.motion import motion_score, speed
from stages.video.probe import clockwise, displayed
from stages.video.samples import Samples, motion_pairs, preview_times
from stages.video.tasks import clip_id

pytestmark = pytest.mark.video


def test_an_id_depends_on_source_start_and_end() -> None:
    """Each of them counts."""
    spans = [("a.mp4", 0, 2), ("b.mp4", 0, 2), ("a.mp4", 1, 2), ("a.mp4", 0, 3)]
    assert len({clip_id(source, Fraction(start), Fraction(end)) for source, start, end in spans}) == 4


def test_an_id_takes_names_of_any_bytes() -> None:
    """Undecodable names, as `os.fsdecode` gives them."""
    assert clip_id("caf\udce9.mp4", Fraction(0), Fraction(1)) != clip_id("café.mp4", Fraction(0), Fraction(1))


@pytest.mark.parametrize(
    ("fan", "expected"), [(0, "clips/3fab.mp4"), (1, "clips/3f/3fab.mp4"), (2, "clips/3f/ab/3fab.mp4")]
)
def test_levels_of_folders(fan: int, expected: str) -> None:
    """Two digits of the id a level."""
    assert clip_place("3fab", fan) == expected


def test_the_flat_layout_is_that_of_cosmos_curate() -> None:
    """`metas/v0/<id>.json`."""
    assert meta_place("3fab", 0) == "metas/v0/3fab.json"


def test_undecodable_names_become_valid_text() -> None:
    """For JSON and Parquet."""
    assert readable("caf\udce9/ü.mp4") == "caf\\xe9/ü.mp4"


@pytest.mark.parametrize(("angle", "expected"), [(0, 0), (-90, 90), (90, 270), (180, 180), (-180, 180), (12, 0)])
def test_quarter_turns(angle: float, expected: int) -> None:
    """FFmpeg counts counter-clockwise; anything but quarter turns is ignored."""
    assert clockwise(angle) == expected


def test_displayed_size_has_square_pixels_and_the_rotation() -> None:
    """720×576 with pixels 16:11 wide is 1047×576 on a screen."""
    assert displayed(720, 576, Fraction(16, 11), 0) == (1047, 576)
    assert displayed(1920, 1080, None, 90) == (1080, 1920)


@pytest.mark.parametrize(
    ("given", "wanted", "rotation", "pix_fmt", "names"),
    [
        ((640, 360), (640, 360), 0, "yuv420p", []),
        ((641, 361), (640, 360), 0, "yuv420p", ["crop"]),
        ((640, 360), (360, 640), 90, "yuv420p", ["transpose"]),
        ((640, 360), (640, 360), 180, "yuv420p", ["hflip", "vflip"]),
        ((720, 576), (1046, 576), 0, "yuv420p", ["scale", "setsar"]),
        ((640, 360), (640, 360), 0, "yuv420p10le", ["scale", "format", "setsar"]),
    ],
)
def test_pictures_are_touched_no_more_than_needed(
    given: tuple[int, int], wanted: tuple[int, int], rotation: int, pix_fmt: str, names: list[str]
) -> None:
    """Nothing for a picture that fits."""
    assert [name for name, _ in filters(given, wanted, rotation, pix_fmt)] == names


def test_short_clips_are_measured_throughout() -> None:
    """Neighbours at the rate, each the end of one pair and the start of the next."""
    assert motion_pairs(1.0, 4.0) == [(0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]


def test_long_clips_are_measured_at_a_bounded_number_of_places() -> None:
    """Spread evenly, at the same distance within a pair."""
    pairs = motion_pairs(3600.0, 4.0, limit=10)
    assert [start for start, _ in pairs] == [360.0 * k for k in range(10)]
    assert {round(end - start, 6) for start, end in pairs} == {0.25}


def test_a_preview_has_at_least_one_picture_and_an_end() -> None:
    """However short or long the clip."""
    assert preview_times(0.01, 4.0, 6.0) == [0.0]
    assert len(preview_times(100.0, 4.0, 6.0)) == 24


def plaid(shift: int) -> Any:
    """A smooth pattern (90, 160), moved to the right by whole pixels."""
    x, y = np.arange(160)[None, :] - shift, np.arange(90)[:, None]
    return (128 + 60 * np.sin(x / 5) + 50 * np.cos(y / 7)).astype(np.uint8)


def test_motion_is_in_percent_of_the_diagonal_per_second() -> None:
    """Two pixels in a quarter of a second, on a diagonal of 183.6 pixels, are 4.36 % per second."""
    assert speed(0.25, plaid(0), plaid(2)) == pytest.approx(100 * 2 / np.hypot(160, 90) / 0.25, rel=0.1)


def test_what_stands_still_has_no_motion() -> None:
    """Nor has a clip without a pair."""
    assert motion_score(Samples(pairs=[(0.25, plaid(0), plaid(0))])) == pytest.approx(0, abs=1e-3)
    assert motion_score(Samples()) == 0.0


def box(kind: bytes, size: int, body: int) -> bytes:
    """An MP4 box that says `size` and holds `body` bytes."""
    return struct.pack(">I4s", size, kind) + bytes(body)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (box(b"ftyp", 16, 8) + box(b"moov", 16, 8) + box(b"mdat", 24, 16), None),
        (box(b"ftyp", 16, 8) + box(b"moov", 16, 8) + box(b"mdat", 0, 16), None),  # 0: to the end of the file
        (box(b"ftyp", 16, 8) + box(b"mdat", 24, 16), "no 'moov' box"),
        (box(b"ftyp", 16, 8) + box(b"moov", 16, 8) + box(b"mdat", 99, 16), "ends at byte 131"),
        (b"\x1aE\xdf\xa3 this is Matroska", None),
        (b"", None),
    ],
)
def test_what_is_missing_from_an_mp4(tmp_path: Path, data: bytes, expected: str | None) -> None:
    """Told from its outermost boxes; other files are not judged."""
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    found = mp4_fault(str(path))
    assert found is None if expected is None else found is not None and expected in found


def test_constructing_the_stages_imports_nothing_heavy() -> None:
    """The driver and the gates construct them, too."""
    code = (
        "import sys; from stages.video import cut, index, motion, preview, probe, split, write; "
        "probe.Probe(), split.Split(), cut.Cut(), motion.Motion(), preview.Preview(), "
        "write.Write('o'), index.Index('o'); "
        "print(*sorted({'av', 'cv2', 'numpy', 'scenedetect', 'PIL', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
