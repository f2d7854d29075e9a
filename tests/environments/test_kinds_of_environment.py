"""Every kind of environment: a prefix that lacks everything, a container, a step of the job, one unpacked on the node."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from channel import OTHERS, find_python
from conda_project import built
from shell import Shell
from slurm_fixture import SlurmSite

pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")

WHERE = (
    "import os, sys\n\nfrom hpcurate import FileTask, Stage\n\n\n"
    "class Where(Stage[FileTask, FileTask]):\n"
    "    def __init__(self, sleep_s: float = 0.0) -> None:\n        self.sleep_s = sleep_s\n\n"
    "    def process(self, tasks):\n        import time\n\n        time.sleep(self.sleep_s)\n"
    "        for task in tasks:\n"
    "            seen = [sys.prefix, sys.version.split()[0], str(os.path.exists('/mark-of-the-image')), os.environ.get('SLURM_STEP_ID', '')]\n"
    "            seen += [os.environ.get('OMP_NUM_THREADS', ''), os.environ.get('HF_HUB_OFFLINE', '')]\n"
    "            task.source = '|'.join(seen)\n"
    "        return tasks\n"
)
PIPELINE = (
    "# @package _global_\nname: where\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
    "stages: {where: {file: where.py}}\n"
)
RUN = ("+pipeline=where", "input=where.py")


@pytest.fixture
def project(shell: Shell) -> Shell:
    """A stage that reports where it runs."""
    (shell.cwd / "where.py").write_text(WHERE)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "where.yaml").write_text(PIPELINE)
    return shell


def seen_by(shell: Shell) -> list[str]:
    """What the one task contains."""
    (row,) = shell.rows("where")
    return str(json.loads(row)["source"]).split("|")


def python_of(minors: tuple[str, ...]) -> tuple[str, Path]:
    """(minor, prefix) of an interpreter on this machine."""
    for minor in minors:
        home = find_python(minor)
        if home is not None:
            return minor, home
    pytest.skip(f"none of Python {', '.join(minors)} is on this machine")


def venv(folder: Path, minors: tuple[str, ...]) -> tuple[str, Path]:
    """(minor, an empty venv of such a Python)."""
    minor, home = python_of(minors)
    subprocess.run([home / "bin" / "python3", "-m", "venv", "--without-pip", folder], check=True)
    return minor, folder


# -- a prefix that exists ---------------------------------------------------------------------------


def test_a_prefix_that_has_nothing_is_given_the_runtime(project: Shell) -> None:
    """attrs and msgspec come from the store; the prefix stays as it was; versions stand in the stats."""
    minor, prefix = venv(project.folder / "old env", OTHERS)
    before = sorted(prefix.rglob("*"))
    first = project.run(*RUN, f"stages.where.env={prefix}")
    assert f"runtime: attrs and msgspec for Python {minor}" in first.stderr
    assert [str(prefix), minor] == [seen_by(project)[0], seen_by(project)[1].rpartition(".")[0]]
    assert before == sorted(path for path in prefix.rglob("*") if "__pycache__" not in path.parts)
    again = project.run(*RUN).stderr
    assert "nothing to do" in again
    assert f"where: was begun in the environment {prefix}, continues in (the current one)" in again


def test_the_runtime_for_our_own_minor_is_copied(project: Shell) -> None:
    """Nothing is fetched: pip can find nothing."""
    prefix = project.folder / "same"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    project.extra = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    project.run(*RUN, f"stages.where.env={prefix}")
    assert str(prefix) == seen_by(project)[0]


def test_a_trial_in_a_scratch_store_gets_its_own_runtime(project: Shell) -> None:
    """`debug=true` where the store has none yet."""
    _, prefix = venv(project.folder / "v", OTHERS)
    project.run(*RUN, f"stages.where.env={prefix}", "debug=true")
    assert not project.store.exists()


def test_a_prefix_is_entered_as_its_activation_scripts_ask(project: Shell) -> None:
    """As `conda activate` would; modules that the driver finds by PYTHONPATH come along as the run's code."""
    _, prefix = venv(project.folder / "v", OTHERS)
    (prefix / "etc" / "conda" / "activate.d").mkdir(parents=True)
    (prefix / "etc" / "conda" / "activate.d" / "x.sh").write_text('export OMP_NUM_THREADS="from $CONDA_PREFIX"\n')
    (project.folder / "own").mkdir()
    (project.folder / "own" / "helper.py").write_text("HERE = 'helped'\n")
    stage = (project.cwd / "where.py").read_text()
    (project.cwd / "where.py").write_text("import helper\n" + stage.replace("[sys.prefix,", "[helper.HERE,"))
    project.extra = {"PYTHONPATH": str(project.folder / "own")}
    project.run(*RUN, f"stages.where.env={prefix}")
    assert ["helped", f"from {prefix}"] == [seen_by(project)[0], seen_by(project)[4]]


