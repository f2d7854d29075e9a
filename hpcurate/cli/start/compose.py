"""Hydra composes, we resolve and freeze: nothing is composed again on a compute node."""

from __future__ import annotations

import copy
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from hpcurate.cli.start.overrides import plain_of_path
from hpcurate.cli.start.parameters import (
    Parameter,
    checked,
    declared,
    given,
    refuse_taken,
    refuse_without_effect,
    split_off,
    unused,
)
from hpcurate.cli.start.removal import remove
from hpcurate.cli.start.settings import Settings, typed_keys
from hpcurate.cli.start.with_hydra import composed_by_hydra, plain_of
from hpcurate.config_files import conf_folders, groups_in, names_in, not_text, yaml_problem
from hpcurate.errors import ConfigError
from hpcurate.fields import check_renamed, names_of, suggestion
from hpcurate.grammar import as_it_is
from hpcurate.masks import refuse_known
from hpcurate.runs.folder import UNNAMED
from hpcurate.secrets import MAY_BE_SECRET, is_secret, refuse_typed

INTERPOLATIONS = ("result", "oc.env", "oc.select", "oc.decode")
"""What may stand before the colon in `${…:…}`."""


class Composed(msgspec.Struct, frozen=True):
    """A composed configuration. What `${output}` stands for in it is decided last: a run's own folder has no name
    before the run has.
    """

    _config: Any
    parameters: Mapping[str, Parameter] = MappingProxyType({})
    """What its files declare; of the frozen configuration of a run only the values are left."""
    unused: Sequence[Parameter] = ()
    """Those that nothing refers to."""

    @property
    def output(self) -> str | None:
        """The folder that the user named for the result."""
        with _readable_errors():
            return None if self._config["output"] is None else str(self._config["output"])

    def draft(self) -> dict[str, Any]:
        """The configuration, resolved, as it is before the run has a name."""
        return self.with_output(self.output or UNNAMED)

    def unresolved(self) -> dict[str, Any]:
        """The configuration as it is written: what refers to something else, or is still to be given, stays so."""
        return {str(key): value for key, value in plain_of(self._config, resolve=False).items()}

    def with_output(self, output: str) -> dict[str, Any]:
        """The configuration, resolved, with this folder for the result. Raises ConfigError."""
        from omegaconf import OmegaConf

        config = copy.deepcopy(self._config)
        config["output"] = as_it_is(output)
        with _readable_errors():
            OmegaConf.register_new_resolver("result", _result, replace=True)
            OmegaConf.register_new_resolver("oc.env", _environment, replace=True)
            if self.parameters:
                config["params"] = _again(checked(self.parameters, plain_of(config["params"])))
            _check_missing(OmegaConf.missing_keys(config))
            plain = plain_of(config)
        refuse_typed(plain)
        refuse_known(plain)
        return {str(key): value for key, value in plain.items()}


def compose(overrides: Sequence[str], paths: dict[str, str], config_dirs: Sequence[str]) -> Composed:
    """What the configuration files and the command line make. Raises ConfigError for what Hydra refuses."""
    from omegaconf import OmegaConf

    _check_keys(overrides)
    _check_secrets(overrides)
    folders = _folders(config_dirs)
    _check_pipeline(overrides, folders)
    removed = [override for override in overrides if override.startswith("~stages.") and "=" not in override]
    of_parameters, overrides = split_off(overrides, groups_in(folders))
    unknown = [override for override in overrides if _is_unknown(override, folders)]
    for_hydra = [override for override in overrides if override not in (*removed, *unknown)]
    for_hydra.sort(key=lambda override: not override.startswith("+pipeline="))  # groups change it, in whatever order
    with _readable_errors(folders):
        config, layers = composed_by_hydra(for_hydra, folders)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        _check_headers(config, folders)
        for override in removed:
            remove(config["stages"], override)
        for key, value in paths.items():
            config[key] = plain_of_path(key, value)
        parameters = declared(layers)
        _refuse_unknown(unknown, parameters, folders)
        return _with_parameters(config, parameters, of_parameters, folders)


def _with_parameters(
    config: Any, parameters: Mapping[str, Parameter], overrides: Sequence[str], folders: Sequence[Path]
) -> Composed:
    """The configuration with a value for each parameter, in the place of its declaration. Raises ConfigError."""
    refuse_taken(parameters, _taken(config["stages"], folders))
    values = given(parameters, overrides)
    config["params"] = {name: values.get(name, one.default) for name, one in parameters.items()}
    composed = Composed(config, parameters, unused(parameters, plain_of(config, resolve=False)))
    refuse_without_effect(composed.unused, values)
    return composed


