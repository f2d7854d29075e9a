"""Stages: what a user writes. A stage turns a list of tasks into a list of tasks.

This module runs in every stage environment: Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Optional, Protocol, TypeVar, Union, get_args, get_origin

import attrs
import msgspec

from hpcurate.errors import PipelineError, StageError
from hpcurate.resources import Resources
from hpcurate.server import NodeServer
from hpcurate.task import File, Saved, StageSums, Task
from hpcurate.units import job_minutes, megabytes

if TYPE_CHECKING:
    from hpcurate.savers.base import Saver

__all__ = ["Chain", "CurrentOr", "NodeInfo", "Resources", "Stage", "WorkerInfo", "task_types"]

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)
Child = TypeVar("Child", bound=Task)


class CurrentOr(msgspec.Struct, frozen=True):
    """As a stage's `env`: the current environment if it has all that the stage imports, else this one."""

    env: str
    """A name under `envs/`."""

    def __str__(self) -> str:
        return f"the current one or {self.env}"


@attrs.define(frozen=True, kw_only=True)
class WorkerInfo:
    """What `setup` is given about the process it runs in."""

    index: int
    """Number of the worker in its round."""
    process: int
    """Number of this stage process in its worker."""
    cpus: int
    """Cores this process may use."""
    nodes: int = 1
    """Nodes of its job, each with so many cores and GPUs; this process is on the first."""
    cores: tuple[int, ...] = ()
    """Logical cores this process is pinned to; empty: not pinned."""
    gpus: tuple[str, ...] = ()
    """Tokens of the GPUs this process may use, as `CUDA_VISIBLE_DEVICES` has them; it counts them from 0."""
    gpu_share: float = 1.0
    """Share of its GPU's memory that this process may take; the rest is for those it shares it with."""
    device: str = "cpu"
    """What the stage computes on, "cuda" or "cpu": `network.to(worker.device)`."""
    node_folder: Optional[str] = None
    """The folder that `setup_on_node` filled on this node; None where the stage has none."""
    node_server: Optional[str] = None
    """The folder of the stage's `node_server` on this node, for `ServerOnNode`; None where the stage has none."""


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `setup_on_node` is given about the node."""

    name: str
    """Slurm's name of it, or the host's."""
    folder: str
    """An empty folder on its own disk, for what is made there: it counts as made as long as that folder lasts."""


class Scope(Protocol):
    """What a stage may use while one batch is processed."""

    group: Optional[str]
    """The key whose group is in work, where the stage gets groups: new tasks get their ids from it."""
    keys: Mapping[int, str]
    """`id` of a task object → its key, where the stage gets groups: as they were sorted, whatever is done to tasks."""

    def child_id(self, parents: Sequence[Task], wanted: Optional[str]) -> str:
        """Id for a new task made from `parents`."""

    def drop(self, task: Task, reason: str, value: object, threshold: object, measure: str) -> None:
        """Record that `task` ends here."""

    def left_out(self, task: Task, reason: str, count: int, amounts: Mapping[str, float]) -> None:
        """Record what `task`, which goes on, was left without."""

    def file(self, task: Task, name: str) -> File:
        """Place for a file of `task`."""

    def save(self, task: Task, name: str, value: Any, saver: Union[str, Saver, None]) -> Saved:
        """Keep a value with `task`."""

    def log(self, name: str, value: Any, step: Optional[int]) -> None:
        """Keep a result of the stage's own."""

    def checkpoint(self, task: Task) -> str:
        """Folder of what `task` has reached."""


