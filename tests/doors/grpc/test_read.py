"""Events and their names read back: filters, order and pages."""

import itertools
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2

from cost_insights.v1 import event_pb2
from tests.reference.conditions import compares
from tests.support.service import Caller, new_event, refused


def at(second: int, nanos: int = 0) -> timestamp_pb2.Timestamp:
    """A time of the year 2001."""
    return timestamp_pb2.Timestamp(seconds=1_000_000_000 + second, nanos=nanos)


def store(caller: Caller) -> list[event_pb2.NewEvent]:
    """Stores events of three names, customers and times, two of each kind: one with a product, and
    one of an LLM call."""
    events = [
        new_event(
            name=name,
            external_customer_id=customer,
            timestamp=at(second),
            external_id=f"{place} {kind}",
            **(
                {"product_id": f"p{place % 4}", "metadata": {"plan": "pro", "n": place % 3}}
                if kind == "x"
                else {
                    "llm": {"vendor": f"v{place % 2}", "model": f"m{place % 3}"},
                    "metadata": {"plan": "free", "ok": place % 2 == 0, "n": f"{place % 3}"},
                }
            ),
        )
        for place, (name, customer, second) in enumerate(
            itertools.product("ab", ["c1", "c2", "c,3"], [1, 2, 3])
        )
        for kind in "xy"
    ]
    assert caller.ingest(*events).inserted == 36
    return events


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"event_names": ["a"]},
        {"event_names": ["a", "b", "z"]},
        {"event_names": ["A"]},
        {"external_customer_ids": ["c1"]},
        {"external_customer_ids": ["c,3", "c1"]},
        {"external_customer_ids": ["c"]},
        {"customer_ids": ["c2"]},
        {"customer_ids": ["c2"], "external_customer_ids": ["c1"]},
        {"external_customer_ids": ["c1"], "event_names": ["b"]},
        {"start_time": at(2)},
        {"end_time": at(2)},
        {"start_time": at(2), "end_time": at(3)},
        {"start_time": at(1, 1_000)},
        {"start_time": at(2), "event_names": ["a"], "external_customer_ids": ["c2"]},
        {"product_ids": ["p1"]},
        {"product_ids": ["p1", "p3", "P2"], "event_names": ["b"]},
        {"product_ids": [""], "llm_models": ["m1"]},
        {"llm_vendors": ["v0"]},
        {"llm_vendors": ["v0"], "llm_models": ["m1", "m2"], "external_customer_ids": ["c1"]},
        {"llm_vendors": [""], "end_time": at(3)},
        {"llm_vendors": ["", "v1"], "product_ids": ["", "p2"]},
        {"llm_models": ["V0"]},
        {"metadata": [{"key": "plan", "values": ["pro"]}]},
        {"metadata": [{"key": "n", "values": ["1.0"]}]},
        {"metadata": [{"key": "n", "values": ["0", "2"]}, {"key": "ok", "values": ["true"]}]},
        {"metadata": [{"key": "_llm.model", "values": ["m2"]}]},
        {
            "metadata": [{"key": "plan", "values": ["free", "none"]}],
            "llm_vendors": ["v1"],
            "external_customer_ids": ["c2", "c,3"],
            "start_time": at(2),
        },
        {
            "metadata": [
                {"key": "plan", "values": ["free"]},
                {"key": "plan", "values": ["pro"]},
            ]
        },
        {"metadata": [{"key": "absent", "values": ["free"]}]},
    ],
    ids=str,
)
def test_filters(caller: Caller, filters: dict[str, Any]) -> None:
    """A filter keeps the events of any of its values, and all filters together."""
    events = store(caller)
    customers = {*filters.get("external_customer_ids", ()), *filters.get("customer_ids", ())}
    names = filters.get("event_names", ())
    wanted = {
        event.external_id
        for event in events
        if (not customers or event.external_customer_id in customers)
        and (not names or event.name in names)
        and (
            "start_time" not in filters
            or filters["start_time"].ToNanoseconds() <= event.timestamp.ToNanoseconds()
        )
        and (
            "end_time" not in filters
            or event.timestamp.ToNanoseconds() < filters["end_time"].ToNanoseconds()
        )
        and event.product_id in filters.get("product_ids", [event.product_id])
        and event.llm.vendor in filters.get("llm_vendors", [event.llm.vendor])
        and event.llm.model in filters.get("llm_models", [event.llm.model])
        and all(has_member(event, **one) for one in filters.get("metadata", ()))
    }
    found = caller.list_events(**filters, page_size=5)
    assert {event.external_id for event in found} == wanted
    assert len(found) == len(wanted)
    times = [event.timestamp.ToNanoseconds() for event in found]
    assert times == sorted(times, reverse=True)


