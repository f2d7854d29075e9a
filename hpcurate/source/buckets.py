"""Objects in a bucket as files: below a prefix, one by its key, or those that a glob matches."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator

from hpcurate.errors import ConfigError, SetupLost, StoreFailed
from hpcurate.objects.address import Address, Seen, parse
from hpcurate.objects.client import Listed, objects
from hpcurate.task import FileTask, stable_id

__all__ = ["addresses_below", "glob_pattern", "objects_of"]


def objects_of(path: str, odd: Callable[[str], None]) -> Iterator[FileTask]:
    """Tasks of the objects that `s3://…` stands for, in the order of their keys; listed page by page.

    Hidden ones are left out, as on disk. `odd` is told each address that could not be the path of a file: it has an
    empty part. Raises ConfigError.
    """
    at = parse(path)
    try:
        root, found = _found(at)
        for one in found:
            relative = one.key[len(root) :]
            if _is_odd(relative):
                odd(str(Address(at.bucket, one.key)))
            elif not re.search(r"(^|/)\.", relative):
                yield _task(relative, str(Address(at.bucket, one.key)), one.seen)
    except (OSError, StoreFailed, SetupLost) as error:
        raise ConfigError(f"input={path}: {error}") from None


def addresses_below(path: str) -> frozenset[str]:
    """Of all objects whose addresses begin so: one listing, page by page. Raises ConfigError."""
    try:
        at = parse(path)
        return frozenset(str(Address(at.bucket, one.key)) for one in objects().listed(at))
    except (OSError, StoreFailed, SetupLost) as error:
        raise ConfigError(f"{path}: {error}") from None


def _found(at: Address) -> tuple[str, Iterator[Listed]]:
    """What the keys of all begin with, up to their relative paths; and the objects."""
    if glob.has_magic(at.key):
        parts = at.key.split("/")
        plain = next(n for n, part in enumerate(parts) if glob.has_magic(part))
        root = "".join(f"{part}/" for part in parts[:plain])
        matches = glob_pattern("/".join(parts[plain:])).fullmatch
        prefix = root + re.split(r"[*?[]", parts[plain])[0]
        return root, (one for one in _files(at, prefix) if matches(one.key[len(root) :]))
    if at.key and (alone := next(objects().listed(at, most=1), None)) and alone.key == at.key:
        return at.key[: at.key.rfind("/") + 1], iter([alone])
    root = f"{at.key.rstrip('/')}/" if at.key else ""
    return root, _files(at, root)


def _files(at: Address, prefix: str) -> Iterator[Listed]:
    """Without those that only stand for a folder: their keys end in a slash."""
    return (one for one in objects().listed(Address(at.bucket, prefix)) if not one.key.endswith("/"))


def _is_odd(relative: str) -> bool:
    return not all(relative.split("/")) or bool({".", ".."} & set(relative.split("/"))) or "\0" in relative


def _task(source: str, address: str, seen: Seen) -> FileTask:
    return FileTask(
        id=stable_id("file", source),
        source=source,
        path=address,
        size=seen.size,
        mtime_ns=seen.mtime_ns,
        weight=max(seen.size / 1e6, 0.001),
    )


def glob_pattern(text: str) -> re.Pattern[str]:
    """What `glob.glob(recursive=True)` matches, as a pattern for relative paths; hidden names match no `*`. Pure."""
    parts = text.split("/")
    found = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            found += r"(?:(?!\.)[^/]+/)*" + (r"(?!\.)[^/]+" if last else "")
        else:
            found += _part(part) + ("" if last else "/")
    return re.compile(found, re.DOTALL)


def _part(text: str) -> str:
    """One part of a path: fnmatch's rules, and no slash."""
    found = r"(?!\.)" if text[:1] in "*?[" else ""
    for piece in re.findall(r"\[!?\]?[^\]]*\]|.", text, re.DOTALL):
        if piece in "*?":
            found += "[^/]*" if piece == "*" else "[^/]"
        elif len(piece) > 1:
            inner = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            found += f"[{'^/' + inner[1:] if inner[:1] == '!' else inner.replace('^', chr(92) + '^', 1)}]"
        else:
            found += re.escape(piece)
    return found
