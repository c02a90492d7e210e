"""Refusals of events: by path, value and rule, within 8 KiB."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2

from cost_insights.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from tests.support.samples import EVENTS, METRICS, SAMPLES
from tests.support.service import (
    METHODS,
    REASONS,
    Caller,
    Refusal,
    Service,
    StartServer,
    event_of,
    new_event,
    now_us,
    raw_call,
    refusal_of,
    refused,
)

Mix = Callable[[Caller], tuple[list[event_pb2.NewEvent], dict[str, int]]]
"""Makes events, and says what becomes of how many of them."""

NOBODY = "1dbfc517-0bbf-4301-9ba8-555ca42b9737"


def refusal(caller: Caller, *events: event_pb2.NewEvent) -> Refusal:
    """The faults of events that are refused; that none of them is stored is checked as well."""
    with refused() as call:
        caller.ingest(*events)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caller.list_events() == []
    return call.refusal


def with_metadata(metadata: dict[str, Any]) -> event_pb2.NewEvent:
    """An event with metadata, in the documented JSON form."""
    return event_of({"name": "a", "external_customer_id": "c", "metadata": metadata})


def test_three_faults_in_three_events(caller: Caller) -> None:
    """A request with 3 faults in 3 events stores nothing and names all by path, value and rule."""
    found = refusal(
        caller,
        new_event(name="", cost="1"),
        with_metadata({"_cost": {"amount": 1, "currency": "eur"}}),
        new_event(cost="9000000.01"),
    )
    assert [(fault.field, fault.reason) for fault in found.faults] == [
        ("events[0].name", "FIELD_REQUIRED"),
        ("events[1].metadata._cost.currency", "CURRENCY_UNSUPPORTED"),
        ("events[2].cost.amount", "AMOUNT_OUT_OF_RANGE"),
    ]
    assert found.reason == "FIELD_REQUIRED"
    assert found.facts == {"path": "events[0].name", "value": "", "faults": "3", "refused": "3"}
    assert found.message.startswith("events[0].name: ")
    assert found.message.endswith(" (the first of 3 faults in 3 events)")
    _, currency, amount = (fault.description for fault in found.faults)
    assert "eur" in currency
    assert "usd" in currency
    assert "9000000.01" in amount
    assert "9000000" in amount.replace("9000000.01", "")


FAR = timestamp_pb2.Timestamp(seconds=32_472_144_000)  # 2999-01-01
LATE = timestamp_pb2.Timestamp(seconds=253_402_300_800)  # the year 10000
EARLY = timestamp_pb2.Timestamp(seconds=-62_135_596_801)  # the year before the year 1

CASES: list[tuple[str, event_pb2.NewEvent, str, str, dict[str, str]]] = [
    ("zero-length name", new_event(name=""), "name", "FIELD_REQUIRED", {"value": ""}),
    ("a name of blanks", new_event(name=" \t"), "name", "FIELD_REQUIRED", {}),
    ("a name of zero width", new_event(name="\u200b\ufeff"), "name", "FIELD_REQUIRED", {}),
    (
        "a customer of blanks",
        new_event(external_customer_id="   "),
        "external_customer_id",
        "FIELD_REQUIRED",
        {"value": "   "},
    ),
    (
        "an invisible customer_id",
        new_event(customer_id="\u3164"),
        "customer_id",
        "FIELD_REQUIRED",
        {},
    ),
    (
        "an invisible model",
        new_event(llm={"vendor": "v", "model": "\u00a0"}),
        "llm.model",
        "FIELD_REQUIRED",
        {},
    ),
    (
        "129 characters of name",
        new_event(name="ü" * 129),
        "name",
        "TEXT_TOO_LONG",
        {"value": "ü" * 63 + "…", "characters": "129", "characters_max": "128"},
    ),
    ("no customer", event_pb2.NewEvent(name="a"), "external_customer_id", "FIELD_REQUIRED", {}),
    (
        "empty customer",
        new_event(external_customer_id=""),
        "external_customer_id",
        "FIELD_REQUIRED",
        {"value": ""},
    ),
    ("empty customer_id", new_event(customer_id=""), "customer_id", "FIELD_REQUIRED", {}),
    (
        "257 characters of customer",
        new_event(external_customer_id="c" * 257),
        "external_customer_id",
        "TEXT_TOO_LONG",
        {"characters": "257", "characters_max": "256"},
    ),
    ("NUL", new_event(name="a\0b"), "name", "TEXT_MALFORMED", {"value": "a\\u0000b"}),
    (
        "257 characters of external id",
        new_event(external_id="k" * 257),
        "external_id",
        "TEXT_TOO_LONG",
        {"characters": "257", "characters_max": "256"},
    ),
    (
        "129 characters of product",
        new_event(product_id="p" * 129),
        "product_id",
        "TEXT_TOO_LONG",
        {"characters": "129", "characters_max": "128"},
    ),
    ("the year 2999", new_event(timestamp=FAR), "timestamp", "TIMESTAMP_IN_FUTURE", {}),
    ("the year 10000", new_event(timestamp=LATE), "timestamp", "TIMESTAMP_OUT_OF_RANGE", {}),
    (
        "the year 0",
        new_event(timestamp=EARLY),
        "timestamp",
        "TIMESTAMP_OUT_OF_RANGE",
        {"value": "-62135596801s 0ns"},
    ),
    (
        "a time that was not written",
        new_event(timestamp=timestamp_pb2.Timestamp()),
        "timestamp",
        "TIMESTAMP_ZERO",
        {"value": "1970-01-01T00:00:00Z"},
    ),
    (
        "its own parent",
        new_event(external_id="k", parent_id="k"),
        "parent_id",
        "PARENT_IS_SELF",
        {"value": "k"},
    ),
    ("no amount", new_event(cost={"currency": "usd"}), "cost.amount", "FIELD_REQUIRED", {}),
    (
        "malformed amount",
        new_event(cost="1,000"),
        "cost.amount",
        "AMOUNT_MALFORMED",
        {"value": "1,000"},
    ),
    (
        "too precise amount",
        new_event(cost="1e-13"),
        "cost.amount",
        "AMOUNT_TOO_PRECISE",
        {"value": "1e-13", "digits_max": "17", "decimals_max": "12"},
    ),
    (
        "18 digits",
        new_event(cost="123456.123456789012"),
        "cost.amount",
        "AMOUNT_TOO_PRECISE",
        {"value": "123456.123456789012", "digits_max": "17", "decimals_max": "12"},
    ),
    (
        "too great amount",
        with_metadata({"_cost": {"amount": 9000000.01, "currency": "usd"}}),
        "metadata._cost.amount",
        "AMOUNT_OUT_OF_RANGE",
        {"value": "9000000.01", "min": "-9000000", "max": "9000000"},
    ),
    (
        "NaN as a number",
        event_pb2.NewEvent(
            name="a",
            external_customer_id="c",
            metadata=with_metadata({"_cost": {"amount": 1, "currency": "usd"}}).metadata,
        ),
        "metadata._cost.amount",
        "AMOUNT_MALFORMED",
        {},
    ),
    (
        "amount of null",
        with_metadata({"_cost": {"amount": None, "currency": "usd"}}),
        "metadata._cost.amount",
        "TYPE_UNSUPPORTED",
        {"value": "null", "allowed": "number, text"},
    ),
    (
        "amount true",
        with_metadata({"_cost": {"amount": True, "currency": "usd"}}),
        "metadata._cost.amount",
        "TYPE_UNSUPPORTED",
        {},
    ),
    (
        "no currency",
        with_metadata({"_cost": {"amount": 1}}),
        "metadata._cost.currency",
        "FIELD_REQUIRED",
        {},
    ),
    (
        "other currency",
        with_metadata({"_cost": {"amount": 1, "currency": "xusdx"}}),
        "metadata._cost.currency",
        "CURRENCY_UNSUPPORTED",
        {"value": "xusdx", "allowed": "usd"},
    ),
    (
        "cost in both places",
        event_of(
            {
                "name": "a",
                "external_customer_id": "c",
                "cost": {"amount": "1", "currency": "usd"},
                "metadata": {"_cost": {"amount": 1, "currency": "usd"}},
            }
        ),
        "metadata._cost",
        "FIELDS_CONFLICT",
        {"other": "events[0].cost"},
    ),
    (
        "llm in both places",
        event_of(
            {
                "name": "a",
                "external_customer_id": "c",
                "llm": {"vendor": "v", "model": "m"},
                "metadata": {"_llm": {"vendor": "v", "model": "m"}},
            }
        ),
        "metadata._llm",
        "FIELDS_CONFLICT",
        {"other": "events[0].llm"},
    ),
    (
        "cost of text",
        with_metadata({"_cost": "1"}),
        "metadata._cost",
        "TYPE_UNSUPPORTED",
        {"value": "text", "allowed": "object"},
    ),
    (
        "negative tokens",
        new_event(llm={"vendor": "v", "model": "m", "input_tokens": -1}),
        "llm.input_tokens",
        "NUMBER_OUT_OF_RANGE",
        {"value": "-1", "min": "0", "max": "9007199254740992"},
    ),
    (
        "half a token",
        with_metadata({"_llm": {"vendor": "v", "model": "m", "total_tokens": 0.5}}),
        "metadata._llm.total_tokens",
        "NUMBER_OUT_OF_RANGE",
        {"value": "0.5", "min": "0", "max": "9007199254740992"},
    ),
    ("no model", new_event(llm={"vendor": "v"}), "llm.model", "FIELD_REQUIRED", {}),
    (
        "null in metadata",
        with_metadata({"tag": None}),
        "metadata.tag",
        "TYPE_UNSUPPORTED",
        {"value": "null", "allowed": "number, boolean, text"},
    ),
    (
        "a list in metadata",
        with_metadata({"tags": [1, 2]}),
        "metadata.tags",
        "TYPE_UNSUPPORTED",
        {"value": "list", "allowed": "number, boolean, text"},
    ),
    (
        "an object in metadata",
        with_metadata({"a b": {"c": {"d": 1}}}),
        'metadata["a b"]',
        "TYPE_UNSUPPORTED",
        {"value": "object", "allowed": "number, boolean, text"},
    ),
    ("empty text", with_metadata({"k": ""}), "metadata.k", "FIELD_REQUIRED", {}),
    (
        "2001 characters",
        with_metadata({"k": "x" * 2001}),
        "metadata.k",
        "TEXT_TOO_LONG",
        {"characters": "2001", "characters_max": "2000"},
    ),
    ("an empty key", with_metadata({"": 1}), 'metadata[""]', "FIELD_REQUIRED", {}),
    (
        "129 keys",
        with_metadata({f"k{n}": n for n in range(129)}),
        "metadata",
        "METADATA_TOO_MANY_KEYS",
        {"value": "129", "keys_max": "128"},
    ),
    (
        "more than 32 KiB",
        with_metadata({f"k{n}": "x" * 1000 for n in range(40)}),
        "metadata",
        "EVENT_TOO_LARGE",
        {"bytes_max": "32768"},
    ),
    (
        "a long prompt",
        new_event(llm={"vendor": "v", "model": "m", "prompt": "x" * 40_000}),
        "metadata",
        "EVENT_TOO_LARGE",
        {"bytes_max": "32768"},
    ),
]
# JSON has no NaN, but a Struct does.
(NAN,) = [event for name, event, *_ in CASES if name == "NaN as a number"]
NAN.metadata.fields["_cost"].struct_value.fields["amount"].number_value = float("nan")


@pytest.mark.parametrize(
    ("event", "path", "reason", "facts"),
    [pytest.param(*case[1:], id=case[0]) for case in CASES],
)
def test_one_fault(
    caller: Caller, event: event_pb2.NewEvent, path: str, reason: str, facts: dict[str, str]
) -> None:
    """Each kind of fault is named by its path, its reason, what was found and what is allowed."""
    found = refusal(caller, event)
    assert [(fault.field, fault.reason) for fault in found.faults] == [
        (f"events[0].{path}", reason)
    ]
    assert found.reason == reason
    assert found.facts["path"] == f"events[0].{path}"
    assert found.facts.items() >= facts.items()
    assert found.message == f"events[0].{path}: {found.faults[0].description}"
    # Every limit is in the words as well as in the facts.
    words = found.faults[0].description.replace(" ", "").replace(",", "").replace("_", "")
    for name, fact in found.facts.items():
        if name.endswith("_max") or name in {"min", "max"}:
            assert fact.replace(" ", "").replace("_", "") in words, name


def test_every_native_reason_has_a_case() -> None:
    """The cases above meet every reason that an event can be refused for."""
    from cost_insights._native import faults

    tested = {reason for _, _, _, reason, _ in CASES}
    assert tested == faults.REASONS - {
        "MALFORMED_REQUEST",
        "TOO_MANY_EVENTS",
        "CUSTOMER_NOT_FOUND",  # in test_ingest.py
        "TOO_MANY_CUSTOMERS",  # in store/test_customers_limit.py
        "NAME_RESERVED",  # in test_system_events.py
        "TIMESTAMP_MALFORMED",  # only JSON can say it: in json_timestamp.jsonl
    }


def test_the_future_is_bounded_in_words(caller: Caller) -> None:
    """A time too far ahead is told what the service's clock allows."""
    found = refusal(caller, new_event(timestamp=FAR))
    assert found.facts["value"] == "2999-01-01T00:00:00Z"
    latest = timestamp_pb2.Timestamp()
    latest.FromJsonString(found.facts["max"])
    assert abs(latest.ToMicroseconds() - now_us() - 60_000_000) < 10_000_000


