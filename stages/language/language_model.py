"""Text models that run here: any causal language model of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from hpcurate import NodeInfo, WorkerInfo
from hpcurate.errors import ConfigError, StageError
from hpcurate.fields import convert, option
from hpcurate.model import described, get_local_dir_for_weights_name, read_model_config, remote_code_allowed
from stages.language import gguf
from stages.language.asks import Answer, Ask, Generate, Ready, answer_of
from stages.language.engine import Engine
from stages.language.generating import Batches, ends_of, generation_config, until_end
from stages.networks import DType, load_network, torch_type

CAUSAL = ("ForCausalLM", "LMHeadModel")
"""Ends of the names of architectures that continue a text."""
PAGE = 256
"""Tokens of one page of the memory in which continuous batching keeps what it has read."""


@attrs.define(frozen=True, kw_only=True)
class LanguageOptions:
    """Options of a language model that runs here."""

    at_once: int = option(32, "questions that are answered at once; halved where the GPU's memory runs out", minimum=1)
    batching: str = option(
        "auto",
        "padded: a batch ends with its longest answer; continuous: the next question takes a place that is free; auto: "
        "continuous on a GPU, which is untried, if repetition_penalty is 1",
        choices=("auto", "continuous", "padded"),
    )
    dtype: DType = option(
        "auto",
        "of the numbers; auto: bfloat16 on a GPU, else float32",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    template: dict[str, Any] = option(dict, "values for the model's chat template, e.g. {enable_thinking: false}")


class LanguageModel(Engine):
    """A causal language model. With a chat template it is asked and answers, without one it continues the prompt."""

    def __init__(self, name: str, generate: Generate, options: Mapping[str, Any], server: Mapping[str, Any]) -> None:
        """See `Engine`; options are those of LanguageOptions."""
        super().__init__(name, generate, options, server)
        self.options = convert(LanguageOptions, options, "options")
        if self.options.batching == "continuous" and generate.repetition_penalty != 1:
            raise ConfigError(
                "options.batching=continuous: knows no generate.repetition_penalty; set that to 1, or batching=padded"
            )
        self._batches = Batches(self.options.at_once)
        self._unpacked: Path | None = None

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`."""
        if gguf.gguf_file(folder):
            return
        config = read_model_config(folder)
        if not any(str(each).endswith(CAUSAL) for each in config.get("architectures") or ()):
            raise ConfigError(
                f"{described(config)}; expected one that continues a text, such as gpt2, llama or qwen3, or a .gguf"
            )

    def on_node(self, node: NodeInfo) -> None:
        """Unpack a GGUF file."""
        folder, target = get_local_dir_for_weights_name(self.name), self._on_node(node.folder)
        file = gguf.gguf_file(folder)
        if file and not target.exists():  # or it is that of another stage of the same chain
            gguf.unpack(folder, file, target)

    def _on_node(self, folder: str) -> Path:
        return Path(folder, self.name.replace("/", "--"))

    @property
    def folder(self) -> Path:
        """Where its weights lie: as they came, or unpacked on the node."""
        return self._unpacked or get_local_dir_for_weights_name(self.name)

    def start(self, worker: WorkerInfo) -> None:
        """Load it. Raises ConfigError."""
        made = self._on_node(worker.node_folder) if worker.node_folder else None
        self._unpacked = made if made and made.is_dir() else None
        self.network = self._load(torch_type(self.options.dtype, worker.device)).to(worker.device)
        self.ends = ends_of(self.tokenizer, self.network)
        self.pad = next((token for token in (self.tokenizer.pad_token_id, *sorted(self.ends)) if token is not None), 0)
        self.network.generation_config = generation_config(self.generate, self.ends, self.pad)
        auto = worker.device != "cpu" and self.generate.repetition_penalty == 1
        self.continuous = {"auto": auto, "continuous": True, "padded": False}[self.options.batching]

    def _load(self, dtype: Any) -> Any:
        from transformers import AutoModelForCausalLM

        file = gguf.gguf_file(self.folder)
        if file:
            return gguf.load(self.folder, file).to(dtype).eval()
        code = remote_code_allowed(self.name)
        return load_network(AutoModelForCausalLM, self.name, dtype, folder=self.folder, trust_remote_code=code)

    @cached_property
    def tokenizer(self) -> Any:
        """That of the model; known without loading the network."""
        from transformers import AutoTokenizer

        file = gguf.gguf_file(self.folder)
        if file:
            return gguf.tokenizer(self.folder, file)
        code = remote_code_allowed(self.name)
        return AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=code)

    @cached_property
    def longest(self) -> int | None:
        """Tokens of question and answer together that it can read; None: not known."""
        config = read_model_config(self.folder)
        known = config.get("max_position_embeddings") or config.get("n_positions")
        return int(known) if known else None

    def ready(self, ask: Ask) -> Ready:
        """Its tokens. Raises StageError where question and answer do not fit. Changes nothing: threads share it."""
        tokens = self._tokens(ask)
        most = self.generate.max_tokens
        if self.longest and len(tokens) + most > self.longest:
            raise StageError(
                f"a question of {len(tokens)} tokens and an answer of at most {most} do not fit into the "
                f"{self.longest} that {self.name} can read; expected a shorter question, or a smaller "
                "generate.max_tokens"
            )
        return Ready(ask, tokens, len(tokens))

    def _tokens(self, ask: Ask) -> list[int]:
        if not self.tokenizer.chat_template:
            text = "\n\n".join(filter(None, [ask.system, ask.prompt]))
            return self.tokenizer(text)["input_ids"] or [self.tokenizer.eos_token_id or 0]
        said = [("system", ask.system), ("user", ask.prompt)]
        messages = [{"role": role, "content": text} for role, text in said if text or role == "user"]
        found: list[int] = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False, **self.options.template
        )
        return found

    def answers(self, asked: Sequence[Ready]) -> list[Answer]:
        """See `Engine`."""
        import torch

        if self.generate.temperature:
            torch.manual_seed(self.generate.seed)
        if self.continuous:
            return self._as_places_get_free(asked) if asked else []
        return self._batches.answers(asked, lambda one: one.length, self._padded)

    def _padded(self, asked: list[Ready]) -> list[Answer]:
        """One batch, padded on the left: what is generated begins in the same column."""
        import torch

        longest = max(one.length for one in asked)
        given = [[self.pad] * (longest - one.length) + one.inputs for one in asked]
        mask = [[0] * (longest - one.length) + [1] * one.length for one in asked]
        device = self.network.device
        with torch.inference_mode():
            made = self.network.generate(
                input_ids=torch.tensor(given, device=device), attention_mask=torch.tensor(mask, device=device)
            )
        return [self._answer(one, tokens) for one, tokens in zip(asked, made[:, longest:].tolist(), strict=True)]

    def _as_places_get_free(self, asked: Sequence[Ready]) -> list[Answer]:
        """By transformers' continuous batching. Its memory is bounded: by default it takes all that is free."""
        from transformers import ContinuousBatchingConfig

        at_once = min(self.options.at_once, len(asked))
        longest = max(one.length for one in asked) + self.generate.max_tokens
        config = ContinuousBatchingConfig(
            page_size=PAGE, num_blocks=at_once * -(-longest // PAGE) + 1, max_requests_per_batch=at_once,
            seed=self.generate.seed,
        )  # fmt: skip
        made = self.network.generate_batch(
            [one.inputs for one in asked],
            generation_config=self.network.generation_config,
            continuous_batching_config=config,
        )
        failed = next((str(one.error) for one in made.values() if one.error), None)
        if failed or len(made) != len(asked):  # it logs what happened, and returns what it has
            raise RuntimeError(f"continuous batching: {failed or f'{len(made)} answers to {len(asked)} questions'}")
        return [self._answer(one, each.generated_tokens) for one, each in zip(asked, made.values(), strict=True)]

    def _answer(self, asked: Ready, tokens: Sequence[int]) -> Answer:
        said, whole = until_end(tokens, self.ends)
        text = self.tokenizer.decode(said[:-1] if whole else said, skip_special_tokens=True)
        return answer_of(text, whole=whole, prompt_tokens=asked.length, output_tokens=len(said))

    def stop(self) -> None:
        """Let go of the network."""
        self.network = None
