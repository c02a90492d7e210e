"""The few places where SQLite and PostgreSQL differ."""

import fcntl
import logging
import math
import os
import select
import socket
import sqlite3
import threading
import time
import uuid
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import quote

import psycopg
import sqlalchemy as sa
import stamina

from cost_insights._native import EVENT_COLUMNS, Group, cells_of_copy, cells_of_events
from cost_insights.errors import StoreFullError, StoreReadOnlyError, StoreUnavailableError
from cost_insights.store.deadline import Deadline
from cost_insights.store.segments import NewBatch, insert_batches

WRITES = "cost_insights_writes"
"""The execution option that marks a connection whose transaction writes."""

_EVENTS_AT_ONCE = 50_000
"""How many events are read at a time."""


class Inserted(NamedTuple):
    """What an insertion tells of its transaction."""

    transaction_id: str

    has_pruned: bool
    """Whether any organization of the batches has pruned events."""


class TransactionTrace(NamedTuple):
    """What a transaction leaves behind if it commits."""

    event_id: bytes
    """An event that it inserted."""

    transaction_id: str


class ServedElsewhereError(Exception):
    """Another process serves the database, and only one can."""

    def __init__(self, process_id: str) -> None:
        super().__init__(
            f"another process serves it already{process_id and f', {process_id}'}; only one can "
            "serve a SQLite file: stop that one, or use another file or PostgreSQL"
        )


