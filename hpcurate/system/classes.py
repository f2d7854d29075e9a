"""Loading a class that a configuration names."""

from __future__ import annotations

import importlib
from typing import Any

from hpcurate.errors import ConfigError


def load_class(target: str, key: str) -> Any:
    """What `module.Class` (or `module:Class`) names. Raises ConfigError that names `key` and the cause."""
    module, _, name = target.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # a module of the user's may raise anything at import
        raise ConfigError(f"{key}={target}: {type(error).__name__}: {error}") from None
