"""SQLite, the embedded database."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import sqlalchemy as sa
import stamina

from cost_insights._native.cells import verify_rows
from cost_insights._native.commit import EVENT_COLUMNS, Commit
from cost_insights.errors import (
    StoreFullError,
    StoreLostError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialect import (
    EVENTS_AT_ONCE,
    INTEGRITY_FAULTS_MAX,
    WRITES,
    Inserted,
    NewBatch,
    ServedElsewhereError,
)
from cost_insights.store.pool import WatchedPool
from cost_insights.store.schema import batch
from cost_insights.store.sqlite_pages import rows_in_pages


def _insert_batches(connection: sa.Connection, batches: Iterable[NewBatch]) -> bool:
    """Stores the batches of one transaction; whether any of their organizations has
    pruned events."""
    # Asked along the way: another statement would cost every transaction a round trip.
    # As text, because SQLAlchemy relates no subquery to the table of an INSERT.
    events_from_us: sa.ColumnElement[int | None] = sa.literal_column(
        "(SELECT events_from_us FROM organization WHERE number = batch.organization_number)",
        sa.BigInteger,
    )
    boundaries = connection.scalars(
        sa.insert(batch).returning(events_from_us), [one._asdict() for one in batches]
    )
    return any(boundary is not None for boundary in boundaries)


_open_private = partial(os.open, mode=0o600)
"""Opens a file that only its owner can read, if it is created."""


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


class _File:
    """The file of a database, which must stay the same while it is open."""

    def __init__(self, url: sa.URL) -> None:
        self._path = _file(url).absolute()
        self._opened: tuple[int, int] | None = None

    def connect(self, *, timeout: float) -> sqlite3.Connection:
        """A connection; raises StoreLostError if the file is not the one that was opened first.

        Never creates the file: one that was deleted would come back empty.
        """
        self.check()
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode=rw",
            uri=True,
            timeout=timeout,
            check_same_thread=False,
        )
        try:
            # It may have been replaced since it was checked.
            self.check()
        except StoreLostError:
            connection.close()
            raise
        if self._opened is None:
            self._opened = self._found()
        return connection

    def check(self) -> None:
        """Raises StoreLostError if the file was deleted or replaced since it was opened: what is
        written to it then is gone when the process ends."""
        if self._opened is not None and self._found() != self._opened:
            raise StoreLostError

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


class Sqlite:
    """The embedded database: one file, one writer at a time, many readers beside it."""

    shared_by_processes = False
    starts_apart = False

    def __init__(self, *, is_damaged: bool) -> None:
        self._is_damaged = is_damaged
        self._writing = threading.Lock()

    # Every transaction sees one snapshot already.
    snapshot_options: Mapping[str, Any] = {}
    insert_options: Mapping[str, Any] = {WRITES: True}

    def engine(self, url: sa.URL, *, connections_max: int) -> sa.Engine:
        file = self._opened = _File(url)
        engine = sa.create_engine(
            url,
            poolclass=WatchedPool,
            pool_size=connections_max,
            max_overflow=0,
            # No error shows what callers have sent.
            hide_parameters=True,
            # The time to wait for a writer of another process, such as `token create`.
            creator=lambda: file.connect(timeout=30),
        )

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: sqlite3.Connection, _record: object) -> None:
            # The driver would begin transactions on its own, and only before writes.
            connection.isolation_level = None
            if self._is_damaged:
                # A malformed index in the schema would keep every table from being read.
                connection.execute("PRAGMA writable_schema = ON")
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

        @sa.event.listens_for(engine, "commit")
        def _commit(connection: sa.Connection) -> None:
            # As late as can be, because the caller is told next that it is stored.
            if connection.get_execution_options().get(WRITES, False):
                file.check()

        return engine

    def is_absent(self, url: sa.URL) -> bool:
        return not _file(url).exists()

    def create_folder(self, url: sa.URL) -> None:
        folder = _file(url).resolve().parent
        for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)

    def create(self, url: sa.URL) -> None:
        self.create_folder(url)
        # With the mode from the start, so that nobody can open it in between. SQLite gives
        # the log beside it the same mode.
        with suppress(FileExistsError):
            os.close(_open_private(_file(url).resolve(), os.O_CREAT | os.O_EXCL | os.O_RDWR))

    @contextmanager
    def serving(self, url: sa.URL) -> Iterator[None]:
        # A file of its own: a lock on the database itself would get in the way of SQLite's.
        # It stays when the process ends: another one may be about to lock it.
        file = _file(url).resolve()
        with open(file.with_name(f"{file.name}.lock"), "a+", opener=_open_private) as lock:
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
        # The file is opened for each check, so that its absence is noticed.
        file = self._opened
        return sa.create_engine(
            engine.url, poolclass=sa.pool.NullPool, creator=lambda: file.connect(timeout=1)
        )

    probe_statement = "SELECT 1 FROM organization LIMIT 1"

    def cut(self, driver: Any) -> None:
        driver.interrupt()

    def give_up(self) -> None:
        """Does nothing: there is no server to wait for."""

    def rows(
        self, engine: sa.Engine, statement: str, values: Mapping[str, Any], deadline: Deadline
    ) -> Sequence[Any]:
        with engine.connect() as connection, self.stopping_at(deadline, connection):
            return connection.exec_driver_sql(statement, dict(values)).all()

    _INSERT = (
        f"INSERT INTO event ({', '.join(EVENT_COLUMNS)}) "  # noqa: S608 (our own names)
        f"VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"
    )

    def encode_events(self, commit: Commit) -> object:
        return commit.rows()

    def begin(self, connection: sa.Connection) -> None:
        """Does nothing: SQLAlchemy has begun it."""

    def insert(
        self, connection: sa.Connection, encoded: Any, batches: Sequence[NewBatch]
    ) -> Inserted:
        connection.exec_driver_sql(self._INSERT, encoded)
        return Inserted("", _insert_batches(connection, batches))

    _EVENTS = (
        f"SELECT {', '.join(EVENT_COLUMNS)} "  # noqa: S608 (our own names)
        "FROM event WHERE organization_number = ? AND timestamp_us >= ? AND timestamp_us < ?"
    )

    def verify_events(
        self, connection: sa.Connection, organization_number: int, from_us: int, end_us: int
    ) -> Iterator[tuple[bytes, bytes | None, bytes]]:
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        # A damaged text may be none.
        with _driver_errors(self._EVENTS), _raw_texts(driver):
            rows = driver.execute(self._EVENTS, (organization_number, from_us, end_us))
            while part := rows.fetchmany(EVENTS_AT_ONCE):
                yield verify_rows(part)

    def integrity_faults(self, connection: sa.Connection) -> Iterator[str]:
        for (words,) in connection.exec_driver_sql(
            f"PRAGMA integrity_check({INTEGRITY_FAULTS_MAX})"
        ):
            if words != "ok":
                yield " ".join(words.split())

    def tolerate_damage(self, connection: sa.Connection, *, has_checksums: bool) -> None:
        """Does nothing: a connection tolerates it from the start or not at all."""

    def places(self, connection: sa.Connection, table: str) -> range:
        first, last = connection.exec_driver_sql(
            f"SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM {table}"  # noqa: S608
        ).one()
        return range(first, last + 1)

    def places_max(self, connection: sa.Connection, table: str) -> range:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return range(1, pages * _PAGE_ROWS_MAX)

    def at_places(self, table: str, places: range) -> sa.ColumnElement[bool]:
        place: sa.ColumnClause[int] = sa.literal_column(f"{table}.rowid", sa.BigInteger)
        return place.between(places.start, places.stop - 1)

    def raw_events(self, connection: sa.Connection, places: range) -> list[tuple[Any, ...]]:
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        statement = (
            f"SELECT {', '.join(EVENT_COLUMNS)} "  # noqa: S608 (our own names)
            "FROM event NOT INDEXED WHERE rowid >= ? AND rowid < ?"
        )
        with _driver_errors(statement), _raw_texts(driver):
            return driver.execute(statement, (places.start, places.stop)).fetchall()

    def stray_events(self, connection: sa.Connection) -> Iterator[tuple[Any, ...]]:
        described = connection.exec_driver_sql("PRAGMA table_info(event)").all()
        names = [one[1] for one in described]
        order = [names.index(name) for name in EVENT_COLUMNS]
        for row in rows_in_pages(_file(connection.engine.url)):
            if len(row) == len(names):
                yield tuple(row[place] for place in order)

    def insert_raw_events(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        texts = [
            tuple(one.decode() if isinstance(one, bytearray) else one for one in row)
            for row in rows
        ]
        connection.exec_driver_sql(self._INSERT, texts)

    def adopt_numbers(self, connection: sa.Connection) -> None:
        """Does nothing: the next number follows the greatest one."""

    def refuse_unfinished(self, connection: sa.Connection, transaction_id: str) -> None:
        """Does nothing: a transaction ends with its connection."""

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
    """The number of steps of SQLite's virtual machine, well below a millisecond, between two
    checks."""

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

    def refuse_pooler(self, error: sa.exc.DBAPIError) -> None:
        """Does nothing: there is nothing in between."""

    def check_pooler(self, engine: sa.Engine, processes: int, connections_max: int) -> None:
        """Does nothing: there is nothing in between."""

    def begin_migration(self, connection: sa.Connection) -> None:
        """Does nothing: the transaction holds the only write lock there is."""

    def writing(self) -> AbstractContextManager[object]:
        # The database would make a second writer sleep and look again, up to a tenth
        # of a second each time.
        return self._writing

    id_bytes = "id"

    def is_distributed(self, connection: sa.Connection) -> bool:
        return False

    def integer_parameter(self, name: str) -> str:
        return f":{name}"

    def try_lock(self, connection: sa.Connection, key: int) -> bool:
        # One process serves a file. A job that runs beside a command must do no harm: of
        # two compactions the second finds the batches gone and changes nothing.
        return True

    def reclaim(self, connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
        """Does nothing: the space is free at once."""

    def wait_for_lock(self, connection: sa.Connection, key: int) -> None:
        """Does nothing: no process ever waits for another."""

    def release_lock(self, connection: sa.Connection, key: int) -> None:
        """Does nothing: no process ever holds the lock."""

    def is_awaited(self, connection: sa.Connection, key: int) -> bool:
        return False


_PAGE_ROWS_MAX = 512
"""More than the rows that a page of 4 KiB can hold."""

_SQLITE_TRANSIENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    }
)


@contextmanager
def _raw_texts(driver: sqlite3.Connection) -> Iterator[None]:
    """Makes texts come as they are stored, as bytearrays, unlike blobs."""
    before = driver.text_factory
    driver.text_factory = bytearray
    try:
        yield
    finally:
        driver.text_factory = before


@contextmanager
def _driver_errors(statement: str) -> Iterator[None]:
    """Converts errors of the driver, which is used directly here, into those of SQLAlchemy."""
    try:
        yield
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(statement, None, error, sqlite3.Error) from error


def _file(url: sa.URL) -> Path:
    return Path(url.database or "")
