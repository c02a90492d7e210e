"""Answers that take too long: given up by the service, or by the caller."""

import contextlib
import datetime
import time
from collections.abc import Iterator

import grpc
import pytest
import sqlalchemy as sa

from cost_insights.client import Client, RefusedError
from cost_insights.store import Store, schema
from cost_insights.v1 import metrics_service_pb2
from tests.support.databases import Databases
from tests.support.service import StartServer, refused

REQUEST = metrics_service_pb2.GetMetricsRequest(start_date="2026-11-01", end_date="2026-11-23")

NOT_OF_METRICS = {schema.organization, schema.access_token}


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A PostgreSQL, where readers can be kept waiting; statements of SQLite do not wait."""
    with databases.fresh("postgresql") as url:
        yield url


@contextlib.contextmanager
def readers_waiting(store: Store) -> Iterator[None]:
    """Keeps everybody from reading what metrics are made of for the time of the block."""
    tables = [table.name for table in schema.metadata.sorted_tables if table not in NOT_OF_METRICS]
    with store.write() as connection:
        connection.execute(sa.text(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"))
        yield


def waiting_count(store: Store) -> int:
    """The number of statements that wait for a lock."""
    with store.read() as connection:
        waiting = connection.execute(
            sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        )
        return int(waiting.scalar_one())


def wait_until(store: Store, count: int) -> None:
    """Returns once so many statements wait."""
    give_up = time.monotonic() + 20
    while waiting_count(store) != count:
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_the_service_gives_up(start_server: StartServer, database_url: str) -> None:
    """After the time that is set the caller is told so, and the statement has ended."""
    with start_server(database_url, compact=False, query_seconds_max=0.5) as service:
        caller = service.stranger()
        with readers_waiting(service.store):
            with refused("QUERY_TOO_SLOW") as call:
                caller.metrics.GetMetrics(REQUEST, timeout=60)
            assert waiting_count(service.store) == 0
        assert call.refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert call.refusal.message == (
            "the answer takes longer than 0.5 seconds; "
            "ask for a shorter span or for fewer customers"
        )
        assert call.refusal.facts == {"seconds_max": "0.5"}
        assert call.refusal.retry_seconds is None
        assert caller.metrics.GetMetrics(REQUEST, timeout=60).totals.costs == "0"


@pytest.mark.parametrize("way", ["deadline", "cancel"])
def test_the_caller_gives_up(start_server: StartServer, database_url: str, way: str) -> None:
    """The statement of a caller whose deadline is over, or who goes away, ends long before its
    time."""
    with start_server(database_url, compact=False, query_seconds_max=3_600) as service:
        caller = service.stranger()
        caller.metrics.GetMetrics(REQUEST, timeout=60)
        with readers_waiting(service.store):
            call = caller.metrics.GetMetrics.future(REQUEST, timeout=2 if way == "deadline" else 60)
            wait_until(service.store, 1)
            if way == "cancel":
                call.cancel()
            wait_until(service.store, 0)
            assert call.code() in {
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.CANCELLED,
            }
        assert caller.metrics.GetMetrics(REQUEST, timeout=60).totals.costs == "0"


def test_the_client_does_not_ask_again(start_server: StartServer, database_url: str) -> None:
    """An answer that takes too long is refused once, and not tried for two minutes."""
    with (
        start_server(database_url, compact=False, query_seconds_max=0.5) as service,
        readers_waiting(service.store),
    ):
        began = time.monotonic()
        with Client(service.address) as client, pytest.raises(RefusedError) as caught:
            client.metrics(start=datetime.date(2026, 11, 1), end=datetime.date(2026, 11, 2))
        assert caught.value.reason == "QUERY_TOO_SLOW"
        assert time.monotonic() - began < 20
