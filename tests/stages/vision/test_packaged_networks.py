"""Overlaid text and NSFW scores by the real networks that come in packages, on pictures that are drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the vision extra is not installed")
pytest.importorskip("av", reason="the video extra is not installed")

import cv2
from PIL import Image
from real_weights import weights
from video_help import cut_clips, make_video

from hpcurate import Chain, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.model import provide_weights
from hpcurate.testing import try_stage
from stages.video.media.decode import frames_decoded
from stages.vision.nsfw import Nsfw, NsfwNetwork, fit
from stages.vision.onnx_network import OnnxNetwork
from stages.vision.tasks import ImageTask
from stages.vision.text_share import TextDetector, TextShare

pytestmark = pytest.mark.video
HEIGHT, WIDTH = 360, 640


@pytest.fixture(scope="module", autouse=True)
def provided() -> None:
    """As a stage process has them."""
    provide_weights({name: str(weights(name)) for name in ("rapidocr-det", "open-nsfw")})


def ready(stage: Any) -> Any:
    """A stage that is set up."""
    stage.setup(WorkerInfo(index=0, process=0, cpus=2))
    return stage


def plain(shift: int = 0) -> np.ndarray:
    """A picture without text: three colours that run into each other."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([90 + 0 * x, (x + shift) * 200 // WIDTH % 256, y * 200 // HEIGHT], axis=2).astype(np.uint8)


