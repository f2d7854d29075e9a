"""A project whose runs are carried: files that go into the store, and an output."""

from __future__ import annotations

from pathlib import Path

from shell import Shell

PIPELINE = """# @package _global_
name: carried
source: {_target_: hpcurate.source.Files, path: "${input}"}
stages:
  copy: {_target_: carrying.Copy, shard_tasks: 2}
  put: {_target_: carrying.Put, output: "${output}"}
"""
STAGES = '''"""Stages whose files and output are carried."""
import os
import shutil

import attrs
from hpcurate import File, FileTask, Stage


@attrs.define(kw_only=True)
class Copied(FileTask):
    """An item with a copy of its file."""

    copy: File | None = None


class Copy(Stage[FileTask, Copied]):
    """Keeps a copy of each file in the store."""

    version = 1

    def process(self, tasks):
        return [self.copied(task) for task in tasks]

    def copied(self, task):
        copy = self.file(task, "copy.txt")
        shutil.copyfile(task.path, copy)
        return Copied(**attrs.asdict(task, recurse=False), copy=copy)


class Put(Stage[Copied, Copied]):
    """Publishes each copy by its name."""

    version = 1
    publishes = True

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks):
        for task in tasks:
            target = os.path.join(self.output, task.source)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(task.copy, target)
        return tasks
'''

DONE = "nothing to do: every shard was committed before, none was attempted"
NAMES = ("a.txt", "b/c.txt", "b/it's \udcff.txt", "new\nline.txt", "z.txt")
"""Of the items: also bytes that are no text."""


class Place(Shell):
    """A user's folder with the project, some input, and a store."""

    def __init__(self, folder: Path, *, code: str = STAGES) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.input = folder / "input"
        (self.cwd / "conf" / "pipeline").mkdir(parents=True)
        (self.cwd / "conf" / "pipeline" / "carried.yaml").write_text(PIPELINE)
        (self.cwd / "carrying.py").write_text(code)

    def command(self, input: Path, *words: str, status: int = 0) -> str:
        """Type the run's command; what it printed."""
        done = self.inline("+pipeline=carried", f"input={input}", *words, status=status)
        return done.stdout + done.stderr

    def import_(self, archive: Path, *words: str, status: int = 0, **env: str) -> str:
        """Type `hpcurate import`; what it printed."""
        done = self.type("import", str(archive), "--store", str(self.store), *words, status=status, **env)
        return done.stdout + done.stderr

    def tree(self, output: Path | None = None) -> dict[bytes, bytes]:
        """What the run has published."""
        root = output or self.store / "runs" / "latest" / "output"
        return {bytes(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def fill(folder: Path) -> None:
    """Items with content of their own."""
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ascii(name))
