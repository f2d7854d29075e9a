"""Small stages that the engine's tests run: plain, slow, crashing, on command."""

from __future__ import annotations

import gc
import os
import signal
import time
from pathlib import Path

import attrs

from hpcurate import File, Stage, Task, WorkerInfo
from hpcurate.errors import SetupLost


@attrs.define(kw_only=True)
class Number(Task):
    """A number and, later, a file about it."""

    value: int
    note: File | None = None


@attrs.define(kw_only=True)
class Marked(Number):
    """A user's own number, which stages for numbers take and pass on."""

    mark: str


@attrs.define(kw_only=True)
class Digit(Task):
    """One digit of a number."""

    digit: str
    note: File | None = None


class Double(Stage[Number, Number]):
    """Doubles, writes a file, and takes its time."""

    version = 1
    batch_size = 3

    def __init__(self, sleep_s: float = 0.0) -> None:
        self.sleep_s = sleep_s

    def process(self, tasks: list[Number]) -> list[Number]:
        """Drops multiples of ten, fails on 13."""
        out = []
        for task in tasks:
            time.sleep(self.sleep_s)
            if task.value == 13:
                raise ValueError("thirteen is not processed here")
            if task.value % 10 == 0:
                self.drop(task, "multiple of ten")
                continue
            task.note = self.file(task, "note.txt")
            with open(task.note, "w") as file:
                file.write(f"twice {task.value}\n")
            task.value *= 2
            out.append(task)
        return out


class CountsFrozen(Stage[Number, Number]):
    """The value of each is how many objects the search for garbage passes over; set-up makes 100 000."""

    version = 1
    batch_size = 3

    def setup(self, worker: WorkerInfo) -> None:
        """Objects that could be garbage."""
        self.kept: list[list[int]] = [[] for _ in range(100_000)]

    def process(self, tasks: list[Number]) -> list[Number]:
        """In this process."""
        for task in tasks:
            task.value = gc.get_freeze_count()
        return tasks


class Digits(Stage[Number, Digit]):
    """One task per digit: more tasks, of another type."""

    version = 1
    batch_size = 2

    def process(self, tasks: list[Number]) -> list[Digit]:
        """Children by the thousand."""
        out = []
        for task in tasks:
            assert task.note is not None
            assert open(task.note).read().startswith("twice")
            out += [self.child(task, Digit, digit=digit, note=task.note) for digit in str(task.value)]
        return out


class Collect(Stage[Digit, Digit]):
    """Gathers everything into one file outside the store."""

    version = 1
    gather = True

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[Digit]) -> list[Digit]:
        """Write all digits in order."""
        os.makedirs(self.output, exist_ok=True)
        with open(os.path.join(self.output, "digits.txt.new"), "w") as file:
            file.write("".join(task.digit for task in tasks) + "\n")
        os.replace(os.path.join(self.output, "digits.txt.new"), os.path.join(self.output, "digits.txt"))
        return tasks


class Crash(Stage[Number, Number]):
    """Dies by a signal on one value, every time."""

    version = 1
    batch_size = 4

    def __init__(self, value: int) -> None:
        self.value = value

    def process(self, tasks: list[Number]) -> list[Number]:
        """Kill the process at the value."""
        if any(task.value == self.value for task in tasks):
            os.kill(os.getpid(), signal.SIGSEGV)
        return tasks


class BadSetup(Stage[Number, Number]):
    """Cannot be set up."""

    version = 1

    def setup(self, worker: object) -> None:
        """Always fails."""
        raise RuntimeError("no such model here")

    def process(self, tasks: list[Number]) -> list[Number]:
        """Never reached."""
        return tasks


class LosesSetup(Stage[Number, Number]):
    """Needs a file that its `setup` did not miss."""

    version = 1

    def __init__(self, needs: str) -> None:
        self.needs = needs

    def process(self, tasks: list[Number]) -> list[Number]:
        """From number 3 on."""
        if any(task.value >= 3 for task in tasks) and not os.path.exists(self.needs):
            raise ValueError("no answer") from SetupLost("the server is gone")
        return tasks


class Leaves(Stage[Number, Number]):
    """Leaves a file open for writing."""

    version = 1

    def process(self, tasks: list[Number]) -> list[Number]:
        """Keep the descriptor."""
        for task in tasks:
            task.note = self.file(task, "open.txt")
            self.kept = open(task.note, "w")
        return tasks


class Where(Stage[Number, Number]):
    """Says where it runs."""

    version = 1

    def process(self, tasks: list[Number]) -> list[Number]:
        """Record the process and its devices."""
        for task in tasks:
            task.note = self.file(task, "where.txt")
            with open(task.note, "w") as file:
                file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
        time.sleep(0.2)
        return tasks


class NotesItself(Double):
    """Writes down something of each of its processes."""

    version = 1

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def note(self, text: str) -> None:
        """One file a process."""
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, str(os.getpid())), "w") as file:
            file.write(text)


class SeesGpus(NotesItself):
    """Says which GPUs each of its processes is given."""

    def setup(self, worker: WorkerInfo) -> None:
        """What CUDA would see, and what the stage is told."""
        self.note(f"{os.environ['CUDA_VISIBLE_DEVICES']} {worker.device} {worker.gpu_share:g}")


class SeesNode(NotesItself):
    """Says on which node each of its processes is; each takes its time for a task."""

    batch_size = 1

    def setup(self, worker: WorkerInfo) -> None:
        """Its node."""
        self.note(os.environ["SLURMD_NODENAME"])

    def process(self, tasks: list[Number]) -> list[Number]:
        """So long that every process has something to do."""
        time.sleep(0.3)
        return super().process(tasks)


class OneLong(Double):
    """Takes its time for the task of value 1 alone: until a file has two lines."""

    version = 1
    batch_size = 1

    def __init__(self, until: str) -> None:
        super().__init__()
        self.until = Path(until)

    def process(self, tasks: list[Number]) -> list[Number]:
        """As `Double`, at once but for that one."""
        deadline = time.monotonic() + 120
        while tasks[0].value == 1 and time.monotonic() < deadline and not self._two_lines():
            time.sleep(0.2)
        return super().process(tasks)

    def _two_lines(self) -> bool:
        return self.until.exists() and len(self.until.read_text().splitlines()) >= 2
