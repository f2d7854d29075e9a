"""Where the CPU seconds of the chain go: decode, scale, flow, x264, sound, preview, rest; on one core, as a worker has.

Functions are timed by cProfile with the clock of the calling thread. FFmpeg's decoding threads bear a name, x264's do
not: what neither they nor the calling thread used is x264's.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
OFTEN_S = 0.02
"""Threads of a clip that has ended are gone: what they used since the last look is lost, and counts as x264's."""
OWN_TIME = {"decode": "'decode' of 'av.video.stream", "x264": "'encode' of 'av.video.stream"}
"""Part → a name that is within that of the method which is it; without what it calls."""
WITH_CALLS = {
    "scale": [("sampling.py", "scaled_picture")],
    "flow": [("motion.py", "speed")],
    "quality": [("measures.py", "measure_picture"), ("measures.py", "is_frozen")],
    "sound": [("encode.py", "until")],
    "preview": [("preview.py", "_write")],
}
"""Part → functions that are it with all that they call; none calls another of them."""


class DecodingThreads:
    """Seconds of CPU of FFmpeg's decoding threads while `with` lasts."""

    def __init__(self) -> None:
        self._ticks: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> DecodingThreads:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """Used so far."""
        return sum(self._ticks.values()) / TICK

    def _watch(self) -> None:
        while not self._over.wait(OFTEN_S):
            for task in os.listdir("/proc/self/task"):
                with suppress(OSError):
                    name, _, fields = Path(f"/proc/self/task/{task}/stat").read_text().rpartition(") ")
                    if "(av:" in name:
                        used = fields.split()
                        self._ticks[f"{task} {used[19]}"] = int(used[11]) + int(used[12])


def parts_of(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of CPU by part; `rest` is what none of them is."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    profile = cProfile.Profile(time.thread_time)
    whole, own = time.process_time(), time.thread_time()
    with DecodingThreads() as decoding:
        profile.runcall(work)
    whole, own = time.process_time() - whole, time.thread_time() - own
    os.sched_setaffinity(0, before)
    parts = by_function(pstats.Stats(profile).stats)  # type: ignore[attr-defined]
    parts["decode"] += decoding.seconds
    parts["x264"] += whole - own - decoding.seconds
    return {**parts, "rest": whole - sum(parts.values())}


def by_function(stats: Mapping[tuple[str, int, str], tuple[Any, ...]]) -> dict[str, float]:
    """Seconds of the calling thread by part. Pure."""
    found = dict.fromkeys([*OWN_TIME, *WITH_CALLS], 0.0)
    for (file, _, name), (_, _, alone, with_calls, _) in stats.items():
        for part, method in OWN_TIME.items():
            found[part] += alone if method in name else 0.0
        for part, functions in WITH_CALLS.items():
            found[part] += with_calls if (os.path.basename(file), name) in functions else 0.0
    return found


def profile_table(parts: Mapping[str, float]) -> str:
    """A Markdown table."""
    whole = sum(parts.values())
    rows = ["| part | seconds of CPU | share |", "|---|---|---|"]
    rows += [f"| {part} | {seconds:.2f} | {100 * seconds / whole:.1f} % |" for part, seconds in parts.items()]
    return "\n".join([*rows, f"| all | {whole:.2f} | |"])
