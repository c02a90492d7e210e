"""Leases: one process at a time, of all processes on a database, holds a lease."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from cost_insights.store import Store

_HELD_SECONDS_MAX = 30
"""The time after which a lease is released and taken again: who maintains a database or a pooler
may wait for the end of every transaction."""


class Claim:
    """A claim to a lease, with a connection of its own."""

    def __init__(
        self,
        *,
        take: Callable[[], bool],
        release: Callable[[], None],
        is_awaited: Callable[[], bool],
    ) -> None:
        self._take = take
        self._release = release
        self._release_at = 0.0
        self.is_awaited = is_awaited
        """Whether another process waits for the lease."""

    def is_mine(self) -> bool:
        """Whether this process has the lease, which it takes if no other process has it."""
        now = time.monotonic()
        if now >= self._release_at:
            self._release()
            self._release_at = now + _HELD_SECONDS_MAX
        return self._take()


@dataclass(frozen=True)
class Lease:
    """The right of one process to do something that no other process does meanwhile."""

    key: int
    """The number of the lease, different from that of other leases and of the migration lock."""

    @contextmanager
    def claim(self, store: Store) -> Iterator[Claim]:
        """A claim that tells, whenever asked, whether this process has the lease, until the block
        ends.

        Raises StoreUnavailableError if the database does not answer. Whoever loses
        the connection has lost the lease, and learns it by asking.
        """
        with store.connection_with_locks() as connection:
            dialect = store.dialect
            yield Claim(
                take=partial(dialect.try_lock, connection, self.key),
                release=partial(dialect.release_lock, connection, self.key),
                is_awaited=partial(dialect.is_awaited, connection, self.key),
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