def has_member(event: event_pb2.NewEvent, key: str, values: list[str]) -> bool:
    """Whether the metadata of an event has a key with one of the values."""
    stored: dict[str, Any] = {**event.metadata}
    if event.HasField("llm"):
        stored["_llm.model"] = event.llm.model
    return any(compares(stored.get(key), "eq", value) for value in values)


def test_customers_by_our_id(caller: Caller) -> None:
    """A customer is found by our id, in any letter case, and one that does not exist has none."""
    store(caller)
    (event, *_) = caller.list_events(external_customer_ids=["c1"])
    for customer_id in (event.customer_id, event.customer_id.upper()):
        found = caller.list_events(customer_ids=[customer_id], page_size=1_000)
        assert {one.external_customer_id for one in found} == {"c1"}
        assert len(found) == 12
    assert caller.list_events(customer_ids=["1dbfc517-0bbf-4301-9ba8-555ca42b9737"]) == []


@pytest.mark.parametrize("page_size", [1, 2, 7, 36, 37, 1_000, 0])
def test_pages_hold_every_event_once(caller: Caller, page_size: int) -> None:
    """Each event comes once, whatever the page size, also among events of one time."""
    events = store(caller)
    found = []
    token = ""
    for _ in range(40):
        page = caller.list_page(page_size=page_size, page_token=token)
        assert len(page.events) <= (page_size or 100)
        found += [event.external_id for event in page.events]
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == sorted(event.external_id for event in events)


def test_pages_stay_while_events_arrive(caller: Caller) -> None:
    """An event that arrives between two pages neither repeats nor hides another."""
    store(caller)
    first = caller.list_page(page_size=10)
    caller.ingest(new_event(external_id="newest"), new_event(external_id="old", timestamp=at(0)))
    rest = caller.list_events(page_size=10)
    again = caller.list_page(page_size=1_000, page_token=first.next_page_token)
    seen = [event.external_id for event in [*first.events, *again.events]]
    assert len(seen) == len(set(seen)) == 37
    assert "newest" not in seen
    assert len(rest) == 38


@pytest.mark.parametrize("page_size", [-1, 1_001, 2**31 - 1, -(2**31)])
def test_page_sizes_out_of_range(caller: Caller, page_size: int) -> None:
    """A page is of at most 1000, and never of fewer than none."""
    for ask in (caller.list_page, caller.list_names_page):
        with refused("NUMBER_OUT_OF_RANGE") as call:
            ask(page_size=page_size)
        assert call.refusal.facts == {
            "path": "page_size",
            "value": str(page_size),
            "min": "0",
            "max": "1000",
        }
        assert call.refusal.message == (
            f"page_size: the page size {page_size} is not from 0 to 1000"
        )


TOKENS = [
    "abc",
    "=",
    "\0",
    "🤖",
    "W10",
    "WyJhIl0",
    "A" * 10_000,
    "W1tbW1tbW1tb" * 100,
    "bnVsbA",
    "MQ",
]


