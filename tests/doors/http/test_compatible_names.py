"""`/v1/events/names` and `/v1/event-types/`: counts, order, choices, labels."""

import json
import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cost_insights.events import event_type_id
from cost_insights.identity import Organization
from tests.support.members import Member

NAMES = "/v1/events/names"
TYPES = "/v1/event-types/"


def sent(member: Member) -> list[dict[str, Any]]:
    """Events of some names and customers in several quarters of an hour, days, months, years."""
    chance = random.Random(7)
    moments = ["2024-02-29", "2026-01-31", "2026-02-01", "2026-11-01", "2026-11-02"]
    events = [
        {
            "name": chance.choice(["a", "b", "B", "c.d"]),
            "externalCustomerId": chance.choice(["x", "y"]),
            "timestamp": f"{chance.choice(moments)}T{chance.choice([0, 12, 23]):02}:"
            f"{chance.choice([0, 14, 15, 59]):02}:{chance.choice([0, 59]):02}.{place:03}Z",
        }
        for place in range(60)
    ]
    events.append({"name": "Once", "externalCustomerId": "x", "timestamp": "2025-06-01T00:00:00Z"})
    member.grpc.ingest_json(*events)
    return events


def expected(events: list[dict[str, Any]], key: str, *, descending: bool) -> list[dict[str, Any]]:
    """The names of events, counted one by one."""
    found = []
    for name in sorted({one["name"] for one in events}):
        times = sorted(one["timestamp"] for one in events if one["name"] == name)
        found.append(
            {
                "name": name,
                "label": name,
                "source": "user",
                "occurrences": len(times),
                "first_seen": times[0],
                "last_seen": times[-1],
            }
        )
    return sorted(found, key=lambda one: one[key], reverse=descending)


def shown(page: Any) -> list[dict[str, Any]]:
    """The items with times in milliseconds, as they were sent."""
    for one in page["items"]:
        for key in ("first_seen", "last_seen"):
            one[key] = one[key].replace("000Z", "Z") if "." in one[key] else one[key]
            if "." not in one[key] and one["name"] != "Once":
                one[key] = one[key].replace("Z", ".000Z")
    items: list[dict[str, Any]] = page["items"]
    return items


