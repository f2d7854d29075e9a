"""Hello, world: prompts are lower-cased, printed, continued by GPT-2 and counted; their meaning becomes a vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import attrs

from hpcurate import CurrentOr, File, Resources, Stage, Task, WorkerInfo, stable_id
from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, option
from hpcurate.model import Model, described, get_local_dir_for_weights_name, read_model_config
from stages.text import SentenceEmbedder

SMALL = Resources(cpus=1, memory="200MB", time="5m")


@attrs.define(kw_only=True)
class HelloTask(Task):
    """A prompt and what became of it."""

    prompt: str
    output: str | None = None
    """GPT-2's continuation, if one was generated."""
    word_count: int | None = None
    vectors: File | None = None
    """Matrix of sentence embeddings, float32, NumPy's format; this task's is the row `row`."""
    row: int | None = None


@attrs.define(frozen=True)
class Prompts:
    """A source of prompts from the config."""

    prompts: tuple[str, ...] = option(NEEDED, "the prompts, in order", converter=tuple)
    task_type: ClassVar[type[Task]] = HelloTask

    def identity(self) -> dict[str, Any]:
        """The prompts themselves."""
        return {"prompts": list(self.prompts)}

    def tasks(self) -> Iterator[HelloTask]:
        """One task a prompt."""
        for number, prompt in enumerate(self.prompts):
            yield HelloTask(id=stable_id(number, prompt), prompt=str(prompt))


class LowerCase(Stage[HelloTask, HelloTask]):
    """Lower-case each prompt."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Change the tasks in place and pass them on."""
        for task in tasks:
            task.prompt = task.prompt.lower()
        return tasks


class Print(Stage[HelloTask, HelloTask]):
    """Print each prompt; it appears in the worker's log (`hpcurate logs --stage show`)."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Print, and pass on."""
        for task in tasks:
            print(task.prompt, flush=True)
        return tasks


class WordCount(Stage[HelloTask, HelloTask]):
    """Count the words of each prompt."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Fill in `word_count`: of what was generated, or of the prompt."""
        for task in tasks:
            task.word_count = len((task.output or task.prompt).split())
        return tasks


class GPT2(Model):
    """GPT-2, as in Cosmos-Curate's guide."""

    device = "cpu"
    """Where it computes; the stage sets it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry: `gpt2`, or `tiny-gpt2` for a trial."""
        return [self.name]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`."""
        config = read_model_config(folder)
        if config.get("model_type") != "gpt2":
            raise ConfigError(f"{described(config)}; expected a gpt2 model")

    def setup(self) -> None:
        """Load it where the stage said."""
        from transformers import AutoTokenizer, GPT2LMHeadModel

        folder = get_local_dir_for_weights_name(self.name)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        network: Any = GPT2LMHeadModel.from_pretrained(folder)
        self.network = network.to(self.device).eval()

    def generate(self, prompt: str, tokens: int) -> str:
        """The prompt and its most likely continuation."""
        import torch

        given = self.tokenizer(prompt, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            made = self.network.generate(
                **given, max_new_tokens=tokens, do_sample=False, pad_token_id=self.tokenizer.eos_token_id
            )
        return str(self.tokenizer.decode(made[0], skip_special_tokens=True))


class Generate(Stage[HelloTask, HelloTask]):
    """Let GPT-2 continue each prompt with the most likely tokens."""

    version = 1
    resources = Resources(cpus=2, memory="4GB", time="30m")
    batch_size = 8
    env = CurrentOr("models")

    def __init__(self, model: str = "gpt2", tokens: int = 20) -> None:
        """Name the model; nothing is loaded here.

        Args:
            model: name in conf/models, of GPT-2's architecture.
            tokens: tokens to add to each prompt at most.
        """
        self.model, self.tokens = GPT2(model), tokens

    def setup(self, worker: WorkerInfo) -> None:
        """Load the model on this process's device."""
        self.model.device = worker.device
        super().setup(worker)

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Fill in `output`."""
        for task in tasks:
            task.output = self.model.generate(task.prompt, self.tokens)
        return tasks


class Embed(Stage[HelloTask, HelloTask]):
    """Turn each text into a sentence embedding: one matrix per batch, each task holds its row number."""

    version = 1
    resources = Resources(cpus=2, memory="4GB", time="30m")
    batch_size = 64
    env = CurrentOr("models")

    def __init__(self, model: str = "all-minilm-l6-v2") -> None:
        """Name the model; nothing is loaded here.

        Args:
            model: name in conf/models of a sentence-embedding model.
        """
        self.model = SentenceEmbedder(model)

    def setup(self, worker: WorkerInfo) -> None:
        """Load the model on this process's device."""
        self.model.device = worker.device
        super().setup(worker)

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Fill in `vectors` and `row`."""
        import numpy as np

        file = self.file(tasks[0], "vectors.npy")
        np.save(file, self.model.embed([task.output or task.prompt for task in tasks]))
        for row, task in enumerate(tasks):
            task.vectors, task.row = file, row
        return tasks
