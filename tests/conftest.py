"""Fixtures that several folders of tests use."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.support.databases import ENGINES, Databases

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from cost_insights.identity import Organization
    from cost_insights.store import Store
    from tests.support.command_line import Serve, Serving
    from tests.support.service import Caller, LoopThread, Service, StartServer

# A narrow terminal, which pytest-xdist pretends to have, would leave columns out of tables.
os.environ.pop("COLUMNS", None)
# Servers of several tests run at once, and few of them are about measurements.
os.environ.setdefault("COST_INSIGHTS_ADMIN_ADDRESS", "")

hypothesis.settings.register_profile(
    "ci",
    # A slow machine is no failure; the time is bounded by the number of examples.
    deadline=None,
    max_examples=100,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
CI = hypothesis.settings.get_profile("ci")
hypothesis.settings.register_profile("thorough", CI, max_examples=5_000)
hypothesis.settings.register_profile("fast", CI, max_examples=10)

SERVERS = {"server", "service", "start_server", "start_http", "web", "loop_thread"}
"""The fixtures of tests that talk to a running server."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the inner loop, and of the pictures in documents."""
    parser.addoption(
        "--fast",
        action="store_true",
        help="leave out slow tests, servers on PostgreSQL and most examples of property tests",
    )
    parser.addoption(
        "--screenshots",
        action="store_true",
        help="write the pictures of the dashboard in docs/images anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Chooses the number of examples before test modules read it."""
    profile = "fast" if config.getoption("--fast") else "ci"
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", profile))


def left_out(item: pytest.Item) -> str | None:
    """The reason why `--fast` leaves a test out, if it does."""
    if item.get_closest_marker("slow"):
        return "slow tests"
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        on_postgresql = item.callspec.params.get("engine") == "postgresql"
        if on_postgresql and not SERVERS.isdisjoint(item.fixturenames):
            return "tests of servers on PostgreSQL"
    return None


LEFT_OUT = pytest.StashKey[dict[str, int]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is too slow for the inner loop, counted by reason."""
    if not config.getoption("--fast"):
        return
    reasons = {item: left_out(item) for item in items}
    config.stash[LEFT_OUT] = Counter(reason for reason in reasons.values() if reason)
    config.hook.pytest_deselected(items=[item for item in items if reasons[item]])
    items[:] = [item for item in items if not reasons[item]]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Makes a worker of pytest-xdist hand over what it counted."""
    if hasattr(session.config, "workeroutput"):
        counts = session.config.stash.get(LEFT_OUT, None)
        session.config.workeroutput["left out"] = dict(counts or {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes what a worker has counted; each of them counts all tests."""
    if counts := getattr(node, "workeroutput", {}).get("left out"):
        node.config.stash[LEFT_OUT] = counts


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says what `--fast` left out, so that nobody takes it for the whole suite."""
    if config.getoption("--fast"):
        shown, usual = hypothesis.settings().max_examples, CI.max_examples
        parts = [f"{count} {reason}" for reason, count in config.stash.get(LEFT_OUT, {}).items()]
        parts.append(f"{usual - shown} of {usual} examples of each property test")
        parts.append("the tests of Rust")
        terminalreporter.write_line(f"Left out: {', '.join(parts)}. make test runs everything.")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Fresh databases of either engine."""
    databases = Databases(tmp_path_factory.mktemp("databases"), fsync=False)
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


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    """A new database on PostgreSQL with its schema, on a server with the settings of Debian."""
    from cost_insights.store import Store

    with databases.fresh("postgresql") as url:
        with closing(Store(url)) as store:
            store.upgrade()
        yield url


@pytest.fixture
def store(database_url: str) -> "Iterator[Store]":
    """A store of its own, which holds nothing yet."""
    from cost_insights.store import Store

    with closing(Store(database_url)) as store:
        store.upgrade()
        yield store


@pytest.fixture
def acme(store: "Store") -> "Organization":
    """An organization."""
    from tests.support.records import new_organization

    return new_organization(store)


@pytest.fixture
def clean_env(tmp_path: Path) -> dict[str, str]:
    """An environment without settings, but for a free port, and with an empty data folder."""
    env = {name: value for name, value in os.environ.items() if "COST_INSIGHTS" not in name}
    return env | {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
        "COLUMNS": "80",
        "NO_COLOR": "1",
        # Several tests may serve at once.
        "COST_INSIGHTS_HTTP_ADDRESS": "127.0.0.1:0",
        "COST_INSIGHTS_ADMIN_ADDRESS": "",
    }


@pytest.fixture
def serve(clean_env: dict[str, str]) -> "Serve":
    """Runs the service in a process of its own."""
    from tests.support.command_line import Serving, program

    @contextmanager
    def run(*arguments: str, stderr: int | None = None) -> "Iterator[Serving]":
        with subprocess.Popen(
            program("serve", *arguments),
            env=clean_env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                greeting = process.stdout.readline()
                assert greeting, "the service did not start"
                yield Serving(process, greeting.rstrip("\n"))
            finally:
                process.kill()

    return run


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
) -> "StartServer":
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


@pytest.fixture
def start_http(loop_thread: "LoopThread") -> "StartServer":
    """Starts a server with both doors on a given database, with given settings."""
    from tests.support.service import running

    return partial(running, loop_thread, http_address="127.0.0.1:0")


@pytest.fixture(scope="session")
def web(loop_thread: "LoopThread", engine: str, databases: Databases) -> "Iterator[Service]":
    """A server with both doors that many tests share, each as an organization of its own."""
    from tests.support.service import running

    settings = {"http_address": "127.0.0.1:0", "token_cache_ms": 0}
    with databases.fresh(engine) as url, running(loop_thread, url, **settings) as service:
        # From now on nobody is let in without a token.
        service.caller()
        yield service


# One for each module: Playwright refuses two in one process, and event loops of other tests
# beside it.
@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()
