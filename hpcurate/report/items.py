"""Finding the row that a user means: by a name or a part of one, an id, or a file that was made of it.

The input is searched first, then one stage after the other: what a stage has made has ids of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.rows import DROPPED, TASKS, Plain, content_of, name_of, plain_of, spelled
from hpcurate.report.run_view import CommittedShard, RunView

THREADS = 16
"""Shards that are read at once: nearly all of the time is waiting for the storage."""
NAMES = ("id", "path", "source")
MEMBERS = ("files", "data")
"""Fields whose values name a task, too: those of groups of files, and of rows of tables."""
SHORTEST = 4
"""Characters of the beginning of an id that stand for it."""
KEPT = 1000
"""Rows that are kept of those that have no more than a part of the name."""


@attrs.define(frozen=True, eq=False)
class Hit:
    """A row that may be meant."""

    folder: str
    """Of the stage whose output it is, or of the source."""
    stage: PlannedStage | None
    """None: the input."""
    shard: CommittedShard
    number: int | None
    """Of the row in `tasks.jsonl`; None for a task that ended within the shard."""
    plain: Plain
    rank: int
    """How well it fits: see `rank_of`."""

    @property
    def id(self) -> str:
        """Id of the task."""
        return str(self.plain["id"])

    @property
    def name(self) -> str:
        """What a user calls it."""
        return name_of(self.plain)


# -- how well a row fits: pure ----------------------------------------------------------------------

EXACT, LAST_PART, BEGINNING, PART, NO_FIT = range(5)


def rank_of(wanted: Sequence[str], plain: Plain) -> int:
    """How well the names of a task fit any of the texts: the least is the best."""
    names = [*(str(plain[key]) for key in NAMES if plain.get(key)), *_members(plain)]
    return min((_rank(text, name, str(plain.get("id"))) for text in wanted for name in names), default=NO_FIT)


def _members(plain: Plain) -> Iterator[str]:
    for key in MEMBERS:
        if isinstance(plain.get(key), dict):
            yield from (value for value in plain[key].values() if isinstance(value, str))


def _rank(text: str, name: str, task_id: str) -> int:
    if name == text:
        return EXACT
    if name.endswith(f"/{text}"):
        return LAST_PART
    if PurePosixPath(name).stem == text or (name == task_id and len(text) >= SHORTEST and name.startswith(text)):
        return BEGINNING
    return PART if text in name else NO_FIT


# -- searching --------------------------------------------------------------------------------------


def find(view: RunView, wanted: Sequence[str], worst: int = PART) -> list[Hit]:
    """The rows that fit best, in order: of the input, else of the first stage that has any."""
    source = _Search(view.frozen.pipeline.source.folder, None, wanted, worst)
    found = _best(source.through(view.source(), TASKS))
    for stage in view.planned if not found else ():
        shards = view.committed(stage)
        search = _Search(stage.folder, stage, wanted, worst)
        found = _best([*search.through(shards, TASKS), *search.through(shards, DROPPED)])
        if found:
            break
    return found


def _best(hits: Iterable[Hit]) -> list[Hit]:
    """Those of the best rank, each task once."""
    kept: dict[int, dict[str, Hit]] = {}
    for hit in hits:
        same = kept.setdefault(hit.rank, {})
        if len(same) < KEPT:
            same.setdefault(hit.id, hit)
    return list(kept[min(kept)].values()) if kept else []


@attrs.define(frozen=True)
class _Search:
    """For rows of one stage, or of the input."""

    folder: str
    stage: PlannedStage | None
    wanted: Sequence[str]
    worst: int

    def through(self, shards: Sequence[CommittedShard], file: str) -> Iterator[Hit]:
        """All that fit, in the order of the shards."""
        needles = [one for text in self.wanted for one in spelled(text)]
        with ThreadPoolExecutor(THREADS) as pool:
            for hits in pool.map(lambda shard: list(self._in(shard, file, needles)), shards):
                yield from hits

    def _in(self, shard: CommittedShard, file: str, needles: Sequence[bytes]) -> Iterator[Hit]:
        data = content_of(shard, file)
        if not any(needle in data for needle in needles):
            return
        for number, line in enumerate(data.splitlines()):
            if any(needle in line for needle in needles):
                plain = plain_of(line, file)
                if (rank := rank_of(self.wanted, plain)) <= self.worst:
                    yield Hit(self.folder, self.stage, shard, number if file == TASKS else None, plain, rank)


# -- files ------------------------------------------------------------------------------------------


@attrs.define(frozen=True)
class StoreFile:
    """A file of a committed shard, by its path."""

    folder: str
    """Of its stage."""
    shard: str
    task_folder: str
    """Name of the folder of its task's files; empty for the shard's own files."""


def store_file(stages: str, path: str) -> StoreFile | None:
    """What a path below the store's `stages/` names; None for another path. Pure."""
    parts = PurePosixPath(os.path.relpath(path, stages)).parts
    if len(parts) < 4 or parts[0] == ".." or parts[1] != "shards":
        return None
    return StoreFile(parts[0], parts[3], parts[5] if len(parts) > 5 and parts[4] == "files" else "")


def names_in(relative: str) -> list[str]:
    """What the path of an output file may say of the task that it was made of: ids and names. Pure.

    `clips/3f/3f0c….mp4`, `previews/3f/3f0c…/0_48.webp` and `metas/v0/3f/3f0c….json` have the id; `a/b.mp4.json` has
    the name.
    """
    found = [relative, *_without_suffixes(relative)]
    for part in reversed(PurePosixPath(relative).parts):
        found += [part, *_without_suffixes(part)]
    return [name for name in dict.fromkeys(found) if len(name) >= SHORTEST]


def _without_suffixes(path: str) -> Iterator[str]:
    while (shorter := os.path.splitext(path)[0]) != path:
        yield (path := shorter)


def id_in(task_folder: str) -> str:
    """The id that a folder of a task's files is named by. Pure."""
    return unquote_to_bytes(task_folder).decode("utf-8", "surrogateescape")
