"""A stage over uploaded files for tests of the HTTP endpoint, and a real service of it in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import attrs

from hpcurate import File, FileTask, Source, Stage
from hpcurate.stage import Resources


@attrs.define(kw_only=True)
class Turned(FileTask):
    """A file, and the same turned around."""

    clip: File
    page: File


@attrs.define(frozen=True)
class Uploads(Source):
    """A served stage reads none."""

    task_type: ClassVar[type[FileTask]] = FileTask
    extensions: ClassVar[tuple[str, ...]] = (".mp4", ".txt")

    def identity(self) -> dict[str, Any]:
        """None."""
        return {}

    def tasks(self) -> Iterator[FileTask]:
        """None."""
        return iter(())


class Turn(Stage[FileTask, Turned]):
    """Turn files around."""

    resources = Resources(cpus=1, memory="300MB", time="5m")
    adjustable = ("times",)

    def __init__(self, times: int = 1) -> None:
        """Set how.

        Args:
            times: how often it is written.
        """
        self.times = times

    def process(self, tasks: list[FileTask]) -> list[Turned]:
        """What a file says is done: `fail`, `die`, or wait for the file that it names."""
        return [self._one(task) for task in tasks]

    def _one(self, task: FileTask) -> Turned:
        data = Path(task.path).read_bytes()
        word, _, rest = data.partition(b" ")
        if word == b"fail":
            raise ValueError(rest.decode())
        if word == b"die":
            os._exit(3)
        while word == b"wait" and not os.path.exists(rest):
            time.sleep(0.01)
        print(f"turns {len(data)} bytes", flush=True)
        clip, page = self.file(task, "clip.mp4"), self.file(task, "page.html")
        Path(clip).write_bytes(data[::-1] * self.times)
        Path(page).write_text("<script>alert(1)</script>")
        return self.child(task, Turned, **_of_file(task), clip=clip, page=page)


def _of_file(task: FileTask) -> dict[str, Any]:
    return {"source": task.source, "path": task.path, "size": task.size, "mtime_ns": task.mtime_ns}


@contextmanager
def turning(folder: Path, **limits: Any) -> Iterator[Any]:
    """A service of the stage, ready."""
    from hpcurate.planning.build import Step, build
    from hpcurate.planning.plan import Plan, limits_of
    from hpcurate.serving.answering import Service
    from hpcurate.serving.fields import inputs_of, parameters_of
    from hpcurate.serving.lane import Lane
    from hpcurate.serving.on_node import OnNode
    from hpcurate.serving.plans import PlannedStep, Way
    from hpcurate.serving.selection import Part
    from hpcurate.serving.served import Limits, Served

    steps = {"turn": Step(Turn())}
    parts: Sequence[Part] = [Part("turn", "turn", steps["turn"].stage, steps["turn"].options)]

    class Planner:
        def plan(self, parameters: dict[str, Any]) -> Way:
            stage = Turn(**{key.partition(".")[2]: value for key, value in parameters.items()})
            (planned,) = build("turned", Uploads(), {"turn": Step(stage)}).stages
            plan = Plan(
                stage=planned, run="serve", store=str(folder), lists=(), round=0, workers=1, limits=limits_of(planned)
            )
            return Way(FileTask, (PlannedStep("turn", plan, stage, Turned),))

    served = Served(
        title="turn of turned",
        about="Turn files around.",
        stages=("turn",),
        inputs=inputs_of(FileTask, Uploads.extensions),
        parameters=parameters_of(parts),
        limits=Limits(**limits),
    )
    node = OnNode(str(folder), 1, Planner().plan({}).steps, "", print)
    service = Service(served, Planner(), str(folder), lambda n: Lane(n, node.prepared, 60.0, print), print)
    service.start()
    service.wait_ready()
    try:
        yield service
    finally:
        service.close(0)
        node.close()
