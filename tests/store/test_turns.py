"""Turns: how organizations share what few calls at a time can have."""

import asyncio
import uuid

import pytest

from cost_insights.api.turns import Turns
from cost_insights.errors import OverloadedError
from cost_insights.identity import Organization


def organization(number: int) -> Organization:
    """An organization that is in no database."""
    return Organization(number, uuid.UUID(int=number), str(number), 0)


GREEDY, OTHER = organization(1), organization(2)


def test_the_last_turn_is_for_others() -> None:
    """Whatever one organization holds, another one need not wait."""

    async def call() -> None:
        turns = Turns(3, waiting_max=10, seconds_max=60)
        held = [await turns.take(GREEDY) for _ in range(2)]
        waiting = asyncio.create_task(turns.take(GREEDY))
        await asyncio.sleep(0)
        assert not waiting.done()
        give_back = await turns.take(OTHER)
        give_back()
        await asyncio.sleep(0)
        assert not waiting.done()
        held.pop()()
        await waiting

    asyncio.run(asyncio.wait_for(call(), 10))


def test_a_single_turn_is_shared() -> None:
    """Organizations alternate, however many calls one of them has waiting."""

    async def call() -> list[str]:
        turns = Turns(1, waiting_max=10, seconds_max=60)
        order: list[str] = []

        async def work(owner: Organization) -> None:
            give_back = await turns.take(owner)
            order.append(owner.name)
            await asyncio.sleep(0)
            give_back()

        await asyncio.gather(*map(work, [GREEDY] * 4 + [OTHER] * 2))
        return order

    assert asyncio.run(call()) == ["1", "1", "2", "1", "2", "1"]


def test_too_many_and_too_long() -> None:
    """Calls beyond those that may wait are refused at once, and others once their time is over."""

    async def call() -> None:
        turns = Turns(1, waiting_max=1, seconds_max=0.05)
        give_back = await turns.take(GREEDY)
        waiting = asyncio.create_task(turns.take(GREEDY))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="1 calls of the organization wait, at most 1"):
            await turns.take(GREEDY)
        with pytest.raises(OverloadedError):
            await waiting
        give_back()
        (await turns.take(GREEDY))()

    asyncio.run(call())


def test_who_gives_up_takes_no_turn() -> None:
    """A call that gives up while it waits, or just as it is granted, keeps no turn."""

    async def call() -> None:
        turns = Turns(1, waiting_max=10, seconds_max=60)
        give_back = await turns.take(GREEDY)
        tasks = [asyncio.create_task(turns.take(GREEDY)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        give_back()
        tasks[1].cancel()
        (await tasks[2])()
        (await turns.take(OTHER))()

    asyncio.run(asyncio.wait_for(call(), 10))
