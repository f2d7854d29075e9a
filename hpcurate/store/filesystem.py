"""The few operations on shared storage that correctness rests on, and their POSIX form.

Each is chosen for what NFS and Lustre really promise: exclusive create, rename of a directory onto a name
that does not exist, listing a parent. Nothing here locks, compares clocks, or polls a missing path.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from hpcurate.store.access import CLOSED, READABLE, as_its_folder, make_folder, make_folders, new_file
from hpcurate.system.folders import remove_folder
from hpcurate.system.mounts import keeps_names, syncs_whole
from hpcurate.system.processes import nonce

SYNC_WHOLE_ABOVE = 64
"""More files than this are flushed by one syncfs, where that does it, instead of an fsync each (facts: 5x faster)."""

Content = Callable[[dict[str, int]], bytes]
"""What the last file of a folder has to say of those before it: of their sizes in bytes, by relative path."""

READERS, TRIED, SLOW_S = 16, 8, 2e-4
"""Threads that read small files of storage where each of the first ones takes so long: they wait for the server."""


class Filesystem(Protocol):
    """Shared storage as the store sees it. Paths are absolute; errors other than the named ones are OSError."""

    def names(self, folder: str) -> list[str]:
        """Names in a folder; empty if there is no such folder."""

    def stamp(self, folder: str) -> int:
        """Another number once a name was added to the folder or removed from it; 0 if there is no such folder.

        Of a file, once it was written again. Nanoseconds, by the clock of the storage.
        """

    def read(self, path: str) -> bytes:
        """Whole content. Raises FileNotFoundError."""

    def read_all(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """Each file's content, or why it cannot be read; side by side where the storage takes its time."""

    def create(self, path: str, data: bytes) -> bool:
        """Make a file that nobody has made: True if this call did. Its content is never seen half."""

    def claim(self, path: str, data: bytes) -> bool:
        """Make a file that nobody has made: True if this call did. Its content may come a moment after its name.

        Not flushed: if the server crashes, it may be gone, or empty.
        """

    def write_new(self, path: str, data: bytes) -> None:
        """Make a read-only file in a folder that nobody else reads yet. One of an earlier try of ours is replaced.

        Not flushed: `seal` does that.
        """

    def replace(self, path: str, data: bytes) -> None:
        """Write a cache or summary that may be written again; readers see old or new, whole."""

    def beat(self, path: str, data: bytes) -> None:
        """Overwrite a tiny file in place: a heartbeat, worth no flush."""

    def make_folder(self, path: str) -> bool:
        """Make one folder: True if this call did."""

    def make_folders(self, path: str, mode: int | None = None) -> None:
        """Make a folder and those above it, if missing: as private, or as much a group's, as what they are in.

        With `mode` a new folder itself is as that says.
        """

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every file below, by relative path."""

    def seal(self, folders: Mapping[str, Content], name: str) -> None:
        """Of each folder: make every file below read-only, and nobody else's, write the last one, and flush all of it.

        Who may read and enter what is below, is as with the folder itself. The last file has that name, and replaces
        that of an earlier try of ours.
        """

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """Rename to a name that is free. After any error the caller looks at what happened.

        Of several into one folder the last one flushes the names of all, whether or not it succeeds.
        """

    def discard(self, path: str, trash: str) -> None:
        """Move into the trash folder, then delete there as far as possible."""


class PosixFilesystem:
    """The real one."""

    flushes = True
    """Whether attempts are flushed; what decides between processes always is, but for claims."""

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        try:
            return os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def stamp(self, folder: str) -> int:
        """See `Filesystem`. A time of the server's, only ever compared with itself."""
        try:
            return os.stat(folder).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        with open(path, "rb") as file:
            return file.read()

    def read_all(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """See `Filesystem`. A file in the page cache is read sooner than a thread is woken."""
        begun, first = time.perf_counter(), [self._tried(path) for path in paths[:TRIED]]
        rest = paths[TRIED:]
        if not rest or time.perf_counter() - begun < SLOW_S * len(first):
            return first + [self._tried(path) for path in rest]
        from concurrent.futures import ThreadPoolExecutor  # which hardly a process needs

        with ThreadPoolExecutor(READERS) as readers:
            return [*first, *readers.map(self._tried, rest)]

    def _tried(self, path: str) -> bytes | OSError:
        try:
            return self.read(path)
        except OSError as error:
            return error

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`. A finished temporary file is hard-linked to the name: whole or not there."""
        return _linked(path, data, flush=True)

    def claim(self, path: str, data: bytes) -> bool:
        """See `Filesystem`. By the name alone (O_EXCL) where that has one winner for sure, and a truthful answer."""
        if keeps_names(os.path.dirname(path)):
            return _exclusive(path, data, flush=False)
        return _linked(path, data, flush=False)

    def write_new(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        with _naming(path), open(path, "wb", opener=new_file) as file:
            file.write(data)

    def replace(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        temporary = _beside(path)
        try:
            _write(temporary, data, flush=True)
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def beat(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        _write(path, data, flush=False, truncate=False)

    def make_folder(self, path: str) -> bool:
        """See `Filesystem`."""
        try:
            make_folder(path)
        except FileExistsError:
            return False
        return True

    def make_folders(self, path: str, mode: int | None = None) -> None:
        """See `Filesystem`."""
        new = mode is not None and not os.path.isdir(path)
        make_folders(path)
        if new and mode is not None:
            os.chmod(path, mode)

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Filesystem`."""
        return {os.path.relpath(path, folder): os.stat(path).st_size for path in sorted(_files(folder))}

    def seal(self, folders: Mapping[str, Content], name: str) -> None:
        """See `Filesystem`. The one or other is flushed where it was written, many folders at once."""
        each, written = self.flushes and len(folders) == 1, list[str]()
        for folder, content in folders.items():
            with _opened(folder) as descriptor:
                sizes, below = _frozen(folder, descriptor)
                if each:
                    _flush([*sizes, *below])
                data = content({path[len(folder) + 1 :]: sizes[path] for path in sorted(sizes)})
                _write_last(os.path.join(folder, name), descriptor, data, flush=each)
                written += [*sizes, *below, os.path.join(folder, name), folder]
        if self.flushes and not each:
            _flush(written)

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """See `Filesystem`."""
        try:
            _move(source, target)
        finally:
            if flush and self.flushes:
                _fsync(os.path.dirname(target))

    def discard(self, path: str, trash: str) -> None:
        """See `Filesystem`."""
        make_folders(trash)
        target = os.path.join(trash, f"{os.path.basename(path)}.{nonce()}")
        with suppress(FileNotFoundError):
            _move(path, target)
            remove_folder(target) if os.path.isdir(target) and not os.path.islink(target) else os.unlink(target)


class Unflushed(PosixFilesystem):
    """Attempts get to the disk when the system writes them there: `durability=rename`."""

    flushes = False


POSIX = PosixFilesystem()
"""For whoever was not handed another: it keeps nothing."""
DURABILITIES = {"full": POSIX, "rename": Unflushed()}
"""What a worker commits with: "full" survives a crash of the storage, "rename" a crash of the worker alone."""


def _linked(path: str, data: bytes, *, flush: bool) -> bool:
    """Whether a finished file of ours got the name."""
    temporary = _beside(path)
    try:
        _write(temporary, data, flush=flush)
        won = name_once(temporary, path)
        return _exclusive(path, data, flush=flush) if won is None else won
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def name_once(temporary: str, path: str) -> bool | None:
    """Whether a finished file got the name, by a link or by moving it; None where the filesystem has no way to do so.

    An error of link() may lie on NFS, its success does not; a link count of 2 is success, too (open(2), O_EXCL).
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            return _rename_if_new(temporary, path)
        if _links(temporary) != 2:
            if isinstance(error, FileExistsError):
                return False
            raise
    return True


def _exclusive(path: str, data: bytes, *, flush: bool) -> bool:
    """Whether a new file got the name; its content comes last."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    try:
        with _naming(path), os.fdopen(descriptor, "wb") as file:
            as_its_folder(path, descriptor)
            file.write(data)
            file.flush()
            if flush:
                os.fsync(descriptor)
    except OSError:  # half of it stands for nothing
        with suppress(OSError):
            os.unlink(path)
        raise
    return True


def _move(source: str, target: str) -> None:
    """A folder that a program made read-only gets no other parent, as that is written in it (rename(2), EACCES)."""
    try:
        _rename(source, target)
    except PermissionError:
        mode = os.lstat(source).st_mode
        if not stat.S_ISDIR(mode) or mode & stat.S_IRWXU == stat.S_IRWXU:
            raise
        os.chmod(source, stat.S_IMODE(mode) | stat.S_IRWXU)
        _rename(source, target)


def _rename(source: str, target: str) -> None:
    """To a name that is free: rename(2) would replace an empty folder."""
    won = _rename_if_new(source, target)
    if won is False or (won is None and os.path.lexists(target)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    if won is None:
        os.rename(source, target)


def _files(folder: str) -> list[str]:
    """Regular files: to open a pipe that a program has left would never return."""
    paths = [os.path.join(base, name) for base, _, names in os.walk(folder) for name in names]
    return [path for path in paths if stat.S_ISREG(os.lstat(path).st_mode)]


def _frozen(folder: str, descriptor: int) -> tuple[dict[str, int], list[str]]:
    """(size of each file, folders) below an open folder, read-only now.

    One look at each; what has its mode already is left as it is.
    """
    sizes, folders, access = dict[str, int](), list[str](), _access(descriptor)
    for base in itertools.chain([folder], folders):  # grows
        with os.scandir(descriptor if base is folder else base) as entries:
            for entry in entries:
                path, info = f"{base}/{entry.name}", entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    _set_mode(path, info, access)
                    folders.append(path)
                elif stat.S_ISREG(info.st_mode):  # to open a pipe that a program has left would never return
                    _set_mode(path, info if info.st_nlink == 1 else _unlinked(path), access & READABLE)
                    sizes[path] = info.st_size
    return sizes, folders


def _write_last(path: str, folder: int, data: bytes, *, flush: bool) -> None:
    """A read-only file in an open folder, flushed with the folder's names."""
    access = _access(folder) & READABLE
    with _naming(path):
        with open(path, "wb", opener=new_file) as file:
            if access & CLOSED:  # the umask has taken that away
                os.fchmod(file.fileno(), access)
            file.write(data)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        if flush:
            _fsync_open(folder)


def _set_mode(path: str, info: os.stat_result, mode: int) -> None:
    if stat.S_IMODE(info.st_mode) != mode:
        os.chmod(path, mode)


def _unlinked(path: str) -> os.stat_result:
    """Give a file that has another name a content of its own: that name would become read-only, and could change it."""
    import shutil  # here, as ctypes below: much to load for what few processes do

    copy = _beside(path)
    try:
        shutil.copyfile(path, copy)
        os.replace(copy, path)
    except OSError:  # a half copy would be committed with the rest, once there is room again
        with suppress(OSError):
            os.unlink(copy)
        raise
    return os.lstat(path)


def _beside(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{nonce()}")


def _links(path: str) -> int:
    """How many names a file of ours has by the server's count: a client forgets what it cached when the mode is set."""
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))
    return os.stat(path).st_nlink


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """The error of a call on a descriptor gets its path: whoever reads it has to know which disk is full."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = path
        raise


def _write(path: str, data: bytes, *, flush: bool, truncate: bool = True) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | (os.O_TRUNC if truncate else 0), 0o600)
    with _naming(path), os.fdopen(descriptor, "wb") as file:
        if truncate or not os.fstat(descriptor).st_size:  # it is new
            as_its_folder(path, descriptor)
        file.write(data)
        if flush:
            file.flush()
            os.fsync(file.fileno())


def _flush(paths: Sequence[str]) -> None:
    """Files and folders of one filesystem."""
    if len(paths) > SYNC_WHOLE_ABOVE and _syncfs(os.path.dirname(paths[-1])):
        return
    for path in paths:
        _fsync(path)


def _rename_if_new(source: str, target: str) -> bool | None:
    """Whether it was renamed; False where there is a target, None where C library or filesystem cannot tell."""
    import ctypes

    library, current, no_replace = ctypes.CDLL(None, use_errno=True), -100, 1
    if not hasattr(library, "renameat2"):
        return None
    if library.renameat2(current, os.fsencode(source), current, os.fsencode(target), no_replace) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return None
    if number == errno.EEXIST:
        return False
    raise OSError(number, os.strerror(number), source, None, target)


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _access(folder: int) -> int:
    """Who may do what in an open folder."""
    return stat.S_IMODE(os.fstat(folder).st_mode)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with _naming(path):
            _fsync_open(descriptor)
    finally:
        os.close(descriptor)


def _fsync_open(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some filesystems cannot flush a folder
            raise


def _syncfs(folder: str) -> bool:
    """Flush all of the filesystem that a folder is on; False where that does not do it."""
    import ctypes

    if not syncs_whole(folder):
        return False
    with _opened(folder) as descriptor:
        try:
            return bool(ctypes.CDLL(None, use_errno=True).syncfs(descriptor) == 0)
        except AttributeError:
            return False
