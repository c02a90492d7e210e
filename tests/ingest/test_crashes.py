"""Nothing acknowledged is lost and nothing counts twice, whatever is killed and whenever.

Clients send without pause and try again until each batch is acknowledged; they
keep a record of their own. The service, or the database under it, is killed at
random moments all the while. Afterwards the service must know exactly what the
clients know.
"""

import contextlib
import datetime
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from cost_insights.client import Client, NewEvent
from cost_insights.store import Store
from cost_insights.store.schema import event
from cost_insights.v1 import event_service_pb2, event_service_pb2_grpc
from tests.support.databases import Databases
from tests.support.postgresql import Cluster, folder_for_cluster
from tests.support.processes import CHANNEL_OPTIONS, ServiceProcess
from tests.support.service import event_of
from tests.support.waiting import wait_until

KILLS = 15
"""`make trust` kills a thousand times."""
CLIENTS = 4
BATCH_EVENTS = 40


@dataclass
class Record:
    """The batches that one client was told are stored."""

    events: int = 0
    cents: Decimal = Decimal(0)
    inserted: int = 0
    duplicates: int = 0
    failures: list[BaseException] = field(default_factory=list)


def batch_of(rng: random.Random) -> tuple[list[NewEvent], Decimal]:
    """A batch of new events and what they cost."""
    amounts = [Decimal(rng.randint(-(10**14), 10**15)).scaleb(-12) for _ in range(BATCH_EVENTS)]
    events: list[NewEvent] = [
        {
            "name": rng.choice(("llm.inference", "email.sent", "video.processing")),
            "external_customer_id": f"user_{rng.randrange(50)}",
            "cost": {"amount": str(amount), "currency": "usd"},
        }
        for amount in amounts
    ]
    return events, sum(amounts, Decimal(0))


def send_calls(address: str, record: Record, done: threading.Event, seed: int) -> None:
    """Sends batches by the client, which retries them, until told to stop."""
    rng = random.Random(seed)
    try:
        with Client(address, timeout_seconds=10, retry_seconds=120) as client:
            while not done.is_set():
                events, cents = batch_of(rng)
                answer = client.ingest(events)
                assert not answer.conflicts
                assert not answer.faults
                assert answer.inserted + answer.duplicates == len(events)
                record.events += len(events)
                record.cents += cents
                record.inserted += answer.inserted
                record.duplicates += answer.duplicates
    except BaseException as error:  # noqa: BLE001 (the test fails with it)
        record.failures.append(error)


def send_stream(address: str, record: Record, done: threading.Event, seed: int) -> None:
    """Sends batches of events without external ids by a stream, resumed whenever it breaks."""
    rng = random.Random(seed)
    stream_id = str(uuid.uuid4())
    unacknowledged: dict[int, tuple[event_service_pb2.StreamEventsRequest, Decimal]] = {}
    sequence = 0
    try:
        while not done.is_set() or unacknowledged:
            with (
                grpc.insecure_channel(address, CHANNEL_OPTIONS) as channel,
                contextlib.suppress(grpc.RpcError),
            ):
                stub = event_service_pb2_grpc.EventServiceStub(channel)
                while not done.is_set() or unacknowledged:
                    while len(unacknowledged) < 5 and not done.is_set():
                        sequence += 1
                        events, cents = batch_of(rng)
                        request = event_service_pb2.StreamEventsRequest(
                            stream_id=stream_id,
                            sequence=sequence,
                            batch=event_service_pb2.IngestEventsRequest(
                                events=[event_of(one) for one in events]
                            ),
                        )
                        unacknowledged[sequence] = (request, cents)
                    requests = [request for request, _ in unacknowledged.values()]
                    for answer in stub.StreamEvents(iter(requests), timeout=30):
                        if answer.HasField("error"):
                            break
                        assert answer.sequence == next(iter(unacknowledged)), "out of order"
                        request, cents = unacknowledged.pop(answer.sequence)
                        sent = len(request.batch.events)
                        assert answer.batch.inserted + answer.batch.duplicates == sent
                        assert answer.batch.inserted in {0, sent}, "half of a batch was stored"
                        record.events += sent
                        record.cents += cents
                        record.inserted += answer.batch.inserted
                        record.duplicates += answer.batch.duplicates
            time.sleep(0.05)
    except BaseException as error:  # noqa: BLE001 (the test fails with it)
        record.failures.append(error)


@contextlib.contextmanager
def load(address: str, seed: int) -> Iterator[Sequence[Record]]:
    """Clients that send for the time of the block; their records are complete after it."""
    done = threading.Event()
    records = [Record() for _ in range(CLIENTS)]
    threads = [
        threading.Thread(
            target=send_stream if number % 2 else send_calls,
            args=(address, record, done, seed + number),
        )
        for number, record in enumerate(records)
    ]
    for thread in threads:
        thread.start()
    try:
        yield records
    finally:
        done.set()
        for thread in threads:
            thread.join(150)
    assert not any(thread.is_alive() for thread in threads)
    assert [record.failures for record in records] == [[]] * CLIENTS


def assert_stored_exactly(address: str, database_url: str, records: Sequence[Record]) -> None:
    """The service and the tables hold what the clients were told, to the last digit."""
    events = sum(record.events for record in records)
    cents = sum((record.cents for record in records), Decimal(0))
    assert events > 0
    today = datetime.datetime.now(datetime.UTC).date()
    with Client(address) as client:
        answer = client.metrics(start=today - datetime.timedelta(days=1), end=today)
    assert answer.totals["costs"] == cents
    store = Store(database_url)
    try:
        with store.read() as connection:
            stored = connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one()
    finally:
        store.close()
    assert stored == events
    # What a client was told twice was stored once: the first answer was lost on its way.
    assert sum(record.inserted + record.duplicates for record in records) == events


@pytest.mark.slow
def test_the_service_is_killed(engine: str, databases: Databases, tmp_path: Path) -> None:
    """SIGKILL of the service at random moments loses nothing and doubles nothing."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown if the test fails
    rng = random.Random(seed)
    with databases.fresh(engine) as url:
        service = ServiceProcess(url, tmp_path)
        service.start()
        try:
            service.wait_until_serving()
            with load(service.address, seed) as records:
                for _ in range(KILLS):
                    # Otherwise a machine that starts a service slowly would kill it before any
                    # client has found it, again and again.
                    events = sum(record.events for record in records)
                    wait_until(lambda before=events: sum(one.events for one in records) > before)  # type: ignore[misc]
                    time.sleep(rng.uniform(0, 0.5))
                    service.end(signal.SIGKILL)
                    service.start()
                    service.wait_until_serving()
            assert_stored_exactly(service.address, url, records)
        finally:
            service.close()


@pytest.mark.slow
def test_postgresql_is_killed(tmp_path: Path) -> None:
    """An immediate shutdown of PostgreSQL at random moments loses nothing and doubles nothing."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown if the test fails
    rng = random.Random(seed)
    with folder_for_cluster() as folder:
        cluster = Cluster(folder)
        cluster.start()
        service = ServiceProcess(cluster.url, tmp_path)
        service.start()
        service.wait_until_serving()
        try:
            with load(service.address, seed) as records:
                for _ in range(KILLS):
                    time.sleep(rng.uniform(0.05, 0.5))
                    cluster.crash()
                    time.sleep(rng.uniform(0, 0.2))
                    cluster.start()
            assert_stored_exactly(service.address, cluster.url, records)
        finally:
            service.close()
            cluster.stop()