@pytest.mark.parametrize("token", TOKENS)
def test_page_tokens_that_nobody_made(caller: Caller, token: str) -> None:
    """A page token that the service did not make is refused."""
    for ask in (caller.list_page, caller.list_names_page):
        with refused("PAGE_TOKEN_INVALID") as call:
            ask(page_token=token)
        assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert call.refusal.paths == ["page_token"]


def test_page_tokens_of_other_questions(caller: Caller) -> None:
    """A page token goes with the fields it was made for, and with the call."""
    store(caller)
    token = caller.list_page(page_size=2).next_page_token
    with refused("PAGE_TOKEN_INVALID") as call:
        caller.list_page(page_size=2, event_names=["a"], page_token=token)
    assert call.refusal.message == (
        "page_token: the page token does not belong to this call with these fields; start again "
        "without one"
    )
    with refused("PAGE_TOKEN_INVALID"):
        caller.list_names_page(page_token=token)
    for other in (
        {"product_ids": ["p1"]},
        {"llm_vendors": ["v0"]},
        {"llm_models": ["v0"]},
        {"metadata": [{"key": "plan", "values": ["pro"]}]},
    ):
        with refused("PAGE_TOKEN_INVALID"):
            caller.list_page(**other, page_token=token)
        theirs = caller.list_page(**other, page_size=1).next_page_token
        assert caller.list_page(**other, page_token=theirs or "").events or not theirs
        with refused("PAGE_TOKEN_INVALID"):
            caller.list_page(page_token=theirs or "-")
    # The size of the page is no part of the question.
    assert caller.list_page(page_size=3, page_token=token).events
    token = caller.list_names_page(page_size=1).next_page_token
    with refused("PAGE_TOKEN_INVALID"):
        caller.list_names_page(query="a", page_token=token)


@pytest.mark.parametrize(
    "stamp",
    [
        timestamp_pb2.Timestamp(seconds=253_402_300_800),
        timestamp_pb2.Timestamp(seconds=-62_135_596_801),
        timestamp_pb2.Timestamp(nanos=-1),
        timestamp_pb2.Timestamp(nanos=1_000_000_000),
        timestamp_pb2.Timestamp(seconds=2**63 - 1),
        timestamp_pb2.Timestamp(seconds=-(2**63)),
    ],
    ids=str,
)
def test_times_out_of_range(caller: Caller, stamp: timestamp_pb2.Timestamp) -> None:
    """A time that no event can have is refused, naming both ends."""
    with refused("TIMESTAMP_OUT_OF_RANGE") as call:
        caller.list_page(start_time=stamp, end_time=stamp)
    assert call.refusal.paths == ["start_time", "end_time"]
    assert call.refusal.facts["value"] == f"{stamp.seconds}s {stamp.nanos}ns"


def test_filters_are_checked(caller: Caller) -> None:
    """Each fault of a filter is named with its place: what is missing, too long or too much."""
    with refused("TEXT_TOO_LONG") as call:
        caller.list_page(
            product_ids=["x" * 128, "x" * 129],
            llm_vendors=["\0"],
            llm_models=["m"] * 101,
            metadata=[
                {"values": ["x" * 2_000]},
                {"key": "x" * 256},
                {"key": "x" * 257, "values": ["v", "x" * 2_001]},
            ],
        )
    assert [(one.field, one.description) for one in call.refusal.faults] == [
        ("product_ids[1]", "the text has 129 characters; at most 128 are allowed"),
        ("llm_vendors[0]", "the text holds the character U+0000, which no stored text holds"),
        ("llm_models", "there are 101 values; at most 100 are allowed"),
        ("metadata[0].key", "metadata[0].key is absent or empty; it is required"),
        ("metadata[1].values", "metadata[1].values is absent or empty; it is required"),
        ("metadata[2].key", "the text has 257 characters; at most 256 are allowed"),
        ("metadata[2].values[1]", "the text has 2001 characters; at most 2000 are allowed"),
    ]
    fifty = {"key": "k", "values": ["v"] * 50}
    assert caller.list_events(metadata=[fifty, fifty]) == []
    for too_many in ([fifty, fifty, {"key": "k", "values": ["v"]}], [{"key": "k"}] * 101):
        with refused("TOO_MANY_VALUES") as call:
            caller.list_page(metadata=too_many)
        assert call.refusal.message == ("metadata: there are 101 values; at most 100 are allowed")


