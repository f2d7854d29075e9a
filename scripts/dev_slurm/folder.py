"""The one private folder of a dev-slurm: the path of each file in it, and who may use it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

# Unix sockets hold 107 characters; the longest here is spool/<node>/<node>_<job>.<step>.
LONGEST_FOLDER = 64
CHECKOUT = Path(__file__).resolve().parents[2]


class DevSlurmError(Exception):
    """Something a person can act on: the message is all they see."""

    exit_status = 1


class CannotRunHere(DevSlurmError):
    """This machine or user cannot run a dev-slurm at all; tests are skipped then, not failed."""

    exit_status = 3


@dataclass(frozen=True)
class Settings:
    """What makes one dev-slurm differ from another; the command line's options."""

    accounting: bool = True
    default_mem: bool = True
    max_array_size: int | None = None
    max_submit_jobs: int | None = None
    partition_time_limit: str | None = None
    conf: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """Paths inside the folder. `dev-slurm.json` marks it as ours: only a marked folder is removed."""

    root: Path

    @property
    def marker(self) -> Path:
        """Marks the folder as ours, with its settings."""
        return self.root / "dev-slurm.json"

    @property
    def slurm_conf(self) -> Path:
        """What `SLURM_CONF` points to; slurmdbd.conf and the others lie beside it."""
        return self.root / "slurm.conf"

    @property
    def pids(self) -> Path:
        """One file a daemon: its pid and start time."""
        return self.root / "pids"

    @property
    def munge_socket(self) -> Path:
        """Where our munged answers."""
        return self.root / "munge" / "socket"

    @property
    def munge_key(self) -> Path:
        """The secret that our daemons and clients share, closed to others."""
        return self.root / "munge" / "key"

    @property
    def database(self) -> Path:
        """MariaDB's data and socket, closed to others."""
        return self.root / "database"

    @property
    def database_socket(self) -> Path:
        """The only way to the database."""
        return self.database / "socket"

    @property
    def devices(self) -> Path:
        """The device files that stand for GPUs."""
        return self.root / "dev"

    def output(self, daemon: str) -> Path:
        """What a daemon printed; in the foreground Slurm's daemons print their whole log."""
        return self.root / "log" / f"{daemon}.out"

    def exists(self) -> bool:
        """Whether an `up` made this folder and no `down` has removed it."""
        return self.marker.exists()

    def settings(self) -> Settings:
        """The settings that this dev-slurm was started with."""
        values = json.loads(self.marker.read_text())
        return Settings(**{**values, "conf": tuple(values["conf"])})

    def create(self, settings: Settings) -> None:
        """Make the folder ours; of two that try at once only one succeeds.

        Others may enter, since their jobs need `slurm.conf` and munge's socket; keys, database and
        state are closed to them.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if any(self.root.iterdir()):
                raise FileExistsError
            with self.marker.open("x") as marker:
                json.dump(asdict(settings), marker)
        except (FileExistsError, NotADirectoryError):
            raise DevSlurmError(f"{self.root} exists and is not an empty folder: choose another with --dir") from None
        self.root.chmod(0o755)
        for name in ("munge", "log", "spool", "dev", "pids"):
            (self.root / name).mkdir(mode=0o755)
        for name in ("database", "state"):
            (self.root / name).mkdir(mode=0o700)

    def remove(self) -> None:
        """Delete the folder, the marker last, so that an interrupted `down` can be repeated."""
        for entry in self.root.iterdir():
            if entry == self.marker:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self.marker.unlink()
        self.root.rmdir()


def default_path() -> Path:
    """One folder per person and checkout, the same with and without sudo.

    Not under XDG_RUNTIME_DIR: sudo hides it, logging out empties it, and it is a small RAM disk.
    """
    checkout = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:8]
    return Path("/tmp") / f"hpcurate-dev-slurm-{os.environ.get('SUDO_UID', os.geteuid())}-{checkout}"


def open_folder(path: Path | None) -> Folder:
    """The folder at `path`, refused where Slurm could not use it or another person made it."""
    root = Path(os.path.realpath(path or default_path()))
    if not re.fullmatch(r"[A-Za-z0-9/._+-]+", str(root)):
        raise DevSlurmError(f"--dir {root}: slurm.conf cannot contain this path; use letters, digits and . _ + - only")
    if len(str(root)) > LONGEST_FOLDER:
        raise DevSlurmError(
            f"--dir {root}: longer than {LONGEST_FOLDER} characters, too long for Unix sockets in it; "
            "choose a shorter one"
        )
    if root.exists() and root.stat().st_uid not in (0, os.geteuid()):
        raise DevSlurmError(f"{root} belongs to another user: choose another folder with --dir")
    return Folder(root)
