"""`GET /v1/events/` and `GET /v1/events/{id}`: shapes, parameters, faults, pages, isolation."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost_insights.events import places
from tests.reference.conditions import holds
from tests.support.members import Member
from tests.support.segments import compact
from tests.support.service import Service

EVENTS = "/v1/events/"


def time_of(second: int) -> str:
    """A time that is so many seconds after noon."""
    return f"2026-11-01T12:{second // 60:02}:{second % 60:02}Z"


def send(member: Member, *events: dict[str, Any]) -> None:
    """Sends events, a second apart unless they have a time."""
    member.grpc.ingest_json(
        *(
            {"name": "n", "externalCustomerId": "c", "timestamp": time_of(place), **one}
            for place, one in enumerate(events)
        )
    )


def found(member: Member, **parameters: Any) -> list[str]:
    """The external ids of the events that are listed, the latest first."""
    return [one["external_id"] for one in member.get(EVENTS, **parameters)["items"]]


def clause(name: str, operator: str, value: Any) -> dict[str, Any]:
    """A clause of a filter."""
    return {"property": name, "operator": operator, "value": value}


def filter_of(*clauses: Any, conjunction: str = "and") -> str:
    """A filter as text."""
    return json.dumps({"conjunction": conjunction, "clauses": clauses})


def test_nothing(member: Member) -> None:
    """Without events there is an empty page."""
    assert member.get(EVENTS) == {
        "items": [],
        "pagination": {"total_count": 0, "max_page": 0, "has_next_page": False},
    }


def test_an_event(member: Member) -> None:
    """An event has every key that SDKs need, and amounts as text."""
    send(
        member,
        {
            "name": "llm.inference",
            "externalCustomerId": "user_123",
            "externalId": "e",
            "cost": {"amount": "0.025", "currency": "usd"},
            "llm": {
                "vendor": "openai",
                "model": "gpt-4",
                "inputTokens": 1,
                "outputTokens": 2,
                "totalTokens": 3,
            },
            "metadata": {"feature": "x", "n": 1.5, "ok": True},
        },
    )
    answer = member.get(EVENTS)
    (event,) = answer["items"]
    assert answer["pagination"] == {"total_count": 1, "max_page": 1, "has_next_page": False}
    one, customer_id = event["id"], event["customer_id"]
    organization_id, created_at = event["organization_id"], event["customer"]["created_at"]
    assert event == {
        "id": one,
        "timestamp": "2026-11-01T12:00:00Z",
        "organization_id": organization_id,
        "customer_id": customer_id,
        "customer": {
            "id": customer_id,
            "created_at": created_at,
            "modified_at": None,
            "metadata": {},
            "external_id": "user_123",
            "email": f"{customer_id}@customers.invalid",
            "email_verified": False,
            "type": "individual",
            "name": None,
            "billing_name": None,
            "billing_address": None,
            "tax_id": None,
            "locale": None,
            "organization_id": organization_id,
            "default_payment_method_id": None,
            "deleted_at": None,
            "first_user_event_at": None,
            "avatar_url": f"https://customers.invalid/{customer_id}.png",
        },
        "external_customer_id": "user_123",
        "member_id": None,
        "external_member_id": None,
        "external_id": "e",
        "product_id": None,
        "child_count": 0,
        "parent_id": None,
        "label": "llm.inference",
        "source": "user",
        "name": "llm.inference",
        "metadata": {
            "feature": "x",
            "n": 1.5,
            "ok": True,
            "_cost": {"amount": "0.025", "currency": "usd"},
            "_llm": {
                "vendor": "openai",
                "model": "gpt-4",
                "input_tokens": 1,
                "output_tokens": 2,
                "total_tokens": 3,
            },
        },
    }
    assert member.get(f"{EVENTS}{one}") == event


def test_no_such_event(member: Member, new_member: Callable[[], Member]) -> None:
    """An event that another organization has, or nobody, is 404 in the words of the SDKs."""
    other = new_member()
    send(other, {"externalId": "e"})
    theirs = other.get(EVENTS)["items"][0]["id"]
    for one in (theirs, "nonsense"):
        answer = member.http.get(f"{EVENTS}{one}")
        assert answer.status_code == 404
        assert answer.json() == {
            "error": "ResourceNotFound",
            "detail": f"there is no event '{one}'",
        }


def test_choices(member: Member) -> None:
    """Lists choose by any of their values, and all lists together; times exclude their ends."""
    send(
        member,
        {"externalId": "0", "name": "a", "externalCustomerId": "x"},
        {"externalId": "1", "name": "b", "externalCustomerId": "x"},
        {"externalId": "2", "name": "a", "externalCustomerId": "y"},
        {"externalId": "3", "name": "c", "externalCustomerId": "z"},
    )
    customer_id = member.get(EVENTS, external_customer_id="y")["items"][0]["customer_id"]
    assert found(member) == ["3", "2", "1", "0"]
    assert found(member, sorting="timestamp") == ["0", "1", "2", "3"]
    assert found(member, name=["a", "c"]) == ["3", "2", "0"]
    assert found(member, name="a", external_customer_id=["x", "z"]) == ["0"]
    assert found(member, customer_id=customer_id) == ["2"]
    assert found(member, customer_id="x") == ["1", "0"]
    assert found(member, customer_id=customer_id, external_customer_id="z") == ["3", "2"]
    assert found(member, start_timestamp=time_of(1), end_timestamp=time_of(3)) == ["2"]
    assert found(member, start_timestamp="2026-11-01T13:00:01+01:00", name="a") == ["2"]
    assert found(member, source="user") == ["3", "2", "1", "0"]
    assert found(member, source="system") == []
    assert found(member, source=["system", "user"], name="b") == ["1"]
    assert found(member, name="nobody") == []


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"name": "a"},
        {"external_customer_id": "c0"},
        {"external_customer_id": ["c0", "c1"], "name": "b"},
        {"start_timestamp": "2026-11-01T12:00:00Z"},
        {"start_timestamp": "2026-11-01T12:10:00.5Z", "end_timestamp": "2026-11-01T15:50:00Z"},
        {"end_timestamp": "2026-11-01T12:05:00Z"},
        {"start_timestamp": "2026-11-01T12:01:00Z", "end_timestamp": "2026-11-01T12:04:00Z"},
        {"name": "a", "external_customer_id": "c1", "start_timestamp": "2026-11-01T13:00:00Z"},
        {"start_timestamp": "2027-01-01T00:00:00Z"},
    ],
)
def test_total_by_cells(member: Member, parameters: dict[str, Any]) -> None:
    """The number of events of names, customers and a time is exact, whatever the page."""
    send(
        member,
        *(
            {
                "name": "ab"[place % 2],
                "externalCustomerId": f"c{place % 3}",
                "timestamp": f"2026-11-01T{12 + place // 12}:{place % 12 * 5:02}:00Z",
            }
            for place in range(60)
        ),
    )
    everything = member.get(EVENTS, **parameters, limit=100)
    expected = len(everything["items"])
    for page in (1, 2, 30):
        pagination = member.get(EVENTS, **parameters, limit=7, page=page)["pagination"]
        assert pagination["total_count"] == expected
        assert pagination["max_page"] == -(-expected // 7)


def test_metadata(member: Member) -> None:
    """`metadata[key]` finds any of the values of a key, and all keys; numbers by value."""
    send(
        member,
        {"externalId": "0", "metadata": {"plan": "pro", "n": 1, "ok": True}},
        {"externalId": "1", "metadata": {"plan": "free", "n": 1.5, "ok": False}},
        {"externalId": "2", "metadata": {"plan": "pro", "n": 2, "a.b": "1"}},
        {"externalId": "3", "metadata": {"plan": "PRO", 'q"[]': "x", "name": "inner"}},
        {"externalId": "4", "cost": {"amount": "0.5", "currency": "usd"}},
    )
    assert found(member, **{"metadata[plan]": "pro"}) == ["2", "0"]
    assert found(member, **{"metadata[plan]": ["pro", "free"], "metadata[n]": "1.0"}) == ["0"]
    assert found(member, **{"metadata[n]": ["1", "2"]}) == ["2", "0"]
    assert found(member, **{"metadata[ok]": "false"}) == ["1"]
    assert found(member, **{"metadata[a.b]": "1"}) == ["2"]
    assert found(member, **{'metadata[q"[]]': "x"}) == ["3"]
    assert found(member, **{"metadata[name]": "inner"}) == ["3"]
    assert found(member, **{"metadata[_cost.amount]": "0.50"}) == ["4"]
    assert found(member, **{"metadata[nothing]": "x"}) == []


def test_numbers_are_found_however_they_are_written(member: Member) -> None:
    """A number of the metadata is found by every way of writing it, and by none of another."""
    numbers = [0.00001, 1e-7, 0.30000000000000004, 2.0**53, 1e16, 1.25e20, -2.5, 1000, 10000, -0.0]
    send(member, *({"externalId": str(one), "metadata": {"n": one}} for one in numbers))
    send(member, *({"externalId": f"'{one}'", "metadata": {"n": str(one)}} for one in numbers))
    for one in numbers:
        spellings = {str(one), f"{one:e}", f"{one:f}", f"+{one:g}"}
        for spelling in sorted(text for text in spellings if _is_number(text, one)):
            expected = {str(one)} | ({f"'{one}'"} if spelling == str(one) else set())
            assert set(found(member, **{"metadata[n]": spelling})) == expected, spelling


def _is_number(text: str, number: float) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


@pytest.mark.parametrize(
    "parameters",
    [
        {"metadata[plan]": "pro"},
        {"filter": filter_of(clause("name", "like", "n"))},
        {"query": "pro"},
        {"depth": "0"},
    ],
)
def test_more_than_a_page(member: Member, parameters: dict[str, str]) -> None:
    """Where a page is followed by another, what matches is counted."""
    send(member, *[{"metadata": {"plan": "pro"}}] * 5)
    page = member.get(EVENTS, **parameters, limit=2)
    assert page["pagination"] == {"total_count": 5, "max_page": 3, "has_next_page": True}


def test_text(member: Member) -> None:
    """`query` finds a text in names, external ids and metadata, whatever the case of ASCII."""
    send(
        member,
        {"externalId": "first", "name": "gpt4.Completion"},
        {"externalId": "1", "externalCustomerId": "Acme_%Corp"},
        {"externalId": "2", "metadata": {"note": "Überraschung ÉTÉ", "n": 123456}},
    )
    assert found(member, query="COMPLET") == ["first"]
    assert found(member, query="FIR") == ["first"]
    assert found(member, query="e_%c") == ["1"]
    assert found(member, query="RASCHUNG ÉTÉ") == ["2"]
    assert found(member, query="note") == []
    assert found(member, query="___") == []


def test_exact_amounts(member: Member) -> None:
    """`_cost.amount` is compared exactly, also beyond the digits of a double."""
    amounts = ["0.1", "0.100000000001", "0.3", "12345.123456789012", "-5"]
    send(
        member,
        *({"externalId": one, "cost": {"amount": one, "currency": "usd"}} for one in amounts),
        {"externalId": "free"},
    )

    def where(operator: str, value: Any) -> set[str]:
        text = filter_of(clause("_cost.amount", operator, value))
        return set(found(member, filter=text))

    assert where("eq", "0.10") == {"0.1"}
    assert where("gt", "0.1") == {"0.100000000001", "0.3", "12345.123456789012"}
    assert where("gt", "0.10000000000099999") == {"0.100000000001", "0.3", "12345.123456789012"}
    assert where("lt", "0.1000000000001") == {"0.1", "-5"}
    assert where("gte", "12345.123456789012") == {"12345.123456789012"}
    assert where("gt", "12345.123456789012") == set()
    assert where("lt", 0) == {"-5"}
    assert where("ne", "0.3") == set(amounts) - {"0.3"}
    assert where("lt", "9e99") == set(amounts)
    assert where("gt", "9e99") == set()
    assert where("eq", "nonsense") == set()
    assert where("ne", "nonsense") == set(amounts)


PROPERTIES = st.sampled_from(
    [
        "name",
        "source",
        "timestamp",
        "_cost.amount",
        "metadata._cost.amount",
        "_cost.currency",
        "_llm.model",
        "_llm.vendor",
        "_llm.input_tokens",
        "a",
        "metadata.a",
        "b.c",
        "metadata.name",
        'q"',
        "$.a",
        "_cost",
        "_llm",
        "absent",
    ]
)
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "b",
        "A",
        "é",
        "%",
        "_",
        "1",
        "1.0",
        "1.5",
        "-3",
        "1e0",
        "true",
        "false",
        "openai",
        "gpt-4",
        "usd",
        "user",
        "0.1",
        "0.100000000001",
        "1793534400",
        "1793534401.5",
        "NaN",
        "0_1",
    ]
)
NUMBERS = st.sampled_from([0, 1, -3, 2, 10, 1793534400, 2**31 - 1])
CLAUSES = st.builds(
    clause,
    PROPERTIES,
    st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "like", "not_like"]),
    TEXTS | NUMBERS | st.booleans(),
)
FILTERS = st.recursive(
    CLAUSES,
    lambda inner: st.fixed_dictionaries(
        {"conjunction": st.sampled_from(["and", "or"]), "clauses": st.lists(inner, max_size=4)}
    ),
    max_leaves=8,
)
VALUES = TEXTS.filter(bool) | st.sampled_from([0, 1, 1.5, -3, 1e300, 0.1]) | st.booleans()
STORED = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "é", "name"])},
    optional={
        "cost": st.sampled_from(["0.1", "0.100000000001", "1", "-3"]).map(
            lambda amount: {"amount": amount, "currency": "usd"}
        ),
        "llm": st.fixed_dictionaries(
            {
                "vendor": st.just("openai"),
                "model": st.sampled_from(["gpt-4", "a"]),
                "inputTokens": st.sampled_from([0, 1, 10]),
                "outputTokens": st.just(2),
                "totalTokens": st.just(3),
            }
        ),
        "metadata": st.dictionaries(
            st.sampled_from(["a", "b.c", "name", 'q"', "$.a"]), VALUES, max_size=4
        ),
    },
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(STORED, min_size=1, max_size=6),
    filters=st.lists(FILTERS, max_size=12),
    members=st.dictionaries(
        PROPERTIES, st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=2
    ),
)
def test_filters_like_reference(
    new_member: Callable[[], Member],
    events: list[dict[str, Any]],
    filters: list[Any],
    members: dict[str, list[str]],
) -> None:
    """A filter finds what its slow twin finds, of any events; values of members, which `ListEvents`
    takes too, are a filter."""
    member = new_member()
    send(member, *events)
    stored = member.get(EVENTS, limit=100)["items"]
    for place, one in enumerate(stored):
        one["timestamp_us"] = (1793534400 + len(stored) - 1 - place) * 1_000_000
    for one in filters:
        asked = one if "clauses" in one else {"conjunction": "and", "clauses": [one]}
        answer = member.get(EVENTS, limit=100, filter=json.dumps(asked))
        expected = [event["id"] for event in stored if holds(asked, event)]
        assert [event["id"] for event in answer["items"]] == expected
        assert answer["pagination"]["total_count"] == len(expected)
    of_each = [
        {
            "conjunction": "or",
            "clauses": [clause(f"metadata.{key}", "eq", value) for value in values],
        }
        for key, values in members.items()
    ]
    expected = [
        event["id"] for event in stored if holds({"conjunction": "and", "clauses": of_each}, event)
    ]
    answer = member.get(EVENTS, **{f"metadata[{key}]": values for key, values in members.items()})
    assert [event["id"] for event in answer["items"]] == expected
    listed = member.grpc.list_page(
        metadata=[{"key": key, "values": values} for key, values in members.items()]
    )
    assert [event.id for event in listed.events] == expected


@pytest.mark.parametrize(
    ("text", "loc", "message"),
    [
        ("{", ["query", "filter"], "the filter is not valid JSON"),
        ("[" * 5_000, ["query", "filter"], "the filter is not valid JSON"),
        (
            "[]",
            ["query", "filter"],
            '[] is not an object such as {"conjunction": "and", "clauses": []}',
        ),
        (
            '{"conjunction":"xor","clauses":[]}',
            ["query", "filter", "conjunction"],
            '"xor" is not one of and, or',
        ),
        (
            '{"conjunction":"or"}',
            ["query", "filter", "clauses"],
            "null is not an array",
        ),
        (
            filter_of(clause("name", "matches", "x")),
            ["query", "filter", "clauses", 0, "operator"],
            '"matches" is not one of eq, ne, gt, gte, lt, lte, like, not_like',
        ),
        (
            filter_of(clause("", "eq", "x")),
            ["query", "filter", "clauses", 0, "property"],
            '"" is not a text that is not empty',
        ),
        (
            filter_of(clause("a", "eq", "x"), clause("a", "eq", 1.5)),
            ["query", "filter", "clauses", 1, "value"],
            "1.5 is not a text, a whole number of 32 bits, true or false",
        ),
        (
            filter_of(clause("a", "eq", 2**31)),
            ["query", "filter", "clauses", 0, "value"],
            "2147483648 is not a text, a whole number of 32 bits, true or false",
        ),
        (
            filter_of(clause("a", "eq", None)),
            ["query", "filter", "clauses", 0, "value"],
            "null is not a text, a whole number of 32 bits, true or false",
        ),
        (
            filter_of(clause("a", "eq", "\0")),
            ["query", "filter", "clauses", 0, "value"],
            "the text holds the character U+0000, which no stored text holds",
        ),
        (
            filter_of(clause("\0name", "eq", "x")),
            ["query", "filter", "clauses", 0, "property"],
            "the text holds the character U+0000, which no stored text holds",
        ),
        (
            filter_of(clause("a", "eq", "\ud800")),
            ["query", "filter", "clauses", 0, "value"],
            '"\\ud800" holds half a surrogate pair, which is no character',
        ),
        (
            filter_of(clause("a", "eq", "x" * 1_001)),
            ["query", "filter", "clauses", 0, "value"],
            "the text has 1001 characters; at most 1000 are allowed",
        ),
        (
            filter_of(*[clause("a", "eq", "x")] * 101),
            ["query", "filter"],
            "the filter has more than 100 clauses",
        ),
        (
            "x" * 16_385,
            ["query", "filter"],
            "the text has 16385 characters; at most 16384 are allowed",
        ),
    ],
)
def test_hostile_filters(member: Member, text: str, loc: list[str | int], message: str) -> None:
    """A filter that cannot be meant is refused, and the answer says where and why."""
    assert (loc, message) in member.faults(EVENTS, filter=text)


def test_deep_filters(member: Member) -> None:
    """Filters are nested at most ten deep."""
    inner: Any = clause("a", "eq", "x")
    for _ in range(9):
        inner = {"conjunction": "or", "clauses": [inner]}
    assert found(member, filter=filter_of(inner)) == []
    deeper = filter_of({"conjunction": "and", "clauses": [inner]})
    ((loc, message),) = member.faults(EVENTS, filter=deeper)
    assert loc == ["query", "filter", *["clauses", 0] * 10]
    assert message == "filters are nested deeper than 10 levels"


@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "x'; DROP TABLE event; --", "%s", ":organization", "$1", "\\", "{}"]
)
def test_no_text_is_sql(member: Member, text: str) -> None:
    """What looks like SQL is text: as a value, as a property, as a key and as a query."""
    send(member, {"externalId": "plain"}, {"externalId": "odd", "metadata": {text: text}})
    assert found(member, filter=filter_of(clause(text, "eq", text))) == ["odd"]
    assert found(member, filter=filter_of(clause(text, "like", text))) == ["odd"]
    assert found(member, **{f"metadata[{text}]": text}) == ["odd"]
    assert found(member, name=text) == []
    if len(text) >= 3:
        assert found(member, query=text) == ["odd"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("page", "0", "'0' is not a whole number from 1 to 1000000000"),
        ("page", "9" * 200, f"'{'9' * 64}' is not a whole number from 1 to 1000000000"),
        ("limit", "x", "'x' is not a whole number from 1 to 1000000000"),
        ("limit", "-1", "'-1' is not a whole number from 1 to 1000000000"),
        ("depth", "6", "'6' is not a whole number from 0 to 5"),
        (
            "start_timestamp",
            "2026-11-01T12:00:00",
            "'2026-11-01T12:00:00' is not a time with an offset, such as 2026-11-23T10:00:00Z",
        ),
        (
            "end_timestamp",
            "now",
            "'now' is not a time with an offset, such as 2026-11-23T10:00:00Z",
        ),
        ("query", "ab", "the text has 2 characters; at least 3 are needed"),
        (
            "source",
            "robot",
            "'robot' is not a value of source; allowed are user, system",
        ),
        (
            "sorting",
            "name",
            "'name' is not a value of sorting; allowed are -timestamp, timestamp",
        ),
        (
            "meter_id",
            "11111111-1111-4111-8111-111111111111",
            "there are no meters here; choose events by name, metadata or filter",
        ),
        ("aggregate_fields", "a b", "'a b' is not 1 to 255 of a–z, A–Z, 0–9, _ and ."),
        (
            "organization_id",
            "11111111-1111-4111-8111-111111111111",
            (
                "'11111111-1111-4111-8111-111111111111' is not the organization of the access "
                "token; leave organization_id out"
            ),
        ),
        (
            "cursor",
            "nonsense",
            (
                "the page token does not belong to this call with these fields; start again "
                "without one"
            ),
        ),
        (
            "page",
            "10002",
            (
                "100010 events lie before the page; at most 100000 are passed over: use "
                "cursor_pagination=true, or bounds of time"
            ),
        ),
    ],
)
def test_faults(member: Member, name: str, value: str, message: str) -> None:
    """A parameter that cannot be meant is refused, and the answer says which and why."""
    ((loc, found_message),) = member.faults(EVENTS, **{name: value})
    assert found_message == message
    assert loc[:2] == ["query", name]


def test_pages(member: Member) -> None:
    """Pages follow each other, a limit over 100 is 100, and a page beyond the end is empty."""
    send(member, *({"externalId": f"{place:03}"} for place in range(250)))
    expected = [f"{place:03}" for place in reversed(range(250))]
    assert found(member) == expected[:10]
    pages = [found(member, page=page, limit=1_000_000) for page in (1, 2, 3, 4)]
    assert pages == [expected[:100], expected[100:200], expected[200:], []]
    answer = member.get(EVENTS, page=3, limit=100)["pagination"]
    assert answer == {"total_count": 250, "max_page": 3, "has_next_page": False}
    # With a filter too there is always a next page while there are more events.
    text = filter_of(clause("name", "eq", "n"))
    for page, expected_page in enumerate((expected[:100], expected[100:200], expected[200:]), 1):
        answer = member.get(EVENTS, page=page, limit=100, filter=text)
        assert [one["external_id"] for one in answer["items"]] == expected_page
        assert answer["pagination"]["max_page"] == 3


def test_cursors_are_stable(member: Member) -> None:
    """By cursors every event is listed once, though others arrive meanwhile."""
    send(member, *({"externalId": f"{place:03}"} for place in range(25)))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = member.get(EVENTS, limit=10, cursor_pagination="true", **cursor)
        seen += [one["external_id"] for one in page["items"]]
        send(member, {"externalId": f"late {len(seen)}", "timestamp": "2026-11-02T00:00:00Z"})
        if not page["pagination"]["has_next_page"]:
            break
        cursor = {"cursor": page["pagination"]["next_cursor"]}
    assert page["pagination"]["next_cursor"] is None
    assert seen == [f"{place:03}" for place in reversed(range(25))]
    # A cursor is of one question.
    assert member.faults(EVENTS, cursor=cursor["cursor"], name="n")


def family(member: Member) -> None:
    """Two trees: r over a and b, a over c; and s without a parent that is stored."""
    amount = {"currency": "usd"}
    send(
        member,
        {"externalId": "r", "cost": {"amount": "0.1", **amount}, "metadata": {"n": 0.1}},
        {"externalId": "a", "parentId": "r", "cost": {"amount": "0.000000000001", **amount}},
        {"externalId": "b", "parentId": "r", "metadata": {"n": 0.2, "ok": True}},
        {"externalId": "c", "parentId": "a", "cost": {"amount": "-7", **amount}},
        {"externalId": "s", "parentId": "late"},
    )


def test_depth(member: Member) -> None:
    """A depth chooses by the number of ancestors; under a parent, by the levels below it."""
    family(member)
    everything = {one["external_id"]: one for one in member.get(EVENTS)["items"]}
    assert {name: one["child_count"] for name, one in everything.items()} == {
        "r": 2,
        "a": 1,
        "b": 0,
        "c": 0,
        "s": 0,
    }
    assert everything["a"]["parent_id"] == everything["r"]["id"]
    assert found(member, depth=0) == ["r"]
    assert found(member, depth=1) == ["s", "b", "a", "r"]
    assert found(member, depth=5) == ["s", "c", "b", "a", "r"]
    root = everything["r"]["id"]
    assert found(member, parent_id=root) == ["b", "a"]
    assert found(member, parent_id="r") == ["b", "a"]
    assert found(member, parent_id=root, depth=0) == []
    assert found(member, parent_id=root, depth=1) == ["b", "a"]
    assert found(member, parent_id=root, depth=2) == ["c", "b", "a"]
    assert found(member, parent_id="nobody") == []
    assert member.get(f"{EVENTS}{root}")["child_count"] == 2


def test_sums(member: Member) -> None:
    """`aggregate_fields` sums an event and all its descendants, amounts exactly."""
    family(member)
    page = member.get(EVENTS, aggregate_fields=["_cost.amount", "n", "_llm.input_tokens"])
    sums = {one["external_id"]: one["metadata"] for one in page["items"]}
    usd = {"currency": "usd"}
    assert sums["r"] == {"_cost": {"amount": "-6.899999999999", **usd}, "n": 0.3}
    assert sums["a"] == {"_cost": {"amount": "-6.999999999999", **usd}}
    assert sums["b"] == {"n": 0.2, "ok": True}
    assert sums["s"] == {}


def test_sums_of_a_circle(member: Member) -> None:
    """Events that name each other as parents are summed once each."""
    usd = {"currency": "usd"}
    send(
        member,
        {"externalId": "x", "parentId": "y", "cost": {"amount": "1", **usd}},
        {"externalId": "y", "parentId": "x", "cost": {"amount": "2", **usd}},
    )
    page = member.get(EVENTS, aggregate_fields="_cost.amount")
    assert [one["metadata"]["_cost"]["amount"] for one in page["items"]] == ["3", "3"]
    assert found(member, parent_id="x", depth=5) == ["y"]


def test_isolation(member: Member, new_member: Callable[[], Member]) -> None:
    """Nothing of another organization is found, by whatever parameter."""
    other = new_member()
    family(other)
    theirs = other.get(EVENTS, external_customer_id="c")["items"][0]
    for parameters in (
        {},
        {"name": "n"},
        {"external_customer_id": "c"},
        {"customer_id": theirs["customer_id"]},
        {"parent_id": theirs["parent_id"] or theirs["id"]},
        {"parent_id": "r", "depth": "5"},
        {"query": "late"},
        {"metadata[n]": "0.1"},
        {"filter": filter_of(clause("name", "eq", "n"))},
        {"depth": "0"},
    ):
        assert member.get(EVENTS, **parameters)["items"] == []
        assert member.get(EVENTS, **parameters)["pagination"]["total_count"] == 0
    send(member, {"externalId": "r"})
    assert [one["child_count"] for one in member.get(EVENTS)["items"]] == [0]


@pytest.mark.parametrize("few_max", [places.FEW_MAX, 5])
@pytest.mark.parametrize("sorting", ["timestamp", "-timestamp"])
def test_customers_and_names_over_months(
    member: Member, monkeypatch: pytest.MonkeyPatch, sorting: str, few_max: int
) -> None:
    """Events of a customer or a name are found in order wherever they lie, page by page, also those
    with a member of the metadata: by their places if they are few, and otherwise by signatures."""
    monkeypatch.setattr(places, "FEW_MAX", few_max)
    chance = random.Random(5)
    days = ["2024-02-29", "2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02"]
    send(
        member,
        *(
            {
                "name": chance.choice("aab"),
                "externalCustomerId": chance.choice(["x", "x", "y", "z"]),
                "externalId": f"{place}",
                "metadata": {"third": place % 3, "words": f"in {'ab'[place % 2]}"},
                "timestamp": f"{chance.choice(days)}T{chance.choice([0, 11, 23]):02}:"
                f"{chance.choice([0, 14, 15, 44, 59]):02}:{chance.choice([0, 59]):02}Z",
            }
            for place in range(150)
        ),
    )
    everything = member.get(EVENTS, limit=100, sorting=sorting)["items"]
    everything += member.get(EVENTS, limit=100, page=2, sorting=sorting)["items"]
    assert len(everything) == 150
    start, end = "2026-10-30T23:14:59Z", "2026-11-02T11:44:00Z"
    for choice in (
        {"external_customer_id": "y"},
        {"external_customer_id": ["y", "z"], "name": "b"},
        {"name": "b"},
        {"name": ["a", "b"], "start_timestamp": start},
        {"external_customer_id": "x", "start_timestamp": start, "end_timestamp": end},
        {"external_customer_id": "z", "end_timestamp": end},
        {"external_customer_id": "z", "metadata[third]": "1"},
        {"external_customer_id": ["y", "z"], "metadata[third]": "2", "start_timestamp": start},
        {"name": "b", "metadata[third]": ["0", "2"], "end_timestamp": end},
        {"external_customer_id": "x", "metadata[third]": "none"},
        {"external_customer_id": "z", "query": "in b"},
        {"external_customer_id": "z", "filter": filter_of(clause("name", "eq", "b"))},
        {"name": "b", "depth": "0"},
    ):
        expected = [
            one["external_id"]
            for one in everything
            if one["external_customer_id"] in choice.get("external_customer_id", "xyz")
            and one["name"] in choice.get("name", "ab")
            and choice.get("start_timestamp", "") < one["timestamp"]
            and one["timestamp"] < choice.get("end_timestamp", "3")
            and str(one["metadata"]["third"]) in choice.get("metadata[third]", "012")
            and one["metadata"]["words"].endswith(choice.get("query", ""))
            and ("filter" not in choice or one["name"] == "b")
        ]
        numbered: list[str] = []
        page = 1
        while some := found(member, **choice, sorting=sorting, limit=7, page=page):
            numbered += some
            page += 1
        assert numbered == expected
        followed: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = member.get(
                EVENTS, **choice, **cursor, sorting=sorting, limit=7, cursor_pagination=True
            )
            followed += [one["external_id"] for one in answer["items"]]
            if not answer["pagination"]["has_next_page"]:
                break
            cursor = {"cursor": answer["pagination"]["next_cursor"]}
        assert followed == expected


@pytest.mark.parametrize("compacted", [False, True])
def test_totals_of_years(web: Service, member: Member, compacted: bool) -> None:
    """The number of a customer's events is exact in any time, however long ago it begins."""
    start = datetime(2022, 12, 31, 23, 50, tzinfo=UTC)
    times = [start + timedelta(hours=5 * place) for place in range(0, 6_000, 37)]
    send(
        member,
        *(
            {
                "name": f"n{place % 2}",
                "externalCustomerId": f"c{place % 3}",
                "timestamp": time.isoformat(),
            }
            for place, time in enumerate(times)
        ),
    )
    if compacted:
        compact(web.store)
    year, hour = timedelta(days=365), timedelta(hours=1)
    for after, before in (
        (None, None),
        (start + year, None),
        (None, start + 2 * year + hour),
        (start + year - hour, start + 3 * year),
        (start + year, start + year + timedelta(days=40)),
    ):
        bounds = {
            name: bound.isoformat()
            for name, bound in (("start_timestamp", after), ("end_timestamp", before))
            if bound is not None
        }
        inside = [
            place
            for place, time in enumerate(times)
            if (after is None or time > after) and (before is None or time < before)
        ]
        for customers, names in (("0",), ()), (("0", "2"), ()), (("1",), ("1",)), ((), ("0",)):
            expected = [
                place
                for place in inside
                if (not customers or str(place % 3) in customers)
                and (not names or str(place % 2) in names)
            ]
            answer = member.get(
                EVENTS,
                **bounds,
                external_customer_id=[f"c{one}" for one in customers],
                name=[f"n{one}" for one in names],
            )
            assert answer["pagination"]["total_count"] == len(expected), (bounds, customers, names)