class Stage(Generic[In, Out]):
    """Base of all stages. Only `process` must be written.

    The constructor runs in the driver: it takes typed, documented parameters and imports nothing heavy.
    `setup` and what follows run in the stage's environment, on the node. The parameters are overridable
    from the command line and are part of the stage's fingerprint.
    """

    env: ClassVar[Union[str, Sequence[str], CurrentOr, None]] = None
    """Environment of the stage process: a name under `envs/`, a prefix, a container, a command that ends with a
    Python, `CurrentOr` a name, or None for the current one."""
    model: Any = None
    """A `ModelRef` or a `Model` whose weights are on the node before `setup`; also as a property."""
    node_server: Optional[NodeServer] = None
    """A program that each node runs once for all stage processes there that have the same GPUs; also as a property."""
    resources: ClassVar[Resources] = Resources()
    """Needs of one stage process."""
    batch_size: ClassVar[int] = 1
    """Tasks given to one `process` call; 0 gives the whole shard."""
    small_batches: ClassVar[bool] = False
    """True if smaller batches cost nothing to speak of: then few tasks make more shards than they make batches."""
    version: ClassVar[Optional[int]] = None
    """Raise it when the output changes meaning; None: a digest of the module's syntax tree."""
    deterministic: ClassVar[bool] = True
    """False if two attempts may give different bytes."""
    publishes: ClassVar[bool] = False
    """True where the result is what it writes outside the store: nobody needs the files that its rows name."""
    brief_drops: ClassVar[bool] = False
    """True: a row of `dropped.jsonl` names the task and does not repeat it: its upstream has it. For stages that drop
    most of very many small tasks."""
    source_files: Optional[Sequence[str]] = None
    """Fields of its tasks with paths of files of the source that it opens: those in object storage are copied to the
    node first. None: `path` of a `FileTask` and `files` of a `GroupTask`, where it is declared to take these; (): it
    opens none."""
    gather: ClassVar[bool] = False
    """True: one shard with every task of the run, in one `process` call."""
    operational: ClassVar[Sequence[str]] = ()
    """Parameters that never change the result, such as a number of processes: they are not part of the fingerprint."""
    adjustable: ClassVar[Sequence[str]] = ()
    """Parameters that `process` and `prepare` alone read, as attributes of the same names that the constructor sets: a
    served stage that is set up takes another value of them as it is. A stage without `setup` needs to name none."""
    one_node: str = "only a Command runs on several nodes at once; more `workers` take more nodes"
    """Why it cannot be given several nodes; empty: it can."""
    checkpoints: bool = False
    """True: `self.checkpoint(task)` is a folder that outlives attempts."""
    counts_upstream: ClassVar[bool] = False
    """True, with `gather`: `self.upstream` says what became of the tasks in each stage above. Other counts there are
    another result, even if the tasks that come in are the same."""
    moved: ClassVar[Mapping[str, str]] = {}
    """Parameters of earlier releases that another stage has now: name → where. They are refused with this answer."""
    followers: Sequence[Stage[Any, Any]] = ()
    """The members after this one in its `Chain`, set by the chain; empty outside of one."""

    _arguments: dict[str, Any]
    _scope: Optional[Scope]
    _upstream: tuple[StageSums, ...]
    _types: Optional[tuple[type[Task], type[Task]]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Stage[In, Out]:
        """Remember the arguments: they cross to the stage process, and the fingerprint needs them."""
        self = super().__new__(cls)
        self._arguments = _bind(cls, args, kwargs)
        self._scope = None
        self._upstream = ()
        self._types = None
        return self

    # -- written by the user ------------------------------------------------------------------------

    def accept(self, given: type[In]) -> None:
        """Once in the driver: raise PipelineError for a class of tasks that the stage cannot work on."""

    def gives(self, given: type[Task]) -> type[Task]:
        """The class of what goes out where tasks of class `given` come in: as declared; the same, if both are."""
        takes, returns = task_types(type(self))
        return given if returns is takes else returns

    def would_write(self, item: str) -> Sequence[str]:
        """With `publishes`: paths of files that it writes for an item of that name; a source must not take them."""
        return ()

    def setup_on_node(self, node: NodeInfo) -> None:
        """Once per node over all workers and jobs of this stage with these parameters, before any `setup` there.

        What it makes belongs into `node.folder`; `setup` finds it at `worker.node_folder`.
        """

    def setup(self, worker: WorkerInfo) -> None:
        """Once per stage process, in the stage's environment: load the model here. By default a `Model` is set up."""
        from hpcurate.model import Model

        if isinstance(self.model, Model):
            self.model.setup()

    def prepare(self, task: In) -> None:
        """CPU work for one task, overlapped with `process`; leave results in `task.memory`."""

    def process(self, tasks: list[In]) -> list[Out]:
        """Turn a batch of tasks into tasks: fewer, more, or of another type."""
        raise PipelineError(f"{type(self).__qualname__} does not define process(self, tasks)")

    def teardown(self) -> None:
        """Once per stage process, at its regular end."""

    # -- used by the user ---------------------------------------------------------------------------

    def child(
        self, parent: Union[Task, Sequence[Task]], cls: type[Child], *, id: Optional[str] = None, **fields: Any
    ) -> Child:
        """Make a new task from one parent, or from a list of them: all of them count as passed on.

        The id is the UUID5 of the parents in their order (in a group: of its key), stage and ordinal unless `id` gives
        a better stable one.
        Raises StageError for a random id.
        """
        parents = (parent,) if isinstance(parent, Task) else tuple(parent)
        made = self._current().child_id(parents, id)
        return cls(id=made, parents=tuple(task.id for task in parents), **fields)

    def drop(
        self, task: Task, reason: str, *, value: object = None, threshold: object = None, measure: str = ""
    ) -> None:
        """End `task` here, on purpose. Reasons are counted: what differs from task to task is no part of one.

        A filter gives the `value` that it measured, the `threshold` that the value had to meet, and as `measure` the
        task's field that has such values: `hpcurate why` shows examples with all of that.
        """
        self._current().drop(task, reason, value, threshold, measure)

    def left_out(self, task: Task, reason: str, count: int = 1, **amounts: float) -> None:
        """Count what the stage leaves out of a task that goes on, and what never becomes a task of its own.

        `self.left_out(video, "shorter than 2 s", count=3, seconds=4.1)`: three spans of it, 4.1 seconds together. What
        is left out of a task that is dropped by the same stage, too, is lost with it, and not counted here.
        """
        self._current().left_out(task, reason, count, amounts)

    def file(self, task: Task, name: str) -> File:
        """A place to write a file of `task`; it becomes visible when the shard commits.

        Put the result into a field typed `File`, of this task or of any other: a file that a returned task names is
        kept, and has to be there when `process` returns. What no task names is kept if `task`, or a child of it, is
        passed on, and else removed. `name` is relative, and unique for the task.
        Close it before `process` returns. A hard link becomes a copy with the commit; a symbolic link stays one.
        """
        return self._current().file(task, name)

    def save(self, task: Task, name: str, value: Any, *, saver: Union[str, Saver, None] = None) -> Saved:
        """Keep a value with `task`: an array, a table, a network, a figure, a notebook, a text, plain data or a record.

        It goes where the task goes, from stage to stage, as `task.saved[name]`: a file, and beside it what is known of
        it. The first saver that takes the value writes it; `saver` names one, or is one of your own. A `Saved` of
        another task is kept by its reference. Raises SavedError: for a value that no saver takes, and for a name that
        is none, or is taken.
        """
        return self._current().save(task, name, value, saver)

    def load(self, task: Task, name: str, *, saver: Union[str, Saver, None] = None) -> Any:
        """What this stage or one before it has saved with `task`. Raises SavedError."""
        from hpcurate.savers.reading import load_of  # here: few stages load anything

        return load_of(task, name, saver)

    def log(self, name: str, value: Any, *, step: Optional[int] = None) -> None:
        """Keep a result of the stage's own, for `hpcurate status`, `compare` and the report: it is no part of a task.

        `value` is a number; a table, as a list of rows that are dicts; or a figure: one of matplotlib, a Pillow image,
        or the path of a png, jpg, webp, gif or svg file. Numbers with a `step` are a curve; without, they are summed up
        over the run: how many, mean, least, most. NaN and infinite numbers are gaps in a curve. What a batch logs is
        kept if the batch succeeds. Raises StageError for anything else, and beyond the limits in `LIMITS`
        (hpcurate.stage_process.logged).
        """
        self._current().log(name, value, step)

    def checkpoint(self, task: Task) -> str:
        """A folder with what earlier attempts have reached of `task`; for a stage with `checkpoints = True`.

        Write each file under a name of this process's own, and rename it: a kill leaves none half written.
        """
        return self._current().checkpoint(task)

    @property
    def task_types(self) -> tuple[type[Task], type[Task]]:
        """The classes of what comes in and of what goes out: as declared, or a subclass that the upstream gives."""
        return self._types or task_types(type(self))

    @property
    def upstream(self) -> tuple[StageSums, ...]:
        """What became of the tasks in each stage above, in order; with `counts_upstream` alone."""
        return self._upstream

    def with_results(self, **fields: str) -> Stage[In, Out]:
        """This stage, with parameters that are fields of the one task that a gather stage returns.

        `Prune(threshold=0.5).with_results(threshold="measure.p10")`: what the constructor was given holds until the
        value is known. The same as `threshold: ${result:measure.p10}` in a pipeline file.
        """
        unknown = fields.keys() - constructor(type(self)).keys()
        if unknown:
            raise PipelineError(f"{type(self).__qualname__} has no parameter {min(unknown)!r}")
        self.remember({name: f"${{result:{field}}}" for name, field in fields.items()})
        return self

    # -- used by the engine -------------------------------------------------------------------------

    def bind(self, scope: Optional[Scope]) -> None:
        """Give the stage a scope for one batch, or take it back."""
        self._scope = scope

    def resolve(self, types: tuple[type[Task], type[Task]]) -> None:
        """Tell the stage which classes its `task_types` are in this pipeline."""
        self._types = types

    def told(self, upstream: Sequence[StageSums]) -> None:
        """Tell the stage what `upstream` is, before it is given a shard."""
        self._upstream = tuple(upstream)

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments as given, by name."""
        return dict(self._arguments)

    def lacks(self) -> tuple[str, ...]:
        """What it needs and is not found here, beside modules: a `Command`'s program."""
        return ()

    def loads(self) -> tuple[str, ...]:
        """Modules that it imports by names among its parameters: they are copied with a run, and are its code."""
        return ()

    def remember(self, arguments: Mapping[str, Any]) -> None:
        """Have these among the arguments instead of those that the constructor was given."""
        self._arguments.update(arguments)

    def member_names(self) -> tuple[str, ...]:
        """Names under which failures and drops are reported."""
        return (type(self).__qualname__,)

    def _current(self) -> Scope:
        if self._scope is None:
            raise StageError(
                "child(), drop(), left_out(), file(), save(), log() and checkpoint() work only while process() runs"
            )
        return self._scope


def constructor(cls: type) -> dict[str, inspect.Parameter]:
    """Parameters of a class's constructor, without self."""
    init = inspect.getattr_static(cls, "__init__")
    if init is object.__init__:
        return {}
    return dict(list(inspect.signature(init).parameters.items())[1:])


def _bind(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    parameters = constructor(cls)
    if not parameters and (args or kwargs):
        raise PipelineError(f"{cls.__qualname__} takes no parameters, got {[*args, *kwargs]}")
    try:
        arguments = dict(inspect.Signature(list(parameters.values())).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise PipelineError(f"{cls.__qualname__}: {error}") from None
    for parameter in parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(parameter.name, {}))
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise PipelineError(f"{cls.__qualname__}: parameters need names, *{parameter.name} has none")
    return arguments


def task_types(cls: type) -> tuple[type[Task], type[Task]]:
    """The task types a stage class takes and returns, from `Stage[In, Out]`.

    Raises PipelineError when the class does not say.
    """
    for base in inspect.getmro(cls):
        for generic in getattr(base, "__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if not (isinstance(origin, type) and issubclass(origin, Stage) and len(arguments) == 2):
                continue
            if all(isinstance(a, type) and issubclass(a, Task) for a in arguments):
                return arguments[0], arguments[1]
            if _classes_in(arguments[0]) and isinstance(arguments[1], type) and issubclass(arguments[1], Task):
                return Task, arguments[1]
    raise PipelineError(
        f"{cls.__module__}:{cls.__qualname__} does not say what it takes and returns; "
        f"write class {cls.__name__}(Stage[InTask, OutTask])"
    )


def union_of(cls: type) -> tuple[type[Task], ...]:
    """The classes of tasks that a stage joins, from `GroupStage[Union[A, B], C]`; empty for one that takes one."""
    for base in inspect.getmro(cls):
        for generic in getattr(base, "__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if isinstance(origin, type) and issubclass(origin, Stage) and len(arguments) == 2:
                return _classes_in(arguments[0])
    return ()


def _classes_in(hint: Any) -> tuple[type[Task], ...]:
    """Of a union of classes of tasks; empty for anything else."""
    inner = () if isinstance(hint, (type, TypeVar)) else get_args(hint)
    return inner if inner and all(isinstance(one, type) and issubclass(one, Task) for one in inner) else ()


class Chain(Stage[Task, Task]):
    """Several stages as one: tasks are handed on in memory, in one process, without a manifest between.

    Asks for the largest of each resource; `prepare` of the first member alone runs ahead; a member that
    fails fails the chain's input task and is named.
    """

    def __init__(self, stages: list[Stage[Any, Any]]) -> None:
        if not stages:
            raise PipelineError("Chain needs at least one stage, e.g. Chain([Cut(), Motion()])")
        self.stages = list(stages)
        first = self.stages[0]
        self.env = _shared([environment_of(stage) for stage in self.stages])  # type: ignore[misc]
        self.batch_size = first.batch_size  # type: ignore[misc]
        rest = all(stage.small_batches or stage.batch_size == 1 for stage in self.stages[1:])
        self.small_batches = first.small_batches and rest  # type: ignore[misc]
        self.gather = first.gather  # type: ignore[misc]
        self.counts_upstream = any(stage.counts_upstream for stage in self.stages)  # type: ignore[misc]
        self.publishes = self.stages[-1].publishes  # type: ignore[misc]
        self.deterministic = all(stage.deterministic for stage in self.stages)  # type: ignore[misc]
        self.resources = largest([stage.resources for stage in self.stages])  # type: ignore[misc]
        flat = members(self)
        for number, stage in enumerate(flat, start=1):
            stage.followers = flat[number:]

    def setup_on_node(self, node: NodeInfo) -> None:
        """Each member's, in order."""
        for stage in self.stages:
            stage.setup_on_node(node)

    def setup(self, worker: WorkerInfo) -> None:
        """Each member's, in order."""
        for stage in self.stages:
            stage.setup(worker)

    def prepare(self, task: Task) -> None:
        """The first member's."""
        self.stages[0].prepare(task)

    def teardown(self) -> None:
        """Each member's, last first."""
        for stage in reversed(self.stages):
            stage.teardown()

    def member_names(self) -> tuple[str, ...]:
        """One name a member, numbered where a class comes twice."""
        names = [type(stage).__qualname__ for stage in self.stages]
        return tuple(n if names.count(n) == 1 else f"{n}-{i}" for i, n in enumerate(names))


def _shared(environments: list[Union[str, Sequence[str], CurrentOr, None]]) -> Any:
    """The one environment of a chain; members without any follow those that take the current one or another."""
    follow = any(isinstance(env, CurrentOr) for env in environments)
    named = {str(env): env for env in environments if not (env is None and follow)}
    if len(named) > 1:
        raise PipelineError(f"the stages of a Chain share one env, these differ: {', '.join(sorted(named))}")
    return next(iter(named.values()))


def largest(needs: Sequence[Resources]) -> Resources:
    """Of each resource the most that one of them needs. Pure."""
    disks = [n.disk for n in needs if n.disk is not None]
    return Resources(
        cpus=max(n.cpus for n in needs),
        gpus=max(n.gpus for n in needs),
        memory=max((n.memory for n in needs), key=megabytes),
        time=max((n.time for n in needs), key=job_minutes),
        nodes=max(n.nodes for n in needs),
        disk=max(disks, key=megabytes) if disks else None,
    )


def environment_of(stage: Stage[Any, Any]) -> Union[str, Sequence[str], CurrentOr, None]:
    """The environment a stage asks for, as written: its own, or that of its model."""
    return stage.env or getattr(stage.model, "conda_env_name", None)


def members(stage: Stage[Any, Any]) -> list[Stage[Any, Any]]:
    """The stages that run one after the other inside `stage`: itself, or a chain's members, flattened."""
    if isinstance(stage, Chain):
        return [inner for member in stage.stages for inner in members(member)]
    return [stage]
