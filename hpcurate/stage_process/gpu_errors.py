"""Which errors mean that a GPU's memory ran out, or that the process has lost its GPU. By name and text: whoever raises
them has imported torch, we have not. Python 3.9.

The texts are those of torch 2.x (c10/cuda, c10/core/CPUAllocator), cuBLAS and XLA; the errors of CUDA after which a
process can use its GPU no more are described with cudaError in its runtime's manual ("the process must be terminated").
"""

from __future__ import annotations

import gc
import re
import sys
from typing import Any, Optional

from hpcurate.transient import links

_FULL = re.compile(
    r"\bout of memory\b|DefaultCPUAllocator: (can't allocate|not enough) memory|RESOURCE_EXHAUSTED"
    r"|CU(BLAS|DNN)_STATUS_ALLOC_FAILED|cuDNN error: CUDNN_STATUS_NOT_SUPPORTED\.",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"illegal memory access|device-side assert|misaligned address|illegal instruction|invalid program counter"
    r"|operation not supported on global/shared address space|hardware stack error|unspecified launch failure"
    r"|launch timed out and was terminated|uncorrectable (ECC|NVLink) error|GPU is lost|fallen off the bus"
    r"|CUDA error: unknown error|CU(BLAS|DNN)_STATUS_EXECUTION_FAILED"
)
_HARMLESS = re.compile(
    r"invalid (configuration )?argument|no kernel image|invalid device|not supported|peer access|too many resources"
)
"""What CUDA answers to a wrong question: an error like any other."""


class GpuLost(Exception):
    """This process can use its GPU no more, whatever it tries."""


def gpu_oom(error: BaseException) -> Optional[BaseException]:
    """The error, or the one behind it, that says that a GPU's memory ran out; None if neither does. Pure."""
    return next((link for link in links(error) if _is_full(link)), None)


def gpu_lost(error: BaseException) -> Optional[GpuLost]:
    """What to raise where the error says that the GPU is lost to this process; None where it does not. Pure."""
    for link in links(error):
        if _is_lost(link):
            return GpuLost(f"{type(link).__name__}: {link}")
    return None


def _is_full(error: BaseException) -> bool:
    """torch, CuPy and others have a class for it; older releases and other libraries only a text."""
    if "OutOfMemoryError" in _classes(error):
        return True
    return isinstance(error, RuntimeError) and bool(_FULL.search(str(error)))


def _is_lost(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError) or _is_full(error):
        return False
    text = str(error)
    return bool(_LOST.search(text)) or ("AcceleratorError" in _classes(error) and not _HARMLESS.search(text))


def _classes(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def free_gpu_memory() -> None:
    """Give back what nothing refers to any more. Outside of an `except`: its error refers to all that was in work."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
