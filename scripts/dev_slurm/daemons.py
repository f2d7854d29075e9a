"""Start a Slurm in a folder, and stop it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from functools import partial

from . import config
from .config import Ports
from .folder import CannotRunHere, DevSlurmError, Folder, Settings
from .packages import program, search_path
from .ports import reserved_ports
from .processes import Process, left_behind, recorded, spawn, stop, wait_for

START_TIMEOUT_S = 60.0  # for one daemon; a second is usual, a loaded machine may need many
LOG_LINES = 15


class DaemonFailed(DevSlurmError):
    """A daemon did not come up; the message ends with the end of its log."""

    def __init__(self, folder: Folder, name: str, what: str) -> None:
        output = folder.output(name)
        lines = output.read_text(errors="replace").splitlines() if output.exists() else []
        tail = "\n".join(f"  {line}" for line in lines[-LOG_LINES:])
        super().__init__(f"{name} {what}; the end of its log:\n{tail}")


def clean_environment(folder: Folder) -> dict[str, str]:
    """Our environment without another Slurm's traces, and with the folder's configuration."""
    foreign = ("SLURM", "SBATCH_", "SALLOC_", "SRUN_", "SACCT_", "SQUEUE_", "SINFO_", "SCANCEL_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**env, "PATH": search_path(), "SLURM_CONF": str(folder.slurm_conf)}


def client(folder: Folder, *argv: str) -> str:
    """What a Slurm client command prints; raises with its message when it failed."""
    command = [program(argv[0]), *argv[1:]]
    try:
        done = subprocess.run(
            command, env=clean_environment(folder), capture_output=True, text=True, timeout=15, check=False
        )
    except subprocess.TimeoutExpired:
        raise DevSlurmError(f"`{' '.join(argv)}` did not answer within 15 s") from None
    if done.returncode:
        raise DevSlurmError(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# ---- up ----------------------------------------------------------------------------------------


def start(folder: Folder, settings: Settings) -> None:
    """Start everything in a folder made by `Folder.create`; return when all nodes are idle."""
    with reserved_ports() as ports:
        _write_configuration(folder, settings, ports)
        _make_devices(folder)
        _start_munged(folder)
        if settings.accounting:
            _start_mariadbd(folder)
            _start_slurmdbd(folder, ports.slurmdbd)
            _register_cluster(folder, settings)
        _start_slurmctld(folder, ports)
        _start_nodes(folder)


def _write_configuration(folder: Folder, settings: Settings, ports: Ports) -> None:
    hostname = socket.gethostname().partition(".")[0]
    folder.slurm_conf.write_text(config.slurm_conf(folder, settings, ports, hostname))
    (folder.root / "gres.conf").write_text(config.gres_conf(folder))
    (folder.root / "cgroup.conf").write_text(config.cgroup_conf(_slurm_version(folder)))
    slurmdbd_conf = folder.root / "slurmdbd.conf"
    slurmdbd_conf.touch(mode=0o600)
    slurmdbd_conf.write_text(config.slurmdbd_conf(folder, ports, hostname))


def _slurm_version(folder: Folder) -> tuple[int, int]:
    """Year and month of the release, from a line such as `slurm-wlm 22.05.8`."""
    line = client(folder, "sinfo", "--version")
    match = re.search(r"(\d+)\.(\d+)", line)
    if match is None:
        raise DevSlurmError(f"`sinfo --version` prints {line.strip()!r}: expected a number such as 22.05.8")
    return int(match[1]), int(match[2])


def _make_devices(folder: Folder) -> None:
    """Copies of /dev/null that stand for GPUs."""
    try:
        for index in range(config.GPUS_PER_NODE):
            path = folder.devices / f"fakegpu{index}"
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        raise CannotRunHere(f"cannot make device files in {folder.devices}: in a container, allow CAP_MKNOD") from None


def _start(folder: Folder, name: str, *argv: str, **extra_env: str) -> Process:
    command = [program(argv[0]), *argv[1:]]
    return spawn(folder, name, command, {**clean_environment(folder), **extra_env})


def _wait_ready(folder: Folder, daemon: Process, ready: Callable[[], bool]) -> None:
    wait_for(lambda: ready() or not daemon.alive(), START_TIMEOUT_S)
    if not daemon.alive():
        raise DaemonFailed(folder, daemon.name, "ended while starting")
    if not ready():
        raise DaemonFailed(folder, daemon.name, f"was not ready after {START_TIMEOUT_S:.0f} s")


def _start_munged(folder: Folder) -> None:
    """Our own munged with our own key: it meets neither the system's nor another dev-slurm's."""
    folder.munge_key.touch(mode=0o600)
    folder.munge_key.write_bytes(os.urandom(128))
    munged = _start(
        folder,
        "munged",
        "munged",
        "--foreground",
        "--force",  # the folder may lie in one that others cannot enter, which is fine here
        f"--socket={folder.munge_socket}",
        f"--key-file={folder.munge_key}",
        f"--pid-file={folder.munge_socket.with_name('pid')}",
        f"--seed-file={folder.munge_socket.with_name('seed')}",
    )
    _wait_ready(folder, munged, lambda: _listens(str(folder.munge_socket)))


def _start_mariadbd(folder: Folder) -> None:
    """A database reached by a socket in a folder that only its owner can enter, so no passwords.

    It trades safety at power loss for speed: it never outlives `down`.
    """
    options = [
        "--no-defaults",
        "--user=root",
        f"--datadir={folder.database}/data",
        "--innodb-log-file-size=8M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
    ]
    install = [
        program("mariadb-install-db"),
        *options,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    with folder.output("mariadbd").open("ab") as output:
        for last in (False, True):  # it fails now and then where several databases start at once
            if not subprocess.run(install, stdout=output, stderr=output, check=False).returncode:
                break
            if last:
                raise DaemonFailed(folder, "mariadbd", "could not make its data folder")
            shutil.rmtree(f"{folder.database}/data", ignore_errors=True)
    mariadbd = _start(
        folder,
        "mariadbd",
        "mariadbd",
        *options,
        f"--socket={folder.database_socket}",
        f"--pid-file={folder.database}/pid",
        "--skip-networking",
        "--skip-grant-tables",
        "--innodb-lock-wait-timeout=900",  # what slurmdbd asks for
    )
    _wait_ready(folder, mariadbd, lambda: _listens(str(folder.database_socket)))


def _start_slurmdbd(folder: Folder, port: int) -> None:
    slurmdbd = _start(folder, "slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=str(folder.database_socket))
    _wait_ready(folder, slurmdbd, lambda: _listens(port))


def _register_cluster(folder: Folder, settings: Settings) -> None:
    client(folder, "sacctmgr", "-i", "add", "cluster", config.cluster_name(folder))
    if settings.max_submit_jobs is None:
        return
    # A limit binds only users that have an account.
    users = {"root", os.environ.get("SUDO_USER", "root")}
    client(folder, "sacctmgr", "-i", "add", "account", "dev")
    client(folder, "sacctmgr", "-i", "add", "user", ",".join(sorted(users)), "account=dev")
    limit = f"MaxSubmitJobsPerUser={settings.max_submit_jobs}"
    client(folder, "sacctmgr", "-i", "modify", "qos", "normal", "set", limit)


def _start_slurmctld(folder: Folder, ports: Ports) -> None:
    slurmctld = _start(folder, "slurmctld", "slurmctld", "-D")
    _wait_ready(folder, slurmctld, lambda: _listens(ports.slurmctld))


def _start_nodes(folder: Folder) -> None:
    daemons = {node: _start(folder, f"slurmd-{node}", "slurmd", "-D", "-N", node) for node in config.NODES}
    for node, daemon in daemons.items():
        _wait_ready(folder, daemon, partial(_idle, folder, node))


def start_again(folder: Folder, name: str) -> None:
    """Start one of Slurm's daemons that has ended, with the state that it left behind; return when it listens."""
    if any(process.name == name and process.alive() for process in recorded(folder)):
        return
    kind, _, node = name.partition("-")
    port = _configured_port(folder, kind, node)
    if kind == "slurmdbd":
        _start_slurmdbd(folder, port)
        return
    _wait_ready(folder, _start(folder, name, kind, "-D", *(["-N", node] if node else [])), lambda: _listens(port))


