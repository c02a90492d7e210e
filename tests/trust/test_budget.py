"""The budget of bytes: what organizations share, and how they wait for it."""

import asyncio
import uuid

import pytest

from cost_insights.api import admission
from cost_insights.api.admission import INGESTS_SHARED, Budget, Reservation
from cost_insights.errors import OverloadedError
from cost_insights.identity import Organization


def organization(number: int) -> Organization:
    """An organization that is in no database."""
    return Organization(number, uuid.uuid4(), f"organization {number}", 0)


ACME, OTHER, THIRD = map(organization, range(3))


def taken(budget: Budget, owner: Organization, size: int = 1) -> list[Reservation]:
    """Everything that an organization can have at present."""
    taken = []
    while (reservation := budget.reserve(owner, size)) is not None:
        taken.append(reservation)
    return taken


def test_one_leaves_room_for_others() -> None:
    """Alone an organization gets three quarters; those that come later get as much as it leaves."""
    budget = Budget(1_000)
    assert len(taken(budget, ACME)) == 750
    assert len(taken(budget, OTHER)) == 187
    assert len(taken(budget, THIRD)) == 47
    assert budget.held_bytes == 984


def test_two_that_take_turns_get_as_much() -> None:
    """Organizations that take at the same time get the same."""
    budget = Budget(1_000)
    while budget.reserve(ACME, 1) and budget.reserve(OTHER, 1):
        pass
    assert 850 <= budget.held_bytes <= 858


def test_an_empty_budget_takes_anything() -> None:
    """A request that is larger than the whole budget is taken if nothing else is in work."""
    budget = Budget(1_000)
    with budget.reserve(ACME, 5_000) or pytest.fail("refused"):
        assert budget.reserve(OTHER, 1) is None
    assert budget.held_bytes == 0
    assert budget.reserve(OTHER, 1) is not None


async def test_those_who_wait_take_turns() -> None:
    """Room that becomes free goes to each waiting organization in turn, in order within one."""
    budget = Budget(1_000)
    held = taken(budget, ACME, 250) + taken(budget, OTHER, 180)
    order: list[str] = []

    async def wait(owner: Organization, name: str) -> None:
        with await budget.room(owner, 180):
            order.append(name)

    async with asyncio.TaskGroup() as group:
        for owner, name in ((ACME, "a1"), (ACME, "a2"), (ACME, "a3"), (THIRD, "b1"), (THIRD, "b2")):
            group.create_task(wait(owner, name))
            await asyncio.sleep(0)
        assert not order
        for one in held:
            one.release()
    assert [name for name in order if name[0] == "a"] == ["a1", "a2", "a3"]
    assert [name for name in order if name[0] == "b"] == ["b1", "b2"]
    assert order.index("b1") < order.index("a2")
    assert budget.held_bytes == 0


async def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits too long is refused, and holds nothing; neither does whoever gives up."""
    monkeypatch.setattr(admission, "_WAIT_SECONDS", 0.05)
    budget = Budget(1_000)
    held = taken(budget, ACME)
    with pytest.raises(OverloadedError) as caught:
        await budget.room(ACME, 100)
    assert caught.value.facts == {"in_flight_bytes": "750", "in_flight_bytes_max": "1000"}
    waiting = asyncio.create_task(budget.room(ACME, 100))
    await asyncio.sleep(0)
    waiting.cancel()
    # Granted and given up in the same moment.
    granted = asyncio.create_task(budget.room(ACME, 100))
    await asyncio.sleep(0)
    for one in held:
        one.release()
    granted.cancel()
    await asyncio.wait((waiting, granted))
    assert budget.held_bytes == 0


def test_a_reservation_grows_and_shrinks() -> None:
    """A reservation follows what it is for, as far as there is room."""
    budget = Budget(1_000)
    with budget.reserve(ACME, 100) or pytest.fail("refused") as reservation:
        reservation.enlarge(700)
        assert budget.held_bytes == 700
        reservation.enlarge(1)
        assert budget.held_bytes == 700
        # Nothing else is in work, so it may even be larger than the budget.
        reservation.resize(2_000)
        assert budget.held_bytes == 2_000
        assert budget.reserve(OTHER, 1) is None
        reservation.resize(10)
        assert budget.held_bytes == 10
        with budget.reserve(OTHER, 1) or pytest.fail("refused"):
            with pytest.raises(OverloadedError):
                reservation.resize(2_000)
            assert budget.held_bytes == 11
    assert budget.held_bytes == 0


def test_the_usual_size_is_forgotten_slowly() -> None:
    """A large request is expected again for some time."""
    budget = Budget(1_000)
    budget.observe(ACME, 1_000_000)
    budget.observe(ACME, 100)
    assert budget.usual_bytes(ACME) == 984_375
    for _ in range(1_000):
        budget.observe(ACME, 100)
    assert budget.usual_bytes(ACME) <= 200
    assert budget.usual_bytes(OTHER) == 0


async def test_calls_that_ingest_while_others_call() -> None:
    """Alone an organization ingests by as many calls as it likes. Beside another one it has some in
    work, in their order, and further ones once those are answered; other calls do not wait."""
    budget = Budget(10_000)
    alone = [budget.reserve(ACME, 1, ingests=True) for _ in range(2 * INGESTS_SHARED)]
    assert None not in alone
    assert budget.reserve(OTHER, 1, ingests=True) is not None
    assert budget.reserve(ACME, 1, ingests=True) is None
    assert budget.reserve(ACME, 1) is not None
    waiting = [asyncio.ensure_future(budget.room(ACME, 1, ingests=True)) for _ in range(3)]
    for one in alone:
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        assert one is not None
        one.release()
        if one is alone[INGESTS_SHARED]:
            break
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, False, False]
    for task in waiting[1:]:
        task.cancel()


async def test_sharing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after the last call of another organization, there is no limit any more."""
    monkeypatch.setattr(admission, "_SHARED_SECONDS", 0.01)
    budget = Budget(10_000)
    budget.reserve(OTHER, 1)
    for _ in range(INGESTS_SHARED):
        budget.reserve(ACME, 1, ingests=True)
    await asyncio.sleep(0.02)
    assert budget.reserve(ACME, 1, ingests=True) is not None
