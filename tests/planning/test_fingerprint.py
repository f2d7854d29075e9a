"""Identity (design §8): what determines the output changes it, nothing else does."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
from unit_stages import Colour, Fated, NoVersion, Tuned, TunedV2, chain

from hpcurate import Stage
from hpcurate.digest import digest
from hpcurate.errors import PipelineError
from hpcurate.planning.fingerprint import stage_identity


def print_of(stage: Stage[Any, Any]) -> str:
    """The stage's part of a fingerprint."""
    return digest(stage_identity(stage))


@pytest.mark.parametrize(
    "same",
    [
        (Tuned(), Tuned(threshold=1.0)),
        (Tuned(), Tuned(1.0)),
        (Tuned(), Tuned(threshold=1)),
        (Tuned(), Tuned(threshold="1.0")),
        (Tuned(threshold=2), Tuned(threshold=2.0)),
        (Tuned(), Tuned(mode=Colour.RED)),
        (Tuned(mode="blue"), Tuned(mode=Colour.BLUE)),
        (Tuned(sizes=[1, 2]), Tuned(sizes=[1.0, 2.0])),
        (Tuned(threshold=2, sizes=[1]), Tuned(sizes=[1], threshold=2)),
    ],
)
def test_the_same_meaning_has_the_same_fingerprint(same: tuple[Tuned, Tuned]) -> None:
    """Defaults given or not, numbers however written, arguments in any order."""
    assert print_of(same[0]) == print_of(same[1])


@pytest.mark.parametrize(
    "other",
    [Tuned(threshold=2.0), Tuned(mode=Colour.BLUE), Tuned(sizes=[1.0]), TunedV2(), Fated(["keep"]), chain(Tuned())],
)
def test_another_meaning_has_another_fingerprint(other: Stage[Any, Any]) -> None:
    """Parameters, version, class, being in a chain."""
    assert print_of(Tuned()) != print_of(other)


def test_a_parameter_left_at_its_default_is_not_named() -> None:
    """So a new parameter with a default keeps old results valid."""
    assert {} == stage_identity(Tuned(threshold=1.0))["parameters"]


def test_resources_and_the_like_do_not_count() -> None:
    """Where and how fast a stage runs does not change what it writes."""
    stage = Tuned()
    stage.batch_size, stage.env = 99, "other"  # type: ignore[misc]
    assert print_of(Tuned()) == print_of(stage)


# -- input files ------------------------------------------------------------------------------------


def test_an_input_file_counts_by_content(tmp_path: Path) -> None:
    """The same labels under another name are the same."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("cat\ndog\n")
    assert print_of(Tuned(labels=tmp_path / "a.txt")) == print_of(Tuned(labels=str(tmp_path / "b.txt")))  # type: ignore[arg-type]


def test_a_changed_input_file_changes_the_fingerprint(tmp_path: Path) -> None:
    """Under the same name."""
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\n")
    before = print_of(Tuned(labels=str(labels)))  # type: ignore[arg-type]
    labels.write_text("dog\n")
    assert before != print_of(Tuned(labels=str(labels)))  # type: ignore[arg-type]


def test_a_missing_input_file_is_named(tmp_path: Path) -> None:
    """Before anything is submitted."""
    with pytest.raises(PipelineError, match=r"cannot read the input file '.*gone.txt': No such file"):
        print_of(Tuned(labels=str(tmp_path / "gone.txt")))  # type: ignore[arg-type]


# -- the syntax of a module -------------------------------------------------------------------------

MODULE = """
from hpcurate import Stage, Task
from hpcurate.spec import InputFile

class Cut(Stage[Task, Task]):
    def __init__(self, labels: InputFile = InputFile("LABELS")) -> None:
        self.labels = labels

    def process(self, tasks):
        return tasks[:1]
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a module some source, and get its stage."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(source: str) -> Any:
        (tmp_path / "cutting.py").write_text(source)
        sys.modules.pop("cutting", None)
        for cached in tmp_path.glob("__pycache__/*"):
            cached.unlink()
        importlib.invalidate_caches()
        import linecache

        linecache.clearcache()
        return importlib.import_module("cutting").Cut

    yield load
    sys.modules.pop("cutting", None)


def syntax_of(cls: Any) -> str:
    """What stands for the module of a class without a version."""
    version: str = stage_identity(cls(labels=__file__))["version"]
    return version


def test_comments_and_layout_do_not_count(load: Any) -> None:
    """Reformatting runs nothing again."""
    before = syntax_of(load(MODULE))
    assert before == syntax_of(load("# a comment\n" + MODULE.replace("tasks[:1]", "tasks[ : 1 ]  # first")))


