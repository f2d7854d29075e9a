"""Aesthetic scores and vectors with tiny networks of random weights: what is computed, kept, written and refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("av", reason="the video extra is not installed")

import pyarrow.parquet as parquet
from checkout import ROOT
from PIL import Image
from video_help import cut_clips, make_video

from hpcurate import Chain, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.model import provide_weights
from hpcurate.testing import try_stage
from stages.output_fields import published_files
from stages.video.media.decode import frames_decoded
from stages.video.media.sampling import Sampling
from stages.video.tasks import ClipTask
from stages.vision.aesthetic import Aesthetic, AestheticModel
from stages.vision.embed import Embed
from stages.vision.encoder import PictureEncoder
from stages.vision.look import Fit, look_of, middle
from stages.vision.tasks import ImageTask, VisualTask
from stages.vision.vectors import published_vectors

sys.path.insert(0, str(ROOT / "scripts"))

from tiny_models.build import tiny_aesthetic_head, tiny_clip, tiny_embedder, tiny_siglip

pytestmark = pytest.mark.video
CPU = WorkerInfo(index=0, process=0, cpus=1)
TINY = {"model": "tiny-clip", "head": "tiny-head"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model name → folder."""
    folder = tmp_path_factory.mktemp("weights")
    made = {"tiny-clip": tiny_clip, "tiny-siglip": tiny_siglip, "tiny-head": tiny_aesthetic_head, "text": tiny_embedder}
    for name, build in made.items():
        (folder / name).mkdir()
        build(folder / name)
    return {name: str(folder / name) for name in made}


@pytest.fixture(autouse=True)
def provided(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a stage process has them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    provide_weights(weights)
    yield
    provide_weights({})


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipTask]:
    """Two clips of two seconds, and one of a single frame."""
    folder = tmp_path_factory.mktemp("clips")
    video = make_video(folder / "v.mp4", width=320, height=180)
    made = cut_clips(video, folder / "a", method="stride", stride_s=2.0, min_s=0.1)
    return made + cut_clips(make_video(folder / "one.mp4", frames=1, sound=None), folder / "b", min_s=0.0)


def reference(weights: dict[str, str], name: str, pictures: list[Any]) -> np.ndarray:
    """Vectors by the library's own processor and network, one picture at a time."""
    import torch
    from transformers import AutoModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    kind: Any = CLIPImageProcessorPil if name == "tiny-clip" else SiglipImageProcessorPil
    processor, network = kind.from_pretrained(weights[name]), AutoModel.from_pretrained(weights[name]).eval()
    rows = []
    for picture in pictures:
        pixels = processor(images=[Image.fromarray(picture)], return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            row = network.get_image_features(pixel_values=pixels).pooler_output[0]
        rows.append((row / row.norm()).numpy())
    return np.stack(rows)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with something in every corner."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip"])
def test_vectors_are_those_of_the_librarys_own_processor(weights: dict[str, str], name: str) -> None:
    """Wide, high, smaller than the network's square, to the rounding of some pixels; in chunks that cut clips apart."""
    pictures = [noise(180, 320), noise(640, 224, 1), noise(100, 130, 2), noise(225, 224, 3), noise(301, 557, 4)]
    encoder = PictureEncoder(name, at_once=2)
    encoder.setup()
    fitted = [encoder.look.fit(picture) for picture in pictures]
    found = encoder.encode([fitted[:3], [], fitted[3:]])
    assert [(3, 32), (0, 32), (2, 32)] == [rows.shape for rows in found]
    assert np.abs(np.concatenate(found) - reference(weights, name, pictures)).max() < 2e-4


def frames_of(clip: ClipTask) -> list[np.ndarray]:
    """The clip's frames at one a second, of the network's size: its processor leaves them as they are."""
    return clip.pictures(Sampling(fps=1, size=1 << 16, enlarge=False, reduce=Fit(224, 224, 224)))


