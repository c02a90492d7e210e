"""A limit of customers: who is new beyond it is refused by name, and nothing else is."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import grpc
import httpx
import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights.store.schema import customer
from cost_insights.v1 import event_pb2, event_service_pb2, revenue_service_pb2
from tests.reference.revenue import Order
from tests.support.facts import sent_order
from tests.support.service import Caller, Service, StartServer, new_event, refused

CREATED = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def service(start_http: StartServer, database_url: str) -> Iterator[Service]:
    """A service whose organizations may have three customers."""
    with start_http(database_url, organization_customers_max=3, token_cache_ms=0) as service:
        yield service


def events(*customers: str, run: str = "") -> list[event_pb2.NewEvent]:
    """An event of each of the customers."""
    return [
        new_event(external_customer_id=one, external_id=f"{run} {place}", cost="1")
        for place, one in enumerate(customers)
    ]


def customers_of(service: Service, caller: Caller) -> list[str]:
    """The registered customers of the organization of a caller."""
    with service.store.read() as connection:
        owner = identity.find_organization(connection, caller.organization)
        assert owner is not None
        return list(
            connection.scalars(
                sa.select(customer.c.external_id)
                .where(customer.c.organization_number == owner.number)
                .order_by(customer.c.number)
            )
        )


def test_events_of_new_customers(service: Service) -> None:
    """Without `accept_valid` a request with one too many stores nothing and registers nobody; with
    it everything else is stored, and the others are named."""
    caller = service.caller()
    caller.ingest(*events("a", "b"))
    with refused("TOO_MANY_CUSTOMERS") as call:
        caller.ingest(*events("a", "c", "d", "c", "e", run="second"))
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.paths == [
        "events[2].external_customer_id",
        "events[4].external_customer_id",
    ]
    assert call.refusal.message == (
        'events[2].external_customer_id: the customer "d" is new, and the organization may have at '
        "most 3 customers (the first of 2 faults in 2 events)"
    )
    assert call.refusal.facts["customers_max"] == "3"
    assert customers_of(service, caller) == ["a", "b"]
    again = events("a", "c", "d", "c", "e", run="second")
    answer = caller.ingest(*again, accept_valid=True)
    assert (answer.inserted, answer.refused) == (3, 2)
    assert [(one.index, one.reason) for one in answer.faults] == [
        (2, "TOO_MANY_CUSTOMERS"),
        (4, "TOO_MANY_CUSTOMERS"),
    ]
    assert customers_of(service, caller) == ["a", "b", "c"]
    # Those who are known go on, from memory as well.
    assert caller.ingest(*events("a", "b", "c", run="third")).inserted == 3
    with refused("TOO_MANY_CUSTOMERS"):
        caller.ingest(*events("d", run="third"))
    # Others are not affected.
    assert service.caller().ingest(*events("x", "y", "z")).inserted == 3
    # Once the limit is raised, what was refused is stored once.
    with service.store.write() as connection:
        owner = identity.find_organization(connection, caller.organization)
        assert owner is not None
        identity.set_limits(connection, owner, {"customers_max": 0})
    answer = caller.ingest(*again)
    assert (answer.inserted, answer.duplicates) == (2, 3)
    assert customers_of(service, caller) == ["a", "b", "c", "d", "e"]


def test_a_stream_goes_on(service: Service) -> None:
    """A batch with a customer too many is acknowledged with its fault, and the next ones are
    stored."""
    caller = service.caller()
    batches = [("a", "b", "c"), ("d",), ("c",)]
    requests = [
        event_service_pb2.StreamEventsRequest(
            stream_id="s",
            sequence=place,
            batch=event_service_pb2.IngestEventsRequest(events=events(*one, run=str(place))),
        )
        for place, one in enumerate(batches, 1)
    ]
    first, second, third = caller.events.StreamEvents(
        iter(requests), metadata=caller.metadata, timeout=60
    )
    assert (first.batch.inserted, third.batch.inserted) == (3, 1)
    assert "may have at most 3 customers" in second.error.message


def test_every_way_to_register(service: Service) -> None:
    """Revenue, system events and the compatible API refuse new customers in the same words, and go
    on with known ones."""
    caller = service.caller()
    headers = dict(caller.metadata)

    def post(path: str, body: object) -> httpx.Response:
        return httpx.post(service.url + path, json=body, headers=headers, timeout=60)

    assert post("/v1/customers/", {"external_id": "a"}).status_code == 201
    caller.ingest(*events("b", "c"))
    created = post("/v1/customers/", {"external_id": "d"})
    assert created.status_code == 422
    assert "may have at most 3 customers" in created.text
    ingested = post("/v1/events/ingest", {"events": [{"name": "x", "external_customer_id": "d"}]})
    assert ingested.status_code == 422
    assert ingested.json()["detail"][0]["type"] == "too_many_customers"

    def order(order_id: str, who: str) -> revenue_service_pb2.RecordOrdersRequest:
        one = Order(order_id=order_id, customer=who, created=CREATED, cents=Decimal(100))
        return revenue_service_pb2.RecordOrdersRequest(orders=[sent_order(one)])

    caller.revenue.RecordOrders(order("o1", "a"), metadata=caller.metadata)
    with refused("TOO_MANY_CUSTOMERS") as call:
        caller.revenue.RecordOrders(order("o2", "d"), metadata=caller.metadata)
    assert call.refusal.paths == ["orders[0].external_customer_id"]
    paid = [
        {
            "name": "order.paid",
            "external_customer_id": who,
            "timestamp": "2026-11-02T00:00:00Z",
            "metadata": {"order_id": f"of {who}", "billing_type": "one_time"},
        }
        for who in ("a", "d")
    ]
    answer = post(
        "/cost_insights.v1.EventService/IngestEvents", {"events": paid, "acceptValid": True}
    )
    assert int(answer.json()["inserted"]) == 1
    assert answer.json()["faults"][0]["reason"] == "TOO_MANY_CUSTOMERS"
    assert customers_of(service, caller) == ["a", "b", "c"]
