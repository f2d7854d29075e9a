"""`hpcurate clean` and `hpcurate rm`: what nothing refers to goes, and nothing else, whoever is killed or starts."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Shell

from hpcurate.runs.clean import Cleaner
from hpcurate.runs.folder import Run, find_run
from hpcurate.runs.references import read_references
from hpcurate.runs.remove import remove_run
from hpcurate.runs.start import _want_stages
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.system import failpoints
from hpcurate.system.clock import SystemClock
from hpcurate.system.failpoints import HOUSE_POINTS

RUN, LAST = ("+pipeline=words", "limit=1"), "word_count"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Two runs that share all stages but the last."""
    shell = Shell(tmp_path_factory.mktemp("clean"))
    shell.inline(*RUN)
    time.sleep(1.0)  # names of runs sort by the second
    shell.inline(*RUN, f"rerun={LAST}")
    return shell


@pytest.fixture
def store(made: Shell, tmp_path: Path) -> Store:
    """A copy of their store."""
    shutil.copytree(made.store, tmp_path / "store", symlinks=True, ignore=shutil.ignore_patterns("code-*"))
    return Store(str(tmp_path / "store"))


def folders(store: Store) -> set[str]:
    """Of stages and sources."""
    return {name for name in os.listdir(store.stages) if name[0] != "."}


def without_second(store: Store) -> str:
    """Remove the second run; the one stage that nobody wants any more."""
    references, second = read_references(store), names(store)[1]
    (alone,) = [name for name in folders(store) if references.runs_of(name) == (second,)]
    remove_run(find_run(store, second))
    return alone


def names(store: Store) -> list[str]:
    """Of runs, the oldest first."""
    return sorted(name for name in os.listdir(store.runs) if name[0] == "2")


def clean(store: Store, at_wait: Callable[[float], None] = lambda seconds: None) -> Cleaner:
    """A cleaner; `at_wait` happens while it waits."""

    class Waiting(SystemClock):
        def sleep(self, seconds: float) -> None:
            at_wait(seconds)

    return Cleaner(store, trash_s=1e9, clock=Waiting())


def killed_at(point: str, act: Callable[[], object], marker: Path) -> None:
    """Act in another process, which dies there."""
    pid = os.fork()
    if not pid:
        failpoints._ARMED[point] = str(marker)
        act()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, point


def test_what_runs_refer_to_stays(store: Store) -> None:
    """A store in which every run is there has nothing to remove, and a second look changes nothing."""
    before = folders(store)
    done = clean(store).clean()
    assert ((), 0, 0, before) == (done.stages, done.attempts, done.trash, folders(store))


def test_what_only_a_removed_run_wanted_goes(store: Store) -> None:
    """And nothing else: the other run is complete as before, from its own rows."""
    alone, before = without_second(store), folders(store)
    done = clean(store).clean()
    assert (alone,) == done.stages
    assert folders(store) == before - {alone}
    assert done.freed > 0
    assert os.listdir(store.trash) == []


def test_everything_goes_with_the_last_run(store: Store) -> None:
    """What reads others goes before them, the source last."""
    for name in names(store):
        remove_run(find_run(store, name))
    done = clean(store).clean()
    assert set() == folders(store)
    assert done.stages[-1].startswith("source-")
    assert done.stages[0].startswith("word_count-")


def test_what_a_damaged_stage_may_read_stays(store: Store) -> None:
    """With pipeline.json damaged too, in a store without marks, the sources of complete runs were removed."""
    for path in (*Path(store.stages).glob("*/wanted/*"), *Path(store.stages).glob("*/stage.json")):
        path.unlink()
    for name in names(store):
        Path(store.run(name), "pipeline.json").write_text("{")
    before = folders(store)
    done = clean(store).clean()
    sources = {name for name in before if name.startswith("source-")}
    assert sources <= folders(store), done


