"""Four stages in a row, each of which writes as many bytes as the one before and reads its files."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from hpcurate import File, Stage, Task

KILO = 40
AFTER: list[Callable[[], None]] = []
"""Called after each batch, in the process that runs the stage."""


@attrs.define(kw_only=True)
class Block(Task):
    """Something with a file."""

    data: File | None = None
    first: File | None = None
    """Of the first stage, where later ones pass it on."""


class Make(Stage[Block, Block]):
    """Writes a file for each task."""

    version = 1
    batch_size = 2

    def process(self, tasks: list[Block]) -> list[Block]:
        """Random enough not to be compressed, and always the same."""
        for task in tasks:
            task.data = self.file(task, "data.bin")
            with open(task.data, "wb") as file:
                file.write(task.id.encode().ljust(1024, b".") * KILO)
        return tasks


class Copy(Make):
    """Reads the file of the stage before, and writes its own."""

    def __init__(self, number: int, fails: str = "", passes_on: bool = False) -> None:
        self.number, self.fails, self.passes_on = number, fails, passes_on

    def process(self, tasks: list[Block]) -> list[Block]:
        """Fails for one task, if that is asked for."""
        for task in tasks:
            assert task.data is not None
            with open(task.data, "rb") as file:
                data = file.read()
            if task.id == self.fails:
                raise ValueError(f"{task.id} is not copied here")
            task.first = task.data if self.passes_on else task.first
            task.data = self.file(task, "data.bin")
            with open(task.data, "wb") as file:
                file.write(data)
        for call in AFTER:
            call()
        return tasks