def test_a_python_too_old_is_refused_before_anything_is_written(project: Shell) -> None:
    """As is a prefix without one, and one that does not start."""
    _, prefix = venv(project.folder / "ancient", ("3.8", "3.7", "3.6"))
    wrong = project.run(*RUN, f"stages.where.env={prefix}", status=2).stderr
    assert re.search(r"stages.where.env=.*/ancient: its Python is 3\.[678]\.\d+; a stage needs 3.9 or newer", wrong)
    assert "is missing" in project.run(*RUN, f"stages.where.env={project.folder}", status=2).stderr
    (project.folder / "broken" / "bin").mkdir(parents=True)
    script = project.folder / "broken" / "bin" / "python"
    script.write_text("#!/bin/sh\necho no such licence >&2; exit 3\n")
    script.chmod(0o755)
    wrong = project.run(*RUN, f"stages.where.env={project.folder}/broken", status=2).stderr
    assert "does not start: no such licence" in wrong
    assert not project.store.exists()


# -- containers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(minor, a container image as a folder): a Python, the libraries that it needs, and nothing else of this machine."""
    if shutil.which("ch-run") is None:
        pytest.skip("no ch-run: apt-get install charliecloud-runtime")
    minor, home = python_of(OTHERS)
    root = tmp_path_factory.mktemp("image")
    for name in ("dev", "etc", "home", "mnt/seen", "proc", "sys", "tmp", "usr/bin", "usr/lib"):
        (root / name).mkdir(parents=True)
    for name in ("lib", "lib64", "bin"):
        (root / name).symlink_to(f"usr/{'bin' if name == 'bin' else 'lib'}")
    for name in ("passwd", "group", "hosts", "resolv.conf"):
        (root / "etc" / name).touch()
    library = home / "lib" / f"python{minor}"
    ignored = shutil.ignore_patterns(
        "test", "tests", "__pycache__", "site-packages", "ensurepip", "idlelib", "config-*"
    )
    shutil.copytree(library, root / "usr" / "lib" / f"python{minor}", ignore=ignored)
    python = os.path.realpath(home / "bin" / "python3")
    shutil.copy2(python, root / "usr" / "bin" / "python3")
    (root / "usr" / "bin" / "python").symlink_to("python3")
    needed = subprocess.run(
        ["ldd", python, *library.glob("lib-dynload/*.so")], capture_output=True, text=True, check=True
    )
    for found in sorted(set(re.findall(r"(/\S+) \(0x", needed.stdout))):
        shutil.copy2(found, root / "usr" / "lib" / os.path.basename(found))
    libc = next(path for path in (root / "usr" / "lib").iterdir() if path.name.startswith("libc.so"))
    beside = Path(re.search(rf"(/\S+)/{re.escape(libc.name)} ", needed.stdout)[1])  # type: ignore[index]
    for path in (*beside.glob("libpthread.so*"), *beside.glob("libdl.so*"), *beside.glob("librt.so*")):
        shutil.copy2(path, root / "usr" / "lib")
    (root / "mark-of-the-image").touch()
    return minor, root


def test_a_stage_in_a_container(project: Shell, image: tuple[str, Path]) -> None:
    """Another root, another Python, nothing of ours in it: it sees the store, and gets its variables."""
    minor, root = image
    project.extra = {"USER": "root", "HOME": "/root"}
    project.run(*RUN, f"stages.where.env=charliecloud:{root}")
    assert ["/usr", "True", "1", "1"] == [seen_by(project)[k] for k in (0, 2, 4, 5)]
    assert seen_by(project)[1].startswith(f"{minor}.")
    (stats,) = project.store.glob("stages/where-*/shards/*/*/stats.json")
    assert "/usr" == json.loads(stats.read_text())["environment"]["prefix"]
    checked = project.type("envs", "check", f"charliecloud:{root}", "--store", str(project.store)).stdout
    assert "fine" in checked


AFTER_CONVERT = [
    "pull",
    "train",
    "evaluate",
    "prune",
    "retrain",
    "reevaluate",
    "infer",
    "export",
    "calibrate",
    "export_int8",
    "engine",
]


