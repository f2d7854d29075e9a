"""A user's own type of results: a caption of a file, with a picture and a mask of it."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from hpcurate import File, FileTask, Stage, Task
from stages.output_fields import internal, output


@attrs.define(kw_only=True)
class Caption(Task):
    """What was said of a file."""

    source: str
    caption: str = attrs.field(default="", metadata=output("text"))
    thumb: File | None = None
    masks: list[File] = attrs.Factory(list)
    note: str = attrs.field(default="not written", metadata=internal())


class Captioner(Stage[FileTask, Caption]):
    """One caption a file; children have ids of their own."""

    version = 1

    def process(self, tasks: list[FileTask]) -> list[Caption]:
        """With a file of it."""
        made = []
        for task in tasks:
            file = self.file(task, "thumb.txt")
            Path(os.fspath(file)).write_text(f"thumb of {task.size} bytes")
            made.append(self.child(task, Caption, source=task.source, caption=f"{task.size} bytes", thumb=file))
        return made


def caption(folder: Path, source: str, **fields: object) -> Caption:
    """A caption whose files are in `folder`: a thumb, and two masks."""
    name = fields.pop("id", source)

    def file(ref: str) -> File:
        path = folder / "stages" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ref)
        return File(ref, str(path))

    own = {"thumb": file("x/thumb.webp"), "masks": [file("x/0.png"), file("x/1.png")], "caption": f"of {source}"}
    return Caption(id=str(name), source=source, **{**own, **fields})  # type: ignore[arg-type]
