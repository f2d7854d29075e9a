"""Pipelines: what does not fit is refused by name; what fits survives as plain values."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from unit_stages import Fated, FromOther, Gathers, HoldsArray, Number, ToOther, Tuned, TunedV2, chain, numbers

from hpcurate import Resources, Stage
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Pipeline, Timing
from hpcurate.source import Items
from hpcurate.spec import from_spec


class MakesArrays(Stage[Number, HoldsArray]):
    """Its output fits into no row."""


def pipeline(**nodes: Step | Stage[Any, Any]) -> Pipeline:
    """A pipeline of these stages over two numbers."""
    made = {name: node if isinstance(node, Step) else Step(node) for name, node in nodes.items()}
    return build("test", Items(numbers(1, 2)), made)


def with_options(**options: Any) -> Step:
    """A stage with options."""
    return Step(Tuned(), StageOptions(**options))


def refusal(**nodes: Step | Stage[Any, Any]) -> str:
    """The message with which the pipeline is refused."""
    with pytest.raises((ConfigError, PipelineError)) as caught:
        pipeline(**nodes)
    return str(caught.value)


def test_a_source_without_a_type_of_task_is_refused() -> None:
    """By the name of its class; it ended with a traceback."""

    class Untyped:
        task_type = None

    with pytest.raises(PipelineError, match=r"source: task_type of .*Untyped is None; expected the class of its tasks"):
        build("test", Untyped(), {"a": Step(Tuned())})  # type: ignore[arg-type]


# -- order ------------------------------------------------------------------------------------------


def test_a_stage_follows_the_one_before_it() -> None:
    """Unless it says otherwise."""
    assert [(), ("a",), ("b",)] == [s.after for s in pipeline(a=Tuned(), b=Tuned(), c=Tuned()).stages]


def test_stages_are_sorted_so_that_upstream_comes_first() -> None:
    """However the config lists them."""
    made = pipeline(last=with_options(after=["first"]), first=with_options(after=[]))
    assert ["first", "last"] == [s.name for s in made.stages]


def test_an_empty_after_reads_the_source() -> None:
    """Two branches from the start."""
    assert () == pipeline(a=Tuned(), b=with_options(after=[])).stage("b").after


def test_what_a_stage_needs_comes_before_it_and_is_no_part_of_it() -> None:
    """It passes no tasks, so the fingerprint and the folder are the same."""
    without = pipeline(a=Tuned(), b=with_options(after=[]), c=with_options(after=["a"]))
    made = pipeline(c=with_options(after=["a"], needs=["b"]), a=with_options(after=[]), b=with_options(after=[]))
    assert (("a",), ("b",), ("a", "b")) == ((stage := made.stage("c")).after, stage.needs, stage.behind)
    assert "c" == made.stages[-1].name
    assert without.stage("c").folder == stage.folder


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({}, "stages: a pipeline needs at least one stage"),
        ({"a": with_options(after=["bb"]), "b": Tuned()}, "stages.a.after: there is no stage 'bb'; did you mean 'b'?"),
        (
            {"a": with_options(after=["b"]), "b": with_options(after=["a"])},
            "stages.a.after: the stages a, b wait for each other",
        ),
        (
            {"a": with_options(after=["c"]), "b": Tuned(), "c": with_options(needs=["b"])},
            "stages.a.after: the stages a, b, c wait for each other",
        ),
        (
            {"a": Tuned(), "b": with_options(needs=["d"]), "c": Tuned(), "d": with_options(after=["b"])},
            "stages.b.needs: the stages b, d wait for each other",
        ),
        ({"a": with_options(after=["a"])}, "stages.a.after: a stage cannot wait for itself"),
        ({"a": with_options(needs=["a"])}, "stages.a.needs: a stage cannot wait for itself"),
        ({"a": with_options(needs=["bb"]), "b": Tuned()}, "stages.a.needs: there is no stage 'bb'; did you mean 'b'?"),
        ({"Cut": Tuned()}, "stages.Cut: a stage name is lower case letters, digits and _, e.g. split_2"),
        ({"a/b": Tuned()}, "stages.a/b: a stage name is lower case letters, digits and _, e.g. split_2"),
    ],
)
def test_what_makes_no_graph_is_refused(nodes: dict[str, Any], said: str) -> None:
    """Key, reason, and what to do."""
    assert said == refusal(**nodes)


# -- types ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"a": FromOther()}, "stages.a takes Other, but the source gives Number"),
        ({"a": ToOther(), "b": Tuned()}, "stages.b takes Number, but a gives Other"),
        ({"a": chain(ToOther(), Tuned())}, "stages.a (Tuned) takes Number, but ToOther gives Other"),
        ({"a": MakesArrays()}, "HoldsArray.pixels: a ndarray cannot stand in a row"),
    ],
)
def test_stages_that_do_not_fit_are_refused(nodes: dict[str, Any], said: str) -> None:
    """Both neighbours are named."""
    assert refusal(**nodes).startswith(said)


def test_a_chain_takes_and_gives_what_its_ends_do() -> None:
    """Inside it may change the type."""
    assert ["a", "b"] == [s.name for s in pipeline(a=chain(Tuned(), ToOther()), b=FromOther()).stages]


# -- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resources": {"gpu": 1}}, "stages.a.resources.gpu: there is no such key; did you mean 'gpus'?"),
        ({"resources": {"memory": "lots"}}, "stages.a.resources.memory=lots: 'lots' is not a size; write for example"),
        ({"resources": {"time": "soon"}}, "stages.a.resources.time=soon: 'soon' is not a time; write for example"),
        ({"resources": {"disk": "big"}}, "stages.a.resources.disk=big: 'big' is not a size"),
        ({"resources": {"cpus": 0}}, "stages.a.resources.cpus=0: must be above 0"),
        ({"resources": {"gpus": -1}}, "stages.a.resources.gpus=-1: must be at least 0"),
        ({"resources": {"cpus": "many"}}, "stages.a.resources.cpus='many': Expected `float`"),
        ({"resources": {"gpus": 1.5}}, "stages.a.resources.gpus=1.5: above 1 only whole GPUs"),
        ({"device": "metal"}, "stages.a.device=metal: there is no such choice; there are: auto, cuda, cpu"),
        ({"device": "cuda"}, "stages.a: device=cuda: no GPU is asked for; type resources.gpus=1 too, or device=cpu"),
        ({"attempts": 0}, "stages.a.attempts=0: must be at least 1"),
        ({"batch_size": -1}, "stages.a.batch_size=-1: must be at least 0"),
        ({"workers": 0}, "stages.a.workers=0: must be at least 1"),
        ({"shard_tasks": -1}, "stages.a.shard_tasks=-1: must be at least 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    """Key and fix."""
    assert refusal(a=with_options(**options)).startswith(said)


def test_options_win_over_the_class() -> None:
    """Resource by resource."""
    stage = pipeline(a=with_options(resources={"memory": "4GB", "cpus": "2", "gpus": 1}, batch_size=7)).stage("a")
    assert (Resources(memory="4GB", cpus=2.0, gpus=1.0), 7) == (stage.resources, stage.batch_size)


@pytest.mark.parametrize(
    ("wanted", "gpus", "device"),
    [
        ("auto", 0, "cpu"), ("auto", 0.25, "cuda"), ("auto", 2, "cuda"),
        ("cpu", 0, "cpu"), ("cpu", 1, "cpu"), ("cuda", 0.5, "cuda"), ("cuda", 1, "cuda"),
    ],
)  # fmt: skip
def test_a_stage_computes_where_its_options_say(wanted: str, gpus: float, device: str) -> None:
    """Before, each stage took what its node happened to have."""
    made = pipeline(a=with_options(device=wanted, resources={"gpus": gpus}))
    assert device == made.stage("a").device


def test_a_stage_on_the_cpu_asks_for_no_gpu() -> None:
    """Else `device=cpu` would still wait for one, and four processes would share it."""
    stage = pipeline(a=with_options(device="cpu", resources={"gpus": 0.25})).stage("a")
    assert (0, 1) == (stage.resources.gpus, stage.processes)


def test_a_gather_takes_its_whole_input_at_once() -> None:
    """Whatever batch size was asked for."""
    stage = pipeline(a=Step(Gathers(), StageOptions(batch_size=3))).stage("a")
    assert (True, 0) == (stage.relation.whole, stage.batch_size)


def test_a_quarter_of_a_gpu_makes_four_processes() -> None:
    """As many as fill it, unless told otherwise."""
    quarter = {"gpus": 0.25}
    made = pipeline(a=with_options(resources=quarter), b=with_options(resources=quarter, processes=2))
    assert [4, 2] == [s.processes for s in made.stages]


@pytest.mark.parametrize(
    ("also", "said"),
    [
        ({"processes": 3}, "stages.a.workers_per_node=2: stages.a.processes=3 says otherwise"),
        ({"resources": {"nodes": 2}}, r"stages.a.workers_per_node=2: a worker has 2 nodes \(stages.a.resources.nodes"),
    ],
)
def test_what_contradicts_workers_of_a_node_is_refused(also: dict[str, Any], said: str) -> None:
    """Rather than one of the two being ignored."""
    with pytest.raises(ConfigError, match=said):
        pipeline(a=with_options(workers_per_node=2, **also))


def test_an_unknown_stage_is_answered_with_the_nearest() -> None:
    """For the command line's sake."""
    with pytest.raises(ConfigError, match="there is no stage 'spilt'; did you mean 'split'"):
        pipeline(split=Tuned()).stage("spilt")