def test_too_many_events(start_server: StartServer, database_url: str) -> None:
    """One event more than a request may hold is refused, also with `accept_valid`."""
    with start_server(database_url, request_events_max=5) as service:
        caller = service.stranger()
        assert caller.ingest(*[new_event()] * 5).inserted == 5
        for accept_valid in (False, True):
            with refused("TOO_MANY_EVENTS") as call:
                caller.ingest(*[new_event()] * 6, accept_valid=accept_valid)
            assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
            assert call.refusal.facts == {"path": "events", "value": "6", "events_max": "5"}
        assert len(caller.list_events()) == 5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "content",
    [b"\x0a\xff", b"\x03", b"\xff" * 20, b"\x00", b"\x0a\x05abc", b"\x0c"],
    ids=["cut", "open group", "long number", "field 0", "short", "end of no group"],
)
def test_bytes_that_are_no_message(service: Service, method: str, content: bytes) -> None:
    """Bytes that are not the message of the call are the caller's fault, never ours."""
    with refused("MALFORMED_REQUEST") as call:
        service.caller().call(method, content)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    name = METHODS[method].input_type.full_name
    assert call.refusal.facts["message"] == name
    assert name in call.refusal.message


@pytest.mark.parametrize("method", METHODS)
def test_unknown_fields_are_ignored(service: Service, method: str) -> None:
    """A newer client may send fields that this service does not know yet."""
    content = SAMPLES[method].SerializeToString() + b"\xf8\xff\x07\x01\xca\x3e\x03abc"
    try:
        service.caller().call(method, content)
    except grpc.RpcError as error:
        assert refusal_of(error).reason == "EVENT_NOT_FOUND"  # noqa: PT017 (or no error)


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
def test_a_request_that_is_too_large(
    start_server: StartServer, database_url: str, compression: grpc.Compression | None
) -> None:
    """A request above the limit is refused by the runtime before it is read; one that is above it
    only inside says so with a reason."""
    with start_server(database_url, request_bytes_max=100_000) as service:
        caller = service.stranger()
        content = SAMPLES[f"{EVENTS}/IngestEvents"].SerializeToString()
        padding = 100_000 - len(content) - 4
        # An unknown field, so that every call takes the request.
        content += b"\x7a" + bytes(
            [padding & 0x7F | 0x80, padding >> 7 & 0x7F | 0x80, padding >> 14]
        )
        content += bytes(padding)
        assert len(content) == 100_000
        call = raw_call(caller.channel, f"{EVENTS}/IngestEvents")
        call(content, timeout=30, compression=compression)
        for method in METHODS:
            call = raw_call(caller.channel, method)
            for size in (100_001, 10_000_000):
                with pytest.raises(grpc.RpcError) as caught:
                    call(bytes(size), timeout=30, compression=compression)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                if compression is None:
                    assert "message larger than max" in str(caught.value.details())
                else:
                    assert refusal_of(caught.value).facts == {
                        "bytes": "more than 100000",
                        "bytes_max": "100000",
                    }
        assert len(caller.list_events()) == 1


