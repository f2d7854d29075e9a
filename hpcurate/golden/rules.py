"""How much of a difference is none: tolerances by field, and fields that are not compared. Pure."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Optional, Union

import attrs

from hpcurate.errors import ConfigError

__all__ = ["EXACT", "Rules", "Tolerance", "read_rules"]

_NUMBER = r"\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
_TEXT = re.compile(rf"(?:(?P<absolute>{_NUMBER})(?:\+(?=.)|$))?(?:(?P<relative>{_NUMBER})%)?")
_INDEX = re.compile(r"\[[^]]*\]")


@attrs.define(frozen=True)
class Tolerance:
    """Two numbers are the same if they differ by no more than both together."""

    absolute: float = 0.0
    relative: float = 0.0
    """Share of the number before."""

    def allows(self, before: float, after: float) -> bool:
        """NaN is the same as NaN, infinity as infinity."""
        if before == after or (math.isnan(before) and math.isnan(after)):
            return True
        if not (math.isfinite(before) and math.isfinite(after)):
            return False
        return abs(before - after) <= self.absolute + self.relative * abs(before)


EXACT = Tolerance()


@attrs.define(frozen=True)
class Rules:
    """What to make of differences. Field names are patterns; a name stands for all that is in it, too."""

    tolerances: tuple[tuple[str, Tolerance], ...] = ()
    """The last one that fits a field holds."""
    ignored: tuple[str, ...] = ()

    def of(self, field: str) -> Tolerance:
        """The tolerance of a field, such as `boxes[3].score`."""
        return next((one for pattern, one in reversed(self.tolerances) if _fits(field, pattern)), EXACT)

    def ignores(self, field: str) -> bool:
        """Whether it is not compared."""
        return any(_fits(field, pattern) for pattern in self.ignored)

    def unknown(self, fields: Collection[str], files: Collection[str]) -> list[str]:
        """Names that no field has, e.g. misspelt ones; what is in a file is not known, so each name below it may be."""
        named = dict.fromkeys([*(pattern for pattern, _ in self.tolerances), *self.ignored])
        return [one for one in named if not _is_known(_INDEX.sub("", one).split("."), fields, files)]


def _is_known(pattern: list[str], fields: Collection[str], files: Collection[str]) -> bool:
    if any(_fits(field, ".".join(pattern)) for field in fields):
        return True
    above = [".".join(pattern[:count]) for count in range(1, len(pattern))]
    return any(_fits(file, one) for file in files for one in above)


def _fits(field: str, pattern: str) -> bool:
    names = _INDEX.sub("", field).split(".")
    above = (".".join(names[:count]) for count in range(1, len(names) + 1))
    return field == pattern or any(fnmatch.fnmatchcase(name, pattern) for name in above)


def read_rules(
    tolerances: Union[Mapping[str, Union[str, float]], Iterable[str]] = (), ignored: Iterable[str] = ()
) -> Rules:
    """From a mapping of field → tolerance, or texts `FIELD=TOLERANCE`. Raises ConfigError."""
    pairs = (
        list(tolerances.items()) if isinstance(tolerances, Mapping) else [one.partition("=")[::2] for one in tolerances]
    )
    return Rules(tuple((field, _tolerance(field, str(text))) for field, text in pairs), tuple(ignored))


def _tolerance(field: str, text: str) -> Tolerance:
    found: Optional[re.Match[str]] = _TEXT.fullmatch(text.replace(" ", "")) if text.strip() else None
    if not field or found is None:
        raise ConfigError(
            f"tolerance {field}={text}: expected FIELD=NUMBER, FIELD=PERCENT% or both, e.g. motion=1e-3, motion=0.1%, "
            "motion=1e-6+0.1%; '*' is every field"
        )
    return Tolerance(float(found["absolute"] or 0), float(found["relative"] or 0) / 100)
