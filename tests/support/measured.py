"""200 little texts, measured by a stage of two: what `hpcurate replay` is tried on."""

from __future__ import annotations

from pathlib import Path

from shell import Shell

STAGES = '''
from __future__ import annotations

import json
import math

import attrs
from hpcurate import File, FileTask, Stage, Task


@attrs.define(kw_only=True)
class Doc(Task):
    source: str
    path: str
    text: File | None = None
    found: File | None = None
    score: float = 0.0
    vector: list[float] = attrs.field(factory=list)


class Read(Stage[FileTask, Doc]):
    """A child with a file."""

    def process(self, tasks):
        return [self.read(task) for task in tasks]

    def read(self, task):
        doc = self.child(task, Doc, source=task.source, path=task.path)
        doc.text = self.file(doc, "text.txt")
        with open(task.path) as file, open(doc.text, "w") as copy:
            copy.write(file.read().upper())
        return doc


class Measure(Stage[Doc, Doc]):
    """Values, and a file, of a file."""

    def __init__(self, least: float = 3.0) -> None:
        self.least = least

    def process(self, tasks):
        return [doc for doc in tasks if self.measured(doc)]

    def measured(self, doc):
        with open(doc.text) as file:
            length = len(file.read())
        if length == 17:
            raise ValueError(f"{doc.text.path} is unlucky")
        if length < self.least:
            self.drop(doc, "too short", value=length, threshold=self.least)
            return False
        doc.score, doc.vector = length / 3, [length * 0.1, math.nan]
        doc.found = self.file(doc, "found.json")
        with open(doc.found, "w") as file:
            json.dump({"length": length}, file)
        return True
'''
PIPELINE = """\
# @package _global_
name: measured
source: {_target_: hpcurate.source.Files, path: '${input}'}
stages:
  read: {_target_: stages.measured.Read, batch_size: 50}
  measure: {_target_: stages.measured.Measure, batch_size: 50}
"""


def measured_run(folder: Path, texts: int = 200) -> Shell:
    """A shell in whose store a run has measured the texts `1.txt` … `200.txt`, as many bytes each."""
    shell = Shell(folder)
    (folder / "in").mkdir()
    for number in range(1, texts + 1):
        (folder / "in" / f"{number}.txt").write_text("x" * number)
    for name, text in (("stages/measured.py", STAGES), ("conf/pipeline/measured.yaml", PIPELINE)):
        (shell.cwd / name).parent.mkdir(parents=True)
        (shell.cwd / name).write_text(text)
    shell.inline("+pipeline=measured", f"input={folder / 'in'}", "budget.failed=9")
    return shell


def edit(shell: Shell, before: str, after: str) -> None:
    """Change the stages' code."""
    path = shell.cwd / "stages" / "measured.py"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
