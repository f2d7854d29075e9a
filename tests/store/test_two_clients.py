"""What the store rests on, seen by two clients that cache lookups for 30 s: claims, commits, rounds, beats (I1, I4)."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import msgspec
import pytest
from stale import client
from together import together

from hpcurate.failures import Ending
from hpcurate.runs.folder import Run
from hpcurate.store.claims import Claim, Claims, Latest
from hpcurate.store.commits import Commits
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, Store, fan_of
from hpcurate.store.lists import Lists, ShardLine
from hpcurate.store.rounds import Jobs, Rounds, Ticket
from hpcurate.store.stats import ShardStats
from hpcurate.system.processes import SystemProcesses

FILES = PosixFilesystem()
SHARD = "0001-000000"
LINES = [ShardLine(SHARD, 1.0, 1, ())]


@attrs.frozen
class Two:
    """One folder, by itself and as its two clients see it."""

    true: Path
    one: Path
    other: Path


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Mounted once for all tests of the file."""
    at = tmp_path_factory.mktemp("clients")
    (at / "true").mkdir()
    with client(at / "true", at / "one") as one, client(at / "true", at / "other") as other:
        yield Two(at / "true", one, other)


@pytest.fixture
def two(mounts: Two, request: pytest.FixtureRequest) -> Two:
    """A folder of the test's own."""
    name = f"test{len(os.listdir(mounts.true))}"
    (mounts.one / name).mkdir()
    return Two(mounts.true / name, mounts.one / name, mounts.other / name)


def looked_up(path: Path) -> str:
    """A path that its client has just found missing, and believes to be missing for a while."""
    assert not path.exists()
    return str(path)


def test_these_clients_are_stale(two: Two) -> None:
    """Without this the other tests would show nothing: a name is listed, and opening it says that it is not there."""
    path = looked_up(two.other / "name")
    assert FILES.create(str(two.one / "name"), b"1")
    assert ["name"] == FILES.names(str(two.other))
    with pytest.raises(FileNotFoundError):
        FILES.read(path)


# -- exclusive create -------------------------------------------------------------------------------


MAKE: dict[str, Callable[[str, bytes], bool]] = {"create": FILES.create, "claim": FILES.claim}


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("data", [b"", b"mine"])
def test_one_of_two_clients_creates(two: Two, data: bytes, make: str) -> None:
    """Both had looked before. Neither was said to have made an empty file: a cached link count was believed."""
    paths = looked_up(two.one / "name"), looked_up(two.other / "name")
    assert [True, False] == [MAKE[make](path, data) for path in paths]
    assert ["name"] == os.listdir(two.true)


@pytest.mark.parametrize("make", MAKE)
def test_a_race_of_two_clients_has_one_winner_a_name(two: Two, make: str) -> None:
    """Whose content stands, for both."""
    names = [f"n{number:02d}" for number in range(50)]

    def run(number: int) -> list[str]:
        mount = (two.one, two.other)[number % 2]
        return [name for name in names if MAKE[make](str(mount / name), b"%d" % number)]

    won = together(run, processes=4)
    assert names == sorted(name for mine in won for name in mine)
    for mount in (two.one, two.other):
        assert [b"%d" % number for number, mine in enumerate(won) for _ in mine] == [
            FILES.read(str(mount / name)) for mine in won for name in mine
        ]


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("data", [b"", b"mine"])
@pytest.mark.parametrize("make", MAKE)
def test_a_link_whose_answer_was_lost_is_ours(
    two: Two, monkeypatch: pytest.MonkeyPatch, number: int, data: bytes, make: str
) -> None:
    """NFS repeats a request whose answer was lost, and says that the name exists. The cached link count was still 1.

    Where that may be, a claim is made by a link, too.
    """
    monkeypatch.setattr(os, "link", losing_the_answer(two, number))
    assert MAKE[make](str(two.other / "name"), data)
    assert ["name"] == os.listdir(two.true)


def losing_the_answer(two: Two, number: int) -> Callable[[str, str], None]:
    """A link() that the server makes and the client hears an error of."""
    link = os.link

    def lost(source: str, target: str) -> None:
        link(two.true / os.path.basename(source), two.true / os.path.basename(target))
        raise OSError(number, os.strerror(number), target)

    return lost


# -- claims, lists, rounds --------------------------------------------------------------------------


def test_a_claim_is_taken_by_one_client(two: Two) -> None:
    """In a folder that the other had found missing; it sees the claim, and how it ended."""
    one, other = (Claims(FILES, StageFolder(str(mount))) for mount in (two.one, two.other))
    assert {} == other.latest(fan_of(SHARD))
    mine, theirs = (
        Claim(shard=SHARD, attempt=1, nonce=nonce, worker=nonce, process=SystemProcesses().mine()) for nonce in "ab"
    )
    assert (True, False) == (one.take(mine), other.take(theirs))
    assert mine == other.read(SHARD, 1)
    one.end(mine, Ending.FREE)
    assert {SHARD: Latest(1, Ending.FREE)} == other.latest(fan_of(SHARD))
    assert other.take(msgspec.structs.replace(theirs, attempt=2))


