"""The database: its connections, its schema and the writing of events.

It knows SQL and nothing of requests, callers or clocks. Everything here blocks;
the service calls it from threads.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import alembic.command
import alembic.config
import sqlalchemy as sa
import stamina

from cost_insights.errors import StoreUnavailableError
from cost_insights.store.dialects import WRITES, TransactionTrace, dialect_of
from cost_insights.store.writer import EventWriter, Outcome, Prepared, Submission


class Store:
    """One database, shared by all threads of the process."""

    def __init__(
        self, database_url: str, *, connections_max: int = 8, retry_seconds: float = 10
    ) -> None:
        url = sa.make_url(database_url)
        self.url = url
        self._dialect = dialect_of(url)
        self._engine = self._dialect.engine(url, connections_max=connections_max)
        self._retry_seconds = retry_seconds
        self._writer = EventWriter(self._dialect)
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

    def upgrade(self) -> None:
        """Brings the schema up to date; processes that do so at once wait for each other."""
        config = alembic.config.Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as connection:
            self._dialect.migration_lock(connection)
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that sees one snapshot of the database."""
        return self._transaction(self._engine.execution_options(**self._dialect.read_options))

    def write(self) -> AbstractContextManager[sa.Connection]:
        """A transaction, committed and flushed once the block ends without an error."""
        return self._transaction(self._engine.execution_options(**{WRITES: True}))

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.TimeoutError as error:  # no connection became free
            raise StoreUnavailableError from error
        except sa.exc.DBAPIError as error:
            if self._dialect.is_transient(error):
                raise StoreUnavailableError from error
            raise

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
        try:
            for attempt in stamina.retry_context(
                on=self._dialect.is_transient,
                attempts=None,
                timeout=self._retry_seconds,
                wait_initial=0.02,
                wait_max=1.0,
            ):
                with attempt, self._writing() as connection:
                    if uncertain is not None and self._dialect.was_committed(
                        connection, uncertain[0]
                    ):
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
        except sa.exc.DBAPIError as error:
            if self._dialect.is_transient(error):
                raise StoreUnavailableError from error
            raise
        raise AssertionError("a retry neither returned nor raised")

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """The connection that writes; it stays open until it fails."""
        if self._writing_connection is None:
            engine = self._engine.execution_options(**{WRITES: True})
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
