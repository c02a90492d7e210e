"""Sending the records of a source to a service, with an account of every record.

Batches go out on one stream and are settled in the order of the input, so faults are reported in
that order and it is always known up to which line everything is done. Only a few batches are held
in memory, however large the input is. A batch keeps its place in the stream, by which the service
recognizes what it has already stored: after any failure, everything that is not acknowledged is
simply sent again.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc

from cost_insights import clock
from cost_insights._native.events import EventBatch, Limits, decode_streamed
from cost_insights.client.failures import Failure, failure_of, failure_of_status
from cost_insights.client.service import Service
from cost_insights.files.checkpoint import Checkpoint, Counts, State
from cost_insights.files.errors import (
    CallFailedError,
    FilesError,
    InterruptedRunError,
    SourceChangedError,
    SourceError,
    StoppedError,
)
from cost_insights.files.ndjson import LineFault, Record
from cost_insights.files.source import Content, Source, SourceStoppedError
from cost_insights.v1.event_pb2 import NewEvent
from cost_insights.v1.event_service_pb2 import (
    IngestEventsRequest,
    IngestEventsResponse,
    StreamEventsRequest,
    StreamEventsResponse,
)
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub

IN_FLIGHT_MAX: Final = 16
"""The number of batches that may be read and not yet acknowledged. The service stores what arrives
during one transaction in the next one, so a few batches on their way keep it busy."""

BATCH_BYTES_MAX: Final = 1024 * 1024
"""The size of text and messages at which a batch ends, however few events it has. With one more
event it is still far below what a service accepts by default."""

LINGER_SECONDS: Final = 1.0
"""The time for which events of a slow source wait for more."""

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
"""The time without an acknowledgement after which a stream counts as broken."""
LAND_SECONDS: Final = 5.0
"""The time to wait for batches in flight after an interrupt."""

RETRY_FIRST_SECONDS: Final = 0.1
RETRY_LONGEST_SECONDS: Final = 5.0

_METHOD: Final = "/cost_insights.v1.EventService/StreamEvents"

_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.ABORTED,
    }
)
"""The codes with which a call may also end when its connection breaks."""


class Watcher(Protocol):
    """Receives the faults and the progress of a run."""

    def fault(self, line: int, fault: LineFault, text: bytes | None, begins: int | None) -> None:
        """Reports a record that was not stored, or whose external id is taken.

        `text` is the text of the record. If `begins` is given, it is the line in which the event
        begins, and `line` is the number of the event in the file.
        """

    def progress(self, counts: Counts, bytes_read: int) -> None:
        """Reports that more records are done."""


@dataclass
class _Batch:
    """The records of one request."""

    sequence: int
    first_line: int
    started: float
    last_line: int = 0
    bytes_read: int = 0
    """The number of bytes of the source that were read when the batch was complete."""
    content: Content = field(default_factory=Content)
    """The content of the source that was read by then."""
    request: bytes = b""
    event_lines: list[int] = field(default_factory=list)
    """The line of each event."""
    faults: list[tuple[int, LineFault]] = field(default_factory=list)
    """The records that are not events, each with its line and its fault."""
    lines_damaged: int = 0
    """The number of lines that these records take beyond their first ones."""
    texts: dict[int, bytes | None] = field(default_factory=dict)
    """The text of each record, by line."""
    begins: dict[int, int] = field(default_factory=dict)
    """The line in which each event begins, in a file that is not one of lines."""
    weight: int = 0
    sent: float | None = None
    """The time at which the batch went out on the current stream."""
    ever_sent: bool = False
    answer: IngestEventsResponse | LineFault | None = None
    """The answer of the service; a fault applies to all events of the batch."""

    def add(self, record: Record) -> None:
        """Takes a record in."""
        self.last_line = record.line
        self.texts[record.line] = record.text
        if record.begins is not None:
            self.begins[record.line] = record.begins
        self.weight += len(record.text or b"")
        if isinstance(record.event, LineFault):
            self.faults.append((record.line, record.event))
            self.lines_damaged += record.lines - 1
        else:
            self.event_lines.append(record.line)
            self.weight += record.event.ByteSize()

    def __len__(self) -> int:
        return len(self.event_lines) + len(self.faults)


class Sender:
    """Sends the records of one source."""

    def __init__(
        self,
        source: Source,
        service: Service,
        watcher: Watcher,
        checkpoint: Checkpoint,
        *,
        retry_seconds: float,
    ) -> None:
        self._source = source
        self._service = service
        self._watcher = watcher
        self._checkpoint = checkpoint
        self._retry_seconds = retry_seconds
        self.counts = checkpoint.state.counts
        self._window: deque[_Batch] = deque()
        """The batches that are read and not settled, in the order of the input."""
        self._seats = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._news = asyncio.Event()
        """Set when there may be a batch to write, or when no more will come."""
        self._read_all = False
        self._read_to_end = False
        """Whether the source was read to its end; false if the rest cannot or need not be read."""
        self._halting = asyncio.Event()
        """Set when nothing more is to be sent."""
        self._next_line = checkpoint.state.line
        """The line after the last batch that was read."""
        self._unit = "line"
        """The unit in which the places of the input are counted: lines or events."""
        self._heard = 0.0
        self._certain = True
        """Whether it is known of every batch sent whether it was stored."""

    async def run(self) -> None:
        """Sends everything.

        Raises CallFailedError if the service refuses to store anything, SourceChangedError if the
        input is not the one that an earlier run read, StoppedError if it has to stop before the
        end for any other cause, and CheckpointError if it then cannot keep the progress.
        """
        async with self._service.aio_channel() as channel:
            failure = await self._probe(channel)
            if failure is not None:
                raise CallFailedError(failure)
            loop = asyncio.get_running_loop()
            reading = asyncio.create_task(asyncio.to_thread(self._read, loop))
            reading.add_done_callback(self._end_reading)
            delivering = asyncio.create_task(self._deliver(channel))
            stopped: FilesError | None = None
            try:
                await asyncio.wait({delivering})
            except asyncio.CancelledError:
                stopped = InterruptedRunError()
                # What is on its way is waited for, but not tried again.
                await self._land(delivering)
            self._source.stop()
            self._halting.set()
            # The reader may be waiting for a seat, and learns there that it is over.
            self._seats.release()
            await asyncio.wait({reading})
            stopped = stopped or _why_stopped(delivering) or _why_broken(reading)
        if stopped is None:
            self._checkpoint.remove()
            return
        raise self._account(stopped)

    async def _land(self, delivering: "asyncio.Task[None]") -> None:
        self._halting.set()
        self._news.set()
        await asyncio.wait({delivering}, timeout=LAND_SECONDS)
        delivering.cancel()
        await asyncio.wait({delivering})

    def _account(self, cause: FilesError) -> StoppedError:
        """The error of a run that stopped: why, and what became of every line."""
        checkpoint = self._checkpoint
        done = checkpoint.state.line - 1
        parts: list[str] = []
        if done:
            parts.append(f"every {self._unit} up to {done} is stored or reported")
        sent = max((batch.last_line for batch in self._window if batch.ever_sent), default=done)
        nothing_stored = self._certain and not checkpoint.resumed and not done
        if sent > done and not nothing_stored:
            parts.append(f"{self._unit}s {done + 1} to {sent} may be stored or not")
        elif nothing_stored:
            sent = 0
        if sent + 1 < self._next_line or not self._read_to_end:
            parts.append(f"nothing from {self._unit} {sent + 1} on was stored")
        if nothing_stored:
            checkpoint.remove()
        elif checkpoint.file is not None:
            checkpoint.keep()
        resumable = not nothing_stored and checkpoint.file is not None
        return StoppedError(self._source.name, cause, tuple(parts), resumable=resumable)

    # Reading, in a thread.

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        def put(batch: _Batch) -> None:
            asyncio.run_coroutine_threadsafe(self._put(batch), loop).result()

        # A run that goes on after another must cut the same batches, so where that
        # may be, only what is in the input decides, and not when it came.
        linger = self._source.waits and self._checkpoint.file is None
        cutter = _Cutter(self._source, self._checkpoint, put, linger=linger)
        try:
            state = self._checkpoint.state
            for record in self._source.records(
                first_line=state.line, beginning=state.content, idle=cutter.idle
            ):
                self._unit = "line" if record.begins is None else "event"
                cutter.add(record)
        except SourceError:
            cutter.cut()
            raise
        cutter.cut()

    async def _put(self, batch: _Batch) -> None:
        await self._seats.acquire()
        if self._halting.is_set():
            self._seats.release()
            raise SourceStoppedError
        if not batch.event_lines:
            batch.answer = IngestEventsResponse()
        self._window.append(batch)
        self._next_line = batch.last_line + 1
        self._news.set()

    def _end_reading(self, reading: "asyncio.Task[None]") -> None:
        self._read_all = True
        self._read_to_end = not reading.cancelled() and reading.exception() is None
        self._news.set()

    # Writing and hearing.

    async def _deliver(self, channel: grpc.aio.Channel) -> None:
        """Opens one stream after another until every batch is settled."""
        clock = asyncio.get_running_loop().time
        failing_since: float | None = None
        delay = RETRY_FIRST_SECONDS
        while True:
            sequence = self._checkpoint.state.sequence
            failure = await self._probe(channel) or await self._stream(channel)
            if failure is None or self._halting.is_set():
                return
            if (
                failing_since is None
                or not self._window
                or self._checkpoint.state.sequence > sequence
            ):
                failing_since, delay = clock(), RETRY_FIRST_SECONDS
            if not _passes(failure):
                raise CallFailedError(failure)
            wait = max(failure.retry_seconds, random.uniform(delay / 2, delay))  # noqa: S311
            if clock() + wait - failing_since >= self._retry_seconds:
                raise CallFailedError(failure, gave_up=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._halting.wait(), wait)
                return
            delay = min(delay * 2, RETRY_LONGEST_SECONDS)

    async def _probe(self, channel: grpc.aio.Channel) -> Failure | None:
        """Asks the service to store nothing, and returns the failure if it refuses.

        The gRPC runtime may hide why a service has ended a stream that is being written to, so a
        caller without access learns the reason here, before anything is sent.
        """
        try:
            await EventServiceStub(channel).IngestEvents(
                IngestEventsRequest(), timeout=CONNECT_SECONDS, metadata=self._service.metadata()
            )
        except grpc.RpcError as error:
            failure = failure_of(error)
            # A service that is busy slows a stream down where it refuses a call.
            return None if failure.reason and failure.is_transient else failure
        return None

    async def _stream(self, channel: grpc.aio.Channel) -> Failure | None:
        """Sends the batches without an answer and those that follow; returns the failure that ended
        the stream early, or None."""
        for batch in self._window:
            batch.sent = None
        call: Any = channel.stream_stream(
            _METHOD, response_deserializer=StreamEventsResponse.FromString
        )(metadata=self._service.metadata())
        pause = asyncio.Event()
        writing = asyncio.create_task(self._write(call, pause))
        failure: Failure | None = None
        try:
            failure = await self._hear(call, pause)
        except grpc.RpcError as error:
            failure = failure_of(error)
        except asyncio.CancelledError:
            # It may be the writer that has ended the call; its reason is raised below.
            if not writing.done() or writing.cancelled() or writing.exception() is None:
                raise
        finally:
            call.cancel()
            writing.cancel()
            await asyncio.wait({writing})
            unanswered = any(batch.sent and batch.answer is None for batch in self._window)
            if unanswered:
                self._certain = False
        if not writing.cancelled() and (broken := writing.exception()) is not None:
            raise broken
        return failure

    async def _write(self, call: Any, pause: asyncio.Event) -> None:
        sequence = 0
        try:
            while not (pause.is_set() or self._halting.is_set()):
                self._settle()
                batch = next(
                    (b for b in self._window if b.answer is None and b.sequence > sequence), None
                )
                if batch is not None:
                    # With the checkpoint the id of the stream is there to go on with.
                    self._checkpoint.begin()
                    sequence = batch.sequence
                    batch.sent, batch.ever_sent = time.monotonic(), True
                    await call.write(batch.request)
                elif self._read_all:
                    break
                else:
                    self._news.clear()
                    await self._news.wait()
            await call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            # The stream is broken; who hears it learns why.
            pass
        except BaseException:
            call.cancel()
            raise

    async def _hear(self, call: Any, pause: asyncio.Event) -> Failure | None:
        again: Failure | None = None
        while (heard := await self._next_answer(call)) is not None:
            self._heard = time.monotonic()
            batch = next((b for b in self._window if b.sequence == heard.sequence), None)
            if batch is None or batch.answer is not None:
                continue
            failure = failure_of_status(heard.error) if heard.HasField("error") else None
            # A batch that is too large was not stored; any other error may follow a commit.
            self._certain = self._certain and failure is not None and failure.is_too_large
            if failure is None:
                batch.answer = heard.batch
            elif _passes(failure) or failure.is_too_large:
                # A sequence can only be sent again on a new stream. Those behind it
                # are waited for first: what they answer need not be asked again.
                again = again or failure
                batch.sent = None
                pause.set()
                self._news.set()
            else:
                kind = failure.reason or failure.code.name
                batch.answer = LineFault("", kind, failure.message)
            self._settle()
        if again is not None or self._halting.is_set() or (self._read_all and not self._window):
            return again
        return Failure(grpc.StatusCode.UNAVAILABLE, "the service ended the stream", "", 0)

    async def _next_answer(self, call: Any) -> StreamEventsResponse | None:
        """The next acknowledgement; None at the end of the stream."""
        reading = asyncio.ensure_future(call.read())
        # If nobody waits for it any more, its error needs no notice.
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        while not (await asyncio.wait({reading}, timeout=ANSWER_SECONDS / 10))[0]:
            oldest = min(
                (b.sent for b in self._window if b.sent and b.answer is None), default=None
            )
            if oldest and time.monotonic() - max(oldest, self._heard) > ANSWER_SECONDS:
                raise grpc.aio.AioRpcError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    grpc.aio.Metadata(),
                    grpc.aio.Metadata(),
                    "no acknowledgement came",
                )
        answer = reading.result()
        return None if answer is grpc.aio.EOF else answer

    # Settling.

    def _settle(self) -> None:
        """Settles the batches that have answers, in the order of the input."""
        while self._window and (answer := self._window[0].answer) is not None:
            batch = self._window.popleft()
            self._take(batch, answer)
            self._seats.release()

    def _take(self, batch: _Batch, answer: IngestEventsResponse | LineFault) -> None:
        refused = list(batch.faults)
        conflicts: list[tuple[int, LineFault]] = []
        if isinstance(answer, LineFault):
            refused += [(line, answer) for line in batch.event_lines]
        else:
            refused += _faults(answer, batch.event_lines)
            conflicts += _conflicts(answer, batch.event_lines)
            self.counts.inserted += answer.inserted
            self.counts.duplicates += answer.duplicates
        for line, fault in sorted([*refused, *conflicts], key=lambda one: one[0]):
            self._watcher.fault(line, fault, batch.texts[line], batch.begins.get(line))
        self.counts.conflicts += len(conflicts)
        # Nobody knows how many events damaged lines would be; one a line is what is said.
        self.counts.refused += len({line for line, _ in refused}) + batch.lines_damaged
        self._checkpoint.advance(batch.sequence, batch.last_line + 1, self.counts, batch.content)
        self._watcher.progress(self.counts, batch.bytes_read)


class Rehearsal:
    """Reads and checks the records of a source as the service would, without sending anything."""

    def __init__(self, source: Source, watcher: Watcher, limits: Limits) -> None:
        self.counts = Counts()
        """The number of records; valid ones count as inserted."""
        self._source = source
        self._watcher = watcher
        self._limits = limits

    def run(self) -> None:
        """Checks every record; raises SourceError if the source cannot be read to its end."""
        state = State(format=self._source.format, batch_events=1_000, batch_bytes=BATCH_BYTES_MAX)
        cutter = _Cutter(self._source, Checkpoint(state), self._check, linger=False)
        try:
            for record in self._source.records():
                cutter.add(record)
        finally:
            cutter.cut()

    def _check(self, batch: _Batch) -> None:
        checked = decode_streamed(
            batch.request,
            stream_id="",
            organization_id=bytes(16),
            now_us=clock.now_us(),
            entropy=bytes(32),
            limits=self._limits,
        ).batch
        refused = list(batch.faults)
        refused += _faults(checked, batch.event_lines)
        for line, found in sorted(refused, key=lambda one: one[0]):
            self._watcher.fault(line, found, batch.texts[line], batch.begins.get(line))
        faulty = len({line for line, _ in refused})
        self.counts.refused += faulty + batch.lines_damaged
        self.counts.inserted += len(batch) - faulty
        self._watcher.progress(self.counts, batch.bytes_read)


class _Cutter:
    """Cuts records into batches."""

    def __init__(
        self,
        source: Source,
        checkpoint: Checkpoint,
        put: Callable[[_Batch], None],
        *,
        linger: bool,
    ) -> None:
        self._source = source
        self._put = put
        self._linger = linger
        self._stream_id = checkpoint.state.stream_id
        self._events: list[NewEvent] = []
        self._events_max = checkpoint.state.batch_events
        self._bytes_max = checkpoint.state.batch_bytes
        self._batch = _Batch(checkpoint.state.sequence + 1, checkpoint.state.line, time.monotonic())

    def add(self, record: Record) -> None:
        """Takes a record in."""
        self._batch.add(record)
        if not isinstance(record.event, LineFault):
            self._events.append(record.event)
        if len(self._batch) >= self._events_max or self._batch.weight >= self._bytes_max:
            self.cut()
        else:
            self.idle()

    def idle(self) -> None:
        """Ends the batch if it has waited long enough."""
        if self._linger and time.monotonic() - self._batch.started >= LINGER_SECONDS:
            self.cut()

    def cut(self) -> None:
        """Ends the batch."""
        batch = self._batch
        batch.bytes_read, batch.content = self._source.bytes_read, self._source.content
        if len(batch):
            # Bytes are what is held until they are acknowledged: messages take many times more.
            batch.request = StreamEventsRequest(
                stream_id=self._stream_id,
                sequence=batch.sequence,
                batch=IngestEventsRequest(events=self._events, accept_valid=True),
            ).SerializeToString()
            self._events.clear()
            self._put(batch)
            self._batch = _Batch(batch.sequence + 1, batch.last_line + 1, time.monotonic())
        else:
            batch.started = time.monotonic()


def _passes(failure: Failure) -> bool:
    """Whether the same batch may be stored later."""
    return failure.is_transient or (not failure.reason and failure.code in _PASSING)


def _why_stopped(delivering: "asyncio.Task[None]") -> FilesError | None:
    if delivering.cancelled() or (error := delivering.exception()) is None:
        return None
    if isinstance(error, FilesError):
        return error
    raise error


def _why_broken(reading: "asyncio.Task[None]") -> FilesError | None:
    error = reading.exception()
    if error is None or isinstance(error, SourceStoppedError):
        return None
    # The account of a run would be about another input.
    if isinstance(error, FilesError) and not isinstance(error, SourceChangedError):
        return error
    raise error


def _conflicts(answer: IngestEventsResponse, lines: list[int]) -> Iterator[tuple[int, LineFault]]:
    for conflict in answer.conflicts:
        message = (
            f"{conflict.external_id or 'the external id'} is already stored with other content, "
            "which does not change "
            f"(event {conflict.event_id})"
        )
        yield lines[conflict.index], LineFault("external_id", "CONFLICT", message)


def _faults(
    answer: IngestEventsResponse | EventBatch, lines: list[int]
) -> Iterator[tuple[int, LineFault]]:
    for fault in answer.faults:
        path = fault.path.removeprefix(f"events[{fault.index}]").removeprefix(".")
        message = fault.message or f"{fault.reason}; smaller batches (--batch-events) say more"
        yield lines[fault.index], LineFault(path, fault.reason, message, fault.value)
