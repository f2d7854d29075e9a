"""A bucket of its own for each test, on a real S3 server that this folder's tests share, behind a proxy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from object_server import VARIABLES, Bucket, Proxy, running_server

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server_port() -> Iterator[int]:
    """Port of the server."""
    pytest.importorskip("moto")
    with running_server() as port:
        yield port


@pytest.fixture
def bucket(server_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket; this process and those below it find it as a user's would, by the environment."""
    with Proxy(server_port) as proxy:
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": proxy.url}.items():
            monkeypatch.setenv(name, value)
        yield Bucket.new(f"bucket-{next(NUMBERS)}", proxy, monkeypatch)
