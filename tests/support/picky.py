"""A run that has everything that verbs report: dead letters with odd names, a drop, and a good task."""

from __future__ import annotations

from pathlib import Path

from shell import Shell

STAGE = (
    "from hpcurate import FileTask, Stage\n\n\n"
    "class Picky(Stage[FileTask, FileTask]):\n"
    "    def __init__(self, limit: int = 5) -> None:\n        self.limit = limit\n\n"
    "    def process(self, tasks):\n"
    "        for task in tasks:\n"
    "            if task.size > self.limit:\n"
    "                raise ValueError(f'{task.path} has {task.size} bytes')\n"
    "            if task.size == 1:\n"
    "                self.drop(task, 'too small', value=task.size, threshold=2, measure='size')\n"
    "        return [t for t in tasks if t.size > 1]\n"
)
PIPELINE = (
    "# @package _global_\nname: picky\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
    "stages:\n  pick: {_target_: stages.picky.Picky, batch_size: 6}\n"
)
ODD = ["a b.txt", "[red]x[b].txt", "new\nline.txt", "\udcff.txt"]
"""Names of the files that fail."""


def picky_run(folder: Path) -> Shell:
    """A shell in whose store a run failed on the four files with odd names and dropped one."""
    shell = Shell(folder)
    files = folder / "in"
    files.mkdir()
    for number, name in enumerate(ODD):
        (files / name).write_bytes(b"x" * (10 + number))
    (files / "tiny.txt").write_bytes(b"x")
    (files / "good.txt").write_bytes(b"xxx")
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "picky.py").write_text(STAGE)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "picky.yaml").write_text(PIPELINE)
    shell.run("+pipeline=picky", f"input={files}", "budget.failed=9")
    return shell
