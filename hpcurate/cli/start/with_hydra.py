"""The one place where Hydra is called: what it composes, and what each file says by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hpcurate.cli.start.parameters import Layer
from hpcurate.cli.start.settings import Settings
from hpcurate.config_files import shipped_conf
from hpcurate.fields import defaults_of
from hpcurate.grammar import quoted


def composed_by_hydra(overrides: Sequence[str], folders: Sequence[Path]) -> tuple[Any, list[Layer]]:
    """What Hydra composes, with its own configuration beside ours; and what each file says of `params`."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group="hpcurate", name="settings", node=defaults_of(Settings), package="_global_")
    more = ",".join(quoted(f"file://{folder}") for folder in folders if folder != shipped_conf())
    search = [f"hydra.searchpath=[{more}]"] if more else []
    with initialize_config_dir(config_dir=str(shipped_conf()), version_base="1.3"):
        words = [*search, *overrides]
        config = compose(config_name="config", overrides=words, return_hydra_config=True)
        return config, list(_layers(words, folders)) if config["params"] else []


def _layers(words: Sequence[str], folders: Sequence[Path]) -> Iterator[Layer]:
    """What stands below `params` in each file, those first that others override.

    Merged, a value would replace the declaration that an earlier file has of it.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    loader = GlobalHydra.instance().config_loader()
    for one in loader.compute_defaults_list("config", list(words), RunMode.RUN).defaults:
        path = next((p for folder in folders if (p := folder / f"{one.config_path}.yaml").is_file()), None)
        if path is None or (one.package or "").partition(".")[0] not in ("", "params"):
            continue
        inner = plain_of(OmegaConf.load(path), resolve=False)
        inner.pop("defaults", None)
        for key in reversed((one.package or "").split(".") if one.package else ()):
            inner = {key: inner}
        if inner.get("params"):
            yield _shown(path), inner["params"]


def _shown(path: Path) -> str:
    """Relative where it is the user's own, in the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def plain_of(config: Any, *, resolve: bool = True) -> Any:
    """A configuration as plain data."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=resolve)
