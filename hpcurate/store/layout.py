"""Names and paths on shared storage. Pure: nothing here touches a file.

<store>/format.json
<store>/stages/<name>-<fp12>/{stage.json, lists/, shards/<fan>/<shard>/, claims/<fan>/, workers/<fan>/,
                              rounds/<n>/, wanted/<run>, done-<list>.json}
<store>/runs/<run>/{config.yaml, pipeline.json, code-<digest>/, inputs/<digest>/, submissions/<stage>-<n>/,
                    summary.json, output/}
<store>/weights/<repo>@<commit>/   envs/<name>-<digest>/   packs/<name>-<digest>/   runtime/cp<minor>-<machine>/
<store>/trash/
"""

from __future__ import annotations

from os.path import abspath, expanduser, join

import attrs

FORMAT = 1
"""Version of this layout; a store of another version is refused."""


def shard_id(list_name: str, ordinal: int) -> str:
    """`0001-000042`: sorts in list order."""
    return f"{list_name}-{ordinal:06d}"


def fan_of(shard: str) -> str:
    """Fan-out folder of a shard: its id without the last three digits, so at most 1000 shards."""
    return shard[:-3]


@attrs.define(frozen=True)
class StageFolder:
    """Paths inside one stage's folder."""

    path: str

    @property
    def stage_json(self) -> str:
        """Fingerprint and its readable parts."""
        return join(self.path, "stage.json")

    @property
    def lists(self) -> str:
        """Shard lists."""
        return join(self.path, "lists")

    @property
    def rounds(self) -> str:
        """Tickets."""
        return join(self.path, "rounds")

    @property
    def wanted(self) -> str:
        """Runs that refer to this stage."""
        return join(self.path, "wanted")

    def list_file(self, name: str) -> str:
        """One shard list."""
        return join(self.lists, f"{name}.jsonl")

    def done(self, list_name: str) -> str:
        """Index of a completed list."""
        return join(self.path, f"done-{list_name}.json")

    def shards(self, fan: str) -> str:
        """Committed shards and attempts of one fan-out folder."""
        return join(self.path, "shards", fan)

    def shard(self, shard: str) -> str:
        """One committed shard."""
        return join(self.shards(fan_of(shard)), shard)

    def attempt(self, shard: str, attempt: int, nonce: str) -> str:
        """Attempt directory, beside its target."""
        return join(self.shards(fan_of(shard)), f".{shard}.{attempt}.{nonce}")

    def claims(self, fan: str) -> str:
        """Claims of one fan-out folder."""
        return join(self.path, "claims", fan)

    def claim(self, shard: str, attempt: int) -> str:
        """Claim of one attempt."""
        return join(self.claims(fan_of(shard)), f"{shard}.{attempt}")

    def note(self, shard: str, attempt: int) -> str:
        """What an attempt that runs alone has in work; beside its claim."""
        return f"{self.claim(shard, attempt)}.task"

    def worker(self, worker: str) -> str:
        """Heartbeat of a worker."""
        return join(self.path, "workers", worker[-2:], worker)

    def round(self, number: int) -> str:
        """Path that the files of round `number` start with: `.ticket`, `.beat`, `.job`, `.over`, `.cancelled`."""
        return join(self.rounds, f"{number:04d}")


@attrs.define(frozen=True)
class Store:
    """Paths at the root of a store."""

    root: str

    @classmethod
    def at(cls, path: str) -> Store:
        """The store at a path as a user typed it."""
        return cls(abspath(expanduser(path)))

    @property
    def format_json(self) -> str:
        """Store format version."""
        return join(self.root, "format.json")

    @property
    def stages(self) -> str:
        """All stage folders; the root of `File` references."""
        return join(self.root, "stages")

    @property
    def runs(self) -> str:
        """All runs."""
        return join(self.root, "runs")

    @property
    def weights(self) -> str:
        """Weights of models."""
        return join(self.root, "weights")

    @property
    def envs(self) -> str:
        """Prefixes that we built."""
        return join(self.root, "envs")

    @property
    def packs(self) -> str:
        """Packed prefixes."""
        return join(self.root, "packs")

    @property
    def runtime(self) -> str:
        """attrs and msgspec for each minor of Python."""
        return join(self.root, "runtime")

    @property
    def trash(self) -> str:
        """Where everything deleted goes first."""
        return join(self.root, "trash")

    def stage(self, folder: str) -> StageFolder:
        """One stage's folder, by its name `<stage>-<fp12>`."""
        return StageFolder(join(self.stages, folder))

    def run(self, run: str) -> str:
        """One run's folder."""
        return join(self.runs, run)
