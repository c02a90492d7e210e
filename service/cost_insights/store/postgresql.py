"""PostgreSQL, the database for production."""

import logging
import math
import os
import select
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from itertools import islice
from typing import Any, TypeVar, cast
from weakref import WeakSet

import psycopg
import sqlalchemy as sa

from cost_insights._native.cells import verify_copy
from cost_insights._native.commit import EVENT_COLUMN_TYPES, EVENT_COLUMNS, Commit
from cost_insights.errors import StoreFullError, StoreReadOnlyError, StoreUnavailableError
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialect import (
    EVENTS_AT_ONCE,
    INTEGRITY_FAULTS_MAX,
    OTHER_CONNECTIONS,
    Inserted,
    NewBatch,
    PoolerError,
)
from cost_insights.store.pool import WatchedPool
from cost_insights.store.schema import metadata

_T = TypeVar("_T")


class _Array(bytes):
    """An array as PostgreSQL's binary protocol has it."""


class _ArrayDumper(psycopg.adapt.Dumper):
    """Passes an encoded array on as it is; the statement names the type of its elements."""

    format = psycopg.pq.Format.BINARY
    oid = 0

    def dump(self, obj: _Array) -> bytes:
        return obj


_POOLER_SECONDS_MAX = 5
"""The time that a pooler may take to give a connection at start."""

_TRANSACTIONS_MIN = 4
"""The number of transactions that a process must be able to have at once: of the writer, the
recorder, the compactor and its lease."""

_GRACE_SECONDS = 2
"""The time after a deadline after which a server that was told to stop counts as silent."""


class _Connection(psycopg.Connection[Any]):
    """A connection that waits for its server only so long.

    The limit of the server itself does not help where the server is frozen.
    """

    seconds_max: float | None = None
    """The time that an answer may take; any time if None."""

    deadline: Deadline | None = None
    """The time limit of what is read just now."""

    is_pooled = False
    """Whether a pooler, such as PgBouncer, is between the connection and its server: each
    transaction may be one of another server process then."""

    is_distributed = False
    """Whether the server coordinates a Citus cluster, or could: tables may be distributed at any
    time, but the extension is there first."""

    def begin_session(self) -> None:
        """Finds out what the server is and whether there is a pooler, and prepares the connection
        for the service."""
        # Of statements that look up some places in an index of millions of rows the server expects
        # much, and would compile them for a second before it runs them for one millisecond.
        # A pooler gives its clients numbers of its own in place of those of the server's processes.
        self.autocommit = True
        ((jit, self.is_distributed),) = self.execute(
            "SELECT CASE pg_backend_pid() WHEN %s THEN set_config('jit', 'off', false) END, "
            "EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')",
            (self.info.backend_pid,),
            prepare=False,
        ).fetchall()
        self.autocommit = False
        if jit is None:
            self.is_pooled = True
            # The next server process would not know what was prepared in this one.
            self.prepare_threshold = None

    def wait(
        self,
        gen: "psycopg.abc.PQGen[_T]",
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> _T:
        limits = [] if self.seconds_max is None else [self.seconds_max]
        if self.deadline is not None:
            limits.append(self.deadline.seconds_left() + _GRACE_SECONDS)
        if timeout is not None or not limits:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, min(limits))
        except psycopg.errors._WaitTimeout:
            # Whatever it answers later, nobody waits for it.
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server has not answered for {min(limits):.1f} s"
            ) from None


_IDLE_FROM = "cost_insights_idle_from"
"""The key under which a connection's record keeps the time of its return to the pool."""


