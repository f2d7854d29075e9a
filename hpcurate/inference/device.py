"""Tensors on their way to a GPU and back. Torch is used only if the values are tensors.

Nobody has run the copying to a GPU yet: it is untried. Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Optional

import attrs

from hpcurate.inference.collate import is_tensor

__all__ = ["Ahead", "arriving", "no_gradients", "to_device", "to_host"]


@attrs.define(frozen=True)
class Sent:
    """Tensors of one task that are on their way to the GPU."""

    tensors: dict[str, Any]
    event: Any
    """Is over when they are there."""

    def arrived(self) -> dict[str, Any]:
        """The tensors; what is computed on the current stream from now on waits for them."""
        import torch

        current = torch.cuda.current_stream()
        current.wait_event(self.event)
        for tensor in self.tensors.values():
            tensor.record_stream(current)  # or their memory might be given to the next copy while they are read
        return self.tensors


class Ahead:
    """Copies a task's tensors through pinned memory on a stream of its own, while the GPU computes on another.

    Made in `setup`; called from the threads that prepare.
    """

    def __init__(self) -> None:
        self._stream: Optional[Any] = None

    def send(self, loaded: Mapping[str, Any], names: Collection[str]) -> Optional[Sent]:
        """Start copying the tensors in main memory among those fields; None if there are none."""
        tensors = {name: value for name, value in loaded.items() if name in names and is_tensor(value)}
        here = {name: tensor for name, tensor in tensors.items() if tensor.device.type == "cpu"}
        if not here:
            return None
        torch: Any = sys.modules["torch"]
        if self._stream is None:
            self._stream = torch.cuda.Stream()
        with torch.cuda.stream(self._stream):
            there = {n: value.pin_memory().to("cuda", non_blocking=True) for n, value in here.items()}
            event = torch.cuda.Event()
            event.record()
        return Sent(there, event)


def arriving(tensors: Iterable[Any], device: str) -> Iterator[Any]:
    """The same tensors on the device, one after the other: the next is copied while one is computed with."""
    if device == "cpu":
        yield from tensors
        return
    ahead, waiting = Ahead(), None
    for tensor in tensors:
        sent = ahead.send({"tensor": tensor}, ["tensor"])
        if waiting:
            yield waiting.arrived()["tensor"]
        waiting = sent
    if waiting:
        yield waiting.arrived()["tensor"]


def to_device(values: Any, device: str) -> Any:
    """The same values with every tensor on the device; arrays of numpy stay where they are."""
    return values if device == "cpu" else _mapped(values, lambda tensor: tensor.to(device, non_blocking=True))


def to_host(values: Any) -> Any:
    """The same values with every tensor in main memory."""
    return _mapped(values, lambda tensor: tensor.cpu())


def _mapped(values: Any, change: Callable[[Any], Any]) -> Any:
    if is_tensor(values):
        return change(values)
    if isinstance(values, Mapping):
        return {name: _mapped(value, change) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        changed = [_mapped(value, change) for value in values]
        return changed if isinstance(values, list) else tuple(changed)
    return values


def no_gradients() -> Any:
    """A context in which torch keeps nothing for gradients; nothing where torch is not loaded."""
    return getattr(sys.modules.get("torch"), "inference_mode", contextlib.nullcontext)()
