"""Organizations: what belongs to one is never seen by another."""

import uuid

import pytest

from cost_insights.v1 import event_service_pb2
from tests.support.service import Service, lately, new_event, refused


def test_two_organizations_with_the_same_ids(service: Service) -> None:
    """The same external ids, customers and names in two organizations are two of each."""
    red, blue = service.caller(), service.caller()
    for caller, cost in ((red, "1"), (blue, "10")):
        answer = caller.ingest(
            new_event(external_id="k1", cost=cost),
            new_event(external_id="k2", cost=cost, parent_id="k1"),
            new_event(name="only here" if caller is red else "only there", cost=cost),
        )
        assert answer == event_service_pb2.IngestEventsResponse(inserted=3)
    seen = {
        name: {event.id: event for event in caller.list_events()}
        for name, caller in (("red", red), ("blue", blue))
    }
    assert not seen["red"].keys() & seen["blue"].keys()
    assert {event.cost.amount for event in seen["red"].values()} == {"1"}
    assert {event.cost.amount for event in seen["blue"].values()} == {"10"}
    customers = {
        name: {event.customer_id for event in events.values()} for name, events in seen.items()
    }
    assert len(customers["red"]) == len(customers["blue"]) == 1
    assert customers["red"] != customers["blue"]
    parents = {event.parent_id for events in seen.values() for event in events.values()} - {""}
    assert len(parents) == 2

    for caller, cost in ((red, "3"), (blue, "30")):
        metrics = caller.get_metrics(**lately())
        assert (metrics.totals.costs, metrics.totals.active_user_by_event) == (cost, 1)
    names = [name.name for name in red.list_names_page().names]
    assert names == ["llm.inference", "only here"]
    assert [one.occurrences for one in blue.list_names_page().names] == [2, 1]


def test_ids_of_another_organization_are_unknown(service: Service) -> None:
    """Knowing the ids of another organization gives nothing."""
    red, blue = service.caller(), service.caller()
    red.ingest(new_event(cost="1"))
    (event,) = red.list_events()
    blue.ingest(new_event(cost="10"))

    with refused("EVENT_NOT_FOUND"):
        blue.get_event(event.id)
    assert blue.list_events(customer_ids=[event.customer_id]) == []
    span = lately()
    totals = blue.get_metrics(**span, customer_ids=[event.customer_id]).totals
    assert (totals.costs, totals.active_user_by_event) == ("0", 0)
    with refused("CUSTOMER_NOT_FOUND"):
        blue.ingest(new_event(customer_id=event.customer_id))
    # A parent of another organization is one that has not arrived yet.
    blue.ingest(new_event(name="child", parent_id=event.id))
    (child,) = blue.list_events(event_names=["child"])
    with refused("EVENT_NOT_FOUND"):
        blue.get_event(child.parent_id)
    assert red.get_metrics(**span).totals.costs == "1"


def test_page_tokens_of_others(service: Service) -> None:
    """A page token of another organization is refused."""
    red, blue = service.caller(), service.caller()
    red.ingest(*[new_event(name=f"red {n}") for n in range(4)])
    blue.ingest(*[new_event(name=f"blue {n}") for n in range(4)])
    for page_of in ("list_page", "list_names_page"):
        token = getattr(red, page_of)(page_size=2).next_page_token
        assert token
        with refused("PAGE_TOKEN_INVALID"):
            getattr(blue, page_of)(page_size=2, page_token=token)


@pytest.mark.parametrize("count", [3])
def test_organizations_may_share_one_transaction(service: Service, count: int) -> None:
    """Requests of several organizations that are stored together stay apart."""
    callers = [service.caller() for _ in range(count)]
    request = event_service_pb2.IngestEventsRequest(
        events=[
            new_event(external_id=f"k{n}", external_customer_id=f"c{n % 7}", cost="0.5")
            for n in range(100)
        ]
    )
    sent = [
        caller.events.IngestEvents.future(request, metadata=caller.metadata)
        for _ in range(4)
        for caller in callers
    ]
    answers = [call.result() for call in sent]
    assert sum(answer.inserted for answer in answers) == 100 * count
    assert sum(answer.duplicates for answer in answers) == 300 * count
    ids: set[uuid.UUID] = set()
    for caller in callers:
        totals = caller.get_metrics(**lately()).totals
        assert (totals.costs, totals.active_user_by_event) == ("50", 7)
        ids |= {uuid.UUID(event.id) for event in caller.list_events()}
    assert len(ids) == 100 * count
