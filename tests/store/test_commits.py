"""Commits (I1, I11): one rename, the first wins, nothing is overwritten, nothing changes afterwards."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from together import together

from hpcurate.failures import AttemptEnd, Ending
from hpcurate.store import filesystem
from hpcurate.store.commits import Commits, FanIndex
from hpcurate.store.filesystem import DURABILITIES, SYNC_WHOLE_ABOVE, PosixFilesystem
from hpcurate.store.layout import StageFolder, fan_of
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import Committed, LeftOut, ShardStats

FILES = PosixFilesystem()
SHARD = "0001-000000"


def stats_of(nonce: str, shard: str = SHARD, **more: Any) -> ShardStats:
    """What is counted of an attempt of one task."""
    return ShardStats(shard=shard, nonce=nonce, tasks_in=1, tasks_out=1, passed=1, weight_out=1.0, **more)


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage's folder with the shard's fan."""
    stage = StageFolder(str(tmp_path / "stage"))
    FILES.make_folders(stage.shards(fan_of(SHARD)))
    return stage


def commits_of(folder: StageFolder, filesystem: PosixFilesystem = FILES) -> Commits:
    """The stage's commits, over this filesystem."""
    return Commits(filesystem, folder, trash(folder))


def attempt(folder: StageFolder, nonce: str, number: int = 1, shard: str = SHARD) -> str:
    """An attempt with a row and a file, ready to commit."""
    path = commits_of(folder).begin(shard, number, nonce)
    Path(path, "tasks.jsonl").write_text(f'{{"by":"{nonce}"}}\n')
    Path(path, "files", "a").mkdir(parents=True)
    Path(path, "files", "a", "clip.mp4").write_bytes(b"x" * 1000)
    return path


def try_commit(folder: StageFolder, nonce: str, filesystem: PosixFilesystem = FILES, shard: str = SHARD) -> bool:
    """Make an attempt and commit it."""
    return commits_of(folder, filesystem).commit(attempt(folder, nonce, shard=shard), stats_of(nonce, shard))


def trash(folder: StageFolder) -> str:
    """The store's trash."""
    return os.path.join(os.path.dirname(folder.path), "trash")


def whose(folder: StageFolder) -> str:
    """Nonce in the rows of the committed shard."""
    return str(json.loads(Path(folder.shard(SHARD), "tasks.jsonl").read_text())["by"])


def left(folder: StageFolder) -> list[str]:
    """Names beside the shard."""
    return sorted(FILES.names(folder.shards(fan_of(SHARD))))


class Faulty(PosixFilesystem):
    """A filesystem whose rename fails as NFS may: after, or instead of, doing it."""

    def __init__(self, *, does_it: bool) -> None:
        self._does_it = does_it

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """Raise EIO, whatever happened."""
        if self._does_it:
            super().rename(source, target)
        raise OSError(5, "Input/output error")


def test_a_commit_shows_the_attempt_under_the_shards_name(folder: StageFolder) -> None:
    """And under no other."""
    assert (True, "mine", [SHARD]) == (try_commit(folder, "mine"), whose(folder), left(folder))


def test_the_first_commit_wins(folder: StageFolder) -> None:
    """The second hears so and changes nothing."""
    assert (True, False, "first") == (try_commit(folder, "first"), try_commit(folder, "second"), whose(folder))


def test_the_loser_leaves_nothing_behind(folder: StageFolder) -> None:
    """Its attempt went through the trash."""
    try_commit(folder, "first")
    try_commit(folder, "second")
    assert ([SHARD], []) == (left(folder), os.listdir(trash(folder)))


def _commit(number: int, folder: StageFolder) -> bool:
    return try_commit(folder, f"w{number}")


def test_exactly_one_of_eight_processes_commits(folder: StageFolder) -> None:
    """Its rows and its stats stand."""
    won = together(_commit, folder)
    assert ([f"w{won.index(True)}"] * 2, 1) == ([whose(folder), commits_of(folder).nonce(SHARD)], sum(won))


