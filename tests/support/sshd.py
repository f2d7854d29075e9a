"""A real sshd on loopback with keys of its own: all hosts that one names are this one."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing() -> str:
    """Which of the programs is not here; empty if they all are."""
    return ", ".join(name for name in ("sshd", "ssh", "ssh-keygen") if shutil.which(name, path=PATH) is None)


@contextmanager
def running_sshd(folder: Path) -> Iterator[Path]:
    """A configuration of ssh with which every host is this sshd; no other file is read, nothing else listens."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = _free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    config = folder / "ssh_config"
    config.write_text(
        f"Host *\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n"
        "  ExitOnForwardFailure yes\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where its child processes are confined
    program = shutil.which("sshd", path=PATH)
    with open(folder / "sshd.log", "wb") as log:
        command = [str(program), "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stderr=log)
    try:
        _await_port(port, folder / "sshd.log")
        yield config
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def typed(line: str, config: Path) -> Iterator[None]:
    """The tunnel, as printed, but for our configuration of ssh."""
    words = shlex.split(line)
    with subprocess.Popen([words[0], "-F", str(config), *words[1:]], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int, log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")
