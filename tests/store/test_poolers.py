"""PgBouncer between the service and PostgreSQL, in each mode that has transactions."""

import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from cost_insights.cells import pending_batches
from cost_insights.jobs import COMPACTION, leases
from cost_insights.store import Deadline, Store
from tests.support.command_line import SECONDS_MAX, program
from tests.support.databases import Databases
from tests.support.pgbouncer import MODES, PgBouncer, pgbouncer
from tests.support.processes import ServiceProcess
from tests.support.senders import check_differs, differences, sending, sums_differ
from tests.support.service import StartServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DAY = "2026-03-05"


@pytest.fixture(params=MODES)
def pooler(request: pytest.FixtureRequest, databases: Databases) -> Iterator[PgBouncer]:
    """A pooler in either mode, in front of a new database."""
    with databases.fresh("postgresql") as url, pgbouncer(url, request.param) as pooler:
        yield pooler


@pytest.fixture
def store(pooler: PgBouncer) -> Iterator[Store]:
    """A store behind the pooler, which holds nothing yet."""
    with closing(Store(pooler.url)) as store:
        store.upgrade()
        yield store


def events(first: int, count: int) -> list[dict[str, object]]:
    """Events of 0.5 cents each, with the external ids of these numbers."""
    return [
        {
            "name": "llm.inference",
            "external_customer_id": f"c{number % 7}",
            "external_id": f"k{number}",
            "timestamp": f"{DAY}T12:00:00Z",
            "cost": {"amount": "0.5", "currency": "usd"},
        }
        for number in range(first, first + count)
    ]


def test_the_main_job(pooler: PgBouncer, start_http: StartServer) -> None:
    """Both doors store events and answer questions, more often than the driver waits for before it
    prepares a statement, and from threads whose transactions change connections."""
    with (
        start_http(pooler.url) as service,
        httpx.Client(base_url=f"http://{service.server.http_address}") as compatible,
    ):
        caller = service.caller()
        compatible.headers["authorization"] = f"Bearer {caller.token}"
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                for _ in range(20):
                    caller.get_metrics(start_date=DAY, end_date=DAY, event_names=["llm.inference"])
                    compatible.get("/v1/events/", params={"limit": 5}).raise_for_status()
                    service.server.app.store.ask()
            except BaseException as error:  # noqa: BLE001 (the test fails with it)
                failures.append(error)

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        for number in range(10):
            # Few go in by INSERT, many by COPY.
            for first, count in ((2_000 * number, 20), (2_000 * number + 1_000, 600)):
                answer = caller.ingest_json(*events(first, count))
                assert (answer.inserted, answer.duplicates) == (count, 0)
            again = caller.ingest_json(*events(2_000 * number, 20))
            assert (again.inserted, again.duplicates) == (0, 20)
            sent = compatible.post(
                "/v1/events/ingest", json={"events": events(1_000_000 + 10 * number, 10)}
            )
            assert sent.json() == {"inserted": 10, "duplicates": 0}
        for asker in askers:
            asker.join()
        assert failures == []
        wait_until(lambda: pending_batches(service.store) == [])
        answer_of_all = caller.get_metrics(start_date=DAY, end_date=DAY)
        assert Decimal(answer_of_all.totals.costs) == 6_300 * Decimal("0.5")
        export = caller.export(start_date=DAY, end_date=DAY)
        assert "3150" in "".join(export)
        rows = caller.export("focus", start_date=DAY, end_date=DAY)
        assert len("".join(rows).splitlines()) > 1
    assert check_differs(pooler.url) == []


def test_kills(pooler: PgBouncer, tmp_path: Path) -> None:
    """Killing the pooler or the service under load loses nothing and doubles nothing."""
    rng = random.Random(pooler.url)
    service = ServiceProcess(pooler.url, tmp_path)
    service.start()
    try:
        service.wait_until_serving()
        with sending(service.address, 3) as senders:

            def acknowledged() -> int:
                return sum(len(one.record.acknowledged) for one in senders)

            for kill in range(4):
                before = acknowledged()
                wait_until(lambda before=before: acknowledged() > before)  # type: ignore[misc]
                time.sleep(rng.uniform(0, 0.3))
                if kill % 2:
                    service.end(signal.SIGKILL)
                    service.start()
                    service.wait_until_serving()
                else:
                    pooler.kill()
                    pooler.start()
        assert differences(pooler.url, [one.record for one in senders]) == []
        assert sums_differ(service.address, pooler.url) == []
    finally:
        service.close()