def _configured_port(folder: Folder, kind: str, node: str) -> int:
    """Where a daemon of Slurm's listens, by the files that `up` wrote."""
    pattern = {
        "slurmctld": r"^SlurmctldPort=(\d+)",
        "slurmdbd": r"^AccountingStoragePort=(\d+)",
        "slurmd": rf"^NodeName={re.escape(node)} .* Port=(\d+)",
    }.get(kind)
    found = re.search(pattern, folder.slurm_conf.read_text(), re.MULTILINE) if pattern else None
    if found is None:
        known = ", ".join(name for name in config.daemon_names(folder.settings()) if name.startswith("slurm"))
        raise DevSlurmError(f"no daemon of this Slurm is called {f'{kind}-{node}' if node else kind}: {known}")
    return int(found[1])


def _idle(folder: Folder, node: str) -> bool:
    return client(folder, "sinfo", "-h", "-n", node, "-o", "%T").split()[:1] == ["idle"]


def _listens(address: str | int) -> bool:
    """Whether something accepts connections at a Unix socket's path or a loopback port."""
    if isinstance(address, str):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(address) == 0
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", address)) == 0


# ---- down --------------------------------------------------------------------------------------


def unfinished_jobs(folder: Folder) -> list[str]:
    """A line for each job that is queued or running; none if the controller does not run or does not answer."""
    if not any(process.name == "slurmctld" and process.alive() for process in recorded(folder)):
        return []
    try:
        return client(folder, "squeue", "-h", "-o", "job %A (%j) of %u, %T, submitted from %Z").splitlines()
    except DevSlurmError:
        return []


def halt(folder: Folder) -> None:
    """Cancel all jobs and stop every process that this folder's Slurm started, and no other."""
    daemons = recorded(folder)
    controller = [process for process in daemons if process.name == "slurmctld"]
    if any(process.alive() for process in controller):
        _cancel_jobs(folder)
    # Without a controller no job starts any more. A slurmd does not end before its jobs' steps,
    # and a step not before it has reported to the controller: neither is left to itself.
    stop(controller, patience_s=10)
    stop(left_behind(folder), patience_s=1)
    stop(reversed(daemons), patience_s=3)
    stop(left_behind(folder), patience_s=0)  # a last step may have been starting
    survivors = [process for process in daemons + left_behind(folder) if process.alive()]
    if survivors:
        pids = ", ".join(f"{process.name} (pid {process.pid})" for process in survivors)
        raise DevSlurmError(f"these do not end: {pids}; {folder.root} is kept, type `down` again")


def _cancel_jobs(folder: Folder) -> None:
    """Give jobs a moment to end by themselves; what remains is stopped with the daemons."""
    try:
        jobs = sorted(set(client(folder, "squeue", "-h", "-o", "%F").split()))
        if jobs:
            client(folder, "scancel", *jobs)
            wait_for(lambda: not client(folder, "squeue", "-h", "-o", "%F").strip(), 2)
    except DevSlurmError:
        pass  # a controller that does not answer any more is stopped all the same
