"""What a stage logs beside its tasks: numbers, tables and figures, as rows of `logged.jsonl`. Python 3.9."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import msgspec

from hpcurate.errors import StageError
from hpcurate.masks import mask_plain
from hpcurate.store.stats import Logged

LIMITS = {"names": 200, "values": 100_000, "rows of a table": 10_000, "columns": 100, "bytes of a figure": 5_000_000}
"""Of one shard, or of one table or figure."""
LARGEST = 2**53
"""Of whole numbers: a page's JavaScript has no other ones, and JSON of an index none of more than 64 bits."""
SUFFIXES = ("png", "jpg", "jpeg", "webp", "gif", "svg")
"""Of files that are figures."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One call of `Stage.log`."""

    stage: str
    """The member that logged it."""
    name: str
    kind: str
    """`number`, `table` or `figure`."""
    step: Optional[int] = None
    number: Optional[float] = None
    """None for NaN and infinite numbers, too."""
    table: Optional[list[dict[str, Any]]] = None
    image: bytes = b""
    suffix: str = ""

    def of_member(self) -> Entry:
        """Under a name of its own, where another member of the chain may use the same."""
        return msgspec.structs.replace(self, name=f"{self.stage}: {self.name}")

    def line(self, file: str = "") -> bytes:
        """Its row; `file` is where a figure lies in the shard's folder."""
        plain: dict[str, Any] = {"stage": self.stage, "name": self.name, "kind": self.kind}
        if self.step is not None:
            plain["step"] = self.step
        value = {"number": self.number, "table": mask_plain(self.table), "figure": file}[self.kind]
        return json.dumps({**plain, "value": value}, separators=(",", ":")).encode() + b"\n"


def entry_of(stage: str, name: Any, value: Any, step: Any) -> Entry:
    """What a stage asks to keep. Raises StageError for what can be none of the three."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 100:
        raise StageError(f"{stage}: log({name!r}, …): a name has 1 to 100 printable characters")
    where = f"{stage}: log({name!r})"
    if step is not None and (isinstance(step, bool) or not isinstance(step, int) or abs(step) > LARGEST):
        raise StageError(f"{where}: step={step!r} is no whole number of at most 53 bits")
    number = _number(value)
    if number is not None:
        finite = number if math.isfinite(number) else None
        return Entry(stage=stage, name=name, kind="number", step=step, number=finite)
    if _is_table(value):
        return Entry(stage=stage, name=name, kind="table", step=step, table=_table(where, value))
    image, suffix = _figure(where, value)
    return Entry(stage=stage, name=name, kind="figure", step=step, image=image, suffix=suffix)


def check_limits(before: Mapping[str, Logged], entries: Sequence[Entry]) -> None:
    """Whether a shard that has logged that much may log these, too. Raises StageError."""
    kinds = {name: one.kind for name, one in before.items()}
    for entry in entries:
        kind = kinds.setdefault(entry.name, entry.kind)
        if kind != entry.kind:
            raise StageError(f"{entry.stage}: log({entry.name!r}): was a {kind} before, and is a {entry.kind} now")
    if len(kinds) > LIMITS["names"]:
        raise StageError(f"{entries[-1].stage}: log() was given more than {LIMITS['names']} names in one shard")
    if sum(one.count for one in before.values()) + len(entries) > LIMITS["values"]:
        raise StageError(f"{entries[-1].stage}: log() was called more than {LIMITS['values']} times in one shard")


# -- one value --------------------------------------------------------------------------------------


def _number(value: Any) -> Optional[float]:
    """Also one of numpy, or a tensor with one element; None for what is no number."""
    if isinstance(value, (str, bytes)) or not hasattr(type(value), "__float__"):
        return None
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError, RuntimeError):  # an array
        return None


def _is_table(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(row, Mapping) for row in value)


def _table(where: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    columns = dict.fromkeys(str(column) for row in rows for column in row)
    for what, most, there in (
        ("rows of a table", LIMITS["rows of a table"], len(rows)),
        ("columns", LIMITS["columns"], len(columns)),
    ):
        if there > most:
            raise StageError(f"{where}: {there} {what}, and {most} are the most")
    return [{str(column): _cell(value) for column, value in row.items()} for row in rows]


def _cell(value: Any) -> Any:
    """A number, a text, a truth value or nothing; of anything else, how it prints."""
    if value is None or isinstance(value, (bool, str)) or (isinstance(value, int) and abs(value) <= LARGEST):
        return value
    number = _number(value)
    if number is None:
        return str(value)
    return number if math.isfinite(number) else None


def _figure(where: str, value: Any) -> tuple[bytes, str]:
    """(bytes, suffix) of a picture."""
    if isinstance(value, (str, os.PathLike)):
        image, suffix = _picture_file(where, os.fspath(value))
    elif hasattr(value, "savefig"):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png", bbox_inches="tight")
        image, suffix = buffer.getvalue(), "png"
    elif hasattr(value, "save"):
        buffer = io.BytesIO()
        value.save(buffer, format="PNG")
        image, suffix = buffer.getvalue(), "png"
    else:
        raise StageError(
            f"{where}: a {type(value).__name__} is neither a number, nor a list of dicts (a table), nor a figure: one "
            "of matplotlib, a Pillow image, or the path of a picture"
        )
    if len(image) > LIMITS["bytes of a figure"]:
        raise StageError(f"{where}: a figure of {len(image)} bytes, and {LIMITS['bytes of a figure']} are the most")
    return image, suffix


def _picture_file(where: str, path: str) -> tuple[bytes, str]:
    suffix = path.rpartition(".")[2].lower()
    if suffix not in SUFFIXES or not os.path.isfile(path):
        raise StageError(
            f"{where}: {path!r} is not the path of a picture ({', '.join(SUFFIXES)}); text is not kept: print() it, "
            "and hpcurate logs shows it"
        )
    with open(path, "rb") as file:
        return file.read(LIMITS["bytes of a figure"] + 1), suffix