def test_an_error_after_the_rename_is_seen_through(folder: StageFolder) -> None:
    """The nonce in place is ours: we won."""
    assert (True, [SHARD]) == (try_commit(folder, "mine", Faulty(does_it=True)), left(folder))


def test_an_error_instead_of_the_rename_is_raised(folder: StageFolder) -> None:
    """Nothing stands, so nobody won, and the attempt is still there."""
    with pytest.raises(OSError, match="Input/output error"):
        try_commit(folder, "mine", Faulty(does_it=False))
    assert [f".{SHARD}.1.mine"] == left(folder)


def test_an_error_while_anothers_stands_is_a_loss(folder: StageFolder) -> None:
    """The truth is in the folder, not in the error."""
    try_commit(folder, "first")
    assert (False, "first") == (try_commit(folder, "second", Faulty(does_it=False)), whose(folder))


def test_the_same_nonce_again_has_won_and_cleans_up(folder: StageFolder) -> None:
    """An intake that was interrupted writes the same shard again."""
    try_commit(folder, "same")
    path = attempt(folder, "same", number=2)
    again = commits_of(folder).commit(path, stats_of("same"))
    assert (True, [SHARD]) == (again, left(folder))


def test_an_empty_folder_in_the_way_is_not_replaced(folder: StageFolder) -> None:
    """rename(2) would take it for free; a half-deleted shard is not a free name."""
    os.mkdir(folder.shard(SHARD))
    with pytest.raises(OSError, match=r"stats\.json"):
        try_commit(folder, "mine")
    assert [] == os.listdir(folder.shard(SHARD))


def test_a_committed_shard_is_read_only(folder: StageFolder) -> None:
    """Every file, and its owner's alone, whoever's umask."""
    try_commit(folder, "mine")
    files = [p for p in Path(folder.shard(SHARD)).rglob("*") if p.is_file()]
    assert {0o400} == {stat.S_IMODE(p.stat().st_mode) for p in files}


def test_what_is_no_file_is_left_as_it_is(folder: StageFolder) -> None:
    """A named pipe that a program had left made the commit wait for ever; a socket's file made it fail."""
    path = attempt(folder, "mine")
    os.mkfifo(os.path.join(path, "files", "pipe"))
    with socket.socket(socket.AF_UNIX) as left:
        here = os.open(path, os.O_RDONLY)
        left.bind(f"/proc/self/fd/{here}/files/socket")  # the whole path may be too long for one
        os.close(here)
    assert commits_of(folder).commit(path, stats_of("mine"))
    assert not {"files/pipe", "files/socket"} & set(commits_of(folder).stats(SHARD).files)


def test_a_hard_link_becomes_a_file_of_its_own(folder: StageFolder, tmp_path: Path) -> None:
    """The input became read-only, and writing to it changed the committed shard."""
    given = tmp_path / "input.bin"
    given.write_bytes(b"as it was")
    given.chmod(0o640)
    path = attempt(folder, "mine")
    os.link(given, os.path.join(path, "files", "linked.bin"))
    commits_of(folder).commit(path, stats_of("mine"))
    with open(given, "r+b") as file:
        file.write(b"is edited")
    committed = Path(folder.shard(SHARD), "files", "linked.bin")
    assert (0o640, 1) == (stat.S_IMODE(given.stat().st_mode), given.stat().st_nlink)
    assert (0o400, b"as it was") == (stat.S_IMODE(committed.stat().st_mode), committed.read_bytes())
    assert {"linked.bin"} == {name for name in os.listdir(committed.parent) if "linked" in name}