def test_times_that_were_not_written(caller: Caller) -> None:
    """A filter of 0 seconds is refused, as it is what is left of a time that a client lost."""
    with refused("TIMESTAMP_ZERO") as call:
        caller.list_page(start_time=timestamp_pb2.Timestamp(), end_time=timestamp_pb2.Timestamp())
    assert call.refusal.paths == ["start_time", "end_time"]


def test_names_are_counted(caller: Caller) -> None:
    """A name has the number of its events, the first and the last, whatever model they used."""
    caller.ingest(
        new_event(name="a", timestamp=at(5)),
        new_event(name="a", timestamp=at(3), llm={"vendor": "v", "model": "m"}),
        new_event(name="a", timestamp=at(9), product_id="p"),
        new_event(name="b", timestamp=at(1)),
    )
    names = caller.list_names_page().names
    assert [(name.name, name.occurrences) for name in names] == [("a", 3), ("b", 1)]
    assert (names[0].first_seen, names[0].last_seen) == (at(3), at(9))
    assert (names[1].first_seen, names[1].last_seen) == (at(1), at(1))


def test_names_without_events_are_not_listed(caller: Caller) -> None:
    """A name that only a refused content carried is none, and costs no page."""
    caller.ingest(new_event(name="b", external_id="k"), new_event(name="d"))
    answer = caller.ingest(
        *[new_event(name=name, external_id="k") for name in ("a", "c", "e")],
    )
    assert len(answer.conflicts) == 3
    page = caller.list_names_page(page_size=1)
    assert [name.name for name in page.names] == ["b"]
    page = caller.list_names_page(page_size=1, page_token=page.next_page_token)
    assert [name.name for name in page.names] == ["d"]
    assert page.next_page_token == ""


NAMES = [
    "Z",
    "_x",
    "a",
    "a b",
    "ab",
    "a_b",
    "b",
    "É",
    "é",
    "ß",
    "ÖL",
    "öl",
    "日本",
    "🤖",
    "A",
    "100%",
]


def test_names_are_in_the_order_of_their_characters(caller: Caller) -> None:
    """Names come in the same order from every database, page by page, each once."""
    caller.ingest(*[new_event(name=name) for name in NAMES])
    found: list[str] = []
    token = ""
    while True:
        page = caller.list_names_page(page_size=3, page_token=token)
        found += [name.name for name in page.names]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(NAMES)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("a", ["A", "a", "a b", "a_b", "ab"]),
        ("A", ["A", "a", "a b", "a_b", "ab"]),
        ("_", ["_x", "a_b"]),
        ("%", ["100%"]),
        ("\\", []),
        ("é", ["É", "é"]),
        ("Öl", ["ÖL", "öl"]),
        ("本", ["日本"]),
        ("zz", []),
        ("", sorted(NAMES)),
    ],
)
def test_names_are_found_in_any_letter_case(caller: Caller, query: str, wanted: list[str]) -> None:
    """A query is found inside names, in any letter case of any script, and means itself."""
    caller.ingest(*[new_event(name=name) for name in NAMES])
    assert [name.name for name in caller.list_names_page(query=query).names] == wanted


def test_queries_are_checked(caller: Caller) -> None:
    """A query longer than any name, or with U+0000, is refused."""
    caller.list_names_page(query="x" * 128)
    with refused("TEXT_TOO_LONG") as call:
        caller.list_names_page(query="x" * 129)
    assert call.refusal.facts["characters_max"] == "128"
    with refused("TEXT_MALFORMED"):
        caller.list_names_page(query="\0")
