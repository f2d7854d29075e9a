"""What has pictures gives them, whatever it is: a clip those of its own file, an image itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_help import make_video, number_of

from hpcurate import File
from hpcurate.errors import StageError
from stages.video.media.sampling import Sampling
from stages.video.tasks import ClipTask
from stages.vision.image_files import ImageError
from stages.vision.tasks import ImageTask, VisualTask

pytestmark = pytest.mark.video


def clip(file: File | None) -> ClipTask:
    """Two seconds of the source whose file this is; in the video it begins at 10 s."""
    return ClipTask(
        id="c", source="v.mp4", path="/not/read.mp4", start_s=10.0, end_s=12.0, start_pts=240, end_pts=288,
        time_base_num=1, time_base_den=24, start_frame=240, end_frame=288, width=128, height=96, fps_num=24, fps_den=1,
        source_width=128, source_height=96, source_codec="h264", clip=file,
    )  # fmt: skip


def test_a_clips_pictures_are_those_of_its_own_file(tmp_path: Path) -> None:
    """Of its length, from its own beginning; without a file the message says what is missing."""
    file = File("clip.mp4", str(make_video(tmp_path / "clip.mp4", frames=60)))
    gray = Sampling(fps=2, size=128, colour="gray")
    assert [0, 12, 24, 36] == [number_of(picture) for picture in clip(file).pictures(gray)]
    with pytest.raises(StageError, match="put this stage after Cut"):
        clip(None).pictures(gray)


def test_an_image_has_one_picture_the_way_it_is_shown(tmp_path: Path) -> None:
    """Turned as its EXIF data say, in the size and colours that are asked for."""
    made = Image.new("RGB", (64, 32), (200, 0, 0))
    made.paste((0, 0, 200), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees, clockwise
    made.save(tmp_path / "a.png", exif=exif)
    image = ImageTask(id="a", source="a.png", path=str(tmp_path / "a.png"), width=32, height=64)
    (shown,) = image.pictures(Sampling(fps=1, size=32))
    assert (shown.shape, shown[0, 0].tolist(), shown[-1, 0].tolist()) == ((32, 16, 3), [0, 0, 200], [200, 0, 0])
    (gray,) = image.pictures(Sampling(fps=5, size=128, enlarge=False, colour="gray"))
    assert (gray.shape, gray.dtype) == ((64, 32), np.uint8)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    """Not the path on this machine alone: the name that the user knows."""
    (tmp_path / "a.png").write_bytes(b"no image")
    image = ImageTask(id="a", source="sub/a.png", path=str(tmp_path / "a.png"), width=1, height=1)
    with pytest.raises(ImageError, match=r"sub/a\.png: cannot be read as an image"):
        image.pictures(Sampling(fps=1, size=32))


def test_a_class_of_ones_own_says_what_its_pictures_are() -> None:
    """Or is told that it has to."""
    with pytest.raises(NotImplementedError, match="VisualTask does not define samples"):
        VisualTask(id="a", source="a", path="/a").pictures(Sampling(fps=1, size=32))
