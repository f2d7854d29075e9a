"""Small pictures of tasks for the page: from their previews, images and clips. Reads files; needs Pillow.

A picture is a strip of a few frames beside each other, which the page plays when it is pointed at.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import attrs

from hpcurate.report.row_files import files_of
from hpcurate.report.rows import Plain

if TYPE_CHECKING:
    from PIL.Image import Image

HEIGHT = 126
"""Pixels of a picture."""
WIDEST = 280
FRAMES, FIRST = 5, 16
"""Of a strip, and from how many of an animation: each needs those before it."""
QUALITY = 55
MOST_PIXELS = 64_000_000
"""Of an image that is opened."""
MOST_DECODED = 600
"""Frames between a key frame and the span that is wanted; where it is farther away there is no picture."""
PLAIN_BYTES = 30_000
"""Of an image that is embedded as it is, where nothing can make it smaller."""
IMAGES = {".webp": "webp", ".gif": "gif", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
MOVIES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv")


@attrs.define(frozen=True)
class Picture:
    """A strip as a browser takes it."""

    data: str
    """`data:` address."""
    frames: int
    ratio: float
    """Width by height of one frame."""


@attrs.define
class Limits:
    """What all pictures of a page may take."""

    count: int = 200
    bytes: int = 12_000_000
    seconds: float = 10.0


def pictures_of(rows: Iterable[tuple[int, Plain]], stages: str, limits: Limits) -> dict[int, Picture]:
    """Number of a row → its picture, in this order, as far as the limits allow. `stages`: where files are."""
    found: dict[int, Picture] = {}
    until, left = time.monotonic() + limits.seconds, limits.bytes
    for number, row in rows:
        if len(found) >= limits.count or left <= 0 or time.monotonic() > until:
            break
        picture = next((p for path in candidates(row, stages) if (p := picture_of(path, row))), None)
        if picture is not None:
            found[number] = picture
            left -= len(picture.data)
    return found


def candidates(row: Plain, stages: str) -> list[str]:
    """Files that show the task: images before movies, what a stage made of it before its source. Touches no file."""
    made = [path for path in files_of(row, stages) if ".." not in PurePosixPath(path).parts]
    shown = [path for path in (*made, str(row.get("path"))) if path.lower().endswith((*IMAGES, *MOVIES))]
    return sorted(shown, key=lambda path: path.lower().endswith(MOVIES))


def can_draw() -> bool:
    """Whether Pillow is installed."""
    with suppress(ImportError):
        import PIL.Image  # noqa: F401

        return True
    return False


def picture_of(path: str, row: Plain) -> Picture | None:
    """The strip of a file; None where it is gone, is none, or cannot be decoded here."""
    with suppress(Exception):  # a decoder may raise anything about a broken file; then there is no picture of it
        if not can_draw():
            return _as_it_is(path)
        frames = list(_frames_of_movie(path, row) if path.lower().endswith(MOVIES) else _frames_of_image(path))
        return _strip(frames) if frames else None
    return None


def _as_it_is(path: str) -> Picture | None:
    suffix = IMAGES.get(PurePosixPath(path).suffix.lower())
    if suffix is None or os.path.getsize(path) > PLAIN_BYTES:
        return None
    with open(path, "rb") as file:
        return Picture(_address(suffix, file.read()), 1, 16 / 9)


def _frames_of_image(path: str) -> Iterator[Image]:
    from PIL import Image

    with Image.open(path) as image:
        if image.width * image.height > MOST_PIXELS:
            return
        count = min(FIRST, getattr(image, "n_frames", 1))
        image.draft("RGB", (WIDEST * 2, HEIGHT * 2))  # a JPEG is decoded small
        for number in _spread(count):
            image.seek(number)
            yield _small(image)


def _spread(count: int) -> list[int]:
    """Numbers of the frames of a strip: all, or some at even distances."""
    wanted = min(count, FRAMES)
    return [(2 * place + 1) * count // (2 * wanted) for place in range(wanted)]


def _frames_of_movie(path: str, row: Plain) -> Iterator[Image]:
    """One, a second into the task's span or from its middle; none where no key frame is near."""
    import av

    with av.open(path) as movie:
        stream = movie.streams.video[0]
        stream.thread_type = "AUTO"
        unit = float(stream.time_base or 0)
        begins = float(stream.start_time or 0) * unit
        start, end = _span_in_file(path, row, float(stream.duration or 0) * unit)
        wanted = begins + min((start + end) / 2, start + 1.0)
        movie.seek(int(wanted * 1_000_000))
        for count, frame in enumerate(movie.decode(stream)):
            if (frame.time or 0.0) >= wanted:
                yield _small(frame.to_image())  # type: ignore[no-untyped-call]
            if (frame.time or 0.0) >= wanted or count >= MOST_DECODED:
                return


def _span_in_file(path: str, row: Plain, length: float) -> tuple[float, float]:
    """Seconds of a file that are the task: all of a file of its own, else what its source's span says."""
    start, end = row.get("start_s"), row.get("end_s")
    if path == row.get("path") and isinstance(start, (int, float)) and isinstance(end, (int, float)):
        return float(start), float(end)
    return 0.0, length


def _small(image: Image) -> Image:
    from PIL.Image import Resampling

    height = min(HEIGHT, image.height)
    width = max(1, min(WIDEST, round(image.width * height / image.height)))
    return image.convert("RGB").resize((width, height), Resampling.BILINEAR, reducing_gap=2.0)


def _strip(frames: list[Image]) -> Picture:
    from PIL import Image

    width, height = frames[0].size
    strip = Image.new("RGB", (width * len(frames), height))
    for place, frame in enumerate(frames):
        strip.paste(frame, (place * width, 0))
    buffer = io.BytesIO()
    strip.save(buffer, "WEBP", quality=QUALITY, method=2)
    return Picture(_address("webp", buffer.getvalue()), len(frames), round(width / height, 4))


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
