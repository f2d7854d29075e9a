"""Fixtures shared by all tests: a real Slurm, a store that can be driven, killed and compared."""

from __future__ import annotations

import compileall
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT
from driven import Site, comparable
from shell import Shell, typed_warm
from slurm_fixture import slurm  # noqa: F401
from untouched import untracked

LONGEST = (
    "simulation", "killed_in_jobs", "campaign", "kill", "a_lying_scheduler", "video_pipeline", "stale_clients", "arrays_and_gates",
    "docs", "train", "odd_sites", "every_wait_ends", "branches", "kinds_of_environment", "weights_on_nodes", "conda_environments", "day_one",
    "shaping_a_run", "first_day", "edited_code", "from_hub_to_output", "dev_slurm", "command_line", "stage_processes",
    "queue", "look_ahead", "install", "shots", "networks", "vision_language", "engine", "killed_for_memory", "kinds", "watch", "store_in_trouble",
    "weights_from_other_places", "weights_from_the_hub", "round_trip", "pixi_and_features", "refused_configuration", "any_verb",
    "broken_inputs", "retry_command", "retry", "verify", "wheel", "page_in_a_browser",
)  # fmt: skip
"""Files that take longest: several processes share the tests by file, and none is to begin one of these at the end.

Those that wait for Slurm stand between those that compute, so that neither come all at once."""


def pytest_configure() -> None:
    """Signals as in a terminal: what is started in the background inherits an ignored SIGINT, and blocked ones."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the checkout once: with PYTHONDONTWRITEBYTECODE, which containers set, each process would do it again."""
    if not hasattr(session.config, "workerinput"):
        for name in ("hpcurate", "launchers", "stages", "tests/support", "tests/simulation", "tests/campaign"):
            compileall.compile_dir(ROOT / name, quiet=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; `--no-loadscope-reorder` keeps that order."""
    first = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.name, len(first)))


@pytest.fixture(scope="session", autouse=True)
def untouched_checkout() -> Iterator[None]:
    """Tests write nothing into the checkout, apart from caches."""
    before = untracked(ROOT)
    yield
    assert set() == untracked(ROOT) - before, "appeared in the checkout while the tests ran"


@pytest.fixture(scope="session", autouse=True)
def one_that_types() -> Iterator[None]:
    """One process: most commands are typed to see what hpcurate does, not how Python starts."""
    with typed_warm():
        yield


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """What a stage that runs in this very process sets for it (no hub, no GPU) is not there for the next test."""
    yield from _same_environment()


@pytest.fixture(scope="module", autouse=True)
def same_environment_for_the_next_file() -> Iterator[None]:
    """Nor is it there for the next file, where a fixture of a whole file has set it."""
    yield from _same_environment()


def _same_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A fresh store in a folder of its own."""
    return Site(tmp_path)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A fresh folder to type commands in."""
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tree of a run that nothing happened to, with the launcher that has least to go wrong."""
    site = Site(tmp_path_factory.mktemp("undisturbed"))
    finished = site.drive("inline")
    assert finished.status == 0, finished.err
    return comparable(site)


@pytest.fixture
def real_videos() -> Iterator[Path]:
    """Real videos beside the checkout, where there are any."""
    folder = Path(os.environ.get("HPCURATE_TEST_VIDEOS", ROOT.parent / "shared" / "videos"))
    if not folder.is_dir():
        pytest.skip(f"no real videos: {folder} is missing; name a folder in HPCURATE_TEST_VIDEOS")
    return folder
