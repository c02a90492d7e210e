"""Fair turns: how organizations share what few calls at a time can have, such as threads."""

import asyncio
from collections.abc import Callable

from cost_insights.errors import OverloadedError
from cost_insights.fair_queue import FairQueue
from cost_insights.identity import Organization


class Turns:
    """A number of turns that calls take and give back; for one event loop.

    Calls wait in a fair queue of organizations. The last free turn is for an organization that
    holds none, so that nobody waits for another's slow calls.
    """

    def __init__(self, turns: int, *, waiting_max: int, seconds_max: float) -> None:
        """An organization may have `waiting_max` calls wait, each for `seconds_max` at most."""
        self._free = turns
        self._waiting_max = waiting_max
        self._seconds_max = seconds_max
        self._held: dict[int, int] = {}
        self._waiting: FairQueue[tuple[int, asyncio.Future[None]]] = FairQueue()

    @property
    def taken(self) -> int:
        """The number of turns that were taken and not given back."""
        return sum(self._held.values())

    async def take(self, organization: Organization) -> Callable[[], None]:
        """Waits for a turn, and returns the function that gives it back, to be called once.

        Raises OverloadedError if too many calls of the organization wait, or if this one has waited
        for too long.
        """
        owner = organization.number
        if self._waiting.count_of(owner) or not self._may_take(owner):
            await self._wait(owner)
        else:
            self._grant(owner)
        return lambda: self._give_back(owner)

    async def _wait(self, owner: int) -> None:
        if self._waiting.count_of(owner) >= self._waiting_max:
            raise self._overloaded(owner)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        item = (owner, granted)
        self._waiting.put(owner, item)
        try:
            async with asyncio.timeout(self._seconds_max):
                await granted
        except BaseException as error:
            overloaded = self._overloaded(owner)
            self._waiting.remove(owner, item)
            if granted.done() and not granted.cancelled():
                self._give_back(owner)
            if isinstance(error, TimeoutError):
                raise overloaded from None
            raise

    def _may_take(self, owner: int) -> bool:
        return self._free > (1 if owner in self._held else 0)

    def _grant(self, owner: int) -> None:
        self._free -= 1
        self._held[owner] = self._held.get(owner, 0) + 1

    def _give_back(self, owner: int) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        while self._free and (found := self._waiting.pop(self._may_take)) is not None:
            owner, granted = found
            if not granted.done():
                self._grant(owner)
                granted.set_result(None)

    def _overloaded(self, owner: int) -> OverloadedError:
        waiting = self._waiting.count_of(owner)
        return OverloadedError(
            f"{waiting} calls of the organization wait, at most {self._waiting_max} are held, each "
            f"for {self._seconds_max:g} seconds at most; try again later",
            reason="OVERLOADED",
            facts={"waiting_calls": str(waiting), "waiting_calls_max": str(self._waiting_max)},
        )
