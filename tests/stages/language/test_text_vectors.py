"""Vectors of captions, by tiny networks of random weights: what is computed, written, published and refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the models extra is not installed")

from checkout import ROOT

from hpcurate import Chain, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.model import provide_weights
from hpcurate.testing import try_stage
from stages.language.text_vectors import EmbedText
from stages.language.windows import Window
from stages.output_fields import published_files, record
from stages.vision.images import WriteImages
from stages.vision.tasks import ImageTask

sys.path.insert(0, str(ROOT / "scripts"))

from tiny_models.build import tiny_embedder, tiny_t5

TEXTS = ["a dog", "a very long road through a forest, " * 12, "rain", "two people talk", "a train leaves", "night", "x"]
T5: dict[str, Any] = {"model": "tiny-t5", "dtype": "float32", "longest": 200}
BERT: dict[str, Any] = {"model": "tiny-embedder", "per": "caption", "dtype": "float32", "longest": 100}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model name → folder."""
    folder = tmp_path_factory.mktemp("weights")
    for name, build in {"tiny-t5": tiny_t5, "tiny-embedder": tiny_embedder}.items():
        (folder / name).mkdir()
        build(folder / name)
    return {name: str(folder / name) for name in ("tiny-t5", "tiny-embedder")}


@pytest.fixture(autouse=True)
def provided(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a stage process has them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    provide_weights(weights)
    yield
    provide_weights({})


def image(number: int, *texts: str | None) -> ImageTask:
    """A task with a window for each text, None being one without a caption; no pictures are looked at."""
    windows = [Window(start_frame=10 * n, end_frame=10 * n + 9, caption=text) for n, text in enumerate(texts)]
    return ImageTask(id=f"i{number}", source=f"{number}.png", path="", width=8, height=8, windows=windows)


def tasks() -> list[ImageTask]:
    """All texts, over several clips; one clip has no windows, one no captions."""
    enhanced = image(4, "dull", TEXTS[6])
    enhanced.windows[0].enhanced_caption = TEXTS[5]
    return [
        image(0, *TEXTS[:2]),
        image(1),
        image(2, None, TEXTS[2], None, *TEXTS[3:5]),
        image(3, None),
        enhanced,
    ]


NUMBERS = [["0", "1"], [], ["1", "3", "4"], [], ["0", "1"]]
"""Of the windows with a text, by clip."""


def arrays(task: ImageTask) -> dict[str, np.ndarray]:
    """What the last file of a task has."""
    with np.load(task.text_vectors[-1]) as found:
        return {name: found[name] for name in found.files}


def by_hand(folder: str, kind: str, text: str, longest: int) -> np.ndarray:
    """One text alone, by the library."""
    import torch
    from transformers import AutoTokenizer, BertModel, T5EncoderModel

    network: Any = {"tiny-t5": T5EncoderModel, "tiny-embedder": BertModel}[kind].from_pretrained(folder)
    given = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=longest, return_tensors="pt")
    with torch.inference_mode():
        rows = network.eval()(**given).last_hidden_state[0].numpy()
    return rows if kind == "tiny-t5" else rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))


@pytest.mark.parametrize("given", [T5, BERT], ids=lambda given: given["model"])
def test_vectors_are_those_of_each_text_alone(weights: dict[str, str], given: dict[str, Any], tmp_path: Path) -> None:
    """Whatever it is computed beside; the enhanced text counts, and a window without one has no array."""
    wanted = [by_hand(weights[given["model"]], given["model"], text, given["longest"]) for text in TEXTS]
    if given is T5:
        assert [6, 200, 5, 16, 15, 6, 2] == [len(rows) for rows in wanted]  # a byte is a token, and </s> ends it
    for size in (1, 3, 8):
        outcome = try_stage(EmbedText(**given, at_once=size), tasks(), tmp_path / str(size), batch_size=size)
        assert [] == outcome.failed
        assert [bool(numbers) for numbers in NUMBERS] == [bool(task.text_vectors) for task in outcome.tasks]
        found = [arrays(task) for task in outcome.tasks if task.text_vectors]
        assert [numbers for numbers in NUMBERS if numbers] == [list(one) for one in found]
        for mine, own in zip((each for one in found for each in one.values()), wanted, strict=True):
            assert np.dtype("float32") == mine.dtype
            assert np.allclose(own, mine, rtol=0, atol=2e-5 * np.abs(own).max())


