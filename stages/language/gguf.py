"""Weights that come as one GGUF file, as llama.cpp has them: transformers unpacks them, which takes long.

So they are unpacked once per node and read from there. Both ways give the same numbers: float16 has more digits than
what was packed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hpcurate.errors import ConfigError

UNPACKED = 5
"""Times its size that a file needs on the disk: 16 bits for each of 4."""


def gguf_file(folder: Path) -> str | None:
    """Name of the file, where the weights are one; None for weights as transformers has them. Raises ConfigError."""
    found = sorted(path.name for path in folder.glob("*.gguf"))
    if (folder / "config.json").is_file() or not found:
        return None
    if len(found) > 1:
        raise ConfigError(f"{folder} has {len(found)} GGUF files, {found[0]} and others; expected one: set `files:`")
    return found[0]


def unpack(folder: Path, file: str, target: Path) -> None:
    """Save weights and tokenizer as transformers has them. Where the disk has no room, a line says so."""
    import torch

    needed, free = UNPACKED * (folder / file).stat().st_size, shutil.disk_usage(target.parent).free
    if needed > free:
        print(f"{file}: not unpacked on this node: {target.parent} has {free / 1e9:.1f} GB, not {needed / 1e9:.1f}")
        return
    unpacked = load(folder, file)
    config = unpacked.config
    if hasattr(config, "quantization_config"):  # else it is saved as if it were still packed
        del config.quantization_config
    with torch.device("meta"):
        network = type(unpacked)(config)
    network.load_state_dict(unpacked.state_dict(), assign=True)
    network.generation_config = unpacked.generation_config
    network.save_pretrained(target)
    tokenizer(folder, file).save_pretrained(target)


def load(folder: Path, file: str) -> Any:
    """The network, in float16."""
    import torch
    import transformers

    kind = getattr(transformers, "GgufConfig", None)  # before it was there, all were unpacked
    more = {"quantization_config": kind(dequantize=True)} if kind else {}
    return transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float16, **more)


def tokenizer(folder: Path, file: str) -> Any:
    """The tokenizer in the file."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, gguf_file=file)