_IDLE_SECONDS_MAX = 10
"""The idle time after which something in between may have cut the connection unnoticed."""


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
    """Makes the pool of an engine replace lost connections."""

    @sa.event.listens_for(engine, "checkin")
    def _checkin(
        connection: "psycopg.Connection[Any] | None", record: sa.pool.ConnectionPoolEntry
    ) -> None:
        record.info[_IDLE_FROM] = time.monotonic()
        # After a read-only transaction SQLAlchemy would explicitly make the next one read-write,
        # which a read-only server refuses with another error.
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

    # The driver begins transactions by itself, but with a round trip of its own. A transaction that
    # is begun here is committed or rolled back like any other.
    insert_options: Mapping[str, Any] = {"isolation_level": "AUTOCOMMIT"}

    _CONNECT: Mapping[str, Any] = {
        "application_name": "cost-insights",
        "connect_timeout": 5,
        # Of a network that is cut nobody says so.
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    _MIGRATION_LOCK = 0x636F7374_696E0001
    _BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
    _COPY = f"COPY event ({', '.join(EVENT_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    _INSERT = (
        f"INSERT INTO event ({', '.join(EVENT_COLUMNS)}) "  # noqa: S608 (our own names)
        f"SELECT * FROM unnest({', '.join('%s::' + kind + '[]' for kind in EVENT_COLUMN_TYPES)})"
    )
    _INSERT_BATCHES = (
        "INSERT INTO batch (organization_number, id, created_us, cells, tokens) "
        "SELECT * FROM unnest(%s::int4[], %s::uuid[], %s::int8[], %b::bytea[], %b::bytea[]) "
        "RETURNING (SELECT events_from_us FROM organization "
        "WHERE number = batch.organization_number), pg_current_xact_id()::text"
    )
    _COPY_EVENTS_MIN = 500
    """The number of events from which COPY is faster than INSERT."""

    def __init__(self, answer_seconds_max: float | None = None) -> None:
        """An answer may take `answer_seconds_max`, and any time if that is None."""
        self._answer_seconds_max = answer_seconds_max
        self._has_given_up = False
        self._open: WeakSet[_Connection] = WeakSet()
        self._unlimited: dict[psycopg.Connection[Any], Deadline] = {}
        """The deadlines of transactions whose first statement is still to come."""

    def engine(self, url: sa.URL, *, connections_max: int) -> sa.Engine:
        # Where a statement of a pipeline fails, which is raised, it may warn that those
        # behind it were not executed.
        logging.getLogger("psycopg").setLevel(logging.ERROR)
        engine = sa.create_engine(
            url,
            poolclass=WatchedPool,
            pool_size=connections_max,
            max_overflow=0,
            # No error shows what callers have sent.
            hide_parameters=True,
            connect_args=self._CONNECT,
        )
        self._connect_by_itself(engine)
        _replace_lost(engine)

        @sa.event.listens_for(engine, "handle_error")
        def _handle_error(context: sa.engine.ExceptionContext) -> Exception | None:
            if _is_duplicate_of_worker(context.original_exception):
                return sa.exc.IntegrityError(context.statement, None, context.original_exception)
            return None

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
            # The limit applies to each statement; 0 would mean no limit.
            limit_ms = max(1, math.ceil(deadline.seconds_left() * 1_000))
            with cursor.connection.pipeline():
                cursor.connection.execute(
                    f"SET LOCAL statement_timeout = {limit_ms}", prepare=False
                )
                if cast("_Connection", cursor.connection).is_pooled:
                    cursor.connection.execute("SET LOCAL jit = off")
                cursor.execute(statement, parameters)
            return True

        return engine

    def _connect_by_itself(self, engine: sa.Engine) -> None:
        @sa.event.listens_for(engine, "do_connect")
        def _do_connect(
            dialect: object, record: object, arguments: Sequence[Any], parameters: dict[str, Any]
        ) -> _Connection:
            if self._has_given_up:
                raise psycopg.OperationalError("the process does not wait for the server any more")
            connection = _Connection.connect(*arguments, **parameters)
            connection.seconds_max = self._answer_seconds_max
            self._open.add(connection)
            try:
                connection.begin_session()
            except psycopg.Error:
                connection.close()
                raise
            return connection

    def is_distributed(self, connection: sa.Connection) -> bool:
        return cast("_Connection", connection.connection.driver_connection).is_distributed

    def refuse_pooler(self, error: sa.exc.DBAPIError) -> None:
        if "statement pooling mode" in str(error.orig):
            raise PoolerError(
                "the pooler in front of it allows no transactions; set its pool_mode to "
                "transaction or session"
            ) from error

    def check_pooler(self, engine: sa.Engine, processes: int, connections_max: int) -> None:
        needed = processes * (connections_max + OTHER_CONNECTIONS)
        engine = Postgresql(_POOLER_SECONDS_MAX).statement_engine(engine, connections_max=needed)
        opened: list[_Connection] = []
        begun = 0
        with ExitStack() as stack:
            stack.callback(engine.dispose)
            try:
                with _driver_errors(self._BEGIN):
                    while len(opened) < needed:
                        connection = stack.enter_context(closing(engine.raw_connection()))
                        opened.append(cast("_Connection", connection.driver_connection))
                        if not opened[0].is_pooled:
                            return
                    for driver in opened[:_TRANSACTIONS_MIN]:
                        driver.execute(self._BEGIN)
                        begun += 1
            except sa.exc.DBAPIError as error:
                if not opened:
                    raise
                gives = (
                    f"{begun} transactions at once, and a process needs {_TRANSACTIONS_MIN}"
                    if len(opened) == needed
                    else f"{len(opened)} connections, and the service opens {needed}, "
                    f"{connections_max} and {OTHER_CONNECTIONS} more for each process"
                )
                raise PoolerError(
                    f"the pooler in front of it gives only {gives} "
                    f"({' '.join(str(error.orig).split())}); raise its default_pool_size or "
                    "max_client_conn, set its pool_mode to transaction, or lower "
                    "COST_INSIGHTS_DATABASE_CONNECTIONS_MAX"
                ) from error

    def give_up(self) -> None:
        self._has_given_up = True
        for connection in list(self._open):
            if not connection.closed:
                self.cut(connection)

    def is_absent(self, url: sa.URL) -> bool:
        return False

    def create_folder(self, url: sa.URL) -> None:
        """Does nothing: the server has its own locks."""

    def create(self, url: sa.URL) -> None:
        """Does nothing: databases are created by whoever runs the server."""

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
        # Switching a connection to autocommit and back takes a good part of the time of a short
        # statement, so these connections stay in autocommit.
        statements = sa.create_engine(
            engine.url,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            poolclass=WatchedPool,
            pool_size=connections_max,
            max_overflow=0,
            hide_parameters=True,
            connect_args=self._CONNECT,
        )
        self._connect_by_itself(statements)
        _replace_lost(statements)
        return statements

    def probe_engine(self, engine: sa.Engine) -> sa.Engine:
        return sa.create_engine(
            engine.url,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            pool_size=1,
            max_overflow=0,
            # Each question may be the first one of a connection that a pooler gives.
            connect_args={**self._CONNECT, "connect_timeout": 2, "prepare_threshold": None},
        )

    probe_statement = "SELECT 1"

    def cut(self, driver: Any) -> None:
        # A server that does not answer would not answer a request to cancel either.
        with (
            suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(driver.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)

    def encode_events(self, commit: Commit) -> object:
        if len(commit) >= self._COPY_EVENTS_MIN:
            return commit.copy_payload()
        return [_Array(column) for column in commit.arrays()]

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

    _COPY_EVENTS = (
        f"COPY (SELECT {', '.join(EVENT_COLUMNS)} "  # noqa: S608 (our own names)
        "FROM event WHERE organization_number = %s AND timestamp_us >= %s AND timestamp_us < %s) "
        "TO STDOUT (FORMAT BINARY)"
    )

    def verify_events(
        self, connection: sa.Connection, organization_number: int, from_us: int, end_us: int
    ) -> Iterator[tuple[bytes, bytes | None, bytes]]:
        # With a cursor, the database and this process would wait for each other.
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        span = (organization_number, from_us, end_us)
        with (
            _driver_errors(self._COPY_EVENTS),
            driver.cursor() as cursor,
            cursor.copy(self._COPY_EVENTS, span) as copy,
        ):
            # Each block holds one whole row.
            blocks = iter(copy)
            while part := b"".join(islice(blocks, EVENTS_AT_ONCE)):
                yield verify_copy(part)

    def integrity_faults(self, connection: sa.Connection) -> Iterator[str]:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with _driver_errors("verify"):
            for scan in ("indexscan", "indexonlyscan", "bitmapscan"):
                driver.execute(f"SET LOCAL enable_{scan} = off")
            for table in metadata.sorted_tables:
                # Reading every page verifies its checksum, if the cluster has these.
                read = f"SELECT '' FROM {table.name} HAVING count(*) < 0"  # noqa: S608
                yield from _faults(driver, read, table.name)
            if not self._loads_amcheck(driver):
                return
            for table in metadata.sorted_tables:
                yield from _faults(driver, _VERIFY_TABLE, table.name)
                indexes = driver.execute(
                    "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
                    "WHERE indrelid = %s::regclass",
                    (table.name,),
                )
                for (index,) in indexes.fetchall():
                    yield from _faults(driver, _VERIFY_INDEX, index)

    def _loads_amcheck(self, driver: "psycopg.Connection[Any]") -> bool:
        """Whether the extension that verifies tables and indexes may be used; if it was not
        created before, it goes with the transaction."""
        try:
            with driver.transaction():
                driver.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
                # Without the privilege its functions are refused.
                driver.execute("SELECT bt_index_check(indexrelid) FROM pg_index LIMIT 0")
        except psycopg.Error:
            return False
        return True

    def tolerate_damage(self, connection: sa.Connection, *, has_checksums: bool) -> None:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        if has_checksums:
            # Only a superuser may.
            with suppress(psycopg.errors.InsufficientPrivilege), driver.transaction():
                driver.execute("SET LOCAL ignore_checksum_failure = on")

    def places_max(self, connection: sa.Connection, table: str) -> range:
        return self.places(connection, table)

    def places(self, connection: sa.Connection, table: str) -> range:
        pages = connection.exec_driver_sql(
            "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int", (table,)
        ).scalar_one()
        return range(pages * _PAGE_PLACES)

    def at_places(self, table: str, places: range) -> sa.ColumnElement[bool]:
        place: sa.ColumnClause[str] = sa.literal_column(f"{table}.ctid", sa.Text)
        return (place >= sa.literal_column(f"'{_tid(places.start)}'::tid")) & (
            place < sa.literal_column(f"'{_tid(places.stop)}'::tid")
        )

    def raw_events(self, connection: sa.Connection, places: range) -> list[tuple[Any, ...]]:
        forms = {"uuid": "uuid_send({})", "json": "{}::text"}
        columns = ", ".join(
            forms.get(kind, "{}").format(name)
            for name, kind in zip(EVENT_COLUMNS, EVENT_COLUMN_TYPES, strict=True)
        )
        rows = connection.exec_driver_sql(
            f"SELECT {columns} FROM event WHERE ctid >= %s::tid AND ctid < %s::tid",  # noqa: S608
            (_tid(places.start), _tid(places.stop)),
        )
        return [tuple(row) for row in rows]

    def stray_events(self, connection: sa.Connection) -> Iterator[tuple[Any, ...]]:
        # Every page can be reached by its number.
        return iter(())

    def insert_raw_events(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        statement = f"COPY event ({', '.join(EVENT_COLUMNS)}) FROM STDIN"
        with (
            _driver_errors(statement),
            driver.cursor() as cursor,
            cursor.copy(statement.encode()) as copy,
        ):
            for row in rows:
                copy.write_row([_as_text(value) for value in row])

    def adopt_numbers(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            "SELECT setval(pg_get_serial_sequence('organization', 'number'), max(number)) "
            "FROM organization"
        )

    def refuse_unfinished(self, connection: sa.Connection, transaction_id: str) -> None:
        # The server may not have noticed yet that the connection is gone. After a crash the id may
        # be that of another transaction, so only this is asked, not what came of it.
        try:
            with connection.begin():
                status = connection.exec_driver_sql(
                    "SELECT pg_xact_status(%s::xid8)", (transaction_id,)
                ).scalar_one()
        except sa.exc.DataError:  # an id that was not given out again yet
            return
        if status == "in progress":
            raise sa.exc.OperationalError(
                "pg_xact_status", None, psycopg.OperationalError("still in progress")
            )

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

    _STOP_SECONDS = 2

    @contextmanager
    def stopping_at(self, deadline: Deadline, connection: sa.Connection) -> Iterator[None]:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with self._cancelling(driver, deadline):
            self._unlimited[driver] = deadline
            try:
                yield
            finally:
                self._unlimited.pop(driver, None)

    @contextmanager
    def _cancelling(self, driver: "psycopg.Connection[Any]", deadline: Deadline) -> Iterator[None]:
        def stop() -> None:
            # Where the server cannot be told, it is told again; a statement of a
            # transaction stops on its own too, at the time limit.
            with suppress(psycopg.Error):
                driver.cancel_safe(timeout=self._STOP_SECONDS)

        connection = cast("_Connection", driver)
        with deadline.calling(stop):
            connection.deadline = deadline
            try:
                yield
            finally:
                connection.deadline = None

    def was_stopped(self, error: sa.exc.DBAPIError) -> bool:
        return isinstance(error.orig, psycopg.errors.QueryCanceled)

    def begin_migration(self, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self._MIGRATION_LOCK)))
        # Citus refuses to change a table after it has read or written its shards in parallel.
        connection.exec_driver_sql(
            "SELECT set_config('citus.multi_shard_modify_mode', 'sequential', true) "
            "FROM pg_extension WHERE extname = 'citus'"
        )

    def writing(self) -> AbstractContextManager[object]:
        return nullcontext()

    id_bytes = "uuid_send(id)"

    def integer_parameter(self, name: str) -> str:
        return f"CAST(%({name})s AS INTEGER)"

    # A lock ends with a transaction, not with a session, of which there is none behind a pooler.
    # A transaction that has a lock and nothing else keeps no snapshot, so that it is in nobody's
    # way, however long it takes.
    _LOCK = (
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 0; "
        "SELECT {function}({key})"
    )

    def try_lock(self, connection: sa.Connection, key: int) -> bool:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with _driver_errors("pg_try_advisory_xact_lock"):
            if driver.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS:
                driver.execute("SELECT 1")
                return True
            is_mine = self._lock(driver, "pg_try_advisory_xact_lock", key)
            if not is_mine:
                driver.rollback()
            return is_mine

    def _lock(self, driver: "psycopg.Connection[Any]", function: str, key: int) -> bool:
        # Three statements at once: a process that waits for the lease asks twice a second.
        cursor = driver.execute(self._LOCK.format(function=function, key=key), prepare=False)
        while cursor.nextset():
            pass
        ((taken,),) = cursor.fetchall()
        return bool(taken)

    def reclaim(self, connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
        for table in tables:
            connection.exec_driver_sql(f"VACUUM {table.name}")

    def wait_for_lock(self, connection: sa.Connection, key: int) -> None:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with _driver_errors("pg_advisory_xact_lock"):
            self._lock(driver, "pg_advisory_xact_lock", key)

    def release_lock(self, connection: sa.Connection, key: int) -> None:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with _driver_errors("ROLLBACK"):
            driver.rollback()

    def is_awaited(self, connection: sa.Connection, key: int) -> bool:
        # The server shows the two halves of the number separately.
        waits = connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database "
            "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database() "
            "AND classid = %s AND objid = %s AND objsubid = 1)",
            (key >> 32, key & 0xFFFFFFFF),
        )
        return bool(waits.scalar_one())


