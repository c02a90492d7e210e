"""The blocking work of operations, done in threads so that other calls go on.

Organizations share the threads fairly: one that asks a lot waits for itself.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from cost_insights.api.turns import Turns
from cost_insights.identity import Organization
from cost_insights.store import Deadline, Store

_WAITING_READS_MAX = 256
_WAITING_RECORDS_MAX = 64
"""The numbers of calls of an organization that may wait to read, and to record revenue, which have
up to a thousand records each."""

_T = TypeVar("_T")


class Work:
    """Runs the database work of operations.

    Reads are retried for a while if the database fails temporarily; meanwhile no thread waits.
    """

    def __init__(self, store: Store, *, query_seconds_max: float, readers: int) -> None:
        """`readers` is the number of threads that read, each with a connection at most."""
        self._store = store
        self.query_seconds_max = query_seconds_max
        self._reading = Turns(
            readers, waiting_max=_WAITING_READS_MAX, seconds_max=query_seconds_max
        )
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._recording = Turns(1, waiting_max=_WAITING_RECORDS_MAX, seconds_max=query_seconds_max)
        # A thread of its own: calls that wait for the database do not take the threads
        # and the connections of those that read.
        self._recorder = ThreadPoolExecutor(1, thread_name_prefix="recorder")

    @property
    def reading(self) -> int:
        """The number of calls that read at present."""
        return self._reading.taken

    async def close(self) -> None:
        """Finishes what is being recorded and read."""
        await asyncio.to_thread(self._recorder.shutdown)
        await asyncio.to_thread(self._readers.shutdown)

    async def read(self, organization: Organization, work: Callable[[], _T]) -> _T:
        """The result of work that reads, for an organization; it ends like that of `answer`."""
        return await self.answer(organization, lambda _: work())

    async def answer(self, organization: Organization, work: Callable[[Deadline], _T]) -> _T:
        """The result of work that has a time limit, for an organization.

        The work ends with the task that waits for it. Raises OverloadedError if the organization
        asks too much at once.
        """
        return await self._store.retrying(self._within, organization, work)

    async def record(self, organization: Organization, work: Callable[[], _T]) -> _T:
        """The result of work that records revenue of an organization, one call after the other.

        Raises OverloadedError if too many wait.
        """
        return await self._in_turn(self._recording, self._recorder, organization, work)

    async def _within(self, organization: Organization, work: Callable[[Deadline], _T]) -> _T:
        deadline = Deadline(self.query_seconds_max)
        loop = asyncio.get_running_loop()
        over = loop.call_later(self.query_seconds_max, deadline.cancel)
        try:
            return await self._in_turn(
                self._reading, self._readers, organization, partial(_under, deadline, work)
            )
        except asyncio.CancelledError:
            deadline.cancel()
            raise
        finally:
            over.cancel()

    async def _in_turn(
        self,
        turns: Turns,
        threads: ThreadPoolExecutor,
        organization: Organization,
        work: Callable[[], _T],
    ) -> _T:
        give_back = await turns.take(organization)
        loop = asyncio.get_running_loop()
        try:
            # In the context of the call: what it logs and traces belongs to that.
            running = threads.submit(copy_context().run, work)
        except BaseException:
            give_back()
            raise
        # The turn ends with the work, even where nobody waits for it any more.
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(give_back))
        return await asyncio.wrap_future(running)


def _under(deadline: Deadline, work: Callable[[Deadline], _T]) -> _T:
    deadline.check()
    with deadline.ruling():
        return work(deadline)
