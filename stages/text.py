"""Models of text, ready for stages: vectors of tokens, and sentence embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcurate.errors import ConfigError
from hpcurate.model import Model, described, get_local_dir_for_weights_name, read_model_config
from stages.networks import load_network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DType = Literal["float16", "float32"]
T5 = ("t5", "mt5", "umt5")
"""Their `model_type`: of each transformers has the encoder alone."""


class TextEncoder(Model):
    """Base: a network that makes a vector of each token of a text."""

    device = "cpu"
    """Where it computes; the stage sets it."""
    auto = "AutoModel"
    """The class of transformers that loads it."""

    def __init__(self, name: str, longest: int, dtype: DType = "float32") -> None:
        self.name, self.longest, self.dtype = name, longest, dtype

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def setup(self) -> None:
        """Load it where the stage said."""
        import torch
        import transformers

        self.tokenizer = transformers.AutoTokenizer.from_pretrained(get_local_dir_for_weights_name(self.name))
        loader, kind = getattr(transformers, self.auto), getattr(torch, self.dtype)
        network = load_network(loader, self.name, kind, unused=("pooler.",))
        self.network = network.to(self.device)
        self.longest = min(self.longest, getattr(network.config, "max_position_embeddings", self.longest))

    def embed(self, texts: list[str]) -> Iterable[NDArray[np.floating[Any]]]:
        """Vectors of each text, in order."""
        raise NotImplementedError

    def _tokens(self, texts: list[str]) -> tuple[Any, Any]:
        """(vectors of all tokens, which of them are no padding), of the texts as one batch."""
        import torch

        given = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt").to(
            self.device
        )
        with torch.inference_mode():
            return self.network(**given).last_hidden_state, given["attention_mask"].bool()


class TokenEmbedder(TextEncoder):
    """The encoder of a T5: a matrix for each text, one row a token."""

    auto = "AutoModelForTextEncoding"

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`."""
        config = read_model_config(folder)
        if config.get("model_type") not in T5:
            raise ConfigError(f"{described(config)}; expected a T5, e.g. t5-base, or per=caption of another model")

    def embed(self, texts: list[str]) -> list[NDArray[np.floating[Any]]]:
        """Of the network's type, without the padding."""
        found, own = self._tokens(texts)
        return [rows[real].cpu().numpy() for rows, real in zip(found, own, strict=True)]


class SentenceEmbedder(TextEncoder):
    """Any sentence-embedding model whose vector is the mean over its tokens (BERT and its relatives).

    Source of the pooling: sentence-transformers' mean pooling, which all-MiniLM-L6-v2 was trained with.
    """

    def __init__(self, name: str, longest: int = 256, dtype: DType = "float32") -> None:
        super().__init__(name, longest, dtype)

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Matrix of float32, one row of length 1 per text."""
        import torch

        found, own = self._tokens(texts)
        mask = own.unsqueeze(-1).float()
        mean = (found.float() * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        rows: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return rows
