"""Reading the message of a call: only with room for it, and only for so long.

The runtime tells the size of a message once it has all of it. So a call reads with room for what
its organization usually sends, and one that takes longer than a moment needs room for the largest
message there may be: whoever announces much and sends it slowly holds what it may come to. Calls of
an organization that holds much already have that room from the start, since a fast client sends
many large messages within a moment.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc

from cost_insights.api.admission import CALL_BYTES, COPIES, Budget, Reservation
from cost_insights.errors import (
    CostInsightsError,
    OverloadedError,
    RequestTimeoutError,
)
from cost_insights.identity import Organization

_MOMENT_SECONDS: Final = 0.05
"""The time between two looks; a message that has not arrived at the second of them may be slow."""

_BUSY_SECONDS: Final = 0.02
_BUSY_MESSAGES: Final = 16
"""The loop is busy if so many messages were read since the last look, or any if it comes so late:
then others may have arrived and wait for their turn."""

_SLOWER: Final = 4
"""Beside a busy loop, a message is slow if it takes so many times as long as the fastest one."""

_PATIENCE_SECONDS: Final = 2
"""The time for which a slow message may go on without room for the largest one, if its organization
holds little: others may have taken the room."""

_LITTLE_BYTES: Final = 4 * CALL_BYTES

_CANCELLATION_SECONDS: Final = 0.02

_GROWTH: Final = 2
"""A message may be so many times as large as usual without being waited for."""

Context = grpc.aio.ServicerContext[Any, Any]


async def read(context: Context) -> bytes | None:
    """The next message of a call; None at its end."""
    message = await context.read()
    if message is not grpc.aio.EOF:
        return cast("bytes", message)
    # What the runtime refuses looks like the end, until it cancels the call a moment later.
    # Whoever went on would send a status to a call that is over.
    await asyncio.sleep(_CANCELLATION_SECONDS)
    return None


async def write(context: Context, message: bytes) -> None:
    """Writes a message of an answer; raises CancelledError if the client has left."""
    try:
        await context.write(message)
    except grpc.aio.InternalError:
        # The runtime cancels the call a moment later.
        await asyncio.sleep(_CANCELLATION_SECONDS)
        raise asyncio.CancelledError from None


@dataclass(slots=True)
class _Reading:
    """A message that is being read."""

    since: float
    reservation: Reservation | None
    """None where room for the largest message is held already."""

    looks: int = 0


class MessageReader:
    """Reads the first message of calls; one timer ends all waits that take too long."""

    def __init__(self, *, bytes_max: int, seconds_max: float) -> None:
        self.bytes_max = bytes_max
        self._seconds_max = seconds_max
        # By their tasks, in the order in which they began.
        self._readings: dict[asyncio.Task[Any], _Reading] = {}
        self._errors: dict[asyncio.Task[Any], CostInsightsError] = {}
        self._read = 0
        self._fastest = math.inf
        """The number of messages since the last look, and the seconds that the fastest of them
        took."""

        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def room(
        self, budget: Budget, organization: Organization, *, ingests: bool = False
    ) -> Reservation:
        """Room to read a message; raises OverloadedError if there is none for some seconds."""
        expected = min(self.bytes_max, _GROWTH * budget.usual_bytes(organization))
        size = max(CALL_BYTES, COPIES * expected)
        if budget.holds_much(organization):
            size = max(size, self.bytes_max)
        return await budget.room(organization, size, ingests=ingests, in_rounds=ingests)

    async def read(self, context: Context, reservation: Reservation | None = None) -> bytes | None:
        """The message of a call; None if it has none.

        Raises RequestTimeoutError if it does not arrive in time, and OverloadedError if it is slow
        and the reservation finds no room for the largest message.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - every call has a task
        began = loop.time()
        self._readings[task] = _Reading(began, reservation)
        if self._timer is None:
            self._timer = loop.call_later(_MOMENT_SECONDS, self._look)
        try:
            message = await read(context)
        except asyncio.CancelledError:
            error = self._errors.pop(task, None)
            if error is None:
                raise
            task.uncancel()
            raise error from None
        finally:
            self._readings.pop(task, None)
        self._read += 1
        self._fastest = min(self._fastest, loop.time() - began)
        return message

    def _look(self) -> None:
        """Looks after the messages that have not arrived."""
        assert self._loop is not None  # noqa: S101 - a timer runs in a loop
        assert self._timer is not None  # noqa: S101 - it has just run out
        now = self._loop.time()
        is_late = now - self._timer.when() > _BUSY_SECONDS
        is_busy = self._read >= (1 if is_late else _BUSY_MESSAGES)
        slow_seconds = _SLOWER * self._fastest if is_busy else 0.0
        self._read, self._fastest = 0, math.inf
        for task, reading in list(self._readings.items()):
            reading.looks += 1
            age = now - reading.since
            if age > self._seconds_max:
                self._end(task, RequestTimeoutError(self._seconds_max))
            elif reading.looks > 1 and reading.reservation is not None and age > slow_seconds:
                self._provide(task, reading, reading.reservation, now)
        self._timer = self._loop.call_later(_MOMENT_SECONDS, self._look) if self._readings else None

    def _provide(
        self, task: asyncio.Task[Any], reading: _Reading, reservation: Reservation, now: float
    ) -> None:
        """Provides room for the largest message, or ends the wait for it."""
        try:
            reservation.enlarge(self.bytes_max)
            reading.reservation = None
        except OverloadedError as error:
            is_patient = now - reading.since < _PATIENCE_SECONDS
            if reservation.owner_bytes > _LITTLE_BYTES or not is_patient:
                self._end(task, error)

    def _end(self, task: asyncio.Task[Any], error: CostInsightsError) -> None:
        del self._readings[task]
        self._errors[task] = error
        task.cancel()
