"""A service of real stages in real processes, and requests to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.request import choose_launcher, request_of, without_input
from hpcurate.cli.start.serve_options import ServeOptions
from hpcurate.cli.start.served_stages import ServedStages
from hpcurate.cli.start.serving import freeze, frozen, open_service
from hpcurate.serving.answering import Service
from hpcurate.serving.served import Cancelled, Event, Failed, Given, Line, Queued, Result, Upload

PIPELINE = """\
# @package _global_
name: shouts
source: {_target_: serving_stages.Words}
stages:
  shout: {_target_: serving_stages.Shout}
  reverse: {_target_: serving_stages.Reverse}
  all: {_target_: serving_stages.All}
"""
LONGEST_S = 60.0
"""No request of a test takes so long."""


@attrs.define
class Sent:
    """A request, and what was told of it."""

    id: str
    events: list[Event] = attrs.field(factory=list)
    over: threading.Event = attrs.field(factory=threading.Event)
    moved: threading.Condition = attrs.field(factory=threading.Condition)

    def tell(self, event: Event) -> None:
        """See `Answers.submit`."""
        with self.moved:
            self.events.append(event)
            self.moved.notify_all()
        if isinstance(event, (Result, Failed, Cancelled)):
            self.over.set()

    def end(self) -> Event:
        """How it ended."""
        assert self.over.wait(LONGEST_S), self.events
        return self.events[-1]

    def until(self, kind: type[Any]) -> None:
        """Wait for an event of this kind."""
        with self.moved:
            assert self.moved.wait_for(lambda: any(isinstance(one, kind) for one in self.events), LONGEST_S)

    def lines(self) -> list[str]:
        """That were printed."""
        return [event.text for event in self.events if isinstance(event, Line)]

    def places(self) -> list[int]:
        """That it had in the queue."""
        return [event.place for event in self.events if isinstance(event, Queued)]


@attrs.define
class Asking:
    """A service, and how to ask it."""

    service: Service
    folder: Path
    log: list[str]

    def send(self, parameters: dict[str, Any] | None = None, file: Path | None = None, **inputs: Any) -> Sent:
        """Send a request."""
        name, folder = self.service.folder_for()
        files = {}
        if file is not None:
            path = os.path.join(folder, f"0{file.suffix}")
            os.link(file, path)
            files["file"] = Upload(path=path, name=file.name, size=file.stat().st_size)
        sent = Sent(name)
        given = Given(id=name, folder=folder, inputs=inputs, parameters=parameters or {}, files=files)
        self.service.submit(given, sent.tell)
        return sent

    def ask(self, parameters: dict[str, Any] | None = None, file: Path | None = None, **inputs: Any) -> Event:
        """Send a request and wait for its end."""
        return self.send(parameters, file, **inputs).end()


@contextmanager
def serving(
    folder: Path, *words: str, stage: str | None = None, log: list[str] | None = None, **options: Any
) -> Iterator[Asking]:
    """Serve a pipeline until the block ends; without words that of `serving_stages`."""
    conf = folder / "conf"
    (conf / "pipeline").mkdir(parents=True, exist_ok=True)
    (conf / "pipeline" / "shouts.yaml").write_text(PIPELINE)
    pipeline = words or ("+pipeline=shouts",)
    typed = sort_arguments([*pipeline, f"store={folder / 'store'}", "launcher=local", "--config-dir", str(conf)])
    composed, settings = without_input(typed)
    settings, _ = choose_launcher(settings)
    request = request_of(settings, composed, typed)
    stages, server, log = ServedStages(request, settings, stage), folder / "server", [] if log is None else log
    server.mkdir(mode=0o700)
    code = freeze(str(server), request, settings, stages)
    wanted = frozen(request, settings, stage, ServeOptions(**options).limits())
    opened = open_service(wanted, str(server), code, log.append)
    try:
        opened.service.wait_ready()
        yield Asking(opened.service, server, log)
    finally:
        opened.close(1.0)
