"""How many files and folders the engine puts on shared storage, as `docs/housekeeping.md` declares it."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from stages.hello import LowerCase, Prompts

PAGE = Path(__file__).parents[2] / "docs" / "housekeeping.md"


def declared() -> dict[str, int]:
    """Row of the table → how many."""
    rows = re.findall(r"^\| each ([a-z ]+?) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    return {name: int(count) for name, count in rows}


def inodes(store: Path, shards: int, workers: int) -> Counter[str]:
    """What a run of so many shards leaves in the store, by the first folders of its path."""
    options = StageOptions(shard_tasks=1, workers=workers, resources={"memory": "100MB", "cpus": 0.1})
    prompts = Prompts(tuple(str(number) for number in range(shards)))
    hpcurate.run({"lower_case": Step(LowerCase(), options)}, prompts, store=str(store), launcher="local")
    found: Counter[str] = Counter()
    for base, folders, files in os.walk(store):
        place = os.path.relpath(base, store).split(os.sep)
        if place[0] in ("stages", "runs") and not any(name.startswith(("source-", "code-")) for name in place):
            heartbeats = place[2:3] == ["workers"]  # in as many folders as there are pairs of last characters
            found["/".join((place[0], *place[2:3]))] += len(files) + (0 if heartbeats else len(folders))
            found["dropped.jsonl"] += files.count("dropped.jsonl")
    return found - Counter({"stages/shards": found.pop("dropped.jsonl")})


def test_a_run_has_as_many_files_as_are_declared(tmp_path: Path) -> None:
    """And no more of anything else because it has more shards, or more workers."""
    shapes = ((4, 1), (24, 1), (4, 3))
    few, many, wide = (inodes(tmp_path / f"{shards}-{workers}", shards, workers) for shards, workers in shapes)
    a_shard = {place: count - few[place] for place, count in many.items() if count != few[place]}
    a_worker = {place: count - few[place] for place, count in wide.items() if count != few[place]}
    assert 20 * declared()["shard"] == sum(a_shard.values())
    assert 2 * declared()["worker"] == sum(a_worker.values())
