"""What supervisor and stage process say to each other: one class a message, one line of JSON each."""

from __future__ import annotations

import json
from typing import Any, Optional, Union

import msgspec

from hpcurate.failures import Blame, Ending
from hpcurate.spec import StageSpec
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.ahead import LEAST_BATCHES
from hpcurate.store.stats import GpuUse, ShardCounts
from hpcurate.task import StageSums

PROTOCOL = 10
"""Raised when a message changes meaning; both sides compare it in `Hello`."""


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Supervisor: construct the stage and set it up, or with `check` only import what it needs."""

    protocol: int = PROTOCOL
    stage: str
    """Name in the pipeline."""
    spec: StageSpec
    takes: str
    """`module:qualname` of the tasks it is given; empty: what it declares."""
    worker: WorkerInfo
    weights: dict[str, str]
    """Model name → folder."""
    remote_code: tuple[str, ...] = ()
    """Names of models whose own code may be run."""
    node_setup: str
    """Names what `setup_on_node` makes."""
    node_folder: str
    """Of the node's cache."""
    prepare: str = "threads"
    """Where `prepare` runs: in threads of the stage process, or in processes of its own."""
    variables: dict[str, str]
    """What it may not have inherited: caches on its node; in a container all of them."""
    check: bool = False
    guard: bool = False
    """Keep the stage's `node_server` instead: nothing is set up, and nothing is answered."""


class ShardJob(msgspec.Struct, frozen=True, kw_only=True):
    """Supervisor: run this shard; with `ahead`, only prepare its first batches, and wait until it comes again."""

    shard: str
    directory: str
    """Attempt directory, to write into."""
    ref: str
    """What the directory will be called, relative to the store's `stages/`."""
    root: str
    """The store's `stages/` folder, for the files that rows refer to."""
    inputs: list[tuple[str, int, int]]
    """Committed `tasks.jsonl` files with the row range [lo, hi) of each."""
    offsets: list[int] = msgspec.field(default_factory=list)
    """Of each of them the byte where row lo begins; empty: rows are counted."""
    kinds: list[str] = msgspec.field(default_factory=list)
    """Of each of them `module:qualname` of its tasks; empty: all have the class that the stage is given."""
    groups: bool = False
    """`process` is given whole groups: rows of one key, whichever file they are in."""
    joins: bool = False
    """They come from several upstreams: an input may not be returned as it is."""
    batch_size: int
    least_batches: int = LEAST_BATCHES
    """That it has if another shard is to be claimed ahead of its end."""
    whole: bool = False
    """`process` is called once with everything, even if there are no tasks."""
    isolate: bool = False
    """One task at a time, because an earlier attempt crashed."""
    poison: dict[str, Blame] = msgspec.field(default_factory=dict)
    """Task id → why it is a dead letter without another try."""
    above: list[StageSums] = msgspec.field(default_factory=list)
    """What became of the tasks in the stages above, for a stage that counts them."""
    tries: int = 1
    """Of a task that raises what `retry_on` names."""
    retry_on: Optional[tuple[str, ...]] = None
    """Class names of exceptions; None: transient ones of network and filesystem."""
    backoff: float = 0.0
    """Seconds before the second try; each further pause is twice as long."""
    timeout: Optional[float] = None
    """Seconds one batch may take."""
    checkpoint: str = ""
    """Folder of its tasks' checkpoints, with what earlier attempts have left; empty: the stage keeps none."""
    note: str = ""
    """File to write each task to before it begins, so that it is known when the whole job is killed; empty: none."""
    ahead: bool = False
    adjusted: Optional[StageSpec] = None
    """The stage with the parameters that this shard is run with; None: those of the one before."""


class NodeSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What `setup_on_node` made."""

    path: str
    copied_files: int
    copied_bytes: int
    seconds: float


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Stage process: the stage is set up."""

    environment: dict[str, str]
    made: Optional[NodeSetup] = None
    """By this process on its node; None where another had done it."""
    not_imported: list[str] = msgspec.field(default_factory=list)
    """`module: reason` of each that a check could not import."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Stage process: the stage could not be set up."""

    error: str
    message: str
    traceback: str = ""


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How far a shard is as a batch begins."""

    done: int
    """Tasks that have ended, in whatever way."""
    weight: float
    """Theirs."""
    name: str
    """What people call the first task of the batch."""
    batch: int
    """Tasks that it has."""
    weighs: float
    """All of them."""


class InWork(msgspec.Struct, frozen=True, kw_only=True):
    """Stage process: these tasks of a shard, of the one that is run or the one ahead, are in work now."""

    shard: str
    tasks: tuple[str, ...]
    ask_in: Optional[float] = None
    """Seconds after which the next shard is to be claimed; None: not yet, or not at all."""
    pause: float = 0.0
    """Seconds that they wait first, for another try."""
    reached: Optional[Reached] = None
    """Where a batch of the shard begins now. One message a batch says both: there is no other traffic."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Stage process: the shard's files are written."""

    counts: ShardCounts
    environment: dict[str, str]
    gpu: Optional[GpuUse] = None
    """Filled in by the supervisor, which looks at the devices."""


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """Stage process: the shard could not be finished, and no task is to blame."""

    kind: Ending = Ending.ERROR
    """`store` where the engine's own reading or writing failed; `crash`, `oom` where this process is of no more use;
    `free` where the stage's set-up holds no longer."""
    error: str
    message: str
    traceback: str = ""
    peak_mb: int = 0
    """MiB that this process, or one that it waited for, had in use at most."""

    @property
    def said(self) -> str:
        """The error in a line."""
        return f"{self.error}: {self.message}".removesuffix(": ")


Message = Union[Hello, ShardJob, Ready, Refused, InWork, Done, Broken]
_TYPES: dict[str, Any] = {cls.__name__: cls for cls in (Hello, ShardJob, Ready, Refused, InWork, Done, Broken)}


def encode(message: Message) -> bytes:
    """One line, with its end."""
    return json.dumps({"type": type(message).__name__, **msgspec.to_builtins(message)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line. Raises ValueError for what is none."""
    try:
        plain = json.loads(line)
        if not isinstance(plain, dict):
            raise ValueError(f"{type(plain).__name__} is no message")
        found: Message = msgspec.convert(plain, _TYPES.get(str(plain.pop("type", None)), Refused))
    except (msgspec.ValidationError, RecursionError) as error:  # a ValueError only in later versions of msgspec
        raise ValueError(str(error)) from None
    return found
