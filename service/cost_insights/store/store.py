"""The database: its connections, its schema and the writing of events.

It knows SQL and nothing of requests, callers or clocks. Everything here but
`retrying` blocks; the service calls it from threads.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import alembic.command
import alembic.config
import alembic.migration
import alembic.script
import sqlalchemy as sa
import stamina

from cost_insights.errors import QueryTooSlowError, StoreFullError, StoreUnavailableError
from cost_insights.store.customer_cache import CustomerCache
from cost_insights.store.deadline import Deadline
from cost_insights.store.dialects import WRITES, TransactionTrace, dialect_of, parse_url
from cost_insights.store.failures import FailureLog
from cost_insights.store.packed_cache import PackedCache
from cost_insights.store.probe import Probe
from cost_insights.store.schema import batch, segment
from cost_insights.store.segments import (
    LookUp,
    Needed,
    OvertakenError,
    Pending,
    StoredCells,
    pending,
    prepare_compaction,
    write_compaction,
)
from cost_insights.store.writer import EventWriter, Outcome, Prepared, Submission

_P = ParamSpec("_P")
_T = TypeVar("_T")


_WAIT_SECONDS = 0.5
"""How long to wait before looking again whether the database is up."""


def _may_pass(error: Exception) -> bool:
    """Whether what failed is tried again at once: not where a disk is full, which takes
    somebody to empty it, while callers who wait would only pile up."""
    return isinstance(error, StoreUnavailableError) and not isinstance(error, StoreFullError)


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
        cache_bytes_max: int = 256 * 1024 * 1024,
    ) -> None:
        url = parse_url(database_url)
        self.url = url
        self._dialect = dialect_of(url)
        for_statements = max(1, connections_max // 4)
        self.transactions_max = max(1, connections_max - for_statements)
        """How many transactions there can be at once."""

        self._engine = self._dialect.engine(url, connections_max=self.transactions_max)
        self._statement_engine = self._dialect.statement_engine(
            self._engine, connections_max=for_statements
        )
        self._reading_engine = self._engine.execution_options(
            **self._dialect.snapshot_options, postgresql_readonly=True
        )
        self._attempts = partial(
            stamina.retry_context,
            on=_may_pass,
            attempts=None if retry_seconds else 1,
            timeout=retry_seconds or None,
            wait_initial=0.02,
            wait_max=1.0,
        )
        self._failures = FailureLog()
        # What is tried again has failed, which the log says by its cause.
        logging.getLogger("stamina").setLevel(logging.ERROR)
        self._probe = Probe(self._dialect, self._engine)
        self.packed_cache = PackedCache(cache_bytes_max)
        self.customer_cache = CustomerCache()
        self._writer = EventWriter(self._dialect, self.packed_cache)
        self._writing_connection: sa.Connection | None = None

    @property
    def shared_by_processes(self) -> bool:
        """Whether several processes can write at once."""
        return self._dialect.shared_by_processes

    def close(self) -> None:
        """Closes every connection."""
        if self._writing_connection is not None:
            self._writing_connection.close()
        self._engine.dispose()
        self._statement_engine.dispose()
        self._probe.close()
        self._failures.close()

    def ask(self) -> None:
        """Returns once the database has answered a question that costs it next to nothing,
        on a connection of its own; for one thread at a time.

        Raises StoreUnavailableError if it does not answer, which may take as long as the
        database keeps silent, or until somebody calls `stop_asking`.
        """
        with self._errors_of_the_database():
            self._probe.ask()

    def stop_asking(self) -> None:
        """Makes `ask` fail where it still waits for the answer; from any thread."""
        self._probe.give_up()

    def wait(self, seconds_max: float, on_failure: Callable[[sa.exc.DBAPIError], None]) -> None:
        """Waits for a server of databases that is not up yet.

        Calls `on_failure` each time that it does not answer, instead of logging it, and
        raises StoreUnavailableError when the time is over.
        """
        until = time.monotonic() + seconds_max
        while self._dialect.starts_apart:
            try:
                with self._engine.connect():
                    return
            except sa.exc.DBAPIError as error:
                if (meaning := self._dialect.unavailable(error)) is None:
                    raise
                left = until - time.monotonic()
                if left <= 0:
                    raise meaning from error
                on_failure(error)
            time.sleep(min(_WAIT_SECONDS, left))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Keeps other processes from serving the database until the block ends or the process
        does.

        Raises ServedElsewhereError where only one can and another one does, and OSError
        where the folder of a new database cannot be made.
        """
        self._dialect.create_folder(self.url)
        with self._dialect.serving(self.url):
            yield

    def upgrade(self) -> None:
        """Creates the database if need be and brings its schema up to date; processes that do
        so at once wait for each other.

        Raises SchemaError if a newer program has made the schema, and OSError where the
        database cannot be created.
        """
        config = _migrations()
        self._dialect.create_folder(self.url)
        with self.write() as connection:
            self._dialect.migration_lock(connection)
            _refuse_unknown(
                _revision(connection), alembic.script.ScriptDirectory.from_config(config)
            )
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def check_schema(self) -> None:
        """Raises SchemaError unless the schema is up to date; creates nothing."""
        if self._dialect.is_absent(self.url):
            raise SchemaError("there is no such file; `cost-insights db upgrade` makes it")
        with self.read() as connection:
            revision = _revision(connection)
        scripts = alembic.script.ScriptDirectory.from_config(_migrations())
        if revision is None:
            raise SchemaError("it has no schema yet; `cost-insights db upgrade` makes it")
        _refuse_unknown(revision, scripts)
        if revision != (head := scripts.get_current_head()):
            raise SchemaError(
                f"its schema is {revision}, and this program needs {head}; "
                "`cost-insights db upgrade` brings it up to date"
            )

    @contextmanager
    def read(self, deadline: Deadline | None = None) -> Iterator[sa.Connection]:
        """A transaction that sees one snapshot of the database.

        Statements that run when the deadline is over are stopped, and
        QueryTooSlowError is raised.
        """
        with self._transaction(self._reading_engine) as connection:
            if deadline is None:
                yield connection
                return
            with self._too_slow(deadline), self._dialect.stopping_at(deadline, connection):
                yield connection

    def read_cells_from_memory(
        self,
        organization_number: int,
        needed: Iterable[Needed],
        *,
        customers: Sequence[int] | None = None,
        deadline: Deadline,
    ) -> StoredCells:
        """The same as `read_cells`, without a transaction: one statement tells which cells
        there are at this moment, and what they are is remembered.

        Raises NotRememberedError where it is not, and QueryTooSlowError if the deadline,
        which must be watched by somebody who cancels it, is over first.
        """
        look_up = LookUp(organization_number, tuple(needed), customers)
        engine = self._statement_engine
        statement, values = look_up.statement(engine.dialect.name)
        with self._errors_of_the_database(), self._too_slow(deadline):
            rows = self._dialect.rows(engine, statement, values, deadline)
        return look_up.found_in(rows).stored_cells(None, self.packed_cache)

    @contextmanager
    def _too_slow(self, deadline: Deadline) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            if self._dialect.was_stopped(error):
                raise QueryTooSlowError(deadline.seconds_max) from error
            raise

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction, committed and flushed once the block ends without an error."""
        engine = self._engine.execution_options(**{WRITES: True})
        with self._dialect.writing(), self._transaction(engine) as connection:
            yield connection

    @contextmanager
    def rewrite(self) -> Iterator[sa.Connection]:
        """A transaction that sees one snapshot and writes.

        Where another one has changed the same rows meanwhile it fails. On SQLite nobody
        else writes until it ends.
        """
        engine = self._engine.execution_options(**self._dialect.snapshot_options, **{WRITES: True})
        with self._dialect.writing(), self._transaction(engine) as connection:
            yield connection

    def write_retrying(self, work: Callable[[sa.Connection], _T]) -> _T:
        """What the work returns, done in a transaction that is committed and flushed.

        Tries again for a while where the database fails in passing, also where it
        fails while it commits and nobody knows what came of that: the work must find
        out what it has done already.
        """
        for attempt in self._attempts():
            with attempt, self.write() as connection:
                return work(connection)
        raise AssertionError("a retry neither returned nor raised")

    async def retrying(
        self, work: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """What the work returns, which reads.

        Tries again for a while where the database fails in passing, and keeps no thread
        while it waits.
        """
        async for attempt in self._attempts():
            with attempt:
                return await work(*args, **kwargs)
        raise AssertionError("a retry neither returned nor raised")

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        writes = engine.get_execution_options().get(WRITES, False)
        with self._errors_of_the_database(writes=writes), engine.begin() as connection:
            yield connection

    @contextmanager
    def _errors_of_the_database(self, *, writes: bool = False) -> Iterator[None]:
        try:
            yield
        except sa.exc.TimeoutError as error:  # no connection became free
            raise self._unavailable(error, StoreUnavailableError()) from error
        except sa.exc.DBAPIError as error:
            if (meaning := self._dialect.unavailable(error)) is None:
                raise
            raise self._unavailable(error, meaning) from error
        self._failures.succeeded(wrote=writes)

    def _unavailable(
        self, error: Exception, meaning: StoreUnavailableError
    ) -> StoreUnavailableError:
        self._failures.failed(error, meaning)
        return meaning

    @contextmanager
    def compaction_lock(self) -> Iterator[Callable[[], bool]]:
        """Tells, whenever asked, whether this process is the one that compacts: it is
        from the first time no other one is until the block ends.

        Raises StoreUnavailableError if the database does not answer. Whoever loses
        the connection has lost the lock, and learns it by asking.
        """
        with self._lock_connection() as connection:
            yield lambda: self._dialect.try_compaction_lock(connection)

    @contextmanager
    def pausing_compaction(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Keeps everybody from compacting until the block ends; where somebody does now,
        calls `on_wait` and waits until they give way."""
        with self._lock_connection() as connection:
            if not self._dialect.try_compaction_lock(connection):
                on_wait()
                self._dialect.wait_for_compaction_lock(connection)
            yield
            self._dialect.release_compaction_lock(connection)

    def compaction_must_pause(self) -> bool:
        """Whether somebody waits for whoever compacts to give way."""
        with self.read() as connection:
            return self._dialect.waits_for_compaction_lock(connection)

    @contextmanager
    def _lock_connection(self) -> Iterator[sa.Connection]:
        with self._errors_of_the_database(), self._engine.connect() as connection:
            try:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            finally:
                # Closed and not given back: the lock ends with the connection.
                if not connection.invalidated:
                    connection.detach()

    def pending(self) -> list[Pending]:
        """What waits to be compacted, by organization."""
        with self.read() as connection:
            return pending(connection)

    def compact(self, organization_number: int) -> int | None:
        """Merges pending batches of an organization into its segments, as many as fit
        into memory well.

        Returns how many bytes were replaced; None if there was nothing to do. A second
        compaction of the same batches changes nothing, wherever it runs.
        """
        with self.read() as connection:
            compacted = prepare_compaction(connection, organization_number)
        if compacted is None:
            return None
        try:
            with self.write() as connection:
                write_compaction(connection, compacted)
        except OvertakenError:
            return 0
        self.packed_cache.forget(
            one.bytes for one in (*compacted.batch_ids, *compacted.replaced_ids)
        )
        return compacted.replaced_bytes

    def reclaim(self) -> None:
        """Makes the room of replaced batches and segments usable again."""
        with self._errors_of_the_database(), self._engine.connect() as connection:
            self._dialect.reclaim(
                connection.execution_options(isolation_level="AUTOCOMMIT"), (batch, segment)
            )

    def prepare(self, submissions: Sequence[Submission]) -> Prepared:
        """Does for `insert_events` what needs no database; any thread may call it."""
        return self._writer.prepare(submissions)

    def insert_events(
        self, prepared: Prepared, *, now_us: int, written: Callable[[], object] = lambda: None
    ) -> list[Outcome]:
        """Stores the events of several submissions in one transaction; for one thread only.

        Calls `written` when nothing but the commit is left to do, each time it gets there.

        Tries again for a while where the database fails in passing. Where it fails
        while it commits, it is asked what came of the transaction, so that nothing is
        reported twice or not at all. A submission that names an unknown `customer_id`
        and does not ask for `accept_valid` stores nothing; the others are not affected.
        """
        uncertain: tuple[TransactionTrace, list[Outcome]] | None = None
        for attempt in self._attempts():
            with (
                attempt,
                self._errors_of_the_database(writes=True),
                self._dialect.writing(),
                self._writing() as connection,
            ):
                if uncertain is not None and self._dialect.was_committed(connection, uncertain[0]):
                    self._writer.committed()
                    return uncertain[1]
                uncertain = None
                result = self._writer.write(connection, prepared, now_us=now_us)
                if result.trace is not None:
                    uncertain = result.trace, result.outcomes
                written()
                result.transaction.commit()
                self._writer.committed()
                return result.outcomes
        raise AssertionError("a retry neither returned nor raised")

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """The connection that writes; it stays open until it fails."""
        if self._writing_connection is None:
            engine = self._engine.execution_options(**self._dialect.insert_options)
            self._writing_connection = engine.connect()
        connection = self._writing_connection
        try:
            yield connection
        except BaseException:
            self._writing_connection = None
            # Whatever state it is in: a new one costs less than a wrong guess.
            connection.invalidate()
            connection.close()
            raise


def _migrations() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _revision(connection: sa.Connection) -> str | None:
    """The last migration that the database has seen."""
    return alembic.migration.MigrationContext.configure(connection).get_current_revision()


def _refuse_unknown(revision: str | None, scripts: alembic.script.ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"its schema is {revision}, which this program does not know: a newer one has made "
            f"it; the newest that this one knows is {scripts.get_current_head()}"
        )
