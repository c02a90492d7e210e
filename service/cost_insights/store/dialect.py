"""The operations that differ between SQLite and PostgreSQL."""

import enum
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from cost_insights._native.commit import Commit
from cost_insights.errors import StoreUnavailableError
from cost_insights.store.deadline import Deadline


class NewBatch(NamedTuple):
    """The cells of the events that one transaction stores for one organization."""

    organization_number: int
    id: uuid.UUID
    created_us: int
    cells: bytes
    tokens: bytes | None
    """The cells of tokens; None where the events have none."""


WRITES = "cost_insights_writes"
"""The execution option that marks a connection whose transaction writes."""


OTHER_CONNECTIONS = 2
"""The connections of a process besides those that its settings limit: one looks up tokens, and one
checks whether the database answers."""

INTEGRITY_FAULTS_MAX = 20
"""The number of faults after which the search for more ends."""

EVENTS_AT_ONCE = 50_000
"""The number of events that are read at a time."""


class Verdict(enum.IntEnum):
    """The meaning of the checksum of a stored event, as native gives it."""

    DAMAGED = 0
    """The row is not what was stored."""
    UNVERIFIED = 1
    """The row has no checksum: an earlier version stored it."""
    VERIFIED = 2


class Inserted(NamedTuple):
    """The result of an insertion."""

    transaction_id: str
    """The id that the database gave the transaction, for `refuse_unfinished`."""

    has_pruned: bool
    """Whether any organization of the batches has pruned events."""


class ServedElsewhereError(Exception):
    """Another process already serves the database, and only one can."""

    def __init__(self, process_id: str) -> None:
        super().__init__(
            f"another process serves it already{process_id and f', {process_id}'}; only one can "
            "serve a SQLite file: stop that one, or use another file or PostgreSQL"
        )


class PoolerError(Exception):
    """A pooler in front of the database does not give the service what it needs."""


