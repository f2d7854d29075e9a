"""Inference for those who have a `Dataset` and a `DataLoader` of torch.

Runs in every stage environment: Python 3.9 or newer; torch is imported when the stage runs.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Sequence
from typing import Any, Callable, Optional, TypeVar

import attrs

from hpcurate.errors import StageError
from hpcurate.fields import convert, option
from hpcurate.inference.base import InferenceStage
from hpcurate.inference.collate import named, split
from hpcurate.stage import WorkerInfo
from hpcurate.task import Task

__all__ = ["LoaderInference", "LoaderOptions"]

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)


@attrs.define(frozen=True, kw_only=True)
class LoaderOptions:
    """Options of the DataLoader. None of them is part of the stage's fingerprint."""

    batch_size: int = option(16, "items of one inference() call", minimum=1)
    num_workers: Optional[int] = option(
        None, "processes that load items; 0: the stage process; default: its cores less one", minimum=0
    )
    prefetch_factor: Optional[int] = option(None, "batches that each of them loads ahead; default: 2", minimum=1)
    pin_memory: Optional[bool] = option(None, "copy to the GPU from pinned memory; default: if there is a GPU")
    timeout: float = option(0.0, "seconds to wait for a batch; 0: no limit", minimum=0)
    multiprocessing_context: Optional[str] = option(
        None,
        "how they are started; all but fork send the dataset to them; default: torch's",
        choices=("fork", "forkserver", "spawn"),
    )


class LoaderInference(InferenceStage[In, Out]):
    """A stage that runs a network over a DataLoader of the tasks it is given, by default those of a whole shard.

    Define `dataset`, `inference`, one of `postprocess_each` and `postprocess`, and usually `load_model`. Results are
    matched to tasks by the index of the item, whatever the order and the size of the loader's batches. An item that
    cannot be loaded fails its task alone. The loader's processes end with each call, and with the stage process.
    """

    written = ("dataset", "inference")
    batch_size = 0
    options = LoaderOptions()
    operational = ("loader",)
    _cores = 1
    _results: dict[str, Any]

    def __init__(self, loader: Optional[dict[str, Any]] = None) -> None:
        """Set the loader's options. A subclass with parameters of its own takes `loader`, too, and passes it on.

        Args:
            loader: options of the DataLoader: batch_size, num_workers, prefetch_factor, pin_memory, timeout,
                multiprocessing_context.
        """
        self.options = convert(LoaderOptions, loader or {}, "loader")

    def dataset(self, tasks: Sequence[In]) -> Any:
        """A map-style dataset: as long as `tasks`, its item n made of task n."""
        raise NotImplementedError

    def dataloader(self, dataset: Any, **options: Any) -> Any:
        """A DataLoader of the dataset; override it for an order or batches of your own, and pass on what is given."""
        from torch.utils.data import DataLoader

        return DataLoader(dataset, **options)

    @staticmethod
    def collate_fn(items: list[Any]) -> Any:
        """One batch of several items; torch's default."""
        from torch.utils.data import default_collate

        return default_collate(items)

    # -- used by the engine -------------------------------------------------------------------------

    def setup(self, worker: WorkerInfo) -> None:
        """See InferenceStage."""
        self._cores, self._results = worker.cpus, {}
        super().setup(worker)

    def process(self, tasks: list[In]) -> list[Out]:
        """Infer over all tasks; if an item fails, its task is tried again alone, and the others keep their results."""
        if not tasks:
            return []
        ids = [task.id for task in tasks]
        if len(tasks) == 1:
            found, failed = (self._results, {}) if ids[0] in self._results else self._infer_all(tasks, ids)
            return self.postprocess(tasks, [found.pop(ids[0])])
        self._results, failed = self._infer_all(tasks, ids)
        if failed:
            errors = "; ".join(list(failed.values())[:3])
            raise StageError(f"the items of {named(list(failed))} could not be loaded: {errors}")
        return self.postprocess(tasks, [self._results.pop(task) for task in ids])

    def _infer_all(self, tasks: list[In], ids: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """(results, what was raised where an item could not be loaded), by id."""
        _check_unique(ids)
        dataset = self.dataset(tasks)
        if len(dataset) != len(tasks):
            raise StageError(f"dataset() has {len(dataset)} items for {named(ids)}; expected one per task, in order")
        alone = len(tasks) == 1  # then an error is raised as it is
        numbered = _Numbered(dataset, catch=not alone)
        collate = functools.partial(_collated, self.collate_fn)
        loader = self.dataloader(
            numbered, collate_fn=collate, **loader_options(self.options, self._cores, alone, self.device)
        )
        results: dict[str, Any] = {}
        failed: dict[str, str] = {}
        with contextlib.closing(_each(loader)) as batches:
            for batch in batches:
                failed.update({ids[n]: error for n, error in batch["failed"]})
                names = [ids[n] for n in batch["indexes"]]
                found = split(self.infer(batch["items"]), names) if names else []
                _check_new(names, results)
                results.update(zip(names, found))
        missing = [task for task in ids if task not in results and task not in failed]
        if missing:
            raise StageError(f"the loader's batches leave out {named(missing)} of {len(ids)}; expected each task once")
        return results, failed


def loader_options(options: LoaderOptions, cores: int, alone: bool, device: Optional[str]) -> dict[str, Any]:
    """Arguments of the DataLoader. Pure."""
    processes = 0 if alone else max(0, cores - 1) if options.num_workers is None else options.num_workers
    of_processes = {
        "prefetch_factor": options.prefetch_factor,
        "multiprocessing_context": options.multiprocessing_context,
        "timeout": options.timeout,
    }
    pin = device == "cuda" if options.pin_memory is None else options.pin_memory
    return {
        "batch_size": options.batch_size,
        "num_workers": processes,
        "pin_memory": pin,
        **(of_processes if processes else {}),
    }


@attrs.define(frozen=True)
class _Item:
    """An item of the dataset with its number, or what was raised instead."""

    index: int
    value: Any = None
    error: str = ""


@attrs.define(frozen=True)
class _Numbered:
    """A map-style dataset whose items say which they are."""

    dataset: Any
    catch: bool

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> _Item:
        try:
            return _Item(index, self.dataset[index])
        except Exception as error:
            if not self.catch:
                raise
            return _Item(index, error=f"{type(error).__name__}: {error}")


def _collated(collate_fn: Callable[[list[Any]], Any], items: list[_Item]) -> dict[str, Any]:
    """A batch of the items that could be loaded, with their numbers; in a process of the loader."""
    good = [item for item in items if not item.error]
    return {
        "indexes": [item.index for item in good],
        "items": collate_fn([item.value for item in good]) if good else None,
        "failed": [(item.index, item.error) for item in items if item.error],
    }


def _each(loader: Any) -> Generator[dict[str, Any], None, None]:
    """The loader's batches; its processes end when this is closed, also after an error."""
    yield from loader


def _check_unique(ids: Sequence[str]) -> None:
    twice = sorted({task for task in ids if ids.count(task) > 1})
    if twice:
        raise StageError(f"{named(twice)} came twice in one batch, from several stages: each is tried alone")


def _check_new(ids: Sequence[str], known: dict[str, Any]) -> None:
    again = [task for task in ids if task in known]
    if again:
        raise StageError(f"the loader gave items of {named(again)} twice; expected each task once")
