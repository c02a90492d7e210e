"""Writing rows into a database with nothing in between: the peer of the service.

The rows are the very ones that the service has stored, read back in the order
of their insertion, and go into a table of the same schema, prepared to the last
byte before the clock starts.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa

from cost_insights._native.commit import EVENT_COLUMNS
from cost_insights.store import Store
from tests.benchmarks.processes import Process
from tests.support.postgresql import libpq_url

_COLUMNS = ", ".join(EVENT_COLUMNS)
_PENDING_BATCHES = "SELECT count(*) FROM batch"


@dataclass(frozen=True)
class Content:
    """The contents of a table of events."""

    events: int
    cost_picocents: int


@dataclass(frozen=True)
class Replay:
    """The time it took to write rows."""

    events: int
    seconds: float
    cpu_seconds: float
    """The time that the database has computed; 0 where it has no processes."""

    @property
    def events_per_second(self) -> float:
        """The number of rows that were committed per second."""
        return self.events / self.seconds


class Database(Protocol):
    """A database, looked at from beside the service."""

    def content(self) -> Content:
        """The contents of the database, by SQL."""

    def commits(self) -> int:
        """The number of transactions that have written events so far, give or take a constant."""

    def pending_batches(self) -> int:
        """The number of batches that are not yet compacted."""

    def checkpoint(self) -> None:
        """Writes everything to its place, so that a measurement starts without a backlog."""

    def settle(self) -> None:
        """Does at once what the database would do some time later to read faster."""

    def bytes_per_event(self) -> float:
        """The size of a table and its indexes."""

    def service_cpu_seconds(self) -> float:
        """The time that the database has computed for the service; 0 where it has no processes."""

    def rows(self) -> Sequence[object]:
        """All rows in the order of their insertion, in the form that `replay` takes."""

    def replay(self, rows: Sequence[object], *, untimed: int, commit_events: int) -> Replay:
        """Writes the rows into the table, so many a transaction, and measures all but the first."""


class Postgresql:
    """A PostgreSQL database."""

    _HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    _TRAILER = b"\xff\xff"

    def __init__(self, url: str) -> None:
        self._url = url

    def content(self) -> Content:
        return Content(
            int(self._value("SELECT count(*) FROM event")),
            int(self._value("SELECT coalesce(sum(cost_picocents), 0) FROM event")),
        )

    def commits(self) -> int:
        # A group is inserted by one (sub)transaction, whose number is in its rows.
        return int(self._value("SELECT count(DISTINCT xmin::text) FROM event"))

    def pending_batches(self) -> int:
        return int(self._value(_PENDING_BATCHES))

    def checkpoint(self) -> None:
        with self._connection() as connection:
            connection.execute("CHECKPOINT")

    def settle(self) -> None:
        with self._connection() as connection:
            connection.execute("VACUUM ANALYZE")
        self.checkpoint()

    def bytes_per_event(self) -> float:
        return self.table_bytes("event") / self.content().events

    def table_bytes(self, table: str) -> int:
        """The size of a table with its indexes."""
        return int(self._value(f"SELECT pg_total_relation_size('{table}')"))

    def service_cpu_seconds(self) -> float:
        with self._connection() as connection:
            backends = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'cost-insights' "
                "AND datname = current_database()"
            ).fetchall()
        return sum(_cpu_seconds(pid) for (pid,) in backends)

    def rows(self) -> Sequence[bytes]:
        # One message a row, as the protocol has it; the first begins with the header.
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute("SET synchronize_seqscans = off")
            with cursor.copy(f"COPY event ({_COLUMNS}) TO STDOUT (FORMAT BINARY)") as copy:
                rows = [bytes(message) for message in copy]
        assert rows[0].startswith(self._HEADER)
        assert rows.pop() == self._TRAILER
        rows[0] = rows[0].removeprefix(self._HEADER)
        return rows

    def replay(self, rows: Sequence[object], *, untimed: int, commit_events: int) -> Replay:
        warmup = self._payloads(rows[:untimed], commit_events)
        timed = self._payloads(rows[untimed:], commit_events)
        with self._connection(autocommit=False) as connection:
            for payload in warmup:
                self._copy(connection, payload)
            self.checkpoint()
            cpu = _cpu_seconds(connection.info.backend_pid)
            start = time.perf_counter()
            for payload in timed:
                self._copy(connection, payload)
            seconds = time.perf_counter() - start
            return Replay(
                len(rows) - untimed, seconds, _cpu_seconds(connection.info.backend_pid) - cpu
            )

    def _payloads(self, rows: Sequence[object], commit_events: int) -> list[bytes]:
        return [
            b"".join((self._HEADER, *chunk, self._TRAILER))  # type: ignore[arg-type]
            for chunk in _chunks(rows, commit_events)
        ]

    def _copy(self, connection: psycopg.Connection[tuple[Any, ...]], payload: bytes) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY event ({_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.write(payload)
        connection.commit()

    def _value(self, query: str) -> str:
        with self._connection() as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return str(row[0])

    def _connection(self, *, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(libpq_url(self._url), autocommit=autocommit)


class Sqlite:
    """An SQLite database."""

    _INSERT = f"INSERT INTO event ({_COLUMNS}) VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"

    def __init__(self, url: str) -> None:
        self._path = Path(sa.make_url(url).database or "")

    def content(self) -> Content:
        # In halves: SQLite's own sum fails beyond 63 bits.
        with self._connection() as connection:
            events, high, low = connection.execute(
                "SELECT count(*), sum(cost_picocents >> 32), sum(cost_picocents & 0xFFFFFFFF) "
                "FROM event"
            ).fetchone()
        return Content(events, ((high or 0) << 32) + (low or 0))

    def commits(self) -> int:
        # The counter `iChange` of the shared index of the write-ahead log, which
        # every transaction increments: https://www.sqlite.org/walformat.html
        with Path(f"{self._path}-shm").open("rb") as index:
            index.seek(8)
            return int.from_bytes(index.read(4), "little")

    def pending_batches(self) -> int:
        with self._connection() as connection:
            (count,) = connection.execute(_PENDING_BATCHES).fetchone()
        return int(count)

    def checkpoint(self) -> None:
        with self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def settle(self) -> None:
        self.checkpoint()

    def bytes_per_event(self) -> float:
        self.checkpoint()
        return self._path.stat().st_size / self.content().events

    def service_cpu_seconds(self) -> float:
        return 0

    def rows(self) -> Sequence[tuple[object, ...]]:
        with self._connection() as connection:
            return connection.execute(f"SELECT {_COLUMNS} FROM event ORDER BY rowid").fetchall()

    def replay(self, rows: Sequence[object], *, untimed: int, commit_events: int) -> Replay:
        warmup = list(_chunks(rows[:untimed], commit_events))
        timed = list(_chunks(rows[untimed:], commit_events))
        with self._connection() as connection:
            # As in store/dialects.py.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA mmap_size = 1073741824")
            for chunk in warmup:
                self._insert(connection, chunk)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            start = time.perf_counter()
            for chunk in timed:
                self._insert(connection, chunk)
            return Replay(len(rows) - untimed, time.perf_counter() - start, 0)

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[object]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(self._INSERT, rows)  # type: ignore[arg-type]
        connection.execute("COMMIT")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            yield connection


def database(url: str) -> Database:
    """The database of a URL."""
    return Sqlite(url) if url.startswith("sqlite") else Postgresql(url)


def create_tables(url: str) -> None:
    """Makes the schema of the service in an empty database."""
    store = Store(url)
    store.upgrade()
    store.close()


def _chunks(rows: Sequence[object], size: int) -> Iterator[Sequence[object]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _cpu_seconds(pid: int) -> float:
    """0 for a process that is not of this machine."""
    try:
        return Process(pid).cpu_seconds()
    except FileNotFoundError:
        return 0
