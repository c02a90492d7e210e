"""Rounds: where many calls ingest at a time, they are begun together when no more of them arrive.

The runtime of gRPC hands calls over one by one, in the order in which they came, and only as fast
as the event loop gets round to it. A call that is begun at once makes it wait: then most calls
wait in the queue of the runtime, where nobody knows whose they are. So a round begins when
no call has arrived for a moment: whoever waits does so where organizations take turns. It is
faster, too, since the event loop and the thread that stores events hinder each other less.

While several organizations ingest, each has about as many calls in work as the others: what these
calls take of the processors is shared by no queue behind them.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterable
from typing import Final

CALLS_MAX: Final = 256
"""The number of calls that an organization has in work while no other one calls. More would not
make it faster."""

MANY_CALLS: Final = 64
"""The number of calls in work from which there are rounds; and the most that an organization has
while several call."""

_FEW_CALLS: Final = MANY_CALLS // 2
"""Rounds end once there are fewer calls, waiting or in work."""

_LEAST_CALLS: Final = 8
"""The number that an organization may have beside one with fewer. With more, a call of the other
one would wait for too many; with less, transactions would be short and all calls slow."""

_SHARED_SECONDS: Final = 1.0
"""The time for which organizations share after calls of two of them came in turn: one that sends
one request after the other has none in work now and then, and if it came back after sharing had
ended, its calls would wait for all those that the other had begun meanwhile."""

_MOMENT_SECONDS: Final = 0.001
_LOOK_SECONDS: Final = _MOMENT_SECONDS / 3
_ARRIVING_SECONDS_MAX: Final = 0.05
"""A round begins when no call has arrived for a moment, which is looked at so often; and after that
time where calls never cease to arrive."""


class Rounds:
    """Decides when calls that ingest are begun, and how many; for one event loop."""

    def __init__(self) -> None:
        self.are_needed = False
        """Whether calls wait for the next round; otherwise each is begun at once."""

        self._limit = MANY_CALLS
        self._calling = _Sharing()
        self._ingesting = _Sharing()
        self._arrivals = 0
        self._begin: Callable[[], None] | None = None

    def arrives(self, organization: int, *, ingests: bool) -> None:
        """Takes note of a call of the organization of that number."""
        self._arrivals += 1
        self._calling.note(organization)
        if ingests:
            self._ingesting.note(organization)

    def allow(self, of_organization: int, of_all: int) -> bool:
        """Whether an organization with so many calls in work may begin another one."""
        if not self.are_needed and of_all >= MANY_CALLS:
            self.are_needed = True
            self._limit = MANY_CALLS
        return not self.are_needed or of_organization < self._limit

    def request(self, begin: Callable[[], None]) -> None:
        """Calls `begin` when the next round begins."""
        if self._begin is None:
            self._begin = begin
            now = time.monotonic()
            self._look(self._arrivals, now, now + _ARRIVING_SECONDS_MAX)

    def share(self, of_organizations: Iterable[int], of_all: int) -> None:
        """Shares a round between organizations with so many calls, waiting or in work."""
        self.are_needed = of_all >= _FEW_CALLS
        _, second = (*heapq.nlargest(2, of_organizations), 0, 0)[:2]
        if self._ingesting.is_on:
            self._limit = min(max(_LEAST_CALLS, second), MANY_CALLS)
        else:
            self._limit = MANY_CALLS if self._calling.is_on else CALLS_MAX

    def _look(self, arrivals: int, latest: float, until: float) -> None:
        now = time.monotonic()
        if arrivals != self._arrivals:
            latest = now
        if now < min(latest + _MOMENT_SECONDS, until):
            asyncio.get_running_loop().call_later(
                _LOOK_SECONDS, self._look, self._arrivals, latest, until
            )
        elif self._begin is not None:
            begin, self._begin = self._begin, None
            begin()


class _Sharing:
    """Whether several organizations call: whether calls of two of them came in turn lately."""

    __slots__ = ("_latest", "_until")

    def __init__(self) -> None:
        self._latest: int | None = None
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def note(self, organization: int) -> None:
        """Takes note of a call of the organization of that number."""
        if organization != self._latest:
            if self._latest is not None:
                self._until = time.monotonic() + _SHARED_SECONDS
            self._latest = organization
