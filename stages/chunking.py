"""Inputs of very different size: one is cut into chunks, so that no shard waits for the longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from hpcurate import Resources, Stage, Task, stable_id
from hpcurate.errors import ConfigError
from hpcurate.fields import check_values, option

SMALL = Resources(cpus=1, memory="200MB", time="5m")
WORDS = ("a", "long", "text", "is", "cut", "between", "words", "and", "counted", "in", "parts")


@attrs.define(kw_only=True)
class TextTask(Task):
    """A document, or a chunk of one. Its weight is how many words it has."""

    document: str
    words: list[str]


@attrs.define(kw_only=True)
class CountTask(Task):
    """How often each word stands in a chunk, or in a document."""

    document: str
    counts: dict[str, int]
    chunks: int = 1


@attrs.define(frozen=True)
class Documents:
    """A source of made-up documents: a long one, then short ones."""

    short: int = option(99, "how many short ones", minimum=0)
    short_words: int = option(20, "words of a short one", minimum=1)
    long_words: int = option(20000, "words of the long one", minimum=1)
    task_type: ClassVar[type[TextTask]] = TextTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return attrs.asdict(self)

    def tasks(self) -> Iterator[TextTask]:
        """See `Source`."""
        for number in range(self.short + 1):
            name, count = f"document-{number}", self.short_words if number else self.long_words
            words = [WORDS[(number + place) % len(WORDS)] for place in range(count)]
            yield TextTask(id=stable_id("document", name), document=name, words=words, weight=count)


class Cut(Stage[TextTask, TextTask]):
    """Cut what is longer than a chunk into chunks of the same size.

    It costs next to nothing, whatever the length: a target weight is for the stage behind it.
    """

    version = 1
    resources = SMALL

    def __init__(self, longest: int = 400) -> None:
        """Set the size.

        Args:
            longest: words of a chunk at most.
        """
        if longest < 1:
            raise ConfigError(f"longest={longest}: a chunk has at least one word")
        self.longest = longest

    def process(self, tasks: list[TextTask]) -> list[TextTask]:
        """The chunks, in order."""
        return [chunk for task in tasks for chunk in self._chunks(task)]

    def _chunks(self, task: TextTask) -> list[TextTask]:
        parts = [task.words[first : first + self.longest] for first in range(0, len(task.words), self.longest)]
        return [self.child(task, TextTask, document=task.document, words=part, weight=len(part)) for part in parts]


class Count(Stage[TextTask, CountTask]):
    """Count the words of a chunk: the work."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[TextTask]) -> list[CountTask]:
        """One count a chunk."""
        return [
            self.child(task, CountTask, document=task.document, counts=dict(Counter(task.words)), weight=task.weight)
            for task in tasks
        ]


class Total(Stage[CountTask, CountTask]):
    """Add up the chunks of each document."""

    version = 1
    resources = SMALL
    gather = True

    def process(self, tasks: list[CountTask]) -> list[CountTask]:
        """One count a document."""
        documents: dict[str, list[CountTask]] = {}
        for task in tasks:
            documents.setdefault(task.document, []).append(task)
        return [self._total(name, chunks) for name, chunks in documents.items()]

    def _total(self, name: str, chunks: list[CountTask]) -> CountTask:
        counts: Counter[str] = Counter()
        for chunk in chunks:
            counts.update(chunk.counts)
        return self.child(chunks, CountTask, document=name, counts=dict(counts), chunks=len(chunks))
