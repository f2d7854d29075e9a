"""What stages that pack samples into numbered files have in common."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import attrs

from hpcurate import GroupStage, Resources
from hpcurate.errors import StageError
from hpcurate.task import Task
from stages.publish import publish_bytes
from stages.shards.numbered import Form, Numbered
from stages.shards.order import Limits, key_of, twice
from stages.shards.settings import keep_settings

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)
Sample = TypeVar("Sample")
Changed = Literal["refuse", "keep"]
LIST = "wids.json"
"""The files of a folder, as the library `wids` of WebDataset takes them."""


@attrs.define(frozen=True)
class Report:
    """What became of the samples of one folder."""

    folder: str
    files: int
    """In all."""
    added: int
    samples: int
    """In all."""
    bytes: int
    left_over: int
    """Samples that are packed and no longer among the input."""

    def row(self) -> dict[str, Any]:
        """For `self.log`."""
        return attrs.asdict(self)


class Packing(GroupStage[In, Out]):
    """Base: the groups are folders."""

    batch_size = 1
    publishes = True
    resources = Resources(cpus=1, memory="4GB", time="4h")
    group_most = 5_000_000
    output: str
    limits: Limits
    changed: Changed

    def settings(self) -> dict[str, Any]:
        """All that a folder has to be begun with."""
        raise NotImplementedError

    def pack(self, folder: str, form: Form[Sample], samples: Sequence[Sample]) -> None:
        """Pack those that are not in the folder yet, in this order, and log what became of them."""
        keep_settings(self.output, self.settings())
        files: Numbered[Sample] = Numbered(os.path.normpath(os.path.join(self.output, folder)), form, self.limits)
        files.open()
        if self.changed == "refuse":
            check_unchanged(files, samples)
        before, added = set(files.packed), files.pack(samples)
        publish_list(files)
        left = len(before - {form.key(sample) for sample in samples})
        sizes = files.sizes()
        total = sum(size for _, _, size in sizes)
        self.log("packed", [Report(folder, len(sizes), added, len(files.packed), total, left).row()])


def check_ids(tasks: Iterable[Task]) -> None:
    """Raise StageError for two tasks with one id."""
    if key := twice([key_of(task.id) for task in tasks]):
        raise StageError(f"two tasks are called {key}: a file has one sample of each name")


def check_unchanged(files: Numbered[Sample], samples: Sequence[Sample]) -> None:
    """Raise StageError if samples that are packed are others now: what is packed is not written again."""
    packed = [sample for sample in samples if files.form.key(sample) in files.packed]
    digests = zip(map(files.form.key, packed), files.form.digests(packed), strict=True)
    others = [key for key, digest in digests if digest != files.packed[key]]
    if others:
        raise StageError(
            f"{len(others)} samples in {files.folder} were packed with other fields or members, such as "
            f"{others[0]}: name another folder (stages.shards.output=…), or leave them as they are "
            "(stages.shards.changed=keep)"
        )


def publish_list(files: Numbered[Any]) -> None:
    """Write the list of the files. It is made from the folder: one that grew meanwhile is listed again."""
    done = -1
    while len(files.counts) != done:
        done = len(files.counts)
        shards = [{"url": name, "nsamples": samples, "filesize": size} for name, samples, size in files.sizes()]
        data = json.dumps({"wids_version": 1, "shardlist": shards}, indent=1).encode() + b"\n"
        publish_bytes(data, os.path.join(files.folder, LIST))
        files.open()
