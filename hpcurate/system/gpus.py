"""GPUs as their driver (NVML) shows them, by the tokens of `CUDA_VISIBLE_DEVICES`, which NVML itself ignores."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

import msgspec


class GpuSample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a device. None: the driver does not say, as for a part of a GPU (MIG)."""

    busy: float | None = None
    """Share of the last moment, up to a second, in which any kernel ran."""
    encoder: float | None = None
    decoder: float | None = None
    memory_mb: float | None = None
    """In use on the device, by whomever."""
    device_mb: float | None = None
    """That it has."""


class Gpus(Protocol):
    """The devices of this node."""

    def tokens(self) -> tuple[str, ...]:
        """All that this process may see."""

    def fault(self, token: str) -> str:
        """Why the device is of no use; empty if it answers."""

    def sample(self, token: str) -> GpuSample:
        """What it does now."""


class NoDriver(Exception):
    """There is no NVML here, or it does not work: why."""


class Nvml:
    """See `Gpus`. Raises NoDriver."""

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError as error:  # a worker with another Python than the submitting one
            raise NoDriver(str(error)) from None
        self._lib: Any = pynvml
        self._handles: dict[str, Any] = {}
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NoDriver(f"NVML: {error}") from None

    def tokens(self) -> tuple[str, ...]:
        """See `Gpus`."""
        with suppress(self._lib.NVMLError):
            return tuple(map(str, range(self._lib.nvmlDeviceGetCount())))
        return ()

    def fault(self, token: str) -> str:
        """See `Gpus`."""
        try:
            handle = self._handle(token)
            self._lib.nvmlDeviceGetMemoryInfo(handle)  # one that has fallen off the bus answers nothing
        except self._lib.NVMLError as error:
            return str(error)
        return self._bad_memory(handle)

    def _bad_memory(self, handle: Any) -> str:
        """From A100 on, bad rows are replaced, and only one that could not be counts; before, any error does."""
        lib = self._lib
        with suppress(lib.NVMLError):
            failed = lib.nvmlDeviceGetRemappedRows(handle)[3]
            return "rows of its memory are bad and could not be replaced" if failed else ""
        with suppress(lib.NVMLError):
            kinds = (lib.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, lib.NVML_VOLATILE_ECC)
            errors = lib.nvmlDeviceGetTotalEccErrors(handle, *kinds)
            return f"{errors} uncorrectable ECC errors since its driver was loaded" if errors else ""
        return ""

    def sample(self, token: str) -> GpuSample:
        """See `Gpus`."""
        lib = self._lib
        try:
            handle = self._handle(token)
        except lib.NVMLError:
            return GpuSample()
        return GpuSample(
            busy=self._share(lambda: lib.nvmlDeviceGetUtilizationRates(handle).gpu),
            encoder=self._share(lambda: lib.nvmlDeviceGetEncoderUtilization(handle)[0]),
            decoder=self._share(lambda: lib.nvmlDeviceGetDecoderUtilization(handle)[0]),
            memory_mb=self._asked(lambda: lib.nvmlDeviceGetMemoryInfo(handle).used / 2**20),
            device_mb=self._asked(lambda: lib.nvmlDeviceGetMemoryInfo(handle).total / 2**20),
        )

    def _share(self, ask: Any) -> float | None:
        percent = self._asked(ask)
        return None if percent is None else percent / 100

    def _asked(self, ask: Any) -> float | None:
        with suppress(self._lib.NVMLError):
            return float(ask())
        return None

    def _handle(self, token: str) -> Any:
        """Raises NVMLError. CUDA also takes the beginning of a UUID."""
        if token not in self._handles:
            lib = self._lib
            by_index = token.isdigit()
            ask = lib.nvmlDeviceGetHandleByIndex if by_index else lib.nvmlDeviceGetHandleByUUID
            self._handles[token] = ask(int(token) if by_index else self._whole(token))
        return self._handles[token]

    def _whole(self, token: str) -> str:
        lib = self._lib
        for index in range(lib.nvmlDeviceGetCount()):
            uuid = str(lib.nvmlDeviceGetUUID(lib.nvmlDeviceGetHandleByIndex(index)))
            if uuid.startswith(token):
                return uuid
        return token
