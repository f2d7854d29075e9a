"""Stages that read the members of tars, slowly."""

from __future__ import annotations

import hashlib
import time

import attrs

from hpcurate import FileTask, Stage
from stages.datasets.tar_table import Place
from stages.datasets.tars import Members
from stages.datasets.tasks import Member

PAUSE_S = 0.01


@attrs.define(kw_only=True)
class Digested(Member):
    """A member, and what it holds."""

    sha256: str


class SlowMembers(Members):
    """Takes its time in the middle of a tar."""

    def _member(self, task: FileTask, place: Place, written: int) -> Member:
        time.sleep(PAUSE_S)
        return super()._member(task, place, written)


class Digest(Stage[Member, Digested]):
    """Reads each member."""

    version = 1
    batch_size = 2

    def process(self, tasks: list[Member]) -> list[Digested]:
        """One each."""
        return [self._digested(task) for task in tasks]

    def _digested(self, task: Member) -> Digested:
        time.sleep(PAUSE_S)
        fields = {field.name: getattr(task, field.name) for field in attrs.fields(Member) if field.name != "parents"}
        with task.open() as file:
            return self.child(task, Digested, **fields, sha256=hashlib.file_digest(file, "sha256").hexdigest())
