"""Parameters that are results of gather stages: what cannot be is refused by name when a pipeline is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec
import pytest
from result_stages import Below, Measure, NoDefault
from unit_stages import Number, Tuned, chain, numbers

from hpcurate import Command, File, Stage, Task
from hpcurate.cli.start.steps import read_steps
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.planning.build import Step, build
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.relations import Gather, Slices, Upstream, content_name
from hpcurate.planning.results import PlannedResult, digest_of, known, value_of
from hpcurate.planning.retries import failed_rows, retry_lines
from hpcurate.results import Result, result_of, shown
from hpcurate.runs.results_seen import Unusable, value_in, with_results
from hpcurate.source import Items
from hpcurate.spec import StageSpec, from_spec
from hpcurate.store.layout import is_content_named
from hpcurate.store.stats import Committed

MOST = "${result:measure.most}"


class Typed(Stage[Number, Number]):
    """Parameters of every kind."""

    version = 1

    def __init__(
        self,
        count: int = 0,
        word: str = "",
        mode: Literal["even", "odd"] = "even",
        maybe: float | None = None,
        levels: list[float] | None = None,
        words: list[str] | None = None,
        table: dict[str, Any] | None = None,
        anything: Any = None,
        weights: Path | None = None,
        several: list[Path] | None = None,
    ) -> None:
        self.given = dict(
            count=count, word=word, mode=mode, maybe=maybe, levels=levels, words=words, table=table, anything=anything
        ) | dict(weights=weights, several=several)


@attrs.define(kw_only=True)
class Made(Task):
    """With a file."""

    weights: File | None = None
    name: str = ""


class Train(Stage[Number, Made]):
    """Gathers, and gives a file."""

    version = 1
    gather = True


def pipeline(**stages: dict[str, Any] | Stage[Any, Any] | Step) -> Pipeline:
    """As a configuration has them: mappings without a `_target_` are those of `Below`; all read the source."""
    steps: dict[str, Step] = {}
    for name, one in stages.items():
        if isinstance(one, dict):
            target = f"{Below.__module__}.{Below.__qualname__}"
            steps |= read_steps({name: {"after": [], "_target_": target, **one}})
        else:
            steps[name] = one if isinstance(one, Step) else read_steps_of(one)
    return build("test", Items(numbers(1, 2)), steps)


def read_steps_of(stage: Stage[Any, Any]) -> Step:
    """A stage that reads the source."""
    from hpcurate.planning.options import StageOptions

    return Step(stage, StageOptions(after=[]))


def refusal(**stages: Any) -> str:
    """The message with which they are refused."""
    with pytest.raises((ConfigError, PipelineError)) as caught:
        pipeline(**stages)
    return str(caught.value)


def typed(**parameters: Any) -> dict[str, Any]:
    """An entry of a configuration."""
    return {"_target_": f"{__name__}.Typed", **parameters}


COUNTS = {"_target_": "hpcurate.Command", "argv": ["count", "{values}"], "values": {"map": "float"}, "gather": True}


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"a": {"threshold": "${result:mesure.most}"}}, "stages.a.threshold: ${result:mesure.most}: there is no stage 'mesure'; did you mean 'measure'?"),
        ({"a": {"threshold": "${result:measure.mst}"}}, "stages.a.threshold: ${result:measure.mst}: measure returns a Summary, which has no field 'mst'; did you mean 'most'?"),
        ({"a": {"threshold": "${result:measure}"}}, "stages.a.threshold: '${result:measure}': expected ${result:stage.field} and nothing else"),
        ({"a": {"threshold": f"at {MOST}"}}, "stages.a.threshold: 'at ${result:measure.most}': expected ${result:stage.field} and nothing else"),
        ({"b": Tuned(), "a": {"threshold": "${result:b.value}"}}, "stages.a.threshold: ${result:b.value}: b returns many tasks, and a result is a field of the one task that a gather stage returns"),
        ({"a": {"threshold": "${result:measure.word}"}}, "stages.a.threshold: ${result:measure.word} is a str, and the parameter a float"),
        ({"a": {"threshold": "${result:measure.names}"}}, "stages.a.threshold: ${result:measure.names} is a list[str], and the parameter a float"),
        ({"a": typed(count=MOST)}, "stages.a.count: ${result:measure.most} is a float, and the parameter a int"),
        ({"a": {"threshold": "${result:a.most}"}}, "stages.a.threshold: a stage cannot wait for itself"),
        ({"b": {"threshold": "${result:c.most}"}, "c": Step(Measure())}, "stages.b.threshold: the stages b, c wait for each other"),
        ({"a": {"_target_": f"{NoDefault.__module__}.NoDefault", "threshold": MOST}}, "stages.a.threshold: ${result:measure.most} is known only when measure is done, and NoDefault is constructed before: the parameter needs a default"),
        ({"t": Train(), "a": typed(anything="${result:t.weights}")}, "stages.a.anything: ${result:t.weights}: a File is no plain value; read the tasks of t instead (after: [t]), or type the parameter pathlib.Path"),
        ({"t": Train(), "a": typed(word="${result:t.weights}")}, "stages.a.word: ${result:t.weights}: a File is no plain value; read the tasks of t instead (after: [t]), or type the parameter pathlib.Path"),
        ({"count": COUNTS, "a": {"threshold": "${result:count.mop}"}}, "stages.a.threshold: ${result:count.mop}: the command count declares no value 'mop'; did you mean 'map'?"),
        ({"a": {"threshold": 0.5, "needs": ["a"]}}, "stages.a.needs: a stage cannot wait for itself"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_result_is_refused(stages: dict[str, Any], said: str) -> None:
    """Key, reason, and what to do; before anything is written."""
    assert refusal(**{"measure": Measure(), **stages}).startswith(said)


def test_a_parameter_that_python_code_does_not_have_is_refused() -> None:
    """Where it is typed."""
    with pytest.raises(PipelineError, match="Below has no parameter 'treshold'"):
        Below().with_results(treshold="measure.most")


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        ({"maybe": MOST}, ("float",)),
        ({"maybe": "${result:measure.count}"}, ("int",)),
        ({"word": MOST}, ("float",)),
        ({"mode": "${result:measure.word}"}, ("str",)),
        ({"levels": [0.1, MOST]}, ("float",)),
        ({"words": ["a", MOST]}, ("float",)),
        ({"table": {"low": {"at": [MOST]}}}, ("float",)),
        ({"anything": "${result:measure.names}"}, ("list",)),
    ],
)
def test_a_result_may_stand_at_any_depth(parameters: dict[str, Any], kinds: tuple[str, ...]) -> None:
    """The stage needs the other one, and is constructed without it."""
    made = pipeline(measure=Measure(), a=typed(**parameters)).stage("a")
    assert (("measure",), kinds) == (made.needs, made.results[0].kinds)
    again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(made))), PlannedStage)
    assert again == made
    with pytest.raises(PipelineError, match=r"\$\{result:measure.* is not known, and the stage is to run with it"):
        from_spec(made.spec, secrets=True)


def test_the_value_stands_where_the_result_stood() -> None:
    """As text where text is expected; a whole number where any number is."""
    spec = pipeline(
        measure=Measure(), a=typed(maybe="${result:measure.count}", words=["at", MOST], table={"low": [MOST]})
    ).stage("a")
    values = {Result("measure", "most"): 0.31, Result("measure", "count"): 7}
    stage = from_spec(with_results(spec, values, "").spec, secrets=True)
    assert isinstance(stage, Typed)
    assert (7.0, ["at", "0.31"], {"low": [0.31]}) == tuple(stage.given[name] for name in ("maybe", "words", "table"))


def test_members_of_a_chain_have_results() -> None:
    """Named by the class of the member."""
    stage = pipeline(measure=Measure(), a=chain(Below(), Below().with_results(threshold="measure.most"))).stage("a")
    assert ["stages.a.Below.threshold"] == [one.key for one in stage.results]
    filled = from_spec(with_results(stage, {Result("measure", "most"): 3.0}, "").spec, secrets=True)
    assert [0.5, 3.0] == [member.threshold for member in filled.stages]  # type: ignore[attr-defined]


def test_an_argument_of_a_program_is_what_the_result_is() -> None:
    """Nothing in it stands for something else, and neither does the result before it is known."""
    argv = ["say", "--at", MOST, "${result:measure.word}", "{value}"]
    stage = pipeline(measure=Measure(), a={"_target_": "hpcurate.Command", "argv": argv}).stage("a")
    assert ["stages.a.argv[2]", "stages.a.argv[3]"] == [one.key for one in stage.results]
    values = {Result("measure", "most"): 1e-05, Result("measure", "word"): "{x} ${result:a.b}"}
    command = from_spec(with_results(stage, values, "").spec, secrets=True)
    assert isinstance(command, Command)
    assert ["say", "--at", "1e-05", "{x} ${result:a.b}", "{value}"] == command.declared.argv


def test_a_file_is_a_path_where_the_stage_runs() -> None:
    """In its plan with the store's folder in front, in what names its lists and what it makes on a node without."""
    made = pipeline(t=Train(), a=typed(weights="${result:t.weights}", several=["/x", "${result:t.weights}"])).stage("a")
    assert [True, True] == [one.is_file for one in made.results]
    values = {made.results[0].result: value_in(made.results[0], [{"weights": "t-1/shards/3f/0/files/one/w.bin"}])}
    here, there = (with_results(made, values, stages) for stages in ("/store/stages", "/moved/stages"))
    stage, path = from_spec(here.spec, secrets=True), Path("/store/stages/t-1/shards/3f/0/files/one/w.bin")
    assert isinstance(stage, Typed)
    assert (path, [Path("/x"), path]) == (stage.given["weights"], stage.given["several"])
    assert (here.node_setup, digest_of(values)) == (there.node_setup, digest_of(dict(values)))


