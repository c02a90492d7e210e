"""Connections to PostgreSQL that are lost while a transaction commits."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from cost_insights.cells import CellCache, CellReader, StoredCells, compact
from cost_insights.errors import StoreUnavailableError
from cost_insights.events import EventWriter
from cost_insights.events.insertion import EventInsertion, TransactionTrace
from cost_insights.identity import Organization
from cost_insights.store import Deadline, Store
from cost_insights.store.schema import compaction, customer, event, series
from tests.support.databases import Databases
from tests.support.postgresql import libpq_url
from tests.support.service import new_event
from tests.support.submissions import NOW_US, counts, submission


class Line:
    """A way to a database that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Refuses new connections."""
        self._listener.close()

    def cut_at_the_next_answer(self) -> None:
        """The database gets what is sent next, but nobody its answer."""
        self._cut.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for pump in (self._send, self._answer):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
        server.close()

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self._cut.is_set():
                    self._cut.clear()
                    break
                client.sendall(data)
        # `close` alone would not wake the thread that reads.
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()


@pytest.fixture
def line(databases: Databases) -> Iterator[tuple[Line, str]]:
    """A line to a new database, and its URL by way of the line."""
    with databases.fresh("postgresql") as url:
        target = sa.make_url(url)
        line = Line(target.host or "127.0.0.1", target.port or 5432)
        through = target.set(host="127.0.0.1", port=line.port)
        yield line, through.render_as_string(hide_password=False)
        line.close()


@pytest.fixture
def store(line: tuple[Line, str]) -> Iterator[Store]:
    """A store at the end of the line."""
    store = Store(line[1])
    store.upgrade()
    yield store
    store.close()


@pytest.mark.parametrize("again", [0, 1], ids=["all new", "one stored already"])
def test_a_commit_whose_answer_is_lost(
    line: tuple[Line, str], store: Store, acme: Organization, again: int
) -> None:
    """Events are reported as inserted by the transaction that inserted them, also where
    nobody heard that it was committed."""
    events = [new_event(external_id=f"k{n}", external_customer_id=f"c{n}") for n in range(3)]
    writer = EventWriter(store)
    writer.write(writer.prepare([submission(acme, *events[:again])]), now_us=NOW_US)
    calls: list[None] = []

    def written() -> None:
        calls.append(None)
        line[0].cut_at_the_next_answer()

    prepared = writer.prepare([submission(acme, *events)])
    (outcome,) = writer.write(prepared, now_us=NOW_US, written=written)
    assert counts(outcome) == (3 - again, again, 0)
    assert len(calls) == 1
    assert stored(store) == 3
    # What it remembers of the transaction is what was committed.
    (outcome,) = writer.write(writer.prepare([submission(acme, *events)]), now_us=NOW_US)
    assert counts(outcome) == (0, 3, 0)


def test_a_commit_that_nobody_can_see_any_more(
    line: tuple[Line, str], store: Store, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is known although the batch is compacted meanwhile, and although the rows of
    events do not tell who inserted them."""
    events = [new_event(external_id=f"k{n}", external_customer_id=f"c{n}") for n in range(3)]
    writer = EventWriter(store)
    was_committed = EventInsertion.was_committed
    asked: list[bool] = []

    def later(self: EventInsertion, connection: sa.Connection, trace: TransactionTrace) -> bool:
        assert compact(store, [acme.number])
        with store.write() as other:
            other.execute(sa.update(event).values(checksum=event.c.checksum))
        asked.append(was_committed(self, connection, trace))
        return asked[-1]

    monkeypatch.setattr(EventInsertion, "was_committed", later)
    prepared = writer.prepare([submission(acme, *events)])
    (outcome,) = writer.write(prepared, now_us=NOW_US, written=line[0].cut_at_the_next_answer)
    assert counts(outcome) == (3, 0, 0)
    assert asked == [True]
    assert stored(store) == 3


def test_commits_are_forgotten(store: Store, acme: Organization) -> None:
    """Compactions are kept for some minutes, whatever the clock has said meanwhile."""
    writer = EventWriter(store)

    def compact_one(number: int) -> list[int]:
        one = new_event(external_id=f"k{number}", external_customer_id="c")
        writer.write(writer.prepare([submission(acme, one)]), now_us=NOW_US)
        assert compact(store, [acme.number])
        with store.read() as connection:
            rows = connection.execute(sa.select(compaction.c.created_us, compaction.c.commits))
            return [created_us for created_us, commits in rows if len(commits) == 8]

    for hours in (-1, 1):
        assert len(compact_one(hours)) == 1
        assert len(compact_one(2 * hours)) == 2
        with store.write() as connection:
            moved = compaction.c.created_us + hours * 3_600_000_000
            connection.execute(sa.update(compaction).values(created_us=moved))
    assert len(compact_one(3)) == 1


def test_a_connection_lost_before_the_commit(store: Store, acme: Organization) -> None:
    """A transaction that is lost is written again, with numbers that are given anew."""
    events = [new_event(external_id=f"k{n}", external_customer_id=f"c{n}") for n in range(3)]
    calls: list[None] = []

    def written() -> None:
        calls.append(None)
        if len(calls) == 1:
            with store.read() as connection:
                connection.execute(
                    sa.text(
                        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )

    writer = EventWriter(store)
    prepared = writer.prepare([submission(acme, *events)])
    (outcome,) = writer.write(prepared, now_us=NOW_US, written=written)
    assert counts(outcome) == (3, 0, 0)
    assert len(calls) == 2
    assert stored(store) == 3


def test_a_connection_lost_in_the_pool(databases: Databases) -> None:
    """A connection that the server closed while nobody used it is not used again."""
    with (
        databases.fresh("postgresql") as url,
        contextlib.closing(Store(url)) as store,
        psycopg.connect(libpq_url(url), autocommit=True) as other,
    ):
        pids = set()
        for number in range(3):
            with store.read(Deadline(60)) as connection:
                pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            pids.add(pid)
            assert len(pids) == number + 1
            other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


def test_a_statement_whose_answer_is_lost(
    line: tuple[Line, str], store: Store, acme: Organization
) -> None:
    """The caller is told to ask again, and the lost connection is not used again."""

    reader = CellReader(store, CellCache(0))

    def read() -> StoredCells | None:
        return reader.cached_cells(acme.number, [], deadline=Deadline(60))

    nothing = StoredCells(0, 0, [], [])
    assert read() == nothing
    for _ in range(3):
        line[0].cut_at_the_next_answer()
        with pytest.raises(StoreUnavailableError):
            read()
        assert read() == nothing


def test_a_database_that_cannot_be_reached(databases: Databases) -> None:
    """A connection for a statement on its own that cannot be opened is said to be unavailable."""
    with databases.fresh("postgresql") as url:
        nowhere = sa.make_url(url).set(port=1).render_as_string(hide_password=False)
    with contextlib.closing(Store(nowhere)) as store, pytest.raises(StoreUnavailableError):
        CellReader(store, CellCache(0)).cached_cells(1, [], deadline=Deadline(60))


def stored(store: Store) -> int:
    """The number of events with a customer and a series."""
    same_customer = sa.and_(
        customer.c.organization_number == event.c.organization_number,
        customer.c.number == event.c.customer_number,
    )
    same_series = sa.and_(
        series.c.organization_number == event.c.organization_number,
        series.c.number == event.c.series_number,
    )
    joined = event.join(customer, same_customer).join(series, same_series)
    with store.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(joined)).scalar_one()
