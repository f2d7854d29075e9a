"""What `hpcurate compare` shows: everything in which two runs differ, and what they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.config_files import read_yaml
from hpcurate.report.drops import drop_reasons
from hpcurate.report.run_view import RunView
from hpcurate.runs.explanation import part_differences
from hpcurate.runs.folder import Run
from hpcurate.runs.summary import StageReport


@attrs.define(frozen=True, kw_only=True)
class Comparison:
    """Two runs side by side."""

    config: list[str]
    """Config values that differ: `stages.split.threshold: 27 → 30`."""
    shared: list[str]
    """Stages that both runs read from one folder."""
    counts: dict[str, tuple[StageReport | None, StageReport | None]]
    """Stage → where it stands in each; None where a run has no such stage."""
    dropped: dict[str, tuple[Counter[str], Counter[str]]]
    """Stage → reason → tasks, in each."""

    def plain(self) -> dict[str, Any]:
        """What `hpcurate compare --json` prints."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def compare(one: Run, two: Run, defaults: Mapping[str, Any]) -> Comparison:
    """Look at both runs. `defaults` are those of the configuration: a key that is absent has its default."""
    a, b = RunView(one), RunView(two)
    stages = [view.look().stages for view in (a, b)]
    folders = [{stage.name: stage.folder for stage in view.planned} for view in (a, b)]
    drops = [drop_reasons(view) for view in (a, b)]
    names = list(dict.fromkeys([*stages[0], *stages[1]]))
    return Comparison(
        config=part_differences(*_comparable([_config(run, defaults) for run in (one, two)])),
        shared=[name for name in names if folders[0].get(name) == folders[1].get(name)],
        counts={name: (stages[0].get(name), stages[1].get(name)) for name in names},
        dropped={name: (drops[0].get(name, Counter()), drops[1].get(name, Counter())) for name in names},
    )


def _comparable(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without launcher and site where only one was compiled: that has what was found, the other what was typed."""
    compiled = ["_target_" in (config.get("launcher") or {}) for config in configs]
    away = ("launcher", "site", "store", "wait") if any(compiled) and not all(compiled) else ()
    return [{key: value for key, value in config.items() if key not in away} for config in configs]


def _config(run: Run, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The run's configuration with every default in it; null is the default, too."""
    written = {key: value for key, value in read_yaml(Path(run.path, "config.yaml")).items() if value is not None}
    return {
        key: {**default, **value} if isinstance(default, dict) and isinstance(value, dict) else value
        for key, value, default in ((k, v, defaults.get(k)) for k, v in {**defaults, **written}.items())
    }