def test_a_path_of_the_users_is_a_text() -> None:
    """Only what the engine calls a file lies in the store."""
    made = pipeline(t=Train(), a=typed(weights="${result:t.name}")).stage("a")
    stage = from_spec(with_results(made, {Result("t", "name"): "here/w.bin"}, "/store/stages").spec, secrets=True)
    assert isinstance(stage, Typed)
    assert (False, Path("here/w.bin")) == (made.results[0].is_file, stage.given["weights"])


def test_the_fingerprint_follows_the_stage_and_the_field() -> None:
    """Not the value, which nobody knows yet; what is made on a node has the value in its name."""

    def made(field: str = "most", **measure: Any) -> PlannedStage:
        return pipeline(measure=Measure(**measure), a=typed(anything=f"${{result:measure.{field}}}")).stage("a")

    one, value = made(), {Result("measure", "most"): 1.0}
    prints = [one.fingerprint, made("count").fingerprint, made(most=1.0).fingerprint]
    assert 3 == len(set(prints))
    assert one.fingerprint == made().fingerprint
    assert {"$result": [pipeline(measure=Measure()).stage("measure").fingerprint, "most"]} == (
        one.identity["stage"]["parameters"]["anything"]
    )
    assert (
        one.node_setup
        != with_results(one, value, "").node_setup
        != with_results(one, {Result("measure", "most"): 2.0}, "")
    )


