"""Hello, world: prompts are lower-cased, printed, answered (`stages.language.generate`) and counted."""

from __future__ import annotations

from typing import ClassVar

import attrs

from hpcurate import Resources, Stage
from stages.language import prompt_tasks

SMALL = Resources(cpus=1, memory="200MB", time="5m")


@attrs.define(kw_only=True)
class HelloTask(prompt_tasks.PromptTask):
    """A prompt, what a model said to it, and how many words that is."""

    word_count: int | None = None


@attrs.define(frozen=True)
class Prompts(prompt_tasks.Prompts):
    """A source of prompts."""

    task_type: ClassVar[type[HelloTask]] = HelloTask


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
        """Fill in `word_count`: of the answer, or of the prompt."""
        for task in tasks:
            task.word_count = len((task.answer or task.prompt).split())
        return tasks
