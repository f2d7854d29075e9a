"""The GPU as a stage process has it. Runs in every stage environment: Python 3.9; torch if the stage has loaded it."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import Any

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


def driver_version(text: str) -> str:
    """`NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat …` → `535.104.05`. Pure."""
    match = re.search(r"Kernel Module\D*?([\d.]+\d)", text) or re.search(r"(\d+\.[\d.]+\d)", text)
    return match[1] if match else "?"
