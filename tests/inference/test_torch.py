"""Tensors, datasets and loaders of torch, and the page that shows them. The one file of these tests that imports it."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy
import pytest
import torch
from checkout import ROOT
from engine_stages import Number
from inference_stages import Squared, noted
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from hpcurate import FileTask, Stage
from hpcurate.errors import ConfigError, StageError
from hpcurate.inference import BatchInference, LoaderInference, LoaderOptions
from hpcurate.inference.collate import collate, split
from hpcurate.inference.loader import loader_options
from hpcurate.planning.fingerprint import stage_identity
from hpcurate.system.processes import descendants
from hpcurate.testing import try_stage


def numbers(count: int) -> list[Number]:
    """0, 1, …"""
    return [Number(id=f"n{value}", value=value) for value in range(count)]


# -- collate and split ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bfloat16, torch.bool])
def test_tensors_are_stacked_and_split_as_arrays_are(dtype: torch.dtype) -> None:
    """Also of types that numpy does not have."""
    tensors = [torch.arange(6).reshape(2, 3).remainder(2 + n).to(dtype) for n in range(3)]
    batch = collate(list("abc"), [{"x": tensor} for tensor in tensors], {"x": "stack"}, {})
    assert (torch.Size([3, 2, 3]), dtype) == (batch["x"].shape, batch["x"].dtype)
    assert all(torch.equal(one, part) for one, part in zip(tensors, split(batch["x"], list("abc"))))


def test_tensors_are_padded_with_a_mask_that_is_a_tensor() -> None:
    """Where a task's own values are."""
    tensors = [torch.ones(2, 3), torch.ones(0, 3), torch.ones(4, 3)]
    batch = collate(list("abc"), [{"x": tensor} for tensor in tensors], {"x": "pad"}, {"x": -1})
    assert (torch.Size([3, 4, 3]), [2, 0, 4]) == (batch["x"].shape, batch["x_mask"].sum(1).tolist())
    assert torch.equal(batch["x_mask"], (batch["x"] == 1).all(2))


@pytest.mark.parametrize("other", [numpy.ones(3, "float32"), torch.ones(3, dtype=torch.float64), torch.ones(4)])
def test_tensors_that_do_not_fit_are_named(other: Any) -> None:
    """Also an array among tensors."""
    with pytest.raises(StageError, match=r"x is a tensor of torch\.float32 \(3,\) for task 'a' and an? "):
        collate(["a", "b"], [{"x": torch.ones(3)}, {"x": other}], {"x": "stack"}, {})


class Linear(BatchInference[Number, Squared]):
    """Triples, by a network; the results say whether gradients are kept."""

    version = 1
    batch_size = 3
    collate: ClassVar = {"x": "stack"}

    def load_model(self, device: str) -> None:
        """One weight."""
        self.network = torch.nn.Linear(1, 1, bias=False).to(device)
        torch.nn.init.constant_(self.network.weight, 3.0)

    def load(self, task: Number) -> dict[str, Any]:
        """A tensor."""
        return {"x": torch.tensor([float(task.value)])}

    def inference(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Within torch's inference mode."""
        assert torch.is_inference_mode_enabled()
        return {"y": (self.network(batch["x"])[:, 0],)}

    def postprocess_each(self, task: Number, result: dict[str, Any]) -> Squared:
        """A child."""
        assert not result["y"][0].requires_grad
        return self.child(task, Squared, value=task.value, square=int(result["y"][0]))


def test_a_network_runs_without_gradients(tmp_path: Path) -> None:
    """From tensors of tasks to tensors of results."""
    outcome = try_stage(Linear(), numbers(4), tmp_path / "trial")
    assert [(0, 0), (1, 3), (2, 6), (3, 9)] == [(task.value, task.square) for task in outcome.tasks]


# -- loaders ----------------------------------------------------------------------------------------


class Numbers(Dataset):  # type: ignore[type-arg]
    """Items of tasks. Value 13 cannot be loaded. Notes who loads what."""

    def __init__(self, values: list[int], notes: str) -> None:
        self.values, self.notes = values, notes

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, n: int) -> dict[str, Any]:
        noted(self.notes, f"load {self.values[n]} {os.getpid()}")
        if self.values[n] == 13:
            raise FileNotFoundError("13 is not there")
        return {"x": torch.tensor(self.values[n])}


class Loaded(LoaderInference[Number, Squared]):
    """Squares what a loader loads, in an order of its own."""

    version = 1

    def __init__(self, order: str = "", notes: str = "", loader: dict[str, Any] | None = None) -> None:
        super().__init__(loader)
        self.order, self.notes = order, notes

    def dataset(self, tasks: Any) -> Any:
        """One item a task, or one less."""
        values = [task.value for task in tasks]
        return Numbers(values[:-1] if self.order == "short" else values, self.notes)

    def dataloader(self, dataset: Any, **options: Any) -> Any:
        """Batches that are no runs of tasks."""
        del options["batch_size"]
        return DataLoader(dataset, batch_sampler=batches_in(self.order, len(dataset)), **options)

    def inference(self, batch: dict[str, Any]) -> Any:
        """A tensor."""
        noted(self.notes, f"inference {len(batch['x'])}")
        return batch["x"] ** 2

    def postprocess_each(self, task: Number, result: Any) -> Squared:
        """A child."""
        return self.child(task, Squared, value=task.value, square=int(result))


def batches_in(order: str, count: int) -> list[list[int]]:
    """Batches of two and more, last first; once one is left out, once one comes twice."""
    indexes = list(reversed(range(count)))
    batches = [indexes[:3], *([[n] for n in indexes[3:]])]
    if order == "leaves one out" and count > 1:
        return [batches[0][:2], *batches[1:]]
    return [*batches, [0]] if order == "one twice" and count > 1 else batches


