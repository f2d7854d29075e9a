"""Advice: what is said of which facts, with which override, and when nothing is said."""

from __future__ import annotations

import json
import re

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import LOCAL, Shell

from hpcurate.cli.terminal import printable
from hpcurate.cli.verbs.advise import advise_lines
from hpcurate.planning.slicing import Slicing
from hpcurate.report.advice import StageFacts, advice_on
from hpcurate.runs.state import StageGpu
from hpcurate.units import megabytes

FITS = StageFacts(
    stage="a", cpus=2, gpus=0, memory_mb=4096, minutes=60, slicing=Slicing(tasks=100), after=(), shards=20, tasks=2000,
    passed=2000, tasks_out=2000, seconds=1200.0, longest_s=80.0, cpu_seconds=2200.0, peak_memory_mb=3000.0,
    longest_job_min=40.0,
)  # fmt: skip
"""A stage that has what it needs."""
GPU = StageGpu(busy=0.9, memory_mb=60_000, waited=0.02)
ON_GPU = attrs.evolve(FITS, gpus=1.0, gpu=GPU, gpu_memory_mb=80_000)


def overrides(**changed: object) -> list[str]:
    """What is advised to a stage that fits but for this."""
    return [word for one in advice_on([attrs.evolve(FITS, **changed)]) for word in one.overrides]  # type: ignore[arg-type]


def on_gpu(**changed: object) -> list[str]:
    """The same of one with a GPU of 80 GB."""
    return [word for one in advice_on([attrs.evolve(ON_GPU, **changed)]) for word in one.overrides]  # type: ignore[arg-type]


def test_nothing_is_advised_where_all_fits() -> None:
    """A stage on CPUs, and one on a GPU."""
    assert [] == advice_on([FITS, attrs.evolve(ON_GPU, stage="b", after=("a",))])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        # memory: three times as much as was used, and 2 GB to save; with half as much again, and room for the worker
        ({"memory_mb": 32768}, ["stages.a.resources.memory=4864MB"]),
        ({"memory_mb": 32768, "peak_memory_mb": 500.0}, ["stages.a.resources.memory=1GB"]),
        ({"memory_mb": 8999}, []),
        ({"memory_mb": 3000, "peak_memory_mb": 100.0}, []),
        ({"memory_mb": 32768, "peak_memory_mb": 0.0}, []),
        ({"memory_mb": 32768, "special": True}, []),
        # time
        ({"minutes": 600}, ["stages.a.resources.time=auto"]),
        ({"minutes": 119}, []),
        ({"minutes": 60, "longest_job_min": 1.0}, []),
        ({"minutes": None}, []),
        ({"minutes": 600, "longest_job_min": None}, []),
        ({"minutes": 600, "special": True}, []),
        # cores
        ({"cpus": 16}, ["stages.a.resources.cpus=3"]),
        ({"cpus": 5}, []),
        ({"cpus": 16, "cpu_seconds": 0.0}, []),
        ({"cpus": 2, "cpu_seconds": 100.0}, ["stages.a.resources.cpus=1"]),
        ({"cpus": 1, "cpu_seconds": 1.0}, []),
        # shards
        ({"shards": 2000, "longest_s": 0.9}, ["stages.a.shard_tasks=100"]),
        ({"shards": 2000, "longest_s": 0.9, "slicing": Slicing(tasks=0, weight=5.0)}, ["stages.a.shard_weight=500"]),
        ({"shards": 2000, "longest_s": 0.9, "slicing": Slicing(tasks=10, weight=5.0)},
         ["stages.a.shard_weight=500", "stages.a.shard_tasks=100"]),
        ({"shards": 2000, "longest_s": 0.9, "slicing": None}, []),
        ({"shards": 49, "seconds": 65.0, "cpu_seconds": 120.0, "longest_s": 2.0}, []),
        ({"longest_s": 7200.0}, ["stages.a.shard_tasks=12"]),
        ({"longest_s": 7200.0, "slicing": Slicing(tasks=0, weight=80.0)}, ["stages.a.shard_weight=10"]),
        ({"longest_s": 7200.0, "tasks": 20}, []),
    ],
)  # fmt: skip
def test_what_is_advised(changed: dict[str, object], expected: list[str]) -> None:
    """Each row: how the stage differs from one that has what it needs."""
    assert expected == overrides(**changed)