def test_the_aesthetic_score_is_the_heads_word_on_clips_vectors(
    weights: dict[str, str], clips: list[ClipTask], tmp_path: Path
) -> None:
    """As a straightforward computation has it; the least of a clip's pictures, or their mean."""
    import torch
    from safetensors.torch import load_file

    head = load_file(Path(weights["tiny-head"]) / "model.safetensors")
    wanted = []
    for clip in clips:
        rows = torch.from_numpy(reference(weights, "tiny-clip", frames_of(clip)))
        for layer in (0, 2, 4):
            rows = torch.nn.functional.linear(rows, head[f"layers.{layer}.weight"], head[f"layers.{layer}.bias"])
        wanted.append(rows[:, 0].numpy())
    assert [2, 2, 1] == [len(scores) for scores in wanted]
    least = try_stage(Aesthetic(**TINY), clips, tmp_path / "min")
    assert [task.aesthetic_score for task in least.tasks] == pytest.approx([s.min() for s in wanted], abs=1e-5)
    mean = try_stage(Aesthetic(**TINY, reduce="mean"), clips, tmp_path / "mean")
    assert [task.aesthetic_score for task in mean.tasks] == pytest.approx([s.mean() for s in wanted], abs=1e-5)
    middle_one = sorted(s.min() for s in wanted)[1]
    kept = try_stage(Aesthetic(**TINY, min_score=float(middle_one) - 1e-5), clips, tmp_path / "filter")
    assert 2 == len(kept.tasks)
    assert ["aesthetic score below"] == [row["reason"][:21] for row in kept.dropped]


def test_vectors_are_one_table_a_batch(weights: dict[str, str], clips: list[ClipTask], tmp_path: Path) -> None:
    """Of length 1, by clip id; a clip of one frame has that of the frame. Two networks: two tables, one decode."""
    frames_decoded.clear()
    outcome = try_stage(Chain([Embed("tiny-clip", frames=4), Embed("tiny-siglip", frames=4)]), clips, tmp_path / "e")
    assert [] == outcome.failed
    assert {"v.mp4": 96, "one.mp4": 1} == dict(frames_decoded)
    first, second = (outcome.tasks[0].embeddings[k] for k in (0, 1))
    assert [[first, second]] * 3 == [task.embeddings for task in outcome.tasks]
    table = parquet.read_table(first)
    assert ["string", "fixed_size_list<element: float>[32]"] == [str(kind) for kind in table.schema.types]
    assert [clip.id for clip in clips] == table["id"].to_pylist()
    rows = np.array(table["embedding"].to_pylist())
    assert np.allclose(1, np.linalg.norm(rows, axis=1))
    single = reference(weights, "tiny-clip", frames_of(clips[2]))
    assert np.allclose(single[0], rows[2], atol=1e-5)
    assert not np.allclose(rows, np.array(parquet.read_table(second)["embedding"].to_pylist()), atol=1e-2)
    assert f"tiny-clip_embd_parquet/{clips[0].id[:2]}/{clips[0].id}.parquet" == published_vectors(first, 1)
    task = outcome.tasks[2]
    task.clip = None
    assert [(file, published_vectors(file, 1)) for file in (first, second)] == published_files(task, 1)
    again = try_stage(Embed("tiny-clip", frames=4), clips, tmp_path / "again")
    assert Path(first).read_bytes() == Path(again.tasks[0].embeddings[0]).read_bytes()


def test_images_and_half_precision(weights: dict[str, str], tmp_path: Path) -> None:
    """An image is one picture; bfloat16 is near, and the table holds float32 all the same."""
    Image.fromarray(noise(50, 70)).save(tmp_path / "a.png")
    image: VisualTask = ImageTask(id="a", source="a.png", path=str(tmp_path / "a.png"), width=70, height=50)
    wanted = reference(weights, "tiny-clip", [noise(50, 70)])
    for dtype, near in (("auto", 2e-4), ("bfloat16", 0.05)):
        outcome = try_stage(Embed("tiny-clip", dtype=dtype), [image], tmp_path / dtype)  # type: ignore[arg-type]
        (row,) = parquet.read_table(outcome.tasks[0].embeddings[0])["embedding"].to_pylist()
        assert np.allclose(wanted[0], row, atol=near)
    scored = try_stage(Aesthetic(**TINY), [image], tmp_path / "scored")
    assert ImageTask is type(scored.tasks[0])


def refused(stage: Any) -> str:
    """What `setup` says."""
    with pytest.raises(ConfigError) as error:
        stage.setup(CPU)
    return str(error.value)