@pytest.mark.parametrize("character", ["x", "ü", "🤖", "\n", "%"])
def test_many_faults_fit_in_the_trailers(caller: Caller, character: str) -> None:
    """If there are more faults than 8 KiB hold, the first are named and all are counted."""
    key = character * 100
    event = new_event(name=character * 200, external_id=character * 300, cost=character * 90)
    event.metadata.update({key: [1], key + "2": None})
    found = refusal(caller, *[event] * 1_000)
    assert int(found.facts["faults"]) >= 1_000
    assert f"(the first of {found.facts['faults']} faults in 1000 events)" in found.message
    assert found.faults
    assert found.paths[0] == "events[0].name"


def test_each_fault_is_counted(caller: Caller) -> None:
    """The numbers of faults and events are right where not all of them are named."""
    found = refusal(caller, *[new_event(name="", cost="x")] * 7_000)
    assert (found.facts["faults"], found.facts["refused"]) == ("14000", "7000")
    assert found.message.endswith(" (the first of 14000 faults in 7000 events)")
    assert 10 < len(found.faults) < 700
    found = refusal(caller, new_event(), *[new_event(customer_id=NOBODY)] * 3_000)
    assert (found.reason, found.facts["refused"]) == ("CUSTOMER_NOT_FOUND", "3000")
    found = refusal(caller, *[new_event(name="order.paid")] * 500)
    assert int(found.facts["faults"]) > 500
    assert found.facts["refused"] == "500"