class Dialect(Protocol):
    """What one kind of database does its own way."""

    def engine(self, url: sa.URL, *, connections_max: int) -> sa.Engine:
        """Opens nothing yet."""

    shared_by_processes: bool
    """Whether several processes can write at once."""

    starts_apart: bool
    """Whether the database is a server, which may not be up yet."""

    def is_absent(self, url: sa.URL) -> bool:
        """Whether a connection would create the database."""

    def create_folder(self, url: sa.URL) -> None:
        """Makes the folder that a new database lies in; raises OSError if it cannot."""

    def serving(self, url: sa.URL) -> AbstractContextManager[object]:
        """Keeps other processes from serving the database until the block ends or the
        process does; raises ServedElsewhereError where another one serves it."""

    snapshot_options: Mapping[str, Any]
    """What makes a transaction see one snapshot."""

    def statement_engine(self, engine: sa.Engine, *, connections_max: int) -> sa.Engine:
        """Another one for the same database, or the same one, for `rows`."""

    def probe_engine(self, engine: sa.Engine) -> sa.Engine:
        """One for the same database, with a single connection, for `probe_statement`."""

    probe_statement: str
    """What a database that works answers at once."""

    def cut(self, driver: Any) -> None:
        """Makes what a connection waits for fail, from any thread."""

    insert_options: Mapping[str, Any]
    """Those of the connection that `begin` and `insert` are for."""

    def rows(
        self, engine: sa.Engine, statement: str, values: Mapping[str, Any], deadline: Deadline
    ) -> Sequence[Any]:
        """The rows of a statement, written as the driver takes it, which is a transaction
        of its own: by the shortest way there is. It is stopped where the deadline is
        cancelled."""

    def encode_events(self, group: Group) -> object:
        """What is left in the group, as `insert` takes it."""

    def begin(self, connection: sa.Connection) -> None:
        """Begins the transaction of the connection, for statements before `insert`."""

    def insert(
        self, connection: sa.Connection, encoded: Any, batches: Sequence[NewBatch]
    ) -> Inserted:
        """Inserts encoded events and then their batches, in the transaction of the
        connection, which it begins if need be; raises `sqlalchemy.exc.IntegrityError`
        where the id of an event is stored already."""

    def cells_of_events(
        self, connection: sa.Connection, organization_number: int, from_us: int, end_us: int
    ) -> Iterator[tuple[bytes, int]]:
        """The packed cells of the events of a time, part by part, and how many events each
        part has."""

    def was_committed(self, connection: sa.Connection, trace: TransactionTrace) -> bool:
        """What came of a transaction whose connection was lost while it committed."""

    def unavailable(self, error: sa.exc.DBAPIError) -> StoreUnavailableError | None:
        """What an error is to a caller, if the same transaction may succeed at another time."""

    def stopping_at(
        self, deadline: Deadline, connection: sa.Connection
    ) -> AbstractContextManager[None]:
        """Stops the statements of the block once the deadline is over."""

    def was_stopped(self, error: sa.exc.DBAPIError) -> bool:
        """Whether a statement failed because it was stopped."""

    def migration_lock(self, connection: sa.Connection) -> None:
        """Keeps every other process from migrating until the transaction ends."""

    def writing(self) -> AbstractContextManager[object]:
        """Held by each transaction of this process that writes."""

    def try_compaction_lock(self, connection: sa.Connection) -> bool:
        """Keeps every other process from compacting as long as the connection is open;
        False where another one does."""

    def reclaim(self, connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
        """Makes the room of deleted rows usable again; the connection commits on its own."""

    def wait_for_compaction_lock(self, connection: sa.Connection) -> None:
        """The same, but waits for the other one, who sees it by `waits_for_compaction_lock`."""

    def release_compaction_lock(self, connection: sa.Connection) -> None:
        """Lets others compact at once, not only when the server sees the connection close."""

    def waits_for_compaction_lock(self, connection: sa.Connection) -> bool:
        """Whether anybody waits for whoever compacts."""


def _is_locked(error: Exception) -> bool:
    """Whether SQLite refused because another connection was faster."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


@stamina.retry(on=_is_locked, attempts=None, timeout=30, wait_initial=0.01, wait_max=0.2)
def _use_wal(connection: sqlite3.Connection) -> None:
    # The mode is the file's and stays. Whoever changes it while others open the file
    # is told at once that it is locked: SQLite's own timeout is not for this.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")


class Sqlite:
    """The embedded database: one file, one writer at a time, many readers beside it."""

    shared_by_processes = False
    starts_apart = False

    def __init__(self) -> None:
        self._writing = threading.Lock()

    # Every transaction sees one snapshot already.
    snapshot_options: Mapping[str, Any] = {}
    insert_options: Mapping[str, Any] = {WRITES: True}

    def engine(self, url: sa.URL, *, connections_max: int) -> sa.Engine:
        engine = sa.create_engine(
            url,
            poolclass=sa.pool.QueuePool,
            pool_size=connections_max,
            max_overflow=0,
            # A writer of another process, such as `token create`, is waited for.
            connect_args={"timeout": 30, "check_same_thread": False},
        )

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _record: object) -> None:
            # The driver would begin transactions on its own, and only before writes.
            connection.isolation_level = None
            _use_wal(connection)
            # An acknowledged event survives a loss of power.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA mmap_size = 1073741824")

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            # A transaction that writes takes the write lock at once: one that took
            # it halfway would fail where another has written in between.
            writes = connection.get_execution_options().get(WRITES, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def is_absent(self, url: sa.URL) -> bool:
        return not _file(url).exists()

    def create_folder(self, url: sa.URL) -> None:
        _file(url).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def serving(self, url: sa.URL) -> Iterator[None]:
        # A file of its own: a lock on the database itself would get in the way of SQLite's.
        # It stays when the process ends: another one may be about to lock it.
        file = _file(url).resolve()
        with file.with_name(f"{file.name}.lock").open("a+") as lock:
            lock.seek(0)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServedElsewhereError(lock.read().strip()) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()}\n")
            lock.flush()
            yield

    def statement_engine(self, engine: sa.Engine, *, connections_max: int) -> sa.Engine:
        return engine

    def probe_engine(self, engine: sa.Engine) -> sa.Engine:
        # Opened anew each time, so that a file that is gone is missed; it is not made.
        file = f"file:{quote(engine.url.database or '')}?mode=rw"
        return sa.create_engine(
            engine.url,
            poolclass=sa.pool.NullPool,
            creator=lambda: sqlite3.connect(file, uri=True, timeout=1, check_same_thread=False),
        )

    probe_statement = "SELECT 1 FROM organization LIMIT 1"

    def cut(self, driver: Any) -> None:
        driver.interrupt()

    def rows(
        self, engine: sa.Engine, statement: str, values: Mapping[str, Any], deadline: Deadline
    ) -> Sequence[Any]:
        with engine.connect() as connection, self.stopping_at(deadline, connection):
            return connection.exec_driver_sql(statement, dict(values)).all()

    _INSERT = (
        f"INSERT INTO event ({', '.join(EVENT_COLUMNS)}) "  # noqa: S608 (our own names)
        f"VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"
    )

    def encode_events(self, group: Group) -> object:
        return group.rows()

    def begin(self, connection: sa.Connection) -> None:
        """Does nothing: SQLAlchemy has begun it."""

    def insert(
        self, connection: sa.Connection, encoded: Any, batches: Sequence[NewBatch]
    ) -> Inserted:
        connection.exec_driver_sql(self._INSERT, encoded)
        return Inserted("", insert_batches(connection, batches))

    _NUMBERS = (
        "SELECT timestamp_us, coalesce(cost_picocents, 0), customer_number, series_number "
        "FROM event WHERE organization_number = ? AND timestamp_us >= ? AND timestamp_us < ?"
    )

    def cells_of_events(
        self, connection: sa.Connection, organization_number: int, from_us: int, end_us: int
    ) -> Iterator[tuple[bytes, int]]:
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        rows = driver.execute(self._NUMBERS, (organization_number, from_us, end_us))
        while part := rows.fetchmany(_EVENTS_AT_ONCE):
            columns = zip("qqii", zip(*part, strict=True), strict=True)
            yield cells_of_events(*(array(code, numbers) for code, numbers in columns)), len(part)

    def was_committed(self, connection: sa.Connection, trace: TransactionTrace) -> bool:
        # There is no connection to lose: a commit that fails has changed nothing.
        return False

    def unavailable(self, error: sa.exc.DBAPIError) -> StoreUnavailableError | None:
        code = getattr(error.orig, "sqlite_errorcode", 0)
        # A file of shared memory cannot grow: the one way in which this happens.
        if code == sqlite3.SQLITE_IOERR_SHMSIZE:
            return StoreFullError()
        # Extended codes carry the primary one in their lower eight bits.
        match code & 0xFF:
            case sqlite3.SQLITE_FULL:
                return StoreFullError()
            case sqlite3.SQLITE_READONLY:
                return StoreReadOnlyError()
            case primary if primary in _SQLITE_TRANSIENT:
                return StoreUnavailableError()
        return None

    _DEADLINE_STEPS = 10_000
    """How many steps of its virtual machine, well below a millisecond, are between two looks."""

    @contextmanager
    def stopping_at(self, deadline: Deadline, connection: sa.Connection) -> Iterator[None]:
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        driver.set_progress_handler(deadline.is_over, self._DEADLINE_STEPS)
        try:
            deadline.check()
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def was_stopped(self, error: sa.exc.DBAPIError) -> bool:
        return getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT

    def migration_lock(self, connection: sa.Connection) -> None:
        """Does nothing: the transaction holds the only write lock there is."""

    def writing(self) -> AbstractContextManager[object]:
        # The database would make a second writer sleep and look again, up to a tenth
        # of a second each time.
        return self._writing

    def try_compaction_lock(self, connection: sa.Connection) -> bool:
        # One process serves it. Should a command compact as well, whoever comes second
        # finds the batches gone and changes nothing.
        return True

    def reclaim(self, connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
        """Does nothing: the room is usable at once."""

    def wait_for_compaction_lock(self, connection: sa.Connection) -> None:
        """Does nothing: nobody is ever waited for."""

    def release_compaction_lock(self, connection: sa.Connection) -> None:
        """Does nothing: nobody ever holds it."""

    def waits_for_compaction_lock(self, connection: sa.Connection) -> bool:
        return False


_SQLITE_TRANSIENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    }
)


class _Array(bytes):
    """An array as PostgreSQL's binary protocol has it."""


class _ArrayDumper(psycopg.adapt.Dumper):
    """Passes an array on as it is; the statement says of what."""

    format = psycopg.pq.Format.BINARY
    oid = 0

    def dump(self, obj: _Array) -> bytes:
        return obj


_IDLE_FROM = "cost_insights_idle_from"
"""Since when a connection has been in the pool, kept with it."""

_IDLE_SECONDS_MAX = 10
"""After how long a connection may have been cut by what lies between, unseen."""


def _may_be_lost(connection: "psycopg.Connection[Any]", idle_from: float | None) -> bool:
    """Whether a connection from the pool should be tried before it is used.

    A server that closes one says so, and the word waits to be read. To ask it each
    time would cost every answer a round trip.
    """
    if idle_from is None:
        return False
    if time.monotonic() - idle_from > _IDLE_SECONDS_MAX or connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.pgconn.socket, select.POLLIN)
    return bool(waiting.poll(0))


