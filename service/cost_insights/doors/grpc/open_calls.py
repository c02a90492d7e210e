"""Calls that need no token: few at a time and short, so that nobody can take what callers need.

The messages of strangers are not charged to the budget, because no organization answers for them.
There may be so few at a time that all of them together are small.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from cost_insights.doors.grpc.messages import Context
from cost_insights.errors import OverloadedError, RequestTimeoutError, ShuttingDownError


class OpenCalls:
    """The calls of one kind that are open to anybody."""

    def __init__(self, kind: str, *, calls_max: int, seconds_max: float) -> None:
        """`kind` is for errors, such as `health watches`."""
        self._kind = kind
        self._calls_max = calls_max
        self._seconds_max = seconds_max
        self._calls = 0
        self._running: set[asyncio.Timeout] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def call(self, context: Context) -> AsyncIterator[None]:
        """Runs a call within the limits.

        Raises OverloadedError if too many run, RequestTimeoutError at the end of its lifetime, and
        ShuttingDownError once the service stops.
        """
        if self._calls >= self._calls_max:
            raise OverloadedError(
                f"{self._calls} {self._kind} run, as many as are allowed; try again later",
                reason="OVERLOADED",
                facts={"calls": str(self._calls), "calls_max": str(self._calls_max)},
            )
        self._calls += 1
        try:
            # By itself the runtime sends the metadata with the first message. If it were
            # interrupted there, it would not know that it has, and fail to end the call.
            await context.send_initial_metadata(())
            if self._closed:
                raise ShuttingDownError
            async with asyncio.timeout(self._seconds_max) as lifetime:
                self._running.add(lifetime)
                try:
                    yield
                finally:
                    self._running.discard(lifetime)
        except TimeoutError:
            error = ShuttingDownError() if self._closed else RequestTimeoutError(self._seconds_max)
            raise error from None
        finally:
            self._calls -= 1

    def close(self) -> None:
        """Ends the running calls and refuses others."""
        self._closed = True
        for lifetime in self._running:
            lifetime.reschedule(asyncio.get_running_loop().time())
