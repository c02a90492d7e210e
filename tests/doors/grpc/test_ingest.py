"""Events on their way in: what is stored of them, and how often."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf import json_format, timestamp_pb2

from cost_insights.v1 import event_pb2, event_service_pb2
from tests.support.service import (
    Caller,
    Service,
    StartServer,
    event_of,
    lately,
    new_event,
    now_us,
    refused,
)


def timestamp(text: str) -> timestamp_pb2.Timestamp:
    """A time in RFC 3339."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(text)
    return stamp


def only(caller: Caller) -> event_pb2.Event:
    """The one event that a caller has."""
    (event,) = caller.list_events()
    return event


def test_an_event_comes_back_as_it_was_sent(caller: Caller) -> None:
    """Everything that an event carries is stored and comes back."""
    sent = {
        "name": "gpt4.completion",
        "external_customer_id": "user_123",
        "timestamp": "2026-11-23T10:08:14.123456Z",
        "external_id": "call-17",
        "parent_id": "call-16",
        "external_member_id": "member_9",
        "product_id": "pro",
        "cost": {"amount": "45.50", "currency": "USD"},
        "llm": {
            "vendor": "openai",
            "model": "gpt-4",
            "input_tokens": "57",
            "output_tokens": "123",
            "total_tokens": "180",
            "cached_input_tokens": "0",
            "prompt": "Hello?",
            "response": "",
        },
        "metadata": {"feature": "chatbot", "tokens": 1000, "share": 0.25, "beta": True},
    }
    answer = caller.ingest_json(sent)
    assert answer == event_service_pb2.IngestEventsResponse(inserted=1)
    event = only(caller)
    parent = caller.ingest_json({**sent, "external_id": "call-16", "parent_id": ""})
    assert parent.inserted == 1
    found = json_format.MessageToDict(event, preserving_proto_field_name=True)
    identity = uuid.UUID(found.pop("id"))
    assert identity.version == 8
    assert uuid.UUID(found.pop("customer_id")).version == 8
    (stored_parent,) = [one.id for one in caller.list_events() if one.external_id == "call-16"]
    assert found.pop("parent_id") == stored_parent
    del sent["parent_id"]
    assert found == {**sent, "cost": {"amount": "45.5", "currency": "usd"}}
    assert caller.get_event(event.id) == event


def test_what_was_not_sent_is_absent(caller: Caller) -> None:
    """An event with nothing but a name and a customer has the time of its arrival."""
    before = now_us()
    caller.ingest(event_pb2.NewEvent(name="a", external_customer_id="c"))
    event = only(caller)
    assert before <= event.timestamp.ToMicroseconds() <= now_us()
    assert uuid.UUID(event.id).version == 7
    assert not event.HasField("cost")
    assert not event.HasField("llm")
    assert (event.external_id, event.parent_id, event.external_member_id, event.product_id) == (
        "",
        "",
        "",
        "",
    )
    assert dict(event.metadata.fields) == {}


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0.025", "0.025"),
        (" 1E+2 ", "100"),
        ("1e-7", "0.0000001"),
        ("-0.000000000001", "-0.000000000001"),
        ("99999.999999999999", "99999.999999999999"),
        ("9000000", "9000000"),
        ("-9000000", "-9000000"),
        ("0", "0"),
        ("-0", "0"),
        (0.025, "0.025"),
        (45.5, "45.5"),
        (0.0001, "0.0001"),
        (0.1 + 0.2, "0.3"),
        (0.045000000000000005, "0.045"),
        (99999.999999999999, "100000"),
        (1e-13, "0"),
        ("0.30000000000000000", "0.3"),
    ],
)
def test_amounts_are_stored_exactly(caller: Caller, sent: str | float, stored: str) -> None:
    """Text is taken exactly, a double by its shortest form to 12 decimals; both come back short."""
    caller.ingest_json(
        {
            "name": "a",
            "external_customer_id": "c",
            "metadata": {"_cost": {"amount": sent, "currency": "usd"}},
        }
    )
    event = only(caller)
    assert (event.cost.amount, event.cost.currency) == (stored, "usd")
    assert dict(event.metadata.fields) == {}


