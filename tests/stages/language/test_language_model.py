"""Text models that run here: tiny GPT-2 and a tiny GGUF of random weights, on the CPU."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

torch = pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("gguf", reason="the models extra is not installed")

from checkout import ROOT
from real_weights import weights as real_weights
from tiny_gguf import write_tiny_gguf

from hpcurate import NodeInfo, WorkerInfo
from hpcurate.errors import ConfigError, StageError
from hpcurate.model import provide_weights
from hpcurate.testing import try_stage
from stages.language.answers import EmbedAnswers
from stages.language.asks import Answer, Ask, Generate, answer_of
from stages.language.generate import Generate as GenerateStage
from stages.language.language_model import LanguageModel
from stages.language.prompt_tasks import PromptTask
from stages.output_fields import published_files

sys.path.insert(0, str(ROOT / "scripts"))

from tiny_models.build import tiny_embedder, tiny_gpt2

CPU = WorkerInfo(index=0, process=0, cpus=1)
PROMPTS = ["once upon a time", "it was", "the key", "a bright cold day in april " * 3, "art", "is", "good art", "time"]
WORDS = Generate(max_tokens=10)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Model name → folder. One thread: several wait for each other where the machine has other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("weights")
    made = {"gpt2": tiny_gpt2, "chat": lambda there: write_tiny_gguf(there / "tiny.gguf"), "text": tiny_embedder}
    for name, build in made.items():
        (folder / name).mkdir()
        build(folder / name)
    yield {name: str(folder / name) for name in made}
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def provided(weights: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a stage process has them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    provide_weights(weights)
    yield
    provide_weights({})


def started(name: str, generate: Generate = WORDS, worker: WorkerInfo = CPU, **options: Any) -> LanguageModel:
    """A model that is loaded."""
    model = LanguageModel(name, generate, options, {})
    model.start(worker)
    return model


def asked(model: LanguageModel, *prompts: str, system: str = "") -> list[Answer]:
    """What it answers."""
    return model.answers([model.ready(Ask(prompt, system)) for prompt in prompts])


def test_answers_are_those_of_the_question_asked_alone() -> None:
    """By the library itself, one prompt at a time, nothing padded; in order for batches of 1, 3 and 8."""
    model = started("gpt2")
    alone: list[Answer] = []
    for prompt in PROMPTS:
        given = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
        made = model.network.generate(given, max_new_tokens=10, do_sample=False)[0, given.shape[1] :]
        text = model.tokenizer.decode(made, skip_special_tokens=True)
        alone.append(answer_of(text, whole=False, prompt_tokens=given.shape[1], output_tokens=10))
    for at_once in (1, 3, 8):
        assert alone == asked(started("gpt2", at_once=at_once), *PROMPTS)
    assert 1 < len({answer.text for answer in alone})
    assert [] == asked(model)


def test_continuous_batching_answers_the_same() -> None:
    """As places get free: two at once, eight questions. It knows no penalty, and drops it silently: refused."""
    assert asked(started("gpt2"), *PROMPTS) == asked(started("gpt2", batching="continuous", at_once=2), *PROMPTS)
    with pytest.raises(ConfigError, match=r"knows no generate\.repetition_penalty"):
        LanguageModel("gpt2", Generate(repetition_penalty=1.1), {"batching": "continuous"}, {})


def test_how_an_answer_ended(weights: dict[str, str], tmp_path: Path) -> None:
    """By itself, at the most tokens, or without a word; what ends it counts, what pads the batch does not."""
    model, prompt = started("gpt2"), PROMPTS[0]
    given = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
    made = model.network.generate(given)[0, given.shape[1] :].tolist()
    other = next(n for n, token in enumerate(made) if token != made[0])
    folder = shutil.copytree(weights["gpt2"], tmp_path / "m")
    provide_weights({"m": str(folder)})
    for end, expected in [(319, ("truncated", 10)), (made[other], ("done", other + 1)), (made[0], ("empty", 1))]:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, end]}))
        found = asked(started("m"), prompt, *PROMPTS)
        assert expected == (found[0].status, found[0].output_tokens)
        assert found[0] == found[1]


def test_chance_comes_from_the_seed() -> None:
    """The same words for the same seed, other words for another."""
    chance = Generate(max_tokens=10, temperature=1.0, seed=1)
    one, again = (asked(started("gpt2", chance), *PROMPTS) for _ in range(2))
    assert one == again
    assert one != asked(started("gpt2", attrs.evolve(chance, seed=2)), *PROMPTS)


def test_a_model_of_conversations_is_asked_by_its_template() -> None:
    """With the system's part before; one without a template reads both as one text."""
    chat, plain = LanguageModel("chat", WORDS, {}, {}), LanguageModel("gpt2", WORDS, {}, {})
    ask = Ask("why", "be short")
    told = chat.tokenizer.decode(chat.ready(ask).inputs)
    assert "system: be short<|end|>user: why<|end|>assistant: " == told
    assert "be short\n\nwhy" == plain.tokenizer.decode(plain.ready(ask).inputs)


def test_a_question_that_is_too_long_is_refused_alone() -> None:
    """Before it was an index error inside of the network, for the whole batch."""
    model = LanguageModel("gpt2", Generate(max_tokens=100), {}, {})
    told = "a question of .* tokens and an answer of at most 100 do not fit into the 128 that gpt2 can read"
    with pytest.raises(StageError, match=told):
        model.ready(Ask("once upon a time " * 20))