# -- identity ---------------------------------------------------------------------------------------


def prints(made: Pipeline) -> dict[str, str]:
    """Folder of each stage."""
    return {stage.name: stage.folder for stage in made.stages}


def test_a_changed_parameter_moves_what_depends_on_it_and_nothing_else() -> None:
    """The branch beside it stays."""
    before = prints(pipeline(a=Tuned(), b=Tuned(), c=with_options(after=["a"])))
    after = prints(pipeline(a=Tuned(), b=Tuned(threshold=2.0), c=with_options(after=["a"])))
    assert {"b"} == {name for name in before if before[name] != after[name]}


def test_a_changed_source_moves_everything() -> None:
    """All of it derives from there."""
    other = build("test", Items(numbers(1, 2, 3)), {"a": Step(Tuned())})
    assert prints(pipeline(a=Tuned())) != prints(other)


@pytest.mark.parametrize(
    "options",
    [
        {"resources": {"memory": "64GB", "gpus": 2}}, {"workers": 3}, {"shard_tasks": 1}, {"shard_weight": 5.0},
        {"batch_size": 9}, {"attempts": 1}, {"task_timeout": 1.0}, {"processes": 3}, {"workers_per_node": 2}, {"sbatch": {"partition": "gpu"}},
        {"device": "cuda", "resources": {"gpus": 1}},
    ],
)  # fmt: skip
def test_options_move_nothing(options: dict[str, Any]) -> None:
    """Where, how fast and in which pieces does not change the result."""
    assert prints(pipeline(a=Tuned())) == prints(pipeline(a=with_options(**options)))


