"""What a saver is. Runs in every stage environment: Python 3.9 or newer."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from hpcurate.errors import SavedError

__all__ = ["Checkpoint", "Saver", "class_name", "class_of", "module_of", "other_form"]

Facts = Mapping[str, Any]
"""What a saver writes down of a value, as plain data: its shape, its columns, what reading it needs."""


class Saver:
    """Base of savers: of values of one kind. One is made for each call, so it has no state.

    One of your own is used as `self.save(…, saver=MySaver())`, or for every value that it takes where its distribution
    has an entry point for it in the group `hpcurate.savers`. Libraries are imported inside the methods.
    """

    suffix: ClassVar[str] = ".bin"
    """Of its files."""
    version: ClassVar[int] = 1
    """Of what it writes: raise it when older releases cannot read that."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions that it needs; their versions are written down."""
    by_name_only: ClassVar[bool] = False
    """True: it is never chosen by a value's type, and whoever loads has to name it, too."""

    def takes(self, value: Any) -> bool:
        """Whether it can save this value. Cheap; imports nothing large."""
        raise NotImplementedError

    def write(self, value: Any, path: str) -> Facts:
        """Write the file; equal values give equal bytes. Returns what to write down of the value, as plain data.

        Raises SavedError for a value that it cannot keep as it is.
        """
        raise NotImplementedError

    def read(self, path: str, facts: Facts) -> Any:
        """The value again. Code that the file brings with it is not run."""
        raise NotImplementedError


@attrs.define(frozen=True)
class Checkpoint:
    """A network with what its class is constructed with again: `self.save(task, "net", Checkpoint(net, {"width": 8}))`.

    A network of a class that needs no arguments is saved as it is. What would come back as another one is refused.
    """

    module: Any
    """A `torch.nn.Module`."""
    config: Mapping[str, Any] = attrs.field(factory=dict)
    """Arguments of its class, by name: plain data."""


def module_of(name: str) -> Any:
    """A library if somebody has imported it: a value of one of its classes cannot be there before. Else None."""
    return sys.modules.get(name)


def class_name(kind: type) -> str:
    """`module:qualname`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def class_of(name: str, purpose: str) -> type:
    """The class that `module:qualname` names. Raises SavedError that says what it is for."""
    module, _, qualname = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module may raise anything at import
        raise SavedError(f"{purpose} {name!r} cannot be imported here: {type(error).__name__}: {error}") from None
    if not isinstance(found, type):
        raise SavedError(f"{purpose} {name!r} is no class but {found!r:.80}")
    return found


def other_form(value: Any) -> str:
    """What a value that no saver takes as it is may be saved as, e.g. `{"x": tensor}`; empty: nobody knows."""
    torch, pandas = module_of("torch"), module_of("pandas")
    if torch is not None and isinstance(value, torch.Tensor):
        return 'save {"x": tensor}, or tensor.numpy(force=True)'
    if pandas is not None and isinstance(value, pandas.Series):
        return "save series.to_frame(), or series.to_numpy()"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "write them into a file, self.file(task, NAME)"
    return "save each array by itself, under a name of its own" if _has_arrays(value) else ""


def _has_arrays(value: Any) -> bool:
    numpy = module_of("numpy")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    kinds = () if numpy is None else (numpy.ndarray, numpy.generic)
    return any(isinstance(one, kinds) or _has_arrays(one) for one in inner)