_PAGE_PLACES = 512
"""More than the rows that a page of 8 KiB can hold, which are 291."""


def _tid(place: int) -> str:
    """The place of a row as PostgreSQL writes it; its items count from 1."""
    page, item = divmod(place, _PAGE_PLACES)
    return f"({page},{item})"


def _as_text(value: Any) -> Any:
    """A value of an event for COPY, which takes UUIDs and JSON as text."""
    if isinstance(value, bytearray):
        return value.decode()
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value


_VERIFY_TABLE = (
    "SELECT format('block %%s, item %%s: %%s', blkno, offnum, msg) "  # noqa: S608
    f"FROM verify_heapam(%(relation)s::regclass) LIMIT {INTEGRITY_FAULTS_MAX}"
)
_VERIFY_INDEX = "SELECT bt_index_check(%(relation)s::regclass, true)"
"""What it finds is an error."""


def _faults(driver: "psycopg.Connection[Any]", statement: str, relation: str) -> Iterator[str]:
    """The faults of a table or index: what a statement returns, and the error that it ends with."""
    try:
        with driver.transaction():
            rows = driver.execute(statement, {"relation": relation}).fetchall()
        yield from (f"{relation}: {row[0]}" for row in rows if row[0])
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        yield f"{relation}: {' '.join(str(error).split())}"


def _is_duplicate_of_worker(error: BaseException) -> bool:
    """Whether an error is that of a key that is stored already, as a worker of Citus reports it for
    COPY and INSERT … SELECT: without the code of such an error, and with the name of a shard."""
    return isinstance(error, psycopg.errors.InternalError_) and (
        "duplicate key value violates unique constraint" in str(error)
    )


@contextmanager
def _driver_errors(statement: str) -> Iterator[None]:
    """Converts errors of psycopg, which is used directly here, into those of SQLAlchemy."""
    try:
        yield
    except psycopg.Error as error:
        if _is_duplicate_of_worker(error):
            raise sa.exc.IntegrityError(statement, None, error) from error
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=error.sqlstate is None
        ) from error


@contextmanager
def pipeline(connection: sa.Connection) -> Iterator[None]:
    """Sends the statements of the block without waiting for the result of each."""
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    with _driver_errors("a pipeline"), driver.pipeline():
        yield
