"""Savers: each kind of value comes back as it was, and what would not is refused where it is saved (W19)."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from saver_nets import Looks, Net, Normed, Tied, Two
from saver_stages import Celsius, CelsiusSaver, Pair, Settings, values

from hpcurate.errors import SavedError
from hpcurate.savers import Checkpoint, load
from hpcurate.savers.choice import OURS, chosen, installed, saver_named
from hpcurate.savers.documents import JsonSaver
from hpcurate.savers.reading import about_of
from hpcurate.savers.writing import check_name, write
from hpcurate.task import File, Saved


class Point(msgspec.Struct):
    """A record of msgspec."""

    x: int


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Saved]:
    """Save a value under a name, as a stage does."""

    def one(value: Any, saver: Any = None, name: str = "value") -> Saved:
        def place(path: str) -> File:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            return File(path, str(tmp_path / path))

        return write(name, value, chosen(value, saver), place, {"stage": "s", "task": "t"})

    return one


ARRAYS = [
    np.zeros((0, 3)),
    np.float32(0.1),
    np.array("ü"),
    np.array(["2024-01-02"], "datetime64[D]"),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    np.arange(6).reshape(2, 3)[:, ::-1],
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda one: str(one.dtype))
def test_arrays(save: Callable[..., Saved], array: Any) -> None:
    """Type, shape and values; a scalar is one again."""
    back = load(save(array))
    assert (type(array), array.dtype, array.shape) == (type(back), back.dtype, back.shape)
    assert np.array_equal(array, back)


def test_arrays_of_objects_are_refused(save: Callable[..., Saved]) -> None:
    """They would be a pickle."""
    with pytest.raises(SavedError, match=r"array of object is nothing that \.npy keeps"):
        save(np.array([{}]))


def test_a_masked_array_is_taken_by_nobody(save: Callable[..., Saved]) -> None:
    """Its mask would be lost."""
    with pytest.raises(SavedError, match=r"no saver takes a numpy\.ma.*MaskedArray; these are there: array, table"):
        save(np.ma.array([1], mask=[True]))


def test_tables(save: Callable[..., Saved]) -> None:
    """A data frame with its index, an Arrow table with its types."""
    frame = pd.DataFrame({"at": pd.to_datetime(["2024-01-02"]), "n": [1]}, index=pd.Index(["x"], name="who"))
    pd.testing.assert_frame_equal(frame, load(save(frame)))
    table = pa.table({"n": pa.array([1, None], pa.int8())})
    assert table.equals(load(save(table)))
    about = about_of(str(save(table).file.path))
    assert {"library": "pyarrow", "rows": 2, "columns": {"n": "int8"}} == about.facts


def test_a_path_with_an_equals_sign_is_no_column(tmp_path: Path) -> None:
    """Ids of tasks are names of folders."""
    (tmp_path / "split=a").mkdir()
    OURS["table"]().write(pd.DataFrame({"n": [1]}), str(tmp_path / "split=a" / "t.parquet"))
    assert ["n"] == list(OURS["table"]().read(str(tmp_path / "split=a" / "t.parquet"), {}).columns)


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (torch.ones(1), 'save {"x": tensor}'),
        (pd.Series([1]), r"series\.to_frame\(\)"),
        (b"x", "self.file"),
        ({"a": np.ones(1)}, "each array by itself"),
        ([np.ones(1)], "each array by itself"),
    ],
)
def test_what_no_saver_takes_is_refused_with_a_form_that_one_does(
    save: Callable[..., Saved], value: Any, other: str
) -> None:
    """The first that many try."""
    with pytest.raises(SavedError, match=other):
        save(value)


def test_a_checkpoint_comes_with_its_class(save: Callable[..., Saved]) -> None:
    """Constructed again with what it was constructed with, in the mode that it had."""
    net = Net(3).eval()
    back = load(save(Checkpoint(net, {"width": 3})))
    assert (Net, False) == (type(back), back.training)
    assert all(torch.equal(one, back.state_dict()[name]) for name, one in net.state_dict().items())


def test_shared_weights_and_buffers(save: Callable[..., Saved]) -> None:
    """A network whose class needs no arguments is saved as it is, and its tied layers are tied again."""
    net = Tied()
    back = load(save(net))
    assert back.one.weight is back.two.weight
    assert torch.equal(net.one.weight, back.one.weight)
    assert torch.equal(net.steps, back.steps)


def test_a_network_that_cannot_be_constructed_again_is_refused_at_once(save: Callable[..., Saved]) -> None:
    """Later nobody could do anything about it."""
    with pytest.raises(SavedError, match=r"Net cannot be constructed again: missing .*'width'; Checkpoint\(net, "):
        save(Net(3))
    with pytest.raises(SavedError, match="config is plain data"):
        save(Checkpoint(Net(3), {"width": np.int64(3)}))

    class Inner(torch.nn.Linear):
        def __init__(self) -> None:
            super().__init__(1, 1)

    with pytest.raises(SavedError, match="defined inside a function"):
        save(Inner())


@pytest.mark.parametrize(
    ("net", "config", "said"),
    [
        (lambda: Two("gelu"), {}, r"act is gelu, and would be relu; say what it was made with, Checkpoint\(two, "),
        (lambda: Two("gelu", 8), {"width": 8}, "act is gelu, and would be relu"),
        (lambda: Two(width=8), {}, r"layers.weight is \(2, 8\), and would be \(2, 4\)"),
        (lambda: torch.nn.Sequential(torch.nn.Linear(1, 1)), {}, "it has part '0', and would not"),
        (lambda: Two(shown=False), {"shown": False}, "whether width had the default cannot be seen, as hidden"),
        (lambda: Two(), {"act": "tanh"}, "cannot be constructed again: KeyError: 'tanh'"),
        (lambda: Looks(0.5), {}, r"rates is \[0.0, 0.5\], and would be \[0.0, 0.1"),
        (lambda: torch.nn.Linear(2, 2, bias=False), {"in_features": 2, "out_features": 2}, "would have tensor 'bias'"),
    ],
)
def test_a_network_that_would_be_another_one_is_refused(
    save: Callable[..., Saved], net: Callable[[], Any], config: dict[str, Any], said: str
) -> None:
    """Defaults that it was not made with; with its config it comes back."""
    with pytest.raises(SavedError, match=said):
        save(Checkpoint(net(), config))


@pytest.mark.parametrize(
    ("net", "config"),
    [
        (lambda: Two("gelu", 8), {"act": "gelu", "width": 8}),
        (lambda: Two(shown=False), {"act": "relu", "width": 4, "shown": False}),
        (lambda: Looks(0.5), {"rate": 0.5}),
        (lambda: torch.nn.LSTM(2, 3), {"input_size": 2, "hidden_size": 3}),
        (lambda: torch.nn.TransformerEncoderLayer(4, 2), {"d_model": 4, "nhead": 2}),
        (lambda: Two().half(), {}),
        (Normed, {}),
        (lambda: Tied().to(torch.bfloat16), {}),
    ],
)
def test_a_network_comes_back_as_it_was(
    save: Callable[..., Saved], net: Callable[[], Any], config: dict[str, Any]
) -> None:
    """With dtypes, also of what is not in the state; with modes of its parts, and what of it is frozen."""
    one, before = net(), torch.random.get_rng_state()
    next(one.parameters()).requires_grad_(False)
    next(one.children(), one).eval()
    saved = save(Checkpoint(one, config))
    assert torch.equal(before, torch.random.get_rng_state())
    back = load(saved)
    assert state_of(one) == state_of(back)
    assert all(torch.equal(tensor, back.state_dict()[name]) for name, tensor in one.state_dict().items())


def state_of(net: Any) -> list[Any]:
    """All that is compared here beside the numbers."""
    parameters = [(name, tensor.dtype, tensor.requires_grad) for name, tensor in net.named_parameters()]
    parts = [(name, type(part).__name__, part.training) for name, part in net.named_modules()]
    return [parameters, parts, [(name, tensor.dtype) for name, tensor in net.named_buffers()]]


def test_tensors_by_name_are_one_file_of_safetensors(save: Callable[..., Saved]) -> None:
    """Whatever shares their memory."""
    whole = torch.arange(6).reshape(2, 3)
    saved = save({"all": whole, "part": whole[:, 1]})
    assert ".safetensors" == Path(saved).suffix
    assert torch.equal(whole[:, 1], load(saved)["part"])


def test_nested_states_are_read_without_running_code(save: Callable[..., Saved]) -> None:
    """As an optimizer's is; what torch could only unpickle is refused where it is saved."""
    state = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.999), "foreach": None}]}
    assert state == load(save(state))
    with pytest.raises(SavedError, match="only by running code"):
        save([torch.ones(1), Settings("s")])


