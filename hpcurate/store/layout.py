"""Names and paths on shared storage. Pure: nothing here touches a file.

<store>/format.json
<store>/stages/<name>-<fp12>/{stage.json, lists/, shards/<fan>/<shard>/, claims/<fan>/, workers/<fan>/,
                              rounds/<n>/, wanted/<run>, uses/<n>, freed/<fan>/, checkpoints/<fan>/<shard>.<n>/,
                              done/<fan>.json, read.json}
<store>/runs/<run>/{config.yaml, pipeline.json, imported.json, retries/<n>.json, code-<digest>/, inputs/<digest>/,
                    submissions/<stage>-<n>/, summary.json, output/}
<store>/serving/<server>/{server.json, job.json, process.json, address.json, cancel, ended.json, log, requests/,
                          code-<digest>/}
<store>/weights/<repo>@<commit>/   envs/<name>-<digest>/   packs/<name>-<digest>/   runtime/cp<minor>-<machine>/
<store>/trash/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from os.path import abspath, expanduser

import msgspec

from hpcurate.errors import ConfigError

FORMAT = 2
"""Version of this layout; a store of a later version is refused. 2: lists have versions, lists and shards may be named
by their content, attempts may end as `lost` or `store`, indexes are per fan-out folder."""
WITH_FREED_FILES = 3
"""Of a store in which a run has kept only results: an earlier hpcurate would miss the files that were freed there."""
CONTINUED = (1,)
"""Earlier versions whose stores are continued; from then on they have this version."""


CONTENT_DIGITS = 20
"""Hexadecimal digits of a name that stands for its content."""
_CONTENT_NAME = re.compile(rf"[a-z]+\.[0-9a-f]{{{CONTENT_DIGITS}}}")


def refuse_remote(store: str) -> None:
    """Raise ConfigError for an address of object storage: commits are renames, and claims exclusive files."""
    if re.match(r"[a-z][a-z0-9+.-]*://", store):
        raise ConfigError(
            f"store={store}: expected a folder on shared storage; in a bucket may be input=s3://… and output=s3://…"
        )


def shard_id(list_name: str, ordinal: int) -> str:
    """`0001-000042`: of a list that is named by a number. Nothing may rely on its order: see `content_id`."""
    return f"{list_name}-{ordinal:06d}"


def content_id(parts: Iterable[tuple[object, ...]]) -> str:
    """A digest of the parts, which nobody else's parts have: names what is the same wherever it is made."""
    lines = "".join(" ".join(map(str, part)) + "\n" for part in parts)
    import hashlib

    return hashlib.sha256(lines.encode()).hexdigest()[:CONTENT_DIGITS]


def fan_of(shard: str) -> str:
    """Fan-out folder of a shard. One with an ordinal: all but its last three digits, so at most 1000 shards; one that
    is a digest, which has no hyphen: the first three digits.
    """
    return shard[:-3] if "-" in shard else shard[:3]


def base(list_name: str) -> str:
    """A list's name without the number of its version: `0001` of `0001+2`."""
    return version(list_name)[0]


def version(list_name: str) -> tuple[str, int]:
    """A list's name and the number of its version: `0001+2` is version 2 of `0001`, which is version 0."""
    name, plus, number = list_name.rpartition("+")
    return (name, int(number)) if plus and number.isdigit() else (list_name, 0)


def version_name(name: str, number: int) -> str:
    """The list of that version: see `version`."""
    return f"{name}+{number}" if number else name


def is_content_named(list_name: str) -> bool:
    """Whether a list is named by what goes into it, `<tag>.<digest>`: then its shards are, too."""
    return _CONTENT_NAME.fullmatch(base(list_name)) is not None


