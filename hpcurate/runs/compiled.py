"""What `hpcurate compile` makes of a run: a folder of jobs that its user submits. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from hpcurate.errors import ConfigError

__all__ = ["Compiled", "differing", "read_compiled"]


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """What is in `compiled.json` of a folder, and of the run that its jobs work for."""

    identity: str
    """Of the run, see `run_identity`."""
    fingerprints: dict[str, str]
    """Of its stages."""
    store: str
    folder: str
    """Where the command was typed."""
    words: tuple[str, ...]
    config_dirs: tuple[str, ...] = ()
    code: str
    """Name of the frozen copy of the code in the folder."""
    tag: str = ""
    """Stands in the names of the jobs: a digest of the folder's content."""

    @property
    def start(self) -> str:
        """Name of the job that starts the run."""
        return f"start-{self.tag}"

    def array(self, stage: str) -> str:
        """Name of a stage's array."""
        return f"{stage}-{self.tag}"

    def gate(self, stage: str) -> str:
        """Name of the gate after it."""
        return f"gate-{stage}-{self.tag}"

    def text(self) -> str:
        """As JSON."""
        return json.dumps(msgspec.to_builtins(self), indent=1) + "\n"


def read_compiled(text: str | bytes, path: str) -> Compiled:
    """What a `compiled.json` says. Raises ConfigError."""
    try:
        return msgspec.convert(json.loads(text), Compiled)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path}: is none that this hpcurate compiles ({error}); compile the folder again") from None


def differing(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """First stage whose fingerprint is not what it was; empty if there is none. Pure."""
    return next((name for name in [*now, *before] if before.get(name) != now.get(name)), "")