def test_another_program_counts(load: Any) -> None:
    """One changed number does."""
    before = syntax_of(load(MODULE))
    assert before != syntax_of(load(MODULE.replace("[:1]", "[:2]")))


def test_a_module_that_imports_nothing_of_the_users_is_identified_as_it_always_was() -> None:
    """Stores of before continue: the form has changed only where other modules are part of it."""
    source = inspect.getsource(sys.modules[NoVersion.__module__])
    syntax = hashlib.sha256(ast.unparse(ast.parse(source)).encode()).hexdigest()[:16]
    expected = {"class": "unit_stages:NoVersion", "version": f"syntax:{syntax}", "parameters": {}}
    assert expected == stage_identity(NoVersion())


def test_a_version_takes_the_place_of_the_syntax() -> None:
    """Who gives one answers for raising it."""
    assert ("v1", "v2", "syntax:") == (
        stage_identity(Tuned())["version"], stage_identity(TunedV2())["version"], stage_identity(NoVersion())["version"][:7],
    )  # fmt: skip


def test_a_default_input_file_counts_by_content_too(load: Any, tmp_path: Path) -> None:
    """Nobody named it, and yet what is in it decides."""
    labels = tmp_path / "default.txt"
    labels.write_text("cat\n")
    cut = load(MODULE.replace("LABELS", str(labels)))
    before = print_of(cut()), print_of(cut(labels=str(labels)))
    labels.write_text("dog\n")
    assert (1, True) == (len(set(before)), before[0] != print_of(cut()))


@pytest.mark.parametrize("hint", ["list[InputFile]", "dict[str, InputFile]", "list[InputFile] | None"])
def test_input_files_in_lists_and_mappings_count_by_content_as_defaults_too(
    load: Any, tmp_path: Path, hint: str
) -> None:
    """Those of a default did not: edited labels kept the old results."""
    labels = tmp_path / "default.txt"
    labels.write_text("cat\n")
    default = {"d": str(labels)} if "dict" in hint else [str(labels)]
    module = MODULE.replace("labels: InputFile", f"labels: {hint}").replace('InputFile("LABELS")', repr(default))
    cut = load(module)
    before = print_of(cut()), print_of(cut(labels=default))
    labels.write_text("dog\n")
    assert (1, True) == (len(set(before)), before[0] != print_of(cut()))


def test_annotations_that_cannot_be_evaluated_do_not_hide_an_input_file(load: Any) -> None:
    """They did: then its name was the identity, and not what is in it."""
    hidden = MODULE.replace("labels: InputFile =", "labels: 'InputFile | Nowhere' =")
    with pytest.raises(PipelineError, match=r"Cut: the annotations .* cannot be evaluated, so labels would not be"):
        stage_identity(load(hidden)())


def test_a_class_without_source_needs_a_version() -> None:
    """Typed at a prompt, there is nothing to take a digest of."""
    made: Any = type("Made", (NoVersion,), {"__module__": "nowhere"})
    with pytest.raises(PipelineError, match="give it `version = 1`"):
        stage_identity(made())


# -- stages among parameters ------------------------------------------------------------------------


class Wraps(NoVersion):
    """Has stages as a parameter, and a version."""

    version = 1

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner


@pytest.mark.parametrize("inner", [lambda stage: stage, lambda stage: [stage], lambda stage: chain(stage)])
def test_a_stage_among_the_parameters_counts_by_its_own_version(inner: Any) -> None:
    """Its parameters alone did: raising its version ran nothing again."""
    one, two, none = (stage_identity(Wraps(inner(stage))) for stage in (Tuned(), TunedV2(), NoVersion()))
    assert one != two
    assert (True, True) == ("'v2'" in str(two), "'syntax:" in str(none))


@pytest.mark.parametrize("value", [lambda: 1, print, object()])
def test_what_is_no_plain_data_is_refused_as_a_parameter(value: Any) -> None:
    """A function has no identity that outlives the process."""
    with pytest.raises(PipelineError, match="a stage parameter must be plain data"):
        stage_identity(Wraps(value))


# -- chains -----------------------------------------------------------------------------------------


def test_a_chains_identity_is_its_members() -> None:
    """In their order."""
    a, b = Tuned(threshold=2.0), TunedV2()
    assert {"chain": [stage_identity(a), stage_identity(b)]} == stage_identity(chain(a, b))


def test_the_order_of_a_chain_counts() -> None:
    """Cut then filter is not filter then cut."""
    assert print_of(chain(Tuned(), TunedV2())) != print_of(chain(TunedV2(), Tuned()))


def test_a_digest_does_not_depend_on_key_order() -> None:
    """Canonical JSON, also with text that is no UTF-8."""
    assert digest({"a": 1, "b": "\udcff"}) == digest({"b": "\udcff", "a": 1})