def test_results_find_their_tasks_whatever_the_order(tmp_path: Path) -> None:
    """By the index of the item; two processes load, and are gone in the end."""
    notes = tmp_path / "notes"
    stage = Loaded(notes=str(notes), loader={"num_workers": 2})
    outcome = try_stage(stage, numbers(7), tmp_path / "trial")
    assert [(n, n * n) for n in range(7)] == [(task.value, task.square) for task in outcome.tasks]
    loading = {int(line.split()[2]) for line in notes.read_text().splitlines() if "load" in line}
    assert 2 == len(loading - {os.getpid()})
    assert not loading.intersection(descendants(os.getpid()))


@pytest.mark.parametrize("processes", [0, 1])
def test_an_item_that_cannot_be_loaded_fails_its_task_alone(tmp_path: Path, processes: int) -> None:
    """The others are loaded and inferred once, also those of its batch; its dead letter has what was raised."""
    notes = tmp_path / "notes"
    tasks = [Number(id=f"n{value}", value=value) for value in (1, 2, 13, 4, 5)]
    stage = Loaded(notes=str(notes), loader={"num_workers": processes})
    outcome = try_stage(stage, tasks, tmp_path / "trial")
    assert [(1, 1), (2, 4), (4, 16), (5, 25)] == [(task.value, task.square) for task in outcome.tasks]
    assert [("n13", "FileNotFoundError", "13 is not there")] == [
        (row["id"], row["error"], row["message"]) for row in outcome.failed
    ]
    assert "__getitem__" in outcome.failed[0]["traceback"]
    said = Counter(line.split()[1] for line in notes.read_text().splitlines() if line.startswith("load"))
    assert {"1": 1, "2": 1, "13": 2, "4": 1, "5": 1} == said
    assert ["2", "1", "1"] == [
        line.split()[1] for line in notes.read_text().splitlines() if line.startswith("inference")
    ]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("short", "dataset() has 2 items for 3 tasks ('n0', 'n1', 'n2'); expected one per task"),
        ("leaves one out", "the loader's batches leave out 1 task ('n0') of 3"),
        ("one twice", "the loader gave items of 1 task ('n0') twice"),
    ],
)
def test_wrong_counts_name_the_tasks(order: str, said: str) -> None:
    """Of the dataset and of the loader's batches."""
    stage = Loaded(order)
    stage.setup(worker())
    with pytest.raises(StageError) as caught:
        stage.process(numbers(3))
    assert said in str(caught.value)


def worker() -> Any:
    """What a stage process with one core is given."""
    from hpcurate import WorkerInfo

    return WorkerInfo(index=0, process=0, cpus=1)


def test_options_of_the_loader() -> None:
    """The cores less one load; what only processes have is left out where there are none."""
    four = loader_options(LoaderOptions(), 4, alone=False, device="cuda")
    assert (3, True, 16) == (four["num_workers"], four["pin_memory"], four["batch_size"])
    one = loader_options(LoaderOptions(prefetch_factor=4), 1, alone=False, device="cpu")
    assert {"batch_size": 16, "num_workers": 0, "pin_memory": False} == one
    alone = loader_options(LoaderOptions(num_workers=8, timeout=9), 16, alone=True, device="cpu")
    assert 0 == alone["num_workers"]
    assert "timeout" not in alone
    given = loader_options(LoaderOptions(num_workers=2, prefetch_factor=4, timeout=9), 1, alone=False, device="cpu")
    assert (2, 4, 9) == (given["num_workers"], given["prefetch_factor"], given["timeout"])


def test_a_misspelt_option_is_named() -> None:
    """When the stage is made."""
    with pytest.raises(ConfigError, match=r"loader\.num_worker: there is no such key; did you mean 'num_workers'"):
        Loaded(loader={"num_worker": 2})


def test_options_of_the_loader_are_not_part_of_the_fingerprint() -> None:
    """They change how fast it is."""
    assert stage_identity(Loaded()) == stage_identity(Loaded(loader={"num_workers": 8}))
    assert stage_identity(Loaded()) != stage_identity(Loaded(order="other"))


# -- the page ---------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "batch-inference.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[FileTask]:
    """One dark, one light."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, level in (("dark", 10), ("light", 240)):
        Image.new("RGB", (64, 48), (level, level, level)).save(folder / f"{name}.png")
    return [
        FileTask(id=path.stem, source=path.name, path=str(path), size=1, mtime_ns=1)
        for path in sorted(folder.iterdir())
    ]


@pytest.fixture(params=range(len(BLOCKS)))
def stage_class(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The stage of each block of the page, as a module of its own."""
    name = f"page_block_{request.param}"
    (tmp_path / f"{name}.py").write_text(BLOCKS[request.param])
    spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (found,) = [
        value for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Stage) and value.__module__ == name
    ]  # fmt: skip
    yield found
    del sys.modules[name]


def test_the_blocks_of_the_page_run(stage_class: Any, pictures: list[FileTask], tmp_path: Path) -> None:
    """One result per picture, from each."""
    outcome = try_stage(stage_class(), pictures, tmp_path / "trial")
    assert [] == outcome.failed
    assert ["dark.png", "light.png"] == [getattr(task, "source", None) or task.name for task in outcome.tasks]
    if stage_class.__name__ == "Brightness":
        assert [0.04, 0.94] == [round(task.score, 2) for task in outcome.tasks]
        dropped = try_stage(stage_class(darkest=0.5), pictures, tmp_path / "second")
        assert [("dark", "too dark")] == [(row["id"], row["reason"]) for row in dropped.dropped]


def test_the_page_shows_all_three_ways() -> None:
    """And the base itself."""
    assert 4 == len(BLOCKS)
