"""Hello, world: prompts are lower-cased, printed and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from hpcurate import Resources, Stage, Task, stable_id

SMALL = Resources(cpus=1, memory="200MB", time="5m")


@attrs.define(kw_only=True)
class HelloTask(Task):
    """A prompt and what became of it."""

    prompt: str
    word_count: int | None = None


@attrs.define(frozen=True)
class Prompts:
    """A source of prompts from the config."""

    prompts: tuple[str, ...] = attrs.field(converter=tuple)
    task_type: ClassVar[type[Task]] = HelloTask

    def identity(self) -> dict[str, Any]:
        """The prompts themselves."""
        return {"prompts": list(self.prompts)}

    def tasks(self) -> Iterator[HelloTask]:
        """One task a prompt."""
        for number, prompt in enumerate(self.prompts):
            yield HelloTask(id=stable_id(number, prompt), prompt=str(prompt))


class LowerCase(Stage[HelloTask, HelloTask]):
    """Lower-case each prompt."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Change the tasks in place and pass them on."""
        for task in tasks:
            task.prompt = task.prompt.lower()
        return tasks


class Print(Stage[HelloTask, HelloTask]):
    """Print each prompt; it appears in the worker's log (`hpcurate logs --stage show`)."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Print, and pass on."""
        for task in tasks:
            print(task.prompt, flush=True)
        return tasks


class WordCount(Stage[HelloTask, HelloTask]):
    """Count the words of each prompt."""

    version = 1
    resources = SMALL

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Fill in `word_count`."""
        for task in tasks:
            task.word_count = len(task.prompt.split())
        return tasks
