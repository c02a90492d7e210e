"""Stores the events of encoded requests, many requests in one transaction.

While one transaction runs, everything that arrives waits together and goes into
the next one, so the more callers there are the fewer flushes each event costs.
What needs no database is done for the next one while this one is flushed. A
request is answered after the commit that holds it.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypedDict, TypeVar

from cost_insights import clock
from cost_insights._native import events as native
from cost_insights._native.commit import Receipt
from cost_insights._native.events import EventBatch, Limits, StreamedBatch
from cost_insights.errors import (
    FAILURES,
    InvalidEventsError,
    OverloadedError,
    ShuttingDownError,
    StoreUnavailableError,
)
from cost_insights.events.insertion import Outcome, Prepared, Submission
from cost_insights.events.writer import EventWriter
from cost_insights.fair_queue import FairQueue
from cost_insights.identity import UNLIMITED, Organization, Rates
from cost_insights.telemetry import NOTHING, IngestMeasurements, Span, current_span, step

_INLINE_BYTES_MAX = 16 * 1024
"""A request up to this size is decoded at once: handing it to a thread would take longer."""

_GROUP_EVENTS_MAX = 10_000
"""The number of events from which no further request joins a transaction: whoever comes next waits
for all of them, and larger transactions hardly cost less an event."""

_SHARED_GROUP_EVENTS_MAX = 4_000
"""The limit while several organizations send. An organization with few requests in flight has none
waiting while those of the others are stored, so long transactions would cost it its share."""

_FEW_EVENTS = 1_000
_SEVERAL_REQUESTS = 4
_GATHERING_SECONDS = 0.016
"""After a transaction of several requests the next one of few events waits until as many events are
there as were sent meanwhile and before, but only so long: a transaction costs more than what it
holds where requests are small, and whoever sends several goes on once those before are answered."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class IngestResult:
    """The result of the events of one request."""

    receipt: Receipt
    batch: EventBatch
    """The batch, of which the valid events were stored; the others are its faults, if
    `accept_valid` was set."""


class _Decoding(TypedDict):
    organization_id: bytes
    now_us: int
    entropy: bytes
    limits: Limits


class _Waiting(NamedTuple):
    submission: Submission
    request_bytes: int
    outcome: asyncio.Future[Outcome]
    span: Span | None
    """The span of the call, if it is traced."""


