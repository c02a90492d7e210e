"""The memory that waiting streams hold unseen.

The gRPC runtime tells of a message once it has all of it, and a stream may wait for its next
request for hours. So a wait is charged little, and what has arrived of a large request is not
charged. Where more memory is held than the budget and others account for, the waiting streams of
one organization after the other are ended, those of the one with the most of them first, until it
is given back. Their clients go on with other streams, from what was acknowledged.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from cost_insights.api.admission import Budget
from cost_insights.errors import OverloadedError
from cost_insights.identity import Organization
from cost_insights.memory import allocated_bytes, private_bytes

_LOOK_SECONDS: Final = 0.025

_LOOKING_MAX: Final = 50
"""After a look, the watch rests for at least so many times as long as the look took."""

_UNSEEN_PARTS: Final = 8
"""One part in so many of the budget may be held unseen: memory is not accounted for exactly."""

_FREEING_SECONDS: Final = 0.2
"""The time after which the memory of streams that were ended is given back for certain."""

_REFILLING_SECONDS: Final = 1.0
"""The time for which nobody else is suspected while those that are go on with other streams."""

_SHARE: Final = 0.25
"""An organization had no part in it if less than this share is given back once its streams end."""

_REMEMBERED_SECONDS: Final = 60.0
"""The time for which an organization is known to have had a part in it, or none."""


@dataclass(slots=True, eq=False)
class _Wait:
    """A stream that waits for its next request."""

    task: asyncio.Task[Any]
    error: OverloadedError | None = None


@dataclass(slots=True)
class _Suspect:
    """An organization whose streams were ended, and are ended whenever too much is held."""

    since: float
    unseen_bytes: int
    unaccounted_bytes: int
    """The memory that nothing accounted for when the organization was suspected."""

    least_bytes: int
    """The least that nothing has accounted for since."""


class StreamWatch:
    """Watches over the memory of the process while streams wait; for one event loop."""

    def __init__(
        self, budget: Budget, *, request_bytes_max: int, other_bytes: Callable[[], int]
    ) -> None:
        """`other_bytes` are those that the process may hold at present besides the budget."""
        self._budget = budget
        self._request_bytes_max = request_bytes_max
        self._other_bytes = other_bytes
        self._unseen_bytes_max = budget.bytes_max // _UNSEEN_PARTS
        self._waits: defaultdict[int, set[_Wait]] = defaultdict(set)
        self._private_bytes = 0
        """The private memory of the process when streams began to wait."""

        self._base_bytes = 0
        """The most that is known to be allocated for neither the budget nor others nor streams."""

        self._suspects: dict[int, _Suspect] = {}
        self._trusted: dict[int, float] = {}
        """The organizations that had no part in it, by the times at which that was found."""

        self._low_at = 0.0
        """The last time at which no more was held unseen than may be."""

        self._suspected_at = self._ended_at = 0.0
        """The last times at which an organization was suspected and a stream was ended."""

        self._timer: asyncio.TimerHandle | None = None

    async def arrival(
        self, request: Awaitable[bytes | None], organization: Organization
    ) -> bytes | None:
        """The next request of a stream, once it has arrived; None at the end.

        Raises OverloadedError if the stream is ended to get memory back.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - every call has a task
        if self._timer is None:
            self._begin()
        wait = _Wait(task)
        owner = organization.number
        self._waits[owner].add(wait)
        try:
            return await request
        except asyncio.CancelledError:
            if wait.error is None:
                raise
            task.uncancel()
            raise wait.error from None
        finally:
            waits = self._waits[owner]
            waits.discard(wait)
            if not waits:
                del self._waits[owner]

    def _begin(self) -> None:
        self._private_bytes = private_bytes()
        self._base_bytes = self._unaccounted_bytes()
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if not self._waits:
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Seldom does the process hold so much that a closer look is needed.
        if self._suspects or private_bytes() - self._private_bytes > self._unseen_bytes_max:
            self._look_closely(now)
        else:
            self._low_at = now
        seconds = _LOOKING_MAX * (loop.time() - now)
        self._timer = loop.call_later(max(_LOOK_SECONDS, seconds), self._look)

    def _look_closely(self, now: float) -> None:
        """Ends streams if more is held unseen than may be."""
        unaccounted = self._unaccounted_bytes()
        hidden_max = self._request_bytes_max * sum(map(len, self._waits.values()))
        self._base_bytes = max(self._base_bytes, unaccounted - hidden_max)
        unseen = unaccounted - self._base_bytes
        self._judge(unaccounted, now)
        if unseen <= self._unseen_bytes_max:
            self._low_at = now
            return
        self._end_suspected(unseen, now)
        if (
            not self._suspects
            or now - self._ended_at >= _FREEING_SECONDS
            or now - max(self._low_at, self._suspected_at) >= _REFILLING_SECONDS
        ):
            # That was not enough.
            others = self._waits.keys() - self._suspects.keys() - self._trusted.keys()
            if others:
                owner = max(others, key=lambda one: len(self._waits[one]))
                self._suspects[owner] = _Suspect(now, unseen, unaccounted, unaccounted)
                self._suspected_at = now
                self._end_suspected(unseen, now)
            elif not self._suspects:
                # It was there when the streams of each had ended.
                self._base_bytes = unaccounted

    def _end_suspected(self, unseen: int, now: float) -> None:
        """Ends the streams of those that are suspected."""
        for owner in self._suspects:
            for wait in self._waits.get(owner, ()):
                if wait.error is None:
                    wait.error = self._budget.overloaded(unseen)
                    wait.task.cancel()
                    self._ended_at = now

    def _judge(self, unaccounted: int, now: float) -> None:
        """Trusts those whose streams have ended without giving anything back."""
        for owner, suspect in list(self._suspects.items()):
            suspect.least_bytes = min(suspect.least_bytes, unaccounted)
            freed = suspect.unaccounted_bytes - suspect.least_bytes
            if now - suspect.since > _REMEMBERED_SECONDS:
                del self._suspects[owner]
            elif now - suspect.since >= _FREEING_SECONDS and freed < _SHARE * suspect.unseen_bytes:
                del self._suspects[owner]
                self._trusted[owner] = now
        for owner, found in list(self._trusted.items()):
            if now - found > _REMEMBERED_SECONDS:
                del self._trusted[owner]

    def _unaccounted_bytes(self) -> int:
        """The allocated bytes that neither the budget nor others account for."""
        return allocated_bytes() - self._budget.held_bytes - self._other_bytes()