def test_a_list_that_the_other_client_wrote_stands(two: Two) -> None:
    """Whoever loses reads the winner's at once, though it had just found no list."""
    one, other = (Lists(FILES, StageFolder(str(mount))) for mount in (two.one, two.other))
    assert (None, None) == (one.read("0001"), other.read("0001"))
    assert LINES == one.write("0001", LINES)
    assert LINES == other.write("0001", [ShardLine("0001-000009", 9.0, 9, ())])
    assert LINES == other.read("0001")


def test_a_ticket_is_won_by_one_client(two: Two) -> None:
    """The other, which had seen no rounds, knows of it from then on, and of the jobs."""
    one, other = (Rounds(FILES, StageFolder(str(mount))) for mount in (two.one, two.other))
    assert ([], []) == (one.read(), other.read())
    assert (True, False) == (one.take_ticket(1, Ticket(run="mine")), other.take_ticket(1, Ticket(run="theirs")))
    assert ["mine"] == [found.ticket.run for found in other.read()]
    one.record_jobs(1, Jobs(("7",)))
    assert [Jobs(("7",))] == [found.jobs for found in other.read()]
    one.mark_over(1)
    assert {1} == other.over()


# -- commits ----------------------------------------------------------------------------------------


def attempt(mount: Path, nonce: str) -> tuple[Commits, str, ShardStats]:
    """An attempt with a row, ready to commit."""
    commits = Commits(FILES, StageFolder(str(mount)), str(mount / "trash"))
    path = commits.begin(SHARD, 1, nonce)
    Path(path, "tasks.jsonl").write_text(f'{{"by":"{nonce}"}}\n')
    counts = {"tasks_in": 1, "tasks_out": 1, "passed": 1, "weight_out": 1.0}
    return commits, path, ShardStats(shard=SHARD, nonce=nonce, **counts)


def test_the_first_of_two_clients_commits(two: Two) -> None:
    """The other had found no such shard, and learns whose stands; nothing of its own is left (I1)."""
    one, other = attempt(two.one, "a"), attempt(two.other, "b")
    assert (False, False) == (one[0].stands(SHARD), other[0].stands(SHARD))
    assert (True, False) == tuple(commits.commit(path, stats) for commits, path, stats in (one, other))
    assert ["a", "a"] == [commits.nonce(SHARD) for commits in (one[0], other[0])]
    assert [SHARD] == os.listdir(two.true / "shards" / fan_of(SHARD))
    assert ["tasks.jsonl"] == list(one[0].stats(SHARD).files)


def test_a_rename_onto_what_the_other_client_made_is_refused(two: Two) -> None:
    """Looked for before, so believed to be free by the one who renames."""
    looked_up(two.other / "name")
    for mount, name in ((two.one, "name"), (two.other, ".mine")):
        FILES.make_folders(str(mount / name))
        FILES.create(str(mount / name / "file"), b"")
    with pytest.raises(OSError, match=r"not empty|exists"):
        FILES.rename(str(two.other / ".mine"), str(two.other / "name"))
    assert [".mine", "name"] == sorted(os.listdir(two.true))


# -- beats and summaries ----------------------------------------------------------------------------


def test_a_beat_is_read_by_the_other_client(two: Two) -> None:
    """It is written in place and keeps its size: each opening sees the new one."""
    path, seen = "beat", []
    for count in range(3):
        FILES.beat(str(two.one / path), b"%012d\n" % count)
        seen.append(FILES.read(str(two.other / path)))
    assert [b"%012d\n" % count for count in range(3)] == seen


def test_a_replaced_file_is_whole_for_the_other_client(two: Two) -> None:
    """The old or the new one, longer or shorter."""
    written = [json.dumps({"n": "x" * size}).encode() for size in (5, 500, 50)]
    for before, data in zip([None, *written], written):
        FILES.replace(str(two.one / "summary.json"), data)
        assert FILES.read(str(two.other / "summary.json")) in (before, data)


def test_a_cancel_of_the_other_client_is_seen_and_taken_back(two: Two) -> None:
    """Whichever client types what: the one had just found no mark, so it left that of the other, and never began."""
    one, other = (Run(Store(str(mount)), "run") for mount in (two.one, two.other))
    os.makedirs(one.path)
    FILES.create(os.path.join(one.path, "config.yaml"), b"")
    for here, there in ((one, other), (other, one), (one, other)):
        here.unmark_cancelled()
        assert (False, False) == (one.cancelled, other.cancelled)
        there.mark_cancelled()
        assert (True, True) == (one.cancelled, other.cancelled)
        here.unmark_cancelled()
        assert (False, False) == (one.cancelled, other.cancelled)
