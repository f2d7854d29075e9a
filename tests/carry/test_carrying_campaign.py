"""Runs of all kinds, carried: minutes, so only in `make test-long`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from carrying import DONE, PIPELINE, STAGES, Place, fill
from users import USERS, team, why_not
from video_help import make_video

from hpcurate.system.failpoints import CARRY_POINTS

pytestmark = pytest.mark.long
FLAKY = """
import os


class Copy(Copy):
    version = None

    def process(self, tasks):
        bad = [task.source for task in tasks if task.source.startswith(os.environ.get("BAD", "nothing"))]
        if bad:
            raise ValueError(bad[0])
        return super().process(tasks)
"""


def carried(first: Place, second: Place, *words: str, files: str = "all") -> str:
    """Export the latest run of a store, and import it in another; what import printed."""
    to = first.folder / f"{len(list(first.folder.iterdir()))}.tar"
    first.type("export", "latest", str(to), "--files", files, "--store", str(first.store))
    return second.import_(to, *words)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Place, Place]:
    """A place with an input, and another one."""
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second")
    fill(first.input)
    return first, second


@pytest.mark.parametrize("point", CARRY_POINTS)
def test_killed_anywhere_the_same_again_goes_on(
    origin: Place, archive: Path, other: Place, tmp_path: Path, point: str
) -> None:
    """Of an export nothing has the name; an import is typed again."""
    armed = {"HPCURATE_FAILPOINTS": f"{point}@{tmp_path / 'once'}"}
    if point.startswith("export"):
        to = tmp_path / "x.tar"
        origin.type("export", "carried", str(to), "--store", str(origin.store), status=-9, **armed)
        assert not to.exists()
        return
    other.import_(archive, status=-9, **armed)
    other.import_(archive)
    assert DONE in other.command(origin.input)
    assert other.tree() == origin.tree()


def test_two_imports_at_once(origin: Place, archive: Path, other: Place) -> None:
    """One of them, or both together, have taken it in."""
    with ThreadPoolExecutor(2) as pool:
        words = ("import", str(archive), "--store", str(other.store))
        both = list(pool.map(lambda _: other.typed_afresh(*words), range(2)))
    assert [0, 0] == [one.returncode for one in both], both
    assert DONE in other.command(origin.input)
    assert other.tree() == origin.tree()


def test_a_trial_among_more(pair: tuple[Place, Place]) -> None:
    """What made its list its own goes along."""
    first, second = pair
    first.command(first.input)
    first.command(first.input, "limit=2")
    carried(first, second)
    assert DONE in second.command(first.input, "limit=2")


def test_a_run_that_was_done_again(pair: tuple[Place, Place]) -> None:
    """Its epochs go along; a store that has done it again by itself is refused."""
    first, second = pair
    first.command(first.input)
    first.command(first.input, "rerun=[copy,put]")
    carried(first, second)
    assert DONE in second.command(first.input)
    assert first.tree() == second.tree()


def test_dead_letters_retries_and_code_that_was_kept(tmp_path: Path) -> None:
    """Dead letters can be retried there; what `retry --keep-done` has kept is found there, too."""
    first, second = (Place(tmp_path / name, code=STAGES.replace("class Put", FLAKY + "\n\nclass Put")) for name in "ab")
    fill(first.input)
    budget = "budget.failed=5"
    first.extra["BAD"] = "z"
    first.command(first.input, budget)
    carried(first, second)
    second.type("retry", "--store", str(second.store))
    first.extra.clear()
    code = first.cwd / "carrying.py"
    code.write_text(code.read_text() + "\n\nEDITED = True\n")
    first.type("retry", "--keep-done", "--store", str(first.store))
    assert first.tree() == second.tree()
    shutil.rmtree(second.store)
    (second.cwd / "carrying.py").write_text(code.read_text())
    carried(first, second)
    assert DONE in second.command(first.input, budget)


def test_a_run_that_is_not_complete_goes_on(tmp_path: Path) -> None:
    """What is committed goes along, the rest is done there."""
    first, second = (Place(tmp_path / name, code=STAGES.replace("class Put", FLAKY + "\n\nclass Put")) for name in "ab")
    fill(first.input)
    first.extra["BAD"] = "z"
    first.command(first.input, "budget.failed=0", status=1)
    assert "put: not begun" in carried(first, second)
    second.command(first.input, "budget.failed=1")
    assert 4 == len(second.tree())


def test_several_inputs(pair: tuple[Place, Place], tmp_path: Path) -> None:
    """At the same paths; at others they are refused."""
    first, second = pair
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "q.txt").write_text("q")
    both = f"[{first.input},{tmp_path / 'more'}]"
    first.inline("+pipeline=carried", f"input={both}")
    carried(first, second)
    assert DONE in second.inline("+pipeline=carried", f"input={both}").stderr


def test_results_alone(pair: tuple[Place, Place]) -> None:
    """What was freed is freed there, and made again where it is needed."""
    first, second = pair
    first.command(first.input, "keep=results")
    carried(first, second)
    assert DONE in second.command(first.input, "keep=results")
    second.command(first.input, "rerun=put")
    assert first.tree() == second.tree()


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_from_one_user_to_another() -> None:
    """From a private store to that of a group, where each user has runs of their own."""
    with team() as both:
        for user in USERS:
            (both.folder / user / "conf" / "pipeline").mkdir(parents=True)
            (both.folder / user / "conf" / "pipeline" / "carried.yaml").write_text(PIPELINE)
            (both.folder / user / "carrying.py").write_text(STAGES)
        items = both.shared / "input"
        items.mkdir()
        (items / "a.txt").write_text("a")
        command, store = ["hpcurate", "+pipeline=carried", f"input={items}", "launcher=inline"], f"{both.shared}/store"
        both.type("ada", *command, "store=mine")
        export = ["hpcurate", "export", "carried", f"{both.shared}/run.tar", "--files", "all", "--store", "mine"]
        both.type("ada", *export)
        both.type("bob", "hpcurate", "+pipeline=words", "launcher=inline", "store_mode=group", f"store={store}")
        both.type("bob", "hpcurate", "import", f"{both.shared}/run.tar", "--store", store)
        assert DONE in both.type("bob", *command, f"store={store}")
        assert "copy: round" not in both.type("ada", *command, f"store={store}")


@pytest.mark.video
@pytest.mark.parametrize("files", ["outputs", "all"])
def test_a_video_run(tmp_path: Path, files: str) -> None:
    """Clips, their records and their table, at another path."""
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second")
    first.input.mkdir()
    make_video(first.input / "a.mp4", frames=96)
    words = ("+pipeline=video", "stages.split.method=stride")
    first.inline(*words, f"input={first.input}")
    shutil.move(first.input, second.input)
    carried(first, second, "--path", f"{first.input}={second.input}", files=files)
    assert DONE in second.inline(*words, f"input={second.input}").stderr
    assert first.tree() == second.tree()
