"""Prompts: tasks that are a text for a language model and what it made of it, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from hpcurate import File, stable_id
from hpcurate.errors import ConfigError
from hpcurate.fields import check_values, option
from hpcurate.source import Csv, Jsonl, Parquet
from hpcurate.source.base import Placed
from stages.language.asks import Status
from stages.output_fields import Computed, Output, OutputTask, internal
from stages.vision.vectors import published_vectors

TABLES: dict[str, type[Jsonl | Csv | Parquet]] = {".jsonl": Jsonl, ".csv": Csv, ".parquet": Parquet}
"""End of a file's name → what reads it."""


@attrs.define(kw_only=True)
class PromptTask(OutputTask):
    """A prompt and what became of it."""

    computed: ClassVar[tuple[Computed, ...]] = (
        Computed(value=lambda task: task.id, type=str, output=Output(name="id", order=1)),
    )

    prompt: str
    system: str | None = None
    """What the model is told about its part; None, or empty: what the stage says."""
    answer: str | None = None
    """None: nobody was asked, or the answer was empty (`status`)."""
    status: Status | None = None
    """Of the answer: done, truncated (at the most tokens), empty; None: nobody was asked."""
    model: str | None = None
    """That answered."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    embeddings: list[File] = attrs.field(factory=list, metadata=internal())
    """Files with the vector of the answer, one a model: Parquet with the columns `id` and `embedding`."""

    def shared_files(self, fan: int) -> list[tuple[File, str]]:
        """Those with its vectors."""
        return [(file, published_vectors(file, fan)) for file in self.embeddings]


@attrs.define(frozen=True)
class Prompts:
    """A source of prompts: a table of them, or else those of the config."""

    prompts: tuple[str, ...] = option(tuple, "the prompts, in order, where there is no table", converter=tuple)
    table: str | None = option(
        None, "a file, or a glob of several, with a column `prompt`, perhaps `id` and `system`: JSONL, CSV or Parquet"
    )
    extra: str = option("error", "other columns of the table: `error`, or `ignore`", choices=("error", "ignore"))
    task_type: ClassVar[type[PromptTask]] = PromptTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")
        if not self.prompts and not self.table:
            raise ConfigError("source: no prompts; give a table of them, input=prompts.jsonl, or source.prompts=[…]")
        if self.table and not self.table.lower().endswith(tuple(TABLES)):
            raise ConfigError(f"input={self.table}: expected a name that ends in {', '.join(TABLES)}")

    def identity(self) -> dict[str, Any]:
        """The prompts themselves, or the table."""
        return self._rows().identity() if self.table else {"prompts": list(self.prompts)}

    def tasks(self) -> Iterator[PromptTask]:
        """One task a prompt."""
        return (task for _, task in self.placed())  # type: ignore[misc]  # all of `task_type`

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        if self.table:
            yield from self._rows().placed()
            return
        for number, prompt in enumerate(self.prompts):
            task = self.task_type(id=stable_id(number, prompt), prompt=str(prompt))
            yield f"source.prompts[{number}]", task

    def _rows(self) -> Jsonl | Csv | Parquet:
        table, kind = str(self.table), self.task_type
        reads = next(reads for end, reads in TABLES.items() if table.lower().endswith(end))
        return reads(table, task=f"{kind.__module__}.{kind.__qualname__}", extra=self.extra)