def test_many_faults_come_back_in_the_answer(caller: Caller) -> None:
    """With `accept_valid` a thousand faults are in the answer, each with its event."""
    answer = caller.ingest(*[new_event(name="")] * 900, new_event(), accept_valid=True)
    assert answer.inserted == 1
    assert [fault.index for fault in answer.faults] == list(range(900))


def among_others(caller: Caller) -> tuple[list[event_pb2.NewEvent], dict[str, int]]:
    """10,000 events, of which the faults show at once, and what becomes of them."""
    caller.ingest(new_event(external_id="taken", cost="1"))
    bad, worse = new_event(name=""), new_event(name="", cost="x")
    twice, other = new_event(external_id="twice"), new_event(external_id="taken", cost="2")
    events = [bad, worse, worse, twice, new_event(), other, worse, worse, bad, worse] * 1_000
    return events, {"inserted": 1_001, "duplicates": 999, "conflicts": 1_000, "refused": 7_000}


def of_nobody(_caller: Caller) -> tuple[list[event_pb2.NewEvent], dict[str, int]]:
    """Events whose customers only the database knows not to exist, among others."""
    unknown, bad = new_event(customer_id=NOBODY), new_event(name="")
    return [unknown, bad, unknown, new_event(), unknown] * 1_000, {
        "inserted": 1_000,
        "refused": 4_000,
    }


