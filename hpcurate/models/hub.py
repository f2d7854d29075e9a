"""Weights from the hub, by huggingface_hub: resumed where it stopped, checked file by file."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from hpcurate.errors import LOCAL_ERRNOS, ConfigError, StoreError
from hpcurate.models.listing import is_wanted
from hpcurate.models.offer import Echo, Offer
from hpcurate.models.registry import ModelEntry
from hpcurate.store.manifest import FileEntry, sha256_of
from hpcurate.units import plural

STREAMS = 4
"""Files that are downloaded at once."""


@attrs.define(frozen=True)
class RemoteFile:
    """A file as the hub describes it."""

    path: str
    size: int
    sha256: str | None
    """Of large files."""
    blob: str | None
    """Git's digest, of small files."""


def look_up(entry: ModelEntry, version: str | None) -> Offer:
    """See `fetch.LOOK_UP`. Raises ConfigError or StoreError."""
    hub = _library()
    with _plain_errors(entry):
        info = hub.HfApi().model_info(entry.repo, revision=version or entry.revision, files_metadata=True)
    files = [_remote(sibling) for sibling in info.siblings or []]
    wanted = [f for f in files if is_wanted(f.path, entry.files)]
    if not wanted:
        raise ConfigError(f"model {entry.name}: no file of {entry.repo} matches files={entry.files}")
    commit, total = str(info.sha), sum(file.size for file in wanted)
    text = f"{plural(len(wanted), 'file')}, {total / 1e6:.1f} MB, of {entry.repo}@{commit[:12]}"
    return Offer(commit, total, text, functools.partial(_bring, entry, commit, wanted, total))


def _remote(sibling: Any) -> RemoteFile:
    lfs = sibling.lfs
    digest = None if lfs is None else (lfs["sha256"] if isinstance(lfs, dict) else lfs.sha256)
    return RemoteFile(sibling.rfilename, int(sibling.size or 0), digest, sibling.blob_id)


def _bring(
    entry: ModelEntry, commit: str, files: list[RemoteFile], total: int, part: str, echo: Echo
) -> list[FileEntry]:
    done, finished = 0, []
    with ThreadPoolExecutor(STREAMS) as pool:
        waiting = {pool.submit(_download_one, entry, commit, file, part): file for file in files}
        try:
            for future in as_completed(waiting):
                finished.append(future.result())
                done += waiting[future].size
                echo(f"{entry.name}: {waiting[future].path} ({done / 1e6:.1f} of {total / 1e6:.1f} MB)")
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return finished


def _download_one(entry: ModelEntry, commit: str, file: RemoteFile, part: str) -> FileEntry:
    hub = _library()
    with _plain_errors(entry):
        hub.hf_hub_download(entry.repo, file.path, revision=commit, local_dir=part)
    path = Path(part, file.path)
    digest = sha256_of(path)
    right = digest == file.sha256 if file.sha256 else file.blob in (None, _git_blob(path))
    if not right or path.stat().st_size != file.size:
        size = path.stat().st_size
        path.unlink()
        raise StoreError(
            f"model {entry.name}: {file.path} is not what the hub announced ({size} of {file.size} bytes, or another "
            "digest); it was deleted, the same command fetches it again"
        )
    return FileEntry(file.path, file.size, digest)


def _git_blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def _library() -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError("models: huggingface_hub is not installed here; pip install 'hpcurate[models]'") from None
    return huggingface_hub


@contextmanager
def _plain_errors(entry: ModelEntry) -> Iterator[None]:
    """The hub's errors in one line each. No token is ever in them: they carry addresses only."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise ConfigError(
            f"model {entry.name}: {entry.repo} is gated; accept its licence on its page, then set HF_TOKEN "
            "or type `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise ConfigError(
            f"model {entry.name}: {entry.repo} has no revision {entry.revision!r}; fix `revision:` in its entry"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ConfigError(
            f"model {entry.name}: the hub has no {entry.repo}, or it is private; fix `repo:`, or set HF_TOKEN"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        hint = "; the hub asks to slow down: try again in some minutes" if status == 429 else ""
        raise StoreError(f"model {entry.name}: the hub answered {status} for {entry.repo}{hint}") from None
    except errors.OfflineModeIsEnabled:
        raise ConfigError(
            f"model {entry.name}: HF_HUB_OFFLINE is set here, so nothing is fetched; unset it, then type the same again"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in LOCAL_ERRNOS:
            raise  # no connection: nothing can be written here
        if not (isinstance(error, (OSError, errors.LocalEntryNotFoundError)) or _of_the_network(error)):
            raise
        raise StoreError(
            f"model {entry.name}: the hub could not be reached, or the connection broke ({type(error).__name__}); "
            "the same command continues where it stopped"
        ) from None


def _of_the_network(error: Exception) -> bool:
    """The HTTP library's own errors; which library that is changes with huggingface_hub's release."""
    return any(base.__name__ == "TransportError" for base in type(error).__mro__)
