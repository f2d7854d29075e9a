"""Sizes and times as people write them, to the units Slurm takes. Pure; runs in every stage environment."""

from __future__ import annotations

import math
import re

from hpcurate.errors import ConfigError

_SIZE = re.compile(r"(?i)\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*")
_FACTOR = {"k": 1 / 1024, "m": 1.0, "": 1.0, "g": 1024.0, "t": 1024.0 * 1024.0}
_UNIT = {"s": 1 / 60, "m": 1.0, "h": 60.0, "d": 1440.0}


def megabytes(text: str) -> int:
    """`32GB`, `500M`, `1.5T` → MiB as Slurm counts them; a bare number is MiB, as with sbatch --mem."""
    match = _SIZE.fullmatch(str(text))
    if not match:
        raise ConfigError(f"{text!r} is not a size; write for example 500MB or 32GB")
    return max(1, math.ceil(float(match[1]) * _FACTOR[match[2].lower()]))


def plural(count: int, noun: str) -> str:
    """`1 node`, `2 nodes`, `12,000 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def minutes(text: str) -> int:
    """`90s`, `30m`, `1h30m`, `2d`, `HH:MM:SS`, `D-HH:MM:SS` → whole minutes, at least 1.

    A bare number is minutes and `MM:SS` is minutes and seconds, as with sbatch --time.
    """
    text = str(text).strip()
    units = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", text.lower())
    if units and re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[smhd]\s*)+", text.lower()):
        return max(1, math.ceil(sum(float(n) * _UNIT[u] for n, u in units)))
    clock = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if not clock:
        raise ConfigError(f"{text!r} is not a time; write for example 30m, 2h or 1-12:00:00")
    return max(1, math.ceil(_clock_minutes(clock)))


def seconds(text: str) -> float:
    """`0.5s`, `10m`, `1h30m` and the like → seconds. A bare number is seconds."""
    text = str(text).strip().lower()
    units = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", text)
    if units and re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[smhd]\s*)+", text):
        return 60 * sum(float(n) * _UNIT[u] for n, u in units)
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ConfigError(f"{text!r} is not a time; write for example 30s, 10m or 2h")
    return float(text)


AUTO = "auto"
"""A time that is chosen for each round, by what is left to do."""
UNKNOWN_MINUTES = 30
"""What that is while nothing is known."""


def job_minutes(text: str) -> int:
    """The same of a job, which may have `auto`: what that is while nothing is known."""
    return UNKNOWN_MINUTES if text == AUTO else minutes(text)


def _clock_minutes(clock: re.Match[str]) -> float:
    days, a, b, c = (int(part) if part else 0 for part in clock.groups())
    if clock[1] is not None:
        return days * 1440 + a * 60 + b + c / 60
    if clock[4] is not None:
        return a * 60 + b + c / 60
    return a + b / 60


def bytes_text(count: float) -> str:
    """`0 B`, `3.4 kB`, `1.2 GB`: in powers of ten, as disks are sold and `du --si` says. Pure."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size * 0.9995:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def memory_text(mb: float) -> str:
    """`816 MB`, `16.0 GB`: in powers of two, as Slurm counts memory and `megabytes` reads it. Pure."""
    return f"{mb / 1024:.1f} GB" if mb >= 1024 else f"{mb:.0f} MB"


def memory_value(mb: int) -> str:
    """The least memory that one types for so much: `3328MB`, `2GB`, `13GB`. Pure."""
    return f"{mb}MB" if mb % 1024 and mb < 10240 else f"{math.ceil(mb / 1024)}GB"


def duration(seconds: float, exact: bool = False) -> str:
    """`42 s`, `5 min`, `3.2 h`, `2.1 d`; exactly `42.0 s`, `5.3 min`. Pure."""
    for unit, size, digits in (("d", 86400.0, 1), ("h", 3600.0, 1), ("min", 60.0, int(exact))):
        if seconds >= size * 0.9995:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.{int(exact)}f} s"


def hours_text(hours: float) -> str:
    """`0`, `<0.001`, `0.004`, `0.31`, `12.3`, `1,234`. Pure."""
    if 0 < hours < 0.001:
        return "<0.001"
    digits = next((digits for below, digits in ((0.1, 3), (10, 2), (100, 1)) if hours < below), 0)
    return f"{hours:,.{digits}f}" if hours else "0"
