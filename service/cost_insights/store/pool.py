"""A pool of connections that knows how many threads wait for one."""

import logging
import threading
from typing import Any

import sqlalchemy as sa


class WatchedPool(sa.pool.QueuePool):
    """A pool whose waiting threads are counted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lock = threading.Lock()
        self.waiting = 0
        """The threads that wait for a connection."""

    def connect(self) -> sa.pool.PoolProxiedConnection:
        """A connection, once one is free."""
        if self.checkedout() < self.size():
            return super().connect()
        with self._lock:
            self.waiting += 1
        try:
            return super().connect()
        finally:
            with self._lock:
                self.waiting -= 1


# SQLAlchemy logs what a pool does under the name of its class. Its own pools are silent, and so is
# this one.
logging.getLogger(f"{WatchedPool.__module__}.{WatchedPool.__name__}").setLevel(logging.WARNING)
