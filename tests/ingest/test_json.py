"""Events in JSON are stored as the same events in protobuf are."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights._native.events import Limits
from cost_insights.errors import InvalidEventsError, ShuttingDownError
from cost_insights.events import EventWriter, Ingestor
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.store.schema import event
from cost_insights.v1 import event_pb2, event_service_pb2

EVENTS = 500
"""So many do not fit what is decoded at once: they are decoded in a thread."""


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store with its schema, on either engine."""
    store = Store(database_url)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def acme(store: Store) -> Organization:
    """An organization."""
    with store.write() as connection:
        return identity.create_organization(connection, "acme")


def ingestor_of(store: Store) -> Ingestor:
    """An ingestor that has not been started."""
    return Ingestor(
        EventWriter(store), limits=Limits(), waiting_events_max=10_000, waiting_bytes_max=2**24
    )


def document(index: int) -> dict[str, Any]:
    """An event with an amount that a double cannot hold in twelve decimals."""
    return {
        "name": "llm.inference",
        "external_customer_id": f"user_{index % 7}",
        "external_id": f"call-{index}",
        "timestamp": "2026-11-23T12:08:14.123456Z",
        "metadata": {
            "_cost": {"amount": 0.1 + 0.2 * index, "currency": "usd"},
            "tokens": index,
            "text": "Größe\n🤖",
        },
    }


def message(index: int) -> event_pb2.NewEvent:
    """The same event as a message."""
    fields = document(index)
    sent = event_pb2.NewEvent(
        name=fields["name"],
        external_customer_id=fields["external_customer_id"],
        external_id=fields["external_id"],
    )
    sent.timestamp.FromJsonString(fields["timestamp"])
    sent.metadata.update(fields["metadata"])
    return sent


@pytest.mark.parametrize("events", [1, EVENTS])
def test_both_forms_are_the_same_events(store: Store, acme: Organization, events: int) -> None:
    """What was stored from JSON is a duplicate in protobuf, and never a conflict."""
    body = json.dumps({"events": [document(index) for index in range(events)]}).encode()
    request = event_service_pb2.IngestEventsRequest(
        events=[message(index) for index in range(events)]
    ).SerializeToString()

    async def ingest() -> None:
        ingestor = ingestor_of(store)
        ingestor.start()
        first = await ingestor.decode_json(acme, body)
        stored = (await ingestor.store(acme, first, len(body))).receipt
        assert (stored.inserted, stored.duplicates, stored.conflicts) == (events, 0, [])
        again = await ingestor.decode(acme, request)
        repeated = (await ingestor.store(acme, again, len(request))).receipt
        assert (repeated.inserted, repeated.duplicates, repeated.conflicts) == (0, events, [])
        await ingestor.close()

    asyncio.run(ingest())
    with store.read() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one()
    assert rows == events


def test_what_is_refused(store: Store, acme: Organization) -> None:
    """A body that is no JSON is a fault of the request; a service that stops reads nothing."""

    async def ingest() -> None:
        ingestor = ingestor_of(store)
        ingestor.start()
        batch = await ingestor.decode_json(acme, b'{"events":[')
        with pytest.raises(InvalidEventsError) as refused:
            await ingestor.store(acme, batch, 11)
        assert refused.value.reason == "MALFORMED_REQUEST"
        assert refused.value.facts == {
            "path": "",
            "value": "line 1, column 12",
            "message": "cost_insights.v1.IngestEventsRequest",
        }
        await ingestor.close()
        with pytest.raises(ShuttingDownError):
            await ingestor.decode_json(acme, b'{"events":[]}')

    asyncio.run(ingest())