def _replace_lost(engine: sa.Engine) -> None:
    """Has the pool of an engine open another connection in the place of one that is lost."""

    @sa.event.listens_for(engine, "checkin")
    def _checkin(
        connection: "psycopg.Connection[Any] | None", record: sa.pool.ConnectionPoolEntry
    ) -> None:
        record.info[_IDLE_FROM] = time.monotonic()
        # After a transaction that only read, SQLAlchemy would have the next one insist
        # on writing, which a server that only reads refuses with another error.
        if connection is not None and connection.read_only is not None and not connection.closed:
            connection.read_only = None

    @sa.event.listens_for(engine, "checkout")
    def _checkout(
        connection: "psycopg.Connection[Any]",
        record: sa.pool.ConnectionPoolEntry,
        proxy: object,
    ) -> None:
        if _may_be_lost(connection, record.info.get(_IDLE_FROM)):
            try:
                engine.dialect.do_ping(cast("sa.engine.interfaces.DBAPIConnection", connection))
            except psycopg.Error as error:
                raise sa.exc.InvalidatePoolError from error


class Postgresql:
    """The production database."""

    shared_by_processes = True
    starts_apart = True

    snapshot_options: Mapping[str, Any] = {"isolation_level": "REPEATABLE READ"}

    # The driver begins transactions on its own, but asks the database for it first. A
    # transaction that is begun here is committed or rolled back like any other.
    insert_options: Mapping[str, Any] = {"isolation_level": "AUTOCOMMIT"}

    _CONNECT: Mapping[str, Any] = {"application_name": "cost-insights", "connect_timeout": 10}
    _MIGRATION_LOCK = 0x636F7374_696E0001
    _COMPACTION_LOCK = 0x636F7374_696E0002
    _BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
    _COPY = f"COPY event ({', '.join(EVENT_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    _INSERT = (
        f"INSERT INTO event ({', '.join(EVENT_COLUMNS)}) "  # noqa: S608 (our own names)
        "SELECT * FROM unnest(%s::uuid[], %s::int4[], %s::int4[], %s::int4[], %s::int8[], "
        "%s::int8[], %s::int8[], %s::uuid[], %s::text[], %s::text[], %s::json[], %s::json[])"
    )
    _INSERT_BATCHES = (
        "INSERT INTO batch (organization_number, id, created_us, cells) "
        "SELECT * FROM unnest(%s::int4[], %s::uuid[], %s::int8[], %b::bytea[]) "
        "RETURNING (SELECT events_from_us FROM organization "
        "WHERE number = batch.organization_number), pg_current_xact_id()::text"
    )
    _COPY_EVENTS_MIN = 500
    """So many events are better copied than inserted."""

    def __init__(self) -> None:
        self._unlimited: dict[psycopg.Connection[Any], Deadline] = {}
        """The deadlines of transactions whose first statement is still to come."""

    def engine(self, url: sa.URL, *, connections_max: int) -> sa.Engine:
        # Where a statement of a pipeline fails, which is raised, it may warn that those
        # behind it were not executed.
        logging.getLogger("psycopg").setLevel(logging.ERROR)
        engine = sa.create_engine(
            url, pool_size=connections_max, max_overflow=0, connect_args=self._CONNECT
        )
        _replace_lost(engine)

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: psycopg.Connection[Any], _record: object) -> None:
            connection.adapters.register_dumper(_Array, _ArrayDumper)

        @sa.event.listens_for(engine, "do_execute")
        def _do_execute(
            cursor: "psycopg.Cursor[Any]",
            statement: str,
            parameters: Any,
            context: object,
        ) -> bool:
            # A time limit is set by the first statement that it is for: BEGIN, the
            # limit and the statement go together, and the database is asked once.
            deadline = self._unlimited.pop(cursor.connection, None)
            if deadline is None:
                return False
            # The limit is for each statement; 0 would mean none.
            limit_ms = max(1, math.ceil(deadline.seconds_left() * 1_000))
            with cursor.connection.pipeline():
                cursor.connection.execute(
                    f"SET LOCAL statement_timeout = {limit_ms}", prepare=False
                )
                cursor.execute(statement, parameters)
            return True

        return engine

    def is_absent(self, url: sa.URL) -> bool:
        return False

    def create_folder(self, url: sa.URL) -> None:
        """Does nothing: the server has its own."""

    def serving(self, url: sa.URL) -> AbstractContextManager[object]:
        return nullcontext()

    def rows(
        self, engine: sa.Engine, statement: str, values: Mapping[str, Any], deadline: Deadline
    ) -> Sequence[Any]:
        # SQLAlchemy would take as long as the database: it prepares for transactions,
        # for any statement and for any column.
        with _driver_errors(statement), closing(engine.raw_connection()) as connection:
            driver = cast("psycopg.Connection[Any]", connection.driver_connection)
            with self._cancelling(driver, deadline):
                return driver.execute(statement, values).fetchall()

    def statement_engine(self, engine: sa.Engine, *, connections_max: int) -> sa.Engine:
        # To make a connection one that commits on its own, and to take that back, takes
        # a good part of the time of a short statement: these are and stay so.
        statements = sa.create_engine(
            engine.url,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            pool_size=connections_max,
            max_overflow=0,
            connect_args=self._CONNECT,
        )
        _replace_lost(statements)
        return statements

    def probe_engine(self, engine: sa.Engine) -> sa.Engine:
        return sa.create_engine(
            engine.url,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            pool_size=1,
            max_overflow=0,
            connect_args={**self._CONNECT, "connect_timeout": 2},
        )

    probe_statement = "SELECT 1"

    def cut(self, driver: Any) -> None:
        # A server that does not answer would not answer a wish to cancel either.
        with (
            suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(driver.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)

    def encode_events(self, group: Group) -> object:
        if len(group) >= self._COPY_EVENTS_MIN:
            return group.copy_payload()
        return [_Array(column) for column in group.arrays()]

    def begin(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(self._BEGIN)

    def insert(
        self, connection: sa.Connection, encoded: Any, batches: Sequence[NewBatch]
    ) -> Inserted:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        columns = [list(column) for column in zip(*batches, strict=True)]
        with _driver_errors(self._INSERT):
            if isinstance(encoded, bytes):
                self._begin_unless_begun(driver)
                with driver.cursor() as cursor, cursor.copy(self._COPY) as copy:
                    copy.write(encoded)
                inserted = driver.execute(self._INSERT_BATCHES, columns)
            else:
                # They go together: the database is asked once, not three times, and each
                # time this thread would wait for the interpreter too.
                with driver.pipeline():
                    self._begin_unless_begun(driver)
                    driver.execute(self._INSERT, encoded)
                    inserted = driver.execute(self._INSERT_BATCHES, columns)
            rows = inserted.fetchall()
            return Inserted(
                rows[0][1], any(events_from_us is not None for events_from_us, _ in rows)
            )

    def _begin_unless_begun(self, driver: "psycopg.Connection[Any]") -> None:
        if driver.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            driver.execute(self._BEGIN)

    _COPY_NUMBERS = (
        "COPY (SELECT timestamp_us, coalesce(cost_picocents, 0), customer_number, series_number "
        "FROM event WHERE organization_number = %s AND timestamp_us >= %s AND timestamp_us < %s) "
        "TO STDOUT (FORMAT BINARY)"
    )

    def cells_of_events(
        self, connection: sa.Connection, organization_number: int, from_us: int, end_us: int
    ) -> Iterator[tuple[bytes, int]]:
        # A cursor would make the database and this process wait for each other.
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        span = (organization_number, from_us, end_us)
        with (
            _driver_errors(self._COPY_NUMBERS),
            driver.cursor() as cursor,
            cursor.copy(self._COPY_NUMBERS, span) as copy,
        ):
            # A block holds a whole row.
            blocks = iter(copy)
            while part := b"".join(islice(blocks, _EVENTS_AT_ONCE)):
                yield cells_of_copy(part)

    def was_committed(self, connection: sa.Connection, trace: TransactionTrace) -> bool:
        # The id of a transaction of which nothing reached the disk is given out
        # again after a crash, so its status may be another's. It only tells whether
        # to wait for a server that has not noticed yet that the connection is gone.
        # The event says who inserted it.
        try:
            with connection.begin():
                status = connection.exec_driver_sql(
                    "SELECT pg_xact_status(%s::xid8)", (trace.transaction_id,)
                ).scalar_one()
        except sa.exc.DataError:  # an id that was not given out again yet
            status = None
        with connection.begin():
            inserted_by = connection.exec_driver_sql(
                "SELECT xmin::text FROM event WHERE id = %s", (uuid.UUID(bytes=trace.event_id),)
            ).scalar_one_or_none()
        if inserted_by is not None:
            # Rows keep the lower half of it.
            return int(inserted_by) == int(trace.transaction_id) & 0xFFFFFFFF
        if status == "in progress":
            raise sa.exc.OperationalError(
                "pg_xact_status", None, psycopg.OperationalError("still in progress")
            )
        return False

    def unavailable(self, error: sa.exc.DBAPIError) -> StoreUnavailableError | None:
        if isinstance(error.orig, psycopg.errors.DiskFull):
            return StoreFullError()
        if isinstance(error.orig, psycopg.errors.ReadOnlySqlTransaction):
            return StoreReadOnlyError()
        # Operational errors: lost connections, deadlocks, serialization failures,
        # a server that starts or stops. A connection that breaks while a result is read
        # gives an error of no kind: only the missing code tells that it is not the server's.
        if (
            isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError))
            or error.connection_invalidated
            or getattr(error.orig, "sqlstate", "") is None
        ):
            return StoreUnavailableError()
        return None

    _STOP_SECONDS = 5

    @contextmanager
    def stopping_at(self, deadline: Deadline, connection: sa.Connection) -> Iterator[None]:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with self._cancelling(driver, deadline):
            self._unlimited[driver] = deadline
            try:
                yield
            finally:
                self._unlimited.pop(driver, None)

    def _cancelling(
        self, driver: "psycopg.Connection[Any]", deadline: Deadline
    ) -> AbstractContextManager[None]:
        def stop() -> None:
            # Where the server cannot be told, it is told again; a statement of a
            # transaction stops on its own too, at the time limit.
            with suppress(psycopg.Error):
                driver.cancel_safe(timeout=self._STOP_SECONDS)

        return deadline.calling(stop)

    def was_stopped(self, error: sa.exc.DBAPIError) -> bool:
        return isinstance(error.orig, psycopg.errors.QueryCanceled)

    def migration_lock(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self._MIGRATION_LOCK)))

    def writing(self) -> AbstractContextManager[object]:
        return nullcontext()

    def try_compaction_lock(self, connection: sa.Connection) -> bool:
        return bool(
            connection.scalar(sa.select(sa.func.pg_try_advisory_lock(self._COMPACTION_LOCK)))
        )

    def reclaim(self, connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
        for table in tables:
            connection.exec_driver_sql(f"VACUUM {table.name}")

    def wait_for_compaction_lock(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_lock(self._COMPACTION_LOCK)))

    def release_compaction_lock(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_unlock(self._COMPACTION_LOCK)))

    def waits_for_compaction_lock(self, connection: sa.Connection) -> bool:
        # The server shows the two halves of the number apart.
        waits = connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database "
            "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database() "
            "AND classid = %s AND objid = %s AND objsubid = 1)",
            (self._COMPACTION_LOCK >> 32, self._COMPACTION_LOCK & 0xFFFFFFFF),
        )
        return bool(waits.scalar_one())


_DRIVERS: Mapping[str, str] = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    # As libpq writes it, and many who run PostgreSQL for others.
    "postgres": "postgresql+psycopg",
}
"""The first word of the URL of a database, and what SQLAlchemy calls it."""


def parse_url(text: str) -> sa.URL:
    """The URL of a database; raises ValueError for one that is not supported."""
    url = sa.make_url(text)
    if url.drivername not in _DRIVERS:
        raise ValueError(
            f"the database {url.drivername!r} is not supported; use sqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.drivername == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("a database in memory is not supported; use sqlite:///FILE")
    return url


def dialect_of(url: sa.URL) -> Dialect:
    """The dialect of the URL of a supported database."""
    return Sqlite() if url.get_backend_name() == "sqlite" else Postgresql()


def _file(url: sa.URL) -> Path:
    return Path(url.database or "")


@contextmanager
def _driver_errors(statement: str) -> Iterator[None]:
    """Turns errors of psycopg, used here without SQLAlchemy between, into SQLAlchemy's."""
    try:
        yield
    except psycopg.Error as error:
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=error.sqlstate is None
        ) from error