def test_figures_are_pictures(save: Callable[..., Saved]) -> None:
    """Of matplotlib, or of Pillow; as SVG where that is asked for."""
    picture = Image.new("RGBA", (3, 2), (255, 0, 0, 9))
    assert picture.tobytes() == load(save(picture)).tobytes()
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([1, 2])
    saved = save(figure)
    assert dict(zip(("width", "height"), load(saved).size, strict=True)) == about_of(saved.file.path or "").facts
    assert load(save(figure, "svg", "drawn")).lstrip().startswith("<?xml")


RECORDS = [
    {"a": [1, 0.5, None, True], "ü": "\udcff"},
    [],
    3,
    None,
    Settings("s", (1, 2)),
    Pair(0.5, Settings("\n")),
    Point(3),
]


@pytest.mark.parametrize("value", RECORDS, ids=repr)
def test_plain_data_and_records(save: Callable[..., Saved], value: Any) -> None:
    """A record is read back as its class."""
    back = load(save(value))
    assert (type(value), value) == (type(back), back)


@pytest.mark.parametrize("value", [{"x": float("nan")}, {1: 2}, [(1, 2)], {"a": object()}, {"c": Celsius(1)}])
def test_what_json_would_change_is_refused(save: Callable[..., Saved], value: Any) -> None:
    """Where it is saved, and nothing is left behind."""
    with pytest.raises(SavedError, match=r"JSON|another one"):
        save(value)


