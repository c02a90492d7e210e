"""Several clients and several workers: each event is stored once."""

import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from cost_insights.client import Client, NewEvent
from cost_insights.store import Store
from cost_insights.store.schema import event
from tests.support.databases import Databases
from tests.support.processes import ServiceProcess

EVENTS = 100_000
PROCESSES = 4
BATCH_EVENTS = 1_000


def send_share(address: str, seed: int) -> tuple[int, int, int]:
    """Sends about two thirds of the events in an order of its own: (sent, inserted, duplicates)."""
    rng = random.Random(seed)
    # The first process of each event is one of four, so that none is left out.
    numbers = [n for n in range(EVENTS) if n % PROCESSES == seed or rng.random() < 0.55]
    rng.shuffle(numbers)
    inserted = duplicates = 0
    with Client(address, retry_seconds=300, timeout_seconds=120) as client:
        for start in range(0, len(numbers), BATCH_EVENTS):
            batch: list[NewEvent] = [
                {
                    "name": f"event {number % 20}",
                    "external_customer_id": f"user_{number % 1_000}",
                    "external_id": f"evt-{number}",
                    "cost": {"amount": "0.1", "currency": "usd"},
                }
                for number in numbers[start : start + BATCH_EVENTS]
            ]
            answer = client.ingest(batch)
            assert not answer.conflicts
            assert answer.inserted + answer.duplicates == len(batch)
            inserted += answer.inserted
            duplicates += answer.duplicates
    return len(numbers), inserted, duplicates


@pytest.mark.slow
def test_overlapping_sets_from_four_processes(databases: Databases, tmp_path: Path) -> None:
    """Four processes that insert through two workers store each event once."""
    with databases.fresh("postgresql") as url:
        service = ServiceProcess(url, tmp_path, "--workers", "2")
        service.start()
        service.wait_until_serving()
        try:
            with ProcessPoolExecutor(
                PROCESSES, mp_context=multiprocessing.get_context("spawn")
            ) as pool:
                shares = list(pool.map(send_share, [service.address] * PROCESSES, range(PROCESSES)))
        finally:
            service.close()
        store = Store(url)
        with store.read() as connection:
            stored, picocents = connection.execute(
                sa.select(sa.func.count(), sa.func.sum(event.c.cost_picocents))
            ).one()
            customers, numbers = connection.execute(
                sa.select(
                    sa.func.count(), sa.func.count(sa.distinct(sa.column("number")))
                ).select_from(sa.table("customer"))
            ).one()
        store.close()
    assert stored == EVENTS
    assert Decimal(picocents).scaleb(-12) == EVENTS // 10
    assert sum(inserted for _, inserted, _ in shares) == EVENTS
    assert sum(inserted + duplicates for _, inserted, duplicates in shares) == sum(
        sent for sent, _, _ in shares
    )
    assert customers == numbers == 1_000
