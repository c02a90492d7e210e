"""Exports at the pace of their callers: a slow caller must not keep a connection forever."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from functools import partial

from cost_insights.api.turns import Turns
from cost_insights.api.work import Work
from cost_insights.errors import QueryTooSlowError
from cost_insights.identity import Organization
from cost_insights.metrics import ExportFormat, MetricsExporter, MetricsQuestion
from cost_insights.store import Deadline, Store

_WAITING_MAX = 64
"""The number of exports of an organization that may wait for a turn."""

_WAITING_PARTS_MAX = 10
"""The time for which an export waits for a turn, as a multiple of the time for a part."""

_PART_SECONDS = 1.0
"""The time that each part adds for the caller: one part a second is the slowest pace allowed."""


class Exports:
    """Yields the parts of exports, one after the other."""

    def __init__(
        self, store: Store, exporter: MetricsExporter, work: Work, *, cost_rows_max: int
    ) -> None:
        """`cost_rows_max` is the number of exports that may read rows of costs at once, each on a
        connection of its own; further exports wait for a turn, which organizations share."""
        self._store = store
        self._exporter = exporter
        self._work = work
        self._turns = Turns(
            cost_rows_max,
            waiting_max=_WAITING_MAX,
            seconds_max=_WAITING_PARTS_MAX * work.query_seconds_max,
        )

    def parts(
        self,
        organization: Organization,
        question: MetricsQuestion,
        written: ExportFormat,
        *,
        totals: bool,
    ) -> AsyncGenerator[str, None]:
        """The export, some whole lines at a time; all of it from one snapshot. `totals` is whether
        it has those of every group instead of the periods of some.

        Raises QueryTooSlowError where reading what makes a part takes too long, or where
        the caller takes the parts too slowly: meanwhile nobody else has the connection.
        """
        if written is ExportFormat.FOCUS:
            return self._cost_row_parts(organization, question)
        read = self._exporter.total_parts if totals else self._exporter.answer_parts
        return self._answer_parts(organization, partial(read, organization, question, written))

    async def _answer_parts(
        self, organization: Organization, read: Callable[[Deadline], Iterator[str]]
    ) -> AsyncGenerator[str, None]:
        parts = await self._work.answer(organization, read)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    async def _cost_row_parts(
        self, organization: Organization, question: MetricsQuestion
    ) -> AsyncGenerator[str, None]:
        deadline = Deadline(self._work.query_seconds_max)
        loop = asyncio.get_running_loop()
        patience = self._work.query_seconds_max
        reading = _Reading(
            partial(self._exporter.cost_row_parts, organization, question, deadline),
            await self._turns.take(organization),
        )
        deadline.renew()  # the time in which it waited is not part of it
        try:
            part = await self._store.retrying(asyncio.to_thread, reading.begin)
            while part is not None:
                # A caller that stops taking parts would keep a connection forever, and the database
                # would keep the rows of its snapshot.
                giving_up = loop.call_later(patience, reading.give_up, loop)
                given = loop.time()
                try:
                    yield part
                finally:
                    giving_up.cancel()
                patience += _PART_SECONDS - (loop.time() - given)
                patience = min(patience, self._work.query_seconds_max)
                if reading.was_given_up:
                    raise QueryTooSlowError(self._work.query_seconds_max)
                part = await asyncio.to_thread(reading.next)
        except BaseException:
            deadline.cancel()
            raise
        finally:
            await asyncio.to_thread(reading.close)
            reading.end_turn()


class _Reading:
    """A generator that threads advance and close, one at a time, with the turn it holds."""

    def __init__(
        self, read: Callable[[], Generator[str, None, None]], give_back: Callable[[], None]
    ) -> None:
        """`give_back` ends the turn."""
        self._read = read
        self._parts = read()
        self._give_back: Callable[[], None] | None = give_back
        self._lock = threading.Lock()
        self.was_given_up = False

    def begin(self) -> str | None:
        """The first part. If reading it failed, another generator is made and read."""
        with self._lock:
            self._parts = self._read()
            return next(self._parts, None)

    def next(self) -> str | None:
        with self._lock:
            return next(self._parts, None)

    def close(self) -> None:
        with self._lock:
            self._parts.close()

    def give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self.was_given_up = True
        loop.run_in_executor(None, self.close).add_done_callback(lambda _: self.end_turn())

    def end_turn(self) -> None:
        if self._give_back is not None:
            self._give_back()
            self._give_back = None
