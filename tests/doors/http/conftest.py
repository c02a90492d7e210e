"""Servers that listen for HTTP too, and the callers that talk to them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import httpx
import pytest

from tests.support.databases import Databases
from tests.support.service import LoopThread, Service, running


@pytest.fixture
def start_http(loop_thread: LoopThread) -> Callable[..., AbstractContextManager[Service]]:
    """Starts a server with both doors on a given database, with given settings."""
    return partial(running, loop_thread, http_address="127.0.0.1:0")


@pytest.fixture(scope="session")
def web(loop_thread: LoopThread, engine: str, databases: Databases) -> Iterator[Service]:
    """A server with both doors that many tests share, each as an organization of its own."""
    settings = {"http_address": "127.0.0.1:0", "token_cache_ms": 0}
    with databases.fresh(engine) as url, running(loop_thread, url, **settings) as service:
        # From now on nobody is let in without a token.
        service.caller()
        yield service


@pytest.fixture
def stranger(web: Service) -> Iterator[httpx.Client]:
    """Someone who calls over HTTP without a token."""
    with httpx.Client(base_url=web.url, timeout=60) as client:
        yield client


@pytest.fixture
def client(web: Service) -> Iterator[httpx.Client]:
    """A caller of a new organization over HTTP, with every scope."""
    headers = {"authorization": f"Bearer {web.token(web.organization())}"}
    with httpx.Client(base_url=web.url, headers=headers, timeout=60) as client:
        yield client
