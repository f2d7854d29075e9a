"""Loading networks of transformers: all of the weights were there, or it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from hpcurate.errors import ConfigError
from hpcurate.model import get_local_dir_for_weights_name

DType = Literal["auto", "float32", "bfloat16", "float16"]


def torch_type(wanted: DType, device: str) -> Any:
    """The type of numbers in torch: `auto` is bfloat16 on a GPU, else float32."""
    import torch

    name = ("bfloat16" if device == "cuda" else "float32") if wanted == "auto" else wanted
    return getattr(torch, name)


def load_network(
    loader: Any, name: str, kind: Any, *, folder: Path | None = None, unused: tuple[str, ...] = (), **options: Any
) -> Any:
    """The network of a model, by one of the library's Auto classes, for inference; from its weights, or `folder`.

    Raises ConfigError where the library cannot load it, or some of its tensors are not among the weights, but for those
    whose names begin with one of `unused`.
    """
    folder = folder or get_local_dir_for_weights_name(name)
    options = {"trust_remote_code": False, **options}
    try:
        network, info = loader.from_pretrained(
            folder, dtype=kind, local_files_only=True, output_loading_info=True, **options
        )
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise ConfigError(f"model {name}: transformers cannot load {folder}: {error}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(unused))
    if missing:  # transformers would go on with random numbers in their place
        raise ConfigError(
            f"model {name}: {len(missing)} of its tensors are not in {folder}, e.g. {missing[0]}; these are weights of "
            f"another model: check the entry's repo and files, then type: hpcurate models fetch {name} --update"
        )
    return network.eval()
