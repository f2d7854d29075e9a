"""Vision-language models that run here: Qwen2.5-VL, Qwen3-VL, LLaVA and SmolVLM, tiny ones of random weights."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("num2words", reason="the models extra is not installed")

from checkout import ROOT
from PIL import Image

from hpcurate import WorkerInfo
from hpcurate.errors import ConfigError, StageError
from hpcurate.model import provide_weights
from hpcurate.planning.fingerprint import stage_identity
from hpcurate.testing import try_stage
from stages.language.asks import Ask, Generate
from stages.language.caption import Caption
from stages.language.classify import Classify
from stages.language.filter import Filter
from stages.language.json_answer import Malformed
from stages.language.processors import Patches, normalised
from stages.language.squares import FitSquares
from stages.language.vision_language import VisionLanguageModel
from stages.vision.tasks import ImageTask

sys.path.insert(0, str(ROOT / "scripts"))

from tiny_models.build import tiny_clip
from tiny_models.vision_language import tiny_llava, tiny_qwen2_5_vl, tiny_qwen3_vl, tiny_smolvlm

CPU = WorkerInfo(index=0, process=0, cpus=1)
KINDS = {"qwen2.5": tiny_qwen2_5_vl, "qwen3": tiny_qwen3_vl, "llava": tiny_llava, "smolvlm": tiny_smolvlm}
WORDS = Generate(max_tokens=12)
SMALL = {"min_squares": 4, "max_squares": 12}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Model name → folder. One thread: several compute no faster here, and wait for each other."""
    folder, threads = tmp_path_factory.mktemp("weights"), torch.get_num_threads()
    torch.set_num_threads(1)
    for name, build in {**KINDS, "clip": tiny_clip}.items():
        (folder / name).mkdir()
        build(folder / name)
    yield {name: str(folder / name) for name in (*KINDS, "clip")}
    torch.set_num_threads(threads)
    engine.cache_clear()