def unreadable(_caller: Caller) -> tuple[list[event_pb2.NewEvent], dict[str, int]]:
    """The longest faults and conflicts that there are."""
    event = new_event()
    event.metadata.update({"🤖" * 200: [1], "🦀" * 200: [1], "x" * 100: [1]})
    twins = [new_event(external_id="🤖" * 255 + str(n), cost=str(n)) for n in range(2)]
    twins[1].external_id = twins[0].external_id
    return [*[event] * 5_000, *[twins[1]] * 4_999, twins[0]], {
        "inserted": 1,
        "duplicates": 4_998,
        "conflicts": 1,
        "refused": 5_000,
    }


def conflicting(caller: Caller) -> tuple[list[event_pb2.NewEvent], dict[str, int]]:
    """Conflicts with the longest keys, and the longest faults behind them."""
    event = new_event(external_id="🤖" * 256, cost="1")
    caller.ingest(event)
    event.cost.amount = "2"
    bad = new_event()
    bad.metadata.update({"🤖" * 200: [1], "🦀" * 200: [1]})
    return [*[event] * 5_000, *[bad] * 5_000], {"conflicts": 5_000, "refused": 5_000}


def system_events(_caller: Caller) -> tuple[list[event_pb2.NewEvent], dict[str, int]]:
    """Records with several faults each, and those whose fault shows while they are recorded."""
    nothing, stranger = new_event(name="order.paid"), new_event(name="order.paid")
    stranger.customer_id = "1dbfc517-0bbf-4301-9ba8-555ca42b9737"
    stranger.metadata.update({"order_id": "o", "billing_type": "one_time"})
    stranger.timestamp.FromJsonString("2026-01-01T00:00:00Z")
    return [nothing, stranger] * 500, {"refused": 1_000}


EITHER_WAY = [among_others, of_nobody, unreadable, conflicting]


