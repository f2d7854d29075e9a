"""Parameters of a pipeline: how they are declared and given, and every way in which that can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from hpcurate.cli.start.compose import Composed, compose, dump, frozen_config
from hpcurate.cli.start.launch import launch
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.cli.start.parameters import Parameter, checked, declared, given, refuse_taken, unused
from hpcurate.config_files import read_yaml
from hpcurate.errors import ConfigError
from hpcurate.runs.explanation import part_differences

ALL = {
    "least": {"default": 2.0, "help": "bytes at least"},
    "size": {"default": "small", "choices": ["small", "large"]},
    "data": {"help": "folder of images", "type": "path"},
    "often": 3,
    "deep": False,
    "names": ["a"],
    "sizes": {"default": {"a": 1}, "type": "dict"},
    "maybe": {"default": None, "type": "int"},
    "anything": "???",
}
"""One of each type."""


def had(*words: str, data: str = "/d", anything: Any = 1) -> dict[str, Any]:
    """The values that parameters have after these words."""
    parameters = declared([("x.yaml", ALL)])
    values = {name: one.default for name, one in parameters.items()} | {"data": data, "anything": anything}
    return checked(parameters, values | given(parameters, sort_arguments(words).overrides))


# -- pure --------------------------------------------------------------------------------------------


def test_a_type_is_that_of_the_default_or_named() -> None:
    """A form, and `--help`, are made of these values."""
    made = declared([("x.yaml", ALL)])
    types = ["float", "str", "path", "int", "bool", "list", "dict", "int", None]
    assert types == [one.type for one in made.values()]
    assert ["data", "anything"] == [one.name for one in made.values() if one.required]
    assert "x.yaml" == attrs.asdict(made["size"])["file"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("params.least=3", 3.0),
        ("params.least=1e-4", 1e-4),
        ("params.size=large", "large"),
        ("params.data=~/x", str(Path("~/x").expanduser())),
        ("params.data=1.10", "1.10"),
        ("params.deep=true", True),
        ("params.names=[b,1]", ["b", 1]),
        ("params.sizes={b: 2}", {"b": 2}),
        ("params.maybe=4", 4),
        ("params.maybe=null", None),
        ("params.anything=[1]", [1]),
        ("++params.often=4", 4),
        ('params.often="4"', 4),
        ("params.often=${oc.env:N}", "${oc.env:N}"),
    ],
)
def test_a_value_is_of_the_parameters_type(word: str, value: object) -> None:
    """Other spellings are understood; a list, a mapping and a text are taken as a whole."""
    found = had(word)[word.partition("=")[0].rpartition(".")[2]]
    assert (type(value), value) == (type(found), found)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("params.leats=1", "params.leats: this pipeline has no such parameter; did you mean 'least'?"),
        ("params.least=high", "params.least: expected float, as x.yaml declares, but 'high' is of type str"),
        ("params.least=true", "params.least: expected float, as x.yaml declares, but True is of type bool"),
        ("params.least=null", "params.least: expected float, as x.yaml declares, but null is none"),
        ("params.often=1.5", "params.often: expected int, as x.yaml declares, but 1.5 is of type float"),
        (
            "params.names=b",
            "params.names: expected list, as x.yaml declares, but 'b' is of type str; type 'params.names=[a,b]'",
        ),
        ("params.size=huge", "params.size=huge: there is no such choice; there are: small, large"),
        ("params.least=1,2", "params.least=1,2: expected one value; a sweep makes runs of its own, hpcurate -m"),
        ("params.least.default=3", "params.least.default: a parameter is set as a whole; type params.least=VALUE"),
        ("+params.least=3", "+params.least: this pipeline has it, so there is nothing to add; type params.least="),
        ("~params.least", "~params.least: a parameter cannot be left out; type params.least=VALUE"),
        ("params={least: 3}", "params: type params.NAME=VALUE, once for each parameter"),
        ("params.data=???", "params.data (folder of images): ??? is no value, give one: params.data=PATH"),
    ],
)
def test_a_wrong_value_is_refused_with_what_to_type(word: str, says: str) -> None:
    """Hydra would put each of them in the place of the whole declaration."""
    with pytest.raises(ConfigError) as refused:
        had(word)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"x": {"defualt": 1}}, "x.yaml: params.x.defualt: there is no such key; did you mean 'default'?; a default that"),
        ({"x": {"default": "a", "type": "int"}}, "x.yaml: params.x.default: expected int, as x.yaml declares, but 'a' is"),
        ({"x": {"type": "integer"}}, "x.yaml: params.x.type=integer: there is no such choice; there are: int, float"),
        ({"x": {"default": 3, "choices": [1, 2]}}, "x.yaml: params.x.default=3: there is no such choice; there are: 1, 2"),
        ({"x": {"default": 1, "choices": [1, "a"]}}, "x.yaml: params.x.choices: expected int, as x.yaml declares, but 'a'"),
        ({"x": {"default": [1], "choices": [1]}}, "x.yaml: params.x.choices: expected with a type of int, float"),
        ({"x-y": 1}, "x.yaml: params.x-y: expected a name of letters, digits and _"),
        ([1], "x.yaml: params: expected names with their defaults, got [1]"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_with_its_file(entry: Any, says: str) -> None:
    """Whoever runs the pipeline may not have written it."""
    with pytest.raises(ConfigError) as refused:
        declared([("x.yaml", entry)])
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize("bare", ["???", "${…}"])
def test_what_needs_quotes_within_braces_is_named(tmp_path: Path, bare: str) -> None:
    """The parser's own words do not say so."""
    (tmp_path / "x.yaml").write_text(f"params:\n  x: {{default: {bare}}}\n")
    with pytest.raises(ConfigError) as refused:
        read_yaml(tmp_path / "x.yaml")
    assert str(refused.value).endswith(f"; within braces and brackets, {bare} has quotes: '{bare}'")