class StageFolder(msgspec.Struct, frozen=True):
    """Paths inside one stage's folder."""

    path: str

    @property
    def stage_json(self) -> str:
        """Fingerprint and its readable parts."""
        return f"{self.path}/stage.json"

    @property
    def lists(self) -> str:
        """Shard lists."""
        return f"{self.path}/lists"

    @property
    def rounds(self) -> str:
        """Tickets."""
        return f"{self.path}/rounds"

    @property
    def wanted(self) -> str:
        """Runs that refer to this stage."""
        return f"{self.path}/wanted"

    def list_file(self, name: str) -> str:
        """One shard list."""
        return f"{self.lists}/{name}.jsonl"

    @property
    def files_read(self) -> str:
        """Of a source: what its files were when its lists were made. Only a cache."""
        return f"{self.path}/read.json"

    @property
    def uses(self) -> str:
        """Who needs the files of the shards."""
        return f"{self.path}/uses"

    def use(self, number: int) -> str:
        """One entry of that log."""
        return f"{self.uses}/{number:04d}"

    @property
    def freed(self) -> str:
        """Files that were freed, and are made again."""
        return f"{self.path}/freed"

    def freed_fan(self, fan: str) -> str:
        """Those of one fan-out folder."""
        return f"{self.freed}/{fan}"

    def freed_files(self, shard: str, number: int) -> str:
        """What was `files/` of a shard until decision `number`."""
        return f"{self.freed_fan(fan_of(shard))}/{shard}.{number}"

    @property
    def indexes(self) -> str:
        """What is committed, a file for each fan-out folder."""
        return f"{self.path}/done"

    def index(self, fan: str) -> str:
        """Index of the committed shards of one fan-out folder."""
        return f"{self.indexes}/{fan}.json"

    def shards(self, fan: str) -> str:
        """Committed shards and attempts of one fan-out folder."""
        return f"{self.path}/shards/{fan}"

    def shard(self, shard: str) -> str:
        """One committed shard."""
        return f"{self.shards(fan_of(shard))}/{shard}"

    def attempt(self, shard: str, attempt: int, nonce: str) -> str:
        """Attempt directory, beside its target."""
        return f"{self.shards(fan_of(shard))}/.{shard}.{attempt}.{nonce}"

    def claims(self, fan: str) -> str:
        """Claims of one fan-out folder."""
        return f"{self.path}/claims/{fan}"

    def claim(self, shard: str, attempt: int) -> str:
        """Claim of one attempt."""
        return f"{self.claims(fan_of(shard))}/{shard}.{attempt}"

    def note(self, shard: str, attempt: int) -> str:
        """What an attempt that runs alone has in work; beside its claim."""
        return f"{self.claim(shard, attempt)}.task"

    def checkpoints(self, fan: str) -> str:
        """Checkpoints of one fan-out folder."""
        return f"{self.path}/checkpoints/{fan}"

    def checkpoint(self, shard: str, attempt: int) -> str:
        """What the tasks of a shard have reached, where attempt `attempt` may write it."""
        return f"{self.checkpoints(fan_of(shard))}/{shard}.{attempt}"

    @property
    def workers(self) -> str:
        """Heartbeats, by the last two characters of their names."""
        return f"{self.path}/workers"

    def worker(self, worker: str) -> str:
        """Heartbeat of a worker."""
        return f"{self.workers}/{worker[-2:]}/{worker}"

    def round(self, number: int) -> str:
        """Path that the files of round `number` start with: `.ticket`, `.beat`, `.job`, `.over`, `.cancelled`."""
        return f"{self.rounds}/{number:04d}"


class Store(msgspec.Struct, frozen=True):
    """Paths at the root of a store."""

    root: str

    @classmethod
    def at(cls, path: str) -> Store:
        """The store at a path as a user typed it. Raises ConfigError."""
        refuse_remote(path)
        return cls(abspath(expanduser(path)))

    @property
    def format_json(self) -> str:
        """Store format version."""
        return f"{self.root}/format.json"

    @property
    def stages(self) -> str:
        """All stage folders; the root of `File` references."""
        return f"{self.root}/stages"

    @property
    def runs(self) -> str:
        """All runs."""
        return f"{self.root}/runs"

    @property
    def serving(self) -> str:
        """All servers."""
        return f"{self.root}/serving"

    @property
    def weights(self) -> str:
        """Weights of models."""
        return f"{self.root}/weights"

    @property
    def envs(self) -> str:
        """Prefixes that we built."""
        return f"{self.root}/envs"

    @property
    def packs(self) -> str:
        """Packed prefixes."""
        return f"{self.root}/packs"

    @property
    def runtime(self) -> str:
        """attrs and msgspec for each minor of Python."""
        return f"{self.root}/runtime"

    @property
    def trash(self) -> str:
        """Where everything deleted goes first."""
        return f"{self.root}/trash"

    def stage(self, folder: str) -> StageFolder:
        """One stage's folder, by its name `<stage>-<fp12>`."""
        return StageFolder(f"{self.stages}/{folder}")

    def run(self, run: str) -> str:
        """One run's folder."""
        return f"{self.runs}/{run}"
