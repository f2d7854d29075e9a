"""Objects of the source on this node: copied ahead of need, each once while a shard needs it, then removed.

A row has the address of an object, and what the stage is given the path of its copy: in what the stage gives out the
address stands again. No name of this node leaves a stage process. Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Optional

from hpcurate.errors import StageError
from hpcurate.node.place import own_folder
from hpcurate.objects.address import Seen, is_remote, parse
from hpcurate.objects.client import Objects, Unwanted, objects
from hpcurate.stage import Stage, members, task_types
from hpcurate.stage_process.batches import Prepared
from hpcurate.stage_process.own_scratch import own_scratch
from hpcurate.stage_process.prepare import Preparer
from hpcurate.stage_process.store_errors import own_io
from hpcurate.system.folders import remove_folder
from hpcurate.task import FileTask, Task, marked_fields

__all__ = ["Copies", "RemoteInputs", "local_name", "source_fields"]

AT_ONCE = 8
"""Objects that are copied side by side: a single stream from a bucket has about 100 MB/s."""
LONGEST_NAME = 200
"""Bytes of the name of a copy; a file system takes 255, and libraries write `<name>.tmp` beside it."""
_ODD = re.compile(r'["\\/\x00-\x1f\x7f-\x9f\ud800-\udfff]')


def source_fields(stage: Stage[Any, Any]) -> tuple[str, ...]:
    """Fields of the tasks that a stage takes with paths of the source's files which it, or a member, opens."""
    return tuple(dict.fromkeys(name for member in members(stage) for name in _opened(member)))


def _opened(stage: Stage[Any, Any]) -> Sequence[str]:
    return marked_fields(task_types(type(stage))[0]) if stage.source_files is None else stage.source_files


def local_name(key: str) -> str:
    """What the copy of an object is called: as its key ends, and JSON has it as it is. Pure."""
    name = _ODD.sub("_", key.rstrip("/").rpartition("/")[2]) or "object"
    name = "_" + name if name in (".", "..") else name
    stem, suffix = os.path.splitext(name)
    most = LONGEST_NAME - len(suffix.encode())
    return (
        name if len(name.encode()) <= LONGEST_NAME else stem.encode()[: max(most, 1)].decode("utf-8", "ignore") + suffix
    )


class _Copy:
    """One object: who needs it, and where it is once it has come."""

    def __init__(self, path: str) -> None:
        self.path, self.shards = path, set[str]()
        self.done = threading.Event()
        self.error: Optional[BaseException] = None