@pytest.mark.parametrize("text", ["", "a\r\nb\n", "ü\udcff\x00"])
def test_texts(save: Callable[..., Saved], text: str) -> None:
    """Every character, line ends too."""
    assert text == load(save(text))


def test_notebooks_are_checked(save: Callable[..., Saved]) -> None:
    """As nbformat does."""
    notebook = values()["notebook"]
    assert notebook == load(save(notebook))
    with pytest.raises(SavedError, match=r"no notebook: .*not valid"):
        save({**notebook, "cells": [{"source": "", "id": "a"}]})


def test_a_pickle_is_written_and_read_only_by_name(save: Callable[..., Saved]) -> None:
    """Loading it runs what is in it."""
    value = Celsius(1)
    with pytest.raises(SavedError, match=r'or saver="pickle"'):
        save(value)
    saved = save(value, "pickle")
    with pytest.raises(SavedError, match=r"runs code that is in the file: .*saver='pickle'"):
        load(saved)
    assert isinstance(load(saved, "pickle"), Celsius)
    text = save("a", name="text")
    with pytest.raises(SavedError, match="was saved by 'text', not by 'pickle'"):
        load(text, "pickle")


def test_a_file_that_lies_about_its_saver_runs_nothing(save: Callable[..., Saved], tmp_path: Path) -> None:
    """A pickle under another suffix is no array; a class that is none is not called."""
    saved = save(np.ones(1))
    Path(saved).write_bytes(pickle.dumps(print))
    with pytest.raises(SavedError, match="cannot read it"):
        load(saved)
    saved = save({"a": 1}, name="plain")
    for kind in ("os:system", "subprocess:Popen", "nowhere:Such"):
        _edit(saved, facts={"type": kind})
        with pytest.raises(SavedError, match=kind):
            load(saved)
    for saver in ("subprocess:Popen", "other"):
        _edit(saved, saver=saver)
        with pytest.raises(SavedError, match=f"saver '{saver}'"):
            load(saved)


