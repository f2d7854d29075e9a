"""A run: a resolved configuration and the stage folders it refers to. Its folder is private to its owner."""

from __future__ import annotations

import datetime
import errno
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from hpcurate.digest import digest
from hpcurate.errors import ConfigError, StoreError
from hpcurate.planning.pipeline import Pipeline
from hpcurate.planning.plan import job_name
from hpcurate.runs.commands import Command, again
from hpcurate.runs.retry_log import Retried, RetryLog
from hpcurate.store import access
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import CONTINUED, FORMAT, WITH_FREED_FILES, Store
from hpcurate.store.mode import GROUP, PRIVATE, may_read, mode_of, owner_of, sharer
from hpcurate.store.trouble import explain
from hpcurate.system.clock import Clock, SystemClock
from hpcurate.system.processes import Processes, ProcessIdentity
from hpcurate.verdict import Allowance

__all__ = ["Run", "find_run", "open_run", "open_store", "peek_run"]

UNNAMED = "<run>/output"
"""Stands for the run's own output folder while the run has no name yet."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CANCELLED = "cancelled"
_SECOND = "%Y%m%d-%H%M%S"
_BEAT_BYTES = 512
"""Of `driver.json`, which is written in place: longer than what any host, process and counter take."""


@attrs.define(frozen=True)
class Run:
    """Paths and frozen values of one run."""

    store: Store
    name: str
    filesystem: Filesystem = attrs.field(default=POSIX, eq=False, repr=False)

    @classmethod
    def at(cls, path: str, filesystem: Filesystem = POSIX) -> Run:
        """The run in a folder of its store."""
        runs, name = os.path.split(path.rstrip("/"))
        return cls(Store(os.path.dirname(runs)), name, filesystem)

    @property
    def path(self) -> str:
        """The run's folder."""
        return self.store.run(self.name)

    @property
    def output(self) -> str:
        """Default place of its result."""
        return os.path.join(self.path, "output")

    @property
    def summary_json(self) -> str:
        """State and counts, rewritten by every call that looks."""
        return os.path.join(self.path, "summary.json")

    @property
    def retry_log(self) -> RetryLog:
        """What its calls have retried."""
        return RetryLog(os.path.join(self.path, "retries"), self.filesystem)

    @property
    def gone(self) -> bool:
        """Somebody removed it. Storage that fails does not say so."""
        with suppress(OSError):
            return not self.filesystem.names(self.path)
        return False

    def job_name(self, what: str, number: int) -> str:
        """Name of the jobs of a round, or of a gate, of this run on this store, however its path was typed."""
        return job_name(what, number, self.name, os.path.realpath(self.store.root))

    @property
    def is_anothers(self) -> bool:
        """Whether its folder is that of another user, who alone may look into it."""
        try:
            self.filesystem.names(self.path)
        except PermissionError:
            return True
        return False

    @property
    def cancelled(self) -> bool:
        """A user stopped the run and has not started it again. Raises OSError, also where the run was removed."""
        names = self.filesystem.names(self.path)
        if not names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        return _CANCELLED in names

    def mark_cancelled(self) -> None:
        """A user stops it."""
        self.filesystem.create(os.path.join(self.path, _CANCELLED), b"")

    def unmark_cancelled(self) -> None:
        """A user starts it again. Without a look first: a listing may be older than the mark.

        Nor is it believed that there is no mark: a client that found none believes that for a while. That a new one
        cannot be made shows it the one that is there.
        """
        self._remove_mark()
        if self.cancelled:
            self.mark_cancelled()
            self._remove_mark()

    def _remove_mark(self) -> None:
        self.filesystem.discard(os.path.join(self.path, _CANCELLED), self.store.trash)

    def note_driver(self, driver: ProcessIdentity, beat: int = 0) -> None:
        """Write down which process drives the run and stays; `beat` changes as long as it does.

        In place, not by a rename: another host's cache then sees the new content when it opens the file (nfs(5)).
        """
        content = json.dumps({**msgspec.to_builtins(driver), "beat": beat}).encode()
        self.filesystem.beat(self._driver_json, content.ljust(_BEAT_BYTES - 1) + b"\n")

    def driver_lives(self, processes: Processes) -> bool | None:
        """Whether a process drives it; None for one of another host: only `driver_beat` can answer."""
        with suppress(ValueError, msgspec.MsgspecError):
            return processes.alive(msgspec.convert(json.loads(self.driver_beat()), ProcessIdentity))
        return False

    def driver_beat(self) -> str:
        """What the driver wrote last; empty if there is none."""
        with suppress(OSError):
            return self.filesystem.read(self._driver_json).decode()
        return ""

    @property
    def _driver_json(self) -> str:
        return os.path.join(self.path, "driver.json")

    def frozen(self) -> Frozen:
        """What the latest call froze. Raises StoreError."""
        path = os.path.join(self.path, "pipeline.json")
        try:
            plain, log = json.loads(self.filesystem.read(path)), self.retry_log.read()
        except PermissionError:
            raise StoreError(f"{self.name} is another user's: only they may read {path}") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {path}: {error}; {self._typed_again()}") from None
        try:
            typed = {} if "command" in plain else {"command": {"words": self._words()}}
            return with_retried(log, msgspec.convert(_in_todays_form({**typed, **plain}), Frozen))
        except (msgspec.ValidationError, LookupError, TypeError, ValueError) as error:
            raise StoreError(f"{path}: another hpcurate wrote it ({error}); {self._typed_again()}") from None

    def _typed_again(self) -> str:
        if "overrides.json" not in self.filesystem.names(self.path):
            return "its start was cut short: start it again as it was started"
        return f"to continue the run: {again(Command(words=self._words()), self.store.root)}"

    def _words(self) -> tuple[str, ...]:
        """Of its command, as they are kept beside its configuration; none where Python started it."""
        with suppress(OSError, ValueError):
            return tuple(json.loads(self.filesystem.read(os.path.join(self.path, "overrides.json"))))
        return ()

    def latest(self) -> Frozen | None:
        """The same; None if there was no call yet, or what it froze cannot be read any more."""
        with suppress(StoreError):
            return self.frozen()
        return None

    def source_lists(self) -> tuple[str, ...]:
        """Those of its latest call; none if there was none."""
        latest = self.latest()
        return latest.source_lists if latest else ()

    def freeze(self, frozen: Frozen) -> None:
        """Write `pipeline.json`: gates and verbs read nothing else of the configuration."""
        data = json.dumps(msgspec.to_builtins(frozen), indent=1).encode()
        self.filesystem.replace(os.path.join(self.path, "pipeline.json"), data)