def _taken(stages: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, Sequence[str]]:
    """Names that no parameter may have, by what they are."""
    members = [member for entry in stages.values() if isinstance(entry, Mapping) for member in entry.get("chain") or ()]
    return {
        "an option of a run": names_of(Settings),
        "a stage of this pipeline": [*map(str, stages), *members],
        "a group of config files": groups_in(folders),
    }


def chosen(overrides: Sequence[str], config_dirs: Sequence[str]) -> dict[str, str]:
    """Which file of each group a command line means: `embed` → `clip`. Raises ConfigError."""
    folders = _folders(config_dirs)
    with _readable_errors(folders):
        words = [word for word in split_off(overrides, groups_in(folders))[1] if not word.startswith("~stages.")]
        config, _ = composed_by_hydra(words, folders)
        choices = config["hydra"]["runtime"]["choices"]
    names = groups_in(folders)
    return {str(group): str(choice) for group, choice in choices.items() if group in names and choice is not None}


def frozen_config(text: str, given: Mapping[str, Any]) -> Composed:
    """The configuration that a run has frozen, as if it was composed again; `given`: what replaces values of it.

    Values of secret-looking environment variables, which it does not have, are symbolic in it, as they were.
    """
    import yaml
    from omegaconf import OmegaConf

    plain = yaml.safe_load(text)
    plain["output"] = None if plain.get("output") == UNNAMED else plain.get("output")
    config = OmegaConf.create(_again(plain))
    for key, value in given.items():
        OmegaConf.update(config, key, value, merge=False, force_add=True)
    return Composed(config)


