"""Claims (I4): who works on what, when an attempt has ended, and what the next one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from together import together

from hpcurate.store.claims import (
    Claim,
    Ending,
    Latest,
    LeaseWatch,
    Verdict,
    claimed,
    end_attempt,
    judge,
    latest_attempts,
    read_claim,
    read_ending,
    try_claim,
)
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, fan_of
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


# -- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], {}),
        (["0001-000000.1"], {"0001-000000": Latest(1)}),
        (["0001-000000.1", "0001-000000.1.free"], {"0001-000000": Latest(1, Ending.FREE)}),
        (["0001-000000.1.free", "0001-000000.1"], {"0001-000000": Latest(1, Ending.FREE)}),
        (["0001-000000.2", "0001-000000.1.crash", "0001-000000.1"], {"0001-000000": Latest(2)}),
        (["0001-000000.9", "0001-000000.10"], {"0001-000000": Latest(10)}),
        (["0001.ab12cd34-000000.3.free"], {"0001.ab12cd34-000000": Latest(3, Ending.FREE)}),
        (["0001.12345678-000000.3"], {"0001.12345678-000000": Latest(3)}),
        (["all.1234abcd-000000.1"], {"all.1234abcd-000000": Latest(1)}),
        (["all.12345678-000000.12.oom"], {"all.12345678-000000": Latest(12, Ending.OOM)}),
        (["0001@cut-0123456789ab-000000.2.dead"], {"0001@cut-0123456789ab-000000": Latest(2, Ending.DEAD)}),
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
    expected = {s: Latest(len(e), e[-1] if isinstance(e[-1], Ending) else None) for s, e in attempts.items()}
    assert expected == latest_attempts(names)


# -- files ------------------------------------------------------------------------------------------


def _claim(number: int, folder: StageFolder, rounds: int) -> list[bool]:
    return [try_claim(FILES, folder, claim_of(f"w{number}", attempt)) for attempt in range(1, rounds + 1)]


def test_exactly_one_of_eight_processes_gets_each_claim(folder: StageFolder) -> None:
    """Fifty attempts, eight processes at once."""
    won = together(_claim, folder, 50)
    assert [1] * 50 == [sum(results) for results in zip(*won, strict=True)]


def test_a_claim_reads_as_written(folder: StageFolder) -> None:
    """Who, where, and the history."""
    claim = claim_of(
        "w1", 3, history=({"attempt": 1, "ending": "dead"}, {"attempt": 2, "ending": "oom", "in_flight": ["a"]})
    )
    try_claim(FILES, folder, claim)
    assert claim == read_claim(FILES, folder, SHARD, 3)


def test_the_loser_changes_nothing(folder: StageFolder) -> None:
    """The winner's claim stays as it is, and no temporary file stays."""
    try_claim(FILES, folder, claim_of("first"))
    try_claim(FILES, folder, claim_of("second"))
    names = FILES.names(folder.claims(fan_of(SHARD)))
    assert (claim_of("first"), [f"{SHARD}.1"]) == (read_claim(FILES, folder, SHARD, 1), names)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"shard": "x"}', None])
def test_a_claim_that_cannot_be_read_is_none(folder: StageFolder, content: bytes | None) -> None:
    """Half a file, or none."""
    if content is not None:
        Path(folder.claim(SHARD, 1)).write_bytes(content)
    assert None is read_claim(FILES, folder, SHARD, 1)


def test_an_ending_is_told_to_the_next_attempt(folder: StageFolder) -> None:
    """Why it ended and what was in flight."""
    end_attempt(FILES, folder, claim_of("w1"), Ending.CRASH, {"detail": "SIGSEGV", "in_flight": ["a"]})
    told = read_ending(FILES, folder, SHARD, Latest(1, Ending.CRASH))
    assert {"attempt": 1, "ending": "crash", "detail": "SIGSEGV", "in_flight": ["a"]} == told


def test_an_attempt_without_a_marker_is_told_as_dead(folder: StageFolder) -> None:
    """An observer found it out."""
    assert {"attempt": 4, "ending": "dead"} == read_ending(FILES, folder, SHARD, Latest(4, Ending.DEAD))


# -- has it ended? ----------------------------------------------------------------------------------


class _Process:
    def __init__(self, alive: bool | None) -> None:
        self._alive = alive

    def alive(self) -> bool | None:
        return self._alive


@pytest.mark.parametrize("alive", [True, False, None])
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("lease_over", [True, False])
def test_an_attempt_has_ended_if_anything_says_so_for_sure(alive: bool | None, marked: bool, lease_over: bool) -> None:
    """A marker, a process seen gone, or a lease run out; not knowing is no reason."""
    expected = Ending.DEAD if marked or alive is False or lease_over else None
    assert expected == claimed(_Process(alive), marked, lease_over)  # type: ignore[arg-type]


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


def test_the_lease_begins_anew_with_each_value() -> None:
    """One beat in between is life."""
    assert [False, False, False, True] == watch((0, b"1", 0), (299, b"2", 0), (598, b"2", 0), (599, b"2", 0))


def test_a_gap_in_our_own_beats_begins_the_lease_anew() -> None:
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


# -- what next? -------------------------------------------------------------------------------------


def entry(ending: str, *in_flight: str, detail: str = "") -> dict[str, Any]:
    """One ended attempt."""
    return {"attempt": 1, "ending": ending, "in_flight": list(in_flight), "detail": detail}


GAVE_UP = "3 attempts ended without a result"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], Verdict()),
        ([entry("free")] * 9, Verdict()),
        ([entry("free", "a")], Verdict()),
        ([entry("dead")], Verdict(isolate=True)),
        ([entry("crash", "a", "b")], Verdict(isolate=True)),
        ([entry("crash", "a", detail="SIGSEGV")], Verdict(isolate=True, poison={"a": "SIGSEGV"})),
        ([entry("oom", "a")], Verdict(isolate=True, poison={"a": "its stage process ended: oom"})),
        (
            [entry("crash", "a", detail="x"), entry("timeout", "b", detail="y")],
            Verdict(isolate=True, poison={"a": "x", "b": "y"}),
        ),
        (
            [entry("crash", name, detail="x") for name in "abcd"],
            Verdict(isolate=True, poison=dict.fromkeys("abcd", "x")),
        ),
        ([entry("dead")] * 2 + [entry("free")], Verdict(isolate=True)),
        ([entry("error")] * 3, Verdict(isolate=True, exhausted=GAVE_UP)),
        ([entry("dead"), entry("crash"), entry("oom", "a", "b")], Verdict(isolate=True, exhausted=GAVE_UP)),
    ],
)
def test_the_history_decides_the_next_attempt(history: list[dict[str, Any]], expected: Verdict) -> None:
    """Retry, isolate, single out, or give up after three that named nobody."""
    assert expected == judge(history, 3)
