"""Any object, as a pickle: only where its saver is named, both where it is saved and where it is loaded. Python 3.9."""

from __future__ import annotations

import pickle
from typing import Any

from hpcurate.errors import SavedError
from hpcurate.savers.base import Facts, Saver, class_name


class PickleSaver(Saver):
    """For objects without a form of their own, such as models of scikit-learn.

    Loading a pickle runs what is in it, so whoever loads says `saver="pickle"`, and means that the store is trusted.
    """

    suffix = ".pkl"
    by_name_only = True

    def takes(self, value: Any) -> bool:
        """Whatever pickle does."""
        return True

    def write(self, value: Any, path: str) -> Facts:
        """With a protocol that Python 3.9 reads."""
        try:
            data = pickle.dumps(value, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise SavedError(f"a {type(value).__name__} cannot be pickled: {error}") from None
        with open(path, "wb") as file:
            file.write(data)
        return {"type": class_name(type(value))}

    def read(self, path: str, facts: Facts) -> Any:
        """See `PickleSaver`."""
        with open(path, "rb") as file:
            return pickle.load(file)  # noqa: S301 - whoever loads has named it