def test_a_store_without_room_for_a_hard_links_copy_keeps_no_half_of_it(folder: StageFolder, tmp_path: Path) -> None:
    """It was committed with the shard once there was room again: a file more, with half a content."""
    path, given, most = attempt(folder, "mine"), tmp_path / "given.bin", resource.getrlimit(resource.RLIMIT_FSIZE)
    given.write_bytes(b"x" * 300_000)
    os.link(given, os.path.join(path, "files", "linked.bin"))
    before = sorted(os.listdir(os.path.join(path, "files")))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            commits_of(folder).commit(path, stats_of("mine"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert commits_of(folder).commit(path, stats_of("mine"))
    assert before == sorted(os.listdir(os.path.join(folder.shard(SHARD), "files")))


@pytest.mark.parametrize("more", [0, SYNC_WHOLE_ABOVE + 1])
def test_sizes_are_recorded(folder: StageFolder, more: int) -> None:
    """Of every file but stats.json itself, few or many."""
    path = attempt(folder, "mine")
    for number in range(more):
        Path(path, "files", f"{number}.bin").write_bytes(b"y" * number)
    commits_of(folder).commit(path, stats_of("mine"))
    found = {str(p.relative_to(folder.shard(SHARD))): p.stat().st_size for p in Path(folder.shard(SHARD)).rglob("*.*")}
    recorded = json.loads(Path(folder.shard(SHARD), "stats.json").read_text())["files"]
    assert {k: v for k, v in found.items() if k != "stats.json"} == recorded


def test_a_commit_that_is_tried_again_replaces_what_it_wrote(folder: StageFolder) -> None:
    """The first try left stats.json, maybe half of it."""
    path = attempt(folder, "mine")
    with pytest.raises(OSError, match="Input/output error"):
        commits_of(folder, Faulty(does_it=False)).commit(path, stats_of("mine"))
    os.chmod(os.path.join(path, "stats.json"), 0o600)
    os.truncate(os.path.join(path, "stats.json"), 5)
    assert commits_of(folder).commit(path, stats_of("mine", worker="later"))
    assert "later" == commits_of(folder).stats(SHARD).worker


CHANGES = """
import os, sys
from hpcurate.store.claims import Claim, Claims
from hpcurate.store.commits import Commits
from hpcurate.store.files import REAL
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import StageFolder
from hpcurate.store.stats import ShardStats
from hpcurate.system.processes import SystemProcesses

def heard(event, arguments):
    made = event == "open" and arguments[1] is None and arguments[2] & os.O_CREAT  # else what open() is about to do
    if (made or event in CHANGING) and str(arguments[0]).startswith(sys.argv[1]):
        print(event, os.path.basename(arguments[0]))

CHANGING = ("os.mkdir", "os.rename", "os.link", "os.remove", "os.chmod", "os.truncate")
folder = StageFolder(sys.argv[1])
commits, shard = Commits(POSIX, folder, "/nowhere"), "0001-000000"
sys.addaudithook(heard)
Claims(POSIX, folder).take(Claim(shard=shard, attempt=1, nonce="n", worker="w", process=SystemProcesses().mine()))
path = commits.begin(shard, 1, "n")
with REAL.open(os.path.join(path, "tasks.jsonl"), "wb") as file:
    file.write(b"{}")
commits.commit(path, ShardStats(shard=shard, nonce="n", weight_out=1.0))
"""


def test_what_a_shard_changes_on_storage(folder: StageFolder) -> None:
    """Thirteen calls: temporary names, links, modes after the fact. The rename is not heard here: renameat2(2)."""
    FILES.make_folders(folder.claims(fan_of(SHARD)))
    done = subprocess.run(
        [sys.executable, "-c", CHANGES, folder.path], capture_output=True, text=True, check=True, umask=0o077
    )
    expected = [f"open {SHARD}.1", f"os.mkdir .{SHARD}.1.n", "open tasks.jsonl", "open stats.json"]
    assert (expected, [SHARD]) == (done.stdout.splitlines(), left(folder))


@pytest.mark.parametrize(("durability", "flushes"), [("full", 4), ("rename", 0)])
def test_what_a_commit_flushes(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch, durability: str, flushes: int
) -> None:
    """Rows, stats, their folder, its name; or nothing."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    commits = commits_of(folder, DURABILITIES[durability])
    path = commits.begin(SHARD, 1, "mine")
    Path(path, "tasks.jsonl").touch()
    assert (True, flushes) == (commits.commit(path, stats_of("mine")), len(flushed))


@pytest.mark.parametrize(("shards", "flushes"), [(10, 3 * 10 + 1), (100, 1)])
def test_many_are_flushed_together(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch, shards: int, flushes: int
) -> None:
    """Each file and folder of a few, the whole filesystem for many; their names once. Then all of them stand."""
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(filesystem, "syncs_whole", lambda _: True)
    names = [f"0001-{number:06d}" for number in range(shards)]
    attempts = {attempt(folder, "mine", shard=name): stats_of("mine", shard=name) for name in names}
    for path in attempts:
        shutil.rmtree(os.path.join(path, "files"))
    assert [True] * shards == commits_of(folder).commit_all(attempts)
    assert (flushes, names) == (len(flushed), left(folder))


def test_one_that_is_committed_already_is_left_out(folder: StageFolder) -> None:
    """Another call made it; the others are committed, and what is left of ours is removed."""
    try_commit(folder, "theirs")
    other = "0001-000001"
    attempts = {attempt(folder, "mine", shard=shard): stats_of("mine", shard=shard) for shard in (SHARD, other)}
    assert [False, True] == commits_of(folder).commit_all(attempts)
    assert ([SHARD, other], "theirs") == (left(folder), commits_of(folder).nonce(SHARD))


def test_no_commit_is_no_nonce(folder: StageFolder) -> None:
    """An attempt in the making is not one."""
    attempt(folder, "mine")
    assert None is commits_of(folder).nonce(SHARD)


def test_what_readers_need_is_in_the_stats(folder: StageFolder) -> None:
    """Counts, weight, nonce."""
    try_commit(folder, "mine")
    expected = Committed(shard=SHARD, nonce="mine", tasks_in=1, tasks_out=1, passed=1, weight_out=1.0)
    assert expected == commits_of(folder).read(SHARD)


def test_the_stats_read_as_written(folder: StageFolder) -> None:
    """Everything there is about a shard, names of any bytes and the history included."""
    history = (AttemptEnd(attempt=1, ending=Ending.CRASH, detail="SIGSEGV", in_flight=("\udcff",)),)
    written = stats_of(
        "mine", attempt=2, worker="w", history=history, reasons={"\udcff": 1}, environment={"python": "3.11"}
    )
    commits = commits_of(folder)
    commits.commit(attempt(folder, "mine", number=2), written)
    assert {"tasks.jsonl": 14, "files/a/clip.mp4": 1000} == written.files
    assert written == commits.stats(SHARD)


@pytest.mark.parametrize("attempted", [True, False])
def test_what_is_not_known_is_left_out(folder: StageFolder, attempted: bool) -> None:
    """Nobody claims the shards of a source: they have neither attempt nor worker."""
    known: dict[str, Any] = {"attempt": 1, "worker": "w"} if attempted else {}
    commits_of(folder).commit(attempt(folder, "mine"), stats_of("mine", **known))
    plain = json.loads(Path(folder.shard(SHARD), "stats.json").read_text())
    assert (attempted, attempted) == ("attempt" in plain, "worker" in plain)


def test_stats_of_before_read_the_same(folder: StageFolder) -> None:
    """A store of before this form: its history holds plain endings, and what was not counted is missing."""
    os.makedirs(folder.shard(SHARD))
    old: dict[str, Any] = {"shard": SHARD, "nonce": "n", "tasks_in": 1, "tasks_out": 1, "passed": 1, "dropped": 0}
    old |= {"failed": 0, "weight_out": 1.0, "history": [{"attempt": 1, "ending": "free", "detail": "drained"}]}
    Path(folder.shard(SHARD), "stats.json").write_text(json.dumps(old))
    history = (AttemptEnd(attempt=1, ending=Ending.FREE, detail="drained"),)
    commits = commits_of(folder)
    assert (stats_of("n", history=history), "n") == (commits.stats(SHARD), commits.read(SHARD).nonce)


# -- the index of a complete list -------------------------------------------------------------------


@pytest.fixture
def lines(folder: StageFolder) -> list[ShardLine]:
    """Two shards of a list, the first of them committed."""
    try_commit(folder, "one", shard="0001-000000")
    return [ShardLine(f"0001-00000{n}", 1.0, 1, ()) for n in range(2)]


def test_only_committed_shards_of_the_list_count(folder: StageFolder, lines: list[ShardLine]) -> None:
    """Strangers and attempts beside them do not."""
    try_commit(folder, "stray", shard="0001-000009")
    attempt(folder, "begun", shard="0001-000001")
    assert {"0001-000000"} == commits_of(folder).names(line.id for line in lines)


def index_of(commits: Commits) -> FanIndex:
    """What is committed in the one fan-out folder."""
    stamp, names = commits.listing(fan_of(SHARD))
    return FanIndex(stamp=stamp, shards=tuple(commits.read(name) for name in sorted(names)))


def test_an_index_reads_as_written(folder: StageFolder, lines: list[ShardLine]) -> None:
    """With the stamp of the folder that it is about."""
    try_commit(folder, "two", shard="0001-000001")
    commits = commits_of(folder)
    index = index_of(commits)
    commits.write_index(fan_of(SHARD), index)
    assert (["one", "two"], index) == ([shard.nonce for shard in index.shards], commits.read_index(fan_of(SHARD)))
    assert index.stamp == commits.listing(fan_of(SHARD))[0]


def test_an_index_holds_what_was_counted_whatever_its_names(folder: StageFolder) -> None:
    """Reasons and units are any text, also bytes of a name that are none; amounts, times and who made it are there."""
    counted: dict[str, Any] = {
        "reasons": {"\udcff": 1}, "amounts_in": {"seconds": 3.5}, "amounts_out": {"seconds": 1.0},
        "lost": {"\udcff": {"seconds": 2.0}}, "left_out": {"short": LeftOut(1, {"seconds": 0.5})},
        "cpu_seconds": 4.0, "peak_memory_mb": 5.0, "begun": 6.0, "ended": 7.0, "worker": "w", "attempt": 1,
    }  # fmt: skip
    commits = commits_of(folder)
    commits.commit(attempt(folder, "mine"), stats_of("mine", node="n1", **counted))
    commits.write_index(fan_of(SHARD), index_of(commits))
    index = commits.read_index(fan_of(SHARD))
    assert index is not None
    (found,) = index.shards
    assert counted == {name: getattr(found, name) for name in counted}


def test_a_folder_to_which_something_was_committed_has_another_stamp(folder: StageFolder) -> None:
    """Then an index has to be read again; an attempt that comes to nothing changes it, too."""
    commits = commits_of(folder)
    stamps = [commits.listing(fan_of(SHARD))[0]]
    for number in range(3):
        time.sleep(0.02)  # longer than a tick of the kernel's clock of files
        try_commit(folder, f"nonce{number}", shard=f"0001-00000{number}")
        stamps.append(commits.listing(fan_of(SHARD))[0])
    assert len(stamps) == len(set(stamps))


def test_reading_never_makes_an_index(folder: StageFolder, lines: list[ShardLine]) -> None:
    """Looking only reads."""
    assert (None, False) == (commits_of(folder).read_index(fan_of(SHARD)), os.path.exists(folder.indexes))


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"stamp": 1}', b'{"stamp": 1, "shards": [1, 2]}', b"\xff\xfe"])
def test_an_index_that_cannot_be_used_is_none_and_can_be_written_again(
    folder: StageFolder, lines: list[ShardLine], content: bytes | None
) -> None:
    """It is a cache: deleted or damaged, it is replaced."""
    commits = commits_of(folder)
    index = index_of(commits)
    commits.write_index(fan_of(SHARD), index)
    path = Path(folder.index(fan_of(SHARD)))
    path.unlink() if content is None else path.write_bytes(content)
    assert None is commits.read_index(fan_of(SHARD))
    commits.write_index(fan_of(SHARD), index)
    assert index == commits.read_index(fan_of(SHARD))


def test_a_store_that_cannot_be_written_is_still_readable(folder: StageFolder, lines: list[ShardLine]) -> None:
    """No index is no error."""

    class ReadOnly(PosixFilesystem):
        def replace(self, path: str, data: bytes) -> None:
            raise OSError(30, "Read-only file system")

    commits = commits_of(folder, ReadOnly())
    commits.write_index(fan_of(SHARD), index_of(commits))
    assert None is commits.read_index(fan_of(SHARD))


# -- the filesystem's promises ----------------------------------------------------------------------


def test_create_never_overwrites(tmp_path: Path) -> None:
    """And says so."""
    path = str(tmp_path / "name")
    assert (True, False, b"first") == (FILES.create(path, b"first"), FILES.create(path, b"second"), FILES.read(path))


def test_create_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some parallel filesystems refuse link(2)."""

    def refuse(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = str(tmp_path / "name")
    assert (True, False, ["name"]) == (FILES.create(path, b"1"), FILES.create(path, b"2"), os.listdir(tmp_path))


def test_a_link_that_failed_is_no_lost_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for one: a full disk meant that another had the name, and a shard waited a lease for nobody."""

    def fail(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="No space left"):
        FILES.create(str(tmp_path / "name"), b"1")
    assert [] == os.listdir(tmp_path)


@pytest.mark.parametrize("renames", [True, False])
def test_without_hard_links_one_still_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool
) -> None:
    """By a rename that replaces nothing, so that the content is never seen half; without that, too, by the name alone."""

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), target)

    monkeypatch.setattr(os, "link", refuse)
    if not renames:
        monkeypatch.setattr("hpcurate.store.filesystem._rename_if_new", lambda source, target: None)
    path = tmp_path / "name"
    assert [True, False] == [FILES.create(str(path), data) for data in (b"1", b"2")]
    assert (["name"], b"1") == (os.listdir(tmp_path), path.read_bytes())


def test_a_missing_folder_lists_as_empty(tmp_path: Path) -> None:
    """So that nobody has to ask whether it exists."""
    assert [] == FILES.names(str(tmp_path / "nowhere"))


def test_discarding_what_is_gone_is_no_error(tmp_path: Path) -> None:
    """Somebody else was faster."""
    FILES.discard(str(tmp_path / "gone"), str(tmp_path / "trash"))
    assert [] == os.listdir(tmp_path / "trash")


def test_what_programs_made_unreadable_is_moved_and_deleted(tmp_path: Path) -> None:
    """A folder without rights was not even walked: all in it stayed in trash/ for good, also after `clean --yes`.

    And a checkpoint that its program had made read-only could not be taken by a retry, which waited for the store.
    """
    inner = tmp_path / "attempt" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    for name in ("kept", "checkpoint", "shard"):
        (tmp_path / name).mkdir(mode=0o500)
    (inner / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "shard").chmod(0o700)
    inner.chmod(0)
    inner.parent.chmod(0)
    code = """
import ctypes, os, shutil  # which the other user may not read
from hpcurate.store.filesystem import PosixFilesystem
if not os.geteuid():  # root may do all
    for path in ('.', 'attempt', 'attempt/a', 'attempt/a/b', 'kept', 'checkpoint', 'shard'):
        os.chown(path, 65534, 65534)
    os.setuid(65534)
PosixFilesystem().discard('attempt', 'trash')
PosixFilesystem().rename('checkpoint', 'shard/checkpoint')
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert ([], ["checkpoint"]) == (os.listdir(tmp_path / "trash"), os.listdir(tmp_path / "shard"))
    assert 0o500 == stat.S_IMODE((tmp_path / "kept").stat().st_mode)


def test_many_small_files_are_read_side_by_side_where_the_storage_takes_its_time(tmp_path: Path) -> None:
    """In their order, each with its own error; a local disk is read by one thread."""

    class Slow(PosixFilesystem):
        def __init__(self, answer_s: float) -> None:
            self.answer_s, self.threads = answer_s, set[int]()

        def read(self, path: str) -> bytes:
            self.threads.add(threading.get_ident())
            time.sleep(self.answer_s)
            return super().read(path)

    paths = [f"{tmp_path}/{n}" for n in range(40)]
    for path in paths[1:]:
        Path(path).write_text(path)
    slow, fast = Slow(0.002), Slow(0.0)
    for one in (slow, fast):
        lacking, *found = one.read_all(paths)
        assert (True, [path.encode() for path in paths[1:]]) == (isinstance(lacking, FileNotFoundError), found)
    assert len(slow.threads) > 1