def test_a_run_of_another_user_counts_by_its_marks(store: Store) -> None:
    """Its folder cannot be read. What its stages are made from counts, too: the source has no mark of an old release."""
    for name in names(store):
        (Path(store.runs, name) / "pipeline.json").unlink()
    for mark in Path(store.stages).glob("source-*/wanted/*"):
        mark.unlink()
    assert clean(store).clean().stages == ()


def test_a_round_that_is_not_over_keeps_its_stage(store: Store) -> None:
    """Its workers may live. What the stage is made from stays with it."""
    alone = without_second(store)
    for over in Path(store.stages, alone, "rounds").glob("*.over"):
        over.unlink()
    found = clean(store).look(time.time())
    assert ((), 1) == (found.stages, len(found.kept))
    assert "is not over" in found.kept[0]


def wants(store: Store, folder: Path) -> None:
    """A run begins to want a folder: first its own, then the mark."""
    Path(store.runs, "20990101-000000-late").mkdir(exist_ok=True)
    (folder / "wanted" / "20990101-000000-late").touch()


def test_who_starts_before_the_second_look_loses_nothing(store: Store) -> None:
    """The mark is seen."""
    alone = without_second(store)
    before = folders(store)
    done = clean(store, lambda _: wants(store, Path(store.stages, alone))).clean(1.0)
    assert ((), before) == (done.stages, folders(store))


