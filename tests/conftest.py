"""Fixtures that several folders of tests use."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.databases import ENGINES, Databases

if TYPE_CHECKING:
    from tests.support.service import Caller, LoopThread, Service

hypothesis.settings.register_profile(
    "ci",
    # A slow machine is no failure; the time is bounded by the number of examples.
    deadline=None,
    max_examples=100,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "thorough", hypothesis.settings.get_profile("ci"), max_examples=5_000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Fresh databases of either engine."""
    databases = Databases(tmp_path_factory.mktemp("databases"))
    yield databases
    databases.close()


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each of the two database engines: what uses this runs once on each."""
    engine: str = request.param
    return engine


@pytest.fixture
def database_url(engine: str, databases: Databases) -> Iterator[str]:
    """A new, empty database."""
    with databases.fresh(engine) as url:
        yield url


@pytest.fixture(scope="session")
def loop_thread() -> "Iterator[LoopThread]":
    """The event loop that servers run in."""
    from tests.support.service import LoopThread

    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture
def server(loop_thread: "LoopThread", database_url: str) -> "Iterator[Service]":
    """A server of its own on a database of its own, which holds nothing yet."""
    from tests.support.service import running

    with running(loop_thread, database_url) as service:
        yield service


@pytest.fixture
def start_server(
    loop_thread: "LoopThread",
) -> "Callable[..., AbstractContextManager[Service]]":
    """Starts a server on a given database, with given settings."""
    from tests.support.service import running

    return partial(running, loop_thread)


@pytest.fixture(scope="session")
def service(loop_thread: "LoopThread", engine: str, databases: Databases) -> "Iterator[Service]":
    """A server that many tests share, each as an organization of its own."""
    from tests.support.service import running

    # Tokens are not remembered, so that a test sees at once what it has changed.
    with databases.fresh(engine) as url, running(loop_thread, url, token_cache_ms=0) as service:
        # From now on nobody is let in without a token.
        service.caller()
        yield service


@pytest.fixture
def caller(service: "Service") -> "Caller":
    """A caller of a new organization, with every scope."""
    return service.caller()
