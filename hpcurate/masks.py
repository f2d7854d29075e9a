"""Values of secrets in what is written and shown: `***HF_TOKEN***` stands for that of the environment's HF_TOKEN.

Known are the values of variables that look like secrets, and of those that a stage's parameters name. A value is
found as it is, and as JSON, Python and addresses write it; not one that was encoded in another way. Python 3.9.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Optional

from hpcurate.errors import ConfigError
from hpcurate.secrets import SYMBOL, is_secret_variable

__all__ = ["Sieve", "keep", "keep_named", "known", "mask", "mask_plain", "refuse_known"]

SHORTEST = 8
"""Characters of a value: a shorter one would be found in texts that have nothing to do with it."""
UNMISTAKABLE = 16
"""Characters of a value that is in a configuration only because somebody put it there."""
_kept: dict[str, str] = {}
"""Value → variable, of all that were ever seen: the stage's code may take them out of the environment."""
_secret_variable = functools.lru_cache(maxsize=None)(is_secret_variable)


def keep(name: str, value: str) -> None:
    """From now on this value is a secret."""
    from urllib.parse import quote  # here: where nothing is secret, nothing is quoted

    for form in (value, value.strip(), repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")):
        if len(form) >= SHORTEST:
            _kept.setdefault(form, name)


def keep_named(parameters: Any) -> None:
    """From now on the values of the variables that these plain parameters name as `${oc.env:NAME}` are secrets."""
    for found in SYMBOL.finditer(json.dumps(parameters)):
        keep(found[1], os.environ.get(found[1], ""))


def known(environment: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """Value → variable, of all secrets known by now."""
    for name, value in (os.environ if environment is None else environment).items():
        if value not in _kept and len(value) >= SHORTEST and _secret_variable(name):
            keep(name, value)
    return dict(_kept)


def mask(text: str) -> str:
    """The text with the names of secrets for their values."""
    return _masked(text, known())


def _masked(text: str, values: Mapping[str, str]) -> str:
    if not values:
        return text
    longest_first = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))
    return re.sub(longest_first, lambda found: f"***{values[found[0]]}***", text)


def mask_plain(value: Any) -> Any:
    """Plain data whose texts, not its keys, are masked."""
    return _masked_plain(value, known())


def _masked_plain(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _masked(value, values)
    if isinstance(value, (list, tuple)):
        return [_masked_plain(inner, values) for inner in value]
    return {key: _masked_plain(inner, values) for key, inner in value.items()} if isinstance(value, dict) else value


def refuse_known(value: Any, key: str = "") -> None:
    """Raise ConfigError for the value of a secret in plain data: a shell has put it there, `key=$HF_TOKEN`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            refuse_known(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            refuse_known(inner, f"{key}[{place}]")
    elif isinstance(value, str):
        for name in (name for secret, name in known().items() if len(secret) >= UNMISTAKABLE and secret in value):
            raise ConfigError(
                f"{key}: contains the value of {name}, and a configuration is copied into the store; "
                f"type '${{oc.env:{name}}}', in single quotes, for it"
            )


class Sieve:
    """Masks a stream of bytes. Keeps back an end that may be the beginning of a secret, and nothing else."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {os.fsencode(value): name for value, name in values.items()}
        longest_first = sorted(self._values, key=len, reverse=True)
        self._found = re.compile(b"|".join(map(re.escape, longest_first)))
        self._left = b""

    def feed(self, data: bytes) -> bytes:
        """What can be written now that these bytes have come."""
        done = self._masked(self._left + data)
        keep = max((n for value in self._values for n in range(1, len(value)) if done.endswith(value[:n])), default=0)
        self._left = done[len(done) - keep :]
        return done[: len(done) - keep]

    def rest(self) -> bytes:
        """What was kept back, at the end of the stream."""
        left, self._left = self._left, b""
        return left

    def _masked(self, data: bytes) -> bytes:
        if not self._values:
            return data
        return self._found.sub(lambda found: b"***%s***" % self._values[found[0]].encode(), data)