MEASURED = PlannedResult(key="stages.a.x", stage="m", field="p", path=("p",), kinds=("float",))


@pytest.mark.parametrize(
    ("more", "row", "said"),
    [
        ({}, {"p": None}, "m returned one task whose p is null"),
        ({}, {}, "m returned one task whose p is null"),
        ({}, {"p": float("nan")}, "m returned one task whose p is nan, which is no number to decide by"),
        ({}, {"p": "high"}, 'm returned one task whose p is "high", a str, not a float'),
        (
            {"kinds": ("str",)},
            {"p": "é" * 11_000},
            "m returned one task whose p has 66002 bytes, and a result at most 65536; write a file instead",
        ),
        ({"kinds": ("file",)}, {"p": None}, "m returned one task whose p is null"),
        ({"kinds": ("file",)}, {"p": 3}, "m returned one task whose p is 3, a int, not a file"),
        ({}, {"p": True}, "m returned one task whose p is true, a bool, not a float"),
        ({"path": ("values", "p")}, {"values": None}, "m returned one task whose p is null"),
        (
            {"kinds": ("str",), "choices": ("even", "odd")},
            {"p": "none"},
            "m returned one task whose p is \"none\", and the parameter is one of ['even', 'odd']",
        ),
    ],
)
def test_a_value_that_no_stage_can_run_with_is_named(more: dict[str, Any], row: dict[str, Any], said: str) -> None:
    """With what to do."""
    with pytest.raises(Unusable) as caught:
        value_in(msgspec.structs.replace(MEASURED, **more), [row])
    assert str(caught.value) == (
        f"stages.a.x is ${{result:m.p}}: {said}; give the parameter a value, or correct m and type the run's command "
        "with rerun=m"
    )


