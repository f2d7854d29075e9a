"""Rows of many tasks at once: encoded in one call, and read back once to see that the reader will take them.

Whatever is odd about any of them is left to those who look at each (`Codec.encode`): what is written here has the same
bytes as there. Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Callable, Optional

import attrs
import msgspec

from hpcurate.store.row_types import field_types, is_plain_if_equal, is_refused_as_null
from hpcurate.store.row_values import all_plain_json, lost
from hpcurate.task import Task

Hook = Callable[[type, Any], Any]


class RowBlock:
    """Writes tasks of one class, if there is nothing odd about them."""

    def __init__(self, cls: type[Task], loose: Sequence[str], compared: Sequence[str], hook: Hook) -> None:
        """`loose` and `compared`: see `row_types`."""
        types = field_types(cls)  # type: ignore[arg-type]  # mypy: an instance has no hash, the class has one
        self._cls = cls
        self._looked = [(attrgetter(name), is_plain_if_equal(types[name])) for name in loose]
        self._looked = [one for name, one in zip(loose, self._looked) if not is_refused_as_null(types[name])]
        self._compared = [attrgetter(name) for name in compared]
        self._reader: Any = msgspec.json.Decoder(light(cls) or cls, dec_hook=hook)

    def encode(self, tasks: Sequence[Any], encoded: Callable[[], bytes]) -> Optional[bytes]:
        """All rows, each with its end; None where somebody has to look at each. `encoded` are the rows, unchecked."""
        try:
            if not ({self._cls}.issuperset(map(type, tasks)) and all(map(_id, tasks))):
                return None
            data = encoded()
            back = self._reader.decode_lines(data)
            return data if len(back) == len(tasks) and self._is_as_written(tasks, back) else None
        except Exception:  # whoever looks at each finds it again, and names the task
            return None

    def _is_as_written(self, tasks: Sequence[Any], back: Sequence[Any]) -> bool:
        """Whether the rows hold all that the tasks do."""
        for field, if_equal in self._looked:
            values = list(map(field, tasks))
            if not ((if_equal and values == list(map(field, back))) or all_plain_json(values)):
                return False
        return not any(lost(field(task), field(read)) for field in self._compared for task, read in zip(tasks, back))


_id = attrgetter("id")


def light(cls: type[Task]) -> Optional[type]:
    """A class for the same rows that takes half the time to make; None if making one of `cls` may refuse a row."""
    fields = attrs.fields(cls)
    if any(hasattr(cls, name) for name in ("__attrs_pre_init__", "__attrs_post_init__", "__parameters__")):
        return None
    if any(field.validator or field.converter or field.name.startswith("_") for field in fields):
        return None
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
        return msgspec.defstruct(cls.__name__, [(field.name, hints[field.name]) for field in fields], gc=False)
    except Exception:  # a name that only msgspec finds: the class itself does as well
        return None
