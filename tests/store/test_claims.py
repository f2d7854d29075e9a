"""Claims (I4): who works on what, when an attempt has ended, and what the next one knows of it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from together import together

from hpcurate.failures import AGAINST, Against, AttemptEnd, Ending
from hpcurate.store.claims import Claim, Claims, Latest, LeaseWatch, latest_attempts
from hpcurate.store.files import REAL
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, fan_of
from hpcurate.store.notes import last_task, line_of
from hpcurate.system.processes import ProcessIdentity

FILES = PosixFilesystem()
SHARD = "0001-000000"
ELSEWHERE = ProcessIdentity("another host", 1, 1)


def claim_of(worker: str, attempt: int = 1, **more: Any) -> Claim:
    """A claim of the shard."""
    return Claim(shard=SHARD, attempt=attempt, nonce=f"of {worker}", worker=worker, process=ELSEWHERE, **more)


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage's folder with the shard's fan."""
    stage = StageFolder(str(tmp_path))
    FILES.make_folders(stage.claims(fan_of(SHARD)))
    return stage


@pytest.fixture
def claims(folder: StageFolder) -> Claims:
    """Its claims."""
    return Claims(FILES, folder)


def test_claims_whose_folder_was_purged_are_made_all_the_same(tmp_path: Path) -> None:
    """Every worker took that for a failing store and waited for half an hour, in each run: nobody made the folder."""
    claims = Claims(FILES, StageFolder(str(tmp_path)))
    assert claims.take(claim_of("a"))
    shutil.rmtree(tmp_path / "claims")
    claims.end(claim_of("a"), Ending.FREE)
    assert {SHARD: Latest(1, Ending.FREE)} == claims.latest(fan_of(SHARD))


# -- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], {}),
        (["0001-000000.1"], {"0001-000000": Latest(1)}),
        (["0001-000000.1", "0001-000000.1.free"], {"0001-000000": Latest(1, Ending.FREE)}),
        (["0001-000000.1.free", "0001-000000.1"], {"0001-000000": Latest(1, Ending.FREE)}),
        (["0001-000000.2", "0001-000000.1.crash", "0001-000000.1"], {"0001-000000": Latest(2, suspect=True)}),
        (["0001-000000.9", "0001-000000.10"], {"0001-000000": Latest(10)}),
        (["0001.ab12cd34-000000.3.free"], {"0001.ab12cd34-000000": Latest(3, Ending.FREE)}),
        (["0001.12345678-000000.3"], {"0001.12345678-000000": Latest(3)}),
        (["all.1234abcd-000000.1"], {"all.1234abcd-000000": Latest(1)}),
        (["all.12345678-000000.12.oom"], {"all.12345678-000000": Latest(12, Ending.OOM, suspect=True)}),
        (
            ["0001@cut-0123456789ab-000000.2.dead"],
            {"0001@cut-0123456789ab-000000": Latest(2, Ending.DEAD, suspect=True)},
        ),
        ([".0001-000000.1.7f3a", ".nfs000000000001"], {}),
        (["0001-000000.1.bak", "0001-000000.1~", "notes.txt", "7"], {}),
    ],
)
def test_the_newest_attempt_is_read_from_names(names: list[str], expected: dict[str, Latest]) -> None:
    """Without a stat; temporary and strangers' files do not count."""
    assert expected == latest_attempts(names)


shard_names = st.sampled_from(["0001-000000", "0001.12345678-000001", "all.deadbeef-000000", "0002@cut-0-000000"])


@given(st.dictionaries(shard_names, st.lists(st.sampled_from(["", *Ending]), min_size=1, max_size=12)), st.randoms())
def test_any_order_of_the_listing_gives_the_same(attempts: dict[str, list[str]], random: Any) -> None:
    """The last attempt and its ending, for each shard."""
    names = []
    for shard, endings in attempts.items():
        for attempt, ending in enumerate(endings, 1):
            names += [f"{shard}.{attempt}"] + (
                [f"{shard}.{attempt}.{ending.value}"] if isinstance(ending, Ending) else []
            )
    random.shuffle(names)
    blameless = ["", *(ending for ending in Ending if AGAINST[ending] is Against.NOTHING)]
    expected = {
        shard: Latest(len(e), e[-1] if isinstance(e[-1], Ending) else None, any(one not in blameless for one in e))
        for shard, e in attempts.items()
    }
    assert expected == latest_attempts(names)


# -- files ------------------------------------------------------------------------------------------


def _claim(number: int, folder: StageFolder, attempts: int) -> list[bool]:
    claims = Claims(FILES, folder)
    return [claims.take(claim_of(f"w{number}", attempt)) for attempt in range(1, attempts + 1)]


