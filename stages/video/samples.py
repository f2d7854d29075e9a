"""How stages share one decode: each member of a chain declares what it samples, `Cut` takes all of it.

A member derives from `UsesSamples`, returns its samplings, and reads them with `samples_of`. None needs to know what
another one samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from hpcurate import Stage, Task
from hpcurate.errors import ConfigError, StageError
from stages.video.media.sampling import Samples, Sampling

Number = TypeVar("Number", int, float)
MEMORY_KEY = "video.samples"
"""Where a clip's samples are in `task.memory`, by sampling."""


class UsesSamples:
    """A stage that works on pictures of each clip. It is a member of a `Chain`, after `Cut`."""

    def samplings(self) -> Sequence[Sampling]:
        """The pictures that the stage needs; constant for the life of the stage."""
        raise NotImplementedError


def above_zero(name: str, value: Number) -> Number:
    """The value of a stage's parameter. Raises ConfigError unless it is above 0."""
    if value <= 0:
        raise ConfigError(f"{name}: {value:g}: expected more than 0")
    return value


def a_share(name: str, value: float | None) -> float | None:
    """A bound on a share or a probability. Raises ConfigError for what bounds nothing, such as a percentage."""
    if value is not None and not 0 <= value <= 1:
        raise ConfigError(f"{name}: {value:g}: expected a number from 0 to 1")
    return value


def samplings_of(stages: Iterable[Stage[Any, Any]]) -> list[Sampling]:
    """What the stages declare, each sampling once."""
    users = [stage for stage in stages if isinstance(stage, UsesSamples)]
    return list(dict.fromkeys(sampling for user in users for sampling in user.samplings()))


def leave_samples(clip: Task, taken: dict[Sampling, Samples]) -> None:
    """Hand the samples of a clip to the next members of the chain."""
    clip.memory[MEMORY_KEY] = taken


def has_samples(clip: Task, sampling: Sampling) -> bool:
    """Whether samples were taken of the clip for `sampling`, and are still held."""
    return sampling in clip.memory.get(MEMORY_KEY, {})


def samples_of(clip: Task, sampling: Sampling) -> Samples:
    """What was taken of the clip for `sampling`. Raises StageError if nothing was."""
    if not has_samples(clip, sampling):
        raise StageError("no samples in task.memory: put Cut and this stage into one Chain, Cut first")
    samples: Samples = clip.memory[MEMORY_KEY][sampling]
    return samples


def free_samples(clip: Task, sampling: Sampling) -> None:
    """Let go of the samples for `sampling`: nobody asks for them again."""
    clip.memory.get(MEMORY_KEY, {}).pop(sampling, None)