def test_the_name_is_part_of_the_folder_alone() -> None:
    """A renamed stage has its own folder; what follows does not care."""
    one, two = pipeline(a=Tuned(), b=TunedV2()), pipeline(renamed=Tuned(), b=TunedV2())
    assert (one.stages[0].fingerprint, prints(one)["b"]) == (two.stages[0].fingerprint, prints(two)["b"])


# -- plain values -----------------------------------------------------------------------------------


@pytest.fixture
def full() -> Pipeline:
    """A pipeline with something in every field."""
    options = StageOptions(
        resources={"gpus": 0.5, "disk": "1GB"}, workers=2, task_timeout=9.0, sbatch={"qos": "high", "n": 1}
    )
    nodes = {
        "a": Step(chain(Tuned(threshold=2.0, sizes=[1.0]), Fated(["keep", "drop"])), options),
        "b": Step(Gathers()),
        "c": Step(Tuned(), StageOptions(after=["a"])),
    }
    return build("full", Items(numbers(1)), nodes, budget=Budget(failed=1), timing=Timing(lease_s=9.0))


def test_a_pipeline_survives_json(full: Pipeline) -> None:
    """Gates read it so."""
    assert full == msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(full))), Pipeline)


def test_a_planned_stage_can_be_constructed_again(full: Pipeline) -> None:
    """From class and parameters, chains included."""
    again = from_spec(msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(full))), Pipeline).stage("a").spec)
    first, second = again.stages  # type: ignore[attr-defined]
    assert (2.0, [1.0], ["keep", "drop"]) == (first.threshold, first.sizes, second.fates)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tuned(treshold=1), "Tuned: got an unexpected keyword argument 'treshold'"),
        (lambda: Gathers(1), "Gathers takes no parameters"),
        (lambda: chain(), "Chain needs at least one stage"),
    ],
)
def test_a_wrong_constructor_call_is_a_users_mistake(make: Any, said: str) -> None:
    """No traceback, but the class and the argument."""
    with pytest.raises(PipelineError, match=said):
        make()


