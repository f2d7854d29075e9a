"""Captions that a language model writes again: tiny GPT-2 of random weights, on the CPU."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the models extra is not installed")

import pyarrow.parquet as parquet
from checkout import ROOT
from endpoint import Asked, LocalEndpoint, Reply

import hpcurate
from hpcurate import Stage
from hpcurate.errors import ConfigError
from hpcurate.model import provide_weights
from hpcurate.models.fetch import fetch
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import WeightStore
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.state import RunState
from hpcurate.testing import try_stage
from stages.language.asks import Answer
from stages.language.enhance import Enhance
from stages.language.prompts import ENHANCE
from stages.language.text_vectors import EmbedText
from stages.language.thoughts import spoken
from stages.language.windows import Window, captions_of
from stages.vision.images import IndexImages, WriteImages
from stages.vision.tasks import ImageTask

sys.path.insert(0, str(ROOT / "scripts"))

from tiny_models.build import tiny_embedder, tiny_gpt2

CAPTIONS = [["a bright cold day", None, "art"], [], [None], ["once upon a time", "rain"], ["x"]]
"""By image; None is a window without one."""
WORDS: dict[str, Any] = {"prompt": "say it better:", "generate": {"max_tokens": 6}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Model name → folder."""
    folder = tmp_path_factory.mktemp("weights")
    for name, build in {"writer": tiny_gpt2, "reader": tiny_embedder}.items():
        (folder / name).mkdir()
        build(folder / name)
    return {name: str(folder / name) for name in ("writer", "reader")}