def test_a_later_file_changes_a_default_and_keeps_the_rest() -> None:
    """Merged by Hydra, a number took the place of type, help and choices."""
    made = declared([("x.yaml", ALL), ("own.yaml", {"least": 7, "size": {"help": "of the model"}, "more": 1})])
    kept = Parameter(name="least", file="x.yaml", default=7, help="bytes at least", type="float")
    assert kept == made["least"]
    assert ("small", "of the model", ("small", "large")) == (
        made["size"].default,
        made["size"].help,
        made["size"].choices,
    )
    assert "own.yaml" == made["more"].file
    with pytest.raises(ConfigError, match=r"own.yaml: params.least: expected float, as x.yaml declares, but 'a'"):
        declared([("x.yaml", ALL), ("own.yaml", {"least": "a"})])


def test_what_refers_to_a_parameter_uses_it() -> None:
    """However the reference is written; one to no parameter is refused by its key."""
    made = declared([("x.yaml", ALL)])
    texts = ["${params.least}/${params.size}", "${params[data]}", "${oc.select:params.often,1}", "params.deep"]
    assert ["deep", "names", "sizes", "maybe", "anything"] == [one.name for one in unused(made, {"stages": texts})]
    assert [] == unused(made, {"all": "${params}"})
    with pytest.raises(
        ConfigError, match=r"stages\.a\.x: \$\{params\.leats\}: the pipeline declares no such parameter"
    ):
        unused(made, {"stages": {"a": {"x": "${params.leats}"}}})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("low", "params.low: 'low' is a stage of this pipeline"),
        ("limit", "params.limit: 'limit' is an option of a run"),
    ],
)
def test_a_name_that_means_something_else_is_refused(name: str, says: str) -> None:
    """What is typed for the one is easily meant for the other."""
    taken = {"an option of a run": ["limit"], "a stage of this pipeline": ["low"], "a group": ["embed"]}
    with pytest.raises(ConfigError) as refused:
        refuse_taken(declared([("x.yaml", {"free": 1, name: 1})]), taken)
    assert str(refused.value).startswith(says)


def test_a_pipeline_without_any_is_answered_with_its_help() -> None:
    """Nothing could be suggested."""
    with pytest.raises(
        ConfigError, match=r"^params\.x: this pipeline has no parameters; type --help after \+pipeline="
    ):
        given({}, ["params.x=2"])


# -- files -------------------------------------------------------------------------------------------