def test_declared_once_every_container_sees_it(shell: Shell, image: tuple[str, Path]) -> None:
    """`binds` of the site profile, and of the run, which replace the site's at the same place; what is missing is
    refused with its key. Programs run in the image, with the project's modules.
    """
    of_site, own = shell.folder / "of the site", shell.folder / "my own"
    of_site.mkdir()
    for split in ("train", "val", "test"):
        (own / split / "car").mkdir(parents=True)
        (own / split / "car" / "1.pgm").write_bytes(b"P5 8 8 255\n" + bytes(64))
    (shell.folder / "config" / "hpcurate").mkdir(parents=True)
    (shell.folder / "config" / "hpcurate" / "site.yaml").write_text(f"binds: ['{of_site}:/mnt/seen']\n")
    shell.extra = {"USER": "root", "HOME": "/root"}
    words = ["+pipeline=tao", "params.pictures_from=/mnt/seen", f"params.container=charliecloud:{image[1]}"]
    words += [f"~stages.{name}" for name in AFTER_CONVERT]
    wrong = shell.run(*words, "binds=/no/such/folder", status=2).stderr
    assert "binds: /no/such/folder is missing on this machine" in wrong
    assert not shell.store.exists()
    shell.run(*words, f"binds=[{own}:/mnt/seen]")
    assert {"pictures": 3} == json.loads(shell.rows("convert")[0])["values"]


def test_a_container_that_does_not_start(project: Shell, image: tuple[str, Path]) -> None:
    """Where it can be tried it is refused at once; where it cannot, the run stalls with the command's words."""
    project.extra = {"USER": "root", "HOME": "/root"}
    wrong = project.run(*RUN, "stages.where.env=charliecloud:/no/such/image", status=2).stderr
    assert "does not start: " in wrong
    assert not project.store.exists()
    stalled = project.run(*RUN, "stages.where.env=apptainer exec /no/image.sif python3", status=1)
    assert "runtime: attrs and msgspec for Python 3.12" in stalled.stderr
    assert "env: apptainer does not start on this node: No such file" in stalled.stdout


