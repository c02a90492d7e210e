"""Numbers that a process remembers, and the groups that need no others."""

import uuid

import pytest

from cost_insights._native.commit import EVENT_COLUMNS, NumberCache
from cost_insights._native.events import EventBatch, Limits, decode_events
from cost_insights.v1 import cost_pb2, event_pb2, event_service_pb2

CUSTOMER_ID = uuid.UUID("1dbfc517-0bbf-4301-9ba8-555ca42b9737")
UNCERTAIN_PARENT = "01890a5d-ac96-774b-bcce-b302099a8057"


def batch_of(*events: event_pb2.NewEvent) -> EventBatch:
    """The events as a batch."""
    batch = decode_events(
        event_service_pb2.IngestEventsRequest(events=events).SerializeToString(),
        organization_id=bytes(16),
        now_us=1_795_435_694_000_000,
        entropy=bytes(32),
        limits=Limits(),
    )
    assert batch.faults == []
    return batch


@pytest.fixture
def cache() -> NumberCache:
    """A cache that knows some of organization 7."""
    cache = NumberCache(1024 * 1024)
    cache.add(7, {"c": 1}, {CUSTOMER_ID.bytes: 2}, {("a", "", "", ""): 3, ("a", "v", "m", "p"): 4})
    return cache


def test_known_numbers_stand_in_the_order_of_the_lists(cache: NumberCache) -> None:
    """A known number is told in its place, an unknown one as None."""
    batch = batch_of(
        event_pb2.NewEvent(name="b", external_customer_id="d"),
        event_pb2.NewEvent(name="a", external_customer_id="c"),
        event_pb2.NewEvent(name="a", customer_id=str(CUSTOMER_ID)),
    )
    assert cache.known(7, batch) == ([None, 1], [2], [None, 3])
    assert cache.known(8, batch) == ([None, None], [None], [None, None])


def test_a_group_of_known_numbers(cache: NumberCache) -> None:
    """A commit is made where all numbers are known, with the numbers in its rows."""
    known = batch_of(
        event_pb2.NewEvent(name="a", external_customer_id="c"),
        event_pb2.NewEvent(
            name="a",
            customer_id=str(CUSTOMER_ID),
            llm=cost_pb2.Llm(vendor="v", model="m"),
            product_id="p",
        ),
    )
    commit = cache.commit_of([(known, 7), (batch_of(), 8)])
    assert commit is not None
    assert len(commit.receipts()) == 2
    columns = ("organization_number", "customer_number", "series_number")
    places = [EVENT_COLUMNS.index(column) for column in columns]
    rows = [tuple(row[place] for place in places) for row in commit.rows()]
    assert rows == [(7, 1, 3), (7, 2, 4)]

    unknown = batch_of(event_pb2.NewEvent(name="a", external_customer_id="d"))
    assert cache.commit_of([(known, 7), (unknown, 7)]) is None
    assert cache.commit_of([(known, 8)]) is None


def test_an_uncertain_parent_needs_the_database(cache: NumberCache) -> None:
    """No commit is made where only the database can tell whose id a parent is."""
    child = event_pb2.NewEvent(name="a", external_customer_id="c", parent_id=UNCERTAIN_PARENT)
    assert cache.commit_of([(batch_of(child), 7)]) is None
    child.parent_id = "an external id"
    assert cache.commit_of([(batch_of(child), 7)]) is not None
