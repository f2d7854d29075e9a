"""The GPU as a stage process has it. Runs in every stage environment: Python 3.9; torch if the stage has loaded it."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import Any

from hpcurate.errors import StageError

DRIVER = "/proc/driver/nvidia/version"


def seen_gpu(device: str) -> dict[str, str]:
    """Its name and the versions of driver and CUDA, for what is recorded; what nobody has asked for is left out."""
    if device != "cuda":
        return {}
    found = {}
    with suppress(OSError), open(DRIVER, encoding="utf-8") as file:
        found["driver"] = driver_version(file.read())
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():  # else asking would take memory on it
        found["gpu"] = ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
        found["cuda"] = str(torch.version.cuda)
    return found


def peak_gpu_mb() -> float:
    """Most MiB that torch has taken of one GPU in this process; 0 where it took none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0.0
    return float(max(torch.cuda.max_memory_reserved(n) for n in range(torch.cuda.device_count()))) / 2**20


def driver_version(text: str) -> str:
    """`NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat …` → `535.104.05`. Pure."""
    match = re.search(r"Kernel Module\D*?([\d.]+\d)", text) or re.search(r"(\d+\.[\d.]+\d)", text)
    return match[1] if match else "?"


def keep_to_share(device: str, share: float) -> None:
    """Have torch refuse what is beyond this process's share of a GPU that it has with others.

    Called before `setup`, and after it: most stages import torch there. Not sooner, as the limit makes torch take
    memory on the GPU, and a stage that does without torch should not. Raises StageError if `setup` took more.
    """
    torch: Any = sys.modules.get("torch")
    if device != "cuda" or share >= 1 or torch is None or not torch.cuda.is_available():
        return
    for number in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(number).total_memory
        check_share(torch.cuda.memory_reserved(number), total, share)
        torch.cuda.set_per_process_memory_fraction(share, number)


def check_share(taken: int, total: int, share: float) -> None:
    """Raise StageError if more bytes are taken than the share of the total. Pure."""
    if taken > share * total:
        raise StageError(
            f"setup took {taken / 1e9:.1f} GB of GPU memory; with resources.gpus={share:g} this process has "
            f"{share * total / 1e9:.1f} of {total / 1e9:.1f} GB: type resources.gpus=1, or take a smaller model"
        )