class Dialect(Protocol):
    """The operations of one kind of database."""

    def engine(self, url: sa.URL, *, connections_max: int) -> sa.Engine:
        """Opens no connection yet."""

    shared_by_processes: bool
    """Whether several processes can write at once."""

    starts_apart: bool
    """Whether the database is a server, which may not be running yet."""

    def is_absent(self, url: sa.URL) -> bool:
        """Whether a connection would create the database."""

    def create_folder(self, url: sa.URL) -> None:
        """Creates the folder of a new database, which nobody else can enter; raises OSError if it
        cannot."""

    def create(self, url: sa.URL) -> None:
        """Creates an empty database where there is none, and its folder, which nobody else can
        read; raises OSError if it cannot."""

    def serving(self, url: sa.URL) -> AbstractContextManager[object]:
        """Keeps other processes from serving the database until the block ends or the
        process does; raises ServedElsewhereError where another one serves it."""

    snapshot_options: Mapping[str, Any]
    """The execution options with which a transaction sees one snapshot."""

    def statement_engine(self, engine: sa.Engine, *, connections_max: int) -> sa.Engine:
        """The engine for `rows`, on the same database; it may be this very engine."""

    def probe_engine(self, engine: sa.Engine) -> sa.Engine:
        """An engine with a single connection to the same database, for `probe_statement`."""

    probe_statement: str
    """A statement that a working database answers at once."""

    def cut(self, driver: Any) -> None:
        """Makes the statement that a connection waits for fail, from any thread."""

    def give_up(self) -> None:
        """Makes every statement that waits for the server fail, and every later one; from any
        thread."""

    def is_distributed(self, connection: sa.Connection) -> bool:
        """Whether events may be spread over the workers of a cluster."""

    insert_options: Mapping[str, Any]
    """The execution options of a connection for `begin` and `insert`."""

    def rows(
        self, engine: sa.Engine, statement: str, values: Mapping[str, Any], deadline: Deadline
    ) -> Sequence[Any]:
        """The rows of a statement, written as the driver takes it, which is a transaction
        of its own: by the shortest way there is. It is stopped where the deadline is
        cancelled."""

    def encode_events(self, commit: Commit) -> object:
        """The remaining events of the commit, as `insert` takes them."""

    def begin(self, connection: sa.Connection) -> None:
        """Begins the transaction of the connection, for statements before `insert`."""

    def insert(
        self, connection: sa.Connection, encoded: Any, batches: Sequence[NewBatch]
    ) -> Inserted:
        """Inserts encoded events and then their batches, in the transaction of the
        connection, which it begins if need be; raises `sqlalchemy.exc.IntegrityError`
        where the id of an event is stored already."""

    def verify_events(
        self, connection: sa.Connection, organization_number: int, from_us: int, end_us: int
    ) -> Iterator[tuple[bytes, bytes | None, bytes]]:
        """The packed cells of the events of a time that are not damaged, part by part, those of
        their tokens, if they have any, and the `Verdict` on each event, a byte each."""

    def integrity_faults(self, connection: sa.Connection) -> Iterator[str]:
        """What the database itself finds to be damaged, in words; reads all of it."""

    def tolerate_damage(self, connection: sa.Connection, *, has_checksums: bool) -> None:
        """Lets the transaction of a connection read more of a damaged database than it would,
        even what may be wrong if the rows have checksums of their own."""

    def places(self, connection: sa.Connection, table: str) -> range:
        """The places of the rows of a table in its file; not each of them holds a row."""

    def places_max(self, connection: sa.Connection, table: str) -> range:
        """The places that a table may have at most, found without reading the table."""

    def at_places(self, table: str, places: range) -> sa.ColumnElement[bool]:
        """The condition for the rows at these places."""

    def raw_events(self, connection: sa.Connection, places: range) -> list[tuple[Any, ...]]:
        """The events at these places, as native verifies them."""

    def stray_events(self, connection: sa.Connection) -> Iterator[tuple[Any, ...]]:
        """What may be an event, intact or not, and cannot be reached by its place because other
        parts of the file are damaged."""

    def insert_raw_events(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Inserts events that `raw_events` of any dialect has returned."""

    def adopt_numbers(self, connection: sa.Connection) -> None:
        """Makes numbers that the database gives out follow those that were inserted."""

    def refuse_unfinished(self, connection: sa.Connection, transaction_id: str) -> None:
        """Raises OperationalError while a transaction goes on whose connection was lost."""

    def unavailable(self, error: sa.exc.DBAPIError) -> StoreUnavailableError | None:
        """The error for callers, if the same transaction may succeed at another time."""

    def stopping_at(
        self, deadline: Deadline, connection: sa.Connection
    ) -> AbstractContextManager[None]:
        """Stops the statements of the block once the deadline is over."""

    def was_stopped(self, error: sa.exc.DBAPIError) -> bool:
        """Whether a statement failed because it was stopped."""

    def refuse_pooler(self, error: sa.exc.DBAPIError) -> None:
        """Raises PoolerError if an error comes of a pooler that the service cannot work with."""

    def check_pooler(self, engine: sa.Engine, processes: int, connections_max: int) -> None:
        """Raises PoolerError if a pooler in front of the database does not give each of these
        processes the connections that it may open; returns at once if there is none."""

    def begin_migration(self, connection: sa.Connection) -> None:
        """Keeps other processes from migrating until the transaction ends, and lets it change
        tables as the database needs it."""

    def writing(self) -> AbstractContextManager[object]:
        """A lock that each writing transaction of this process holds."""

    id_bytes: str
    """An expression for the 16 bytes of the column `id`."""

    def integer_parameter(self, name: str) -> str:
        """The driver's syntax for an integer parameter of a statement."""

    def try_lock(self, connection: sa.Connection, key: int) -> bool:
        """Takes a lock, or finds out that the connection still has it, until it is released or the
        connection ends; False if another connection holds it.

        The connection has the options for `begin`, and is for nothing else meanwhile.
        """

    def reclaim(self, connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
        """Frees the space of deleted rows for new ones; the connection must be in autocommit
        mode."""

    def wait_for_lock(self, connection: sa.Connection, key: int) -> None:
        """Waits for a lock and takes it; meanwhile `is_awaited` is true for its holder."""

    def release_lock(self, connection: sa.Connection, key: int) -> None:
        """Releases a lock, if the connection has it."""

    def is_awaited(self, connection: sa.Connection, key: int) -> bool:
        """Whether another connection waits for a lock."""
