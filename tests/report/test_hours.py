"""Hours of CPUs and GPUs: what was given is the sum of what became of it."""

from __future__ import annotations

import datetime

import attrs
import msgspec
import pytest

from hpcurate.cli.verbs.usage import NONE, usage_lines
from hpcurate.errors import ConfigError
from hpcurate.report.events import WorkerSpan, span_of
from hpcurate.report.hours import Hours, Prices, StageHours, hours_of_worker, since_of, total, with_shards
from hpcurate.store.stats import Committed, GpuUse
from hpcurate.store.worker_records import WorkerRecord

RECORD = WorkerRecord(
    worker="7-0-r0-aa", stage="caption", round=1, index=0, node="n7", processes=2, cpus=8, gpus=2, memory_mb=100,
    begun=1000.0, ended=4600.0, setup_seconds=720.0, busy_seconds=3600.0, lost_seconds=360.0, cpu_seconds=7200.0,
    gpu_seconds=1800.0, committed=10, lost=1, tasks_out=40,
)  # fmt: skip
LEFT = span_of(RECORD, 0.0, over=True)
BARE = msgspec.structs.replace(
    RECORD, ended=None, setup_seconds=0.0, busy_seconds=0.0, lost_seconds=0.0, cpu_seconds=0.0, gpu_seconds=None,
    committed=0, lost=0, tasks_out=0,
)  # fmt: skip


def sums_up(hours: Hours) -> bool:
    """Nothing is given twice, nothing is left over."""
    return hours.given == pytest.approx(hours.busy + hours.setup + hours.failed + hours.idle)


def test_what_a_worker_was_given_is_what_became_of_it() -> None:
    """Two stage processes share eight CPUs and two GPUs for an hour."""
    found = hours_of_worker("run", LEFT)
    assert Hours(given=8, busy=4, setup=0.8, failed=0.4, idle=pytest.approx(2.8), used=2.0) == found.cpu
    assert Hours(given=2, busy=1, setup=0.2, failed=0.1, idle=pytest.approx(0.7), used=0.5) == found.gpu
    assert (1, 0, 10, 1, 40) == (found.workers, found.killed, found.committed, found.lost, found.tasks_out)


def shard(begun: float, ended: float, **more: object) -> Committed:
    """That a worker committed."""
    return Committed(shard="s", nonce="n", weight_out=1, begun=begun, ended=ended, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("over", "failed", "killed"), [(True, 7.0, 1), (False, 0.0, 0)])
def test_what_a_killed_worker_did_not_commit_failed(over: bool, failed: float, killed: int) -> None:
    """Its record has no end; its shards say what came of it. Of one that works still nothing has failed."""
    use = GpuUse(seconds=900.0, busy=0.5)
    shards = [shard(1000, 1900, cpu_seconds=400, gpu=use, tasks_out=3), shard(2000, 2000, cpu_seconds=5)]
    found = hours_of_worker("run", with_shards(span_of(BARE, 3600.0, over=over), shards))
    assert (8.0, 8.0 - failed, failed, 0.0) == (found.cpu.given, found.cpu.busy, found.cpu.failed, found.cpu.idle)
    assert (405 / 3600, 450 / 3600) == (found.cpu.used, found.gpu.used)
    assert (killed, 2, 3) == (found.killed, found.committed, found.tasks_out)


@pytest.mark.parametrize(
    "span",
    [
        LEFT,
        span_of(BARE, 5.0, over=True),
        span_of(BARE, 5.0, over=False),
        span_of(msgspec.structs.replace(BARE, gpus=0.0), 0.0, over=True),
        span_of(msgspec.structs.replace(RECORD, ended=1001.0), 0.0, over=True),
    ],
)
def test_hours_always_add_up_or_are_all_used(span: WorkerSpan) -> None:
    """Also where a clock jumped, so that a worker was busy for longer than it was there."""
    found = hours_of_worker("run", span)
    for hours in (found.cpu, found.gpu):
        assert sums_up(hours) or (hours.idle == 0.0 and span.ended == 1001.0)
        assert min(hours.given, hours.busy, hours.setup, hours.failed, hours.idle) >= 0.0


def test_totals_add_up() -> None:
    """What nobody saw of one is not known of all; a stage without GPUs is no part of their sum."""
    one = hours_of_worker("run", LEFT)
    blind = attrs.evolve(one, gpu=attrs.evolve(one.gpu, used=None))
    without = attrs.evolve(one, gpu=Hours())
    assert (16.0, 4.0) == (total([one, one]).cpu.given, total([one, one]).cpu.used)
    assert None is total([one, blind]).gpu.used
    assert one.gpu == total([one, without]).gpu
    assert StageHours(run="", stage="") == total([])


def test_cost() -> None:
    """Of all that was given, idle or not."""
    found = hours_of_worker("run", LEFT)
    assert 8 * 0.5 + 2 * 3 == found.cost(Prices(cpu_hour=0.5, gpu_hour=3))
    assert 10.0 == found.plain(Prices(cpu_hour=0.5, gpu_hour=3))["cost"]
    assert "cost" not in found.plain(Prices())


NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("text", "days"), [("7d", 7), ("12h", 0.5), ("0d", 0)])
def test_since_so_long_ago(text: str, days: float) -> None:
    """Days and hours."""
    assert NOW.timestamp() - days * 86400 == since_of(text, NOW)


def test_since_a_day() -> None:
    """Local time, as it was typed."""
    assert datetime.datetime(2026, 11, 1).astimezone().timestamp() == since_of("2026-11-01", NOW)
    assert datetime.datetime(2026, 11, 1, 8, 30).astimezone().timestamp() == since_of("2026-11-01T08:30", NOW)


@pytest.mark.parametrize("text", ["", "7", "yesterday", "7w", "-3d", "2026-13-01", "99999999999d"])
def test_since_what_is_no_time(text: str) -> None:
    """Refused with what was expected."""
    with pytest.raises(ConfigError, match="7d, 12h, 2026-11-01"):
        since_of(text, NOW)


def test_the_tables_of_usage() -> None:
    """Hours, what became of them, and what was killed; GPUs have a table where there are any."""
    one = hours_of_worker("run", LEFT)
    killed = attrs.evolve(one, stage="clip", gpu=Hours(), killed=1)
    shown = [str(line).rstrip() for line in usage_lines([one, killed], Prices(gpu_hour=2.0))]
    assert [
        "CPU hours  workers  hours  busy  set-up  failed  idle  used",
        "caption          1   8.00   50%     10%      5%   35%   25%",
        "clip             1   8.00   50%     10%      5%   35%   25%",
        "total            2   16.0   50%     10%      5%   35%   25%",
        "",
        "GPU hours  workers  hours  busy  set-up  failed  idle  used",
        "caption          1   2.00   50%     10%      5%   35%   25%",
        "clip: 1 worker killed: what they had not committed counts as failed",
        "",
        "cost: 4.00",
        "  caption: 100.00 per 1,000 tasks",
        "  clip: 0.00 per 1,000 tasks",
    ] == shown
    assert [NONE] == usage_lines([], Prices())