class Small:
    """A network on a device that has room for three questions; for more it says what torch says."""

    def __init__(self, network: Any) -> None:
        self.network, self.device, self.sizes = network, network.device, []

    def generate(self, input_ids: Any, **given: Any) -> Any:
        """As far as it fits."""
        self.sizes.append(len(input_ids))
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.network.generate(input_ids=input_ids, **given)


def test_batches_get_smaller_where_memory_runs_out() -> None:
    """Half as large, which is remembered; the answers are the same."""
    expected = asked(started("gpt2"), *PROMPTS)
    model = started("gpt2")
    model.network = Small(model.network)
    assert expected == asked(model, *PROMPTS)
    assert expected == asked(model, *PROMPTS)
    assert [8, 4, *[2] * 8] == model.network.sizes


def test_one_question_that_does_not_fit_is_an_error() -> None:
    """The engine knows it by its class, and goes on without it."""

    class Full(Small):
        def generate(self, input_ids: Any, **given: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = started("gpt2")
    model.network = Full(model.network)
    with pytest.raises(torch.OutOfMemoryError):
        asked(model, *PROMPTS)


def test_a_gguf_is_unpacked_on_the_node_and_says_the_same(weights: dict[str, str], tmp_path: Path) -> None:
    """Read from there without the file; where nothing was unpacked, or the disk is full, from the file itself."""
    node = NodeInfo(name="n", folder=str(tmp_path))
    LanguageModel("chat", WORDS, {}, {}).on_node(node)
    assert (tmp_path / "chat" / "model.safetensors").is_file()
    packed = asked(started("chat"), *PROMPTS, system="be short")
    there = attrs.evolve(CPU, node_folder=str(tmp_path))
    unpacked = started("chat", worker=there)
    assert packed == asked(unpacked, *PROMPTS, system="be short")
    assert str(tmp_path / "chat") == unpacked.network.config._name_or_path
    LanguageModel("gpt2", WORDS, {}, {}).on_node(node)
    assert ["chat"] == [path.name for path in tmp_path.iterdir()]


def test_weights_of_something_else_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    """Before a run is submitted: by what lies beside them."""
    model = LanguageModel("m", WORDS, {}, {})
    for good in ("gpt2", "chat"):
        model.check_weights("m", Path(weights[good]))
    with pytest.raises(ConfigError, match="that of a bert model; expected one that continues a text"):
        model.check_weights("m", Path(weights["text"]))
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=r"has 2 GGUF files, a\.gguf and others; expected one"):
        model.check_weights("m", tmp_path)
    with pytest.raises(ConfigError, match=r"options\.batch: there is no such key; did you mean 'batching'"):
        LanguageModel("m", WORDS, {"batch": 1}, {})


def test_weights_that_lack_tensors_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    """Else random numbers would stand in their place."""
    folder = shutil.copytree(weights["gpt2"], tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    provide_weights({"m": str(folder)})
    with pytest.raises(ConfigError, match=r"model m: \d+ of its tensors are not in .*weights of another model"):
        started("m")


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_prompts_are_answered_in_order(tmp_path: Path, batch: int) -> None:
    """Whatever the batch; one that is too long for the model is a dead letter of its own."""
    generate = {"max_tokens": 10}
    tasks = [PromptTask(id=str(n), prompt=prompt) for n, prompt in enumerate(PROMPTS)]
    tasks.insert(2, PromptTask(id="long", prompt="once upon a time " * 40))
    tasks[3].system = "good art"
    found = try_stage(GenerateStage("gpt2", system="once", generate=generate), tasks, tmp_path, batch_size=batch)
    assert ["long"] == [row["id"] for row in found.failed]
    assert [str(n) for n in range(8)] == [task.id for task in found.tasks]
    given = [Ask(prompt, "good art" if n == 2 else "once") for n, prompt in enumerate(PROMPTS)]
    model = started("gpt2")
    answers = model.answers([model.ready(ask) for ask in given])
    assert [answer.text or None for answer in answers] == [task.answer for task in found.tasks]
    kept = [(task.status, task.prompt_tokens, task.output_tokens, task.model) for task in found.tasks]
    assert kept == [(answer.status, answer.prompt_tokens, answer.output_tokens, "gpt2") for answer in answers]


def test_answers_of_like_meaning_have_like_vectors(tmp_path: Path) -> None:
    """MiniLM's real weights, from a package. What has no answer has no vector."""
    import numpy as np

    parquet = pytest.importorskip("pyarrow.parquet", reason="the video extra is not installed")
    provide_weights({"all-minilm": str(real_weights("all-minilm"))})
    texts = ["A cat sleeps on the sofa.", None, "The kitten is napping on a couch.", "Interest rates rose in March."]
    tasks = [PromptTask(id=str(n), prompt="p", answer=text) for n, text in enumerate(texts)]
    found = try_stage(EmbedAnswers(), tasks, tmp_path)
    assert [1, 0, 1, 1] == [len(task.embeddings) for task in found.tasks]
    rows = parquet.read_table(found.tasks[0].embeddings[0])
    assert ["0", "2", "3"] == rows["id"].to_pylist()
    cat, kitten, rates = np.array(rows["embedding"].to_pylist())
    assert (384,) == cat.shape
    assert cat @ kitten > 0.5 > 0.2 > cat @ rates
    assert [("all-minilm_embd_parquet/0.parquet")] == [path for _, path in published_files(found.tasks[0], 0)]
