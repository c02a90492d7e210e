"""The budget of bytes: what organizations share, and how they wait for it."""

import asyncio
import uuid
from collections import defaultdict, deque
from functools import partial

import pytest

from cost_insights.api import admission, rounds
from cost_insights.api.admission import Budget, Reservation
from cost_insights.api.rounds import CALLS_MAX, MANY_CALLS
from cost_insights.errors import OverloadedError
from cost_insights.identity import Organization
from tests.support.waiting import until


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


def test_a_quarter_is_much() -> None:
    """Whoever holds a quarter of the budget holds much; others do not, and nor does it later on."""
    budget = Budget(1_000)
    held = [budget.reserve(ACME, 249), budget.reserve(ACME, 1)]
    assert budget.holds_much(ACME)
    assert not budget.holds_much(OTHER)
    assert held[1] is not None
    held[1].release()
    assert not budget.holds_much(ACME)


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


class Ingests:
    """Calls of organizations that ingest and come in one by one."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._tasks: dict[int, deque[asyncio.Task[Reservation]]] = defaultdict(deque)

    def begin(self, owner: Organization, calls: int = 1) -> None:
        """Lets calls arrive."""
        room = partial(self.budget.room, owner, 1, ingests=True, in_rounds=True)
        self._tasks[owner.number].extend(asyncio.ensure_future(room()) for _ in range(calls))

    def in_work(self, owner: Organization) -> int:
        """The number of its calls that were begun and not finished."""
        return sum(task.done() for task in self._tasks[owner.number])

    def finish(self, owner: Organization, calls: int) -> None:
        """Finishes its oldest calls."""
        for _ in range(calls):
            self._tasks[owner.number].popleft().result().release()


@pytest.fixture
def ingests(monkeypatch: pytest.MonkeyPatch) -> Ingests:
    """Calls for a budget whose rounds begin 50 ms after the last call."""
    monkeypatch.setattr(rounds, "_MOMENT_SECONDS", 0.05)
    monkeypatch.setattr(rounds, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(rounds, "_ARRIVING_SECONDS_MAX", 60)
    return Ingests(Budget(10_000))


async def test_few_calls_are_begun_at_once(ingests: Ingests) -> None:
    """Up to a number of calls in work, nobody waits for others."""
    ingests.begin(ACME, MANY_CALLS - 1)
    ingests.begin(OTHER)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ingests.in_work(ACME) == MANY_CALLS - 1
    assert ingests.in_work(OTHER) == 1


async def test_many_calls_are_begun_together(ingests: Ingests) -> None:
    """Further calls wait while calls arrive, and are begun together after the last one."""
    ingests.begin(ACME, MANY_CALLS)
    for _ in range(10):
        ingests.begin(ACME)
        await asyncio.sleep(0.01)
        assert ingests.in_work(ACME) == MANY_CALLS
    await until(lambda: ingests.in_work(ACME) == MANY_CALLS + 10)


async def test_a_round_begins_though_calls_never_cease_to_arrive(
    ingests: Ingests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of calls does not hold up those that came before it."""
    monkeypatch.setattr(rounds, "_ARRIVING_SECONDS_MAX", 0.1)
    ingests.begin(ACME, MANY_CALLS)
    for _ in range(1_000):
        ingests.begin(ACME)
        await asyncio.sleep(0.005)
        if ingests.in_work(ACME) > MANY_CALLS:
            break
    else:
        pytest.fail("no round began")


async def test_alone_an_organization_has_many_calls_in_work(ingests: Ingests) -> None:
    """Nobody else needs the processors."""
    ingests.begin(ACME, 2 * CALLS_MAX)
    await until(lambda: ingests.in_work(ACME) == CALLS_MAX)


@pytest.mark.parametrize(("others", "at_most"), [(1, 8), (20, 20), (2 * MANY_CALLS, MANY_CALLS)])
async def test_a_round_has_as_many_calls_of_one_as_of_others(
    ingests: Ingests, others: int, at_most: int
) -> None:
    """An organization that sends more has as many calls in work as another one, but a few."""
    ingests.begin(ACME, 4 * MANY_CALLS)
    ingests.begin(OTHER, others)
    await until(lambda: ingests.in_work(OTHER) == min(others, MANY_CALLS))
    assert ingests.in_work(ACME) == MANY_CALLS
    ingests.finish(ACME, MANY_CALLS)
    ingests.begin(OTHER, others)
    ingests.finish(OTHER, min(others, MANY_CALLS))
    await until(lambda: ingests.in_work(OTHER) == min(others, MANY_CALLS))
    assert ingests.in_work(ACME) == at_most


async def test_rounds_end(ingests: Ingests) -> None:
    """Once there are few calls again, each is begun at once."""
    ingests.begin(ACME, MANY_CALLS + 1)
    await until(lambda: ingests.in_work(ACME) == MANY_CALLS + 1)
    ingests.finish(ACME, MANY_CALLS)
    ingests.begin(ACME)
    await until(lambda: ingests.in_work(ACME) == 2)
    ingests.begin(ACME)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ingests.in_work(ACME) == 3


async def test_calls_that_do_not_come_one_by_one(ingests: Ingests) -> None:
    """Other calls, and those of the HTTP server, are begun at once beside rounds."""
    ingests.begin(ACME, 2 * MANY_CALLS)
    await asyncio.sleep(0)
    assert ingests.budget.reserve(OTHER, 1, ingests=True) is not None
    assert ingests.budget.reserve(OTHER, 1) is not None
    assert ingests.budget.reserve(THIRD, 1, in_rounds=True, ingests=True) is None


async def test_beside_one_that_only_asks(ingests: Ingests) -> None:
    """Beside calls that do not ingest, an organization has as many in work as two that do."""
    ingests.begin(ACME, 4 * MANY_CALLS)
    await asyncio.sleep(0)
    assert ingests.budget.reserve(OTHER, 1) is not None
    ingests.finish(ACME, MANY_CALLS // 2)
    await until(lambda: ingests.in_work(ACME) > MANY_CALLS // 2)
    assert ingests.in_work(ACME) == MANY_CALLS


async def test_sharing_ends(ingests: Ingests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after the last call of another organization, there is no other to share with."""
    monkeypatch.setattr(rounds, "_SHARED_SECONDS", 0.01)
    ingests.begin(OTHER)
    ingests.begin(ACME, CALLS_MAX + 1)
    await until(lambda: ingests.in_work(ACME) == CALLS_MAX)


async def test_a_smaller_call_behind_one_that_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the first one has waited too long, the next one is taken where it fits."""
    monkeypatch.setattr(admission, "_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(admission, "_LOOK_SECONDS", 0.01)
    budget = Budget(1_000)
    assert budget.reserve(ACME, 700) is not None
    large = asyncio.ensure_future(budget.room(ACME, 500))
    await asyncio.sleep(0.03)
    small = asyncio.ensure_future(budget.room(ACME, 1))
    with pytest.raises(OverloadedError):
        await large
    assert await small
