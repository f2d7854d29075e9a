"""A complete run over files, exported: what tests import, and damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from carrying import Place, fill


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where the run was made, complete; tests only read it."""
    place = Place(tmp_path_factory.mktemp("origin"))
    fill(place.input)
    place.command(place.input)
    return place


@pytest.fixture(scope="session")
def archive(origin: Place) -> Path:
    """All of it, as one file."""
    to = origin.folder / "run.tar.gz"
    origin.type("export", "carried", str(to), "--files", "all", "--store", str(origin.store))
    return to


@pytest.fixture(scope="session")
def exported(origin: Place) -> Path:
    """The same as a folder."""
    to = origin.folder / "exported"
    origin.type("export", "carried", str(to), "--files", "all", "--store", str(origin.store))
    return to


@pytest.fixture
def other(tmp_path: Path) -> Place:
    """Another user's folder and store."""
    return Place(tmp_path / "other")
