"""The doctor's probe job: what only a compute node can find out. `read_report` is pure."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hpcurate.errors import LauncherError
from hpcurate.system.processes import nonce
from launchers.slurm.clients import ask, call, error_lines
from launchers.slurm.options import log_pattern

CANDIDATES = (
    "$TMPDIR",
    "/scratch/$USER",
    "/scratch",
    "/local/scratch",
    "/localscratch",
    "/local",
    "/ssd",
    "/nvme",
    "/tmp",
)
"""Folders where sites mount the nodes' own disks."""
MEMORY_TYPES = ("tmpfs", "ramfs", "devtmpfs")
SHARED_TYPES = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "fuse", "ceph", "panfs", "smb2", "cifs")

SCRIPT = r"""#!/bin/bash
echo "node=${SLURMD_NODENAME:-$(hostname)}"
test -e @MARK@ && echo "store=seen"
@PYTHON@ -c 'import sys; print("python=" + sys.version.split()[0])' 2>&1 | tail -1
held=$(timeout 20 sbatch --parsable --hold --mem=10M --time=1 --output=/dev/null --wrap=true 2>&1) \
  && scancel "$held" && echo "submit=yes" || echo "submit=no $(echo "$held" | tail -1)"
ls -d /dev/nvidia[0-9]* 2>/dev/null | wc -l | sed 's/^/gpus=/'
for d in @CANDIDATES@; do
  test -d "$d" && test -w "$d" || continue
  echo "disk=$d|$(stat -f -c %T "$d")|$(df -Pm "$d" | awk 'NR==2 {print $4}')"
  : > "$d/.hpcurate-probe-@NONCE@"
done
echo "end="
"""
AFTER = r"""#!/bin/bash
for d in @CANDIDATES@; do
  test -e "$d/.hpcurate-probe-@NONCE@" && echo "kept=$d" && rm -f "$d/.hpcurate-probe-@NONCE@"
done
echo "end="
"""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A folder on a node."""

    path: str
    type: str
    """File system, as `stat -f` names it."""
    free_mb: int
    outlives: bool | None = None
    """Whether a file there is seen by the next job on that node; None: not tried."""

    @property
    def local(self) -> bool:
        """On a disk of the node's own, not in memory and not shared."""
        return self.type not in MEMORY_TYPES and not self.type.startswith(SHARED_TYPES)


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the probe job found."""

    node: str = ""
    sees_store: bool = False
    may_submit: bool | None = None
    refusal: str = ""
    """Slurm's message where it may not submit."""
    python: str = ""
    gpus: int = 0
    disks: tuple[Disk, ...] = ()
    complete: bool = False
    """The whole report arrived."""

    @property
    def ok(self) -> bool:
        """Whether workers could run there."""
        return self.complete and self.sees_store and bool(self.python)


def read_report(text: str, after: str = "") -> NodeReport:
    """From the output of the probe job, and of the job after it on the same node. Pure."""
    plain = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("disk="))
    kept = {line.removeprefix("kept=") for line in after.splitlines() if line.startswith("kept=")}
    disks = []
    for line in text.splitlines():
        if line.startswith("disk="):
            path, kind, free = line.removeprefix("disk=").rsplit("|", 2)
            outlives = (path in kept) if "end=" in after else None
            disks.append(Disk(path=path, type=kind, free_mb=int(free or 0), outlives=outlives))
    submit = plain.get("submit", "")
    return NodeReport(
        node=plain.get("node", ""),
        sees_store=plain.get("store") == "seen",
        may_submit=None if not submit else submit.startswith("yes"),
        refusal=submit.removeprefix("no").strip() if submit.startswith("no") else "",
        python=plain.get("python", ""),
        gpus=int(plain.get("gpus", "0") or 0),
        disks=tuple({disk.path: disk for disk in disks}.values()),
        complete="end" in plain,
    )


def probe_node(store: str, options: Mapping[str, str], wait_s: float) -> NodeReport:
    """Run the probe job and the one after it. Raises LauncherError with Slurm's message, or why it did not start."""
    folder = Path(store, f".doctor-{nonce()}")
    folder.mkdir(mode=0o700, parents=True)
    try:
        mark = folder / "mark"
        mark.touch()
        words = {"NONCE": nonce(), "CANDIDATES": " ".join(f'"{path}"' for path in CANDIDATES)}
        words |= {"MARK": shlex.quote(str(mark)), "PYTHON": shlex.quote(sys.executable)}
        text = _job(folder, "probe", _filled(SCRIPT, words), options, wait_s)
        found = read_report(text)
        if not found.complete:
            return found
        there = {**options, "nodelist": found.node}
        return read_report(text, _job(folder, "after", _filled(AFTER, words), there, wait_s))
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _filled(script: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        script = script.replace(f"@{name}@", value)
    return script


def _job(folder: Path, name: str, script: str, options: Mapping[str, str], wait_s: float) -> str:
    """Output of a small job; empty if it left none. Raises LauncherError if it does not end in time."""
    out = folder / f"{name}.out"
    job = _submit(folder / f"{name}.sh", script, out, options)
    if not _has_ended(job, wait_s):
        reason = (ask(["squeue", "-h", "-j", job, "-o", "%T, %r"]) or "unknown").strip()
        ask(["scancel", job])
        raise LauncherError(
            f"the probe job {job} was {reason} after {wait_s:.0f} s and was cancelled; try --partition, or --no-job"
        )
    time.sleep(0.5)  # a shared file system may show the file a moment later
    return out.read_text(errors="replace") if out in list(folder.iterdir()) else ""


def _submit(path: Path, script: str, out: Path, options: Mapping[str, str]) -> str:
    path.write_text(script)
    flags = [f"--{key}={value}" for key, value in options.items()]
    log = log_pattern(str(out.parent), out.name)
    base = ["sbatch", "--parsable", f"--output={log}", f"--job-name=hpcurate-{path.stem}", "--time=2", "--mem=100M"]
    done = call([*base, *flags, str(path)])
    if done.returncode:
        raise LauncherError(f"sbatch refused the probe job: {error_lines(done.stderr)}")
    return done.stdout.strip()


def _has_ended(job: str, wait_s: float) -> bool:
    """Whether a job left the queue within so many seconds."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        state = ask(["squeue", "-h", "-j", job, "-o", "%T"])
        if state is not None and not state.strip():
            return True
        time.sleep(0.5)
    return False
