"""A run's metrics, as a Prometheus node exporter's textfile collector reads them."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from checkout import ROOT
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from shell import Shell

from hpcurate.runs.metrics import (
    LOOKED_AT,
    OF_AMOUNTS,
    OF_STAGES,
    STATE,
    text_of,
    values_of,
    what_is_missing,
    write_metrics,
)
from hpcurate.runs.state import RunState, StageGpu
from hpcurate.runs.summary import RunReport, StageReport

FULL = StageReport(
    tasks_in=10, tasks_out=30, dropped=2, failed=1, shards=4, shards_done=3, seconds=12.5, cpu_seconds=30.0,
    peak_memory_mb=512.0, progress=0.75, gpu=StageGpu(busy=0.83, encoder=0.1, decoder=0.2, memory_mb=1024, waited=0.04),
    amounts_in={"seconds": 812.4, "bytes": 1.2e9}, amounts_out={"seconds": 700.0, "bytes": 1e9},
)  # fmt: skip
EMPTY = StageReport(tasks_in=0, tasks_out=0, dropped=0, failed=0, shards=None, shards_done=0, seconds=0.0)
REPORT = RunReport(
    run="20261122-video-1", pipeline="video", state=RunState.RUNNING, reason="", as_of="2026-11-22T10:00:00Z",
    stages={"clips": FULL, 'odd "name\\\nof it': EMPTY}, output="/o", next="",
)  # fmt: skip


def families(text: str) -> dict[str, Metric]:
    """By name."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_what_is_written_is_read_back() -> None:
    """Every metric with its value, by run and stage; what is not known has no sample."""
    found = families(text_of(REPORT).decode())
    assert {one.name for one in (STATE, LOOKED_AT, *OF_STAGES, *OF_AMOUNTS)} == found.keys()
    for described in (*OF_STAGES, *OF_AMOUNTS):
        samples = {sample.labels["stage"]: sample.value for sample in found[described.name].samples}
        known = {name: values_of(stage).get(described.name) for name, stage in REPORT.stages.items()}
        assert {name: value for name, value in known.items() if value is not None} == samples
        assert {REPORT.run} == {sample.labels["run"] for sample in found[described.name].samples}
    states = {sample.labels["state"]: sample.value for sample in found[STATE.name].samples}
    assert {one.value: float(one is RunState.RUNNING) for one in RunState} == states
    assert [1795341600.0] == [sample.value for sample in found[LOOKED_AT.name].samples]


def test_the_text_is_as_promtool_wants_it() -> None:
    """Its rules (`promtool check metrics`): help and type once, counters end in `_total` and nothing else does, base
    units, no unit in a wrong place, no sample twice, an end of line at the end.
    """
    text = text_of(REPORT).decode()
    assert text.endswith("\n")
    assert text.isascii()
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert len(names) == len(set(names)) == len(re.findall(r"^# HELP \S+ [A-Z1].*\.$", text, re.MULTILINE))
    for name, kind in names:
        assert re.fullmatch(r"hpcurate(_[a-z]+)+", name), name
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(
            r"milli|micro|minutes|hours|mega|giga|percent|_(mb|ms|gb)\b|_(count|sum|bucket|info)$", name
        )
        assert not re.search(r"_(gauge|counter|histogram|summary)\b", name)
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples))


def test_names_are_escaped() -> None:
    """A quote, a backslash and a new line end no label."""
    stages = {sample.labels["stage"] for sample in families(text_of(REPORT).decode())["hpcurate_tasks_in"].samples}
    assert set(REPORT.stages) == stages


def test_the_file_is_for_everybody_and_whole(tmp_path: Path) -> None:
    """The exporter is another user; it reads names that end in `.prom`, and never finds half of one."""
    write_metrics(REPORT, str(tmp_path))
    write_metrics(msgspec.structs.replace(REPORT, state=RunState.COMPLETE), str(tmp_path))
    (path,) = tmp_path.iterdir()
    assert (f"hpcurate_{REPORT.run}.prom", 0o644) == (path.name, path.stat().st_mode & 0o777)
    assert f'hpcurate_run_state{{run="{REPORT.run}",state="complete"}} 1.0' in path.read_text()


def test_a_folder_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    """On a node that does not see it, for one: nor is it made there."""
    write_metrics(REPORT, str(tmp_path / "gone"))
    assert [] == list(tmp_path.iterdir())
    assert ("no such folder", "") == (what_is_missing(str(tmp_path / "gone")), what_is_missing(str(tmp_path)))


def test_a_run_keeps_its_file(shell: Shell) -> None:
    """From the site profile or the command; looks keep it up to date, and a folder that is missing is said."""
    folder = shell.folder / "textfile"
    missing = shell.inline("+pipeline=words", "limit=1", f"site.metrics={folder}")
    assert f"site.metrics={folder}: no metrics of this run: no such folder" in missing.stderr
    folder.mkdir()
    shell.inline("+pipeline=words", "limit=1", f"site.metrics={folder}")
    (path,) = folder.iterdir()
    assert 'state="complete"} 1.0' in path.read_text()
    path.unlink()
    shell.type("status", "--store", str(shell.store))
    assert [path] == list(folder.iterdir())


@pytest.mark.parametrize("described", [STATE, LOOKED_AT, *OF_STAGES, *OF_AMOUNTS], ids=lambda one: one.name)
def test_every_metric_is_documented(described: object) -> None:
    """A row of the page, with its help."""
    name, kind, words = msgspec.structs.astuple(described)  # type: ignore[type-var]
    full = f"{name}_total" if kind == "counter" else name
    page = (ROOT / "docs" / "looking-at-a-run.md").read_text()
    assert re.search(rf"^\| `{full}` \| {kind} \| .* \| {re.escape(words.rstrip('.'))} \|$", page, re.MULTILINE), (
        f"| `{full}` | {kind} | run, stage | {words.rstrip('.')} |"
    )