@pytest.mark.parametrize("key", ["name", "occurrences", "first_seen", "last_seen"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_names(member: Member, key: str, sign: str) -> None:
    """Every name with how often and when it was seen, in any order and page."""
    names = expected(sent(member), key, descending=bool(sign))
    page = member.get(NAMES, sorting=f"{sign}{key}")
    assert [one[key] for one in shown(page)] == [one[key] for one in names]
    assert sorted(page["items"], key=str) == sorted(names, key=str)
    assert page["pagination"] == {"total_count": 5, "max_page": 1, "has_next_page": False}
    pages = [member.get(NAMES, sorting=f"{sign}{key}", limit=2, page=n) for n in (1, 2, 3, 4)]
    assert [one["name"] for page in pages for one in page["items"]] == [
        one["name"] for one in page["items"]
    ]
    assert [page["pagination"]["has_next_page"] for page in pages] == [True, True, False, False]


def test_choices(member: Member) -> None:
    """Names contain a text in any letter case, and only events of the customers count."""
    events = sent(member)
    assert {one["name"] for one in member.get(NAMES, query="B")["items"]} == {"b", "B"}
    assert [one["name"] for one in member.get(NAMES, query="NCE")["items"]] == ["Once"]
    page = member.get(NAMES, external_customer_id="y", sorting="name")
    of_y = [one for one in events if one["externalCustomerId"] == "y"]
    assert shown(page) == expected(of_y, "name", descending=False)
    assert member.get(NAMES, external_customer_id="nobody")["items"] == []
    assert member.get(NAMES, source="system")["items"] == []
    assert member.get(NAMES)["items"][0]["last_seen"] >= "2026-11-02"


def test_no_names(member: Member, new_member: Callable[[], Member]) -> None:
    """Names of another organization are not seen."""
    sent(new_member())
    for path in (NAMES, TYPES):
        assert member.get(path) == {
            "items": [],
            "pagination": {"total_count": 0, "max_page": 0, "has_next_page": False},
        }


def test_types(member: Member) -> None:
    """A type is a name with an id that never changes."""
    member.grpc.ingest_json(
        {"name": "a", "externalCustomerId": "x", "timestamp": "2026-11-01T00:00:00Z"}
    )
    (one,) = member.get(TYPES)["items"]
    organization_id = one["organization_id"]
    owner = Organization(0, uuid.UUID(organization_id), "", 0)
    assert one == {
        "id": str(event_type_id(owner, "a")),
        "created_at": "2026-11-01T00:00:00Z",
        "modified_at": None,
        "label_property_selector": None,
        "organization_id": organization_id,
        "name": "a",
        "label": "a",
        "source": "user",
        "occurrences": 1,
        "first_seen": "2026-11-01T00:00:00Z",
        "last_seen": "2026-11-01T00:00:00Z",
    }


def test_ids_of_types() -> None:
    """Callers keep the ids of types, so none may ever be computed in another way."""
    owner = Organization(0, uuid.UUID("0192f0c1-0000-4000-8000-000000000000"), "", 0)
    assert str(event_type_id(owner, "llm.inference")) == "dc697cb7-18bc-5a66-ae2d-3aded3e893e4"


def test_labels(member: Member) -> None:
    """A label stands on the events of a type, unless the property that is chosen is a text."""
    member.grpc.ingest_json(
        {"name": "a", "externalCustomerId": "x", "metadata": {"title": "Ours"}, "externalId": "1"},
        {"name": "a", "externalCustomerId": "x", "metadata": {"title": 5}, "externalId": "2"},
        {"name": "b", "externalCustomerId": "x", "externalId": "3"},
    )
    one = next(one for one in member.get(TYPES)["items"] if one["name"] == "a")
    path = f"{TYPES}{one['id']}"

    def labels() -> dict[str, str]:
        items = member.get("/v1/events/")["items"]
        return {event["external_id"]: event["label"] for event in items}

    answer = member.http.patch(path, json={"label": "  A label "})
    assert answer.status_code == 200
    changed = answer.json()
    assert changed["modified_at"] is not None
    assert changed == {**one, "label": "A label", "modified_at": changed["modified_at"]}
    assert labels() == {"1": "A label", "2": "A label", "3": "b"}
    assert {item["label"] for item in member.get(NAMES)["items"]} == {"A label", "b"}
    answer = member.http.patch(path, json={"label_property_selector": "title"})
    assert answer.json()["label_property_selector"] == "title"
    assert labels() == {"1": "Ours", "2": "A label", "3": "b"}
    assert member.get("/v1/events/", event_type_id=one["id"])["pagination"]["total_count"] == 2
    assert member.get("/v1/events/", event_type_id=one["id"], name="b")["items"] == []
    assert member.get("/v1/events/", event_type_id=str(uuid.uuid4()))["items"] == []
    member.http.patch(path, json={"label_property_selector": None, "label": "z"})
    assert labels() == {"1": "z", "2": "z", "3": "b"}


@pytest.mark.parametrize(
    ("content", "loc", "message"),
    [
        ({"label": " "}, ["body", "label"], "the text has 0 characters; at least 1 are needed"),
        (
            {"label": "x" * 129},
            ["body", "label"],
            "the text has 129 characters; at most 128 are allowed",
        ),
        (
            {"label_property_selector": "x" * 257},
            ["body", "label_property_selector"],
            "the text has 257 characters; at most 256 are allowed",
        ),
        ({"label": 5}, ["body", "label"], "5 is not a text"),
        ({"label": "\0"}, ["body", "label"], None),
        ({"label": "\ud800"}, ["body", "label"], '"\\ud800" is not a text'),
        ([], ["body"], "the body is not a JSON object"),
    ],
)
def test_malformed_changes(
    member: Member, content: Any, loc: list[str], message: str | None
) -> None:
    """A change that cannot be meant is refused, and the answer says where and why."""
    # `json=` would refuse half a surrogate pair.
    headers = {"content-type": "application/json"}
    path = f"{TYPES}{uuid.uuid4()}"
    answer = member.http.patch(path, content=json.dumps(content), headers=headers)
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == loc
    assert message is None or fault["msg"] == message


def test_no_such_type(member: Member, new_member: Callable[[], Member]) -> None:
    """A type that another organization has, or nobody, is not found."""
    other = new_member()
    sent(other)
    for one in (other.get(TYPES)["items"][0]["id"], "nonsense"):
        answer = member.http.patch(f"{TYPES}{one}", json={"label": "x"})
        assert answer.status_code == 404
        assert answer.json() == {
            "error": "ResourceNotFound",
            "detail": f"there is no event type '{one}'",
        }


def test_types_of_roots_and_children(member: Member) -> None:
    """Types are counted over the events without a parent, or over the children of one."""
    member.grpc.ingest_json(
        {"name": "run", "externalCustomerId": "x", "externalId": "r"},
        {"name": "step", "externalCustomerId": "x", "parentId": "r"},
        {"name": "step", "externalCustomerId": "x", "parentId": "r"},
        {"name": "run", "externalCustomerId": "x", "parentId": "r"},
    )

    def counts(**parameters: str) -> dict[str, int]:
        items = member.get(TYPES, **parameters)["items"]
        return {one["name"]: one["occurrences"] for one in items}

    assert counts() == {"run": 2, "step": 2}
    assert counts(root_events="false") == {"run": 2, "step": 2}
    assert counts(root_events="true") == {"run": 1}
    assert counts(parent_id="r") == {"run": 1, "step": 2}
    assert counts(parent_id="r", query="ST", sorting="occurrences") == {"step": 2}
    assert counts(root_events="true", external_customer_id="y") == {}
