"""What `hpcurate advise` shows: what a run asked for and did not need, or lacked, with the override that changes it.

Everything is judged by what committed shards measured. Where that is little, nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.config_files import read_yaml
from hpcurate.errors import ConfigError
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.relations import Slices
from hpcurate.planning.slicing import LEAST_SHARDS, Slicing
from hpcurate.report.events import worker_spans
from hpcurate.report.run_view import RunView
from hpcurate.runs.folded import GpuSums
from hpcurate.runs.state import StageGpu
from hpcurate.store.stats import Committed
from hpcurate.units import AUTO, duration, job_minutes, megabytes, memory_text, memory_value

FEW_SHARDS, LITTLE_S = 5, 60.0
"""Of fewer shards, or of less time of stage processes, nothing is concluded."""
MUCH = 3
"""So many times too much is worth a word."""
SHORT_S, LONG_S = 2.0, 3600.0
"""Claim and commit of a shard that takes less cost too much; of one that takes more too much is lost with its job."""
AIM_SHORT_S, AIM_LONG_S = 60.0, 900.0
"""What a larger, and a smaller shard is to take."""
MANY_SHARDS = 2 * LEAST_SHARDS
"""Fewer short ones do no harm, and most of these are there whatever the bounds."""
SAVED_MB = 2048
"""Less memory than this is not worth a word."""
LEAST_MB, SPARE_MB, STEP_MB = 1024, 256, 256
"""Of memory that is advised: never less than this; for the worker itself; what it is rounded up to."""
ROOM = 1.5
"""Head room of memory and cores."""
SAVED_MIN = 60
"""Minutes of a job's time limit that are worth a word."""
GPU_ROOM = 1.25
"""Head room of a GPU's time and memory."""
SHARES = (0.125, 0.25, 0.5)
"""Of a GPU."""
STARVED, WORKED = 0.3, 0.8
"""A GPU waited for this share of the time, while cores were busy for that share of theirs: they are too few."""
DROPS_MOST, COSTLIER, ENOUGH_TASKS = 0.5, 5, 20
"""A filter that drops this share, behind a stage that costs so many times as much a task."""
GPU_CORES = 16
"""What a GPU costs, in cores."""


@attrs.define(frozen=True, kw_only=True)
class StageFacts:
    """What a stage asked for, and what its shards measured."""

    stage: str
    cpus: float
    gpus: float
    memory_mb: int
    """Of one stage process, like all above."""
    minutes: int | None
    """Time limit of a job; None: chosen for each round, or there is no scheduler."""
    slicing: Slicing | None = None
    """None: a shard has everything, or is cut otherwise."""
    after: tuple[str, ...] = ()
    anchored: bool = False
    """Its configuration says where it stands."""
    shards: int = 0
    tasks: int = 0
    passed: int = 0
    dropped: int = 0
    tasks_out: int = 0
    seconds: float = 0.0
    """Of stage processes, all shards together."""
    longest_s: float = 0.0
    """Of one shard."""
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    gpu: StageGpu | None = None
    gpu_memory_mb: float = 0.0
    """That the smallest device of it has; 0: not known."""
    longest_job_min: float | None = None
    """Of a worker that left in order, in a job of its own."""
    special: bool = False
    """Some rounds needed more than usual: what is usual is not too much."""

    @property
    def known(self) -> bool:
        """Whether there is enough to judge by."""
        return self.shards >= FEW_SHARDS and self.seconds >= LITTLE_S

    @property
    def cores(self) -> float | None:
        """That were busy at once, on average; None: nobody counted."""
        return self.cpu_seconds / self.seconds if self.cpu_seconds and self.seconds else None

    @property
    def cost(self) -> float:
        """Of one task, in seconds of cores."""
        return self.seconds * (self.cpus + GPU_CORES * self.gpus) / self.tasks if self.tasks else 0.0


@attrs.define(frozen=True, kw_only=True)
class Advice:
    """One thing to change."""

    stage: str
    why: str
    overrides: tuple[str, ...]
    """What to type in addition."""

    def plain(self) -> dict[str, Any]:
        """What `hpcurate advise --json` prints."""
        return attrs.asdict(self)


# -- the table, pure --------------------------------------------------------------------------------


def advice_on(facts: Sequence[StageFacts]) -> list[Advice]:
    """For all stages, in order."""
    by_name = {one.stage: one for one in facts}
    found: list[Advice] = []
    for one in facts:
        for rule in RULES:
            found += rule(one)
        found += _filter(one, by_name, facts)
    return found