def test_one_holds_a_lease(pooler: PgBouncer, store: Store) -> None:
    """A lease is held across transactions of others, and is given to who waits for it."""
    with closing(Store(pooler.url)) as other:
        taken, told = threading.Event(), threading.Event()

        def take() -> None:
            with COMPACTION.take(other, told.set):
                taken.set()

        with COMPACTION.claim(store) as mine:
            assert mine.is_mine()
            for _ in range(3):
                with other.write() as connection:
                    connection.execute(sa.text("SELECT 1"))
                with COMPACTION.claim(other) as others:
                    assert not others.is_mine()
                assert mine.is_mine()
            assert not mine.is_awaited()
            waiting = threading.Thread(target=take)
            waiting.start()
            wait_until(mine.is_awaited)
            assert told.is_set()
            assert not taken.is_set()
        waiting.join(SECONDS_MAX)
        assert taken.is_set()


def test_a_lease_is_no_long_transaction(
    pooler: PgBouncer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder ends its transaction now and then, as whoever pauses a pooler waits for."""
    begun = sa.text(
        "SELECT xact_start FROM pg_stat_activity JOIN pg_locks USING (pid) "
        "WHERE locktype = 'advisory' AND datname = current_database()"
    )

    def transaction() -> object:
        with store.read() as connection:
            return connection.scalar(begun)

    with COMPACTION.claim(store) as mine:
        assert mine.is_mine()
        first = transaction()
        assert first is not None
        assert mine.is_mine()
        assert transaction() == first
        monkeypatch.setattr(leases, "_HELD_SECONDS_MAX", 0)
        mine._release_at = 0
        assert mine.is_mine()
        assert transaction() not in {None, first}


def test_nothing_is_compiled(store: Store) -> None:
    """Reads with a time limit are not compiled, and no setting is left behind for others."""
    with store.read(Deadline(60)) as connection:
        assert connection.scalar(sa.text("SHOW jit")) == "off"
    with store.read() as connection:
        assert connection.scalar(sa.text("SHOW jit")) == "on"


def test_statements_are_prepared_without_a_pooler_only(databases: Databases) -> None:
    """Where nothing is in between, the database parses and plans a statement once."""
    prepared = sa.text("SELECT count(*) FROM pg_prepared_statements")
    with databases.fresh("postgresql") as url, pgbouncer(url, "session") as pooler:
        counts = []
        for one in (url, pooler.url):
            with closing(Store(one)) as store, store.read() as connection:
                for _ in range(10):
                    connection.execute(sa.text("SELECT 1"))
                counts.append(connection.scalar(prepared))
    assert counts == [1, 0]


_ADVICE = (
    "raise its default_pool_size or max_client_conn, set its pool_mode to transaction, or lower "
    "COST_INSIGHTS_DATABASE_CONNECTIONS_MAX"
)

REFUSALS = {
    ("statement", 20): (
        "the pooler in front of it allows no transactions; set its pool_mode to transaction or "
        "session"
    ),
    ("session", 5): (
        "the pooler in front of it gives only 5 connections, and the service opens 14, 12 and 2 "
        f"more for each process (the server has not answered for 5.0 s); {_ADVICE}"
    ),
    ("transaction", 3): (
        "the pooler in front of it gives only 3 transactions at once, and a process needs 4 "
        f"(the server has not answered for 5.0 s); {_ADVICE}"
    ),
}


@pytest.mark.parametrize(("mode", "connections_max"), REFUSALS)
def test_what_cannot_work_is_refused(databases: Databases, mode: str, connections_max: int) -> None:
    """The service does not start behind a pooler that would leave it waiting, and says why."""
    with (
        databases.fresh("postgresql") as url,
        pgbouncer(url, mode, connections_max=connections_max) as pooler,
    ):
        options = ("--grpc-address", "127.0.0.1:0", "--http-address", "")
        done = subprocess.run(
            program("serve", "--database-url", pooler.url, *options),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
        assert done.stderr.splitlines()[-1] == (
            f"cost-insights: {pooler.url}: the database cannot be used: "
            f"{REFUSALS[mode, connections_max]}"
        )
        assert done.returncode == 3
