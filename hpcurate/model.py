"""Models with weights, as a stage sees them. Runs in every stage environment: Python 3.9, nothing heavy.

Written after Cosmos-Curate's `ModelInterface`: a ported model changes its import lines only
(`from hpcurate.model import ModelInterface`, `from hpcurate import model as model_utils`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Optional

import attrs

from hpcurate.errors import ConfigError

__all__ = [
    "Model",
    "ModelInterface",
    "ModelRef",
    "get_local_dir_for_weights_name",
    "model_names",
    "remote_code_allowed",
]

_PATHS: dict[str, str] = {}
"""Model name or repository → folder with its weights, on the node or on shared storage."""
_REMOTE_CODE: set[str] = set()
"""Names of those whose own code may be run."""


@attrs.define(frozen=True)
class ModelRef:
    """A model of the registry: its weights are on the node before `setup`."""

    name: str
    """Name under conf/models, or the repository's."""

    @property
    def path(self) -> Path:
        """Folder of the weights. Raises ConfigError outside a stage process that was given them."""
        return get_local_dir_for_weights_name(self.name)


class Model:
    """Base of models: name the repositories, load in `setup()`, which runs in the stage's environment."""

    @property
    def conda_env_name(self) -> Optional[str]:
        """Environment that the model needs, by name; None for the current one."""
        return None

    @property
    def model_id_names(self) -> list[str]:
        """Repositories, or names of the registry, whose weights the model reads."""
        return []

    def check_weights(self, name: str, folder: Path) -> None:
        """Raise ConfigError if the weights of `name`, in `folder`, are those of another kind of model.

        Called before a run is submitted, in the environment that starts it: look at file names and small files.
        """

    def setup(self) -> None:
        """Load the model. Called by `Stage.setup`."""


ModelInterface = Model


def model_names(model: Any) -> tuple[str, ...]:
    """What a stage's `model` refers to; nothing if it is neither a ModelRef nor a Model, but a stage's own affair."""
    if isinstance(model, ModelRef):
        return (model.name,)
    return tuple(model.model_id_names) if isinstance(model, Model) else ()


def read_model_config(folder: Path) -> dict[str, Any]:
    """The `config.json` beside weights, as transformers writes it; empty where there is none."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def described(config: Mapping[str, Any]) -> str:
    """What a `config.json` says that the weights are, in a message. Pure."""
    kind = config.get("model_type")
    return f"its config.json is that of a {kind} model" if kind else "it has no config.json that names a model_type"


def get_local_dir_for_weights_name(name: str) -> Path:  # the name is Cosmos-Curate's
    """Folder of a model's weights. Raises ConfigError where the stage was not given them."""
    if name not in _PATHS:
        known = ", ".join(sorted(_PATHS)) or "none"
        raise ConfigError(f"the weights of {name!r} are not here ({known}); name it in the stage's `model`")
    return Path(_PATHS[name])


def remote_code_allowed(name: str) -> bool:
    """For `from_pretrained(..., trust_remote_code=remote_code_allowed(name))`: whether the model's registry entry says
    `trust_remote_code: true`, so that Python code that comes with its weights may be run.
    """
    return name in _REMOTE_CODE


def provide_weights(paths: Mapping[str, str], cache: Optional[str] = None, remote_code: Collection[str] = ()) -> None:
    """Called in the stage process before `setup`: from here on weights are found, and nothing is downloaded.

    With `cache`, a folder of the process's own, `from_pretrained("repo/name")` finds them, too: it gets the
    layout of the hub's cache, one link a model. `remote_code` are the models whose own code may be run.
    """
    _PATHS.clear()
    _PATHS.update(paths)
    _REMOTE_CODE.clear()
    _REMOTE_CODE.update(remote_code)
    os.environ["HF_HUB_OFFLINE"] = "1"
    if cache and paths:
        os.environ["HF_HUB_CACHE"] = cache
        for name, path in paths.items():
            _link_as_cached(Path(cache), name, path)


def _link_as_cached(cache: Path, name: str, path: str) -> None:
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "snapshots").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(_COMMIT)
    link = repository / "snapshots" / _COMMIT
    if not link.is_symlink():
        link.symlink_to(path)


_COMMIT = "0" * 40
"""Name of the only snapshot; what it is, the weights' folder says."""