def _in_todays_form(plain: dict[str, Any]) -> dict[str, Any]:
    """`pipeline.json` of a run from before there were relations. Pure but for its argument."""
    for stage in plain["pipeline"]["stages"]:
        if "slicing" in stage:
            slicing = stage.pop("slicing")
            gather = slicing.pop("gather", False)
            stage["relation"] = {"relation": "gather"} if gather else {"relation": "slices", "slicing": slicing}
    return plain


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """The resolved configuration of a run as its gates see it."""

    pipeline: Pipeline
    source_lists: tuple[str, ...]
    """Lists of the source that are this run's live set (I10)."""
    launcher: dict[str, Any]
    """`_target_` and parameters."""
    retries: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Folder of a stage → its lists of retries, in the order in which they were made. Other runs never see them."""
    tried: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """Folder of a stage → id of an item whose files had changed → what they looked like when a retry tried it."""
    code: str
    """Frozen copy of the code."""
    most: dict[str, Allowance] = msgspec.field(default_factory=dict)
    """Stage → the most that a worker of it may have here, as the launcher knew when the command was typed."""
    nodes: dict[str, int] = msgspec.field(default_factory=dict)
    """Stage → nodes that it may run on, if there is a choice."""
    forgiven: dict[str, int] = msgspec.field(default_factory=dict)
    """Stage → last round before the user's latest call."""
    keep: str = "all"
    """`results`: files that nothing of the run needs any more are freed while it works."""
    uses: dict[str, int] = msgspec.field(default_factory=dict)
    """Folder of a stage → the entry of `uses/` with which this call said that it needs the files there."""
    output: str = ""
    metrics: str = ""
    """Folder for a file of metrics; empty: none is kept."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Distribution → version of what the stages import, where it was submitted (I13)."""
    command: Command = Command()
    """What was typed last to start or continue the run."""


def with_retried(before: Iterable[Frozen | Retried], now: Frozen) -> Frozen:
    """What a run freezes now, with what it has retried before, of the stages that are the same. Pure."""
    retries = {stage.folder: dict[str, None]() for stage in now.pipeline.stages}
    tried = {stage.folder: dict[str, str]() for stage in now.pipeline.stages}
    for one in (*before, now):
        for folder in retries:
            retries[folder] |= dict.fromkeys(one.retries.get(folder, ()))
            tried[folder] |= one.tried.get(folder, {})
    return msgspec.structs.replace(
        now,
        retries={folder: tuple(names) for folder, names in retries.items() if names},
        tried={folder: items for folder, items in tried.items() if items},
    )