@pytest.mark.parametrize(
    ("changed", "share"),
    [
        ({"gpu": StageGpu(busy=0.2, memory_mb=8000)}, "0.25"),
        ({"gpu": StageGpu(busy=0.09, memory_mb=2000)}, "0.125"),
        ({"gpu": StageGpu(busy=0.21, memory_mb=8000)}, "0.5"),
        ({"gpu": StageGpu(busy=0.05, memory_mb=30_000)}, "0.5"),  # its memory does not fit into a quarter
        ({"gpu": StageGpu(busy=0.05, memory_mb=60_000)}, ""),
        ({"gpu": StageGpu(busy=0.41, memory_mb=8000)}, ""),
        ({"gpu": StageGpu(busy=None, memory_mb=8000)}, ""),
        ({"gpu": StageGpu(busy=0.2, memory_mb=8000), "gpu_memory_mb": 0.0}, ""),
        ({"gpu": StageGpu(busy=0.2, memory_mb=8000), "gpus": 2.0}, ""),
        ({"gpu": StageGpu(busy=0.4, memory_mb=8000), "gpus": 0.5}, "0.25"),
        ({"gpu": StageGpu(busy=0.9, memory_mb=8000), "gpus": 0.25}, ""),
        ({"gpu": None}, ""),
    ],
)  # fmt: skip
def test_the_share_of_a_gpu_that_is_advised(changed: dict[str, object], share: str) -> None:
    """At 20 % of a GPU no more than a quarter; never less than its memory, nor where that is not known."""
    processes = {"0.125": 8, "0.25": 4, "0.5": 2}
    expected = [f"stages.a.resources.gpus={share}", f"stages.a.processes={processes[share]}"] if share else []
    assert expected == on_gpu(**changed)


def test_a_gpu_that_waits_for_busy_cores_gets_more_of_them() -> None:
    """It would wait as well with half of the GPU; cores that idle are not the reason that it waits."""
    waits = msgspec.structs.replace(GPU, waited=0.4)
    assert ["stages.a.resources.cpus=4"] == on_gpu(gpu=waits)
    assert [] == on_gpu(gpu=waits, cpu_seconds=1800.0, cpus=2)
    assert [] == on_gpu(gpu=msgspec.structs.replace(GPU, waited=0.29))


CAPTION = attrs.evolve(ON_GPU, stage="caption")
FILTER = attrs.evolve(FITS, stage="filter", after=("caption",), seconds=100.0, cpu_seconds=150.0, passed=800, dropped=1200, tasks_out=800)  # fmt: skip


def test_a_filter_that_drops_most_behind_an_expensive_stage_comes_first() -> None:
    """Where nothing else reads the expensive one, and both keep tasks as they are."""
    (one,) = advice_on([CAPTION, FILTER])
    assert (("stages.filter.before=caption",), "filter") == (one.overrides, one.stage)
    assert "it drops 60% of what caption has worked on before, which costs 108 times as much" in one.why


@pytest.mark.parametrize(
    ("costly", "cheap"),
    [
        ({}, {"dropped": 900, "passed": 1100, "tasks_out": 1100}),  # not most of them
        ({}, {"anchored": True}),  # its configuration says where it stands
        ({}, {"after": ("caption", "other")}),
        ({}, {"after": ()}),
        ({}, {"tasks_out": 900}),  # it makes others of them
        ({}, {"tasks": 19, "dropped": 15}),
        ({"tasks_out": 4000}, {}),  # a split: the filter judges what it makes
        ({"gpus": 0.0, "gpu": None, "seconds": 400.0, "cpu_seconds": 800.0}, {}),  # not expensive
    ],
)
def test_a_filter_stays_where_it_is(costly: dict[str, object], cheap: dict[str, object]) -> None:
    """Each row: why."""
    facts = [attrs.evolve(CAPTION, **costly), attrs.evolve(FILTER, **cheap)]  # type: ignore[arg-type]
    assert [] == [one for one in advice_on(facts) if one.stage == "filter"]
    another = attrs.evolve(FITS, stage="other", after=("caption",))
    assert [] == [one for one in advice_on([CAPTION, FILTER, another]) if one.stage == "filter"]


@pytest.mark.parametrize("little", [{"shards": 4, "tasks": 400}, {"seconds": 59.0, "cpu_seconds": 5.0}])
def test_little_is_no_ground_for_advice(little: dict[str, object]) -> None:
    """A demonstration on a laptop is not nagged."""
    wasteful = {"memory_mb": 10**6, "cpus": 64, "minutes": 10**4, **little}
    assert [] == overrides(**wasteful)
    assert [] == on_gpu(**wasteful, gpu=StageGpu(busy=0.01, memory_mb=10))