def test_fewer_captions_at_once_where_memory_runs_out(tmp_path: Path) -> None:
    """Half as many, for all that come; the vectors are the same. It was an error that failed clips with long captions."""
    import torch

    def embed(texts: list[str]) -> Any:
        sizes.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(texts)

    wanted = try_stage(EmbedText(**BERT), tasks()[:1], tmp_path / "whole")
    sizes: list[int] = []
    stage = EmbedText(**BERT)
    whole, stage.model.embed = stage.model.embed, embed  # type: ignore[method-assign]
    found = try_stage(stage, tasks(), tmp_path / "small")
    assert [[], [7, 3, 1, 1, 1, 1, 1, 1, 1]] == [found.failed, sizes]
    for name, array in arrays(wanted.tasks[0]).items():
        assert np.allclose(array, arrays(found.tasks[0])[name], atol=1e-5)


def test_half_precision_is_near_and_halves_the_arrays(weights: dict[str, str], tmp_path: Path) -> None:
    """It is the default; numbers beyond its range end the clip, and the message has the way out."""
    outcome = try_stage(EmbedText("tiny-t5"), tasks()[:1], tmp_path / "half")
    (short, _) = arrays(outcome.tasks[0]).values()
    assert np.dtype("float16") == short.dtype
    wanted = by_hand(weights["tiny-t5"], "tiny-t5", TEXTS[0], 512)
    assert np.allclose(wanted, short, rtol=0, atol=0.02 * np.abs(wanted).max())

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(weights["tiny-t5"], tmp_path / "loud")
    tensors = load_file(tmp_path / "loud" / "model.safetensors")
    tensors["encoder.final_layer_norm.weight"] = torch.full((32,), 1e6)
    save_file(tensors, tmp_path / "loud" / "model.safetensors", metadata={"format": "pt"})
    provide_weights({"tiny-t5": str(tmp_path / "loud")})
    outcome = try_stage(EmbedText("tiny-t5"), tasks(), tmp_path / "out")
    assert ["i0", "i2", "i4"] == [row["task"]["id"] for row in outcome.failed]
    assert "set dtype=float32" in str(outcome.failed[0])
    assert [] == try_stage(EmbedText(**T5), tasks(), tmp_path / "whole").failed


def test_what_is_published(tmp_path: Path) -> None:
    """A file per clip and model, in folders named after the models; a second run writes the same bytes."""
    trees = []
    for run in ("a", "b"):
        out = tmp_path / run / "out"
        stages = [EmbedText(**T5), EmbedText(**BERT), EmbedText(**T5), WriteImages(str(out))]  # T5 again: one file
        done = try_stage(Chain(stages), tasks(), tmp_path / run / "trial").tasks
        assert [["tiny-embedder.npz", "tiny-t5.npz"], []] == [[f.name for f in task.text_vectors] for task in done[:2]]
        assert "text_vectors" not in record(done[0], "json", 1)
        trees.append({str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.npz")})
        assert {path for task in done for _, path in published_files(task, 1)} == trees[-1].keys()
    assert [f"tiny-{model}_text_embd/i{n}/i{n}.npz" for model in ("embedder", "t5") for n in (0, 2, 4)] == sorted(
        trees[0]
    )
    assert trees[0] == trees[1]


def test_weights_of_another_model_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    """In the driver by their description, on the node by their tensors."""
    stage = EmbedText("tiny-embedder")
    with pytest.raises(ConfigError, match=r"a bert model; expected a T5, e\.g\. t5-base, or per=caption"):
        stage.model.check_weights("tiny-embedder", Path(weights["tiny-embedder"]))
    EmbedText("tiny-t5").model.check_weights("tiny-t5", Path(weights["tiny-t5"]))
    shutil.copytree(weights["tiny-t5"], tmp_path / "mixed")
    shutil.copy(Path(weights["tiny-embedder"], "model.safetensors"), tmp_path / "mixed")
    provide_weights({"tiny-t5": str(tmp_path / "mixed")})
    with pytest.raises(ConfigError, match="of its tensors are not in"):
        EmbedText("tiny-t5").setup(WorkerInfo(index=0, process=0, cpus=1))
    for wrong in ({"longest": 0}, {"at_once": 0}):
        with pytest.raises(ConfigError, match="expected more than 0"):
            EmbedText(**wrong)  # type: ignore[arg-type]
