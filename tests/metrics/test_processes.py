"""Answers while processes ingest and compact: the first batches of each sender, and nothing else.

Two senders count. The nth event of a sender costs n units, has a customer of its own,
and its external id; a sender's units are 10¹¹ times as large as those of the one before.
So one total and the number of customers tell exactly which events are in an answer: of
all sets of as many events only the first ones cost as little as they do.
"""

import itertools
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cost_insights.cells import pending_batches
from cost_insights.client import Client, MetricsAnswer, NewEvent
from cost_insights.store import Store
from cost_insights.store.schema import segment
from tests.support.databases import Databases
from tests.support.processes import ServiceProcess

SECONDS = float(os.environ.get("COST_INSIGHTS_TEST_SECONDS", "10"))
"""For how long they send and ask."""

NAMES = ("first", "second")
BATCH_EVENTS = 3
EVENTS_MAX = 400_000
"""The cost of so many events, 1 + 2 + …, which has eleven digits."""

UNITS = (1, 10**11)
"""Picocents."""

DAYS = 40
"""Over how many the events are spread, so that segments of many spans change."""


@dataclass
class Sender:
    """A sender of batches, one after the other."""

    number: int
    sent: int = 0
    acknowledged: int = 0

    @property
    def name(self) -> str:
        """The name of its events."""
        return NAMES[self.number]

    def batch(self, first: int, now: datetime) -> list[NewEvent]:
        """Its events from that number on."""
        return [
            {
                "name": self.name,
                "external_customer_id": f"{self.name} {number}",
                "external_id": f"{self.name} {number}",
                # Any step that has nothing in common with the span meets all of it.
                "timestamp": now - timedelta(seconds=7_919 * number % (DAYS * 86_400)),
                "cost": {
                    "amount": str(Decimal(UNITS[self.number] * number).scaleb(-12)),
                    "currency": "usd",
                },
            }
            for number in range(first, first + BATCH_EVENTS)
        ]


