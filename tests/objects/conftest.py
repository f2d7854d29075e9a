"""A bucket of its own for each test, on a real S3 server that this folder's tests share, behind a proxy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from object_server import VARIABLES, Bucket, Proxy, running_server

from hpcurate.objects.client import Objects

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def shared() -> Iterator[tuple[Proxy, Objects]]:
    """The server, and who asks: what makes requests is made once, as that takes a while."""
    pytest.importorskip("moto")
    with running_server() as port, Proxy(port) as proxy:
        yield proxy, Objects(pauses=(0.01,) * 8)


@pytest.fixture
def bucket(shared: tuple[Proxy, Objects], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket; this process and those below it find it as a user's would, by the environment."""
    proxy, through = shared
    proxy.behave()
    for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(name, value)
    return Bucket.new(f"bucket-{next(NUMBERS)}", proxy, through, monkeypatch)
