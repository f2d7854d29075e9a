"""A run's metrics as a text file, for the textfile collector of a Prometheus node exporter."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from hpcurate.masks import mask
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport, StageReport, write_report
from hpcurate.system.processes import nonce

if TYPE_CHECKING:
    from prometheus_client import Metric

READABLE = 0o644
"""Whoever runs the exporter reads it, and the folder was named for that."""
MEBI = 2**20


class Described(msgspec.Struct, frozen=True):
    """One metric of a stage."""

    name: str
    kind: str
    """`counter` or `gauge`."""
    help: str


OF_STAGES = (
    Described("hpcurate_shards", "gauge", "Shards of a stage, known once what it reads is complete."),
    Described("hpcurate_shards_committed", "gauge", "Shards of a stage that are committed."),
    Described("hpcurate_tasks_in", "counter", "Tasks that a stage was given."),
    Described("hpcurate_tasks_out", "counter", "Tasks that a stage returned."),
    Described("hpcurate_tasks_dropped", "counter", "Tasks that a stage dropped."),
    Described("hpcurate_dead_letters", "gauge", "Tasks that failed for good."),
    Described("hpcurate_stage_seconds", "counter", "Time of stage processes in committed shards."),
    Described("hpcurate_cpu_seconds", "counter", "Time of cores in committed shards, user and system."),
    Described("hpcurate_memory_peak_bytes", "gauge", "Most main memory of a stage process and its children."),
    Described("hpcurate_progress_ratio", "gauge", "Share of a stage that is done, by weight."),
    Described("hpcurate_gpu_busy_ratio", "gauge", "Share of the time in which GPUs ran any kernel."),
    Described("hpcurate_gpu_encoder_ratio", "gauge", "Share of the time in which their encoders worked."),
    Described("hpcurate_gpu_decoder_ratio", "gauge", "Share of the time in which their decoders worked."),
    Described("hpcurate_gpu_memory_peak_bytes", "gauge", "Most memory in use on one GPU."),
    Described("hpcurate_prepare_wait_ratio", "gauge", "Share of the time that process waited for prepare."),
)
"""Of each stage, with the labels `run` and `stage`. A counter's name ends in `_total` in the file."""
OF_AMOUNTS = (
    Described("hpcurate_media_seconds_in", "counter", "Seconds of video that a stage was given."),
    Described("hpcurate_media_seconds_out", "counter", "Seconds of video that a stage returned."),
    Described("hpcurate_media_bytes_in", "counter", "Bytes of files that a stage was given."),
    Described("hpcurate_media_bytes_out", "counter", "Bytes of files that a stage returned."),
)
STATE = Described("hpcurate_run_state", "gauge", "1 for the state that the run is in, 0 for the others.")
LOOKED_AT = Described("hpcurate_run_looked_at_timestamp_seconds", "gauge", "When the run was looked at last.")


def publish(run: Run, frozen: Frozen, report: RunReport) -> None:
    """Write down where a run stands: `summary.json`, and its metrics if a folder is named for them."""
    write_report(run, report)
    if frozen.metrics:
        write_metrics(report, frozen.metrics)


def write_metrics(report: RunReport, folder: str) -> None:
    """Replace the run's file there. Whatever stands against that is no reason for a run to stop."""
    path = os.path.join(folder, f"hpcurate_{report.run}.prom")
    part = f"{path}.{nonce()}"  # the collector reads names that end in .prom
    with suppress(OSError, ImportError):
        try:
            with open(part, "wb") as file:
                os.fchmod(file.fileno(), READABLE)
                file.write(text_of(report))
            os.replace(part, path)
        finally:
            with suppress(OSError):
                os.unlink(part)


def what_is_missing(folder: str) -> str:
    """Why a run cannot write its metrics there; empty if it can."""
    import importlib.util

    if importlib.util.find_spec("prometheus_client") is None:
        return "prometheus-client is not installed: pip install 'hpcurate[metrics]'"
    if not os.path.isdir(folder):
        return "no such folder"
    return "" if os.access(folder, os.W_OK | os.X_OK) else "not writable"


def text_of(report: RunReport) -> bytes:
    """The file, in Prometheus' text format. Pure."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collected(report))
    return generate_latest(registry)


class _Collected(msgspec.Struct, eq=False):
    """What a registry asks."""

    report: RunReport

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        yield from self._of_run()
        for described in (*OF_STAGES, *OF_AMOUNTS):
            family = _family(described, "stage")
            for name, stage in self.report.stages.items():
                value = values_of(stage).get(described.name)
                if value is not None:
                    family.add_metric([self.report.run, mask(name)], value)
            if family.samples:
                yield family

    def _of_run(self) -> Iterator[Metric]:
        state, looked_at = _family(STATE, "state"), _family(LOOKED_AT)
        for one in RunState:
            state.add_metric([self.report.run, one.value], float(one is self.report.state))
        looked_at.add_metric([self.report.run], datetime.datetime.fromisoformat(self.report.as_of).timestamp())
        yield from (state, looked_at)


def _family(described: Described, *labels: str) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
    return kind(described.name, described.help, labels=["run", *labels])


def values_of(stage: StageReport) -> Mapping[str, float | None]:
    """Metric → value of a stage; None where it is not known. Pure."""
    gpu = stage.gpu
    return {
        "hpcurate_shards": stage.shards,
        "hpcurate_shards_committed": stage.shards_done,
        "hpcurate_tasks_in": stage.tasks_in,
        "hpcurate_tasks_out": stage.tasks_out,
        "hpcurate_tasks_dropped": stage.dropped,
        "hpcurate_dead_letters": stage.failed,
        "hpcurate_stage_seconds": stage.seconds,
        "hpcurate_cpu_seconds": stage.cpu_seconds,
        "hpcurate_memory_peak_bytes": stage.peak_memory_mb * MEBI or None,
        "hpcurate_progress_ratio": stage.progress,
        "hpcurate_gpu_busy_ratio": gpu.busy if gpu else None,
        "hpcurate_gpu_encoder_ratio": gpu.encoder if gpu else None,
        "hpcurate_gpu_decoder_ratio": gpu.decoder if gpu else None,
        "hpcurate_gpu_memory_peak_bytes": gpu.memory_mb * MEBI if gpu else None,
        "hpcurate_prepare_wait_ratio": gpu.waited if gpu else None,
        "hpcurate_media_seconds_in": stage.amounts_in.get("seconds"),
        "hpcurate_media_seconds_out": stage.amounts_out.get("seconds"),
        "hpcurate_media_bytes_in": stage.amounts_in.get("bytes"),
        "hpcurate_media_bytes_out": stage.amounts_out.get("bytes"),
    }