@pytest.fixture(autouse=True)
def provided(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a stage process has them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    provide_weights(weights)
    yield
    provide_weights({})


def started(name: str, generate: Generate = WORDS, **options: Any) -> VisionLanguageModel:
    """A model that is loaded."""
    model = VisionLanguageModel(name, generate, {**SMALL, **options}, {})
    model.start(CPU)
    return model


@cache
def engine(name: str) -> VisionLanguageModel:
    """One for all tests that change nothing of it."""
    return started(name)


def scene(seed: int, height: int = 90, width: int = 160) -> np.ndarray:
    """A picture with something in every corner, of its own brightness and colour."""
    random = np.random.default_rng(seed)
    patch = random.integers(0, 256, (3, 3, 3)) * random.uniform(0.1, 1, 3)
    return np.asarray(Image.fromarray(patch.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST))


def window(model: VisionLanguageModel, seed: int, pictures: int, height: int = 90) -> Ask:
    """What a window of two pictures a second looks like, as the stage asks about it."""
    fit = model.fit or (lambda picture: picture)
    seen = [fit(scene(100 * seed + n, height)) for n in range(pictures)]
    return Ask("What is it?", pictures=seen, times_s=tuple(n / 2 for n in range(pictures)))


def windows(model: VisionLanguageModel) -> list[Ask]:
    """Eight, of other lengths and shapes."""
    return [window(model, n, count, 90 + 10 * (n % 3)) for n, count in enumerate((8, 4, 6, 8, 10, 4, 2, 8))]


def text_of(model: VisionLanguageModel, ask: Ask) -> str:
    """The question as the model reads it, special tokens and all."""
    return str(model.processor.tokenizer.decode(model.ready(ask).inputs["input_ids"][0]))


@pytest.mark.parametrize("name", KINDS)
def test_batches_of_1_3_and_8_windows_give_the_same_captions(name: str) -> None:
    """In the order asked; each window has its own; padding is not counted."""
    model = engine(name)
    asked = [model.ready(ask) for ask in windows(model)]
    assert len({one.length for one in asked}) > 3
    model._batches.at_once = 1
    single = model.answers(asked)
    for at_once in (3, 8):
        model._batches.at_once = at_once
        assert single == model.answers(asked)
        assert single[::-1] == model.answers(asked[::-1])
    assert 8 == len({one.text for one in single})
    assert [one.length for one in asked] == [one.prompt_tokens for one in single]
    assert [("truncated", 12)] * 8 == [(one.status, one.output_tokens) for one in single]


@pytest.mark.parametrize("name", KINDS)
def test_images_and_text_alone_are_answered_beside_videos(name: str) -> None:
    """In one batch: a video, an image, several images, none; what the model is told about its part comes first."""
    model = engine(name)
    image = Ask("What is it?", pictures=[model.fit(scene(1))] if model.fit else [])
    asks = [
        window(model, 1, 4),
        image,
        attrs.evolve(image, pictures=image.pictures * 3),
        Ask("Hello", system="Be brief"),
    ]
    asked = [model.ready(ask) for ask in asks]
    assert [model.answers([one])[0] for one in asked] == model.answers(asked)
    assert text_of(model, asks[3]).index("Be brief") < text_of(model, asks[3]).index("Hello")


@pytest.mark.parametrize("side", [14, 16])
def test_patches_are_those_of_the_librarys_own_processors(side: int) -> None:
    """Of videos, whose code for the patches needs no torchvision, and of images, as a video of two equal pictures."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    images = Qwen2VLImageProcessorPil(patch_size=side)
    video = np.stack([scene(n, 4 * side, 6 * side) for n in range(5)])
    patches, grid = Patches(side, 2, 2).cut(video)
    found = normalised(torch.from_numpy(patches), images.image_mean, images.image_std)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (images.image_mean, images.image_std))
    pixels = (torch.from_numpy(video).permute(0, 3, 1, 2).float() / 255 - mean) / std
    wanted, *sizes = Qwen3VLVideoProcessor.patchify(None, pixels[None], side, 2, 2)
    assert (3, 4, 6) == grid == tuple(sizes)
    assert (found - wanted[0]).abs().max() < 1e-6
    still, _ = Patches(side, 2, 2).cut(video[[1, 1]])
    image = images([Image.fromarray(video[1])], do_resize=False, return_tensors="pt")["pixel_values"]
    assert (normalised(torch.from_numpy(still), images.image_mean, images.image_std) - image).abs().max() < 1e-6


def test_a_qwen3_video_is_read_with_its_times() -> None:
    """Each pair of pictures with the mean of their times before it, and a token for each square of 32 pixels."""
    model = engine("qwen3")
    ready = model.ready(window(model, 1, 4))
    ((time, high, wide),) = ready.inputs["video_grid_thw"].tolist()
    pair = "<|vision_start|>" + "<|video_pad|>" * (high * wide // 4) + "<|vision_end|>"
    assert 2 == time
    assert f"<0.2 seconds>{pair}<1.2 seconds>{pair}" in text_of(model, ready.ask)
    assert (time * high * wide, 3 * 2 * 16 * 16) == ready.inputs["pixel_values_videos"].shape
    assert 2 * high * wide // 4 == int((ready.inputs["mm_token_type_ids"] == 2).sum())


def test_a_qwen2_5_video_says_how_long_a_pair_of_pictures_takes() -> None:
    """Half a second between pictures: a second for a pair, from which the positions of its tokens are computed."""
    model = engine("qwen2.5")
    ready = model.ready(window(model, 1, 6))
    assert [1.0] == ready.inputs["second_per_grid_ts"].tolist()
    ((time, high, wide),) = ready.inputs["video_grid_thw"].tolist()
    pads = "<|vision_start|>" + "<|video_pad|>" * (time * high * wide // 4) + "<|vision_end|>"
    assert 3 == time
    assert pads in text_of(model, ready.ask)
    faster = attrs.evolve(ready.ask, times_s=tuple(n / 8 for n in range(6)))
    assert [0.25] == model.ready(faster).inputs["second_per_grid_ts"].tolist()
    assert model.answers([ready]) != model.answers(
        [model.ready(attrs.evolve(ready.ask, times_s=(0, 9, 18, 27, 36, 45)))]
    )


def test_a_smolvlm_video_is_read_as_it_was_trained() -> None:
    """Each picture once, with its time; an image also in parts."""
    model = engine("smolvlm")
    said = text_of(model, window(model, 1, 4))
    assert "series of four frames from a 0:00:02 [H:MM:SS] video" in said
    assert 4 == said.count("<fake_token_around_image><global-img>" + "<image>" * 4)
    assert "Frame from 00:01:<fake_token_around_image>" in said
    assert "<row_2_col_2>" in text_of(model, Ask("What is it?", pictures=[scene(1)]))


@pytest.mark.parametrize("side", [28, 32])
def test_sizes_are_those_of_the_librarys_own_code(side: int) -> None:
    """For shapes that it takes; a long strip, which it refuses, has one square across."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    fit = FitSquares(side, 128 * side**2, 768 * side**2)
    for height, width in [
        (90, 160),
        (360, 640),
        (1080, 1920),
        (1920, 1080),
        (2160, 3840),
        (17, 900),
        (512, 512),
        (40, 41),
    ]:
        assert smart_resize(height, width, side, fit.least, fit.most) == fit.size(height, width)
        assert fit.least <= np.prod(fit.size(height, width)) <= fit.most
    assert side == fit.size(16, 16_000)[0]
    assert fit == pickle.loads(pickle.dumps(fit))  # noqa: S301
    assert (*fit.size(90, 160), 3) == fit(scene(1)).shape


def test_other_models_get_pictures_of_any_shape_but_no_larger_ones() -> None:
    """LLaVA sees 56 x 56 of them; what is decoded for it is bounded all the same."""
    fit = VisionLanguageModel("llava", WORDS, {}, {}).fit
    assert fit is not None
    small = scene(1, 90, 161)
    assert small is fit(small)
    assert 0.95 < np.prod(fit(scene(1, 2160, 3840)).shape[:2]) / (768 * 28**2) <= 1


def ends_with(folder: str, tokens: Sequence[int], there: Path) -> None:
    """Copies of the weights, whose answers end with these tokens."""
    shutil.copytree(folder, there, dirs_exist_ok=True)
    config = json.loads((there / "generation_config.json").read_text())
    (there / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": list(tokens)}))


def test_an_answer_is_done_truncated_or_empty(weights: dict[str, str], tmp_path: Path) -> None:
    """As the token that ends it comes in time, not at all, or first; what else was asked at once changes nothing."""
    model = engine("qwen3")
    asked = [model.ready(ask) for ask in windows(model)]
    said = [one.text for one in model.answers(asked)]
    first, other = said[0][0], next(text for text in said if text[0] != said[0][0])
    late = next(letter for letter in other if letter != other[0] and letter != first)
    ends_with(weights["qwen3"], model.processor.tokenizer.convert_tokens_to_ids([first, late]), tmp_path / "w")
    provide_weights({"qwen3": str(tmp_path / "w")})
    found = started("qwen3", at_once=3).answers(asked)
    for text, answer in zip(said, found, strict=True):
        end = min((n for n in range(len(text)) if text[n] in (first, late)), default=None)
        status = "truncated" if end is None else "empty" if end == 0 else "done"
        assert (text[:end], status, 12 if end is None else end + 1) == (
            answer.text, answer.status, answer.output_tokens
        )  # fmt: skip
    assert {"done", "empty"} <= {answer.status for answer in found}


def test_what_is_chosen_at_random_depends_on_the_seed() -> None:
    """The same again, or something else."""

    def said(seed: int) -> list[str]:
        model = started("qwen2.5", Generate(max_tokens=12, temperature=2.0, seed=seed))
        return [one.text for one in model.answers([model.ready(ask) for ask in windows(model)[:2]])]

    assert said(1) == said(1) != said(2)


def test_the_models_own_wishes_do_not_count(weights: dict[str, str], tmp_path: Path) -> None:
    """Real weights come with a temperature and a penalty of their own."""
    shutil.copytree(weights["qwen2.5"], tmp_path / "w")
    file = tmp_path / "w" / "generation_config.json"
    wishes = {"do_sample": True, "temperature": 2.0, "top_k": 5, "repetition_penalty": 3.0, "max_length": 3}
    file.write_text(json.dumps({**json.loads(file.read_text()), **wishes}))
    usual = engine("qwen2.5")
    asked = [usual.ready(window(usual, 1, 4))]
    provide_weights({"qwen2.5": str(tmp_path / "w")})
    assert usual.answers(asked) == started("qwen2.5").answers(asked)


def test_half_as_many_are_answered_at_once_where_memory_runs_out(capfd: pytest.CaptureFixture[str]) -> None:
    """The same captions, said in the log, and remembered; one window that does not fit alone is raised."""
    model = started("llava")
    asked = [model.ready(ask) for ask in windows(model)]
    wanted, generate, most = model.answers(asked), model.network.generate, 2

    def full(**batch: Any) -> Any:
        if len(batch["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return generate(**batch)

    model.network.generate = full
    assert wanted == model.answers(asked)
    assert 2 == model._batches.at_once
    assert "4 questions at once do not fit, now 2: CUDA out of memory" in capfd.readouterr().out
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        model.answers(asked[:1])


def test_numbers_and_attention_as_asked_for() -> None:
    """Half precision; another way to compute attention gives the same."""
    model = started("qwen3", dtype="bfloat16")
    assert torch.bfloat16 == model.network.dtype
    assert "truncated" == model.answers([model.ready(window(model, 1, 4))])[0].status
    eager = started("qwen3", attention="eager")
    asked = [eager.ready(window(eager, 1, 4))]
    assert engine("qwen3").answers(asked) == eager.answers(asked)


def test_what_is_ready_can_be_sent_to_another_process() -> None:
    """`prepare` may run in processes of its own, which do not load the network."""
    model = VisionLanguageModel("qwen3", WORDS, SMALL, {})
    ready = pickle.loads(pickle.dumps(model.ready(window(model, 1, 4))))  # noqa: S301
    assert not hasattr(model, "network")
    assert engine("qwen3").answers([model.ready(ready.ask)]) == engine("qwen3").answers([ready])


OTHERS: list[dict[str, Any]] = [
    {}, {"processor": "torchvision"}, {"dtype": "float32"}, {"attention": "eager"}, {"at_once": 4},
    {"min_squares": 4}, {"max_squares": 700},
]  # fmt: skip


@pytest.mark.parametrize("kind", [Filter, Classify])
def test_what_a_model_of_random_weights_says_passes_no_filter(
    kind: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says something, and none of it is an answer, cut off or not: every image is dropped, for that."""
    images = []
    for number in range(2):
        Image.fromarray(scene(number)).save(tmp_path / f"{number}.png")
        path = str(tmp_path / f"{number}.png")
        images.append(ImageTask(id=str(number), source=f"{number}.png", path=path, width=160, height=90))
    stage = kind(model="qwen3", max_rejected=None, generate={"max_tokens": 12}, options=SMALL)
    outcome = try_stage(stage, images, tmp_path / "trial")
    assert ([], {"malformed answer": 2}) == (outcome.failed, outcome.counts.reasons)
    said = re.findall("cut off at max_tokens: (.+)", capsys.readouterr().out)
    assert [Malformed, Malformed] == [type(stage.read(one)) for one in said]


def test_every_option_is_part_of_the_fingerprint() -> None:
    """What changes pixels or batches may change captions."""
    made = [json.dumps(stage_identity(Caption(options=options)), sort_keys=True) for options in OTHERS]
    assert len(OTHERS) == len(set(made))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"procesor": "pil"}, r"options\.procesor: there is no such key; did you mean 'processor'"),
        ({"processor": "cv2"}, r"options\.processor"),
        ({"dtype": "int8"}, r"options\.dtype"),
        ({"min_squares": 9, "max_squares": 8}, r"options\.min_squares=9: expected options\.max_squares=8 at most"),
    ],
)
def test_wrong_options_are_refused_in_the_driver(options: dict[str, Any], message: str) -> None:
    """Before anything is submitted."""
    with pytest.raises(ConfigError, match=message):
        Caption(options=options)


def test_weights_of_something_else_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    """Before submission where a small file says so; tensors that are missing, and no chat template, at setup."""
    for name in KINDS:
        Caption(model=name).model.check_weights(name, Path(weights[name]))
    with pytest.raises(ConfigError, match="that of a clip model; expected a vision-language model"):
        Caption(model="clip").model.check_weights("clip", Path(weights["clip"]))
    with pytest.raises(ConfigError, match="expected a vision-language model"):
        started("clip")
    shutil.copytree(weights["qwen3"], tmp_path / "mixed")
    shutil.copy(Path(weights["qwen2.5"], "model.safetensors"), tmp_path / "mixed")
    provide_weights({"mixed": str(tmp_path / "mixed")})
    with pytest.raises(ConfigError, match=r"of its tensors are not in|cannot load"):
        started("mixed")
    shutil.copy(Path(weights["qwen3"], "model.safetensors"), tmp_path / "mixed")
    (tmp_path / "mixed" / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no chat template"):
        started("mixed")
    (tmp_path / "mixed" / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match="makes no processor"):
        started("mixed")


def test_torchvision_that_is_missing_is_refused() -> None:
    """It is never replaced in silence: its pixels are others."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match=r"options\.processor=torchvision: torchvision is not in the stage's env"):
            started("qwen3", processor="torchvision")
    assert VisionLanguageModel("qwen3", WORDS, {"processor": "torchvision"}, {}).fit is None


def test_a_question_that_is_too_long_fails_its_window(weights: dict[str, str]) -> None:
    """The model would answer nonsense."""
    model = VisionLanguageModel("llava", Generate(max_tokens=8100), SMALL, {})
    with pytest.raises(
        StageError, match=r"164 tokens, with 8 pictures, .* do not fit into the 8192 that llava can read"
    ):
        model.ready(window(model, 1, 8))
    with pytest.raises(ValueError, match="tokens"):  # a place for a picture that is not there
        engine("llava").ready(Ask("What is <image>?", pictures=[scene(1)]))