@pytest.fixture(autouse=True)
def provided(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a stage process has them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    provide_weights(weights)
    yield
    provide_weights({})


def windows(captions: list[str | None]) -> list[Window]:
    """One for each."""
    return [Window(start_frame=9 * n, end_frame=9 * n + 8, caption=text) for n, text in enumerate(captions)]


def images(*, described: bool = True) -> list[ImageTask]:
    """No pictures are looked at."""
    return [
        ImageTask(id=f"i{n}", source=f"{n}.png", path="", width=8, height=8, windows=windows(some) if described else [])
        for n, some in enumerate(CAPTIONS)
    ]


class Described(Stage[ImageTask, ImageTask]):
    """Stands for a captioner."""

    version = 1

    def process(self, tasks: list[ImageTask]) -> list[ImageTask]:
        """With their captions."""
        for task in tasks:
            task.windows = windows(CAPTIONS[int(task.id[1:])])
        return tasks


def enhanced(folder: Path, tasks: list[ImageTask] | None = None, batch_size: int = -1, **given: Any) -> list[list[Any]]:
    """(text, status, model) of each window, by image."""
    outcome = try_stage(Enhance("writer", **{**WORDS, **given}), tasks or images(), folder, batch_size=batch_size)
    assert [] == outcome.failed
    return [
        [(each.enhanced_caption, each.enhanced_status, each.enhanced_model) for each in task.windows]
        for task in outcome.tasks
    ]


def by_hand(folder: str, caption: str) -> list[int]:
    """Six tokens that GPT-2 writes after the question, asked alone."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    network: Any = GPT2LMHeadModel.from_pretrained(folder)
    given = AutoTokenizer.from_pretrained(folder)(f"say it better:\n\n{caption}", return_tensors="pt")["input_ids"]
    made = network.eval().generate(given, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    return list(made[0, given.shape[1] :].tolist())


def test_each_caption_is_written_again(weights: dict[str, str], tmp_path: Path) -> None:
    """As if asked alone, in batches of 1, 3 and 8 clips; windows without a caption are left as they are."""
    from transformers import AutoTokenizer

    read = AutoTokenizer.from_pretrained(weights["writer"])
    texts = {text: read.decode(by_hand(weights["writer"], text)).strip() for some in CAPTIONS for text in some if text}
    assert 1 < len(set(texts.values()))
    wanted = [[(texts[text], "truncated", "writer") if text else (None,) * 3 for text in some] for some in CAPTIONS]
    for size in (1, 3, 8):
        assert wanted == enhanced(tmp_path / str(size), batch_size=size)


def test_how_an_answer_ended(weights: dict[str, str], tmp_path: Path) -> None:
    """By itself, at the most tokens, or without a word: then there is no text, and the first caption stays the best."""
    tasks = images()
    said = {task.id: by_hand(weights["writer"], task.windows[0].caption or "") for task in tasks if task.windows}
    task, made = next((task, said[task.id]) for task in tasks if len(set(said.get(task.id, ()))) > 1)
    task.windows = task.windows[:1]
    other = next(token for token in made if token != made[0])
    folder = shutil.copytree(weights["writer"], tmp_path / "m")
    provide_weights({"writer": str(folder)})
    for end, expected in ((319, "truncated"), (other, "done"), (made[0], "empty")):
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, end]}))
        ((found,),) = enhanced(tmp_path / expected, [task])
        assert (expected, "writer") == found[1:]
        assert (found[0] is None) == (expected == "empty")
    (window,) = windows(["first"])
    assert {0: "first"} == captions_of([window])
    window.enhanced_caption = "better"
    assert {0: "better"} == captions_of([window])


def test_what_fails_for_one_window_fails_its_clip(tmp_path: Path) -> None:
    """The others of its batch go on; no empty text stands in for what was not said."""
    tasks = images()
    tasks[3].windows[1].caption = "rain " * 200
    outcome = try_stage(Enhance("writer", **WORDS), tasks, tmp_path / "out")
    assert ["i3"] == [row["task"]["id"] for row in outcome.failed]
    assert "do not fit into the 128 that writer can read" in str(outcome.failed[0])
    assert ["i0", "i1", "i2", "i4"] == [task.id for task in outcome.tasks]


def test_a_server_answers_as_well(tmp_path: Path) -> None:
    """All windows of all clips are asked about at once; how each answer ended is kept."""
    pytest.importorskip("httpx2", reason="the openai extra is not installed")
    replies = {
        "art": Reply(text="Art, and", finish="length"),
        "rain": Reply(text=""),
        "x": Reply(text="<think>x?</think>\n\nAn X."),
        "once upon a time": Reply(text="Long ago."),
    }
    barrier = threading.Barrier(4)  # the questions of three clips, or none goes on

    def answer(asked: Asked) -> Reply:
        if asked.text.startswith("say it better"):
            barrier.wait(10)
        return replies[asked.text.rpartition("\n")[2]] if asked.text.startswith("say it better") else Reply()

    with LocalEndpoint(answer, models=("writer",)) as server:
        tasks = [image for image in images() if image.id in ("i1", "i3", "i4")]
        tasks[0].windows = windows(["art"])
        given = {"backend": "openai", "server": {"url": server.url, "concurrency": 4}}
        found = enhanced(tmp_path / "out", tasks, **given)
    wanted = [[("Art, and", "truncated")], [("Long ago.", "done"), (None, "empty")], [("An X.", "done")]]
    assert wanted == [[each[:2] for each in one] for one in found]
    assert {"say it better:\n\nrain"} < {asked.text for asked in server.asked}


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("<think>\nhm, a dog\n</think>\n\nA dog runs.", ("A dog runs.", "done")),
        ("A dog, I am told.</think>A dog runs.", ("A dog runs.", "done")),
        ("<think>a dog</think>", ("", "empty")),
        ("<think>a dog, or is it", ("", "empty")),
        ("A dog runs.", ("A dog runs.", "done")),
    ],
)
def test_thoughts_are_no_caption(said: str, heard: tuple[str, str]) -> None:
    """Before, what a model thinks aloud was taken for a part of the caption."""
    found = spoken(Answer(said, "done", 1, 2))
    assert heard == (found.text, found.status)


def test_what_is_asked_and_what_is_refused() -> None:
    """Variants by name, or a text, also of a language without spaces, which was taken for a variant that there is not;
    chance is no matter of the seed alone; who has the server does not count.
    """
    given = {"short": ENHANCE["short"], "in verse, please": "in verse, please", "请详细描述": "请详细描述"}
    assert given == {prompt: Enhance(prompt=prompt).prompt for prompt in given}
    with pytest.raises(ConfigError, match="prompt: 'shrt' is no variant; did you mean 'short'"):
        Enhance(prompt="shrt")
    with pytest.raises(ConfigError, match=r"generate\.tokens: there is no such key"):
        Enhance(generate={"tokens": 5})
    assert [True, False] == [Enhance(generate={"temperature": heat}).deterministic for heat in (0, 0.5)]
    assert ("server",) == tuple(Enhance.operational)
    assert ["captions", "vllm"] == [Enhance(backend=backend).env.env for backend in ("transformers", "vllm")]  # type: ignore[union-attr, arg-type]


def test_the_whole_way(weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of the store → better captions → their vectors → record, table and arrays of each image."""
    (tmp_path / "conf" / "models").mkdir(parents=True)
    for name, folder in weights.items():
        (tmp_path / "conf" / "models" / f"{name}.yaml").write_text(f"path: {folder}\n")
    monkeypatch.chdir(tmp_path)
    for name in weights:
        fetch(WeightStore(str(tmp_path / "store")), read_registry([tmp_path / "conf"])[name])
    out = tmp_path / "out"
    reader: dict[str, Any] = {"model": "reader", "per": "caption", "dtype": "float32"}
    cpu = StageOptions(device="cpu")
    steps = {
        "caption": Described(),
        "enhance": Step(Enhance("writer", **WORDS), cpu),
        "embed_text": Step(EmbedText(**reader), cpu),
        "write": WriteImages(str(out)),
        "index": IndexImages(str(out)),
    }
    done = hpcurate.run(steps, images(described=False), store=tmp_path / "store", launcher="inline")
    assert RunState.COMPLETE == done.state
    rows = parquet.read_table(out / "images.parquet").to_pylist()
    records = [json.loads(path.read_text()) for path in out.glob("metas/v0/*/*.json")]
    assert [row["windows"] for row in rows] == [one["windows"] for one in sorted(records, key=lambda one: one["id"])]
    said = [[each["enhanced_status"] for each in row["windows"]] for row in rows]
    assert [["truncated" if text else None for text in some] for some in CAPTIONS] == said
    arrays = {path.stem: np.load(path) for path in out.glob("reader_text_embd/*/*.npz")}
    assert {"i0": ["0", "2"], "i3": ["0", "1"], "i4": ["0"]} == {name: one.files for name, one in arrays.items()}
    model = EmbedText(**reader).model
    provide_weights(weights)
    model.setup()
    (wanted,) = model.embed([rows[4]["windows"][0]["enhanced_caption"]])
    assert np.allclose(wanted, arrays["i4"]["0"], atol=1e-5)
