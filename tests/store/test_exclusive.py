"""One process at a time, on storage that several machines see, however its processes end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpcurate.errors import StoreError
from hpcurate.store.exclusive import exclusive, publish
from hpcurate.store.filesystem import POSIX

BUILDER = """
import fcntl, os, random, sys, time
from contextlib import suppress
from hpcurate.errors import StoreError
from hpcurate.store.exclusive import exclusive
from hpcurate.system.processes import start_time

folder, wanted = sys.argv[1], int(sys.argv[2])
inside = os.open(os.path.join(folder, "inside"), os.O_RDWR | os.O_CREAT)
entered = 0
while entered < wanted:
    with suppress(StoreError), exclusive(os.path.join(folder, "thing"), "building"):
        try:
            fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when we die
        except BlockingIOError:
            holder = os.pread(inside, 20, 0).split()
            if holder and start_time(int(holder[0])) is not None:
                open(os.path.join(folder, "overlap"), "a").write("x")
                continue
            fcntl.flock(inside, fcntl.LOCK_EX)  # of one that is dead, another thread of which is yet to be taken away
        os.pwrite(inside, b"%20d" % os.getpid(), 0)
        open(os.path.join(folder, "entries"), "a").write("x")
        time.sleep(random.random() / 100)
        fcntl.flock(inside, fcntl.LOCK_UN)
        entered += 1
    time.sleep(random.random() / 100)
"""


def builder(folder: Path, wanted: int) -> subprocess.Popen[bytes]:
    """A process that takes so many turns."""
    return subprocess.Popen([sys.executable, "-c", BUILDER, str(folder), str(wanted)])


@pytest.mark.parametrize("kills", [0, 15])
def test_six_builders_and_random_kills(tmp_path: Path, kills: int) -> None:
    """At most one at any time, and all of them end. Before, 286 of 7 626 entries overlapped without a single kill."""
    seed, processes = random.Random(7), [builder(tmp_path, 20) for _ in range(6)]
    for _ in range(kills):
        time.sleep(seed.random() / 10)
        victim = seed.randrange(6)
        processes[victim].kill()
        processes[victim].wait()
        processes[victim] = builder(tmp_path, 20)
    assert [0] * 6 == [process.wait(300) for process in processes]
    assert not (tmp_path / "overlap").exists()
    assert len((tmp_path / "entries").read_text()) >= 6 * 20


def test_a_turn_has_a_number_that_nobody_else_has(tmp_path: Path) -> None:
    """So that what it makes has a name of its own, also beside what a killed one left."""
    numbers = []
    for _ in range(3):
        with exclusive(str(tmp_path / "thing"), "building") as number:
            numbers.append(number)
    with exclusive(str(tmp_path / "thing-2"), "building") as other:
        numbers.append(other)
    assert [1, 2, 3, 1] == numbers


def test_a_second_one_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    """While its process lives, however long that takes; an error ends a turn as anything else does."""
    target = str(tmp_path / "thing")
    shown = rf"thing: another process is building this now \(process {os.getpid()} on .*wait for it, then type"

    def twice() -> None:
        with exclusive(target, "building", lease_s=0.0):
            with pytest.raises(StoreError, match=shown), exclusive(target, "building", lease_s=0.0):
                raise AssertionError("two at once")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        twice()
    with exclusive(target, "building") as number:
        assert number == 2


def elsewhere(folder: Path) -> Path:
    """The turn of a process of another machine; the path of its counter."""
    (folder / ".turns").mkdir()
    (folder / ".turns" / "thing.1").write_text(json.dumps({"host": "other boot ns", "pid": 1, "start": 1}))
    return folder / ".turns" / "thing.1.beat"


def test_one_that_vanished_on_another_machine_is_waited_out(tmp_path: Path) -> None:
    """Its counter stood still for a lease by our own clock; before, a person had to delete a file."""
    elsewhere(tmp_path)
    with exclusive(str(tmp_path / "thing"), "building", lease_s=0.5) as number:
        assert number == 2


def test_one_that_lives_on_another_machine_is_not_taken_over(tmp_path: Path) -> None:
    """As long as its counter moves."""
    beat, stop = elsewhere(tmp_path), threading.Event()

    def raise_counter() -> None:
        count = 0
        while not stop.wait(0.05):
            count += 1
            POSIX.beat(str(beat), b"%012d" % count)

    def take_over() -> None:
        with exclusive(str(tmp_path / "thing"), "building", lease_s=30):
            raise AssertionError("two at once")

    thread = threading.Thread(target=raise_counter)
    thread.start()
    try:
        with pytest.raises(StoreError, match=r"process 1 on other\)"):
            take_over()
    finally:
        stop.set()
        thread.join()


def test_one_that_ends_on_another_machine_while_it_is_watched(tmp_path: Path) -> None:
    """Its turn is over at once."""
    elsewhere(tmp_path)
    threading.Timer(0.2, (tmp_path / ".turns" / "thing.1.free").touch).start()
    with exclusive(str(tmp_path / "thing"), "building", lease_s=60) as number:
        assert number == 2


def test_a_claim_that_nobody_can_read_is_waited_out(tmp_path: Path) -> None:
    """Before, half a file was deleted, and with it whoever was about to write it."""
    elsewhere(tmp_path)
    (tmp_path / ".turns" / "thing.1").write_text("")
    with exclusive(str(tmp_path / "thing"), "building", lease_s=0.5) as number:
        assert number == 2


def test_the_first_finished_folder_has_the_name(tmp_path: Path) -> None:
    """The other one goes; a name that cannot be given is an error."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "is").write_text(name)
        publish(str(tmp_path / name), str(tmp_path / "thing"))
    assert ("a", ["thing"]) == ((tmp_path / "thing" / "is").read_text(), os.listdir(tmp_path))
    with pytest.raises(FileNotFoundError):
        publish(str(tmp_path / "nothing"), str(tmp_path / "another"))