FACTS = st.builds(
    StageFacts,
    stage=st.just("a"),
    cpus=st.sampled_from([0.5, 1, 2, 8, 64]),
    gpus=st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0]),
    memory_mb=st.integers(1, 10**6),
    minutes=st.none() | st.integers(1, 10**5),
    slicing=st.none() | st.builds(Slicing, tasks=st.integers(0, 1000), weight=st.floats(0, 1e9)),
    shards=st.integers(0, 10**6),
    tasks=st.integers(0, 10**8),
    seconds=st.floats(0, 1e9),
    longest_s=st.floats(0, 1e6),
    cpu_seconds=st.floats(0, 1e10),
    peak_memory_mb=st.floats(0, 1e6),
    gpu=st.none() | st.builds(StageGpu, busy=st.none() | st.floats(0, 1), memory_mb=st.floats(0, 1e5), waited=st.floats(0, 1)),
    gpu_memory_mb=st.floats(0, 1e5),
    longest_job_min=st.none() | st.floats(0, 1e5),
)  # fmt: skip


@given(FACTS)
def test_advice_is_safe(facts: StageFacts) -> None:
    """Whatever was measured: it leaves head room, is less than what was asked for, and can be typed."""
    for one in advice_on([facts]):
        assert one.overrides
        for word in one.overrides:
            key, _, value = word.removeprefix("stages.a.").partition("=")
            assert re.fullmatch(r"[a-z_.]+=[0-9a-zA-Z.+-]+", f"{key}={value}")
            if key == "resources.memory":
                assert 1.5 * facts.peak_memory_mb <= megabytes(value) < facts.memory_mb
            elif key == "resources.gpus":
                assert facts.gpu is not None
                assert (facts.gpu.busy or 0.0) * facts.gpus <= float(value) < facts.gpus
                assert facts.gpu.memory_mb <= float(value) * facts.gpu_memory_mb
            elif key == "resources.cpus" and int(value) < facts.cpus:
                assert facts.cores is not None
                assert facts.cores <= int(value)
            elif key in ("shard_tasks", "shard_weight"):
                assert float(value) > 0


def test_the_lines_of_advice() -> None:
    """Each with what to type, then all of it; and of which stages nothing can be said."""
    facts = [attrs.evolve(FITS, memory_mb=32768, minutes=600), attrs.evolve(FITS, stage="b", shards=1)]
    assert [
        "a: its processes used 2.9 GB of memory at most, of 32.0 GB each",
        "    stages.a.resources.memory=4864MB",
        "",
        "a: its longest job took 40 min of 10.0 h; a shorter one starts sooner",
        "    stages.a.resources.time=auto",
        "",
        "in the command of the next run: stages.a.resources.memory=4864MB stages.a.resources.time=auto",
        "too little is known of b: fewer than 5 shards, or less than 60 s of work",
    ] == [str(printable(line)) for line in advise_lines(advice_on(facts), facts)]
    assert "nothing to advise" in advise_lines([], [FITS])[0]


def test_an_advised_run_passes(shell: Shell) -> None:
    """Every kind of override that a machine without GPUs takes, at once; it is a run like any other."""
    shell.inline("+pipeline=words")
    quiet = shell.type("advise", "--store", str(shell.store)).stdout
    assert quiet.startswith("too little is known of lower_case, show, word_count: ")
    wasteful = attrs.evolve(FITS, stage="lower_case", memory_mb=32768, cpus=8, minutes=600, shards=2000, longest_s=0.9)
    last = attrs.evolve(FILTER, stage="word_count", after=("show",), memory_mb=32768)
    facts = [wasteful, attrs.evolve(CAPTION, stage="show", gpu=GPU), last]
    words = [word for one in advice_on(facts) for word in one.overrides]
    assert {"memory", "time", "cpus", "shard_tasks", "before"} == {
        word.partition("=")[0].rpartition(".")[2] for word in words
    }
    again = shell.type("+pipeline=words", *words, LOCAL, f"store={shell.folder / 'other'}").stdout
    assert again.splitlines()[-1].endswith(": complete")
    frozen = json.loads((shell.folder / "other" / "runs" / "latest" / "pipeline.json").read_text())
    assert ["lower_case", "word_count", "show"] == [stage["name"] for stage in frozen["pipeline"]["stages"]]
