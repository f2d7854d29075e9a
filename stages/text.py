"""Models of text, ready for stages: sentence embeddings."""

from __future__ import annotations

from typing import Any

from hpcurate.model import Model, get_local_dir_for_weights_name


class SentenceEmbedder(Model):
    """Any sentence-embedding model whose vector is the mean over its tokens (BERT and its relatives).

    Source of the pooling: sentence-transformers' mean pooling, which all-MiniLM-L6-v2 was trained with.
    """

    device = "cpu"
    """Where it computes; the stage sets it."""

    def __init__(self, name: str, longest: int = 256) -> None:
        self.name, self.longest = name, longest

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def setup(self) -> None:
        """Load it where the stage said."""
        from transformers import AutoModel, AutoTokenizer

        folder = get_local_dir_for_weights_name(self.name)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = AutoModel.from_pretrained(folder).to(self.device).eval()
        self.longest = min(self.longest, self.network.config.max_position_embeddings)

    def embed(self, texts: list[str]) -> Any:
        """Matrix of float32, one row of length 1 per text."""
        import torch

        given = self.tokenizer(texts, padding=True, truncation=True, max_length=self.longest, return_tensors="pt").to(
            self.device
        )
        with torch.inference_mode():
            hidden = self.network(**given).last_hidden_state
        mask = given["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1).float().cpu().numpy()