def test_no_cost_zero_and_credit(caller: Caller) -> None:
    """No cost is not a cost of 0; a negative cost is a credit; all three are activity."""
    caller.ingest(
        new_event(name="none", external_customer_id="a"),
        new_event(name="zero", external_customer_id="b", cost="0"),
        new_event(name="credit", external_customer_id="c", cost="-0.5"),
        new_event(name="debit", external_customer_id="c", cost="2"),
    )
    events = {event.name: event for event in caller.list_events()}
    assert not events["none"].HasField("cost")
    assert events["zero"].cost.amount == "0"
    assert events["credit"].cost.amount == "-0.5"
    totals = caller.get_metrics(**lately()).totals
    assert (totals.costs, totals.active_user_by_event, totals.cost_per_user) == ("1.5", 3, "0.5")


def test_ten_times_a_tenth_is_one(caller: Caller) -> None:
    """Ten times 0.1 is 1 in every answer, sent as text and as numbers."""
    noon = "2026-11-01T12:00:00Z"
    sent = [new_event(cost="0.1", timestamp=timestamp(noon)) for _ in range(5)]
    sent += [
        event_of(
            {
                "name": "b",
                "external_customer_id": "user_123",
                "timestamp": noon,
                "metadata": {"_cost": {"amount": 0.1, "currency": "usd"}},
            }
        )
        for _ in range(5)
    ]
    assert caller.ingest(*sent).inserted == 10
    answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-01")
    (period,) = answer.periods
    for numbers in (period, answer.totals):
        assert (numbers.costs, numbers.cumulative_costs, numbers.cost_per_user) == ("1", "1", "1")
        assert numbers.active_user_by_event == 1


@pytest.mark.slow
def test_a_million_of_the_smallest_amounts(server: Service) -> None:
    """A million times 0.000000000001 is 0.000001, in 100 requests of 10 000 events."""
    caller = server.stranger()
    request = event_service_pb2.IngestEventsRequest(
        events=[new_event(name="a", external_customer_id="c", cost="0.000000000001")] * 10_000
    )
    with ThreadPoolExecutor(4) as senders:
        answers = list(senders.map(caller.ingest_request, [request] * 100))
    assert sum(answer.inserted for answer in answers) == 1_000_000
    for interval in ("INTERVAL_DAY", "INTERVAL_YEAR"):
        answer = caller.get_metrics(**lately(), interval=interval)
        assert answer.totals.costs == "0.000001"
        assert answer.totals.cumulative_costs == "0.000001"
        assert answer.totals.cost_per_user == "0.000001"
    (name,) = caller.list_names_page().names
    assert (name.name, name.occurrences) == ("a", 1_000_000)


def test_sums_beyond_64_bits(caller: Caller) -> None:
    """A sum may be far greater than any one amount, also of what lies before the span."""
    caller.ingest(
        *[new_event(cost="9000000", timestamp=timestamp("2026-11-01T00:00:00Z"))] * 9,
        *[new_event(cost="8999999.9999999999", timestamp=timestamp("2026-11-02T00:00:00Z"))] * 9,
    )
    answer = caller.get_metrics(start_date="2026-11-02", end_date="2026-11-02")
    assert answer.totals.costs == "80999999.9999999991"
    assert answer.totals.cumulative_costs == "161999999.9999999991"


def test_an_empty_request_stores_nothing(caller: Caller) -> None:
    """A request without events is well."""
    assert caller.ingest() == event_service_pb2.IngestEventsResponse()
    assert caller.list_events() == []


def test_the_same_event_twice_is_stored_once(caller: Caller) -> None:
    """With an external id an event may be sent again: in one request, later, in another form."""
    event = new_event(external_id="k", cost="0.10")
    answer = caller.ingest(event, event)
    assert (answer.inserted, answer.duplicates) == (1, 1)
    answer = caller.ingest(event)
    assert (answer.inserted, answer.duplicates) == (0, 1)
    # The same meaning in other words.
    answer = caller.ingest_json(
        {
            "name": "llm.inference",
            "external_customer_id": "user_123",
            "external_id": "k",
            "metadata": {"_cost": {"amount": 0.1, "currency": "USD"}},
        }
    )
    assert (answer.inserted, answer.duplicates) == (0, 1)
    assert not answer.conflicts
    assert only(caller).cost.amount == "0.1"


