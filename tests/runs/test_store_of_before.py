"""A store made before the core was rewritten is continued by the code after it, with nothing done twice.

`golden/store_of_november_2026` holds two runs of `double` and `digits`: one of 16 numbers that is complete, and one of
12 that was interrupted after two of three shards of `double`. Frozen code and logs are left out; `@STORE@` stands for
the store's path.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from checkout import ROOT
from driven import Site
from engine_stages import Digits, Double, Number
from shell import Shell
from snapshot import Snapshot, difference, snapshot

import hpcurate
from hpcurate.errors import StoreError
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing
from hpcurate.planning.relations import Slices
from hpcurate.planning.slicing import Slicing
from hpcurate.runs.folder import find_run
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.state import RunState
from hpcurate.store.layout import Store
from launchers.local import LocalLauncher

GOLDEN = ROOT / "tests" / "golden" / "store_of_november_2026"
COMPLETE, INTERRUPTED = "20261121-143317-pipeline-d8552c", "20261121-143318-pipeline-4e609e"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The old store, where this test is."""
    found = Site(tmp_path)
    shutil.copytree(GOLDEN, found.store, symlinks=True)
    for path in found.store.rglob("*"):
        if path.is_file() and not path.is_symlink() and b"@STORE@" in (content := path.read_bytes()):
            path.write_bytes(content.replace(b"@STORE@", bytes(found.store)))
    return found


def again(site: Site, sleep_s: float, count: int) -> hpcurate.Outcome:
    """The call that made one of the two runs, in this process."""
    return said(site, sleep_s, count)[0]


def said(site: Site, sleep_s: float, count: int) -> tuple[hpcurate.Outcome, list[str]]:
    """The same, and the lines that it printed."""
    lines: list[str] = []
    shape = StageOptions(shard_tasks=4, workers=1, resources={"cpus": 1, "memory": "200MB", "time": "5m"})
    outcome = hpcurate.run(
        {"double": Step(Double(sleep_s=sleep_s), shape), "digits": Step(Digits(), shape)},
        [Number(id=f"n{i:04d}", value=i) for i in range(count)],
        store=site.store,
        launcher="inline",
        timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0),
        echo=lines.append,
    )
    return outcome, lines


def below_stages(site: Site) -> Snapshot:
    """Every file of every stage."""
    return snapshot(site.store / "stages", folders=False)


def test_a_complete_run_is_found_complete_and_nothing_is_touched(site: Site) -> None:
    """The same run, no attempt, not one file of a stage changed; what is added are marks of today's call, and indexes."""
    before = below_stages(site)
    outcome = again(site, 0.0, 16)
    assert (COMPLETE, RunState.COMPLETE) == (outcome.run.name, outcome.state)
    changed = difference(before, below_stages(site))
    assert {"added"} == set(changed.values())
    assert {"done": 3, "uses": 2, "wanted": 1} == Counter(name.split("/")[1] for name in changed)


def test_an_interrupted_run_goes_on_where_it_stopped(site: Site) -> None:
    """The shard that was handed back, as attempt 2, then the stage after it; what was committed stands."""
    before, nonces = claims(site), {shard: stats["nonce"] for shard, stats in site.stats().items()}
    outcome = again(site, 0.25, 12)
    assert (INTERRUPTED, RunState.COMPLETE) == (outcome.run.name, outcome.state)
    assert {
        "double-78007d673316": ["0001-000002.2"],
        "digits-e3bb19c23f71": [f"0001-00000{shard}.1" for shard in range(5)],
    } == {stage: names for stage, names in _without(claims(site), before).items() if names}
    assert nonces == {shard: stats["nonce"] for shard, stats in site.stats().items() if shard in nonces}


def claims(site: Site) -> dict[str, list[str]]:
    """Attempts of every stage, by the name of its folder."""
    found: dict[str, list[str]] = {}
    for path in sorted(site.store.glob("stages/*/claims/*/*")):
        if path.suffix[1:].isdigit() and path.name.count(".") == 1:
            found.setdefault(path.parts[-4], []).append(path.name)
    return found


def _without(after: dict[str, list[str]], before: dict[str, list[str]]) -> dict[str, list[str]]:
    return {stage: [name for name in names if name not in before.get(stage, [])] for stage, names in after.items()}