@pytest.mark.parametrize("count", [0, 2])
def test_a_result_needs_just_one_task(count: int) -> None:
    """Nobody guesses which."""
    with pytest.raises(Unusable, match=f"m returned {count} tasks, and a result is a field of just one"):
        value_in(MEASURED, [{"p": 1.0}] * count)


def test_a_whole_number_is_the_same_number() -> None:
    """1 and 1.0 are one value, so nothing is done again."""
    assert [1.0, 1.0] == [value for value in (value_of(MEASURED, {"p": p}) for p in (1, 1.0)) if type(value) is float]


# -- lists ------------------------------------------------------------------------------------------


def committed(shard: str, tasks: int = 2) -> Committed:
    """A shard."""
    return Committed(shard=shard, nonce=f"of {shard}", tasks_out=tasks, weight_out=float(tasks))


def upstream(results: str, *shards: str) -> Upstream:
    """Of one list."""
    return Upstream("u-1", {"0001": [committed(shard) for shard in shards]}, results=results)


@pytest.mark.parametrize("relation", [Slices(), Gather()])
def test_lists_and_shards_are_named_by_the_values(relation: Slices | Gather) -> None:
    """The same value is the same list; another value has other shards of the same rows."""

    def lists(value: str) -> dict[str, list[str]]:
        parts = relation.lists([upstream(value, "a", "b")])
        lines = {name: relation.lines(name, part, lambda *_: [1.0, 1.0]) for name, part in parts.items()}
        assert {value} == {line.results for found in lines.values() for line in found}
        return {name: [line.id for line in found] for name, found in lines.items()}

    assert lists("x") == lists("x")
    assert all(map(is_content_named, (*lists("x"), *lists("y"))))
    assert set() == set(lists("x")) & set(lists("y"))
    assert set() == {id for ids in lists("x").values() for id in ids} & {
        id for ids in lists("y").values() for id in ids
    }


def test_names_without_results_are_what_they_were() -> None:
    """What is committed stays."""
    assert ["0001"] == list(Slices().lists([upstream("", "a")]))
    assert "all.f1f82f2c365ebdb038ac" == content_name("all", [upstream("", "a")])


def test_growth_leaves_the_lists_of_before() -> None:
    """One list derives from each list above, whatever comes to them later."""
    before = upstream("x", "a", "b")
    grown = msgspec.structs.replace(before, lists={**before.lists, "0002": [committed("c")]})
    assert Slices().lists([before]).items() <= Slices().lists([grown]).items()


def test_a_retry_is_for_the_same_values() -> None:
    """As the shard whose dead letter it tries."""
    ((name, parts),) = Slices().lists([upstream("x", "a")]).items()
    line, *_ = Slices().lines(name, parts, lambda *_: [1.0, 1.0])
    (again,) = retry_lines(Slices(), failed_rows("s-1", line, "n", {0: 1.0}))
    assert "x" == again.results


def test_the_digest_of_values_has_their_names() -> None:
    """Two parameters may change places."""
    one, other = Result("m", "a"), Result("m", "b")
    assert digest_of({one: 1, other: 2}) == digest_of({other: 2, one: 1}) != digest_of({one: 2, other: 1})
    assert "" == digest_of({})


def test_known_results_stand_in_the_plan_with_their_value() -> None:
    """Who reads it sees where it comes from."""
    spec = StageSpec("m:C", {"x": [{"$result": {"stage": "m", "field": "a"}}], "y": {"$file": {"path": "p"}}})
    found = known(spec.parameters, {Result("m", "a"): {"$result": 1}})
    assert {
        "x": [{"$result": {"stage": "m", "field": "a", "value": {"$result": 1}}}],
        "y": {"$file": {"path": "p"}},
    } == found
    assert result_of("${oc.env:HOME}") is None
    assert {"x": [{"$result": 1}], "y": {"$file": {"path": "p"}}} == shown(found)
    assert {"x": ["${result:m.a}"], "y": {"$file": {"path": "p"}}} == shown(spec.parameters)
