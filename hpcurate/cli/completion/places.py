"""What completion looks at: the store, the conf folders, the source of stages. It reads text and imports none of it."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hpcurate.cli.completion.table import Value
from hpcurate.cli.start.parameters import Parameter, declared
from hpcurate.config_files import conf_folders, groups_in, names_in, read_yaml

_DEPTH = 8
"""Of config files that name others, and of classes that have their parameters from others."""


class Here:
    """The current folder, and the store that verbs look at."""

    def __init__(self, config_dirs: Sequence[str] = ()) -> None:
        self._folders = conf_folders(config_dirs)

    def runs(self, store: str | None, site: str | None) -> list[str]:
        """See `Places`."""
        from hpcurate.cli.store_choice import find_store

        names = os.listdir(os.path.join(find_store(store, site), "runs"))
        return sorted((name for name in names if not name.startswith((".", "latest"))), reverse=True)

    def stages_of_run(self, run: str, store: str | None, site: str | None) -> list[str]:
        """See `Places`."""
        from hpcurate.cli.store_choice import find_store

        names = [name for name in self.runs(store, site) if run in ("", "latest") or run in name]
        path = os.path.join(find_store(store, site), "runs", names[0], "pipeline.json")
        with open(path, "rb") as file:
            return [stage["name"] for stage in json.load(file)["pipeline"]["stages"]]

    def names(self, kind: str) -> list[str]:
        """See `Places`."""
        if kind == "env":
            from hpcurate.environments.files import env_folders, env_names

            return env_names(env_folders())
        return names_in(self._folders, "models" if kind == "model" else kind)

    def groups(self) -> list[str]:
        """See `Places`."""
        return [name for name in groups_in(self._folders) if name != "models"]

    def stages(self, words: Sequence[str]) -> dict[str, list[str]]:
        """See `Places`."""
        found: dict[str, dict[str, Any]] = {}
        for _, plain in self._files(words):
            for stage, entry in (plain.get("stages") or {}).items():
                found[stage] = {**found.get(stage, {}), **(entry if isinstance(entry, dict) else {})}
        for word in words:
            key, equals, value = word.lstrip("+").partition("=")
            if (named := re.fullmatch(r"stages\.([^.]+)\.(_target_|file)", key)) and equals:
                found.setdefault(named[1], {})[named[2]] = value
        for entry in list(found.values()):
            found |= {name: inner for name, inner in (entry.get("chain") or {}).items() if isinstance(inner, dict)}
        return {name: _parameters(entry) for name, entry in found.items()}

    def params(self, words: Sequence[str]) -> dict[str, Value]:
        """See `Places`."""
        layers = [(str(path), plain["params"]) for path, plain in self._files(words) if plain.get("params")]
        return {name: _value(one) for name, one in declared(layers).items()}

    def files(self, beginning: str, *, folders: bool) -> list[str]:
        """See `Places`."""
        above, name = os.path.split(beginning)
        with os.scandir(os.path.expanduser(above) or os.curdir) as entries:
            there = [(entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(name)]
        shown = [one for one in there if (one[1] or not folders) and (name or not one[0].startswith("."))]
        return [os.path.join(above, one) + "/" * is_folder for one, is_folder in sorted(shown)]

    def _files(self, words: Sequence[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Config files that the words choose and those that these name in `defaults`, which they add to."""
        groups = self.groups()
        for word in words:
            key, equals, value = word.lstrip("+").partition("=")
            if equals and key in groups:
                yield from self._with_defaults(key, value, _DEPTH)

    def _with_defaults(self, group: str, name: str, depth: int) -> Iterator[tuple[Path, dict[str, Any]]]:
        path = next((p for folder in self._folders if (p := folder / group / f"{name}.yaml").is_file()), None)
        if path is None or not depth:
            return
        plain = read_yaml(path)
        for default in plain.get("defaults") or []:
            for key, value in default.items() if isinstance(default, dict) else [(group, default)]:
                named = str(key).removeprefix("override ").strip("/ ").partition("@")[0]
                yield from self._with_defaults(named, value, depth - 1)
        package = re.search(r"^# @package (\S+)", path.read_text(encoding="utf-8"), re.M)
        for key in reversed(package[1].split(".") if package and package[1] != "_global_" else ()):
            plain = {key: plain}
        yield path, plain


def _value(one: Parameter) -> Value:
    choices = ("true", "false") if one.type == "bool" else tuple(map(str, one.choices))
    return Value("file" if one.type == "path" else "", choices, one.help)


# -- parameters of a stage, from its source -----------------------------------------------------------


def _parameters(entry: dict[str, Any]) -> list[str]:
    """Names of the constructor's parameters of the stage that an entry of `stages` names."""
    if "file" in entry:
        return _of_file(str(entry["file"]))
    module, _, name = str(entry.get("_target_", "")).rpartition(".")
    return _of_class(module, name, _DEPTH)


def _of_file(path: str) -> list[str]:
    classes = [node for node in _parsed(Path(path)).body if isinstance(node, ast.ClassDef)]
    return [name for node in classes for name in _own(node) or []]


def _of_class(module: str, name: str, depth: int) -> list[str]:
    """Of the class, or of the first class above it that has a constructor."""
    path = _source_of(module)
    if path is None or not depth:
        return []
    tree = _parsed(path)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            own = _own(node)
            if own is not None:
                return own
            bases = (ast.unparse(base).partition("[")[0] for base in node.bases)
            return next((found for base in bases if (found := _of_base(tree, module, base, depth))), [])
    return []


def _of_base(tree: ast.Module, module: str, base: str, depth: int) -> list[str]:
    imported = {alias.asname or alias.name: (node.module or "", alias.name) for node, alias in _imports(tree)}
    return _of_class(*imported.get(base, (module, base)), depth - 1)


def _imports(tree: ast.Module) -> Iterator[tuple[ast.ImportFrom, ast.alias]]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((node, alias) for alias in node.names)


def _own(node: ast.ClassDef) -> list[str] | None:
    """Parameters of the class's own constructor, written or made by attrs; None where it has none."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return [one.arg for one in (*inner.args.args[1:], *inner.args.kwonlyargs)]
    if any("define" in ast.unparse(one) for one in node.decorator_list):
        fields = [inner.target for inner in node.body if isinstance(inner, ast.AnnAssign)]
        return [one.id.lstrip("_") for one in fields if isinstance(one, ast.Name)]
    return None


def _source_of(module: str) -> Path | None:
    """The file of a module in the current folder or beside hpcurate."""
    parts = module.split(".")
    beginnings = [root.joinpath(*parts) for root in (Path.cwd(), Path(__file__).parents[3])]
    paths = (path for one in beginnings for path in (one.with_suffix(".py"), one / "__init__.py"))
    return next((path for path in paths if module and path.is_file()), None)


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())