def _short_shards(one: StageFacts) -> Iterator[Advice]:
    if one.slicing is None or one.shards < MANY_SHARDS or one.seconds < LITTLE_S:
        return
    mean_s = one.seconds / one.shards
    if mean_s < SHORT_S:
        each = duration(mean_s, exact=True)
        why = f"its {one.shards:,} shards took {each} each, hardly more than what a claim and a commit take"
        yield Advice(stage=one.stage, why=why, overrides=_larger(one, one.slicing, AIM_SHORT_S / mean_s))


def _long_shards(one: StageFacts) -> Iterator[Advice]:
    mean_tasks = one.tasks / one.shards if one.shards else 0.0
    if one.slicing is None or one.longest_s < LONG_S or mean_tasks < 2:
        return
    why = f"one of its shards took {duration(one.longest_s)}: so much is done again when a job ends"
    yield Advice(stage=one.stage, why=why, overrides=_larger(one, one.slicing, AIM_LONG_S / one.longest_s))


def _larger(one: StageFacts, slicing: Slicing, factor: float) -> tuple[str, ...]:
    """Shards so many times as large, by the bounds that they have."""
    tasks = one.tasks / one.shards * factor
    weight = _rounded(slicing.weight * factor) if slicing.weight else 0.0
    found = [f"stages.{one.stage}.shard_weight={weight:g}"] if weight else []
    if not found or tasks > slicing.tasks > 0:
        found.append(f"stages.{one.stage}.shard_tasks={max(1, round(_rounded(tasks)))}")
    return tuple(found)


def _memory(one: StageFacts) -> Iterator[Advice]:
    wanted = _memory_for(one.peak_memory_mb)
    if not one.known or one.special or not one.peak_memory_mb:
        return
    if one.memory_mb >= MUCH * one.peak_memory_mb and one.memory_mb - wanted >= SAVED_MB:
        most, asked = memory_text(one.peak_memory_mb), memory_text(one.memory_mb)
        why = f"its processes used {most} of memory at most, of {asked} each"
        yield _of(one, why, "resources.memory", memory_value(wanted))


def _time(one: StageFacts) -> Iterator[Advice]:
    if one.minutes is None or one.longest_job_min is None or not one.known or one.special:
        return
    if one.minutes >= MUCH * one.longest_job_min and one.minutes - one.longest_job_min >= SAVED_MIN:
        why = (
            f"its longest job took {duration(one.longest_job_min * 60)} of {duration(one.minutes * 60)}; "
            "a shorter one starts sooner"
        )
        yield _of(one, why, "resources.time", AUTO)


def _gpu_share(one: StageFacts) -> Iterator[Advice]:
    """Only where the memory of the devices is known: a share of a GPU has that share of its memory."""
    gpu = one.gpu
    if gpu is None or gpu.busy is None or not one.known or not 0 < one.gpus <= 1 or not one.gpu_memory_mb:
        return
    needed = max(gpu.busy * one.gpus, gpu.memory_mb / one.gpu_memory_mb) * GPU_ROOM
    share = next((share for share in SHARES if share >= needed - 1e-9), 1.0)
    if share <= one.gpus / 2:
        each = "of its GPU" if one.gpus == 1 else f"of the GPU of which it has {one.gpus:g}"
        memory = f"{memory_text(gpu.memory_mb)} of {memory_text(one.gpu_memory_mb)}"
        yield Advice(
            stage=one.stage,
            why=f"{each} it used {gpu.busy:.0%} of the time and {memory}; {round(1 / share)} processes can share one",
            overrides=tuple(
                f"stages.{one.stage}.{key}" for key in (f"resources.gpus={share:g}", f"processes={round(1 / share)}")
            ),
        )


def _cores(one: StageFacts) -> Iterator[Advice]:
    if one.cores is None or not one.known:
        return
    wanted = max(1, math.ceil(one.cores * ROOM))
    if one.gpu is not None and one.gpu.waited >= STARVED and one.cores >= WORKED * one.cpus:
        why = f"its GPU waited {one.gpu.waited:.0%} of the time for prepare, and its {one.cpus:g} cores were busy"
        yield _of(one, why, "resources.cpus", f"{math.ceil(2 * one.cpus)}")
    elif one.cpus >= 2 and wanted <= one.cpus / 2:
        why = f"of the {one.cpus:g} cores of a process {one.cores:.1f} were busy on average"
        yield _of(one, why, "resources.cpus", str(wanted))


