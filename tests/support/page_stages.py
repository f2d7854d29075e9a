"""A stage behind the page: it says much, makes a picture, and does what it is told. Stage processes import it."""

from __future__ import annotations

import struct
import time
import zlib
from typing import Any, Literal

import attrs

from hpcurate import File, FileTask, Stage
from hpcurate.errors import ConfigError
from hpcurate.stage import Resources, WorkerInfo

EVIL = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>${window.hacked = 1}{{hacked}}'
"""What a model might say."""


@attrs.define(kw_only=True)
class Seen(FileTask):
    """A file that was looked at."""

    said: str = ""
    score: float = 0.0
    picture: File | None = None
    page: File | None = None


class Look(Stage[FileTask, Seen]):
    """Look at a file, and say what is there."""

    resources = Resources(cpus=1, memory="300MB", time="5m")
    adjustable = ("act", "level", "lines", "more")

    def __init__(
        self,
        act: Literal["look", "fail", "drop", "stay"] = "look",
        level: float = 0.5,
        lines: int = 3,
        more: dict[str, Any] | None = None,
        model: str = "small",
    ) -> None:
        """Set how.

        Args:
            act: what is done with a file.
            level: from 0 to 1.
            lines: how many it prints.
            more: of anything.
            model: that looks.
        """
        if not 0 <= level <= 1:
            raise ConfigError(f"level: expected from 0 to 1, got {level}")
        self.act, self.level, self.lines, self.more, self.model = act, level, lines, more, model

    def setup(self, worker: WorkerInfo) -> None:
        """Once."""
        print(f"loads the {self.model} model", flush=True)

    def process(self, tasks: list[FileTask]) -> list[Seen]:
        """Each."""
        return [seen for task in tasks if (seen := self._one(task)) is not None]

    def _one(self, task: FileTask) -> Seen | None:
        for number in range(self.lines):
            print(f"line {number} of {task.source}", flush=True)
        if self.act == "stay":
            time.sleep(600)
        if self.act == "fail":
            raise ValueError(f"{EVIL} is no file")
        if self.act == "drop":
            self.drop(task, "too dark", value=0.1, threshold=self.level, measure="light")
            return None
        self.log("light", self.level)
        made = self.child(task, Seen, source=task.source, path=task.path, size=task.size, mtime_ns=0)
        made.said, made.score = f"{EVIL} and {self.more}", self.level
        made.picture, made.page = self.file(made, "seen.png"), self.file(made, "page.html")
        with open(made.picture, "wb") as file:
            file.write(png(16, 9))
        with open(made.page, "w") as file:
            file.write(EVIL)
        return made


def png(width: int, height: int) -> bytes:
    """A picture of one colour."""
    rows = b"".join(b"\0" + bytes((40, 120, 200)) * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)