def test_exactly_one_of_eight_processes_gets_each_claim(folder: StageFolder) -> None:
    """Fifty attempts, eight processes at once."""
    won = together(_claim, folder, 50)
    assert [1] * 50 == [sum(results) for results in zip(*won, strict=True)]


def test_a_claim_reads_as_written(claims: Claims) -> None:
    """Who, where, and the history."""
    history = (
        AttemptEnd(attempt=1, ending=Ending.DEAD),
        AttemptEnd(attempt=2, ending=Ending.OOM, detail="\udcff", in_flight=("a",)),
    )
    claim = claim_of("w1", 3, history=history, round=7)
    claims.take(claim)
    assert claim == claims.read(SHARD, 3)


def test_a_claim_of_before_reads_the_same(folder: StageFolder, claims: Claims) -> None:
    """Its history held what was known and nothing else, and its round could be missing."""
    old: dict[str, Any] = {
        "shard": SHARD,
        "attempt": 3,
        "nonce": "n",
        "worker": "w",
        "process": msgspec.to_builtins(ELSEWHERE),
    }
    old["history"] = [{"attempt": 1, "ending": "dead"}, {"attempt": 2, "ending": "oom", "in_flight": ["a"]}]
    Path(folder.claim(SHARD, 3)).write_text(json.dumps(old))
    history = AttemptEnd(attempt=1, ending=Ending.DEAD), AttemptEnd(attempt=2, ending=Ending.OOM, in_flight=("a",))
    expected = Claim(shard=SHARD, attempt=3, nonce="n", worker="w", process=ELSEWHERE, history=history)
    assert expected == claims.read(SHARD, 3)


def test_the_loser_changes_nothing(folder: StageFolder, claims: Claims) -> None:
    """The winner's claim stays as it is, and no temporary file stays."""
    assert [True, False] == [claims.take(claim_of(who)) for who in ("first", "second")]
    names = FILES.names(folder.claims(fan_of(SHARD)))
    assert (claim_of("first"), [f"{SHARD}.1"]) == (claims.read(SHARD, 1), names)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"shard": "x"}', b"\xff", b'{"shard": 1, "attempt": "one"}', None]
)
def test_a_claim_that_cannot_be_read_is_none(folder: StageFolder, claims: Claims, content: bytes | None) -> None:
    """Half a file, or none."""
    if content is not None:
        Path(folder.claim(SHARD, 1)).write_bytes(content)
    assert None is claims.read(SHARD, 1)


@pytest.mark.parametrize("ending", Ending)
def test_the_next_attempt_learns_how_one_ended(claims: Claims, ending: Ending) -> None:
    """Why, what was in flight, whose it was and from when to when: every ending."""
    claims.end(msgspec.structs.replace(claim_of("w1"), node="n7"), ending, "SIGSEGV", ("a",), begun=5.0, ended=7.5)
    who = {"worker": "w1", "node": "n7"}
    expected = AttemptEnd(attempt=1, ending=ending, detail="SIGSEGV", in_flight=("a",), begun=5.0, ended=7.5, **who)
    assert expected == claims.ending(SHARD, Latest(1, ending))


def test_names_of_any_bytes_survive_in_an_ending(claims: Claims) -> None:
    """Ids come from file names."""
    claims.end(claim_of("w1"), Ending.CRASH, "while \udcff", ("\udcff.mp4",))
    found = claims.ending(SHARD, Latest(1, Ending.CRASH))
    assert ("while \udcff", ("\udcff.mp4",)) == (found.detail, found.in_flight)


@pytest.mark.parametrize("concluded", [Ending.DEAD, Ending.LOST])
def test_an_attempt_without_a_marker_ended_as_was_concluded(claims: Claims, concluded: Ending) -> None:
    """An observer found it out."""
    assert AttemptEnd(attempt=4, ending=concluded) == claims.ending(SHARD, Latest(4, concluded))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"detail": 7}', b'{"in_flight": "a"}', None])
def test_a_marker_that_cannot_be_read_still_says_which_ending(
    folder: StageFolder, claims: Claims, content: bytes | None
) -> None:
    """Its name does."""
    if content is not None:
        Path(f"{folder.claim(SHARD, 1)}.oom").write_bytes(content)
    assert AttemptEnd(attempt=1, ending=Ending.OOM) == claims.ending(SHARD, Latest(1, Ending.OOM))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"detail": "drained"}', b'{"in_flight": []}'])
def test_a_marker_need_not_say_everything(folder: StageFolder, claims: Claims, content: bytes) -> None:
    """Markers of before held what was known."""
    Path(f"{folder.claim(SHARD, 1)}.free").write_bytes(content)
    found = claims.ending(SHARD, Latest(1, Ending.FREE))
    assert (Ending.FREE, "drained" if b"drained" in content else "") == (found.ending, found.detail)


