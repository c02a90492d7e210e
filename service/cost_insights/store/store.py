"""The database: its connections, its transactions and its schema.

It knows SQL and nothing of requests, callers or clocks. Everything here but
`retrying` blocks; the service calls it from threads.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import alembic.command
import alembic.config
import alembic.migration
import alembic.script
import sqlalchemy as sa
import stamina

from cost_insights.errors import (
    QueryTooSlowError,
    StoreBusyError,
    StoreFullError,
    StoreLostError,
    StoreUnavailableError,
)
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialect import WRITES, Dialect
from cost_insights.store.failures import FailureLog
from cost_insights.store.pool import WatchedPool
from cost_insights.store.probe import Probe
from cost_insights.store.schema import secret
from cost_insights.telemetry import NOTHING, DatabaseMeasurements

_P = ParamSpec("_P")
_T = TypeVar("_T")


_WAIT_SECONDS = 0.5
"""The time between two checks whether the database is running."""


_NOT_TRIED_AGAIN = (StoreFullError, StoreLostError, StoreBusyError)
"""Failures after which work is not tried again at once: of a full disk and a lost file somebody has
to take care, and whoever found no free connection has waited long enough."""


class SchemaError(Exception):
    """The database does not have the schema that this program works with."""


class Store:
    """One database, shared by all threads of the process."""

    def __init__(
        self,
        database_url: str,
        *,
        connections_max: int = 8,
        retry_seconds: float = 10,
        is_damaged: bool = False,
        answer_seconds_max: float | None = None,
        measurements: DatabaseMeasurements = NOTHING.database,
    ) -> None:
        """One that `is_damaged` is only read, as far as that goes."""
        url = parse_url(database_url)
        self.url = url
        self.dialect = _dialect_of(
            url, is_damaged=is_damaged, answer_seconds_max=answer_seconds_max
        )
        self._has_given_up = False
        for_statements = max(1, connections_max // 4)
        self.transactions_max = max(1, connections_max - for_statements)
        """The greatest number of transactions at once."""

        self._engine = self.dialect.engine(url, connections_max=self.transactions_max)
        self._statement_engine = self.dialect.statement_engine(
            self._engine, connections_max=for_statements
        )
        self._look_up_engine = self.dialect.statement_engine(
            self.dialect.engine(url, connections_max=1), connections_max=1
        )
        self._reading_engine = self._engine.execution_options(
            **self.dialect.snapshot_options, postgresql_readonly=True
        )
        self.attempts = partial(
            stamina.retry_context,
            on=self._may_pass,
            attempts=None if retry_seconds else 1,
            timeout=retry_seconds or None,
            wait_initial=0.02,
            wait_max=1.0,
        )
        self._measurements = measurements
        self._failures = FailureLog(measurements)
        # The cause of each retry is in the log of failures.
        logging.getLogger("stamina").setLevel(logging.ERROR)
        self._probe = Probe(self.dialect, self._engine)
        self._inserting_connection: sa.Connection | None = None
        self._page_token_key: bytes | None = None

    def close(self) -> None:
        """Closes every connection."""
        if self._inserting_connection is not None:
            self._inserting_connection.close()
        self._engine.dispose()
        self._statement_engine.dispose()
        self._look_up_engine.dispose()
        self._probe.close()
        self._failures.close()

    def measure(self) -> None:
        """Sets the gauges of the connections."""
        engines = {"transactions": self._engine}
        if self._statement_engine is not self._engine:
            engines["statements"] = self._statement_engine
        for name, engine in engines.items():
            pool = cast("WatchedPool", engine.pool)
            self._measurements.in_use[name].set(pool.checkedout())
            self._measurements.limit[name].set(pool.size())
            self._measurements.waiting[name].set(pool.waiting)

    def ask(self) -> None:
        """Returns once the database has answered a question that costs it next to nothing,
        on a connection of its own; for one thread at a time.

        Raises StoreUnavailableError if it does not answer, which may take as long as the
        database keeps silent, or until somebody calls `stop_asking`.
        """
        with self.errors_of_the_database():
            self._probe.ask()

    def give_up(self) -> None:
        """Makes all work that waits for the database fail, now and later; from any thread."""
        self._has_given_up = True
        self.dialect.give_up()

    def stop_asking(self) -> None:
        """Makes `ask` fail where it still waits for the answer; from any thread."""
        self._probe.give_up()

    def wait(self, seconds_max: float, on_failure: Callable[[sa.exc.DBAPIError], None]) -> None:
        """Waits for a database server that is not running yet.

        Calls `on_failure` each time that it does not answer, instead of logging it, and
        raises StoreUnavailableError when the time is over, and PoolerError for a pooler that
        the service cannot work with.
        """
        until = time.monotonic() + seconds_max
        while self.dialect.starts_apart:
            try:
                with self._engine.connect():
                    return
            except sa.exc.DBAPIError as error:
                self.dialect.refuse_pooler(error)
                if (meaning := self.dialect.unavailable(error)) is None:
                    raise
                left = until - time.monotonic()
                if left <= 0:
                    raise meaning from error
                on_failure(error)
            time.sleep(min(_WAIT_SECONDS, left))

    def check_pooler(self, *, processes: int, connections_max: int) -> None:
        """Raises PoolerError if there is a pooler, such as PgBouncer, in front of the database that
        does not give each of these processes so many connections."""
        with self.errors_of_the_database():
            # What it holds itself would be missing.
            self._engine.dispose()
            self.dialect.check_pooler(self._engine, processes, connections_max)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Keeps other processes from serving the database until the block ends or the process
        does.

        Raises ServedElsewhereError where only one can and another one does, and OSError
        where the folder of a new database cannot be made.
        """
        self.dialect.create_folder(self.url)
        with self.dialect.serving(self.url):
            yield

    def upgrade(self) -> None:
        """Creates the database if need be and brings its schema up to date; processes that do
        so at once wait for each other.

        Raises SchemaError if a newer program has made the schema, and OSError where the
        database cannot be created.
        """
        config = _migrations()
        self.dialect.create(self.url)
        with self.write() as connection:
            self.dialect.begin_migration(connection)
            _refuse_unknown(
                _revision(connection), alembic.script.ScriptDirectory.from_config(config)
            )
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def check_schema(self, *, may_be_older: bool = False) -> None:
        """Raises SchemaError unless the schema is up to date, or may be brought up to date;
        creates nothing."""
        if self.dialect.is_absent(self.url):
            raise SchemaError("there is no such file; `cost-insights db upgrade` makes it")
        with self.read() as connection:
            revision = _revision(connection)
        scripts = alembic.script.ScriptDirectory.from_config(_migrations())
        if revision is None:
            raise SchemaError("it has no schema yet; `cost-insights db upgrade` makes it")
        _refuse_unknown(revision, scripts)
        if not may_be_older and revision != (head := scripts.get_current_head()):
            raise SchemaError(
                f"its schema is {revision}, and this program needs {head}; "
                "`cost-insights db upgrade` brings it up to date"
            )

    def page_token_key(self) -> bytes:
        """The key that authenticates page tokens, read once."""
        if self._page_token_key is None:
            with self.read() as connection:
                self._page_token_key = connection.execute(
                    sa.select(secret.c.value).where(secret.c.name == "page_tokens")
                ).scalar_one()
        return self._page_token_key

    @contextmanager
    def read(self, deadline: Deadline | None = None) -> Iterator[sa.Connection]:
        """A transaction that sees one snapshot of the database.

        Statements that run when the deadline is over, that of the thread if none is given, are
        stopped, and QueryTooSlowError is raised.
        """
        deadline = deadline or Deadline.of_this_thread()
        with self._transaction(self._reading_engine) as connection:
            if deadline is None:
                yield connection
                return
            with self._too_slow(deadline), self.dialect.stopping_at(deadline, connection):
                yield connection

    @contextmanager
    def look_up(self) -> Iterator[sa.Connection]:
        """A connection for short statements of one thread, which wait for none of the others'."""
        with self.errors_of_the_database(), self._look_up_engine.connect() as connection:
            yield connection

    def rows(self, statement: str, values: Mapping[str, Any], deadline: Deadline) -> Sequence[Any]:
        """The rows of a statement, written as the driver takes it, which is a transaction of
        its own.

        Raises QueryTooSlowError if the deadline, which must be watched by somebody who
        cancels it, is over first.
        """
        with self.errors_of_the_database(), self._too_slow(deadline):
            return self.dialect.rows(self._statement_engine, statement, values, deadline)

    def integrity_faults(self) -> Iterator[str]:
        """What the database itself finds to be damaged, in words; reads all of it and changes
        nothing.

        A fault that keeps the database from going on is the last one.
        """
        with self._engine.connect() as connection, connection.begin() as transaction:
            try:
                yield from self.dialect.integrity_faults(connection)
            except sa.exc.DBAPIError as error:
                if self.dialect.unavailable(error) is not None:
                    raise
                yield " ".join(str(error.orig).split())
            finally:
                transaction.rollback()

    @contextmanager
    def _too_slow(self, deadline: Deadline) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            if self.dialect.was_stopped(error):
                raise QueryTooSlowError(deadline.seconds_max) from error
            raise

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction, committed and flushed once the block ends without an error."""
        engine = self._engine.execution_options(**{WRITES: True})
        with self.dialect.writing(), self._transaction(engine) as connection:
            yield connection

    @contextmanager
    def rewrite(self) -> Iterator[sa.Connection]:
        """A transaction that sees one snapshot and writes.

        Where another one has changed the same rows meanwhile it fails. On SQLite nobody
        else writes until it ends.
        """
        engine = self._engine.execution_options(**self.dialect.snapshot_options, **{WRITES: True})
        with self.dialect.writing(), self._transaction(engine) as connection:
            yield connection

    def write_retrying(self, work: Callable[[sa.Connection], _T]) -> _T:
        """The result of work that is done in a transaction, which is committed and flushed.

        The work is tried again for a while if the database fails temporarily. That includes a
        failed commit whose result is not known: the work must find out what it has already done.
        """
        for attempt in self.attempts():
            with attempt, self.write() as connection:
                return work(connection)
        raise AssertionError("a retry neither returned nor raised")

    async def retrying(
        self, work: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """The result of work that reads.

        It is tried again for a while if the database fails temporarily; no thread is kept
        meanwhile.
        """
        async for attempt in self.attempts():
            with attempt:
                return await work(*args, **kwargs)
        raise AssertionError("a retry neither returned nor raised")

    def _may_pass(self, error: Exception) -> bool:
        """Whether a failure may pass, so that work is tried again at once."""
        return (
            isinstance(error, StoreUnavailableError)
            and not isinstance(error, _NOT_TRIED_AGAIN)
            and not self._has_given_up
        )

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        writes = engine.get_execution_options().get(WRITES, False)
        with self.errors_of_the_database(writes=writes), engine.begin() as connection:
            yield connection

    @contextmanager
    def errors_of_the_database(self, *, writes: bool = False) -> Iterator[None]:
        """Raises StoreUnavailableError for what may pass, and everything else as it is."""
        try:
            yield
        except StoreLostError as error:
            self._failures.failed(error, error)
            raise
        except sa.exc.TimeoutError as error:  # no connection became free
            raise StoreBusyError from error
        except sa.exc.DBAPIError as error:
            if (meaning := self.dialect.unavailable(error)) is None:
                raise
            raise self._unavailable(error, meaning) from error
        self._failures.succeeded(wrote=writes)

    def _unavailable(
        self, error: Exception, meaning: StoreUnavailableError
    ) -> StoreUnavailableError:
        # Work that was given up fails because of that, and says nothing about the database.
        if not self._has_given_up:
            self._failures.failed(error, meaning)
        return meaning

    @contextmanager
    def connection_with_locks(self) -> Iterator[sa.Connection]:
        """A connection for the locks of the dialect, which end with the block."""
        with self.errors_of_the_database(), self._engine.connect() as connection:
            try:
                yield connection.execution_options(**self.dialect.insert_options)
            except BaseException:
                # It may be lost.
                connection.invalidate()
                raise

    def reclaim(self, tables: Iterable[sa.Table]) -> None:
        """Frees the space of deleted rows of these tables for new ones."""
        with self.errors_of_the_database(), self._engine.connect() as connection:
            self.dialect.reclaim(connection.execution_options(isolation_level="AUTOCOMMIT"), tables)

    @contextmanager
    def inserting(self) -> Iterator[sa.Connection]:
        """The connection that inserts events, for one thread; it stays open until it fails."""
        if self._inserting_connection is None:
            engine = self._engine.execution_options(**self.dialect.insert_options)
            self._inserting_connection = engine.connect()
        connection = self._inserting_connection
        try:
            yield connection
        except BaseException:
            self._inserting_connection = None
            # Whatever state it is in: a new one costs less than a wrong guess.
            connection.invalidate()
            connection.close()
            raise


_DRIVERS: Mapping[str, str] = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    # The form of libpq, and of many hosting providers.
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


def _dialect_of(url: sa.URL, *, is_damaged: bool, answer_seconds_max: float | None) -> Dialect:
    """The dialect of the URL of a supported database."""
    # Drivers are loaded only if they are needed.
    if url.get_backend_name() == "sqlite":
        from cost_insights.store.sqlite import Sqlite  # noqa: PLC0415

        return Sqlite(is_damaged=is_damaged)
    from cost_insights.store.postgresql import Postgresql  # noqa: PLC0415

    return Postgresql(answer_seconds_max)


def _migrations() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _revision(connection: sa.Connection) -> str | None:
    """The last migration that the database has seen; raises SchemaError if there are several."""
    revisions = alembic.migration.MigrationContext.configure(connection).get_current_heads()
    if len(revisions) > 1:
        raise SchemaError(
            f"its table alembic_version names several schemas, {', '.join(sorted(revisions))}, "
            "which no version of this program makes"
        )
    return revisions[0] if revisions else None


def _refuse_unknown(revision: str | None, scripts: alembic.script.ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"a newer version of this program made its schema {revision}; the newest schema "
            f"that this version knows is {scripts.get_current_head()}"
        )