def test_who_starts_too_late_to_be_seen_gets_the_stage_back(store: Store) -> None:
    """By a cached name the mark lands in the folder that was just moved away: as over NFS. The rows are there again."""
    alone, waits = without_second(store), []

    def late(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            (moved,) = Path(store.trash).glob("clean.*")
            wants(store, moved)

    rows = sorted(path.name for path in Path(store.stages, alone).rglob("*.jsonl"))
    done = clean(store, late).clean(1.0)
    assert ((alone,), ()) == (done.put_back, done.stages)
    assert rows == sorted(path.name for path in Path(store.stages, alone).rglob("*.jsonl"))


def test_a_stage_that_is_begun_again_stands(store: Store) -> None:
    """While the old one is on probation, a run makes the folder once more: nobody puts the old one over it."""
    alone = without_second(store)

    def begins(_: float) -> None:
        if not Path(store.stages, alone).exists():
            Path(store.stages, alone, "wanted").mkdir(parents=True)
            wants(store, Path(store.stages, alone))

    assert clean(store, begins).clean(1.0).put_back == ()
    assert ["wanted"] == os.listdir(Path(store.stages, alone))


class Moving(PosixFilesystem):
    """A clean moves the folder away while a file is made in it; once."""

    def __init__(self, name: str) -> None:
        self.names_left = [name]

    def create(self, path: str, data: bytes) -> bool:
        """The first file of that name."""
        if os.path.basename(path) in self.names_left:
            self.names_left.remove(os.path.basename(path))
            stage = Path(path.partition("/stages/")[0], "stages", path.partition("/stages/")[2].partition("/")[0])
            stage.rename(stage.parent / f".{stage.name}")
        return super().create(path, data)


@pytest.mark.parametrize("file", ["stage.json", "20990101-000000-late"])
def test_a_run_that_begins_while_its_folder_is_moved_away_makes_it_once_more(store: Store, file: str) -> None:
    """With all that belongs there. Before, `hpcurate clean --yes` beside it ended its command in a traceback."""
    pipeline = find_run(store, names(store)[0]).frozen().pipeline
    first = store.stage(pipeline.stages[0].folder)
    os.unlink(first.stage_json)
    late = Run(store, "20990101-000000-late", Moving(file))
    _want_stages(late, pipeline, lambda line: None)
    assert os.path.exists(first.stage_json)
    assert [late.name in os.listdir(store.stage(one.folder).wanted) for one in pipeline.stages] == [True] * 3


def test_attempts_without_a_result_go_with_their_files(store: Store) -> None:
    """Where all rounds are over, and the attempt was there at the first look."""
    (fan,) = Path(store.stages).glob("lower_case-*/shards/*")
    (fan / ".0001-000000.7.abcd1234" / "files").mkdir(parents=True)
    done = clean(store, lambda _: (fan / ".0001-000000.8.abcd1234").mkdir(exist_ok=True)).clean(1.0)
    assert (1, [".0001-000000.8.abcd1234"]) == (done.attempts, [n for n in os.listdir(fan) if n[0] == "."])


def test_only_old_trash_goes(store: Store) -> None:
    """What `hpcurate verify --repair` has moved away is there to be looked at, for a while."""
    Path(store.trash, "damaged").mkdir(parents=True)
    assert clean(store).clean().trash == 0
    assert 1 == Cleaner(store, trash_s=0.0).clean(0.0).trash


@pytest.mark.parametrize("point", HOUSE_POINTS)
def test_killed_anywhere_the_same_again_ends_it(store: Store, tmp_path: Path, point: str) -> None:
    """And what a run wants is there at the end."""
    first, second = names(store)
    wanted = {name for name in folders(store) if first in read_references(store).runs_of(name)}
    killed = False
    for name, act in (("rm", lambda: remove_run(find_run(store, second))), ("clean", lambda: clean(store).clean())):
        if point.startswith(name):
            killed_at(point, act, tmp_path / "died")
            killed = True
        if name == "clean" or second in names(store) or not killed:
            act()
    assert killed
    assert wanted == folders(store)
    assert [first] == names(store)
    assert first == find_run(store, None).name


def test_what_is_typed(made: Shell, tmp_path: Path) -> None:
    """Look, remove the run, clean: each says what to type next; the same command then begins a new run."""
    shell = Shell(tmp_path)
    shutil.copytree(made.store, shell.store, symlinks=True, ignore=shutil.ignore_patterns("code-*"))
    second = names(Store(str(shell.store)))[1]
    where = f"--store={shell.store}"
    assert "nothing to remove" in shell.type("clean", where).stdout
    assert "name the run" in shell.type("rm", where, status=2).stderr
    (shell.store / "runs" / second / "output").mkdir()
    (shell.store / "runs" / second / "output" / "x").touch()
    assert "--with-output" in shell.type("rm", second, where, status=2).stderr
    assert "next: hpcurate clean" in shell.type("rm", second, where, "--with-output").stdout
    assert "next: hpcurate clean --yes" in shell.type("clean", where).stdout
    assert "1 stage" in shell.type("clean", "--yes", "--wait=0", where).stdout
    (shell.folder / "config" / "hpcurate").mkdir(parents=True)
    (shell.folder / "config" / "hpcurate" / "site.yaml").write_text("retention: {runs: 1d}\n")
    first = names(Store(str(shell.store)))[0]
    os.utime(shell.store / "runs" / first / "pipeline.json", (1, 1))
    assert f"hpcurate rm {first}" in shell.type("clean", where).stdout
    shell.inline(*RUN)
    (again,) = {*names(Store(str(shell.store)))} - {first}
    assert again > second


def test_checkpoints_that_nobody_goes_on_from_go(store: Store) -> None:
    """Those of committed shards, and of attempts before the newest; what a training has reached stays."""
    counted = next(name for name in sorted(folders(store)) if name.startswith("word_count-"))
    folder = store.stage(counted)
    (shard,) = (path.name for path in Path(folder.path, "shards").glob("*/[!.]*"))
    for name in (f"{shard}.0", "9999-000001.2", "9999-000001.10"):
        number = name.rpartition(".")
        Path(folder.checkpoint(number[0], int(number[2])), "task").mkdir(parents=True)
    done = clean(store).clean()
    assert done.attempts == 2
    left = sorted(path.name for path in Path(folder.path, "checkpoints").glob("*/*"))
    assert ["9999-000001.10"] == left
