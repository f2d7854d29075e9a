"""The stages of a configuration, constructed: every key known, every value of its type, every class importable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpcurate.cli.start.stage_file import stage_in_file, stage_in_frozen_file
from hpcurate.config_files import conf_folders, names_in
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import check_keys, convert, names_of
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.spec import construct, find_class
from hpcurate.stage import Chain, Stage, constructor


def read_steps(stages: dict[str, Any]) -> dict[str, Step]:
    """Stage objects and their options, in order. Raises ConfigError or PipelineError with the full key."""
    entries = {name: dict(entry) if isinstance(entry, dict) else entry for name, entry in stages.items()}
    _move_to_members(entries)
    _check_neighbours(entries)
    return {name: _step(name, entry) for name, entry in entries.items() if entry is not None}


def of_frozen_code(stages: Mapping[str, Any]) -> dict[str, Any]:
    """The same stages, with `module:Class` where a file is named: its frozen copy is on the import path."""

    def named(where: str, entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        inner = {k: named(f"{where}.chain.{k}", v) for k, v in (entry.get("chain") or {}).items()}
        entry = {**entry, "chain": inner} if inner else entry
        return _of_file(where, entry, stage_in_frozen_file) if "file" in entry else entry

    return {name: named(f"stages.{name}", entry) for name, entry in stages.items()}


def _move_to_members(entries: dict[str, Any]) -> None:
    """`stages.motion.threshold` means the chain member, where `motion` is no stage of its own."""
    for name, entry in list(entries.items()):
        if not isinstance(entry, dict) or {"_target_", "chain", "file"} & entry.keys():
            continue
        owners = [k for k, e in entries.items() if isinstance(e, dict) and name in (e.get("chain") or {})]
        if len(owners) == 1:
            chain = dict(entries[owners[0]]["chain"])
            chain[name] = {**chain[name], **entry}
            entries[owners[0]]["chain"] = chain
            del entries[name]


def _check_neighbours(entries: dict[str, Any]) -> None:
    """Nothing stands within a chain: who names a member is told the chain. Raises ConfigError."""
    mappings = {name: entry for name, entry in entries.items() if isinstance(entry, dict)}
    chains = {member: name for name, entry in mappings.items() for member in entry.get("chain") or {}}
    for name, entry in mappings.items():
        for key in ("before", "after", "needs"):
            named = entry.get(key)
            for member in named if isinstance(named, list) else [named]:
                if isinstance(member, str) and member not in entries and member not in chains:
                    _check_group(f"stages.{name}.{key}", member)
                if isinstance(member, str) and member in chains.keys() - entries.keys():
                    raise ConfigError(
                        f"stages.{name}.{key}: {member!r} is a member of the chain {chains[member]}; "
                        f"type stages.{name}.{key}={chains[member]}, or make {name} a member, too"
                    )


def _check_group(key: str, name: str) -> None:
    """Who names the stage of a group that is not chosen is told its choices. Raises ConfigError."""
    if choices := names_in(conf_folders(), name):
        typed = " or ".join(f"+{name}={choice}" for choice in choices)
        raise ConfigError(f"{key}: there is no stage {name!r}: it is of a group that is not chosen; type {typed}")


def _step(name: str, entry: Any) -> Step:
    where = f"stages.{name}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}={entry!r}: expected a mapping with _target_, or chain")
    options = {k: v for k, v in entry.items() if k in names_of(StageOptions)}
    rest = {k: v for k, v in entry.items() if k not in options}
    stage = _chain(where, rest) if "chain" in rest else _stage(where, rest)
    return Step(stage, convert(StageOptions, options, where))


def _chain(where: str, entry: dict[str, Any]) -> Stage[Any, Any]:
    check_keys(entry, ["chain"], where, also=names_of(StageOptions))
    return Chain([_stage(f"{where}.chain.{name}", member) for name, member in entry["chain"].items()])


def _stage(where: str, entry: Any) -> Stage[Any, Any]:
    if isinstance(entry, dict) and "file" in entry:
        entry = _of_file(where, entry)
    if not isinstance(entry, dict) or "_target_" not in entry:
        raise ConfigError(
            f"{where}: has no _target_, so it is no stage of this pipeline; misspelt, or of a group that is not chosen "
            "(+embed=clip), or write module.Class"
        )
    try:
        cls = find_class(str(entry["_target_"]))
    except PipelineError as error:
        raise PipelineError(f"{where}._target_: {error}") from None
    return _construct(cls, {k: v for k, v in entry.items() if k != "_target_"}, where)


def _construct(cls: type[Stage[Any, Any]], parameters: dict[str, Any], where: str) -> Stage[Any, Any]:
    names = constructor(cls)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in names.values()):
        keys, options = [key for key in parameters if key not in cls.moved], names_of(StageOptions)
        chain, _, member = where.partition(".chain.")
        if shared := [key for key in keys if key in options and key not in names]:  # in a member only, see _step
            raise ConfigError(f"{where}.{shared[0]}: the members of a chain share it; type {chain}.{shared[0]}")
        check_keys(keys, list(names), where, also=() if member else options)
    try:
        return construct(cls, parameters)
    except ConfigError as error:  # of a parameter, by its name, or of the whole stage
        of_parameter = str(error).partition(": ")[0] in {*names, *cls.moved}
        raise ConfigError(f"{where}{'.' if of_parameter else ': '}{error}") from None


def _of_file(
    where: str, entry: dict[str, Any], found: Callable[[str, str | None], str] = stage_in_file
) -> dict[str, Any]:
    """`file: ./mine.py` names a module that lies anywhere; `_target_` then names a class in it."""
    rest = {k: v for k, v in entry.items() if k not in ("file", "_target_")}
    try:
        return {"_target_": found(str(entry["file"]), entry.get("_target_")), **rest}
    except PipelineError as error:
        raise PipelineError(f"{where}.file={entry['file']}: {error}") from None
