"""Networks that come as ONNX files, run by onnxruntime: on the CPU, or on a GPU if its build has the provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcurate.errors import ConfigError
from hpcurate.model import Model, get_local_dir_for_weights_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def one_onnx_file(folder: Path) -> Path:
    """The only one there. Raises ConfigError."""
    files = sorted(folder.glob("*.onnx"))
    if len(files) != 1:
        raise ConfigError(f"expected one .onnx file in {folder}, found {len(files)}")
    return files[0]


class OnnxNetwork(Model):
    """One ONNX file with one input. What it computes does not depend on the number of threads."""

    def __init__(self, name: str, shape: Sequence[int | None], also: str = "") -> None:
        """Set what is loaded.

        Args:
            name: a name in conf/models whose weights are one `.onnx` file.
            shape: what its input has to be like; None stands for any number.
            also: a value within the network that `run` returns, too, after its outputs.
        """
        self.name, self.shape, self.also = name, tuple(shape), also

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`."""
        one_onnx_file(folder)

    def setup(self, device: str = "cpu", threads: int = 1) -> None:
        """Load it. Raises ConfigError for weights of something else."""
        import onnxruntime

        try:
            data = one_onnx_file(get_local_dir_for_weights_name(self.name)).read_bytes()
        except ConfigError as error:
            raise ConfigError(f"model {self.name}: {error}") from None
        try:
            self._session = onnxruntime.InferenceSession(
                with_output(data, self.also) if self.also else data, _options(threads), providers=_providers(device)
            )
        except Exception as error:  # onnxruntime's own kinds have no public base
            raise ConfigError(f"model {self.name}: no network that onnxruntime can run: {error}") from None
        self._check()

    def run(self, pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for a batch."""
        found: list[NDArray[np.float32]] = self._session.run(None, {self._session.get_inputs()[0].name: pixels})
        return found

    def _check(self) -> None:
        shapes = [tuple(given.shape) for given in self._session.get_inputs()]
        fits = len(shapes) == 1 and len(shapes[0]) == len(self.shape)
        if not fits or any(want not in (None, has) for want, has in zip(self.shape, shapes[0])):
            wanted = ", ".join("any" if side is None else str(side) for side in self.shape)
            raise ConfigError(
                f"model {self.name}: its input is {' and '.join(map(str, shapes))}, expected ({wanted}); these are "
                "weights of another network: look into its entry of conf/models"
            )


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # its cores also decode what is next
    return options


def _providers(device: str) -> list[str]:
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
    return [name for name in wanted if name in onnxruntime.get_available_providers()] + ["CPUExecutionProvider"]


def with_output(model: bytes, name: str) -> bytes:
    """The ONNX file with a value within its graph as a further output. Pure.

    In protobuf a message may come in pieces, one after the other, which its reader merges: what is appended is a model
    with nothing but a graph with nothing but an output of that name.
    """
    graph, output, output_name = 7, 12, 1  # field numbers of onnx.proto
    return model + _message(graph, _message(output, _message(output_name, name.encode())))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    last = number < 0x80
    return bytes([number]) if last else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)
