"""A pipeline of text whose stages take their time, run a program, and run out of memory when they are told to."""

from __future__ import annotations

import os
import subprocess
import time

import attrs

from hpcurate import File, Stage, Task

LINES = 3
GREED_MB = 900
"""What a task takes once: more than its job has."""


@attrs.define(kw_only=True)
class Document(Task):
    """Some lines of text."""

    text: str


@attrs.define(kw_only=True)
class Line(Task):
    """One of them."""

    number: int
    text: str
    loud: File | None = None


def documents(number: int) -> list[Document]:
    """The input."""
    return [Document(id=f"d{n:03d}", text=f"of document {n}") for n in range(number)]


class Lines(Stage[Document, Line]):
    """More tasks than it is given."""

    version = 1
    batch_size = 2

    def __init__(self, sleep_s: float) -> None:
        self.sleep_s = sleep_s

    def process(self, tasks: list[Document]) -> list[Line]:
        """Children."""
        time.sleep(self.sleep_s * len(tasks))
        return [self.child(task, Line, number=n, text=f"line {n} {task.text}") for task in tasks for n in range(LINES)]


class Shout(Stage[Line, Line]):
    """Has a program write a file, drops some, and takes too much memory once for each file in a folder."""

    version = 1
    batch_size = 3

    def __init__(self, sleep_s: float) -> None:
        self.sleep_s = sleep_s

    def process(self, tasks: list[Line]) -> list[Line]:
        """One program for each task."""
        out = []
        for task in tasks:
            if _told_to_be_greedy():
                held = bytearray(b"x") * (GREED_MB << 20)
                time.sleep(30)
                del held
            if task.number == 2 and task.text.endswith("7"):
                self.drop(task, "too many sevens")
                continue
            task.loud = self.file(task, "loud.txt")
            script = f"sleep {self.sleep_s}; exec tr a-z A-Z"
            done = subprocess.run(
                ["sh", "-c", script, f"shouting {task.id}"], input=task.text, capture_output=True, text=True, check=True
            )
            with open(task.loud, "w") as file:
                file.write(done.stdout + "\n")
            out.append(task)
        return out


def _told_to_be_greedy() -> bool:
    """Whether a file was there, which is gone now."""
    folder = os.environ.get("CAMPAIGN_GREED", "/nonexistent")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            os.unlink(os.path.join(folder, name))
            return True
        except FileNotFoundError:  # another process was faster
            continue
    return False


class Publish(Stage[Line, Line]):
    """Gathers everything into files outside the store."""

    version = 1
    gather = True

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[Line]) -> list[Line]:
        """All lines in order, and each by itself."""
        os.makedirs(os.path.join(self.output, "lines"), exist_ok=True)
        for task in tasks:
            assert task.loud is not None
            self._write(os.path.join("lines", task.id.replace("/", "_")), open(task.loud).read())
        self._write("all.txt", "".join(f"{task.id} {open(task.loud).read()}" for task in tasks))
        return tasks

    def _write(self, name: str, text: str) -> None:
        path = os.path.join(self.output, name)
        with open(path + ".new", "w") as file:
            file.write(text)
        os.replace(path + ".new", path)
