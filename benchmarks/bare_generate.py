"""A language model's answers through hpcurate against a bare loop over transformers, in tokens a second.

    python benchmarks/bare_generate.py [--prompts N] [--tokens M] [--threads T]

- *Bare loop*: transformers alone, one batch after the other: chat template, padding on the left, `generate`, text.
- *hpcurate*: `Generate(model="smollm2-135m-instruct")`, one stage process, the same batches; claims, rows and commits
  included. From the commit of a first shard of one prompt on, so that starting and loading do not count. What share of
  these seconds `process` had says what the engine costs, also on a machine that is busy with other things.

Both answer the same prompts with the same weights, unpacked before, and have to say the same. They have as many
threads, and take turns; medians are compared. Where other processes want the cores, take one thread: several wait for
each other at every step. Fetches the weights with pip if need be.
"""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from rounds import in_a_folder, in_turns, parser, rates, scratch

import hpcurate
from hpcurate import StageOptions, Step
from hpcurate.config_files import shipped_conf
from hpcurate.models.fetch import fetch
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import WeightStore
from stages.language import gguf
from stages.language.generate import Generate
from stages.language.prompt_tasks import PromptTask

MODEL = "smollm2-135m-instruct"
BATCH = 32
PEER = "bare loop"
PER_SHARD = 64
TOPICS = (
    "the sea",
    "why people build bridges",
    "a mountain in winter",
    "how bread is baked, from grain to oven",
    "light",
)
ASKED = ("Write one sentence about {}.", "What should a child know about {}?", "Explain {} to somebody in a hurry.")


@attrs.define(frozen=True)
class Timed:
    """What the prompts became through hpcurate, and how long it took."""

    answers: dict[str, str]
    tokens: int
    seconds: float
    in_process: float
    """Seconds of `process`: all the rest is the engine's own."""


@attrs.define
class BareLoop:
    """Transformers, without the engine."""

    folder: str
    tokens: int
    threads: int
    tokenizer: Any = None
    network: Any = None

    def load(self) -> None:
        """As its documentation says."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(self.threads)
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder, padding_side="left")
        self.network = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def run(self, prompts: list[str]) -> tuple[dict[str, str], float]:
        """(answers by prompt, seconds)."""
        started, found = time.perf_counter(), {}
        for first in range(0, len(prompts), BATCH):
            found.update(self._batch(prompts[first : first + BATCH]))
        return found, time.perf_counter() - started

    def _batch(self, prompts: list[str]) -> dict[str, str]:
        import torch

        said = [[{"role": "user", "content": prompt}] for prompt in prompts]
        given = self.tokenizer.apply_chat_template(
            said, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            made = self.network.generate(**given, max_new_tokens=self.tokens, do_sample=False)
        texts = self.tokenizer.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
        return {prompt: text.strip() for prompt, text in zip(prompts, texts, strict=True)}


def with_hpcurate(prompts: list[str], weights: Path, tokens: int, threads: int, folder: Path) -> Timed:
    """Seconds from the commit of the first prompt, which is a shard of its own, to the last one."""
    store = folder / "store"
    store.mkdir()
    (store / "weights").symlink_to(weights)
    resources = {"cpus": threads, "memory": "4GB", "time": "1h"}
    options = StageOptions(shard_tasks=0, shard_weight=PER_SHARD, workers=1, resources=resources)
    step = Step(Generate(MODEL, generate={"max_tokens": tokens}), options)
    first = PromptTask(id="first", prompt="Say yes.", weight=PER_SHARD + 1)  # the heaviest is claimed first
    tasks = [PromptTask(id=f"p{n:05d}", prompt=prompt, weight=1.0) for n, prompt in enumerate(prompts)]
    outcome = hpcurate.run({"generate": step}, [first, *tasks], store=store, launcher="local", wait=True)
    assert outcome.state.value == "complete", outcome.summary
    commits = sorted(path.stat().st_ctime for path in store.glob("stages/generate-*/shards/*/[!.]*"))
    assert len(commits) == 1 + -(-len(prompts) // PER_SHARD)
    shards = list(store.glob("stages/generate-*/shards/*/[!.]*"))
    rows = [json.loads(line) for path in shards for line in (path / "tasks.jsonl").open()]
    stats = [json.loads((path / "stats.json").read_text()) for path in shards]
    return Timed(
        answers={row["prompt"]: row["answer"] for row in rows if row["id"] != "first"},
        tokens=sum(row["output_tokens"] for row in rows if row["id"] != "first"),
        seconds=commits[-1] - commits[0],
        in_process=sum(one["process_seconds"] for one in stats if one["tasks_in"] > 1),
    )


def fetched(root: Path) -> Path:
    """The weights, in a store of their own."""
    store = WeightStore(str(root))
    os.makedirs(store.folder)
    return Path(fetch(store, read_registry([shipped_conf()])[MODEL]).path)


def bare_generate(count: int, tokens: int, repeat: int, threads: int = 2) -> None:
    """Measure, and print a Markdown table."""
    prompts = [asked.format(f"{topic}, part {n}") for n in range(count) for topic in TOPICS for asked in ASKED][:count]
    said: list[dict[str, str]] = []
    timed: list[Timed] = []
    with scratch() as folder:
        weights, unpacked = fetched(folder / "store"), folder / "unpacked"
        gguf.unpack(weights, str(gguf.gguf_file(weights)), unpacked)
        bare = BareLoop(str(unpacked), tokens, threads)
        bare.load()
        bare.run(prompts[:2])

        def loop() -> float:
            answers, seconds = bare.run(prompts)
            said.append(answers)
            return seconds

        def ours(work: Path) -> float:
            timed.append(with_hpcurate(prompts, weights.parent, tokens, threads, work))
            assert said[-1] == timed[-1].answers, "the two do not say the same"
            return timed[-1].seconds

        ways = in_turns({PEER: loop, "hpcurate": partial(in_a_folder, ours)}, repeat)
    total = timed[-1].tokens
    print(f"{count} prompts, {total} tokens of answers, batches of {BATCH}, {threads} threads\n")
    print(rates(ways, PEER, "tokens", dict.fromkeys((PEER, "hpcurate"), total)))
    shares = ", ".join(f"{one.in_process / one.seconds:.3f}" for one in timed)
    print(f"\nShare of hpcurate's seconds that `process` had: {shares}")


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--prompts", type=int, default=256, help="(default: 256)")
    options.add_argument("--tokens", type=int, default=32, help="of an answer at most (default: 32)")
    options.add_argument("--threads", type=int, default=2, help="of the network (default: 2)")
    given = options.parse_args()
    bare_generate(given.prompts, given.tokens, given.repeat, given.threads)


if __name__ == "__main__":
    main()
