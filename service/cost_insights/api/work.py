"""The blocking work of operations, done in threads so that other calls go on."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from cost_insights.store import Deadline, Store

_T = TypeVar("_T")


class Work:
    """Runs what reads the database.

    It is tried again for a while where the database fails in passing; meanwhile no
    thread waits.
    """

    def __init__(self, store: Store, *, query_seconds_max: float) -> None:
        self._store = store
        self.query_seconds_max = query_seconds_max

    async def read(self, work: Callable[[], _T]) -> _T:
        """The result of short work."""
        return await self._store.retrying(asyncio.to_thread, work)

    async def answer(self, work: Callable[[Deadline], _T]) -> _T:
        """The result of work that has a time limit.

        The work ends with the task that waits for it.
        """
        return await self._store.retrying(self._within, work)

    async def _within(self, work: Callable[[Deadline], _T]) -> _T:
        deadline = Deadline(self.query_seconds_max)
        loop = asyncio.get_running_loop()
        over = loop.call_later(self.query_seconds_max, deadline.cancel)
        try:
            return await asyncio.to_thread(work, deadline)
        except asyncio.CancelledError:
            deadline.cancel()
            raise
        finally:
            over.cancel()