def open_store(
    root: str,
    filesystem: Filesystem = POSIX,
    echo: Callable[[str], None] = lambda line: None,
    mode: str | None = None,
    *,
    frees: bool = False,
) -> Store:
    """The store at `root`, made if missing; one of an earlier format is continued. Raises StoreError otherwise.

    A new one is its owner's alone, unless `mode` says that it is the group's. With `frees` it gets the format of stores
    whose files may be freed.
    """
    store, mode = Store.at(root), mode or mode_of(root) or PRIVATE
    try:
        for folder in (store.root, store.stages, store.runs):
            filesystem.make_folders(folder, mode=access.GROUP if mode == GROUP else access.OWNER)
        mark = json.dumps({"format": FORMAT, "mode": mode}).encode() + b"\n"
        if "format.json" not in filesystem.names(store.root):
            filesystem.create(store.format_json, mark)
        if not filesystem.read(store.format_json):  # who made it died before it had content
            filesystem.replace(store.format_json, mark)
        there = json.loads(filesystem.read(store.format_json))
        found = there["format"]
    except OSError as error:
        raise StoreError(f"store={root}: cannot be used as a store: {explain(error, store.root)}") from None
    except (ValueError, KeyError) as error:
        raise StoreError(f"store={root}: cannot be used as a store: {error}") from None
    wanted = WITH_FREED_FILES if frees or found == WITH_FREED_FILES else FORMAT
    if found not in (*CONTINUED, FORMAT, WITH_FREED_FILES):
        raise StoreError(
            f"store={root}: has format {found}, this hpcurate writes {wanted}; "
            "use the hpcurate that made it, or name a new store"
        )
    if found != wanted:  # its modes stay, and say whose it is
        filesystem.replace(store.format_json, json.dumps({**there, "format": wanted}).encode() + b"\n")
        echo(
            f"store={root}: had format {found}, and has {wanted} from now on: what is committed stands, and an earlier "
            "hpcurate refuses the store"
        )
    return store


def check_name(name: str) -> None:
    """A check for `option`: a pipeline's name is a part of names of folders and jobs."""
    if not _NAME.fullmatch(name):
        raise ConfigError("expected at most 64 letters, digits, _ . and -, the first a letter or digit, e.g. night_2")