def written(text: str, left: int, bottom: int, picture: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """(the picture with a line of text, share of it that the line takes)."""
    font, scale, thick = cv2.FONT_HERSHEY_SIMPLEX, 1.2, 3
    picture = plain() if picture is None else picture.copy()
    cv2.putText(picture, text, (left, bottom), font, scale, (255, 255, 255), thick)
    (width, height), below = cv2.getTextSize(text, font, scale, thick)
    return picture, width * (height + below) / picture.shape[0] / picture.shape[1]


# -- overlaid text ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text() -> TextShare:
    """With its defaults: 2 pictures a second, 1 s, corners left out."""
    return ready(TextShare())  # type: ignore[no-any-return]


@pytest.mark.parametrize("line", ["BREAKING NEWS 2024", "typed words go here"])
def test_the_share_of_text_in_one_picture_is_that_of_its_lines(text: TextShare, line: str) -> None:
    """Within a third: the detector's boxes are a little larger or smaller than the letters."""
    picture, share = written(line, 60, 300)
    assert text.share([picture]) == pytest.approx(share, rel=0.33)


@pytest.mark.parametrize(
    "picture",
    [plain(), np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((100, 130, 3), 255, np.uint8), np.zeros((9, 7, 3), "u1")],
    ids=["colours", "black", "white", "small"],
)
def test_a_picture_without_text_has_none(text: TextShare, picture: np.ndarray) -> None:
    """Of any size."""
    assert 0.0 == text.share([picture])


def test_a_whole_scene_is_no_line_of_text(text: TextShare) -> None:
    """The detector takes these blobs for one line that fills the picture; with `tallest=2` it would count."""
    small = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    blobs = cv2.resize(small, (WIDTH, HEIGHT))
    generous = TextDetector(tallest=2.0)
    generous.setup()
    assert 1 == len(generous.boxes(blobs))
    assert 0 == len(text.model.boxes(blobs))


def test_text_counts_that_stands_still_while_the_picture_moves(text: TextShare) -> None:
    """In three pictures of six: a second at two a second. Text that moves along does not."""
    still = [written("subtitle", 200, 320, plain(40 * n))[0] for n in range(4)]
    share = text.share(still)
    assert 0.02 < share < 0.06
    assert 0.0 == text.share([written("passing by", 40 + 60 * n, 200, plain())[0] for n in range(4)])
    assert 0.0 == text.share([*still[:2], plain(), plain()])
    assert text.share([*still[:3], plain(), plain(), plain()]) == pytest.approx(share, abs=0.005)


def test_the_mean_over_all_pictures(text: TextShare) -> None:
    """Half of them have the text."""
    mean = TextShare(reduce="mean", still_s=0)
    mean.model = text.model
    picture, _ = written("subtitle", 200, 320)
    assert mean.share([picture, plain()]) == pytest.approx(text.share([picture]) / 2, abs=0.0002)


# -- NSFW -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nsfw() -> NsfwNetwork:
    """The network."""
    network = NsfwNetwork()
    network.setup(threads=2)
    return network


def waves(k: int) -> np.ndarray:
    """A picture in the colours of skin."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    green = 140 + 40 * np.sin(x / (40 + 20 * k)) * np.cos(y / 50)
    return np.stack([200 + 0 * x, green, 110 + 0 * x], 2).clip(0, 255).astype(np.uint8)


def test_scores_are_those_of_the_package(nsfw: NsfwNetwork) -> None:
    """What its own classifier said of these pictures; in batches of eight as well as alone."""
    pictures = [fit(waves(k)) for k in range(4)]
    scores, features = nsfw.see(pictures * 3)
    assert [0.0075, 0.0272, 0.0348, 0.0347] == pytest.approx(list(scores[:4]), abs=0.004)
    assert (12, 1024) == features.shape
    alone, _ = nsfw.see(pictures[1:2])
    assert float(alone[0]) == pytest.approx(float(scores[1]), abs=1e-5)


def test_results_do_not_depend_on_threads(nsfw: NsfwNetwork) -> None:
    """The cores of a stage process are no part of its fingerprint."""
    one = NsfwNetwork()
    one.setup(threads=1)
    pictures = [fit(waves(k)) for k in range(3)]
    assert all((a == b).all() for a, b in zip(one.see(pictures), nsfw.see(pictures)))


def test_features_of_a_picture_and_its_worse_copy_are_near(nsfw: NsfwNetwork) -> None:
    """Nearer than two different pictures."""
    small = [cv2.resize(waves(k)[:, 40 * k :], (160, 90)) for k in range(2)]
    _, rows = nsfw.see([fit(picture) for picture in (waves(0), small[0], plain())])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.05


# -- as stages --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[ImageTask]:
    """One with text, one without."""
    folder = tmp_path_factory.mktemp("images")
    made = []
    for name, picture in (("plain", plain()), ("text", written("typed words go here", 60, 300)[0])):
        Image.fromarray(picture).save(folder / f"{name}.png")
        path = str(folder / f"{name}.png")
        made.append(ImageTask(id=name, source=f"{name}.png", path=path, width=WIDTH, height=HEIGHT))
    return made


def test_images_are_measured_and_filtered(images: list[ImageTask], tmp_path: Path) -> None:
    """In an image all text counts; reasons name the bound."""
    both = Chain([TextShare(max_share=0.05), Nsfw(max_score=0.8)])
    outcome = try_stage(both, images, tmp_path / "images")
    assert ["plain"] == [task.id for task in outcome.tasks]
    assert 0.0 == outcome.tasks[0].text_share
    assert 0 <= outcome.tasks[0].nsfw_score < 0.1
    assert [("text", "overlaid text above 0.05")] == [(row["id"], row["reason"]) for row in outcome.dropped]
    strict = try_stage(Nsfw(max_score=0.0, reduce="mean"), images, tmp_path / "none")
    assert ["NSFW score above 0"] * 2 == [row["reason"] for row in strict.dropped]


def test_clips_are_decoded_once_for_both(tmp_path: Path) -> None:
    """In `prepare` of the first."""
    clips = cut_clips(
        make_video(tmp_path / "v.mp4", frames=48), tmp_path / "cut", method="stride", stride_s=1.0, min_s=0.5
    )
    frames_decoded.clear()
    outcome = try_stage(Chain([TextShare(fps=1.0), Nsfw()]), clips, tmp_path / "trial")
    assert [] == outcome.failed
    assert all(task.text_share is not None and task.nsfw_score is not None for task in outcome.tasks)
    assert {"v.mp4": 48} == dict(frames_decoded)


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TextShare(corner=0.5), "corner: 0.5: expected 0 or more, and less than 0.5"),
        (lambda: TextShare(still_s=-1), "still_s: -1: expected 0 or more"),
        (lambda: TextShare(fps=0), "fps: 0: expected more than 0"),
        (lambda: TextShare(tallest=0), "tallest: 0: expected more than 0"),
        (lambda: Nsfw(fps=-1), "fps: -1: expected more than 0"),
    ],
)
def test_wrong_parameters_are_refused(make: Callable[[], object], said: str) -> None:
    """When the stage is made."""
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def test_weights_of_another_network_are_refused() -> None:
    """With the shape that was expected, before anything is computed."""
    with pytest.raises(ConfigError, match=r"model rapidocr-det: its input is .*, expected \(any, 224, 224, 3\)"):
        OnnxNetwork("rapidocr-det", (None, 224, 224, 3)).setup()


@pytest.mark.parametrize(("files", "said"), [([], "found 0"), (["a", "b"], "found 2"), (["a"], "no network that")])
def test_weights_that_are_no_network_are_refused(tmp_path: Path, files: list[str], said: str) -> None:
    """One file is expected, and one that onnxruntime reads."""
    for name in files:
        (tmp_path / f"{name}.onnx").write_bytes(b"no network")
    provide_weights({"bad": str(tmp_path)})
    try:
        with pytest.raises(ConfigError, match=f"model bad: .*{said}"):
            OnnxNetwork("bad", (None,)).setup()
    finally:
        provide_weights({name: str(weights(name)) for name in ("rapidocr-det", "open-nsfw")})
