"""The user's own file of secrets, NAME=value lines that nobody else can read: names are shown, values never."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

import attrs

from hpcurate.errors import ConfigError
from hpcurate.masks import SHORTEST, keep
from hpcurate.runs.commands import quoted

__all__ = ["SecretFile", "parsed"]

MOST_BYTES = 1 << 20
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)


def default_path() -> str:
    """`~/.config/hpcurate/secrets`."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "hpcurate", "secrets")


@attrs.define(frozen=True)
class SecretFile:
    """It is read where a value is needed, and none stays with us but as what is masked."""

    path: str

    def names(self) -> tuple[str, ...]:
        """In the order of the file; none where there is no file. Raises ConfigError for one that others may read."""
        return tuple(self._read())

    def values(self, names: Iterable[str]) -> dict[str, str]:
        """Raises ConfigError for a name that is not there any more."""
        found = self._read()
        for name in names:
            if name not in found:
                raise ConfigError(f"{self.path}: there is no {name} any more; add a line {name}=value")
        return {name: found[name] for name in names}

    def _read(self) -> dict[str, str]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from None
        try:
            _check(self.path, os.fstat(descriptor))
            found = parsed(os.read(descriptor, MOST_BYTES), self.path)
        finally:
            os.close(descriptor)
        for name, value in found.items():
            keep(name, value)  # from now on masked in whatever this process shows
        return found


def _check(path: str, status: os.stat_result) -> None:
    """Raises ConfigError for what is no file, somebody else's, or readable by others."""
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path}: expected a file with a line NAME=value for each secret")
    if status.st_uid != os.getuid():
        raise ConfigError(f"{path}: it is another user's; secrets are taken from a file of your own")
    if status.st_mode & 0o077:
        raise ConfigError(f"{path}: others may read or write it; type chmod 600 {quoted(path)}")


def parsed(data: bytes, path: str) -> dict[str, str]:
    """Name → value. Raises ConfigError with the number of the line, never with what stands there. Pure."""
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: it is no UTF-8 text") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if line.strip() and not line.startswith("#"):
            name, value = _entry(line, f"{path}, line {number}")
            if name in found:
                raise ConfigError(f"{path}, line {number}: {name} stands there twice")
            found[name] = value
    return found


def _entry(line: str, where: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ConfigError(f"{where}: expected NAME=value, a name of letters, digits and _, and nothing before it")
    name, value = match.groups()
    if "\0" in value:
        raise ConfigError(f"{where}: the value of {name} has a NUL byte")
    if value != value.strip() or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\""):
        raise ConfigError(f"{where}: write the value of {name} as it is, without quotes or blanks around it")
    if len(value) < SHORTEST:
        raise ConfigError(
            f"{where}: the value of {name} has less than {SHORTEST} characters, and could not be masked in logs"
        )
    return name, value
