"""Lists as SDKs of the compatible API ask for them: filters, pages, names, types and customers."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.support.sdks import SdkClient, SdkError, SdkProcess, instant
from tests.support.service import Service

pytestmark = pytest.mark.slow

EVENTS: Mapping[str, Mapping[str, Any]] = {
    "chat": {
        "name": "llm.inference",
        "external_customer_id": "user_1",
        "timestamp": "2025-10-01T10:00:00Z",
        "metadata": {"feature": "chatbot", "n": 1, "ok": True},
    },
    "search": {
        "name": "llm.inference",
        "external_customer_id": "user_2",
        "timestamp": "2025-10-01T10:01:00Z",
        "metadata": {"feature": "search", "n": 2, "ok": False},
    },
    "completion": {
        "name": "gpt4.completion",
        "external_customer_id": "user_1",
        "timestamp": "2025-10-01T10:02:00Z",
        "parent_id": "chat",
        "metadata": {"feature": "chatbot", "n": 1.5},
    },
    "mail": {
        "name": "email.sent",
        "external_customer_id": "user_3",
        "timestamp": "2025-10-01T10:03:00Z",
        "parent_id": "completion",
        "metadata": {"provider": "sendgrid"},
    },
    "reminder": {
        "name": "email.sent",
        "external_customer_id": "user_1",
        "timestamp": "2025-10-01T10:04:00.500Z",
    },
}
"""Events by their external ids, in the order of their times."""


@pytest.fixture(scope="module")
def reader(sdk_process: SdkProcess, web: Service) -> SdkClient:
    """A client whose organization has EVENTS."""
    client = SdkClient(sdk_process, web.url, web.token(web.organization()))
    # The external id is in the metadata too: SDKs have no field for it.
    events = [
        {**event, "external_id": key, "metadata": {**event.get("metadata", {}), "key": key}}
        for key, event in EVENTS.items()
    ]
    assert client.ingest(*events) == {"inserted": len(EVENTS), "duplicates": 0}
    return client


def keys(events: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """The external ids of events."""
    return [one["metadata"]["key"] for one in events]


def event_of(reader: SdkClient, key: str) -> Mapping[str, Any]:
    """The event of that external id."""
    (event,) = reader.items("events.list", metadata={"key": key})
    found: Mapping[str, Any] = event
    return found


def clauses(conjunction: str, *clauses: Sequence[Any]) -> str:
    """A filter: clauses of (property, operator, value)."""
    names = ("property", "operator", "value")
    return json.dumps(
        {
            "conjunction": conjunction,
            "clauses": [dict(zip(names, one, strict=True)) for one in clauses],
        }
    )


FILTERS: Sequence[tuple[Mapping[str, Any], Sequence[str]]] = (
    ({}, ["reminder", "mail", "completion", "search", "chat"]),
    ({"sorting": ["timestamp"]}, ["chat", "search", "completion", "mail", "reminder"]),
    ({"sorting": ["-timestamp"], "limit": 1}, ["reminder"]),
    # Both ends are excluded.
    (
        {"start_timestamp": "2025-10-01T10:00:00Z", "end_timestamp": "2025-10-01T10:03:00Z"},
        ["completion", "search"],
    ),
    ({"start_timestamp": "2025-10-01T12:04:00.499+02:00"}, ["reminder"]),
    ({"name": "email.sent"}, ["reminder", "mail"]),
    ({"name": ["email.sent", "gpt4.completion"]}, ["reminder", "mail", "completion"]),
    ({"external_customer_id": "user_2"}, ["search"]),
    ({"external_customer_id": ["user_2", "user_3"]}, ["mail", "search"]),
    ({"external_customer_id": "user_1", "name": "llm.inference"}, ["chat"]),
    ({"source": "user", "limit": 2}, ["reminder", "mail"]),
    ({"source": ["user", "system"], "limit": 2}, ["reminder", "mail"]),
    ({"source": "system"}, []),
    ({"metadata": {"feature": "chatbot"}}, ["completion", "chat"]),
    ({"metadata": {"feature": "chatbot", "n": 1}}, ["chat"]),
    ({"metadata": {"ok": True}}, ["chat"]),
    ({"filter": clauses("and", ("name", "eq", "email.sent"))}, ["reminder", "mail"]),
    (
        {"filter": clauses("or", ("n", "gte", 2), ("metadata.provider", "like", "send"))},
        ["mail", "search"],
    ),
    ({"filter": clauses("and", ("ok", "eq", False))}, ["search"]),
    ({"page": 2, "limit": 2}, ["completion", "search"]),
    ({"page": 3, "limit": 2}, ["chat"]),
    ({"page": 4, "limit": 2}, []),
    # More than 100 are 100, without an error.
    ({"limit": 1_000, "name": "gpt4.completion"}, ["completion"]),
)


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_filters(reader: SdkClient, query: Mapping[str, Any], expected: Sequence[str]) -> None:
    """Every parameter that needs no id chooses the events that it should."""
    assert keys(reader.items("events.list", **query)) == expected


OF_AN_EVENT: Mapping[str, tuple[Callable[[Mapping[str, Any]], Mapping[str, Any]], Sequence[str]]]
OF_AN_EVENT = {
    "customer": (
        lambda chat: {"customer_id": chat["customer_id"]},
        ["reminder", "completion", "chat"],
    ),
    "organization": (
        lambda chat: {"organization_id": chat["organization_id"], "limit": 1},
        ["reminder"],
    ),
    "text": (
        lambda chat: {"organization_id": chat["organization_id"], "query": "GPT4"},
        ["completion"],
    ),
}
"""Queries that need the ids of an event, and what they find."""


@pytest.mark.parametrize("case", OF_AN_EVENT)
def test_filters_by_id(reader: SdkClient, case: str) -> None:
    """The ids of an event that was read choose events."""
    query, expected = OF_AN_EVENT[case]
    assert keys(reader.items("events.list", **query(event_of(reader, "chat")))) == expected


def test_depth(reader: SdkClient) -> None:
    """The depth counts from the roots, or from a parent, which is left out."""
    if "depth" in reader.sdk.lacks:
        pytest.skip("the SDK has no depth")
    chat = event_of(reader, "chat")
    assert chat["child_count"] == 1
    assert event_of(reader, "completion")["parent_id"] == chat["id"]
    for query, expected in (
        ({"depth": 0}, ["reminder", "search", "chat"]),
        ({"depth": 1}, ["reminder", "completion", "search", "chat"]),
        ({"parent_id": chat["id"], "depth": 1}, ["completion"]),
        ({"parent_id": chat["id"], "depth": 5}, ["mail", "completion"]),
    ):
        assert keys(reader.items("events.list", **query)) == expected


def test_pages(reader: SdkClient) -> None:
    """A program that asks for one page after the other reads every event once."""
    pages = [reader("events.list", page=page, limit=2) for page in (1, 2, 3)]
    assert [keys(page["items"]) for page in pages] == [
        ["reminder", "mail"],
        ["completion", "search"],
        ["chat"],
    ]
    for page in pages:
        assert page["pagination"]["total_count"] == 5
        assert page["pagination"]["max_page"] == 3


def test_an_iterator_of_pages(reader: SdkClient) -> None:
    """An SDK that goes from page to page by itself reads every event once, and comes to an end."""
    if reader.sdk.version != "0.41.5":
        pytest.skip("events.list is no iterator")
    assert keys(reader("events.every", limit=2)) == list(EVENTS)[::-1]


def test_an_empty_list(client: SdkClient) -> None:
    """Where nothing is stored, lists are empty."""
    assert client.items("events.list") == []
    assert client("events.every_name") == []


NAMES: Mapping[str, tuple[int, str, str]] = {
    "email.sent": (2, "2025-10-01T10:03:00Z", "2025-10-01T10:04:00.500Z"),
    "gpt4.completion": (1, "2025-10-01T10:02:00Z", "2025-10-01T10:02:00Z"),
    "llm.inference": (2, "2025-10-01T10:00:00Z", "2025-10-01T10:01:00Z"),
}
"""The names of EVENTS: how many there are, the first and the last time; the latest first."""


def test_names(reader: SdkClient) -> None:
    """Names of events with their numbers and times, which the SDK reads page by page."""
    for names in (
        reader.items("events.list_names"),
        reader("events.every_name", limit=1),
        reader("events.every_name", limit=2),
    ):
        assert [one["name"] for one in names] == list(NAMES)
        for one in names:
            occurrences, first_seen, last_seen = NAMES[one["name"]]
            assert one["source"] == "user"
            assert one["occurrences"] == occurrences
            assert instant(one["first_seen"]) == instant(first_seen)
            assert instant(one["last_seen"]) == instant(last_seen)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sorting": ["name"]}, ["email.sent", "gpt4.completion", "llm.inference"]),
        ({"sorting": ["-first_seen"]}, ["email.sent", "gpt4.completion", "llm.inference"]),
        ({"query": "LLM"}, ["llm.inference"]),
        ({"external_customer_id": "user_3"}, ["email.sent"]),
        ({"source": "system"}, []),
        ({"page": 2, "limit": 2}, ["llm.inference"]),
    ],
)
def test_chosen_names(reader: SdkClient, query: Mapping[str, Any], expected: Sequence[str]) -> None:
    """Every parameter of names."""
    assert [one["name"] for one in reader.items("events.list_names", **query)] == expected


def test_event_types(reader: SdkClient) -> None:
    """Types of events with their numbers, which the SDK reads page by page."""
    if "event_types" in reader.sdk.lacks:
        pytest.skip("the SDK has no types of events")
    types = reader.items("event_types.list")
    assert types == reader("event_types.every", limit=2)
    assert [(one["name"], one["label"], one["occurrences"]) for one in types] == [
        (name, name, occurrences) for name, (occurrences, _, _) in NAMES.items()
    ]
    roots = reader.items("event_types.list", root_events=True, sorting=["name"])
    assert [one["name"] for one in roots] == ["email.sent", "llm.inference"]


def test_a_label(client: SdkClient) -> None:
    """A label that is given to a type is that of its events."""
    if "event_types" in client.sdk.lacks:
        pytest.skip("the SDK has no types of events")
    client.ingest({"name": "llm.inference", "external_customer_id": "user_1"})
    (found,) = client.items("event_types.list")
    changed = client("event_types.update", id=found["id"], label="Inference")
    assert (changed["id"], changed["label"]) == (found["id"], "Inference")
    (event,) = client.items("events.list")
    assert (event["name"], event["label"]) == ("llm.inference", "Inference")


def test_customers(reader: SdkClient) -> None:
    """Customers of events, by each of their ids and as a list."""
    chat = event_of(reader, "chat")
    found = reader("customers.get_external", external_id="user_1")
    assert found["id"] == chat["customer_id"]
    assert found["external_id"] == "user_1"
    assert reader("customers.get", id=found["id"]) == found
    assert chat["customer"] == found
    everyone = reader("customers.every", limit=2)
    assert sorted(one["external_id"] for one in everyone) == ["user_1", "user_2", "user_3"]
    with pytest.raises(SdkError) as raised:
        reader("customers.get_external", external_id="nobody")
    assert (raised.value.name, raised.value.status) == ("ResourceNotFound", 404)


def test_a_customer_before_any_event(client: SdkClient) -> None:
    """A customer who is registered is the one of later events."""
    made = client("customers.create", external_id="user_9", email="user@example.com")
    client.ingest({"name": "a", "external_customer_id": "user_9"})
    (event,) = client.items("events.list", customer_id=made["id"])
    assert event["external_customer_id"] == "user_9"


def test_dashboards(client: SdkClient) -> None:
    """A dashboard is saved, changed, read and deleted."""
    if "dashboards" in client.sdk.lacks:
        pytest.skip("the SDK has no dashboards")
    made = client("metrics.create_dashboard", name="Costs", metrics=["costs"])
    assert client("metrics.get_dashboard", id=made["id"]) == made
    changed = client("metrics.update_dashboard", id=made["id"], name="All", metrics=["revenue"])
    assert (changed["name"], changed["metrics"]) == ("All", ["revenue"])
    assert [one["id"] for one in client("metrics.list_dashboards")] == [made["id"]]
    assert client("metrics.delete_dashboard", id=made["id"]) is None
    assert client("metrics.list_dashboards") == []
