"""Environments that exist elsewhere or share something: a project's pixi.lock, and files composed of features."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.config_files import shipped
from hpcurate.environments.files import read_env
from hpcurate.environments.locking import wheels
from hpcurate.environments.pixi import find_env, read_pixi
from hpcurate.errors import ConfigError

# -- pixi -------------------------------------------------------------------------------------------


def pixi_project(there: Shell) -> Path:
    """A project as `pixi lock` leaves it, version 6: two environments, one with a wheel."""
    pytest.importorskip("rattler", reason="the envs extra is not installed")
    there.type("envs", "lock", "tiny")
    project = there.folder / "my project"
    project.mkdir()
    with zipfile.ZipFile(project / "wheeled-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tinypkg.py", "VALUE = 43\n")
        wheel.writestr("wheeled-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wheeled\nVersion: 1.0\n")
        wheel.writestr("wheeled-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("wheeled-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256((project / "wheeled-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    ours = (there.cwd / "envs" / "tiny.lock").read_text()
    conda = ours.partition("\npackages:\n")[2]
    urls = re.findall(r"^- conda: (\S+)$", conda, re.M)
    listed = "".join(f"      - conda: {url}\n" for url in urls)
    channels = "    channels:\n    - url: https://example.org/none/\n    packages:\n"
    (project / "pixi.lock").write_text(
        f"version: 6\nenvironments:\n  default:\n{channels}      linux-64:\n{listed}"
        f"  plus:\n{channels}      linux-64:\n{listed}      - pypi: ./wheeled-1.0-py3-none-any.whl\n"
        f"  source:\n{channels}      linux-64:\n{listed}      - pypi: ./folder\n"
        f"  apple:\n{channels}      osx-arm64: []\n"
        f"packages:\n{conda}"
        f"- pypi: ./wheeled-1.0-py3-none-any.whl\n  name: wheeled\n  version: '1.0'\n  sha256: {digest}\n"
        "- pypi: ./folder\n  name: folder\n  version: '1.0'\n  editable: true\n"
    )
    return project


NOT_INSTALLED = {
    "source": r"folder cannot be installed from the lock file: \./folder is no wheel; .*env=.*/my project/.pixi/envs/source",
    "apple": r"'apple' is locked for osx-arm64, not for linux-64",
    "plush": r"has no environment 'plush'; it has apple, default, plus, source",
}


def test_a_stage_runs_in_an_environment_of_a_pixi_lock(there: Shell) -> None:
    """As locked: no solver, no pixi; a wheel by its SHA-256. What cannot be installed so is refused."""
    project = pixi_project(there)

    run = ("+pipeline=tell", "input=tell.py", f"stages.tell.env=pixi:{project}:plus")
    refused = there.run(*run, status=2).stderr
    assert f"=pixi:{project}:plus: is not built in this store; type `hpcurate install +pipeline=tell" in refused
    done = there.type("envs", "build", f"pixi:{project}:plus", "--store", str(there.store))
    prefix = Path(done.stdout.splitlines()[-1])
    assert prefix.name.startswith("pixi-my_project-plus-")
    there.run(*run)
    (row,) = there.rows("tell")
    assert [str(prefix), "43"] == [json.loads(row)["source"].split("|")[n] for n in (0, 2)]
    for name, shown in NOT_INSTALLED.items():
        with pytest.raises(ConfigError, match=shown):
            wheels(read_pixi(f"pixi:{project}:{name}"))
    assert f"type `pixi lock` in {project}" in there.type("envs", "lock", f"pixi:{project}", status=2).stderr


def test_how_a_pixi_project_is_named(tmp_path: Path) -> None:
    """By its folder or a file of pixi's in it; `default` unless another environment is named."""
    (tmp_path / "a:b").mkdir()
    expected = {
        f"{tmp_path}": ("default", tmp_path),
        f"{tmp_path}/pixi.toml": ("default", tmp_path),
        f"{tmp_path}/pixi.lock:gpu": ("gpu", tmp_path),
        f"{tmp_path}/a:b": ("default", tmp_path / "a:b"),
        f"{tmp_path}/a:b:gpu": ("gpu", tmp_path / "a:b"),
    }
    seen = {word: read_pixi(f"pixi:{word}") for word in expected}
    assert expected == {word: (env.environment, env.lock.parent) for word, env in seen.items()}
    with pytest.raises(ConfigError, match=r"there is no pixi.lock there; type `pixi lock` in the project"):
        find_env(f"pixi:{tmp_path}", []).locked()


# -- features ---------------------------------------------------------------------------------------


def feature(folder: Path, name: str, text: str) -> None:
    """A feature's file."""
    (folder / "features").mkdir(exist_ok=True)
    (folder / "features" / f"{name}.yml").write_text(text)


