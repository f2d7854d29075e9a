"""Rows that were kept, as the source of a small run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from hpcurate.digest import digest
from hpcurate.errors import ConfigError, RecordError
from hpcurate.golden.outcomes import Plain
from hpcurate.golden.texts import line_of
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["KeptRows"]


@attrs.define(frozen=True)
class KeptRows:
    """See `Source`."""

    task_type: type[Task]
    rows: tuple[Plain, ...]

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"rows": digest(list(self.rows))}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        decode = codec(self.task_type).decode
        for row in self.rows:
            try:
                yield decode(line_of(row))
            except RecordError as error:
                raise ConfigError(
                    f"task {row.get('id')!a}: its row does not fit the class {self.task_type.__qualname__} ({error}); "
                    "give new fields a default, or use --frozen"
                ) from None