class Copies:
    """Copies of objects below a folder of this process. For threads: each object is fetched by the first that asks."""

    def __init__(self, node_folder: str = "", through: Optional[Objects] = None) -> None:
        """`node_folder`: on the node's own disk; empty: one in the temporary folder."""
        self._node_folder, self._through = node_folder, through or objects()
        self.folder = ""
        """Of this process; empty before the first object."""
        self._lock = threading.Lock()
        self._shards = set[str]()
        self._copies: dict[str, _Copy] = {}
        """By address."""
        self._names: dict[bytes, tuple[str, str]] = {}
        """Name of the folder of a copy → (its path, address)."""

    def begin(self, shard: str) -> None:
        """Objects may be asked for from now on."""
        with self._lock:
            self._shards.add(shard)

    def get(self, address: str, shard: str, known: Optional[Seen] = None) -> str:
        """Path of the copy of an object, for a shard that needs it. Raises what `Objects.fetch` does."""
        while True:
            copy = self._asked(address, shard, known)
            if not isinstance(copy.error, Unwanted):  # else it was begun for a shard that has ended: once more
                break
        if copy.error is not None:
            raise copy.error
        return copy.path

    def _asked(self, address: str, shard: str, known: Optional[Seen]) -> _Copy:
        """Once it has come, or failed."""
        with self._lock:
            if shard not in self._shards:
                raise Unwanted(address)
            copy = self._copies.get(address)
            first = copy is None or copy.error is not None
            if copy is None or first:
                copy = self._copies[address] = _Copy(self._place(address))
            copy.shards.add(shard)
        if first:
            self._fetch(address, copy, known)
        copy.done.wait()
        return copy

    def _fetch(self, address: str, copy: _Copy, known: Optional[Seen]) -> None:
        error: Optional[BaseException] = None
        try:
            with own_io("making a folder for the copy of an object:", copy.path):
                os.makedirs(os.path.dirname(copy.path), exist_ok=True)
            self._through.fetch(parse(address), copy.path, known, lambda: not copy.shards)
        except BaseException as raised:
            error = raised
        with self._lock:  # all at once: whoever asks meanwhile begins no second copy at the same place
            copy.error = error
            copy.done.set()
            if error is not None:
                _remove(copy.path)
            self._drop_unneeded(address, copy)

    def _drop_unneeded(self, address: str, copy: _Copy) -> None:
        """Unless it is on its way: then it goes once it has come, if nobody else has asked for it by then."""
        if not copy.shards and copy.done.is_set():
            del self._copies[address], self._names[_folder_name(copy.path)]
            _remove(copy.path)

    def end(self, shard: str) -> None:
        """The shard needs nothing any more."""
        with self._lock:
            self._shards.discard(shard)
            for address, copy in list(self._copies.items()):
                copy.shards.discard(shard)
                self._drop_unneeded(address, copy)

    def close(self) -> None:
        """Remove all of it."""
        for shard in list(self._shards):
            self.end(shard)
        if self.folder:
            remove_folder(self.folder)

    def restored(self, rows: bytes) -> bytes:
        """Rows with the addresses of objects where they have paths of copies. Raises StageError for what lies beside or
        inside a copy: a row would name a file that nobody has.
        """
        found = self._replaced(rows, rb"(?<!,,:)%s(?!\.?[\w/-])")
        if self._in(found):
            left = found[found.index(_bare(self.folder)) :].partition(b'"')[0].decode("utf-8", "replace")
            raise StageError(
                f"a row names {left}, a file beside or inside the copy of an object, which is removed with its shard; "
                "what a stage makes goes to self.file(task, name)"
            )
        return found

    def shown(self, text: bytes) -> bytes:
        """Text for people, with addresses wherever the path of a copy stands."""
        return self._replaced(text, rb"%s")

    def _replaced(self, text: bytes, form: bytes) -> bytes:
        """`form`: a pattern with a place for the path."""
        if not self._in(text):
            return text
        for name in set(re.findall(re.escape(_bare(self.folder)) + rb"/([0-9a-f]{20})/", text)) & self._names.keys():
            path, address = map(_bare, self._names[name])
            text = re.sub(form.replace(b"%s", re.escape(path)), lambda _, address=address: address, text)  # type: ignore[misc]
        return text

    def _in(self, text: bytes) -> bool:
        return bool(self.folder) and _bare(self.folder) in text

    def _place(self, address: str) -> str:
        """Where the copy goes: named by the address, so that it is the same whatever else is copied."""
        if not self.folder:
            with own_io("making a folder in", self._node_folder or tempfile.gettempdir()):
                self.folder = own_scratch(os.path.join(self._node_folder or own_folder(), "inputs"))
        digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:20]
        path = os.path.join(self.folder, digest, local_name(parse(address).key))
        self._names[digest.encode()] = (path, address)
        return path


def _folder_name(path: str) -> bytes:
    return os.path.basename(os.path.dirname(path)).encode()


def _bare(text: str) -> bytes:
    """As a JSON text has it, without the quotes."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")[1:-1]


def _remove(path: str) -> None:
    with suppress(OSError):
        remove_folder(os.path.dirname(path))


class RemoteInputs:
    """What a stage is given of the source's objects: their copies, ahead of `process` and before its own `prepare`."""

    def __init__(self, stage: Stage[Any, Any], node_folder: str, inner: Optional[Preparer]) -> None:
        self.fields, self._inner = source_fields(stage), inner
        self.copies = Copies(node_folder)
        self.used = False
        """Whether there was any."""
        self._pool: Optional[ThreadPoolExecutor] = None

    def begin(self, shard: str, tasks: Sequence[Task]) -> list[Future[Prepared]]:
        """Begin to copy and to prepare the tasks of a shard."""
        if not self.fields or not any(map(self._named, tasks)):
            return self._inner.begin(tasks) if self._inner else []
        self.used, self._pool = True, self._pool or ThreadPoolExecutor(AT_ONCE)
        return [self._pool.submit(self._one, shard, task) for task in tasks]

    def close(self) -> None:
        """Begin no more, and remove all copies."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self.copies.close()

    def _one(self, shard: str, task: Task) -> Prepared:
        began = time.monotonic()
        for name in self._named(task):
            value = getattr(task, name)
            if isinstance(value, dict):
                found: Any = {key: self._local(one, shard, None) for key, one in value.items()}
            else:
                found = self._local(value, shard, _known(task))
            object.__setattr__(task, name, found)  # of a frozen class, too
        if self._inner is not None:
            return self._inner.begin([task])[0].result()
        return Prepared(task, began, time.monotonic())

    def _local(self, path: Any, shard: str, known: Optional[Seen]) -> Any:
        return self.copies.get(path, shard, known) if is_remote(path) else path

    def _named(self, task: Task) -> list[str]:
        """Fields of the task with addresses of objects."""
        return [name for name in self.fields if _has_remote(getattr(task, name, None))]


def _has_remote(value: object) -> bool:
    return any(map(is_remote, value.values())) if isinstance(value, dict) else is_remote(value)


def _known(task: Task) -> Optional[Seen]:
    """What an object looked like when it was listed."""
    return Seen(task.size, task.mtime_ns) if isinstance(task, FileTask) else None
