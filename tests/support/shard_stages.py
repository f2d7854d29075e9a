"""Stages for tests of training shards: captions and vectors without a network, and a packer that is killed once."""

from __future__ import annotations

import hashlib
import os
import signal

import numpy as np

import stages.shards.numbered as numbered
from hpcurate import Stage
from stages.language.windows import Window
from stages.shards.webdataset import WebDataset
from stages.video.tasks import ClipTask
from stages.vision.tasks import VisualTask
from stages.vision.vectors import write_vectors


def caption_of(clip: str) -> str:
    """Of a clip, by its id."""
    return f"this is {clip[:8]}"


def vector_of(clip: str) -> list[float]:
    """Of a clip, by its id."""
    return [byte / 255 for byte in hashlib.sha256(clip.encode()).digest()[:8]]


class Label(Stage[ClipTask, ClipTask]):
    """Give each clip a caption and a vector."""

    version = 1
    batch_size = 4

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips."""
        file = self.file(tasks[0], "hash.parquet")
        vectors = np.array([vector_of(task.id) for task in tasks], np.float32)
        write_vectors(os.fspath(file), [task.id for task in tasks], vectors)
        for task in tasks:
            task.windows = [Window(start_frame=0, end_frame=task.frames - 1, caption=caption_of(task.id))]
            task.embeddings = [file]
        return tasks


class KilledOnce(WebDataset):
    """Its process is killed once: when the second tar of a bin has its name, and no index yet."""

    version = 1
    marker: str

    def process_group(self, key: str, tasks: list[VisualTask]) -> list[VisualTask]:
        """The same tasks."""
        named, marker = numbered._named, f"{self.output}.killed"

        def dies(temporary: str, path: str) -> bool:
            won = named(temporary, path)
            if path.endswith("000001.tar") and not os.path.exists(marker):
                with open(marker, "w"):
                    os.kill(os.getpid(), signal.SIGKILL)
            return won

        numbered._named = dies
        try:
            return super().process_group(key, tasks)
        finally:
            numbered._named = named
