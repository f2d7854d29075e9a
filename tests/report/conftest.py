"""A run for all tests that only look."""

from __future__ import annotations

import pytest
from films import Films, film_run


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """Five films, once through: see `film_run`."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "bug").touch()
    return film_run(folder)
