"""Leases: one process at a time, of all processes on a database, holds a lease."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from cost_insights.store import Store


@dataclass(frozen=True)
class Claim:
    """A claim to a lease, with a connection of its own."""

    is_mine: Callable[[], bool]
    """Whether this process has the lease."""

    is_awaited: Callable[[], bool]
    """Whether another process waits for the lease."""


@dataclass(frozen=True)
class Lease:
    """The right of one process to do something that no other process does meanwhile."""

    key: int
    """The number of the lease, different from that of other leases and of the migration lock."""

    @contextmanager
    def claim(self, store: Store) -> Iterator[Claim]:
        """A claim that tells, whenever asked, whether this process has the lease: it has it from
        the first time that no other process does until the block ends.

        Raises StoreUnavailableError if the database does not answer. Whoever loses
        the connection has lost the lease, and learns it by asking.
        """
        with store.connection_with_locks() as connection:
            dialect = store.dialect
            yield Claim(
                partial(dialect.try_lock, connection, self.key),
                partial(dialect.is_awaited, connection, self.key),
            )

    @contextmanager
    def take(self, store: Store, on_wait: Callable[[], None]) -> Iterator[None]:
        """Holds the lease until the block ends. If another process holds it, calls `on_wait` and
        waits until that process gives way."""
        with store.connection_with_locks() as connection:
            if not store.dialect.try_lock(connection, self.key):
                on_wait()
                store.dialect.wait_for_lock(connection, self.key)
            yield
            store.dialect.release_lock(connection, self.key)


COMPACTION: Final = Lease(0x636F7374_696E0002)