def test_a_head_of_another_network_is_refused(weights: dict[str, str], tmp_path: Path) -> None:
    """Before any picture is looked at: one for other vectors, one that is no head, one that is not there."""
    from safetensors.numpy import save_file

    def head(**tensors: np.ndarray) -> str:
        shutil.rmtree(tmp_path / "head", ignore_errors=True)
        (tmp_path / "head").mkdir()
        if tensors:
            save_file(
                {name.replace("_", "."): each for name, each in tensors.items()}, tmp_path / "head" / "m.safetensors"
            )
        provide_weights({**weights, "tiny-head": str(tmp_path / "head")})
        return refused(Aesthetic(**TINY))

    wide = {"a_weight": np.zeros((1, 768), np.float32), "a_bias": np.zeros(1, np.float32)}
    assert "vectors of 768 numbers, those of tiny-clip have 32" in head(**wide)
    assert "is no aesthetic head" in head(a_weight=np.zeros((2, 32), np.float32), a_bias=np.zeros(2, np.float32))
    assert "is no aesthetic head" in head(a_weight=np.zeros((1, 32), np.float32))
    assert "is no aesthetic head" in head(a_weight=np.zeros(3, np.float32), a_bias=np.zeros(3, np.float32))
    assert "expected one .safetensors file" in head()
    same = AestheticModel("tiny-clip", "tiny-clip", at_once=1)
    with pytest.raises(ConfigError, match=r"that of a clip model; expected a head"):  # was seen on the node only
        same.check_weights("tiny-clip", Path(weights["tiny-clip"]))


def test_weights_of_another_model_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    """A text network; CLIP's description with other weights, which transformers would replace by random ones."""
    assert "has no preprocessor_config.json" in refused(Embed("text"))
    mixed = tmp_path / "mixed"
    shutil.copytree(weights["text"], mixed)
    shutil.copy(Path(weights["tiny-clip"], "preprocessor_config.json"), mixed)
    provide_weights({"mixed": str(mixed)})
    assert "makes no vectors of pictures" in refused(Embed("mixed"))
    shutil.copy(Path(weights["tiny-clip"], "config.json"), mixed)
    assert "of its tensors are not in" in refused(Embed("mixed"))
    (mixed / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoModel": "own.Model"}}')
    assert "transformers cannot load" in refused(Embed("mixed"))
    shutil.copy(Path(weights["tiny-clip"], "config.json"), mixed)
    shutil.copy(Path(weights["tiny-clip"], "model.safetensors"), mixed)
    (mixed / "preprocessor_config.json").write_text(
        '{"size": {"height": 64, "width": 64}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    )
    assert "does not fit it" in refused(Embed("mixed"))
    with pytest.raises(ConfigError, match="not here"):
        Embed("tiny-clip").setup(CPU)


@pytest.mark.parametrize("name", ["cosmos-embed1-224p", "nvidia/Cosmos-Embed1-448p", "internvideo2"])
def test_video_networks_are_refused_when_they_are_named(name: str) -> None:
    """Not on the node: nothing here can run them."""
    with pytest.raises(ConfigError, match="code of its own"):
        Embed(name)


def test_a_long_strip_is_never_made_large() -> None:
    """One pixel high and 60,000 wide would be 224 x 13,440,000 before it is cropped."""
    fit = Fit(224, 224, 224)
    assert (224, 224, 3) == fit(np.zeros((1, 60_000, 3), np.uint8)).shape
    left, upper, right, lower = middle(60_000, 1, fit)
    assert (29_999.5, 0, 30_000.5, 1) == pytest.approx((left, upper, right, lower))
    assert (224, 224, 3) == fit(np.zeros((1, 1, 3), np.uint8)).shape


def test_a_description_that_is_not_understood_is_named() -> None:
    """The file, and what was expected."""
    whole = {"size": 256, "crop_size": 224, "do_center_crop": True, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    assert Fit(224, 224, 256) == look_of(whole, "f").fit
    assert Fit(256, 256) == look_of({**whole, "do_center_crop": False}, "f").fit
    for wrong in ({"size": {"longest_edge": 5}}, {"image_mean": [0]}, {"resample": 9}, {"crop_size": None}):
        with pytest.raises(ConfigError, match=r"^f: .*expected"):
            look_of({**whole, **wrong}, "f")
