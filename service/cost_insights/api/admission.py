"""Admission: how much memory the calls of each organization may take at a time.

One budget of bytes covers every request from before it is read until it is answered: while it is
received, decompressed, decoded, stored and acknowledged. Both doors ask it before they read.

Of calls that ingest an organization has only so many in work (`rounds.py`); the rest wait
unread.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, NamedTuple

from cost_insights.api.rounds import Rounds
from cost_insights.errors import OverloadedError
from cost_insights.identity import Organization

CALL_BYTES: Final = 64 * 1024
"""The least that a call is charged: its connection may buffer as much before it is read."""

STREAM_BYTES: Final = 1024 * 1024
"""The least that a stream is charged while it waits for its next request."""

COPIES: Final = 3
"""A request is charged so many times its size: it is held as it came, as it was decoded, and as
the database takes it."""

_FREE_SHARES: Final = 3
"""An organization may hold so many times what it leaves free: alone three quarters of the budget,
two organizations three sevenths each. So there is always room for one that holds nothing yet."""

_MUCH: Final = 4
"""An organization that holds one part in so many of the budget holds much."""

_WAIT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1
"""The time for which a call waits for room before it is refused, which is looked at so often."""

_WAITING_MAX: Final = 4_096
"""The number of calls of an organization that may wait for room."""

_IDLE_OWNERS_MAX: Final = 10_000
"""The number of organizations that are remembered while they hold nothing."""


class Budget:
    """A number of bytes that organizations share fairly; for one event loop."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._free = bytes_max
        self._owners: dict[int, _Owner] = {}
        self._rounds = Rounds()
        self._ingests = 0
        """The number of calls in work that ingest, those of all organizations."""

        self._refusing: asyncio.TimerHandle | None = None
        # The organizations with waiting calls, the one whose turn is next in front.
        self._turns: deque[_Owner] = deque()

    @property
    def held_bytes(self) -> int:
        """The bytes that are reserved."""
        return self.bytes_max - self._free

    def usual_bytes(self, organization: Organization) -> int:
        """The size of the larger ones of the requests that the organization sent lately."""
        return self._owner(organization).usual_bytes

    def holds_much(self, organization: Organization) -> bool:
        """Whether the organization holds a quarter of the budget or more."""
        return _MUCH * self._owner(organization).held >= self.bytes_max

    def observe(self, organization: Organization, request_bytes: int) -> None:
        """Takes note of the size of a request."""
        owner = self._owner(organization)
        # One large request is forgotten after some hundred small ones.
        owner.usual_bytes = max(request_bytes, owner.usual_bytes - owner.usual_bytes // 64)

    def reserve(
        self,
        organization: Organization,
        size: int,
        *,
        ingests: bool = False,
        in_rounds: bool = False,
    ) -> "Reservation | None":
        """Room for a call, or None if there is none at present.

        `in_rounds` is of calls that ingest and come in one by one: where there are many, they are
        begun together.
        """
        owner = self._owner(organization)
        self._rounds.arrives(organization.number, ingests=ingests)
        if in_rounds and self._rounds.are_needed:
            return None
        if owner.waiting or not self._may_have(owner, size, ingests):
            return None
        return self._grant(owner, size, ingests)

    async def room(
        self,
        organization: Organization,
        size: int,
        *,
        ingests: bool = False,
        in_rounds: bool = False,
    ) -> "Reservation":
        """Room for a call; raises OverloadedError if there is none for some seconds."""
        reservation = self.reserve(organization, size, ingests=ingests, in_rounds=in_rounds)
        if reservation is None:
            owner = self._owner(organization)
            reservation = await self._room(owner, size, ingests=ingests, in_rounds=in_rounds)
        return reservation

    async def _room(
        self, owner: "_Owner", size: int, *, ingests: bool = False, in_rounds: bool = False
    ) -> "Reservation":
        if in_rounds and self._rounds.are_needed:
            self._rounds.request(self._begin_round)
        elif not owner.waiting and self._may_have(owner, size, ingests):
            return self._grant(owner, size, ingests)
        if len(owner.waiting) >= _WAITING_MAX:
            raise self.overloaded()
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[Reservation] = loop.create_future()
        if not owner.waiting:
            self._turns.append(owner)
        owner.waiting[granted] = _Waiting(size, ingests, loop.time() + _WAIT_SECONDS)
        if self._refusing is None:
            self._refusing = loop.call_later(_LOOK_SECONDS, self._refuse_late)
        try:
            return await granted
        except asyncio.CancelledError:
            waited = owner.waiting.pop(granted, None)
            if waited is None and not granted.cancelled() and granted.exception() is None:
                granted.result().release()
            self._serve()
            raise

    def _refuse_late(self) -> None:
        """Refuses those who have waited too long; one timer for all is cheaper than one each."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        overloaded = False
        for owner in self._turns:
            while owner.waiting and (first := next(iter(owner.waiting.items())))[1].until <= now:
                granted, _ = first
                del owner.waiting[granted]
                if not granted.done():
                    granted.set_exception(self.overloaded())
                overloaded = True
        if overloaded:
            # Others may fit where the one before them did not.
            self._serve()
        self._refusing = loop.call_later(_LOOK_SECONDS, self._refuse_late) if self._turns else None

    def overloaded(self, unseen_bytes: int = 0) -> OverloadedError:
        """The error for a call for which there is no room.

        `unseen_bytes` have arrived of unfinished requests, besides those that are in work.
        """
        unseen = f" and {unseen_bytes} of unfinished ones have arrived" if unseen_bytes else ""
        return OverloadedError(
            f"{self.held_bytes} bytes of requests are in work{unseen}, of at most "
            f"{self.bytes_max}, which organizations share; try again later",
            reason="OVERLOADED",
            facts={
                "in_flight_bytes": str(self.held_bytes),
                "in_flight_bytes_max": str(self.bytes_max),
            },
        )

    def _owner(self, organization: Organization) -> "_Owner":
        owner = self._owners.get(organization.number)
        if owner is None:
            if len(self._owners) >= _IDLE_OWNERS_MAX:
                self._owners = {
                    number: one for number, one in self._owners.items() if one.held or one.waiting
                }
            owner = self._owners[organization.number] = _Owner()
        return owner

    def _fits(self, owner: "_Owner", size: int, *, beside: int = 0) -> bool:
        # Whatever has nothing beside it is taken, however large.
        return owner.held + size <= _FREE_SHARES * (self._free - size) or (
            self._free + beside == self.bytes_max
        )

    def _may_have(self, owner: "_Owner", size: int, ingests: bool) -> bool:
        return self._fits(owner, size) and (
            not ingests or self._rounds.allow(owner.ingests, self._ingests)
        )

    def _grant(self, owner: "_Owner", size: int, ingests: bool) -> "Reservation":
        owner.held += size
        owner.ingests += ingests
        self._ingests += ingests
        self._free -= size
        return Reservation(self, owner, size, ingests=ingests)

    def _change(self, owner: "_Owner", size: int) -> None:
        owner.held += size
        self._free -= size
        if size < 0 and self._turns:
            if self._rounds.are_needed:
                self._rounds.request(self._begin_round)
            else:
                self._serve()

    def _begin_round(self) -> None:
        waiting = sum(len(owner.waiting) for owner in self._turns)
        self._rounds.share(
            (owner.ingests + len(owner.waiting) for owner in self._turns), self._ingests + waiting
        )
        self._serve()

    def _serve(self) -> None:
        """Grants room to those who wait, a call of each organization in turn."""
        passed = 0
        while passed < len(self._turns):
            owner = self._turns.popleft()
            if not owner.waiting:
                continue
            granted, (size, ingests, _) = next(iter(owner.waiting.items()))
            if self._may_have(owner, size, ingests):
                del owner.waiting[granted]
                passed = 0
                if not granted.done():
                    granted.set_result(self._grant(owner, size, ingests))
            else:
                passed += 1
            if owner.waiting:
                self._turns.append(owner)


class _Owner:
    """The share of one organization in the budget."""

    __slots__ = ("held", "ingests", "usual_bytes", "waiting")

    def __init__(self) -> None:
        self.held = 0
        self.ingests = 0
        """The number of calls in work that ingest."""

        self.usual_bytes = 0
        self.waiting: OrderedDict[asyncio.Future[Reservation], _Waiting] = OrderedDict()
        """The calls that wait, the first one in front, by what they wait for."""


class _Waiting(NamedTuple):
    """A call that waits for room."""

    size: int
    ingests: bool
    until: float
    """The time of the loop at which it is refused."""


class Reservation:
    """A part of the budget, held until it is released."""

    __slots__ = ("_budget", "_ingests", "_owner", "_size")

    def __init__(self, budget: Budget, owner: _Owner, size: int, *, ingests: bool) -> None:
        self._budget = budget
        self._owner = owner
        self._size = size
        self._ingests = ingests

    @property
    def owner_bytes(self) -> int:
        """The bytes of all reservations of the organization, this one included."""
        return self._owner.held

    def resize(self, size: int) -> None:
        """Changes the size; raises OverloadedError if it grows and there is no room for that."""
        more = size - self._size
        if more > 0 and not self._budget._fits(self._owner, more, beside=self._size):
            raise self._budget.overloaded()
        if more:
            self._budget._change(self._owner, more)
            self._size = size

    def enlarge(self, size: int) -> None:
        """Grows to that size, unless it is larger; raises OverloadedError if there is no room."""
        if size > self._size:
            self.resize(size)

    async def beside(self, size: int) -> "Reservation":
        """Room for something else of the same call; waits for it as `Budget.room` does."""
        return await self._budget._room(self._owner, size)

    def release(self) -> None:
        """Gives everything back."""
        if self._ingests:
            self._owner.ingests -= 1
            self._budget._ingests -= 1
            self._ingests = False
        self.resize(0)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class StreamReservations:
    """The reservations of one stream of requests.

    A request is charged until its response was written, so that a client who reads no responses
    cannot make the service keep what it sends.
    """

    def __init__(self, budget: Budget, organization: Organization) -> None:
        self._budget = budget
        self._organization = organization
        self._held: deque[Reservation] = deque()
        self._reading: Reservation | None = None

    async def admitted(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The requests, each read and passed on with room for it.

        Raises OverloadedError if there is none for some seconds.
        """
        budget, organization = self._budget, self._organization
        usual_bytes = 0
        while True:
            # The next request is expected to be as large as the last one: nobody knows whether it
            # comes at all, and room for the largest would leave room for few streams.
            self._reading = await budget.room(organization, max(STREAM_BYTES, usual_bytes))
            request = await anext(requests, None)
            self._reading.release()
            if request is None:
                return
            usual_bytes = len(request)
            self._held.append(await budget.room(organization, COPIES * usual_bytes))
            yield request
            del request

    def release_first(self) -> None:
        """Gives back what the oldest request holds: its response was written."""
        self._held.popleft().release()

    def release_all(self) -> None:
        """Gives everything back."""
        while self._held:
            self.release_first()
        if self._reading is not None:
            self._reading.release()