def test_other_content_under_one_key_is_a_conflict(caller: Caller) -> None:
    """The first content stays, and the answer says which event of the request it was."""
    caller.ingest(new_event(external_id="k", cost="1"))
    stored = only(caller)
    answer = caller.ingest(
        new_event(external_id="new", cost="5"),
        new_event(external_id="k", cost="2"),
        new_event(external_id="k", cost="1"),
        new_event(external_id="new", cost="6"),
    )
    assert (answer.inserted, answer.duplicates) == (1, 1)
    (other,) = [event.id for event in caller.list_events() if event.external_id == "new"]
    assert [(one.index, one.external_id, one.event_id) for one in answer.conflicts] == [
        (1, "k", stored.id),
        (3, "new", other),
    ]
    assert caller.get_event(stored.id) == stored


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"external_customer_id": "d"},
        {"timestamp": "2026-11-23T10:08:15Z"},
        {"cost": {"amount": "2", "currency": "usd"}},
        {"cost": None},
        {"parent_id": "q"},
        {"external_member_id": "n"},
        {"product_id": "basic"},
        {"metadata": {"a": 2}},
        {"metadata": {"a": 1, "b": 1}},
        {"llm": {"vendor": "v", "model": "m", "input_tokens": 2}},
        {"llm": {"vendor": "v", "model": "n", "input_tokens": 1}},
    ],
    ids=str,
)
def test_every_part_is_content(caller: Caller, change: dict[str, object]) -> None:
    """An event that differs in any one part is not the same event."""
    sent = {
        "name": "a",
        "external_customer_id": "c",
        "external_id": "k",
        "timestamp": "2026-11-23T10:08:14Z",
        "cost": {"amount": "1", "currency": "usd"},
        "parent_id": "p",
        "external_member_id": "m",
        "product_id": "pro",
        "metadata": {"a": 1},
        "llm": {"vendor": "v", "model": "m", "input_tokens": 1},
    }
    assert caller.ingest_json(sent).inserted == 1
    changed = {name: value for name, value in {**sent, **change}.items() if value is not None}
    answer = caller.ingest_json(changed)
    assert len(answer.conflicts) == 1
    assert caller.ingest_json(sent).duplicates == 1


def test_a_retry_without_timestamp_is_a_duplicate(caller: Caller) -> None:
    """The time of arrival is no content: a retry a second later is the same event."""
    event = new_event(external_id="k", cost="1")
    assert caller.ingest(event).inserted == 1
    first = only(caller).timestamp
    assert caller.ingest(event).duplicates == 1
    assert only(caller).timestamp == first


def test_racing_retries_store_each_event_once(service: Service) -> None:
    """Each event is stored once, however many callers send it at the same time."""
    owner = service.caller()
    callers = [service.caller(owner.organization) for _ in range(6)]
    events = [new_event(external_id=f"k{n}", cost="0.1") for n in range(200)]
    barrier = threading.Barrier(len(callers))

    def send(caller: Caller) -> event_service_pb2.IngestEventsResponse:
        barrier.wait()
        return caller.ingest(*events)

    with ThreadPoolExecutor(len(callers)) as senders:
        answers = list(senders.map(send, callers))
    assert sum(answer.inserted for answer in answers) == 200
    assert sum(answer.duplicates for answer in answers) == 1_000
    assert len(owner.list_events(page_size=1_000)) == 200
    assert owner.get_metrics(**lately()).totals.cumulative_costs == "20"


def test_two_servers_on_one_database_store_each_event_once(
    start_server: StartServer, database_url: str
) -> None:
    """Also across processes the primary key alone decides what is new."""
    with start_server(database_url) as one, start_server(database_url) as two:
        events = [
            new_event(external_id=f"k{n}", external_customer_id=f"c{n}", cost="0.1")
            for n in range(300)
        ]

        def send(service: Service) -> int:
            inserted = 0
            caller = service.stranger()
            for start in range(0, 300, 20):
                inserted += caller.ingest(*events[start : start + 20]).inserted
            return inserted

        with ThreadPoolExecutor(4) as senders:
            inserted = list(senders.map(send, [one, two, one, two]))
        assert sum(inserted) == 300
        totals = two.stranger().get_metrics(**lately()).totals
        assert one.stranger().list_names_page().names[0].occurrences == 300
        assert (totals.cumulative_costs, totals.active_user_by_event) == ("30", 300)
        assert len(two.stranger().list_events(page_size=1_000)) == 300