def send(
    sender: Sender, clients: Sequence[Client], now: datetime, ends: float, rng: random.Random
) -> None:
    """Sends batches until the time has come, some again and some to the other process."""
    while time.monotonic() < ends:
        first = sender.acknowledged + 1
        assert first + BATCH_EVENTS < EVENTS_MAX
        sender.sent = sender.acknowledged + BATCH_EVENTS
        answer = clients[sender.number % len(clients)].ingest(sender.batch(first, now))
        assert (answer.inserted, answer.duplicates) == (BATCH_EVENTS, 0)
        sender.acknowledged = sender.sent
        if rng.random() < 0.2:
            again = rng.randrange(sender.acknowledged // BATCH_EVENTS) * BATCH_EVENTS + 1
            answer = rng.choice(clients).ingest(sender.batch(again, now))
            assert (answer.inserted, answer.duplicates) == (0, BATCH_EVENTS)


def first_of(units: int) -> int:
    """The number of first events that cost so many units; none if these are others."""
    count = (math.isqrt(8 * units + 1) - 1) // 2
    assert count * (count + 1) // 2 == units, f"{units} units are not those of any first events"
    assert count % BATCH_EVENTS == 0, f"{count} events are not whole batches"
    return count


def counts_of(cents: Any, customers: int | None = None) -> tuple[int, int]:
    """The number of first events of either sender that cost so much, and have so many customers."""
    second, first = divmod(int(Decimal(cents).scaleb(12)), UNITS[1])
    counts = first_of(first), first_of(second)
    if customers is not None:
        assert customers == sum(counts)
    return counts


def add_up(answer: MetricsAnswer, slug: str) -> None:
    """Groups and periods are the whole, each of them."""
    for groups in (answer.groups, (answer,)):
        if groups:
            assert sum(one.totals[slug] for one in groups) == answer.totals[slug]
            periods = (period for one in groups for period in one.periods)
            assert sum(period.values[slug] for period in periods) == answer.totals[slug]


class Asker:
    """Asks in several ways which events there are."""

    def __init__(self, senders: Sequence[Sender], now: datetime, rng: random.Random) -> None:
        self._senders = senders
        self._rng = rng
        self._span: dict[str, Any] = {
            "start": (now - timedelta(days=DAYS + 1)).date(),
            "end": (now + timedelta(days=1)).date(),
        }
        self._after = (now + timedelta(days=2)).date()

    def whole(self, client: Client) -> tuple[int, int]:
        """The counts by days of a zone that is beside the hours: cells of days and of quarters."""
        answer = client.metrics(**self._span, timezone="Asia/Kathmandu")
        add_up(answer, "costs")
        totals = answer.totals
        return counts_of(totals["costs"], int(totals["active_user_by_event"]))

    def by_name(self, client: Client) -> tuple[int, int]:
        """The counts by groups, one of each sender."""
        answer = client.metrics(**self._span, interval="week", group_by="event_name")
        counts = [0, 0]
        for group in answer.groups:
            place = NAMES.index(group.value)
            alone = counts_of(group.totals["costs"])
            assert alone[1 - place] == 0
            assert group.totals["active_user_by_event"] == alone[place]
            counts[place] = alone[place]
        add_up(answer, "costs")
        assert answer.totals["active_user_by_event"] == sum(counts)
        return counts[0], counts[1]

    def by_customer(self, client: Client) -> tuple[int, int]:
        """The counts by each customer's own cells, beside those of everyone."""
        answer = client.metrics(**self._span, interval="month", group_by="customer", groups_max=5)
        counts = counts_of(answer.totals["costs"], int(answer.totals["active_user_by_event"]))
        add_up(answer, "costs")
        latest = [f"second {counts[1] - back}" for back in range(min(5, counts[1]))]
        assert [group.value for group in answer.groups][: len(latest)] == latest
        assert sum(group.members for group in answer.groups) == sum(counts)
        return counts

    def history(self, client: Client) -> tuple[int, int]:
        """The counts by cells before the span."""
        answer = client.metrics(start=self._after, end=self._after, metrics=["cumulative_costs"])
        return counts_of(answer.totals["cumulative_costs"])

    def one_by_one(self, client: Client) -> tuple[int, int]:
        """The counts by some acknowledged customers, none of whom has two events."""
        known = [sender.acknowledged for sender in self._senders]
        asked = [
            (sender, number)
            for sender, count in zip(self._senders, known, strict=True)
            for number in self._rng.sample(range(1, count + 1), min(count, 20))
        ]
        if asked:
            answer = client.metrics(
                **self._span,
                interval="year",
                external_customer_ids=[f"{sender.name} {number}" for sender, number in asked],
            )
            units = sum(UNITS[sender.number] * number for sender, number in asked)
            assert int(Decimal(answer.totals["costs"]).scaleb(12)) == units
            assert answer.totals["active_user_by_event"] == len(asked)
        return known[0], known[1]

    def ask_until(self, clients: Sequence[Client], ends: float) -> int:
        """Asks without pause; returns how many answers there were."""
        ways: Sequence[Callable[[Client], tuple[int, int]]] = (
            self.whole,
            self.by_name,
            self.by_customer,
            self.history,
            self.one_by_one,
        )
        for answers in itertools.count():
            if time.monotonic() > ends:
                return answers
            way, client = self._rng.choice(ways), self._rng.choice(clients)
            before = [sender.acknowledged for sender in self._senders]
            counts = way(client)
            sent = [sender.sent for sender in self._senders]
            for least, count, most in zip(before, counts, sent, strict=True):
                assert least <= count <= most
        raise AssertionError("never ends")


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "processes"), [("sqlite", 1), ("postgresql", 2)])
def test_answers_are_prefixes(
    databases: Databases, tmp_path: Path, engine: str, processes: int
) -> None:
    """Each answer holds the first batches of each sender, with all that were acknowledged."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown if the test fails
    now = datetime.now(UTC)
    senders = [Sender(number) for number in range(2)]
    with databases.fresh(engine) as url, ExitStack() as stack:
        addresses = []
        for number in range(processes):
            folder = tmp_path / str(number)
            folder.mkdir()
            service = ServiceProcess(url, folder)
            stack.callback(service.close)
            service.start()
            service.wait_until_serving()
            addresses.append(service.address)
        clients = [stack.enter_context(Client(address)) for address in addresses]
        ends = time.monotonic() + SECONDS
        asker = Asker(senders, now, random.Random(seed))
        with ThreadPoolExecutor(3) as pool:
            sending = [
                pool.submit(send, sender, clients, now, ends, random.Random(seed + sender.number))
                for sender in senders
            ]
            asking = pool.submit(asker.ask_until, clients, ends)
            for one in sending:
                one.result()
            assert asking.result() > SECONDS
        acknowledged = tuple(sender.acknowledged for sender in senders)
        assert min(acknowledged) > 0
        for client in clients:
            assert asker.whole(client) == asker.by_name(client) == acknowledged
            assert asker.by_customer(client) == asker.history(client) == acknowledged
        compacted(url)
        for client in clients:
            assert asker.whole(client) == asker.history(client) == acknowledged


def compacted(url: str) -> None:
    """Returns once the processes have compacted all there is."""
    store = Store(url)
    try:
        until = time.monotonic() + 30
        while pending_batches(store):
            assert time.monotonic() < until, "nobody compacts"
            time.sleep(0.2)
        with store.read() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(segment))
    finally:
        store.close()