PIPELINE = """# @package _global_
name: base
params:
  least: {default: 1e-4, help: bytes at least}
  spare: {default: 1, choices: [1, 2]}
  data: {type: path, default: "${input}/x"}
source: {_target_: stages.hello.Prompts, prompts: [a]}
stages:
  low: {_target_: stages.hello.LowerCase, x: "${params.least}", y: "${params.data}/${params.least}"}
  more: {chain: {inner: {_target_: stages.hello.Print, x: "${params.least}"}}}
"""


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`+pipeline=base`, `+pipeline=own` that has it, one with a name that is taken, and a group of values."""
    folder = tmp_path_factory.mktemp("conf")
    for name, text in (
        ("pipeline/base.yaml", PIPELINE),
        ("pipeline/own.yaml", "# @package _global_\ndefaults: [base]\nname: own\nparams: {least: 7}\n"),
        ("pipeline/taken.yaml", PIPELINE.replace("spare:", "inner:")),
        ("pipeline/gap.yaml", PIPELINE.replace("default: 1e-4, ", "")),
        ("much/big.yaml", "# @package params\nleast: 9\n"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def composed(conf: Path, *words: str) -> Composed:
    """The configuration that the words mean."""
    typed = sort_arguments(words)
    return compose(typed.overrides, {"input": "/i"}, [str(conf)])


@pytest.fixture(scope="module")
def base(conf: Path) -> Composed:
    """What `+pipeline=base` means."""
    return composed(conf, "+pipeline=base")


def test_each_place_of_a_value_beats_the_one_before(conf: Path, base: Composed) -> None:
    """The pipeline, one that has it in its defaults, a group, the command line; help and type stay."""
    words = ["+pipeline=own", "+much=big", "params.least=3"]
    made = [base, *(composed(conf, *words[:n]) for n in (1, 3))]
    assert [1e-4, 7.0, 3.0] == [one.draft()["params"]["least"] for one in made]
    assert {("float", "bytes at least")} == {(p.type, p.help) for p in (one.parameters["least"] for one in made)}
    stages = made[2].draft()["stages"]
    assert (3.0, "/i/x/3.0", 3.0) == (stages["low"]["x"], stages["low"]["y"], stages["more"]["chain"]["inner"]["x"])


def test_a_run_keeps_plain_values(base: Composed) -> None:
    """What `resume`, `show` and `compare` read needs no declaration."""
    one = base.draft()
    assert {"least": 1e-4, "spare": 1, "data": "/i/x"} == one["params"]
    assert one == frozen_config(dump(one), {}).draft()
    assert ["params.least: 0.0001 → 3.0"] == part_differences(one, {**one, "params": {**one["params"], "least": 3.0}})


def test_what_nothing_uses_is_named_and_given_it_is_refused(conf: Path, base: Composed) -> None:
    """A stage that used it may be left out on purpose; a value that has no effect is none."""
    assert ["spare"] == [one.name for one in base.unused]
    with pytest.raises(ConfigError, match=r"params\.spare: no stage uses it, so a value has no effect"):
        composed(conf, "+pipeline=base", "params.spare=2")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["+pipeline=taken"], "params.inner: 'inner' is a stage of this pipeline"),
        (["+pipeline=base", "least=2"], "least: there is no such key; it is a parameter of this pipeline: type params.least=2"),
    ],
)  # fmt: skip
def test_other_names_are_refused(conf: Path, words: list[str], says: str) -> None:
    """A member of a chain, a parameter without `params.`."""
    with pytest.raises(ConfigError) as refused:
        composed(conf, *words)
    assert str(refused.value).startswith(says)


def test_parameters_are_the_first_that_help_lists(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With type, default or REQUIRED, help and choices; one that is not given is refused before all else."""
    words = ["+pipeline=gap", "--config-dir", str(conf)]
    launch([*words, "--help"])
    assert [
        "parameters, params.NAME=VALUE:",
        "    params.least (any) REQUIRED",
        "        bytes at least",
        "    params.spare (int) = 1, one of 1, 2",
        "    params.data (path) = ${input}/x",
    ] == capsys.readouterr().out.splitlines()[2:7]
    with pytest.raises(
        ConfigError, match=r"^params.least \(bytes at least\): \?\?\? is no value, give one: params.least=V"
    ):
        launch(words)
