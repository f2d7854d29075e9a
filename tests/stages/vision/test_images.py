"""Image files: odd ones become pictures as a viewer shows them, broken and huge ones dead letters."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL", reason="the video extra is not installed")

from PIL import Image

from hpcurate import FileTask, stable_id
from hpcurate.errors import ConfigError
from hpcurate.testing import Outcome, try_stage
from stages.video.media.sampling import Sampling
from stages.vision.image_files import MOST_PIXELS
from stages.vision.images import ProbeImages

pytestmark = pytest.mark.video
WHOLE = Sampling(fps=1, size=1 << 16, enlarge=False)
RED = (200, 10, 20)


def probe(folder: Path, **options: Any) -> Outcome:
    """What becomes of the files of a folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tasks = [
        FileTask(id=stable_id(p.name), source=p.name, path=os.fspath(p), size=p.stat().st_size, mtime_ns=0)
        for p in files
    ]
    return try_stage(ProbeImages(**options), tasks, folder / "probe")


def save(folder: Path, name: str, image: Image.Image, **options: Any) -> None:
    """One file."""
    image.save(folder / name, **options)


def test_modes_become_what_a_viewer_shows(tmp_path: Path) -> None:
    """What is transparent is white; 16 bits are their upper 8; of an animation the first picture counts."""
    deep = Image.fromarray(np.full((3, 4), 40_000, np.uint16))
    palette = Image.new("RGB", (4, 3), RED).quantize(4)
    save(tmp_path, "animated.gif", palette, save_all=True, append_images=[Image.new("P", (4, 3))])
    save(tmp_path, "bits.bmp", Image.new("1", (4, 3), 1))
    save(tmp_path, "clear.png", Image.new("RGBA", (4, 3), (0, 0, 0, 0)))
    save(tmp_path, "cmyk.tif", Image.new("CMYK", (4, 3), (0, 255, 255, 0)))
    save(tmp_path, "deep.png", deep)
    save(tmp_path, "deep.tif", deep)
    save(tmp_path, "hole.gif", palette, transparency=palette.getpixel((0, 0)))
    save(tmp_path, "one.webp", Image.new("RGB", (1, 1), RED), lossless=True)
    save(tmp_path, "solid.png", Image.new("LA", (4, 3), (100, 255)))
    outcome = probe(tmp_path)
    assert [] == outcome.failed
    pictures = [task.pictures(WHOLE)[0] for task in outcome.tasks]
    assert [(task.height, task.width, 3) for task in outcome.tasks] == [picture.shape for picture in pictures]
    assert {
        "animated.gif": list(RED), "bits.bmp": [255] * 3, "clear.png": [255] * 3, "cmyk.tif": [255, 0, 0],
        "deep.png": [156] * 3, "deep.tif": [156] * 3, "hole.gif": [255] * 3, "one.webp": list(RED),
        "solid.png": [100] * 3,
    } == {task.source: list(map(int, picture[0, 0])) for task, picture in zip(outcome.tasks, pictures)}  # fmt: skip
    assert [2, 1, 1] == [task.frames for task in outcome.tasks[:3]]
    assert ["GIF", "BMP", "PNG", "TIFF"] == [task.format for task in outcome.tasks[:4]]


def test_size_and_pixels_are_those_after_the_rotation(tmp_path: Path) -> None:
    """All eight orientations that EXIF has."""
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        save(tmp_path, f"{turn}.jpg", Image.new("RGB", (64, 32), RED), exif=exif)
    outcome = probe(tmp_path)
    sizes = [(task.width, task.height) for task in outcome.tasks]
    assert [(64, 32)] * 4 + [(32, 64)] * 4 == sizes
    assert sizes == [(p.shape[1], p.shape[0]) for task in outcome.tasks for p in task.pictures(WHOLE)]


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims to be so large, and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + body + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def test_broken_and_huge_files_are_dead_letters(tmp_path: Path) -> None:
    """With the file's name and the fault; the others pass."""
    save(tmp_path, "good.png", Image.new("RGB", (8, 8), RED))
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "bomb.png").write_bytes(png_header(40_000, 40_000))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    save(tmp_path, "floats.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    (tmp_path / "large.png").write_bytes(png_header(2_000, 2_000))
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (8, 8)).save(tmp_path / "program.jpg", "EPS")  # Ghostscript would run it
    outcome = probe(tmp_path, max_pixels=1_000_000)
    assert ["good.png"] == [task.source for task in outcome.tasks]
    assert {"ImageError"} == {row["error"] for row in outcome.failed}
    said = {row["task"]["source"]: row["message"] for row in outcome.failed}
    assert "decompression bomb" in said["bomb.png"]
    assert "large.png: 2000 × 2000 pixels; expected 1000000 at most" == said["large.png"]
    assert "mode F" in said["floats.tif"]
    assert all(message.startswith(f"{name}: ") for name, message in said.items())
    assert {"cut.png", "empty.jpg", "text.jpg"} < said.keys()
    assert "program.jpg: cannot be read as an image: its format is not known" == said["program.jpg"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A file that was replaced by one after the input was listed: the stage waited for somebody to write, for ever."""
    save(tmp_path, "later.png", Image.new("RGB", (8, 8), RED))
    path = tmp_path / "later.png"
    task = FileTask(id="1", source=path.name, path=os.fspath(path), size=1, mtime_ns=0)
    path.unlink()
    os.mkfifo(path)
    (row,) = try_stage(ProbeImages(), [task], tmp_path / "x").failed
    assert "later.png: expected a regular file, found a pipe" == row["message"]


def test_the_limit_cannot_be_above_pillows_own() -> None:
    """The stages after it would refuse what it had let pass."""
    with pytest.raises(ConfigError, match="Pillow's own limit"):
        ProbeImages(max_pixels=MOST_PIXELS + 1)
