"""Reads that take too long, or that nobody waits for any more, stop in the database too."""

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from cost_insights.errors import QueryTooSlowError
from cost_insights.store import Deadline, Store


def counting(to: int) -> sa.TextClause:
    """A statement that counts: a million takes some tenths of a second."""
    return sa.text(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
        f"WHERE n < {to}) SELECT max(n) FROM numbers"
    )


MINUTES = counting(1_000_000_000)

STOPPED_SECONDS_MAX = 10


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store with one connection, so that each read has that of the one before."""
    store = Store(database_url, connections_max=1)
    store.upgrade()
    yield store
    store.close()


def one(store: Store) -> int:
    """The result of a read without a deadline."""
    with store.read() as connection:
        return int(connection.execute(sa.text("SELECT 1")).scalar_one())


def test_a_statement_that_takes_too_long_is_stopped(store: Store) -> None:
    """At the deadline the statement ends, and the connection works as if nothing had been."""
    began = time.monotonic()
    with pytest.raises(QueryTooSlowError) as caught, store.read(Deadline(0.3)) as connection:
        connection.execute(MINUTES)
    assert 0.25 < time.monotonic() - began < STOPPED_SECONDS_MAX
    assert str(caught.value) == (
        "the answer takes longer than 0.3 seconds; ask for a shorter span or for fewer customers"
    )
    assert (caught.value.reason, caught.value.facts) == ("QUERY_TOO_SLOW", {"seconds_max": "0.3"})
    assert one(store) == 1


def test_a_statement_is_stopped_from_another_thread(store: Store) -> None:
    """A caller who gives up waiting stops the statement at once."""
    deadline = Deadline(600)
    threading.Timer(0.3, deadline.cancel).start()
    began = time.monotonic()
    with pytest.raises(QueryTooSlowError), store.read(deadline) as connection:
        connection.execute(MINUTES)
    assert time.monotonic() - began < STOPPED_SECONDS_MAX
    assert one(store) == 1


def test_a_statement_that_begins_late_is_stopped(store: Store) -> None:
    """A caller who gives up between two statements stops the one that comes next too."""

    def read() -> None:
        deadline = Deadline(600)
        with store.read(deadline) as connection:
            connection.execute(sa.text("SELECT 1"))
            deadline.cancel()
            time.sleep(0.1)
            connection.execute(MINUTES)

    with pytest.raises(QueryTooSlowError):
        read()
    assert one(store) == 1


def test_nothing_begins_after_the_deadline(store: Store) -> None:
    """A read that was given up while it waited for its turn does not begin."""
    over, cancelled = Deadline(0), Deadline(600)
    cancelled.cancel()
    for deadline in (over, cancelled):
        with pytest.raises(QueryTooSlowError), store.read(deadline) as connection:
            pytest.fail(f"it began: {connection}")
    assert one(store) == 1


@pytest.mark.slow
def test_a_deadline_ends_with_its_read(store: Store) -> None:
    """A read in time is left alone, and neither its time nor its end reach the next read."""
    deadline = Deadline(0.5)
    with store.read(deadline) as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
        deadline.check()
    time.sleep(0.5)
    deadline.cancel()
    with pytest.raises(QueryTooSlowError):
        deadline.check()
    with store.read() as connection:
        assert connection.execute(counting(3_000_000)).scalar_one() == 3_000_000


def test_other_errors_stay_what_they_are(store: Store) -> None:
    """A statement that is wrong fails as such, with a deadline or without."""
    with pytest.raises(sa.exc.DBAPIError, match="nowhere"), store.read(Deadline(60)) as connection:
        connection.execute(sa.text("SELECT * FROM nowhere"))
    assert one(store) == 1
