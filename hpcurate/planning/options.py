"""What may be set for a stage at the place of use."""

from __future__ import annotations

from typing import Any

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import option
from hpcurate.units import megabytes, minutes

__all__ = ["StageOptions", "device_of"]

DEVICES = ("auto", "cuda", "cpu")


@attrs.define(frozen=True, kw_only=True)
class StageOptions:
    """What may be set for a stage at the place of use, beside its constructor's parameters."""

    after: list[str] | str | None = option(
        None,
        "a name: directly after that stage, and what came next follows this one; a list: the stages that this one "
        "reads, wherever it stands; default: the one before it",
    )
    before: str | None = option(None, "a name: directly before that stage, which then follows this one")
    needs: list[str] = option(list, "stages that have to be complete before this one begins, and pass it no tasks")
    allow_missing: int | None = option(
        None,
        "dead letters in the stages above with which this one still begins; default: as many as the budget allows",
        minimum=0,
    )
    place: str | None = option(None, "named place of the pipeline where this stage stands, one of its `places`")
    resources: dict[str, Any] = option(dict, "cpus, gpus, memory, time, nodes, disk of one stage process")
    device: str = option(
        "auto",
        "what the stage computes on: cuda or cpu, given to `setup`; auto: CUDA is required with resources.gpus "
        "above 0, else it is cpu",
        choices=DEVICES,
    )
    prepare: str = option(
        "threads",
        "where `prepare` runs: in threads of the stage process, or in as many processes as it has cpus, for decoding "
        "that holds Python's lock; there the stage is constructed and not set up",
        choices=("threads", "processes"),
    )
    env: str | list[str] | None = option(
        None,
        "environment of the stage process: a name of envs/, a pixi project (pixi:FOLDER[:ENVIRONMENT]), a prefix with "
        "bin/python, a container (apptainer:IMAGE), or a command that ends with a Python; default: the stage's own, or "
        "the current one",
    )
    stage_to_node: bool = option(False, "unpack the environment on each node's own disk; pack it before, once")
    batch_size: int | None = option(None, "tasks given to one process() call; 0: the whole shard", minimum=0)
    workers: int | None = option(
        None, "array elements at most; default: as many as are needed, up to what the launcher allows", minimum=1
    )
    processes: int | None = option(None, "stage processes of one worker; default: as many as fill its GPU", minimum=1)
    workers_per_node: int | None = option(
        None,
        "stage processes of the whole node: each worker has a node to itself, for stages bound by its disk; `workers` "
        "are nodes then; default: nodes are shared",
        minimum=1,
    )
    attempts: int = option(
        5,
        "attempts that crash, run out of memory, hang, or break, and name no task, after which all tasks of a shard "
        "become dead letters; exceptions do not count: a task that raises is a dead letter, after `tries` at most",
        minimum=1,
    )
    tries: int = option(3, "tries of a task that raises what `retry_on` names, within its attempt", minimum=1)
    retry_on: list[str] | None = option(
        None,
        "exceptions worth another try, by class name, base classes count; [Exception]: all, []: none; default: "
        "[transient], those of network and filesystem, to which [transient, Busy] adds one",
    )
    backoff: float = option(1.0, "seconds before the second try; each further pause is twice as long", minimum=0)
    log_mb: float = option(256.0, "most of a worker's log, in MiB: of a longer one the middle is left out", minimum=1)
    task_timeout: float | None = option(
        None, "seconds one batch may take, twice as many when it is tried again; default: no limit", minimum=0
    )
    setup_timeout: float | None = option(
        None,
        "seconds that `setup_on_node` and `setup` may take, with the wait for the former in another process; default: "
        "no limit",
        minimum=0,
    )
    max_memory: str | None = option(
        None,
        "most main memory of one stage process in rounds for what ran out of it, e.g. 64GB; default: four times "
        "resources.memory; never more than the largest node has",
        check=megabytes,
    )
    max_time: str | None = option(
        None,
        "most wall time of a job in rounds for what was not done in time, e.g. 12h; default: the partition's limit",
        check=minutes,
    )
    shard_tasks: int | None = option(
        None,
        "most tasks in one shard; 0: no limit; default: 100, and 100000 where a stage gets whole groups; few tasks "
        "always make 64 shards, or as many as they make batches, if that is less",
        minimum=0,
    )
    shard_weight: float = option(
        0.0, "most weight of a shard of several tasks, in the unit of the tasks' weight; 0: no limit", minimum=0
    )
    sort: dict[str, Any] = option(
        dict,
        "settings of the sort steps in front of a stage that gets whole groups: resources, workers, shard_tasks, "
        "sbatch, …",
    )
    sbatch: dict[str, Any] = option(
        dict, "further sbatch options of this stage, e.g. {partition: gpu, constraint: a100}"
    )


def device_of(wanted: str, gpus: float) -> str:
    """What a stage that asks for so many GPUs computes on: "cuda" or "cpu". Pure.

    Never what a node happens to have: the same command gives the same device everywhere, or a refusal. Raises
    ConfigError where CUDA is wanted and no GPU is asked for.
    """
    if wanted == "cuda" and not gpus:
        raise ConfigError("device=cuda: no GPU is asked for; type resources.gpus=1 too, or device=cpu")
    return "cuda" if wanted != "cpu" and gpus else "cpu"