@pytest.mark.parametrize(
    ("mix", "streamed"),
    [*((mix, way) for mix in EITHER_WAY for way in (False, True)), (system_events, False)],
)
def test_every_refused_event_is_counted_and_named(
    service: Service, caller: Caller, mix: Mix, streamed: bool
) -> None:
    """Counts add up, and each refused event has a fault, in an answer that every client reads."""
    events, counts = mix(caller)
    request = event_service_pb2.IngestEventsRequest(events=events, accept_valid=True)
    # The limits of a client that sets none.
    with grpc.insecure_channel(service.address) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        if streamed:
            batch = event_service_pb2.StreamEventsRequest(stream_id="s", sequence=1, batch=request)
            (acknowledged,) = stub.StreamEvents(iter([batch]), metadata=caller.metadata)
            answer = acknowledged.batch
        else:
            answer = stub.IngestEvents(request, metadata=caller.metadata)
    found = {
        "inserted": answer.inserted,
        "duplicates": answer.duplicates,
        "conflicts": len(answer.conflicts),
        "refused": answer.refused,
    }
    assert {name: count for name, count in found.items() if count} == counts
    assert sum(found.values()) == len(events)
    assert len({fault.index for fault in answer.faults}) == answer.refused
    assert answer.faults_total >= len(answer.faults)
    assert all(fault.path and fault.reason for fault in answer.faults)
    assert answer.faults[0].message or answer.conflicts[0].external_id
    indices = [fault.index for fault in answer.faults]
    assert indices == sorted(indices)


LISTS = ["customer_ids", "external_customer_ids", "event_names"]


@pytest.mark.parametrize("field", LISTS)
@pytest.mark.parametrize("method", ["ListEvents", "GetMetrics"])
def test_filters_are_checked(caller: Caller, method: str, field: str) -> None:
    """A filter with a text that no event holds, or with too many, is refused by its path."""
    dates = {"start_date": "2026-11-01", "end_date": "2026-11-02"} if method == "GetMetrics" else {}
    ask = caller.get_metrics if method == "GetMetrics" else caller.list_page
    values_max = 1_000 if method == "GetMetrics" else 100
    with refused("TEXT_MALFORMED") as call:
        ask(**dates, **{field: ["a", "b\0"]})
    assert call.refusal.paths == [f"{field}[1]"]
    with refused("TOO_MANY_VALUES") as call:
        ask(**dates, **{field: ["a"] * (values_max + 1)})
    assert call.refusal.facts == {
        "path": field,
        "value": str(values_max + 1),
        "values_max": str(values_max),
    }
    with refused("TEXT_TOO_LONG") as call:
        ask(**dates, **{field: ["x" * 1_000]})
    assert call.refusal.paths == [f"{field}[0]"]
    ask(**dates, **{field: [f"v{n}" for n in range(values_max)]})


def test_event_ids_of_any_form(caller: Caller) -> None:
    """Text that is not a UUID names no event, whatever it is."""
    texts = [
        "",
        "a",
        "\0",
        "1dbfc517-0bbf-4301-9ba8-555ca42b9737",
        "1DBFC517-0BBF-4301-9BA8-555CA42B9737",
        "{1dbfc517-0bbf-4301-9ba8-555ca42b9737}",
        "1dbfc517-0bbf-4301-9ba8-555ca42b973_",
        "x" * 100_000,
        "🤖" * 1_000,
    ]
    for text in texts:
        with refused("EVENT_NOT_FOUND") as call:
            caller.get_event(text)
        assert call.refusal.code is grpc.StatusCode.NOT_FOUND
        assert call.refusal.facts["id"] == text[:64]


def test_looser_uuids_are_not_ids(caller: Caller) -> None:
    """Only 8-4-4-4-12 hexadecimal digits are a UUID, in filters as in events."""
    almost = "1_bfc517-0bbf-4301-9ba8-555ca42b9737"
    caller.ingest(new_event(customer_id=almost))
    assert len(caller.list_events(customer_ids=[almost])) == 1
    assert len(caller.list_events(external_customer_ids=[almost])) == 1


def test_several_faults_of_a_question_are_named_at_once(caller: Caller) -> None:
    """A question about metrics is told every fault of its own."""
    with refused() as call:
        caller.get_metrics(
            start_date="2026-02-30",
            end_date="yesterday",
            timezone="Europe/Berln",
            metrics=["costs", "cost"],
        )
    assert sorted(zip(call.refusal.paths, call.refusal.reasons, strict=True)) == [
        ("end_date", "DATE_INVALID"),
        ("metrics[1]", "VALUE_UNKNOWN"),
        ("start_date", "DATE_INVALID"),
        ("timezone", "TIMEZONE_UNKNOWN"),
    ]
    assert call.refusal.facts["faults"] == "4"


def test_an_unknown_method_is_unimplemented(service: Service) -> None:
    """A method that does not exist is refused by the runtime."""
    with pytest.raises(grpc.RpcError) as caught:
        raw_call(service.channel(), f"{METRICS}/DropEverything")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_reasons_are_known() -> None:
    """The list of reasons that statuses are checked against comes from the contract."""
    assert len(REASONS) >= 47
