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

from slurm_fixture import SlurmSite, dev_slurm

from tests.campaign.judgement import Letter, Tree
from tests.campaign.lies import Lies
from tests.campaign.processes import Process, by_kind, seen

STORE_MB = 400


class Ground:
    """One run's folder, on a Slurm that nobody else uses."""

    def __init__(self, folder: Path, slurm: SlurmSite, *, mounted: bool) -> None:
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
        shards = sorted(self.store.glob("stages/*/shards/*/[!.]*"))
        rows: dict[str, str] = {}
        letters: list[Letter] = []
        for shard in shards:
            stage = shard.parts[-4].rpartition("-")[0]
            for path in sorted(shard.glob("*.jsonl")):
                if path.name == "failed.jsonl":
                    letters += self._letters(shard, path)
                else:
                    rows[f"{stage}/{_plain(shard.name)}/{path.name}"] = self._comparable(path.read_text())
        return Tree(rows=rows, letters=tuple(letters))

    def _letters(self, shard: Path, path: Path) -> Iterator[Letter]:
        history = json.loads((shard / "stats.json").read_text()).get("history", [])
        ends = tuple((end["ending"], tuple(end.get("in_flight", ()))) for end in history)
        for row in map(json.loads, path.read_text().splitlines()):
            yield Letter(stage=row["stage"], id=row["id"], error=row["error"], message=row["message"], history=ends)

    def _comparable(self, text: str) -> str:
        """Rows without the store's path, fingerprints, and the shards that their files lie in."""
        text = text.replace(str(self.folder), "FOLDER")
        return re.sub(r'"[a-z]+-[0-9a-f]{12}/shards/[^/"]+/[^/"]+/', '"', text)


def _plain(shard: str) -> str:
    """A gather's shard is named by what it reads."""
    return re.sub(r"^[0-9a-f]{20}$", "all", shard)


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