RULES = (_short_shards, _long_shards, _memory, _time, _gpu_share, _cores)
"""Each looks at one stage."""


def _filter(one: StageFacts, by_name: Mapping[str, StageFacts], facts: Sequence[StageFacts]) -> Iterator[Advice]:
    """A cheap stage that drops most of what an expensive one before it, which passes each task on, has worked on."""
    before = by_name.get(one.after[0]) if len(one.after) == 1 else None
    if before is None or one.anchored or not before.known or one.tasks < ENOUGH_TASKS:
        return
    alone = [other.stage for other in facts if before.stage in other.after] == [one.stage]
    one_to_one = before.tasks_out == before.passed and one.tasks_out == one.passed
    if alone and one_to_one and one.dropped >= DROPS_MOST * one.tasks and before.cost >= COSTLIER * one.cost:
        why = (
            f"it drops {one.dropped / one.tasks:.0%} of what {before.stage} has worked on before, which costs "
            f"{_times(before.cost, one.cost)} as much; if it needs nothing that {before.stage} makes, put it first"
        )
        yield Advice(stage=one.stage, why=why, overrides=(f"stages.{one.stage}.before={before.stage}",))


def _of(one: StageFacts, why: str, key: str, value: str) -> Advice:
    return Advice(stage=one.stage, why=why, overrides=(f"stages.{one.stage}.{key}={value}",))


# -- words, pure ------------------------------------------------------------------------------------


def _memory_for(peak_mb: float) -> int:
    return max(LEAST_MB, math.ceil((ROOM * peak_mb + SPARE_MB) / STEP_MB) * STEP_MB)


def _rounded(value: float) -> float:
    """To two digits."""
    return float(f"{value:.2g}")


def _times(one: float, other: float) -> str:
    return f"{one / other:,.0f} times" if other else "many times"


# -- a run ------------------------------------------------------------------------------------------


def facts_of(view: RunView) -> list[StageFacts]:
    """Of each stage, in order."""
    config = _stages_of_config(view)
    return [
        _facts(
            stage,
            [shard.counts for shard in view.committed(stage)],
            _longest_job_min(view, stage.name),
            anchored=any(config.get(stage.name, {}).get(key) is not None for key in ("after", "before", "place")),
            special=any(one.ticket.special for one in view.store(stage).rounds.read()),
        )
        for stage in view.planned
    ]


def _facts(
    stage: PlannedStage, done: Sequence[Committed], longest_job_min: float | None, *, anchored: bool, special: bool
) -> StageFacts:
    needs = stage.resources
    return StageFacts(
        stage=stage.name,
        cpus=needs.cpus,
        gpus=stage.gpus,
        memory_mb=megabytes(needs.memory),
        minutes=None if needs.time == AUTO or longest_job_min is None else job_minutes(needs.time),
        slicing=stage.relation.slicing if isinstance(stage.relation, Slices) else None,
        after=stage.after,
        anchored=anchored,
        shards=len(done),
        tasks=sum(one.tasks_in for one in done),
        passed=sum(one.passed for one in done),
        dropped=sum(one.dropped for one in done),
        tasks_out=sum(one.tasks_out for one in done),
        seconds=sum(one.seconds for one in done),
        longest_s=max((one.seconds for one in done), default=0.0),
        cpu_seconds=sum(one.cpu_seconds for one in done),
        peak_memory_mb=max((one.peak_memory_mb for one in done), default=0.0),
        gpu=StageGpu.of(GpuSums.of(done)),
        gpu_memory_mb=min((one.gpu.device_mb for one in done if one.gpu), default=0.0),
        longest_job_min=longest_job_min,
        special=special,
    )


def _longest_job_min(view: RunView, stage: str) -> float | None:
    left = [span.seconds for span in worker_spans(view, stage) if span.fate == "left" and span.record.element]
    return max(left) / 60 if left else None


def _stages_of_config(view: RunView) -> dict[str, Any]:
    """Empty where Python started the run, or the configuration cannot be read."""
    try:
        stages = read_yaml(Path(view.run.path, "config.yaml")).get("stages") or {}
    except (OSError, ValueError, ConfigError):
        return {}
    return {name: one for name, one in stages.items() if isinstance(one, dict)}