class Ingestor:
    """Stores events in groups, one transaction at a time: those of an organization in the order of
    arrival, and those of several organizations in equal shares."""

    def __init__(
        self,
        writer: EventWriter,
        *,
        limits: Limits,
        waiting_events_max: int,
        waiting_bytes_max: int,
        measurements: IngestMeasurements = NOTHING.ingest,
    ) -> None:
        self._event_writer = writer
        self._measurements = measurements
        self._limits = limits
        self._waiting_events_max = waiting_events_max
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting: FairQueue[_Waiting] = FairQueue()
        self._waiting_events = 0
        self._waiting_bytes = 0
        self._expected_events = 0
        self._gathers_until = 0.0
        """The number of events that the next transaction waits for, and until when."""

        self._owners_of_last: frozenset[int] = frozenset()
        """The organizations with requests in the last group."""

        self._arrived = asyncio.Event()
        self._enough = asyncio.Event()
        self._left = asyncio.Event()
        self._closing = False
        self._preparer = ThreadPoolExecutor(1, thread_name_prefix="preparer")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts storing events."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Refuses further requests, stores the waiting ones and stops."""
        self._closing = True
        self._arrived.set()
        self._enough.set()
        self._left.set()
        if self._task is not None:
            await self._task
        self._preparer.shutdown()
        self._writer.shutdown()

    def decode(self, organization: Organization, request: bytes) -> Awaitable[EventBatch]:
        """Reads an encoded `IngestEventsRequest`, unless there is no room for what is in it.

        Raises OverloadedError if too much waits, ShuttingDownError while the service stops.
        """
        return self._decode(native.decode_events, organization, request)

    def decode_json(self, organization: Organization, body: bytes) -> Awaitable[EventBatch]:
        """Reads an `IngestEventsRequest` written as JSON, as `decode` reads an encoded one."""
        return self._decode(native.decode_events_json, organization, body)

    async def store(
        self,
        organization: Organization,
        batch: EventBatch,
        request_bytes: int,
        *,
        rates: Rates = UNLIMITED,
    ) -> IngestResult:
        """Stores events and returns once they are on disk; system events are no such events.

        Raises InvalidEventsError if an event is malformed and `accept_valid` was not
        asked for, OverloadedError if too much waits, RateLimitedError if too many were sent,
        StoreUnavailableError if the database does not answer, ShuttingDownError while the service
        stops.
        """
        if batch.holds_system_events:
            raise ValueError("system events are recorded, not stored")
        refuse_faults(batch)
        self._admit(organization, request_bytes, len(batch))
        # Last, so that what is refused for another reason is not counted.
        rates.take_events(len(batch))
        return ingested(await self.enqueue(organization, batch, request_bytes))

    async def decode_streamed(
        self, organization: Organization, request: bytes, stream_id: str
    ) -> StreamedBatch:
        """Reads an encoded `StreamEventsRequest`; `stream_id` is that of the stream so far."""
        decode = partial(native.decode_streamed, stream_id=stream_id)
        streamed = await self._decoded(decode, organization, request)
        self._count_faults(streamed.batch)
        return streamed

    def enqueue(
        self, organization: Organization, batch: EventBatch, request_bytes: int
    ) -> asyncio.Future[Outcome]:
        """Puts a batch behind those that wait; the future is done after its commit.

        Raises ShuttingDownError while the service stops.
        """
        if self._closing:
            raise ShuttingDownError
        waiting = _Waiting(
            Submission(organization.number, organization.id, batch),
            request_bytes,
            asyncio.get_running_loop().create_future(),
            current_span(),
        )
        self._waiting.put(organization.number, waiting, max(1, len(batch)))
        self._waiting_events += len(batch)
        self._waiting_bytes += request_bytes
        self._arrived.set()
        if self._waiting_events >= self._expected_events:
            self._enough.set()
        return waiting.outcome

    async def until_room(self, organization: Organization) -> None:
        """Returns once there is room for more of an organization; raises ShuttingDownError while
        the service stops."""
        while not self._closing and (
            self._is_full(organization, 1) or self._waiting_bytes >= self._waiting_bytes_max
        ):
            self._left.clear()
            await self._left.wait()
        if self._closing:
            raise ShuttingDownError

    def measure(self) -> None:
        """Sets the gauges of what waits."""
        measurements = self._measurements
        measurements.waiting_events.set(self._waiting_events)
        measurements.waiting_events_max.set(self._waiting_events_max)
        measurements.waiting_bytes.set(self._waiting_bytes)

    async def _decode(
        self, decode: Callable[..., EventBatch], organization: Organization, request: bytes
    ) -> EventBatch:
        # Refused before it costs anything, and again once it is known how much it holds.
        self._admit(organization, len(request))
        batch = await self._decoded(decode, organization, request)
        self._count_faults(batch)
        return batch

    async def _decoded(
        self, decode: Callable[..., _T], organization: Organization, request: bytes
    ) -> _T:
        decoding = self._decoding(organization)
        if len(request) <= _INLINE_BYTES_MAX:
            return decode(request, **decoding)
        # A large request is decoded in a thread, so that others are served meanwhile.
        return await asyncio.to_thread(decode, request, **decoding)

    def _decoding(self, organization: Organization) -> _Decoding:
        return _Decoding(
            organization_id=organization.id.bytes,
            now_us=clock.now_us(),
            entropy=os.urandom(32),
            limits=self._limits,
        )

    def _admit(self, organization: Organization, request_bytes: int, events: int = 0) -> None:
        if self._closing:
            raise ShuttingDownError
        # A request that meets an empty queue is always taken, however large.
        if self._waiting and self._is_full(organization, events):
            raise _overloaded("events", self._waiting_events, self._waiting_events_max)
        if self._waiting and self._waiting_bytes + request_bytes > self._waiting_bytes_max:
            raise _overloaded("bytes", self._waiting_bytes, self._waiting_bytes_max)

    def _is_full(self, organization: Organization, events: int) -> bool:
        """Whether there is no room for events of an organization; up to its share there always
        is, even where others fill the queue."""
        if self._waiting_events + events <= self._waiting_events_max:
            return False
        owned = self._waiting.cost_of(organization.number)
        owners = self._waiting.owners + (0 if owned else 1)
        return owned + events > self._waiting_events_max // owners

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            ahead = False
            while self._waiting:
                await self._gather()
                group = self._next_group()
                if not group:
                    continue
                written = asyncio.Event()
                storing = asyncio.create_task(self._store_group(group, written, ahead=ahead))
                await written.wait()
                # While it commits, many events are prepared for the next transaction;
                # few are better joined by those that its answers set free.
                ahead = self._waiting_events >= _FEW_EVENTS
                if not ahead:
                    await storing
                self._expect(group)
            if self._closing:
                return

    def _expect(self, stored: Sequence[_Waiting]) -> None:
        """Expects as many events as those who sent the last ones are likely to send next."""
        if len(stored) < _SEVERAL_REQUESTS:
            self._expected_events = 0
            return
        events = sum(len(waiting.submission.batch) for waiting in stored)
        self._expected_events = min(_FEW_EVENTS, events + self._waiting_events)
        self._gathers_until = asyncio.get_running_loop().time() + _GATHERING_SECONDS

    async def _gather(self) -> None:
        """Returns once as many events wait as are expected, or after some time."""
        loop = asyncio.get_running_loop()
        if (
            self._waiting_events >= self._expected_events
            or loop.time() >= self._gathers_until
            or self._closing
        ):
            return
        self._enough.clear()
        timer = loop.call_at(self._gathers_until, self._enough.set)
        await self._enough.wait()
        timer.cancel()

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        owners: set[int] = set()
        events = 0
        events_max = _SHARED_GROUP_EVENTS_MAX if self._is_shared() else _GROUP_EVENTS_MAX
        while events < events_max and (waiting := self._waiting.pop()) is not None:
            self._waiting_events -= len(waiting.submission.batch)
            self._waiting_bytes -= waiting.request_bytes
            if waiting.outcome.cancelled():
                continue
            group.append(waiting)
            owners.add(waiting.submission.organization_number)
            events += len(waiting.submission.batch)
        self._owners_of_last = frozenset(owners)
        self._left.set()
        return group

    def _is_shared(self) -> bool:
        """Whether several organizations have requests that wait or were in the last group."""
        last = self._owners_of_last
        return (
            self._waiting.owners > 1
            or len(last) > 1
            or any(not self._waiting.count_of(owner) for owner in last)
        )

    async def _store_group(
        self, group: Sequence[_Waiting], written: asyncio.Event, *, ahead: bool
    ) -> None:
        """Stores a group, prepared `ahead` where the one before may still commit.

        Sets `written` once nothing but the commit is left to do, or all is done.
        """
        loop = asyncio.get_running_loop()
        submissions = [waiting.submission for waiting in group]
        prepare = partial(self._event_writer.prepare, submissions)
        span = _group_span(group)
        started = time.perf_counter()
        outcomes = await loop.run_in_executor(
            self._writer,
            self._insert_traced,
            span,
            submissions,
            self._preparer.submit(prepare).result if ahead else prepare,
            # Nobody is woken for a few events, which are not prepared ahead anyway.
            lambda: self._waiting_events >= _FEW_EVENTS and loop.call_soon_threadsafe(written.set),
        )
        written.set()
        self._count_group(group, outcomes, time.perf_counter() - started)
        if span is not None:
            span.end({})
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.outcome.done():
                continue
            if isinstance(outcome, Outcome):
                waiting.outcome.set_result(outcome)
            else:
                waiting.outcome.set_exception(outcome)

    def _count_faults(self, batch: EventBatch) -> None:
        """Counts what is wrong with a batch."""
        if not batch.faulty and batch.request_fault is None:
            return
        self._measurements.events["refused"].add(batch.faulty)
        for fault in batch.faults:
            self._measurements.faults[fault.reason].add()

    def _count_group(
        self,
        group: Sequence[_Waiting],
        outcomes: Sequence[Outcome | BaseException],
        seconds: float,
    ) -> None:
        """Counts what became of a group."""
        measurements = self._measurements
        events = inserted = duplicates = unknown = request_bytes = 0
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Outcome):
                # Those that name an unknown customer were found out by the database.
                unknown += outcome.batch.faulty - waiting.submission.batch.faulty
                if outcome.receipt is not None:
                    events += len(outcome.batch)
                    inserted += outcome.receipt.inserted
                    duplicates += outcome.receipt.duplicates
                    request_bytes += waiting.request_bytes
        measurements.group_seconds.observe(seconds)
        measurements.group_requests.observe(len(group))
        measurements.group_events.observe(events)
        measurements.events["inserted"].add(inserted)
        measurements.events["duplicate"].add(duplicates)
        measurements.events["conflict"].add(events - inserted - duplicates)
        measurements.request_bytes.add(request_bytes)
        if unknown:
            measurements.events["refused"].add(unknown)
            for waiting, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, Outcome):
                    known = Counter(one.reason for one in waiting.submission.batch.faults)
                    found = Counter(one.reason for one in outcome.batch.faults)
                    for reason, count in (found - known).items():
                        measurements.faults[reason].add(count)

    def _insert_traced(
        self,
        span: Span | None,
        submissions: Sequence[Submission],
        prepare: Callable[[], Prepared],
        written: Callable[[], object],
    ) -> Sequence[Outcome | BaseException]:
        with step("transaction", parent=span):
            return self._insert(submissions, prepare, written)

    def _insert(
        self,
        submissions: Sequence[Submission],
        prepare: Callable[[], Prepared],
        written: Callable[[], object],
    ) -> Sequence[Outcome | BaseException]:
        try:
            return self._event_writer.write(prepare(), now_us=clock.now_us(), written=written)
        except StoreUnavailableError as error:
            return [error] * len(submissions)
        except FAILURES as error:  # whatever it is, the callers must learn of it
            if len(submissions) == 1:
                return [error]
            # A fault of one request must not fail the others.
            return [
                outcome
                for one in submissions
                for outcome in self._insert(
                    [one], partial(self._event_writer.prepare, [one]), written
                )
            ]


def _group_span(group: Sequence[_Waiting]) -> Span | None:
    """The span of a group: a step of the first call that is traced, done for all of them."""
    callers = [waiting.span for waiting in group if waiting.span is not None]
    if not callers:
        return None
    facts = {
        "requests": len(group),
        "events": sum(len(waiting.submission.batch) for waiting in group),
    }
    return callers[0].child("group", facts, callers)


def refuse_faults(batch: EventBatch) -> None:
    """Raises InvalidEventsError if the batch has faults that `accept_valid` does not excuse."""
    if batch.request_fault is not None or (batch.faulty and not batch.accept_valid):
        raise InvalidEventsError(batch)


def ingested(outcome: Outcome) -> IngestResult:
    """The result of a batch; raises InvalidEventsError if it was not stored."""
    if outcome.receipt is None:
        raise InvalidEventsError(outcome.batch)
    return IngestResult(outcome.receipt, outcome.batch)


def _overloaded(what: str, waiting: int, waiting_max: int) -> OverloadedError:
    return OverloadedError(
        f"{waiting} {what} wait to be stored, at most {waiting_max} are held; try again later",
        reason="OVERLOADED",
        facts={f"waiting_{what}": str(waiting), f"waiting_{what}_max": str(waiting_max)},
    )