def test_a_history_is_the_claims_own_and_how_that_attempt_ended(claims: Claims) -> None:
    """Oldest first."""
    before = AttemptEnd(attempt=1, ending=Ending.FREE, detail="drained")
    second = claim_of("w2", 2, history=(before,))
    claims.take(second)
    claims.end(second, Ending.CRASH, "SIGSEGV")
    crash = AttemptEnd(attempt=2, ending=Ending.CRASH, detail="SIGSEGV", worker="w2")
    assert (before, crash) == claims.history(SHARD, Latest(2, Ending.CRASH))


def test_a_history_of_a_claim_that_is_gone_is_its_end_only(claims: Claims) -> None:
    """Half a claim knows nothing of what came before."""
    assert (AttemptEnd(attempt=2, ending=Ending.DEAD),) == claims.history(SHARD, Latest(2, Ending.DEAD))


def test_the_newest_attempts_of_a_fan_are_one_listing(claims: Claims) -> None:
    """Of every shard in it."""
    for attempt in (1, 2):
        claims.take(claim_of("w", attempt))
    claims.end(claim_of("w", 1), Ending.FREE)
    assert {SHARD: Latest(2)} == claims.latest(fan_of(SHARD))


@pytest.mark.parametrize("names", [*itertools.permutations(["0001-000000.1.crash", "0001-000000.1.free"])])
def test_of_two_markers_the_worse_one_is_the_ending(names: tuple[str, str]) -> None:
    """In whatever order they are listed."""
    assert {SHARD: Latest(1, Ending.CRASH, suspect=True)} == latest_attempts(names)


def test_the_note_of_an_attempt_is_no_attempt(folder: StageFolder, claims: Claims) -> None:
    """It lies beside the claim, and names the task that was in work alone."""
    claims.take(claim_of("w"))
    for row, task in enumerate(("a", "b\udcff\n")):
        REAL.append(folder.note(SHARD, 1), line_of(task, row))
    assert ({SHARD: Latest(1)}, ("b\udcff\n",)) == (claims.latest(fan_of(SHARD)), claims.alone(SHARD, 1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", None),
        (b"{}\n", ()),
        (b'{"task": "a"}\n{}\n', ()),
        (b"{}\nnull\n", None),
        (b'{"task": "a"}\n', ("a",)),
        (b'{"task": "a"}\n{"task": "b"', ("a",)),
        (b'{"task": "a"', None),
        (b"\x00\x00\n", None),
        (b"[]\n", None),
    ],
)
def test_half_a_line_is_of_a_task_that_never_began(data: bytes, expected: tuple[str, ...] | None) -> None:
    """The last whole line counts; without one it is not known what was in work."""
    assert expected == last_task(data)


# -- a worker elsewhere -----------------------------------------------------------------------------


def watch(*looks: tuple[float, bytes, float]) -> list[bool]:
    """What a watch with a lease of 300 s says at each (now, counter, own beats gapless since)."""
    lease = LeaseWatch(300)
    return [lease.stood_still("w", counter, now, since) for now, counter, since in looks]


def test_a_counter_that_moves_never_stands_still() -> None:
    """However seldom we look."""
    assert [False] * 3 == watch((0, b"1", 0), (1000, b"2", 0), (2000, b"3", 0))


def test_a_counter_that_stands_for_a_lease_is_still() -> None:
    """From the first look at that value, not from when it was written."""
    assert [False, False, True] == watch((1000, b"1", 0), (1299, b"1", 0), (1300, b"1", 0))


def test_the_lease_begins_again_with_each_value() -> None:
    """One beat in between is life."""
    assert [False, False, False, True] == watch((0, b"1", 0), (299, b"2", 0), (598, b"2", 0), (599, b"2", 0))


def test_a_gap_in_our_own_beats_begins_the_lease_again() -> None:
    """If storage was away for us, it was away for the other too."""
    assert [False, False, True] == watch((0, b"1", 0), (400, b"1", 390), (690, b"1", 390))


def test_a_missing_heartbeat_counts_as_a_value() -> None:
    """A worker that never beat is given a lease as well."""
    assert [False, True] == watch((0, b"", 0), (300, b"", 0))


def test_workers_are_watched_each_for_itself() -> None:
    """One that beats does not save another."""
    lease = LeaseWatch(300)
    lease.stood_still("still", b"1", 0, 0)
    lease.stood_still("beats", b"1", 0, 0)
    assert (True, False) == (lease.stood_still("still", b"1", 300, 0), lease.stood_still("beats", b"9", 300, 0))