def test_a_container_leaves_when_its_supervisor_is_killed(project: Shell, image: tuple[str, Path]) -> None:
    """Though it is no child of it, perhaps not even in its session."""
    project.extra = {"USER": "root", "HOME": "/root"}
    words = [*RUN, f"stages.where.env=charliecloud:{image[1]}", "stages.where.sleep_s=300", "launcher=local"]
    command = [sys.executable, "-m", "hpcurate", *words, f"store={project.store}"]
    driver = subprocess.Popen(
        command, cwd=project.cwd, env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        child = wait_for(lambda: processes(str(project.store), "hpcurate.stage_process.main"), 30)
        worker, *_ = processes(str(project.store), "hpcurate.worker")  # and what writes its log
        os.kill(driver.pid, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{child[0]}").exists(), 20)
    finally:
        driver.kill()
        driver.wait()


def processes(mark: str, module: str) -> list[int]:
    """Pids of Pythons that run a module, with `mark` in their command line or environment; parents first."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            around = (entry / "environ").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if module.encode() in words and mark.encode() in b"".join(words) + around:
            found[int(entry.name)] = parent
    return sorted(found, key=lambda pid: found[pid] in found)


def wait_for(look: Callable[[], Any], timeout: float) -> Any:
    """What `look` returns once it is true."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.1)
    return found


@pytest.mark.slurm
def test_a_stage_process_that_slurm_starts_as_a_step(project: Shell, slurm: SlurmSite) -> None:
    """As Pyxis does: nothing is inherited, the process is Slurm's child."""
    project.extra = dict(slurm.env)
    words = ["launcher=slurm", "wait=true", f"store={project.store}"]
    project.type(*RUN, f"stages.where.env=srun --overlap --ntasks=1 {sys.executable}", *words)
    assert seen_by(project)[3].isdigit()
    assert "True" != seen_by(project)[2]
    slurm.wait_idle(30)


# -- packed, unpacked on the node -------------------------------------------------------------------

SHOW = (
    "import subprocess, sys\n\nfrom hpcurate import FileTask, Stage\n\n\n"
    "class Show(Stage[FileTask, FileTask]):\n"
    "    def process(self, tasks):\n        import os\n        import tinypkg\n\n"
    "        for task in tasks:\n"
    "            own = subprocess.run([sys.prefix + '/bin/whereami'], capture_output=True, text=True, check=True).stdout.strip()\n"
    "            task.source = '|'.join([sys.prefix, own, os.environ['TINY_HOME'], os.environ['PATH'].split(':')[0]])\n"
    "        return tasks\n"
)


def test_an_environment_is_packed_once_and_unpacked_once_a_node(there: Shell) -> None:
    """Its scripts and variables have its new path; what is left of a killed unpacking is not taken for it."""
    post = there.cwd / "envs" / "tiny.post_install.sh"
    post.write_text(
        "printf '#!%s/bin/python\\nimport sys; print(sys.prefix)\\n' $CONDA_PREFIX > $CONDA_PREFIX/bin/whereami\nchmod +x $CONDA_PREFIX/bin/whereami\n"
    )
    (there.cwd / "tell.py").write_text(SHOW)
    there.extra["PYTHONDONTWRITEBYTECODE"] = ""  # what is compiled when it is used is no other content
    prefix, disk = built(there), there.folder / "disk"
    disk.mkdir()
    words = ["+pipeline=tell", "input=tell.py", "stages.tell.stage_to_node=true", f"launcher.node_local=[{disk}]"]
    refused = there.run(*words, status=2).stderr
    assert "stages.tell.stage_to_node: tiny is not packed in this store; type `hpcurate install +pipeline=" in refused
    there.type("install", *words, "--store", str(there.store))
    assert "is complete" in there.type("envs", "pack", "tiny", "--store", str(there.store)).stderr
    assert ", packed" in there.type("envs", "list", "tiny", "--store", str(there.store)).stdout
    (pack,) = there.store.glob("packs/tiny-*")
    half = disk / f"hpcurate-{os.getuid()}" / os.uname().nodename / pack.name
    half.mkdir(parents=True)
    (half / "half").write_text("of a killed worker")
    there.run(*words)
    (row,) = there.rows("tell")
    where, own, home, path = json.loads(row)["source"].split("|")
    assert str(half) == where == own
    assert (home, path) == (f"{where}/tiny home", f"{where}/bin")
    assert not (half / "half").exists()
    assert "environment tiny-" in there.type("status", "--store", str(there.store)).stdout
    assert len(list(there.store.glob("runs/2*/submissions/*/brought-*.json"))) == 1
    there.run(*words, "rerun=tell")
    assert len(list(there.store.glob("runs/2*/submissions/*/brought-*.json"))) == 1
    (disk / "small").mkdir()
    there.run(*words, "rerun=tell", f"launcher.node_local=[{disk}/small]", "launcher.node_quota=1000")
    assert str(prefix) in {json.loads(row)["source"].split("|")[0] for row in there.rows("tell")}
    there.type("envs", "remove", "tiny", "--store", str(there.store))
    assert not pack.exists()


def test_what_cannot_be_packed(project: Shell) -> None:
    """A venv, a container, the current environment."""
    _, prefix = venv(project.folder / "v", OTHERS)
    assert (
        "is not a conda prefix"
        in project.type("envs", "pack", str(prefix), "--store", str(project.store), status=2).stderr
    )
    for env, wrong in (
        (f"{prefix}", "is not packed in this store"),
        ("null", "cannot be packed"),
        ("[x, python]", "only conda prefixes"),
    ):
        refused = project.run(*RUN, f"stages.where.env={env}", "stages.where.stage_to_node=true", status=2).stderr
        assert wrong in refused


# -- check ------------------------------------------------------------------------------------------


def test_check_imports_what_each_stage_does(there: Shell, slurm: SlurmSite) -> None:
    """In its own environment, within its functions, too; here, and in a job on a node."""
    built(there)
    words = ["envs", "check", "+pipeline=tell", "input=tell.py", "--store", str(there.store)]
    assert "fine" in there.type(*words, "launcher=local").stdout
    (there.cwd / "tell.py").write_text(
        (there.cwd / "tell.py").read_text().replace("import tinypkg", "import tinypkg, nowhere.at_all")
    )
    wrong = there.type(*words, "launcher=local", status=1).stdout
    assert "nowhere.at_all: ModuleNotFoundError" in wrong
    assert "add it to the environment" in wrong
    there.extra |= slurm.env
    told_there = there.type(*words, "launcher=slurm", "--on-node", status=1).stdout
    assert re.search(r"tell +tiny-\S+ +cpu\d +3\.", told_there)
    assert "nowhere.at_all: ModuleNotFoundError" in told_there
    assert not list(there.store.glob(".check-*"))
    assert (
        "name the stages"
        in there.type("envs", "check", "tiny", "--store", str(there.store), "--on-node", status=2).stderr
    )