def test_a_customer_is_known_by_either_id(caller: Caller) -> None:
    """A UUID, in any letter case, is our id of a customer; any other text is the caller's own."""
    caller.ingest(new_event(external_customer_id="cus_abc123"))
    first = only(caller)
    caller.ingest(
        new_event(customer_id=first.customer_id),
        new_event(customer_id=first.customer_id.upper()),
        new_event(customer_id="cus_abc123"),
    )
    events = caller.list_events()
    assert len(events) == 4
    assert {event.customer_id for event in events} == {first.customer_id}
    assert {event.external_customer_id for event in events} == {"cus_abc123"}
    totals = caller.get_metrics(**lately()).totals
    assert totals.active_user_by_event == 1


def test_an_unknown_customer_id_is_refused(caller: Caller) -> None:
    """A UUID that is no customer of the organization is a fault, and nothing is stored."""
    unknown = "1DBFC517-0BBF-4301-9BA8-555CA42B9737"
    with refused("CUSTOMER_NOT_FOUND") as call:
        caller.ingest(new_event(), new_event(customer_id=unknown))
    assert call.refusal.paths == ["events[1].customer_id"]
    assert call.refusal.facts["value"].lower() == unknown.lower()
    assert caller.list_events() == []
    answer = caller.ingest(new_event(), new_event(customer_id=unknown), accept_valid=True)
    assert answer.inserted == 1
    assert [(one.index, one.path, one.reason) for one in answer.faults] == [
        (1, "events[1].customer_id", "CUSTOMER_NOT_FOUND")
    ]
    assert len(caller.list_events()) == 1


def test_a_refused_request_registers_no_customer(caller: Caller) -> None:
    """A request that stores nothing leaves no trace of the customers it names."""
    unknown = str(uuid.uuid4())
    with refused("CUSTOMER_NOT_FOUND"):
        caller.ingest(new_event(external_customer_id="new"), new_event(customer_id=unknown))
    caller.ingest(new_event(external_customer_id="other"))
    assert len(caller.list_events(external_customer_ids=["new"])) == 0


def test_parents_may_arrive_later_or_never(caller: Caller) -> None:
    """A child names its parent by external id or by id, before or after it arrives."""
    caller.ingest(new_event(name="child", parent_id="root", cost="1"))
    orphan = only(caller)
    # It counts at once.
    assert caller.get_metrics(**lately()).totals.costs == "1"
    with refused("EVENT_NOT_FOUND"):
        caller.get_event(orphan.parent_id)
    caller.ingest(new_event(name="root", external_id="root"))
    assert caller.get_event(orphan.parent_id).name == "root"
    caller.ingest(new_event(name="late", parent_id=orphan.parent_id))
    caller.ingest(new_event(name="grandchild", parent_id=orphan.id))
    events = {event.name: event for event in caller.list_events()}
    assert events["late"].parent_id == orphan.parent_id
    # An id without external id of its own is found by looking.
    assert events["grandchild"].parent_id == orphan.id


@pytest.mark.parametrize(
    "text",
    [
        "Größe",
        "日本語のイベント",
        "отправлено",
        "🤖🦀",
        "עברית",
        "a\nb\tc",
        "  spaces  ",
        "O'Brien; --",
        "%_\\",
    ],
)
def test_text_in_any_language(caller: Caller, text: str) -> None:
    """Text in any script comes back as it was sent, wherever it stands."""
    event = new_event(
        name=text,
        external_customer_id=text,
        external_id=text,
        external_member_id=text,
        product_id=text,
        llm={"vendor": text, "model": text, "prompt": text},
    )
    event.metadata.update({text: text})
    caller.ingest(event)
    found = only(caller)
    assert found.name == found.external_customer_id == found.external_id == text
    assert found.external_member_id == found.product_id == text
    assert found.llm.vendor == found.llm.model == found.llm.prompt == text
    assert dict(found.metadata) == {text: text}
    assert len(caller.list_events(event_names=[text], external_customer_ids=[text])) == 1
    assert [name.name for name in caller.list_names_page(query=text).names] == [text]


def test_times_are_kept_to_the_microsecond(caller: Caller) -> None:
    """Nanoseconds are cut off, also before 1970, and the years 1 to 9999 are allowed."""
    caller.ingest(
        new_event(name="cut", timestamp=timestamp("2026-11-23T10:08:14.123456999Z")),
        new_event(name="old", timestamp=timestamp("1969-12-31T23:59:59.999999999Z")),
        new_event(name="first", timestamp=timestamp("0001-01-01T00:00:00Z"), cost="1"),
    )
    found = {event.name: event.timestamp.ToJsonString() for event in caller.list_events()}
    assert found == {
        "cut": "2026-11-23T10:08:14.123456Z",
        "old": "1969-12-31T23:59:59.999999Z",
        "first": "0001-01-01T00:00:00Z",
    }
    totals = caller.get_metrics(start_date="1973-01-01", end_date="1973-01-01").totals
    assert (totals.costs, totals.cumulative_costs) == ("0", "1")


