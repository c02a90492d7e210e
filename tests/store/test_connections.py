"""Connections to the database: what happens where none is free."""

import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from cost_insights.errors import StoreBusyError, StoreUnavailableError
from cost_insights.store import Store


def test_no_free_connection(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever finds no free connection is told so; that is no failure of the database."""
    pool = store._engine.pool
    assert isinstance(pool, sa.QueuePool)
    pool._timeout = 0.01
    with contextlib.ExitStack() as stack, caplog.at_level(logging.WARNING):
        for _ in range(store.transactions_max):
            stack.enter_context(store.read())
        with pytest.raises(StoreBusyError) as caught:
            store.write_retrying(lambda _: None)
        assert caught.value.reason == "OVERLOADED"
    assert "the database fails" not in caplog.text
    with store.read() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_nothing_is_compiled(store: Store) -> None:
    """The server does not compile statements, which takes longer than to run those of the service,
    on any connection that runs them."""
    for engine in (store._engine, store._statement_engine, store._look_up_engine):
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SHOW jit")) == "off"


def test_giving_up_is_no_failure_of_the_database(
    postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Work that is still to be done when the service ends fails, and nothing is logged of it."""
    with contextlib.closing(Store(postgresql_url)) as store, ThreadPoolExecutor(1) as thread:
        started = threading.Event()

        def read() -> None:
            with store.read() as connection:
                started.set()
                connection.execute(sa.text("SELECT pg_sleep(60)"))

        reading = thread.submit(read)
        assert started.wait(60)
        time.sleep(0.5)
        with caplog.at_level(logging.WARNING):
            store.give_up()
            with pytest.raises(StoreUnavailableError):
                reading.result(60)
        assert not caplog.records
