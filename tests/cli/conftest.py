"""A run that verbs report on."""

from __future__ import annotations

import pytest
from picky import picky_run
from shell import Shell


@pytest.fixture(scope="session")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Four dead letters with odd names, a drop and a good task; one run for all tests, which only look at it."""
    return picky_run(tmp_path_factory.mktemp("picky"))
