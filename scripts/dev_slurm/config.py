"""The configuration files of a dev-slurm, as text. Nothing here touches the machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from .folder import Folder, Settings

CPU_NODES = ("cpu0", "cpu1")
GPU_NODES = ("gpu0", "gpu1")
NODES = CPU_NODES + GPU_NODES
GPUS_PER_NODE = 4


@dataclass(frozen=True)
class Ports:
    """The TCP ports of one dev-slurm; `slurmd` is by node."""

    slurmctld: int
    slurmdbd: int
    slurmd: Mapping[str, int]


def cluster_name(folder: Folder) -> str:
    """Its own for each folder: jobs of one dev-slurm are never looked for in another."""
    return "dev" + hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:8]


def daemon_names(settings: Settings) -> tuple[str, ...]:
    """Every daemon that a dev-slurm with these settings runs, in the order they start."""
    accounting = ("mariadbd", "slurmdbd") if settings.accounting else ()
    return ("munged", *accounting, "slurmctld", *(f"slurmd-{node}" for node in NODES))


def slurm_conf(folder: Folder, settings: Settings, ports: Ports, hostname: str) -> str:
    """slurm.conf: global keys, of which `--conf` may replace any, then nodes and partitions."""
    values = _base(folder, ports, hostname)
    values.update(_accounting(folder, settings, ports))
    values.update(_limits(settings))
    extra_lines = []
    for line in settings.conf:
        key, value = line.split("=", 1)
        known = {name.lower(): name for name in values}.get(key.lower())
        if known is None:
            extra_lines.append(line)
        else:
            values[known] = value
    lines = [f"{key}={value}" for key, value in values.items()]
    return "\n".join([*lines, *_nodes(ports, hostname), *_partitions(settings), *extra_lines, ""])


def _base(folder: Folder, ports: Ports, hostname: str) -> dict[str, str]:
    root = folder.root
    return {
        "ClusterName": cluster_name(folder),
        "SlurmctldHost": f"{hostname}(127.0.0.1)",
        "SlurmctldPort": str(ports.slurmctld),
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        # cred_expire is also how long a requeued job waits: 5 s, not two minutes.
        "AuthInfo": f"socket={folder.munge_socket},cred_expire=5",
        "StateSaveLocation": f"{root}/state",
        "SlurmdSpoolDir": f"{root}/spool/%n",
        "SlurmctldPidFile": f"{root}/spool/slurmctld.pid",
        "SlurmdPidFile": f"{root}/spool/slurmd-%n.pid",
        "SlurmctldLogFile": f"{root}/log/slurmctld.log",
        "SlurmdLogFile": f"{root}/log/slurmd-%n.log",
        # No cgroups: works in containers, and the memory limit is kept by JobAcctGather instead.
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "1",
        "JobAcctGatherParams": "OverMemoryKill",
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        "ReturnToService": "2",
        "KillWait": "5",
        # The nodes claim more CPUs and memory than the machine has.
        "SlurmdParameters": "config_overrides",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "GresTypes": "gpu",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        # Start jobs at once rather than every minute.
        "SchedulerParameters": "sched_interval=1,sched_min_interval=10000,batch_sched_delay=0,bf_interval=1",
    }


def _accounting(folder: Folder, settings: Settings, ports: Ports) -> dict[str, str]:
    if not settings.accounting:
        return {"AccountingStorageType": "accounting_storage/none"}
    values = {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(ports.slurmdbd),
        # slurmdbd ignores AuthInfo: this, despite its name, is the path of munge's socket.
        "AccountingStoragePass": str(folder.munge_socket),
        "AccountingStorageTRES": "gres/gpu",
    }
    if settings.max_submit_jobs is not None:
        values["AccountingStorageEnforce"] = "associations,limits,qos"
    return values


def _limits(settings: Settings) -> dict[str, str]:
    values = {}
    if settings.default_mem:
        # Without it a job that does not ask for memory takes a whole node's.
        values["DefMemPerCPU"] = "1000"
    if settings.max_array_size is not None:
        values["MaxArraySize"] = str(settings.max_array_size)
    return values


def _nodes(ports: Ports, hostname: str) -> list[str]:
    def node(name: str, gres: str) -> str:
        return (
            f"NodeName={name} NodeHostname={hostname} NodeAddr=127.0.0.1 Port={ports.slurmd[name]} "
            f"CPUs=16 RealMemory=20000{gres}"
        )

    cpu = [node(name, "") for name in CPU_NODES]
    return cpu + [node(name, f" Gres=gpu:{GPUS_PER_NODE}") for name in GPU_NODES]


def _partitions(settings: Settings) -> list[str]:
    """`high` preempts what runs in `low`; neither touches jobs in `cpu` and `gpu`."""
    limit = f" MaxTime={settings.partition_time_limit}" if settings.partition_time_limit else ""
    cpu, gpu = ",".join(CPU_NODES), ",".join(GPU_NODES)
    return [
        f"PartitionName=cpu Nodes={cpu} Default=YES PreemptMode=OFF{limit}",
        f"PartitionName=gpu Nodes={gpu} PreemptMode=OFF{limit}",
        f"PartitionName=low Nodes=ALL PriorityTier=1 PreemptMode=REQUEUE{limit}",
        f"PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF{limit}",
    ]


def gres_conf(folder: Folder) -> str:
    """Slurm wants character devices behind GPUs; `daemons` makes harmless ones."""
    devices = f"{folder.devices}/fakegpu[0-{GPUS_PER_NODE - 1}]"
    return f"NodeName={','.join(GPU_NODES)} Name=gpu File={devices}\n"


def cgroup_conf(version: tuple[int, int]) -> str:
    """Keep slurmd off cgroups. By default it uses cgroup v2 if available, and insists on systemd.

    Slurm has `disabled` from 23.02 on; before that, v1 does nothing as long as no other plugin uses it.
    """
    plugin = "disabled" if version >= (23, 2) else "cgroup/v1"
    return f"CgroupPlugin={plugin}\n"


def slurmdbd_conf(folder: Folder, ports: Ports, hostname: str) -> str:
    """slurmdbd.conf; the database has no password, since only its owner can reach its socket."""
    values = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder.munge_socket}",
        "DbdHost": hostname,
        "DbdAddr": "127.0.0.1",
        "DbdPort": str(ports.slurmdbd),
        "SlurmUser": "root",
        "PidFile": f"{folder.root}/spool/slurmdbd.pid",
        "LogFile": f"{folder.root}/log/slurmdbd.log",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "root",
        "StorageLoc": "slurm_acct_db",
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
