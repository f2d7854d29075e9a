"""Where a run takes place: its Slurm, its store, its processes, and what is seen of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_fixture import dev_slurm

from tests.campaign.judgement import Letter, Tree
from tests.campaign.lies import Lies
from tests.campaign.machine import Site
from tests.campaign.processes import Process, by_kind, seen

STORE_MB = 400
BY_CONTENT = re.compile(r"^[0-9a-f]{20}$")


class Ground:
    """One run's folder, on a Slurm that nobody else uses, or on none."""

    def __init__(self, folder: Path, slurm: Site, *, mounted: bool) -> None:
        self.folder, self.slurm, self.mounted = folder, slurm, mounted
        self.store, self.output, self.greed = folder / "store", folder / "out", folder / "greed"
        self.greed.mkdir()
        self.lies = Lies(folder / "lies")
        self.controller = threading.Lock()
        """Held by whoever stops the controller, or a node's daemon."""

    @property
    def environment(self) -> dict[str, str]:
        """In which the command is typed, and its jobs run."""
        own = {"PATH": f"{self.lies.folder}/bin:{os.environ['PATH']}", "CAMPAIGN_GREED": str(self.greed)}
        return {**os.environ, **self.slurm.env, **own, "XDG_STATE_HOME": str(self.folder / "state")}

    # -- Slurm ----------------------------------------------------------------------------------------

    def jobs(self) -> list[dict[str, str]] | None:
        """What is queued or runs, but for rivals; None where nobody answers."""
        try:
            return [job for job in self.slurm.squeue() if job["Name"] != "rival"]
        except (subprocess.SubprocessError, OSError):
            return None

    def daemon(self, name: str) -> int:
        """Its pid; the name is that of `dev-slurm status`."""
        return int((self.slurm.folder / "pids" / name).read_text().split()[0])

    def start_daemon(self, name: str) -> None:
        """After it was killed."""
        done = dev_slurm("start", self.slurm.folder, name)
        assert done.returncode == 0, done.stderr

    # -- processes ------------------------------------------------------------------------------------

    def processes(self) -> dict[str, list[Process]]:
        """Of this run, by what they are."""
        return by_kind(seen(), self.store, self.slurm.folder)

    # -- the store ------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """What the run's summary says; empty without one."""
        try:
            return str(json.loads((self.store / "runs" / "latest" / "summary.json").read_text())["state"])
        except (OSError, ValueError):
            return ""

    def count(self, pattern: str) -> int:
        """Names below `stages/`."""
        return sum(1 for _ in self.store.glob(f"stages/{pattern}"))

    @property
    def commits(self) -> int:
        """Shards that are committed, without those of the source."""
        return self.count("*/shards/*/[!.]*") - self.count("source-*/shards/*/[!.]*")

    @property
    def rounds(self) -> int:
        """That were ever begun."""
        return self.count("*/rounds/*.ticket")

    @property
    def attempts(self) -> int:
        """That were ever begun."""
        return self.count("*/claims/*/*.[0-9]") + self.count("*/claims/*/*.[0-9][0-9]")

    def tree(self) -> Tree:
        """What the run is worth."""
        letters: list[Letter] = []
        named: dict[str, list[tuple[str, dict[str, str]]]] = {}
        for shard in sorted(self.store.glob("stages/*/shards/*/[!.]*")):
            stage = shard.parts[-4].rpartition("-")[0]
            files = {path.name: path for path in sorted(shard.glob("*.jsonl"))}
            if failed := files.pop("failed.jsonl", None):
                letters += self._letters(shard, failed)
            texts = {name: self._comparable(path.read_text()) for name, path in files.items()}
            named.setdefault(stage, []).append((shard.name, texts))
        return Tree(rows=dict(rows for those in named.items() for rows in _rows(*those)), letters=tuple(letters))

    def _letters(self, shard: Path, path: Path) -> Iterator[Letter]:
        history = json.loads((shard / "stats.json").read_text()).get("history", [])
        ends = tuple((end["ending"], tuple(end.get("in_flight", ()))) for end in history)
        for row in map(json.loads, path.read_text().splitlines()):
            yield Letter(stage=row["stage"], id=row["id"], error=row["error"], message=row["message"], history=ends)

    def _comparable(self, text: str) -> str:
        """Rows without the store's path, fingerprints, and the shards that their files lie in."""
        text = text.replace(str(self.folder), "FOLDER")
        return re.sub(r'"[a-z_]+-[0-9a-f]{12}/shards/[^/"]+/[^/"]+/', '"', text)


def _rows(stage: str, shards: list[tuple[str, dict[str, str]]]) -> Iterator[tuple[str, str]]:
    """`<stage>/<shard>/<file>`, lines. Shards named by what they read, of a gather or of groups, are numbered by rows."""
    own = [(name, files) for name, files in shards if not BY_CONTENT.match(name)]
    rest = sorted((files for name, files in shards if BY_CONTENT.match(name)), key=lambda files: sorted(files.items()))
    for name, files in (*own, *((f"all{n}", files) for n, files in enumerate(rest))):
        for file, text in files.items():
            yield f"{stage}/{name}/{file}", text


@contextmanager
def store_of_its_own(folder: Path) -> Iterator[bool]:
    """A small filesystem for the store, if this machine allows that; whether it does."""
    (folder / "store").mkdir(parents=True)
    image = folder / "image"
    with open(image, "wb") as file:
        file.truncate(STORE_MB << 20)
    made = [
        subprocess.run(command, capture_output=True, check=False).returncode == 0
        for command in (
            ["mkfs.ext4", "-q", "-O", "^has_journal", "-N", "40000", image],
            ["mount", "-o", "loop", image, folder / "store"],
        )
    ]
    try:
        if all(made):
            (folder / "store" / "lost+found").rmdir()
        yield all(made)
    finally:
        if all(made):
            subprocess.run(["umount", "-l", folder / "store"], check=True)
        image.unlink()