def check_store_writable(root: str) -> None:
    """Whether a store could be made or used at `root`; writes nothing. Raises StoreError."""
    path = Store.at(root).root
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise StoreError(f"store={root}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK) or _is_read_only(there):
        raise StoreError(f"store={root}: {there} is not writable; name a folder on shared storage that is yours")


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def open_run(
    store: Store,
    draft: Pipeline,
    output: str | None,
    limit: int | None = None,
    filesystem: Filesystem = POSIX,
    clock: Clock | None = None,
) -> Run:
    """The run of this configuration: the one there is, or a new one whose name sorts by time.

    `draft` is the pipeline that writes to `output`, or to UNNAMED. What a run is does not depend on its launcher or
    resources.
    """
    identity = _users_own(store, run_identity(draft, output, limit))
    entry = _name_file(store, identity)
    filesystem.make_folders(os.path.dirname(entry))
    stamp = stamp_after(run_names(store, others=True), (clock or SystemClock()).now())
    filesystem.create(entry, f"{stamp}-{draft.name}-{identity[:6]}\n".encode())
    name = filesystem.read(entry).decode().strip()
    if not name:
        raise StoreError(
            f"{entry}: is empty: another call is writing it, or died while it did; type the command again in a minute, "
            "and if that does not help, move it out of the store"
        )
    run = Run(store, name, filesystem)
    filesystem.make_folders(run.path, mode=access.OWNER)
    return run


def stamp_after(names: Iterable[str], now: datetime.datetime) -> str:
    """How the name of a new run begins: the second of now, or the one after that of the newest run there is.

    Runs of a sweep, or of a script, begin within one second, and clocks of login nodes differ by some: their names
    still sort as they were begun. A run of more than a minute ahead is one of a clock that was wrong. Pure.
    """
    stamp, newest = now.strftime(_SECOND), max((name[:15] for name in names if name[:1].isdigit()), default="")
    if newest < stamp:
        return stamp
    soon = [(now + datetime.timedelta(seconds=n)).strftime(_SECOND) for n in range(61)]
    return soon[soon.index(newest) + 1] if newest in soon[:-1] else stamp


def peek_run(store: Store, draft: Pipeline, output: str | None, limit: int | None = None) -> Run | None:
    """The run that `open_run` would continue, or None if it would make a new one. Writes nothing."""
    return run_of(store, run_identity(draft, output, limit))


def run_of(store: Store, identity: str) -> Run | None:
    """The run of that identity, if there is one. Writes nothing."""
    with suppress(OSError):
        return Run(store, POSIX.read(_name_file(store, _users_own(store, identity))).decode().strip())
    return None


def also_means(run: Run, identity: str) -> None:
    """From now on a configuration of this identity continues that run. Raises StoreError if it is another one's."""
    entry = _name_file(run.store, _users_own(run.store, identity))
    run.filesystem.make_folders(os.path.dirname(entry))
    run.filesystem.create(entry, f"{run.name}\n".encode())
    other = run.filesystem.read(entry).decode().strip()
    if other != run.name:
        raise StoreError(
            f"{run.name}: its command with the code of now is the run {other}: continue that one, or move {entry} out "
            "of the store and type the same again"
        )


def run_identity(draft: Pipeline, output: str | None, limit: int | None) -> str:
    """Digest of what makes a run this run. `draft` is the pipeline that writes to `output`, or to UNNAMED."""
    stages = {stage.name: stage.fingerprint for stage in draft.stages}
    parts: dict[str, Any] = {"name": draft.name, "output": output, "stages": stages}
    if draft.source.inputs:  # they are no part of the fingerprints
        parts["inputs"] = draft.source.inputs
    return digest(parts if limit is None else {**parts, "limit": limit})


def _users_own(store: Store, identity: str) -> str:
    """In a group's store each user has runs of their own: they share stages, never configuration and code."""
    user = sharer(store.root)
    return digest({"run": identity, "user": user}) if user else identity


def _name_file(store: Store, identity: str) -> str:
    return os.path.join(store.runs, ".names", identity[:16])


def name_entries(store: Store, run: str, filesystem: Filesystem = POSIX) -> Iterator[str]:
    """Paths of the entries that say which configurations are that run."""
    folder = os.path.join(store.runs, ".names")
    for path in (os.path.join(folder, name) for name in sorted(filesystem.names(folder))):
        with suppress(OSError):
            if filesystem.read(path).decode(errors="replace").strip() == run:
                yield path


def point_latest(run: Run) -> None:
    """Let `runs/latest` point to this run."""
    link = _latest(run.store)
    temporary = f"{link}.{os.getpid()}"
    with suppress(OSError):
        os.symlink(run.name, temporary)
        os.replace(temporary, link)


def _latest(store: Store) -> str:
    """The symbolic link to the latest run; in a store of a group each user has one."""
    user = sharer(store.root)
    return os.path.join(store.runs, f"latest-{user}" if user else "latest")


def point_to_newest(store: Store, filesystem: Filesystem = POSIX) -> None:
    """Let `runs/latest` point to the newest run, where it points to one that was removed."""
    if not os.path.isdir(_latest(store)) and (names := run_names(store)):
        point_latest(Run(store, names[-1], filesystem))


def run_names(store: Store, *, others: bool = False) -> list[str]:
    """All runs that this user may read, oldest first; with `others` all there are."""
    names = sorted(n for n in POSIX.names(store.runs) if not n.startswith(".") and not n.startswith("latest"))
    return names if others or not sharer(store.root) else [n for n in names if may_read(store.run(n))]


def find_run(store: Store, wanted: str | None) -> Run:
    """The run a user means: a name, a path, a unique part of a name, or nothing for the latest.

    Raises StoreError listing the candidates.
    """
    names = run_names(store)
    if not names:
        raise StoreError(f"store={store.root}: there are no runs yet")
    if wanted is None or wanted == "latest":
        link = _latest(store)
        return Run(store, os.readlink(link) if os.path.isdir(link) else names[-1])
    wanted = os.path.basename(wanted.rstrip("/"))
    found = (
        [n for n in names if n == wanted]
        or [n for n in names if n.startswith(wanted)]
        or [n for n in names if wanted in n]
    )
    if not found and wanted in run_names(store, others=True):
        raise StoreError(
            f"{wanted} is a run of {owner_of(store.run(wanted))}, and a run's folder is its owner's alone; "
            "what it made is in the stages: type the run's command yourself, and your run continues from there"
        )
    if len(found) != 1:
        some = ", ".join((found or names)[-5:])
        raise StoreError(f"{'no' if not found else 'more than one'} run is called {wanted!r}; there are: {some}")
    return Run(store, found[0])
