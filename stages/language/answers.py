"""What becomes of answers: a vector of each, and tables of all."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from hpcurate import CurrentOr, Resources, Stage, WorkerInfo
from hpcurate.task import StageSums
from stages.language.generating import Batches
from stages.language.prompt_tasks import PromptTask
from stages.output_fields import check_output, json_text, published_files, record
from stages.output_table import table_bytes
from stages.publish import publish_bytes, publish_file
from stages.text import SentenceEmbedder
from stages.video.samples import above_zero
from stages.vision.vectors import write_vectors


class EmbedAnswers(Stage[PromptTask, PromptTask]):
    """Give each answer a vector of length 1, by a sentence embedder. What has no answer has none.

    The vectors of a batch are one Parquet file with the columns `id` and `embedding`, named after the model.
    """

    model: SentenceEmbedder
    env = CurrentOr("models")
    resources = Resources(cpus=2, memory="4GB", time="1h")
    batch_size = 256
    version = 1

    def __init__(self, model: str = "all-minilm", longest: int = 256, at_once: int = 32) -> None:
        """Set the network.

        Args:
            model: a name in conf/models of a sentence-embedding model.
            longest: tokens of an answer at most; what follows is not seen.
            at_once: answers that the network sees at a time; halved where the GPU's memory runs out.
        """
        self.model = SentenceEmbedder(model, int(above_zero("longest", longest)))
        self._batches = Batches(int(above_zero("at_once", at_once)))

    def setup(self, worker: WorkerInfo) -> None:
        """Load the network on this process's device."""
        self.model.device = worker.device
        super().setup(worker)

    def process(self, tasks: list[PromptTask]) -> list[PromptTask]:
        """The same tasks; the last of their `embeddings` is the file with their vectors."""
        import numpy as np

        answered = [task for task in tasks if task.answer]
        if not answered:
            return tasks
        texts = [str(task.answer) for task in answered]
        rows = self._batches.answers(texts, len, lambda some: list(self.model.embed(some)))
        file = self.file(answered[0], f"{self.model.name.rpartition('/')[2]}.parquet")
        write_vectors(os.fspath(file), [task.id for task in answered], np.stack(rows))
        for task in answered:
            task.embeddings = [*(other for other in task.embeddings if other.name != file.name), file]
        return tasks


class WriteAnswers(Stage[PromptTask, PromptTask]):
    """Write all answers under `output`, in the order of the input, and the vectors as `<model>_embd_parquet/`.

    A row each in `answers.jsonl` and `answers.parquet`; counts in `summary.json`.
    """

    gather = True
    counts_upstream = True
    resources = Resources(cpus=1, memory="4GB", time="1h")
    version = 1
    publishes = True

    def __init__(self, output: str) -> None:
        """Set where to write.

        Args:
            output: folder, made if missing.
        """
        self.output = output

    def accept(self, given: type[PromptTask]) -> None:
        """Refuse a class that cannot be written."""
        check_output(given)

    def process(self, tasks: list[PromptTask]) -> list[PromptTask]:
        """The same tasks; writing the same again changes nothing."""
        files = {path: file for task in tasks for file, path in published_files(task, 0)}
        for path, file in files.items():
            publish_file(os.fspath(file), os.path.join(self.output, path))
        lines = "".join(json_text(record(task, "json", 0)) + "\n" for task in tasks)
        kind = cast(type[PromptTask], self.task_types[0])
        text = json.dumps(summary(tasks, self.upstream), indent=2) + "\n"
        written = {"answers.jsonl": lines.encode(), "answers.parquet": table_bytes(tasks, 0, kind)}
        for name, data in {**written, "summary.json": text.encode()}.items():
            publish_bytes(data, os.path.join(self.output, name))
        return tasks


def summary(tasks: Sequence[PromptTask], upstream: Sequence[StageSums] = ()) -> dict[str, Any]:
    """Counts over all prompts: how the answers ended, their tokens, what failed and what was filtered. Pure."""
    ended = Counter(task.status or "not asked" for task in tasks)
    return {
        "num_prompts": upstream[0].tasks_in if upstream else len(tasks),
        "num_failed": sum(stage.failed for stage in upstream),
        "num_filtered": sum(stage.dropped for stage in upstream),
        "answers": dict(sorted(ended.items())),
        "prompt_tokens": sum(task.prompt_tokens or 0 for task in tasks),
        "output_tokens": sum(task.output_tokens or 0 for task in tasks),
    }
