"""Hydra composes, we resolve and freeze: nothing is composed again on a compute node."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from hpcurate.cli.start.overrides import quoted
from hpcurate.cli.start.removal import remove
from hpcurate.cli.start.settings import Settings, typed_keys
from hpcurate.config_files import conf_folders, groups_in, names_in, not_text, shipped_conf, yaml_problem
from hpcurate.errors import ConfigError
from hpcurate.fields import check_renamed, defaults_of, names_of, suggestion
from hpcurate.masks import refuse_known
from hpcurate.runs.folder import UNNAMED
from hpcurate.secrets import MAY_BE_SECRET, is_secret, refuse_typed


@attrs.define(frozen=True)
class Composed:
    """A composed configuration. What `${output}` stands for in it is decided last: a run's own folder has no name
    before the run has.
    """

    _config: Any

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
        from omegaconf import OmegaConf

        plain = OmegaConf.to_container(self._config, resolve=False)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}

    def with_output(self, output: str) -> dict[str, Any]:
        """The configuration, resolved, with this folder for the result. Raises ConfigError."""
        from omegaconf import OmegaConf

        config = copy.deepcopy(self._config)
        config["output"] = _literal(output)
        with _readable_errors():
            _check_missing(OmegaConf.missing_keys(config))
            OmegaConf.register_new_resolver("oc.env", _environment, replace=True)
            plain = OmegaConf.to_container(config, resolve=True)
        assert isinstance(plain, dict)
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
    with _readable_errors(folders):
        config = _hydra([override for override in overrides if override not in removed], folders)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        _check_headers(config, folders)
        for override in removed:
            remove(config["stages"], override)
        for key, value in paths.items():
            config[key] = _literal(value)
    return Composed(config)


def chosen(overrides: Sequence[str], config_dirs: Sequence[str]) -> dict[str, str]:
    """Which file of each group a command line means: `embed` → `clip`. Raises ConfigError."""
    folders = _folders(config_dirs)
    with _readable_errors(folders):
        config = _hydra([override for override in overrides if not override.startswith("~stages.")], folders)
        choices = config["hydra"]["runtime"]["choices"]
    names = groups_in(folders)
    return {str(group): str(choice) for group, choice in choices.items() if group in names and choice is not None}


def _hydra(overrides: Sequence[str], folders: Sequence[Path]) -> Any:
    """What Hydra composes, with its own configuration beside ours."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group="hpcurate", name="settings", node=defaults_of(Settings), package="_global_")
    more = ",".join(quoted(f"file://{folder}") for folder in folders if folder != shipped_conf())
    search = [f"hydra.searchpath=[{more}]"] if more else []
    with initialize_config_dir(config_dir=str(shipped_conf()), version_base="1.3"):
        return hydra_compose(config_name="config", overrides=[*search, *overrides], return_hydra_config=True)


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
    return re.sub(r"\$\{(?!oc\.env:)", r"\\${", value).replace(UNNAMED, "${output}")


def _literal(path: str) -> str:
    """A path as it is: what looks like an interpolation is none."""
    return path.replace("${", "\\${")


def _environment(name: str, default: Any = "\0", *, _node_: Any) -> Any:
    """`${oc.env:NAME}`, but secrets stay symbolic and are read where the stage runs: by that name, or their key's."""
    if default == "\0" and name not in os.environ:  # jobs have the environment of who submits them
        raise KeyError(f"environment variable {name} is not set")
    if MAY_BE_SECRET.search(name) or any(map(is_secret, str(_node_._get_full_key(None)).split("."))):
        return f"${{oc.env:{name}}}" if default == "\0" else f"${{oc.env:{name},{default}}}"
    return os.environ.get(name, default)


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
            files = " or ".join(str(path) for folder in folders for path in sorted((folder / group).glob("*.yaml")))
            raise ConfigError(f"{group}=…: the first line of its file must be `# @package {package}`: {files}")


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
