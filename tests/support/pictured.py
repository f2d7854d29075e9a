"""A run with everything that the page shows: small images with odd names, of which some are dropped and one fails."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image
from shell import Shell

STAGES = """
import attrs
from PIL import Image

from hpcurate import File, FileTask, Stage

SECRET = "open-sesame-4711"


@attrs.define(kw_only=True)
class Looked(FileTask):
    brightness: float | None = None
    caption: str | None = None
    picture: File | None = None


class Look(Stage[FileTask, Looked]):
    steps = 0

    def process(self, tasks):
        looked = [self.look(task) for task in tasks]
        self.steps += 1
        self.log("brightness so far", looked[-1].brightness, step=self.steps)
        self.log("squares", len(looked))
        self.log("names", [{"<b>name</b>": task.source, "side": 64} for task in tasks])
        self.log("a square", tasks[0].path)
        return looked

    def look(self, task):
        with Image.open(task.path) as image:
            seen = Looked(**attrs.asdict(task), brightness=float(image.convert("L").getpixel((0, 0))))
            seen.caption = f"a grey square, said {SECRET} </script><script>window.hacked = 1</script>"
            seen.picture = self.file(task, "small.png")
            image.save(seen.picture)
        return seen


class Bright(Stage[Looked, Looked]):
    def __init__(self, min_brightness: float = 0) -> None:
        self.min_brightness = min_brightness

    def process(self, tasks):
        for task in tasks:
            if task.brightness < self.min_brightness:
                self.drop(task, "too <b>dark</b>")
        return [task for task in tasks if task.brightness >= self.min_brightness]
"""
PIPELINE = """# @package _global_
name: pictured
source: {_target_: hpcurate.source.Files, path: '${input}'}
stages:
  look: {_target_: stages.pictured.Look}
  bright: {_target_: stages.pictured.Bright, min_brightness: 60}
"""
ODD = ["<script>window.hacked = 1<_script>.png", "new\nline.png", "\udcff.png", "turned\u202egnp.png"]
"""Names of images that are kept."""
KEPT, DROPPED = 12, 3
SECRET = "open-sesame-4711"
"""Value of an environment variable that looks like a secret."""


def pictured_run(folder: Path) -> Shell:
    """A shell in whose store the run is."""
    shell = Shell(folder)
    files = folder / "in"
    files.mkdir()
    grey = [200 - 10 * n for n in range(KEPT)] + [10 * n for n in range(DROPPED)]
    names = [*ODD, *(f"{n:02}.png" for n in range(len(grey) - len(ODD)))]
    for name, value in zip(names, grey, strict=True):
        Image.new("RGB", (64, 36), (value, value, value)).save(os.fspath(files / "now.png"))
        (files / "now.png").rename(files / name)
    (files / "broken.png").write_bytes(b"no image")
    (shell.cwd / "stages").mkdir()
    (shell.cwd / "stages" / "pictured.py").write_text(STAGES)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "pictured.yaml").write_text(PIPELINE)
    shell.extra["MY_TOKEN"] = SECRET
    shell.inline("+pipeline=pictured", f"input={files}", "budget.failed=9")
    return shell
