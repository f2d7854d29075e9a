"""A store that can be driven by processes of their own, killed and compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass
class Site:
    """A store of its own, and the standard test pipeline to run on it in processes of their own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    """Command that runs a driver somewhere else, such as on another host."""

    @property
    def store(self) -> Path:
        """Root of the store."""
        return self.folder / "store"

    @property
    def output(self) -> Path:
        """Where the pipeline's result lies."""
        return self.folder / "out"

    def start(self, launcher: str, *options: str, failpoints: str = "") -> subprocess.Popen[str]:
        """Begin `drive.py`; killed with the test if it still runs."""
        environment = {**os.environ, **self.env, "HPCURATE_FAILPOINTS": failpoints}
        command = [*self.within, sys.executable, str(HERE / "drive.py"), str(self.store), launcher]
        return subprocess.Popen(
            [*command, "--output", str(self.output), *options],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder,
        )  # fmt: skip

    def drive(self, launcher: str, *options: str, failpoints: str = "", timeout: float = 120) -> Finished:
        """Run `drive.py` to its end."""
        process = self.start(launcher, *options, failpoints=failpoints)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"drive.py did not end in {timeout} s:\n{err}") from None
        return Finished(process.returncode, out, err)

    def summary(self) -> dict[str, Any]:
        """`summary.json` of the latest run."""
        plain: dict[str, Any] = json.loads((self.store / "runs" / "latest" / "summary.json").read_text())
        return plain

    def stats(self) -> dict[str, dict[str, Any]]:
        """`stats.json` of every committed shard, by path below `stages/`."""
        stages = self.store / "stages"
        found = sorted(stages.glob("*/shards/*/[!.]*/stats.json"))
        return {str(p.parent.relative_to(stages)): json.loads(p.read_text()) for p in found}

    def attempts(self) -> dict[str, int]:
        """Committed attempt number by shard, sources left out."""
        return {shard: stats["attempt"] for shard, stats in self.stats().items() if "attempt" in stats}

    def claims(self) -> list[str]:
        """Every claim ever made: attempts by any worker."""
        found = self.store.glob("stages/*/claims/*/*")
        return sorted(p.name for p in found if not p.name.startswith(".") and p.suffix[1:].isdigit())

    def tree(self) -> dict[str, str]:
        """What the run is worth: rows of every committed shard by stage and shard, and the output."""
        rows = {}
        for path in sorted((self.store / "stages").glob("*/shards/*/[!.]*/*.jsonl")):
            stage = path.parts[-5].rpartition("-")[0]
            rows[f"{stage}/{path.parts[-2]}/{path.name}"] = path.read_text()
        return rows | {p.name: p.read_text() for p in sorted(self.output.glob("*"))}


@dataclass
class Finished:
    """A program that has ended."""

    status: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The summary it printed."""
        plain: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return plain


def comparable(site: Site) -> dict[str, str]:
    """A site's tree without fingerprint digests of the output path, which differ from site to site."""

    def plain(text: str) -> str:
        text = re.sub(r"(double|digits|collect)-[0-9a-f]{12}", r"\1", text)
        text = re.sub(r"\b[0-9a-f]{20}\b", "all", text)  # a gather's shard is named by the nonces it reads
        return re.sub(r'"traceback":"(?:[^"\\]|\\.)*"', '"traceback":""', text)

    return {plain(name): plain(text) for name, text in site.tree().items()}


def no_double_commit(site: Site) -> None:
    """The committed nonce of each shard is that of exactly one claim."""
    for shard, stats in site.stats().items():
        if "attempt" in stats:
            stage, _, fan, name = shard.split("/")
            claim = site.store / "stages" / stage / "claims" / fan / f"{name}.{stats['attempt']}"
            assert stats["nonce"] in claim.read_text()
