"""Sends numbered lines of events to a service and keeps account of every one.

Requests are in flight side by side and are settled in the order of the lines, so
faults are named in that order and it is always known up to which line everything
is done. What is held is a few requests, however many lines there are. An event
without an external id is never sent again where the first time may have stored
it.
"""

import asyncio
import os
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cost_insights.cli.client import Failure, Service, failure_of
from cost_insights.cli.console import EXIT_INTERRUPTED, EXIT_REFUSED, CommandError
from cost_insights.ingest.ndjson import LINE_TOO_LONG, LineFault, Lines, read_event
from cost_insights.v1.event_pb2 import NewEvent
from cost_insights.v1.event_service_pb2 import IngestEventsRequest, IngestEventsResponse
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub

IN_FLIGHT_MAX: Final = 4
"""How many requests are on their way at once. More would not be faster: the
service stores what arrives meanwhile in one transaction."""

BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""A request is sent once it is this large, however few events it holds."""

CHUNK_BYTES: Final = 256 * 1024
LINGER_SECONDS: Final = 1.0
"""How long events wait for more where lines come in slowly."""

CONNECT_SECONDS: Final = 10.0
CALL_SECONDS: Final = 60.0
LAND_SECONDS: Final = 5.0
"""How long requests in flight are waited for once one of them has failed for good."""

RETRY_FIRST_SECONDS: Final = 0.1
RETRY_LONGEST_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Source:
    """Where lines come from."""

    name: str
    descriptor: int
    bytes_total: int | None
    """Unknown for pipes and terminals."""
    waits: bool
    """Whether a read may have to wait for somebody to write."""


@dataclass
class Counts:
    """What became of the lines so far."""

    inserted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: int = 0

    @property
    def events(self) -> int:
        """How many lines that is."""
        return self.inserted + self.duplicates + self.conflicts + self.refused


class Watcher(Protocol):
    """Who is told how it goes."""

    def fault(self, line: int, fault: LineFault) -> None:
        """A line was not stored, or its external id is taken."""

    def progress(self, counts: Counts, bytes_read: int) -> None:
        """Some more lines are done."""


@dataclass
class _Batch:
    """The lines of one request."""

    first_line: int
    started: float
    last_line: int = 0
    bytes_read: int = 0
    """How much of the source was read when the batch was complete."""
    events: list[NewEvent] = field(default_factory=list)
    event_lines: list[int] = field(default_factory=list)
    """The line of each event."""
    event_bytes: int = 0
    faults: list[tuple[int, LineFault]] = field(default_factory=list)
    """The lines that are no events."""

    def add(self, number: int, line: bytes | None) -> None:
        read = LINE_TOO_LONG if line is None else read_event(line)
        if isinstance(read, LineFault):
            self.faults.append((number, read))
        else:
            self.events.append(read)
            self.event_lines.append(number)
            self.event_bytes += read.ByteSize()

    def __len__(self) -> int:
        return len(self.events) + len(self.faults)


@dataclass(frozen=True)
class _Receipt:
    """What became of the events of a batch, or of a part of one."""

    inserted: int = 0
    duplicates: int = 0
    conflicts: tuple[tuple[int, LineFault], ...] = ()
    faults: tuple[tuple[int, LineFault], ...] = ()

    def __add__(self, other: "_Receipt") -> "_Receipt":
        return _Receipt(
            self.inserted + other.inserted,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
            self.faults + other.faults,
        )


class _GivenUpError(Exception):
    """A request did not get through."""

    def __init__(self, failure: Failure, *, may_be_stored: bool) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.may_be_stored = may_be_stored


class Sender:
    """Sends the lines of one source."""

    def __init__(
        self,
        source: Source,
        service: Service,
        watcher: Watcher,
        *,
        batch_events: int,
        retry_seconds: float,
    ) -> None:
        self.counts = Counts()
        self._source = source
        self._service = service
        self._watcher = watcher
        self._batch_events = batch_events
        self._retry_seconds = retry_seconds
        self._flying: deque[tuple[_Batch, asyncio.Task[_Receipt]]] = deque()
        self._seats = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._failed = asyncio.Event()
        self._next_line = 1
        """The first line that was not given to a request."""
        self._read_all = False

    async def run(self) -> None:
        """Sends everything; raises CommandError where it has to stop before the end."""
        async with self._service.aio_channel() as channel:
            try:
                await _reach(channel, CONNECT_SECONDS, patient=False)
            except grpc.RpcError as error:
                raise failure_of(error).error(self._service) from None
            reading = asyncio.create_task(self._launch(channel))
            failing = asyncio.create_task(self._failed.wait())
            stopped: CommandError | None = None
            try:
                await asyncio.wait((reading, failing), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                stopped = CommandError("interrupted", exit_code=EXIT_INTERRUPTED)
                # What is on its way is waited for, but not tried again.
                self._retry_seconds = 0
            await self._land(reading, failing)
            if not reading.cancelled() and (broken := reading.exception()) is not None:
                if not isinstance(broken, OSError):
                    raise broken
                stopped = CommandError(f"cannot be read: {broken.strerror}", exit_code=EXIT_REFUSED)
            if stopped is not None or self._flying:
                raise self._account(stopped)

    async def _land(self, *helpers: asyncio.Task[object]) -> None:
        """Stops to read and waits for everything that is in flight."""
        for helper in helpers:
            helper.cancel()
        await asyncio.wait(helpers)
        if flying := [sending for _, sending in self._flying]:
            _, late = await asyncio.wait(flying, timeout=LAND_SECONDS)
            for sending in late:
                sending.cancel()
            await asyncio.wait(flying)
        self._settle()

    async def _launch(self, channel: grpc.aio.Channel) -> None:
        """Reads the source to its end and waits until all of it is settled."""
        async for batch in self._batches():
            await self._seats.acquire()
            sending = asyncio.create_task(self._send(channel, batch.events, batch.event_lines))
            self._flying.append((batch, sending))
            self._next_line = batch.last_line + 1
            sending.add_done_callback(lambda _: self._settle())
        self._read_all = True
        for _ in range(IN_FLIGHT_MAX):
            await self._seats.acquire()

    def _settle(self) -> None:
        """Takes the answers that are there, in the order of the lines."""
        while self._flying and self._flying[0][1].done():
            batch, sending = self._flying[0]
            if sending.cancelled() or sending.exception() is not None:
                self._failed.set()
                return
            self._flying.popleft()
            self._take(batch, sending.result())
            self._seats.release()

    def _take(self, batch: _Batch, receipt: _Receipt) -> None:
        refused = [*batch.faults, *receipt.faults]
        for line, fault in sorted([*refused, *receipt.conflicts], key=lambda one: one[0]):
            self._watcher.fault(line, fault)
        self.counts.inserted += receipt.inserted
        self.counts.duplicates += receipt.duplicates
        self.counts.conflicts += len(receipt.conflicts)
        self.counts.refused += len({line for line, _ in refused})
        self._watcher.progress(self.counts, batch.bytes_read)

    def _account(self, stopped: CommandError | None) -> CommandError:
        """The end of the command: why, and what became of every line."""
        parts: list[str] = []
        done = self._flying[0][0].first_line - 1 if self._flying else self._next_line - 1
        if done:
            parts.append(f"every line up to {done} is stored or named above")
        doubtful: list[tuple[int, int, str]] = []
        for batch, sending in self._flying:
            fate = "may be stored or not"
            if not sending.cancelled():
                error = sending.exception()
                if error is None:
                    # It overtook one that failed.
                    self._take(batch, sending.result())
                    continue
                if not isinstance(error, _GivenUpError):
                    raise error
                if stopped is None:
                    stopped = error.failure.error(self._service)
                if not error.may_be_stored:
                    fate = "are not stored"
            first = batch.first_line
            if doubtful and doubtful[-1][1:] == (first - 1, fate):
                first, *_ = doubtful.pop()
            doubtful.append((first, batch.last_line, fate))
        parts += [f"lines {first} to {last} {fate}" for first, last, fate in doubtful]
        if not self._read_all:
            parts.append(f"nothing from line {self._next_line} on was sent")
        if stopped is None:
            raise AssertionError("nothing failed")
        return CommandError(
            f"{self._source.name}: stopped: {stopped}; {'; '.join(parts)}",
            exit_code=stopped.exit_code,
        )

    async def _batches(self) -> AsyncIterator[_Batch]:
        clock = asyncio.get_running_loop().time
        lines = Lines()
        bytes_read = 0
        batch = _Batch(1, clock())
        async for chunk in _chunks(self._source):
            bytes_read += len(chunk)
            for number, line in lines.feed(chunk):
                batch.add(number, line)
                if len(batch) >= self._batch_events or batch.event_bytes >= BATCH_BYTES_MAX:
                    batch.last_line, batch.bytes_read = number, bytes_read
                    yield batch
                    batch = _Batch(number + 1, clock())
            late = self._source.waits and clock() - batch.started >= LINGER_SECONDS
            if late and len(batch):
                batch.last_line, batch.bytes_read = lines.number, bytes_read
                yield batch
            if late:
                batch = _Batch(lines.number + 1, clock())
        for number, line in lines.finish():
            batch.add(number, line)
        batch.last_line, batch.bytes_read = lines.number, bytes_read
        yield batch

    async def _send(
        self, channel: grpc.aio.Channel, events: Sequence[NewEvent], lines: Sequence[int]
    ) -> _Receipt:
        """Stores events; raises _GivenUpError if that does not succeed."""
        if not events:
            return _Receipt()
        request = IngestEventsRequest(events=events, accept_valid=True)
        keyed = all(event.external_id for event in events)
        try:
            answer = await self._call(channel, request, keyed=keyed)
        except _GivenUpError as given_up:
            failure = given_up.failure
            if not failure.too_large or given_up.may_be_stored:
                raise
            if len(events) == 1:
                fault = LineFault("", failure.reason, failure.message)
                return _Receipt(faults=((lines[0], fault),))
        else:
            return _receipt(answer, lines)
        # The service takes less at once than was sent.
        half = len(events) // 2
        first = await self._send(channel, events[:half], lines[:half])
        try:
            return first + await self._send(channel, events[half:], lines[half:])
        except _GivenUpError as given_up:
            raise _GivenUpError(given_up.failure, may_be_stored=True) from None

    async def _call(
        self, channel: grpc.aio.Channel, request: IngestEventsRequest, *, keyed: bool
    ) -> IngestEventsResponse:
        """Calls until it gets through, as long as that cannot store an event twice."""
        clock = asyncio.get_running_loop().time
        started = clock()
        delay = RETRY_FIRST_SECONDS
        may_be_stored = False
        while True:
            try:
                answer: IngestEventsResponse = await EventServiceStub(channel).IngestEvents(
                    request,
                    timeout=CALL_SECONDS,
                    metadata=self._service.metadata(),
                    # Where there is no connection, a call that waits for one has
                    # sent nothing; one that fails at once could not be told from
                    # one that failed on its way back.
                    wait_for_ready=self._retry_seconds > 0,
                )
            except grpc.RpcError as error:
                failure = failure_of(error)
            else:
                return answer
            may_be_stored = may_be_stored or not failure.nothing_stored
            wait = max(failure.retry_seconds, random.uniform(delay / 2, delay))  # noqa: S311
            remaining = started + self._retry_seconds - clock() - wait
            if not failure.transient or (may_be_stored and not keyed) or remaining <= 0:
                raise _GivenUpError(failure, may_be_stored=may_be_stored)
            await asyncio.sleep(wait)
            try:
                await _reach(channel, remaining, patient=True)
            except grpc.RpcError as error:
                raise _GivenUpError(failure_of(error), may_be_stored=may_be_stored) from None
            delay = min(delay * 2, RETRY_LONGEST_SECONDS)


def _receipt(answer: IngestEventsResponse, lines: Sequence[int]) -> _Receipt:
    conflicts = (
        (
            lines[conflict.index],
            LineFault(
                "external_id",
                "CONFLICT",
                f"{conflict.external_id} is stored already with other content, which stays "
                f"(event {conflict.event_id})",
            ),
        )
        for conflict in answer.conflicts
    )
    faults = (
        (
            lines[fault.index],
            LineFault(
                fault.path.removeprefix(f"events[{fault.index}]").removeprefix("."),
                fault.reason,
                fault.message,
                fault.value,
            ),
        )
        for fault in answer.faults
    )
    return _Receipt(answer.inserted, answer.duplicates, tuple(conflicts), tuple(faults))


async def _reach(channel: grpc.aio.Channel, seconds: float, *, patient: bool) -> None:
    """Returns once the service answers; raises grpc.RpcError if it does not.

    A request that fails on a connection that never came about could not be told
    from one that fails on its way back. Asking for the health first tells them
    apart, and stores nothing.
    """
    try:
        await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=patient
        )
    except grpc.RpcError as error:
        if failure_of(error).transient:
            raise


async def _chunks(source: Source) -> AsyncIterator[bytes]:
    """What the source holds; empty where it has had nothing new for a while."""
    while True:
        if source.waits and not await _readable(source.descriptor):
            yield b""
            continue
        # A read that need not wait goes by too fast for a thread to be worth it.
        if not (chunk := os.read(source.descriptor, CHUNK_BYTES)):
            return
        yield chunk
        await asyncio.sleep(0)


async def _readable(descriptor: int) -> bool:
    """Whether there is something to read, which is waited for."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    # Making the descriptor non-blocking instead would do so for every process
    # that has it, such as the shell whose terminal it is.
    loop.add_reader(descriptor, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), LINGER_SECONDS)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
