"""What all models that transformers runs here have in common: how they choose words, where an answer ends, and how
many questions fit onto the GPU at once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import attrs

from stages.language.asks import Generate, by_length

T = TypeVar("T")
A = TypeVar("A")


def generation_config(generate: Generate, ends: Collection[int], pad: int) -> Any:
    """As `network.generation_config`: nothing of what came with the weights counts beside `generate`.

    `ends`: tokens that end an answer; `pad`: what stands behind one that has ended, in a batch.
    """
    import transformers

    kind: Any = transformers.GenerationConfig
    chance = generate.temperature > 0
    sampling = {"temperature": generate.temperature, "top_p": generate.top_p, "top_k": 0} if chance else {}
    return kind(
        max_new_tokens=generate.max_tokens, do_sample=chance, repetition_penalty=generate.repetition_penalty,
        eos_token_id=sorted(ends) or None, pad_token_id=pad, **sampling,
    )  # fmt: skip


def ends_of(tokenizer: Any, network: Any) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and those that came with the weights."""
    known = getattr(network.generation_config, "eos_token_id", None)
    listed = known if isinstance(known, list) else [known]
    return {int(token) for token in (*listed, tokenizer.eos_token_id) if token is not None}


def until_end(tokens: Sequence[int], ends: Collection[int]) -> tuple[list[int], bool]:
    """(the tokens of an answer, the one that ends it among them; whether there is one). Pure."""
    last = next((n for n, token in enumerate(tokens) if token in ends), None)
    return (list(tokens), False) if last is None else (list(tokens[: last + 1]), True)


@attrs.define
class Batches:
    """How many questions are answered at once: half as many after the GPU's memory ran out, which is remembered."""

    at_once: int

    def answers(self, items: Sequence[T], length: Callable[[T], int], answer: Callable[[list[T]], list[A]]) -> list[A]:
        """See `by_length`. Raises torch's OutOfMemoryError where one question alone does not fit."""
        while True:
            found = self._tried(items, length, answer)
            if found is not None:
                return found
            _free()  # outside of the `except`, whose error refers to all that was in work

    def _tried(
        self, items: Sequence[T], length: Callable[[T], int], answer: Callable[[list[T]], list[A]]
    ) -> list[A] | None:
        import torch

        try:
            return by_length(items, length, self.at_once, answer)
        except torch.OutOfMemoryError as error:
            most = min(self.at_once, len(items))
            if most == 1:
                raise
            print(f"{most} questions at once do not fit, now {most // 2}: {error}", flush=True)
        self.at_once = most // 2
        return None


def _free() -> None:
    import torch

    cuda: Any = torch.cuda
    gc.collect()
    if cuda.is_initialized():
        cuda.empty_cache()
