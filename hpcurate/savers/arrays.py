"""Arrays of NumPy, as `.npy`. Python 3.9."""

from __future__ import annotations

from typing import Any

from hpcurate.errors import SavedError
from hpcurate.savers.base import Facts, Saver, module_of


class ArraySaver(Saver):
    """Arrays and scalars of NumPy; no arrays of objects, which would be a pickle."""

    suffix = ".npy"
    libraries = ("numpy",)

    def takes(self, value: Any) -> bool:
        """Also a memory map; not a masked array, whose mask would be lost."""
        numpy = module_of("numpy")
        return numpy is not None and (type(value) in (numpy.ndarray, numpy.memmap) or isinstance(value, numpy.generic))

    def write(self, value: Any, path: str) -> Facts:
        """Order and dtype stay."""
        import numpy as np

        array = np.asarray(value)
        described = np.lib.format.dtype_to_descr(array.dtype) if not array.dtype.hasobject else None
        if described is None or np.lib.format.descr_to_dtype(described) != array.dtype:
            raise SavedError(f"an array of {array.dtype} is nothing that .npy keeps; convert it with .astype(…)")
        with open(path, "wb") as file:
            np.save(file, array, allow_pickle=False)
        facts = {"dtype": str(array.dtype), "shape": list(array.shape)}
        return {**facts, "scalar": True} if isinstance(value, np.generic) else facts

    def read(self, path: str, facts: Facts) -> Any:
        """In memory."""
        import numpy as np

        found = np.load(path, allow_pickle=False)
        return found[()] if facts.get("scalar") else found