def _again(value: Any) -> Any:
    """Text is what it was; where it names the run's own output folder, it follows that."""
    if isinstance(value, dict):
        return {key: _again(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_again(inner) for inner in value]
    if not isinstance(value, str):
        return value
    escaped = re.sub(r"(\\*)\$\{(?!oc\.env:)", lambda m: m[1] * 2 + r"\${", value)
    return escaped.replace(UNNAMED, "${output}")


def _environment(name: str, default: Any = "\0", *, _node_: Any) -> Any:
    """`${oc.env:NAME}`, but secrets stay symbolic and are read where the stage runs: by that name, or their key's."""
    if default == "\0" and name not in os.environ:  # jobs have the environment of who submits them
        raise KeyError(f"environment variable {name} is not set")
    if MAY_BE_SECRET.search(name) or any(map(is_secret, str(_node_._get_full_key(None)).split("."))):
        return f"${{oc.env:{name}}}" if default == "\0" else f"${{oc.env:{name},{default}}}"
    return os.environ.get(name, default)


def _result(*field: Any) -> str:
    """`${result:stage.field}`: known only when that stage is done, so it stays as it is written."""
    return f"${{result:{','.join(map(str, field))}}}"


# -- what Hydra would refuse with worse advice -------------------------------------------------------


def _folders(config_dirs: Sequence[str]) -> list[Path]:
    for folder in config_dirs:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir {folder!r}: no such folder")
    return conf_folders(config_dirs)


def _check_missing(keys: Iterable[str]) -> None:
    """`???` stands for a value that whoever runs the pipeline gives."""
    if missing := sorted(keys):
        typed = " ".join(f"{key}=VALUE" for key in missing)
        raise ConfigError(f"{', '.join(missing)}: ??? is no value, give one: {typed}")


def _check_keys(overrides: Sequence[str]) -> None:
    """Keys that had another name, and Hydra's own: before Hydra parses their values."""
    keys = [override.partition("=")[0].lstrip("+~") for override in overrides]
    check_renamed(keys, Settings)
    for key in keys:
        if re.match(r"hydra([./@]|$)", key):
            raise ConfigError(
                f"{key}: hpcurate takes no key of hydra.*: Hydra composes here and runs nothing; type "
                "--config-dir DIR for hydra.searchpath, output= for hydra.run.dir, launcher= for hydra/launcher, "
                "-m for hydra/sweeper"
            )


def _is_unknown(override: str, folders: Sequence[Path]) -> bool:
    """Whether it sets a key of the top level that is none, nor a group of config files."""
    key = override.partition("=")[0]
    return key.isidentifier() and key not in names_of(Settings) and not names_in(folders, key)


def _refuse_unknown(overrides: Sequence[str], parameters: Mapping[str, Parameter], folders: Sequence[Path]) -> None:
    for override in overrides:
        key, _, value = override.partition("=")
        typed = f"it is a parameter of this pipeline: type params.{key}={value}"
        near = typed if key in parameters else suggestion(key, typed_keys(folders))
        raise ConfigError(f"{key}: there is no such key; {near}")


def _check_secrets(overrides: Sequence[str]) -> None:
    """What is typed is kept with the run, also where another override takes it out of the configuration again."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if equals and not value.startswith(("${", "[", "{")):  # these are looked at when they are composed
            refuse_typed(value.strip("'\""), key.lstrip("+~"))


def _check_pipeline(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    names = names_in(folders, "pipeline")
    for override in overrides:
        key, _, value = override.partition("=")
        if key.lstrip("+") == "pipeline" and value not in names:
            raise ConfigError(f"pipeline={value}: no such pipeline; {suggestion(value, names)}")


def _check_headers(config: Mapping[str, Any], folders: Sequence[Path]) -> None:
    """A file of a group whose content is in the wrong place, as it does not say in its first line where it belongs."""
    for group in groups_in(folders):
        entry = config.get(group)
        if group in names_of(Settings) or not isinstance(entry, Mapping):
            continue
        whole = {"stages", "source", "name"} & {str(key) for key in entry}
        if whole or "_target_" in entry:
            package = "_global_" if whole else f"stages.{group}"
            found = [path for folder in folders for path in sorted((folder / group).glob("*.yaml"))]
            files = " or ".join(str(path) for path in found if not _says_where(path))
            raise ConfigError(f"{group}=…: the first line of its file must be `# @package {package}`: {files}")


def _says_where(path: Path) -> bool:
    """Whether a file of a group says in a line of its head where its content belongs; what cannot be read does not."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(re.match(r"#\s*@package\s", line) for line in itertools.takewhile(_is_head, lines))


def _is_head(line: str) -> bool:
    return line.startswith("#") or not line.strip()


@contextmanager
def _readable_errors(folders: Sequence[Path] = ()) -> Iterator[None]:
    import yaml
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except yaml.YAMLError as error:
        raise ConfigError(yaml_problem(error)) from None
    except UnicodeDecodeError as error:
        path = not_text(folders)
        raise ConfigError(f"{path or 'configuration'}: not YAML: it is no UTF-8 text ({error.reason})") from None
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:  # ValueError: launcher=null
        raise ConfigError(_readable(str(error), folders or conf_folders())) from None


def _readable(message: str, folders: Sequence[Path]) -> str:
    """Hydra's message without its advice to add `+`, which is wrong for a misspelt key."""
    missing = re.search(r"Could not override '([^']+)'", message)
    if missing:
        choices = names_in(folders, missing[1])
        if choices:
            return f"{missing[1]}: it is chosen with a plus sign: +{missing[1]}=NAME, one of {', '.join(choices)}"
        return f"{missing[1]}: there is no such key; {suggestion(missing[1], typed_keys(folders))}"
    gone = re.search(r"Could not delete '([^']+)'|Could not delete from config\. '([^']+)' does not exist", message)
    if gone:
        return f"~{gone[1] or gone[2]}: there is nothing of that name to leave out"
    twice = re.search(r"Multiple values for ([^.]+)\.", message)
    if twice:
        names = ", ".join(names_in(folders, twice[1]))
        once = f"{twice[1]}=NAME, without a plus sign, where the pipeline has one"
        return f"{twice[1]}: it is chosen twice; type one of {names}: {once}"
    choice = re.search(r"Could not find '([^'/]+)/([^']+)'", message)
    if choice:
        return f"{choice[1]}={choice[2]}: no such choice; {suggestion(choice[2], names_in(folders, choice[1]))}"
    unknown = re.search(r"Unsupported interpolation type (\S+)(?:\s+full_key: (\S+))?", message)
    if unknown:
        where = f"{unknown[2]}: " if unknown[2] else ""
        return f"{where}${{{unknown[1]}:…}} stands for nothing; {suggestion(unknown[1], INTERPOLATIONS)}"
    unset = re.search(r"nvironment variable '?(\w+)'? (?:not found|is not set)", message)
    if unset:
        key = re.search(r"full_key: (\S+)", message)
        where = f"{key[1]}: " if key else ""
        return f"{where}the environment variable {unset[1]} is not set; export it where you type hpcurate"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


def dump(plain: dict[str, Any]) -> str:
    """The resolved configuration as YAML."""
    import yaml

    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False))