def test_what_is_damaged_or_newer_is_named(save: Callable[..., Saved]) -> None:
    """File, saver and cause."""
    saved = save(np.ones(99))
    Path(saved).write_bytes(Path(saved).read_bytes()[:-8])
    with pytest.raises(SavedError, match=r"value\.npy: saver 'array' cannot read it: ValueError"):
        load(saved)
    _edit(saved, saver_version=2)
    with pytest.raises(SavedError, match="version 2 of saver 'array', and here is 1"):
        load(saved)
    _edit(saved, format=2)
    with pytest.raises(SavedError, match="has format 2, and this hpcurate reads 1; use a newer one"):
        load(saved)
    Path(saved.about).write_text("[")
    with pytest.raises(SavedError, match=r"value\.npy\.json: what is known of a saved value cannot be read"):
        load(saved)
    Path(saved.about).unlink()
    with pytest.raises(SavedError, match=r"value\.npy\.json: is not there; keep=results frees"):
        load(saved)


def test_a_library_that_is_missing_is_named(save: Callable[..., Saved], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the value is loaded."""
    saved = save(pd.DataFrame({"n": [1]}))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SavedError, match=r"saver 'table' needs pyarrow\.parquet here"):
        load(saved)


@pytest.mark.parametrize("kind", values())
def test_the_same_value_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    """No times, no hosts, no order of a hash; what stands beside the file, neither."""
    for folder in ("a", "b"):
        (tmp_path / folder / "saved").mkdir(parents=True)

        def place(path: str, base: Path = tmp_path / folder) -> File:
            return File(path, str(base / path))

        value = values()[kind]
        assert kind == chosen(value, None)[0]
        write("v", value, chosen(value, None), place, {"stage": "s", "task": "t"})
    one, other = (sorted((tmp_path / folder / "saved").iterdir()) for folder in ("a", "b"))
    assert 2 == len(one)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@pytest.mark.parametrize("name", ["", "a/b", "..", "a.b", "-a", " a", "a" * 101, "ü" * 101, "a\n", None, "a\x00"])
def test_names(name: Any) -> None:
    """They are names of files."""
    with pytest.raises(SavedError, match="a name has 1 to 100 letters"):
        check_name(name)
    check_name("größe 1-b_c")


def test_savers_of_ones_own(save: Callable[..., Saved]) -> None:
    """Given as an object, or named by its class."""
    for saver in (CelsiusSaver(), "saver_stages:CelsiusSaver"):
        saved = save(Celsius(21.5), saver)
        assert ("value.celsius", Celsius(21.5)) == (saved.file.name, load(saved))
        assert "saver_stages:CelsiusSaver" == about_of(saved.file.path or "").saver
    with pytest.raises(SavedError, match=r"saver 'json' does not take a saver_stages.Celsius"):
        save(Celsius(1), "json")


def test_savers_of_installed_distributions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By an entry point; they come before ours, and may not take a name of ours."""
    info = tmp_path / "temperatures-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: temperatures\nVersion: 1\n")
    points = info / "entry_points.txt"
    points.write_text("[hpcurate.savers]\ncelsius = saver_stages:CelsiusSaver\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed.cache_clear()
    try:
        assert "celsius" == chosen(Celsius(1), None)[0]
        assert isinstance(saver_named("celsius")[1], CelsiusSaver)
        for line, wrong in (("json = a:B", "'json'"), ("odd = saver_stages:Celsius", "'odd' is no subclass")):
            points.write_text(f"[hpcurate.savers]\n{line}\n")
            importlib.invalidate_caches()
            installed.cache_clear()
            with pytest.raises(SavedError, match=wrong):
                chosen(Celsius(1), None)
    finally:
        installed.cache_clear()


def test_facts_are_plain_data(save: Callable[..., Saved]) -> None:
    """Of a saver of a user's own, too; and half a value is removed."""

    class Odd(JsonSaver):
        def write(self, value: Any, path: str) -> Any:
            super().write(value, path)
            return {"x": object()}

    with pytest.raises(SavedError, match="no plain data"):
        save({"a": 1}, Odd())


def _edit(saved: Saved, **changes: Any) -> None:
    path = Path(saved.about)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_record_that_would_lose_a_field_is_refused(save: Callable[..., Saved]) -> None:
    """Private fields are none for msgspec."""

    @attrs.define
    class Private:
        _x: int = 1

    with pytest.raises(SavedError, match="another one"):
        save(Private(x=2))