def test_clocks_may_run_fast(caller: Caller) -> None:
    """A time up to 60 seconds ahead is kept as it is."""
    ahead_us = now_us() + 50_000_000
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(ahead_us)
    caller.ingest(new_event(timestamp=stamp))
    assert only(caller).timestamp.ToMicroseconds() == ahead_us


def test_51_keys_of_metadata(caller: Caller) -> None:
    """51 keys are well, and so are 128."""
    for count in (51, 128):
        event = new_event(name=f"keys {count}", cost="1")
        event.metadata.update({f"key_{n}": n for n in range(count)})
        caller.ingest(event)
    sizes = {event.name: len(event.metadata.fields) for event in caller.list_events()}
    assert sizes == {"keys 51": 51, "keys 128": 128}


def test_a_product_may_be_named_in_metadata(caller: Caller) -> None:
    """A text under `product_id` is the product, and stays metadata; other values are neither."""
    caller.ingest_json(
        *(
            {"name": f"{n}", "external_customer_id": "c", "metadata": {"product_id": value}}
            for n, value in enumerate(["pro", 17, "p" * 129])
        )
    )
    stored = {event.name: event for event in caller.list_events()}
    assert [stored[name].product_id for name in "012"] == ["pro", "17", ""]
    kept = [stored[name].metadata["product_id"] for name in "012"]
    assert kept == ["pro", 17, "p" * 129]


def test_numbers_in_metadata_come_back_the_same(caller: Caller) -> None:
    """A double in metadata comes back bit for bit, whole numbers of any size too."""
    numbers = [0.0, 1.5, -2.0, 1e-300, 1e300, 2.0**53, 2.0**53 + 2, 0.1, 1 / 3, 123456789.0]
    event = new_event()
    event.metadata.update({f"n{place}": number for place, number in enumerate(numbers)})
    caller.ingest(event)
    found = dict(only(caller).metadata)
    assert [found[f"n{place}"] for place in range(len(numbers))] == numbers


def test_valid_events_can_be_accepted_alone(caller: Caller) -> None:
    """With `accept_valid` the good events are stored and the faults come back in the answer."""
    answer = caller.ingest(
        new_event(cost="1"),
        new_event(cost="NaN"),
        new_event(cost="2"),
        new_event(name="", cost="1e-13"),
        accept_valid=True,
    )
    assert (answer.inserted, answer.duplicates, len(answer.conflicts)) == (2, 0, 0)
    assert [(one.index, one.path, one.reason, one.value) for one in answer.faults] == [
        (1, "events[1].cost.amount", "AMOUNT_MALFORMED", "NaN"),
        (3, "events[3].name", "FIELD_REQUIRED", ""),
        (3, "events[3].cost.amount", "AMOUNT_TOO_PRECISE", "1e-13"),
    ]
    assert all(one.message for one in answer.faults)
    assert sorted(event.cost.amount for event in caller.list_events()) == ["1", "2"]


def test_without_any_valid_event_nothing_is_stored(caller: Caller) -> None:
    """With `accept_valid` a request of faults alone is answered with them."""
    answer = caller.ingest(new_event(name=""), accept_valid=True)
    assert (answer.inserted, len(answer.faults)) == (0, 1)
    assert caller.list_events() == []


def test_every_event_of_a_request_is_accounted_for(caller: Caller) -> None:
    """Inserted, duplicates, conflicts and faulty events add up to those that were sent."""
    caller.ingest(new_event(external_id="k", cost="1"))
    answer = caller.ingest(
        new_event(external_id="k", cost="1"),
        new_event(external_id="k", cost="2"),
        new_event(),
        new_event(name=""),
        new_event(external_id="x"),
        new_event(external_id="x"),
        accept_valid=True,
    )
    faulty = {one.index for one in answer.faults}
    assert (answer.inserted, answer.duplicates) == (2, 2)
    assert [one.index for one in answer.conflicts] == [1]
    assert faulty == {3}
    assert answer.inserted + answer.duplicates + len(answer.conflicts) + len(faulty) == 6