def test_the_attempt_that_was_handed_back_is_remembered(site: Site) -> None:
    """Its ending stands in the history of the next one, as the code of then wrote it."""
    again(site, 0.25, 12)
    (stats,) = (stats for stats in site.stats().values() if stats.get("attempt") == 2)
    assert [("free", 1, "drained")] == [(end["ending"], end["attempt"], end["detail"]) for end in stats["history"]]


def test_a_continued_run_touches_no_file_of_before(site: Site) -> None:
    """It adds; what the other run has made is not read for anything else."""
    before = below_stages(site)
    again(site, 0.25, 12)
    changed = difference(before, below_stages(site))
    assert [] == [name for name, how in changed.items() if how != "added"]
    other = [name for name in changed if not name.startswith(("double-78007d673316/", "digits-e3bb19c23f71/"))]
    source = "source-9e33edad6cb1"
    assert [f"{source}/done/0001.8d38ff8e-000.json", f"{source}/wanted/{INTERRUPTED}"] == sorted(other)


def test_a_continued_run_has_what_an_undisturbed_one_has(site: Site, tmp_path: Path) -> None:
    """Rows of every stage, in order, whoever wrote them; today's list has other shards."""
    again(site, 0.25, 12)
    fresh = Site(tmp_path / "fresh")
    fresh.folder.mkdir()
    again(fresh, 0.25, 12)
    ours = rows_of_stages(site)
    assert rows_of_stages(fresh) == {stage: ours[stage] for stage in rows_of_stages(fresh)}


def rows_of_stages(site: Site) -> dict[str, bytes]:
    """Rows of all shards of each stage, with what files are called below their shard."""
    found: dict[str, bytes] = {}
    for path in sorted(site.store.glob("stages/*/shards/*/[!.]*/tasks.jsonl")):
        found[path.parts[-5]] = found.get(path.parts[-5], b"") + path.read_bytes()
    return {stage: re.sub(rb"/shards/[^\"]*/files/", b"/files/", rows) for stage, rows in found.items()}


@pytest.mark.parametrize(
    ("name", "state", "done"),
    [(COMPLETE, RunState.COMPLETE, [4, 4]), (INTERRUPTED, RunState.INCOMPLETE, [2, 0])],
)
def test_an_old_run_is_looked_at_without_writing(site: Site, name: str, state: RunState, done: list[int]) -> None:
    """Its `pipeline.json` has the form of then."""
    before = snapshot(site.store)
    looker = RunLooker(find_run(Store(str(site.store)), name), LocalLauncher())
    seen = looker.look()
    assert (state, done) == (seen.decision.state, [view.counts.shards_done for view in seen.views])
    assert [Slices(Slicing(tasks=4))] * 2 == [stage.relation for stage in looker.frozen.pipeline.stages]
    assert {} == difference(before, snapshot(site.store))


@pytest.mark.parametrize(("name", "state", "status"), [(COMPLETE, "complete", 0), (INTERRUPTED, "incomplete", 1)])
def test_status_of_an_old_run(site: Site, name: str, state: str, status: int) -> None:
    """As a user types it."""
    shell = Shell(site.folder)
    said = shell.type("status", name, "--store", str(site.store), "--json", status=status).stdout
    assert (name, state) == (json.loads(said)["run"], json.loads(said)["state"])


def test_the_store_gets_the_format_of_now_and_a_line_says_so(site: Site) -> None:
    """Once: with the first call that writes."""
    lines = [[line for line in said(site, 0.0, 16)[1] if "format" in line] for _ in range(2)]
    assert ([1, 0], {"format": 2}) == (
        [len(found) for found in lines],
        json.loads((site.store / "format.json").read_text()),
    )
    assert "had format 1, and has 2 from now on: what is committed stands" in lines[0][0]


@pytest.mark.parametrize("found", [0, 4, "new"])
def test_a_store_of_a_format_that_is_not_known_is_refused(site: Site, found: object) -> None:
    """And left as it is."""
    (site.store / "format.json").write_text(json.dumps({"format": found}))
    before = snapshot(site.store)
    with pytest.raises(StoreError, match=f"has format {found}, this hpcurate writes 2; use the hpcurate that made it"):
        again(site, 0.0, 16)
    assert {} == difference(before, snapshot(site.store))