def test_a_models_environment_serves_where_the_stage_names_none() -> None:
    """The place of use comes first, then the stage, then its model."""
    from hpcurate.model import ModelRef
    from hpcurate.planning.pipeline import Environment, WeightsRef
    from stages.hello import LowerCase, Prompts

    class Reader(LowerCase):
        model = ModelRef("m")

    class Own(Reader):
        env = "own"

    def asked(stage: type[LowerCase], **options: Any) -> Any:
        seen = []

        def environment(env: Any, to_node: bool) -> Environment:
            seen.append(env)
            return Environment()

        weights = WeightsRef(("m",), "m@1", "m@1", "of-model")
        nodes = {"one": Step(stage(), StageOptions(**options))}
        build("p", Prompts(("a",)), nodes, weights=lambda name: weights, environment=environment)
        return seen[0]

    assert ["of-model", "own", "here"] == [asked(Reader), asked(Own), asked(Own, env="here")]


def test_what_python_code_asks_for_is_checked_like_a_configuration() -> None:
    """Before anything is written: a run that its own driver could not read would be made else."""
    with pytest.raises(ConfigError, match=r"stages\.a\.workers"):
        pipeline(a=Step(Tuned(), StageOptions(workers="many")))  # type: ignore[arg-type]
    steps = {"a": Step(Tuned())}
    endless = build("p", Items(numbers(1)), steps, budget=Budget(failed=math.inf)).budget
    assert not endless.exceeded(10**9, 10**9)
    with pytest.raises(ConfigError, match=r"budget\.failed"):
        build("p", Items(numbers(1)), steps, budget=Budget(failed=-1))


def test_a_stage_named_twice_is_followed_once() -> None:
    """Its rows are not read twice."""
    twice = pipeline(a=Step(Tuned()), b=Step(Gathers(), StageOptions(after=["a", "a"])))
    assert ("a",) == twice.stage("b").after


def test_other_weights_are_another_thing_on_a_node() -> None:
    """Before, what `setup_on_node` had made of a model's earlier weights stayed, and was read, until the node booted."""
    from hpcurate.model import ModelRef
    from hpcurate.planning.pipeline import WeightsRef
    from stages.hello import LowerCase, Prompts

    class Reader(LowerCase):
        model = ModelRef("m")

    def made_on_node(version: str) -> str:
        weights = WeightsRef(("m",), f"m@{version}", "m")
        return build("p", Prompts(("a",)), {"a": Step(Reader())}, weights=lambda name: weights).stage("a").node_setup

    assert made_on_node("1") == made_on_node("1") != made_on_node("2")
