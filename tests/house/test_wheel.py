"""From a wheel: everything that works in a checkout works in an environment that has never seen one."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from shell import LOCAL, Shell
from wheel import install_wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, for all tests here."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def fresh(installed: Path, tmp_path: Path) -> Shell:
    """A shell with the wheel's `hpcurate`, in a folder of the user's."""
    return Shell(tmp_path, python=str(installed))


def test_the_wheel_is_what_runs(fresh: Shell) -> None:
    """Not the checkout."""
    paths = subprocess.run(
        [fresh.python, "-c", "import hpcurate, stages.hello; print(hpcurate.__file__, stages.hello.__file__)"],
        cwd=fresh.cwd, env=fresh.environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert all(str(Path(fresh.python).parent.parent) in path for path in paths)


def test_the_console_script_runs_init_and_its_project(fresh: Shell) -> None:
    """`hpcurate init`, then the project's pipeline, by the script that pip made."""
    script = str(Path(fresh.python).with_name("hpcurate"))

    def typed(*words: str, cwd: Path) -> str:
        done = subprocess.run(
            [script, *words], cwd=cwd, env=fresh.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    typed("init", "mine", cwd=fresh.cwd)
    fresh.store = fresh.cwd / "mine" / "store"
    typed("+pipeline=mine", "store=store", LOCAL, cwd=fresh.cwd / "mine")
    assert [json.loads(row)["words"] for row in fresh.rows("count")] == [8, 4]
    assert (fresh.cwd / "mine" / "scripts" / "hpcurate.sbatch").exists()


@pytest.mark.parametrize("package", [False, True])
def test_a_project_of_ones_own_stands_beside_the_wheel(fresh: Shell, package: bool) -> None:
    """conf/, stages/ (with and without `__init__.py`) and envs/ of the user's add to those of the wheel."""
    for folder in ("stages", "conf/pipeline", "conf/launcher", "envs"):
        (fresh.cwd / folder).mkdir(parents=True)
    if package:
        (fresh.cwd / "stages" / "__init__.py").touch()
    (fresh.cwd / "stages" / "shout.py").write_text(
        "from hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Shout(Stage[HelloTask, HelloTask]):\n"
        "    def process(self, tasks):\n"
        "        for task in tasks:\n            task.prompt = task.prompt.upper()\n        return tasks\n"
    )
    (fresh.cwd / "conf" / "launcher" / "here.yaml").write_text("kind: local\nworkers: 1\n")
    (fresh.cwd / "conf" / "pipeline" / "loud.yaml").write_text(
        "# @package _global_\nname: loud\n"
        "source: {_target_: stages.hello.Prompts, prompts: [psst]}\n"
        "stages:\n  lower: {_target_: stages.hello.LowerCase}\n  shout: {_target_: stages.shout.Shout}\n"
    )
    (fresh.cwd / "envs" / "mine.yml").write_text("dependencies: [python=3.11]\n")
    listed = fresh.type("envs", "list", "--store", str(fresh.store)).stdout
    assert all(name in listed for name in ("mine", "models"))
    fresh.type("+pipeline=loud", f"store={fresh.store}", "launcher=here")
    assert [json.loads(row)["prompt"] for row in fresh.rows("shout")] == ["PSST"]
    fresh.run("+pipeline=words")


def test_a_conf_folder_elsewhere_is_named(fresh: Shell) -> None:
    """`--config-dir`."""
    folder = fresh.folder / "my conf" / "pipeline"
    folder.mkdir(parents=True)
    (folder / "three.yaml").write_text(
        "# @package _global_\nname: three\nsource: {_target_: stages.hello.Prompts, prompts: [a, b, c]}\n"
        "stages:\n  lower: {_target_: stages.hello.LowerCase}\n"
    )
    fresh.run("--config-dir", str(folder.parent), "+pipeline=three")
    assert len(fresh.rows("lower")) == 3


def test_the_frozen_code_holds_hpcurate_itself(fresh: Shell) -> None:
    """A stage's environment need not have hpcurate; a later `pip install` changes no pending job."""
    fresh.run("+pipeline=words")
    (code,) = fresh.store.glob("runs/2*/code-*")
    assert (code / "hpcurate" / "stage_process" / "main.py").exists()
    assert (code / "stages" / "hello.py").exists()
    assert os.access(code / "stages" / "hello.py", os.R_OK)


def test_what_an_extra_has_and_is_missing_is_said_before_anything_starts(fresh: Shell) -> None:
    """Without the extra `video` every task of the pipeline became a dead letter; what needs no extra runs."""
    (others,) = Path(fresh.python).parents[1].glob("lib/python*/site-packages/others.pth")
    packages, lean = others.read_text(), fresh.folder / "lean" / "site-packages"
    lean.mkdir(parents=True)
    for entry in Path(packages.strip()).iterdir():
        if entry.name not in ("av", "PIL"):
            (lean / entry.name).symlink_to(entry)
    try:
        others.write_text(f"{lean}\n")
        refused = fresh.type("+pipeline=video", LOCAL, f"input={fresh.cwd}", f"store={fresh.store}", status=2).stderr
        assert "stages.probe: the current environment lacks av" in refused
        assert "type `pip install 'hpcurate[video]'`" in refused
        fresh.run("+pipeline=words", "dry_run=true")
    finally:
        others.write_text(packages)
