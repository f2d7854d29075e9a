"""The top-level keys of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.config_files import conf_folders, groups_in
from hpcurate.environments.binds import parse_binds
from hpcurate.fields import check_keys, check_renamed, convert, names_of, option
from hpcurate.planning.budget import Budget
from hpcurate.planning.pipeline import Timing
from hpcurate.runs.folder import check_name
from hpcurate.runs.freeing import KEEPS
from hpcurate.store.filesystem import DURABILITIES
from hpcurate.store.mode import MODES


@attrs.define(frozen=True, kw_only=True)
class Settings:
    """Top-level keys."""

    name: str = option("pipeline", "name of the pipeline; part of the run's name", check=check_name)
    input: str | list[str] | dict[str, str] | None = option(
        None, "folder, file or glob that the source reads; several: [/data/a,/data/b], or with names {a: /x/v, b: /y/v}"
    )
    store: str | None = option(
        None, "folder on shared storage; default: HPCURATE_STORE, the site profile's, then that of the last run"
    )
    store_mode: str | None = option(
        None,
        "who may read and write the store: private, its owner, or group, that of the folder; set when the store is "
        "made, and kept by it; default: private",
        choices=MODES,
    )
    output: str | None = option(None, "folder of the result; default: the run's own output/")
    params: dict[str, Any] = option(
        dict,
        "parameters of the pipeline, which its stages use as ${params.NAME}: a default, or a mapping of default, help, "
        "type and choices; given as params.NAME=VALUE",
    )
    source: Any = option(None, "where the first tasks come from: _target_ and its parameters")
    part: str | None = option(
        None, "a part of the input, i/n with i from 0, e.g. 0/4; nested 0/4,1/2", formerly="shard"
    )
    exclude: list[str] = option(
        list,
        "items that are left out: globs on their path, e.g. 'drafts/**' or '*.tmp.mp4', and @FILE with a name a line: "
        "exclude=@bad.txt",
    )
    done: str | None = option(
        None,
        "items that another tool has done are left out: those whose output exists, by its path, e.g. "
        "/captions/{relative}.json; those named in a file, @done.txt; or those of which a function of yours says so, "
        "module:function, or a stage, stages.NAME",
    )
    stages: dict[str, Any] = option(dict, "stages by name, in order")
    places: list[str] = option(
        list, "order of the stages: their names, and those of places that further stages fill; default: as given"
    )
    launcher: dict[str, Any] = option(dict, "auto, slurm, local or inline, and its fields; default: auto")
    models: dict[str, Any] = option(
        dict, "changes to the registry, e.g. models.gpt2.revision=main; conf/models has the rest"
    )
    binds: list[str] = option(
        list,
        "folders that the container of each stage sees, beside the store: [/data, /scratch:/mnt/scratch, /raw:/raw:ro]",
        check=parse_binds,
    )
    limit: int | None = option(None, "only the first n tasks: a trial, whose work the full run reuses")
    changed: str = option(
        "keep",
        "items edited since they were taken in: keep reports them, redo does them again",
        choices=("keep", "redo"),
    )
    vanished: str = option(
        "keep", "items no longer there: keep reports them, drop leaves them out", choices=("keep", "drop")
    )
    keep: str = option(
        "all",
        "all; or results: files of a stage are freed while the run works, once every stage that reads them is done; "
        "rows stay, and what needs the files later makes them again",
        choices=KEEPS,
    )
    rerun: list[str] = option(list, "stages to do again, and so everything after them: rerun=split, rerun=[a,b]")
    dry_run: bool = option(False, "true: print the plan and the sbatch scripts; write and submit nothing")
    debug: bool = option(False, "true: in this process, the first 3 tasks, a scratch store; breakpoints work")
    site: dict[str, Any] = option(dict, "site profile: site=NAME of conf/site, or its fields; default: auto, yours")
    wait: bool | None = option(None, "true: stay until the end; false: submit and leave; default: the launcher's")
    budget: Budget = option(Budget, "dead letters a complete run may have")
    timing: Timing = option(Timing, "clocks of the claim protocol, in seconds")
    durability: str = option(
        "full",
        "full: a committed shard is flushed, and survives a crash of the storage or a node; rename: it is not, which "
        "saves the waits, and what was committed just before such a crash may have files cut short: hpcurate verify",
        choices=tuple(DURABILITIES),
    )


def read_settings(plain: dict[str, Any]) -> Settings:
    """Check the top level. Raises ConfigError with the full key."""
    check_renamed(plain, Settings)
    check_keys(plain, names_of(Settings), also=_groups(conf_folders()))
    several = {key: plain.get(key) or [] for key in ("rerun", "binds", "exclude")}
    several = {key: [value] if isinstance(value, str) else value for key, value in several.items()}
    return convert(Settings, {**plain, **several})


def typed_keys(folders: Sequence[Path]) -> list[str]:
    """What may stand first on the command line: keys, and config groups, which are chosen with a plus sign."""
    return [*names_of(Settings), *_groups(folders)]


def _groups(folders: Sequence[Path]) -> list[str]:
    return [f"+{name}" for name in groups_in(folders) if name not in names_of(Settings)]
