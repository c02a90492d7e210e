"""A stream of batches, stored and acknowledged in the order in which they arrive.

Reading goes ahead of storing by a few batches, so that many go into one
transaction, and waits where too much does. Of a batch that was stored only its
acknowledgement is kept. The stream itself has no state that outlives it: what was
stored already is recognized by its ids.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeAlias, TypeVar

from cost_insights._native.events import StreamedBatch
from cost_insights.errors import (
    FAILURES,
    CostInsightsError,
    FieldFault,
    InvalidEventsError,
    InvalidRequestError,
    RateLimitedError,
    ShuttingDownError,
    malformed_request,
)
from cost_insights.events.ingestor import Ingestor, IngestResult, ingested, refuse_faults
from cost_insights.events.insertion import Outcome
from cost_insights.identity import Caller, Rates

_UNACKNOWLEDGED_BATCHES_MAX = 64
"""The number of batches that are read ahead of the last acknowledged one."""

_WAIT_SECONDS_MAX = 1.0
"""The time after which a caller that must wait is looked up again."""

_STREAM_ID_CHARS_MAX = 128
_SEQUENCE_MAX = (1 << 63) - 1


_T = TypeVar("_T")

_Pending: TypeAlias = asyncio.Future[_T | BaseException]
"""The acknowledgement of a batch that was read, or what the stream must end with."""


class EventStream(Generic[_T]):
    """One stream of one caller."""

    def __init__(
        self,
        ingestor: Ingestor,
        requests: AsyncIterator[bytes],
        authorize: Callable[[], Awaitable[Caller]],
        acknowledge: Callable[[int, IngestResult | CostInsightsError], _T],
        stopping: asyncio.Event,
    ) -> None:
        """`requests` are encoded `StreamEventsRequest`s. `authorize` is asked for each
        of them, so that a revoked token ends a stream that runs. `acknowledge` makes an
        acknowledgement of a sequence and the result of its batch."""
        self._ingestor = ingestor
        self._requests = requests
        self._authorize = authorize
        self._acknowledge = acknowledge
        self._stopping = stopping
        self._stream_id = ""
        self._sequence = 0

    async def acknowledgements(self) -> AsyncGenerator[_T, None]:
        """Stores the batches and yields their acknowledgements, in order.

        Ends with the requests. Raises InvalidRequestError for a request that is no
        part of the stream, ShuttingDownError while the service stops, and what
        `authorize` raises, each after the acknowledgements of all batches before.
        """
        pending: asyncio.Queue[_Pending[_T] | BaseException | None] = asyncio.Queue(
            _UNACKNOWLEDGED_BATCHES_MAX
        )
        reading = asyncio.create_task(self._read(pending))
        one: _Pending[_T] | BaseException | None
        acknowledgement: _T | BaseException | None = None
        try:
            while (one := await pending.get()) is not None:
                if isinstance(one, BaseException):
                    raise one
                acknowledgement = await one
                if isinstance(acknowledgement, BaseException):
                    raise acknowledgement
                yield acknowledgement
        finally:
            # An error whose traceback leads here must not be found here: a cycle would keep it,
            # and with it the request.
            one = acknowledgement = None
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _read(self, pending: "asyncio.Queue[_Pending[_T] | BaseException | None]") -> None:
        try:
            while (request := await self._next_request()) is not None:
                begun = self._begin(request)
                # Nothing holds a request while the next one is awaited.
                del request
                await pending.put(await begun)
        except FAILURES as error:  # raised where the acknowledgements are
            await pending.put(error)
        else:
            await pending.put(None)

    async def _next_request(self) -> bytes | None:
        """The next request; None at the end."""
        reading = asyncio.ensure_future(anext(self._requests, None))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not reading.done():
                reading.cancel()
        if not reading.done() or reading.cancelled():
            raise ShuttingDownError
        return reading.result()

    async def _begin(self, request: bytes) -> "_Pending[_T]":
        # Whoever sends too much is not refused but not read any further.
        caller = await self._in_turn(await self._authorize(), lambda rates: rates.take_request())
        organization = caller.organization
        await self._ingestor.until_room(organization)
        streamed = await self._ingestor.decode_streamed(organization, request, self._stream_id)
        fault = streamed.batch.request_fault
        if fault is not None and fault.reason == "MALFORMED_REQUEST":
            raise malformed_request("cost_insights.v1.StreamEventsRequest")
        self._check_place(streamed)
        sequence = streamed.sequence
        self._stream_id, self._sequence = streamed.stream_id, sequence
        acknowledged: _Pending[_T] = asyncio.get_running_loop().create_future()
        try:
            refuse_faults(streamed.batch)
        except InvalidEventsError as error:
            acknowledged.set_result(self._acknowledge(sequence, error))
            return acknowledged

        await self._in_turn(caller, lambda rates: rates.take_events(len(streamed.batch)))

        def acknowledge(stored: asyncio.Future[Outcome]) -> None:
            if not acknowledged.done():
                acknowledged.set_result(self._acknowledgement(sequence, stored))

        self._ingestor.enqueue(organization, streamed.batch, len(request)).add_done_callback(
            acknowledge
        )
        return acknowledged

    async def _in_turn(self, caller: Caller, take: Callable[[Rates], None]) -> Caller:
        """The caller, once its rates give what is taken from them."""
        while True:
            try:
                take(caller.rates)
            except RateLimitedError as error:
                wait_seconds = min(error.wait_ms / 1_000, _WAIT_SECONDS_MAX)
            else:
                return caller
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._stopping.wait()
                    raise ShuttingDownError
            # A token may have been revoked meanwhile, or a limit changed.
            caller = await self._authorize()

    def _acknowledgement(
        self, sequence: int, stored: asyncio.Future[Outcome]
    ) -> "_T | BaseException":
        """The acknowledgement of a batch, or what the stream must end with."""
        try:
            return self._acknowledge(sequence, ingested(stored.result()))
        except CostInsightsError as error:
            return self._acknowledge(sequence, error)
        except FAILURES as error:  # raised where the acknowledgements are
            return error

    def _check_place(self, streamed: StreamedBatch) -> None:
        faults = list(_stream_id_faults(streamed.stream_id, self._stream_id))
        if streamed.sequence <= self._sequence:
            faults.append(
                FieldFault(
                    "sequence",
                    "NUMBER_OUT_OF_RANGE",
                    f"the sequence {streamed.sequence} is not greater than {self._sequence}, the "
                    "sequence of the previous batch",
                    str(streamed.sequence),
                    {"min": str(self._sequence + 1), "max": str(_SEQUENCE_MAX)},
                )
            )
        if faults:
            raise InvalidRequestError(faults)


def _stream_id_faults(stream_id: str, before: str) -> Iterator[FieldFault]:
    shown = stream_id[:64].replace("\0", "\\u0000")
    if not stream_id:
        yield FieldFault(
            "stream_id",
            "FIELD_REQUIRED",
            "the stream id is absent or empty; the first message of a stream requires it",
        )
    if before and stream_id != before:
        yield FieldFault(
            "stream_id",
            "FIELDS_CONFLICT",
            f"the stream id {shown!r} is not {before!r}, the id of this stream",
            shown,
            {"other": before},
        )
    if len(stream_id) > _STREAM_ID_CHARS_MAX:
        yield FieldFault(
            "stream_id",
            "TEXT_TOO_LONG",
            f"the stream id has {len(stream_id)} characters; "
            f"at most {_STREAM_ID_CHARS_MAX} are allowed",
            shown,
            {"characters": str(len(stream_id)), "characters_max": str(_STREAM_ID_CHARS_MAX)},
        )
    if "\0" in stream_id:
        yield FieldFault(
            "stream_id", "TEXT_MALFORMED", "the stream id holds the character U+0000", shown
        )
