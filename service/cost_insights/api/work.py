"""The blocking work of operations, done in threads so that other calls go on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cost_insights.errors import OverloadedError
from cost_insights.store import Deadline, Store

_WAITING_CALLS_MAX = 64
"""The number of calls that may wait to record revenue, each with up to a thousand records."""

_T = TypeVar("_T")


class Work:
    """Runs the database work of operations.

    Reads are retried for a while if the database fails temporarily; meanwhile no thread waits.
    """

    def __init__(self, store: Store, *, query_seconds_max: float) -> None:
        self._store = store
        self.query_seconds_max = query_seconds_max
        self._recording = 0
        # A thread of its own: calls that wait for the database do not take the threads
        # and the connections of those that read.
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="recorder")

    async def close(self) -> None:
        """Finishes what is being recorded."""
        await asyncio.to_thread(self._recorder.shutdown)

    async def read(self, work: Callable[[], _T]) -> _T:
        """The result of short work."""
        return await self._store.retrying(asyncio.to_thread, work)

    async def record(self, work: Callable[[], _T]) -> _T:
        """The result of work that records revenue, one call after the other.

        Raises OverloadedError if too many wait.
        """
        if self._recording >= _WAITING_CALLS_MAX:
            raise _overloaded(self._recording)
        self._recording += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._recorder, work)
        finally:
            self._recording -= 1

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


def _overloaded(waiting: int) -> OverloadedError:
    return OverloadedError(
        f"{waiting} calls wait to be recorded, at most {_WAITING_CALLS_MAX} are held; "
        "try again later",
        reason="OVERLOADED",
        facts={"waiting_calls": str(waiting), "waiting_calls_max": str(_WAITING_CALLS_MAX)},
    )