def test_an_environment_is_composed_of_features(tmp_path: Path) -> None:
    """Everything once, in order, the file's own last; both specs of one package are the solver's."""
    feature(tmp_path, "core", "channels: [one]\ndependencies: [python=3.12, numpy, {pip: [a]}]\n")
    (tmp_path / "features" / "core.post_install.sh").write_text("true core\n")
    feature(tmp_path, "vision", "channels: [two, one]\ndependencies: ['numpy >=2', pillow, {pip: [b, a]}]\n")
    (tmp_path / "eyes.yml").write_text("features: [core, vision]\ndependencies: [pillow, av]\n")
    (tmp_path / "eyes.post_install.sh").write_text("true eyes\n")
    eyes = read_env("eyes", [tmp_path])
    assert ("one", "two") == eyes.channels
    assert ("python=3.12", "numpy", "numpy >=2", "pillow", "av") == eyes.dependencies
    assert (("a", "b"), "true core\n\ntrue eyes\n") == (eyes.pip, eyes.post_install)


def test_a_feature_of_ours_is_found_from_a_users_folder(tmp_path: Path) -> None:
    """Their own of that name comes first."""
    ours, own = tmp_path / "ours", tmp_path / "own"
    ours.mkdir()
    own.mkdir()
    feature(ours, "core", "dependencies: [python=3.12]\n")
    (own / "mine.yml").write_text("features: [core]\n")
    assert ("python=3.12",) == read_env("mine", [own, ours]).dependencies
    feature(own, "core", "dependencies: [python=3.11]\n")
    assert ("python=3.11",) == read_env("mine", [own, ours]).dependencies


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("features: [cora]\n", r"there is no envs/features/cora.yml; did you mean 'core'\?"),
        ("features: core\n", r"features: expected a list such as \[core, vision\]"),
        ("features: [nested]\n", r"nested.yml: features: a feature is not composed of others"),
        ("features: [empty]\n", r"python is missing"),
    ],
)
def test_a_bad_composition_is_refused(tmp_path: Path, text: str, shown: str) -> None:
    """Naming file and key."""
    feature(tmp_path, "core", "dependencies: [python]\n")
    feature(tmp_path, "nested", "features: [core]\ndependencies: [numpy]\n")
    feature(tmp_path, "empty", "dependencies: [numpy]\n")
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(ConfigError, match=shown):
        read_env("x", [tmp_path])


def test_the_environments_that_we_ship_share_their_features() -> None:
    """What one of ours is composed of is there; `vision` has all of `models`."""
    ours = [shipped("envs")]
    models, vision = read_env("models", ours), read_env("vision", ours)
    assert set(models.dependencies) < set(vision.dependencies)


def test_one_change_of_a_feature_moves_both_environments(there: Shell, channel: tuple[str, str]) -> None:
    """Both are locked again; an environment without the feature stays as it is."""
    pytest.importorskip("rattler", reason="the envs extra is not installed")
    envs = there.cwd / "envs"
    feature(envs, "core", f"channels: ['{channel[0]}']\ndependencies: [python]\n")
    for name in ("one", "two"):
        (envs / f"{name}.yml").write_text("features: [core]\ndependencies: [tinypkg]\n")
    there.type("envs", "lock", "one", "two", "tiny")
    feature(envs, "core", f"channels: ['{channel[0]}']\ndependencies: [python, 'tinypkg >=0.5']\n")
    listed = [
        line.split("  ")[-1].strip()
        for line in there.type("envs", "list", "one", "two", "tiny", "--store", str(there.store)).stdout.splitlines()
    ]
    assert ["changed since it was locked", "changed since it was locked", "locked"] == listed[1:]
    refused = there.run("+pipeline=tell", "input=tell.py", "stages.tell.env=two", status=2).stderr
    assert "or one of its features (core) has changed since it was locked; type `hpcurate envs lock two`" in refused
    feature(envs, "core", f"channels: ['{channel[0]}']\ndependencies: [python, 'tinypkg >=9']\n")
    shown = there.type("envs", "lock", "two", status=2).stderr
    assert re.search(r"\(line 2 of .*/features/core.yml: tinypkg >=9\)", shown)


# -- the current environment, or another ------------------------------------------------------------


def test_a_dry_run_shows_which_environment_was_chosen(there: Shell) -> None:
    """The current one until the stage imports what only the other has; then that, which has to be built."""
    (there.cwd / "conf" / "pipeline" / "tell.yaml").write_text(
        "# @package _global_\nname: tell\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages: {tell: {file: tell.py}}\n"
    )
    stage = (there.cwd / "tell.py").read_text().replace("import FileTask", "import CurrentOr, FileTask")
    stage = stage.replace("    def process", '    env = CurrentOr("tiny")\n\n    def process')
    (there.cwd / "tell.py").write_text(stage.replace("import tinypkg", "import json"))
    shown = there.run("+pipeline=tell", "input=tell.py", "dry_run=true").stdout
    assert re.search(r"^tell .* current$", shown, re.M)
    (there.cwd / "tell.py").write_text(stage)
    refused = there.run("+pipeline=tell", "input=tell.py", "dry_run=true", status=2).stderr
    assert "the current environment lacks tinypkg" in refused
