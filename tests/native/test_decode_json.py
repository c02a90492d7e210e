"""Decoding of requests in JSON: events and faults equal those of the request in protobuf."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cost_insights._native.commit import EVENT_COLUMNS, Commit
from cost_insights._native.events import EventBatch, Limits, decode_events, decode_events_json
from cost_insights._native.faults import REASONS
from cost_insights.v1 import event_pb2, event_service_pb2
from tests.reference import costs as reference
from tests.reference import decoding
from tests.support.requests import ENTROPY, LIMITS, NOW_US, ORGANIZATION, new_events
from tests.support.vectors import vectors

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_MIN = -62_135_596_800
SECONDS_MAX = 253_402_300_799


def decode_json(body: str | bytes, limits: decoding.Limits | None = None) -> EventBatch:
    """Decodes a body as the service does."""
    content = body.encode() if isinstance(body, str) else body
    return decode_events_json(
        content,
        organization_id=ORGANIZATION,
        now_us=NOW_US,
        entropy=ENTROPY,
        limits=Limits(**vars(limits)) if limits else Limits(),
    )


def decode(request: bytes, limits: decoding.Limits | None = None) -> EventBatch:
    """Decodes the bytes of a message."""
    return decode_events(
        request,
        organization_id=ORGANIZATION,
        now_us=NOW_US,
        entropy=ENTROPY,
        limits=Limits(**vars(limits)) if limits else Limits(),
    )


def event(**fields: str) -> str:
    """A body of one event with these fields, written as given."""
    fields = {"name": '"a"', "external_customer_id": '"b"', **fields}
    members = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return f'{{"events":[{{{members}}}]}}'


def stored(batch: EventBatch) -> list[Any]:
    """Everything that a batch stores, digests and ids included."""
    customers = [*batch.external_customer_ids, *batch.customer_ids]
    commit = Commit(
        [(batch, 7, list(range(1, len(customers) + 1)), list(range(1, len(batch.series) + 1)))],
        [(7, one) for one in batch.uncertain_parents[::2]],
    )
    (receipt,) = commit.receipts()
    told = (receipt.inserted, receipt.duplicates, receipt.conflicts)
    return [list(commit.rows()), told, customers, batch.series, batch.uncertain_parents]


def check_same(found: EventBatch, wanted: EventBatch) -> None:
    """Compares two batches in everything but the words of their faults."""
    assert [(one.index, one.path, one.reason) for one in found.faults] == [
        (one.index, one.path, one.reason) for one in wanted.faults
    ]
    for name in ("accept_valid", "faults_total", "faulty", "holds_system_events"):
        assert getattr(found, name) == getattr(wanted, name)
    assert stored(found) == stored(wanted)


@pytest.mark.parametrize("case", vectors("json_request.jsonl"))
def test_request_vectors(case: dict[str, Any]) -> None:
    """Every shared vector of a body gives the events and the faults that it lists."""
    body = case["body"].encode() if "body" in case else bytes.fromhex(case["body_hex"])
    batch = decode_json(body)
    assert [[fault.path, fault.reason] for fault in batch.faults] == case["faults"]
    assert len(batch) == case["events"]
    assert {fault.reason for fault in batch.faults} <= REASONS
    if "message" in case:
        assert batch.faults[0].message == case["message"]


def row(batch: EventBatch) -> dict[str, Any]:
    """The only row of a batch without faults."""
    assert not [str(fault) for fault in batch.faults]
    (found,) = Commit([(batch, 7, [1], [1])], []).rows()
    return dict(zip(EVENT_COLUMNS, found, strict=True))


@pytest.mark.parametrize("case", vectors("json_timestamp.jsonl"))
def test_timestamp_vectors(case: dict[str, Any]) -> None:
    """Every shared vector of a time gives the microseconds or the reason that it lists."""
    batch = decode_json(event(timestamp=case["timestamp"]))
    if "reason" in case:
        assert [(fault.path, fault.reason) for fault in batch.faults] == [
            ("events[0].timestamp", case["reason"])
        ]
    else:
        assert row(batch)["timestamp_us"] == case["time_us"]


def amount_of(digits: str) -> int | str:
    """The picocents of a number, or the reason of its refusal."""
    batch = decode_json(event(cost=f'{{"amount":{digits},"currency":"usd"}}'))
    if not batch.faults:
        picocents: int = row(batch)["cost_picocents"]
        return picocents
    (fault,) = batch.faults
    assert fault.path == "events[0].cost.amount"
    return fault.reason


def expected_amount(digits: str) -> int | str:
    """The picocents of a number, or the reason of its refusal, by the slow twin."""
    try:
        return reference.picocents(reference.round_digits(digits))
    except reference.RefusedError as refusal:
        return str(refusal)


@pytest.mark.parametrize("case", vectors("amount_number.jsonl"))
def test_amount_vectors(case: dict[str, str]) -> None:
    """Every shared vector of a number gives the picocents or the reason that it lists."""
    wanted = int(case["picocents"]) if "picocents" in case else case["reason"]
    assert amount_of(case["digits"]) == wanted
    # The twin computes with whole powers of ten, of which the largest fit no memory.
    if "9999999999" not in case["digits"].lower().partition("e")[2]:
        assert expected_amount(case["digits"]) == wanted


NUMBERS = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,7})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"-?[1-9][0-9]{0,6}\.[0-9]{9,11}[05]0{0,30}[01]?", fullmatch=True),
    st.floats(-1e8, 1e8).map(repr),
)


@given(NUMBERS)
def test_amounts_like_the_slow_twin(digits: str) -> None:
    """Any number is rounded once, half-even, to seventeen digits and twelve decimals."""
    assert amount_of(digits) == expected_amount(digits)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_amounts_like_doubles(number: float) -> None:
    """The shortest digits of a double are the amount that the double is in protobuf."""
    message = event_pb2.NewEvent(name="a", external_customer_id="b")
    message.metadata.update({"_cost": {"amount": number, "currency": "usd"}})
    request = event_service_pb2.IngestEventsRequest(events=[message])
    found = decode_json(event(metadata=f'{{"_cost":{{"amount":{number!r},"currency":"usd"}}}}'))
    check_same(found, decode(request.SerializeToString()))


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_metadata_numbers_like_doubles(number: float) -> None:
    """A number in metadata is the double that `float` makes of its digits."""
    try:
        double = float(number)
    except OverflowError:
        assume(False)
    message = event_pb2.NewEvent(name="a", external_customer_id="b", external_id="c")
    message.metadata.update({"x": double})
    request = event_service_pb2.IngestEventsRequest(events=[message])
    found = decode_json(event(external_id='"c"', metadata=f'{{"x":{number!r}}}'))
    check_same(found, decode(request.SerializeToString()))


# The same request by both doors


def camel_case(name: str) -> str:
    """The other name of a field in protobuf's JSON."""
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def time_text(seconds: int, nanos: int) -> str:
    """A time of the years 1 to 9999 with nine decimals."""
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{nanos:09}Z".rjust(30, "0")


def typed(message: Any, draw: random.Random) -> dict[str, Any]:
    """The fields of a typed message that are set, integers as texts now and then."""
    fields: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        written = str(value) if isinstance(value, int) and draw.random() < 0.5 else value
        fields[descriptor.name] = written
    return fields


def written(message: event_pb2.NewEvent, draw: random.Random) -> dict[str, Any]:
    """An event as JSON, in one of the ways in which it can be written."""
    fields: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        name = descriptor.name
        match name:
            case "timestamp":
                fields[name] = time_text(value.seconds, value.nanos)
            case "cost" | "llm":
                fields[name] = typed(value, draw)
                if name == "llm":
                    fields[name] = {
                        draw.choice([key, camel_case(key)]): one
                        for key, one in fields[name].items()
                    }
            case "metadata":
                fields[name] = {key: struct_value(one) for key, one in value.fields.items()}
            case _:
                fields[name] = value
    if draw.random() < 0.3:
        fields["unknown"] = {"deep": [None, {"er": [fields]}]}
    if draw.random() < 0.3:
        fields.setdefault("external_member_id", None)
    items = [(draw.choice([key, camel_case(key)]), value) for key, value in fields.items()]
    draw.shuffle(items)
    return dict(items)


def struct_value(value: Any) -> Any:
    """A `google.protobuf.Value` as JSON; one of no kind is null."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return {key: struct_value(one) for key, one in value.struct_value.fields.items()}
        case "list_value":
            return [struct_value(one) for one in value.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)


def can_be_written(message: event_pb2.NewEvent) -> bool:
    """Whether JSON can express a message."""
    seconds, nanos = message.timestamp.seconds, message.timestamp.nanos
    return SECONDS_MIN <= seconds <= SECONDS_MAX and 0 <= nanos < 10**9


# How long examples take to make depends on the machine.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(new_events(), max_size=7), st.booleans(), st.randoms(use_true_random=False))
def test_both_doors_like_each_other(
    events: list[event_pb2.NewEvent], accept_valid: bool, draw: random.Random
) -> None:
    """Events give the same rows, digests and faults in protobuf and in JSON."""
    assume(all(map(can_be_written, events)))
    request = event_service_pb2.IngestEventsRequest(events=events, accept_valid=accept_valid)
    document = {
        "events": [written(message, draw) for message in events],
        draw.choice(["accept_valid", "acceptValid"]): accept_valid,
    }
    try:
        body = json.dumps(
            document,
            allow_nan=False,
            ensure_ascii=draw.random() < 0.5,
            indent=draw.choice([None, 1, "\t"]),
        )
    except ValueError:
        assume(False)  # JSON has no number that is infinite or none.
    check_same(decode_json(body, LIMITS), decode(request.SerializeToString(), LIMITS))


@given(st.lists(new_events(), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_the_json_that_protobuf_writes(
    events: list[event_pb2.NewEvent], snake_case: bool, defaults: bool
) -> None:
    """A message that protobuf writes as JSON is read as the original message."""
    request = event_service_pb2.IngestEventsRequest(events=events)
    try:
        body = json_format.MessageToJson(
            request,
            preserving_proto_field_name=snake_case,
            always_print_fields_with_no_presence=defaults,
        )
    except (ValueError, json_format.SerializeToJsonError):
        assume(False)
    check_same(decode_json(body, LIMITS), decode(request.SerializeToString(), LIMITS))


def documents() -> st.SearchStrategy[str]:
    """Events in JSON as a person may write them, with keys repeated and out of order."""
    texts = st.text(max_size=4).filter(lambda text: text.isprintable())
    numbers = st.one_of(st.integers(-5, 2**54), st.floats(-1e7, 1e7)).map(repr)
    leaves = st.one_of(
        texts.map(json.dumps), texts.map(lambda text: json.dumps(text, ensure_ascii=False)), numbers
    )

    def objects(
        keys: st.SearchStrategy[str], values: st.SearchStrategy[str]
    ) -> st.SearchStrategy[str]:
        member = st.tuples(keys.map(json.dumps), values).map(" : ".join)
        return st.lists(member, max_size=6).map(lambda members: "{\n" + ",\t".join(members) + " }")

    nested = objects(texts, st.one_of(leaves, st.sampled_from(["null", "[1, []]", "true"])))
    cost = objects(st.sampled_from(["amount", "currency", "other"]), st.one_of(numbers, leaves))
    metadata = st.one_of(
        nested,
        objects(st.just("_cost"), cost),
        objects(st.sampled_from(["_cost", "_llm", "a", "b"]), st.one_of(nested, leaves)),
    )
    fields = st.one_of(
        st.tuples(st.sampled_from(["name", "external_id", "externalId"]), texts.map(json.dumps)),
        st.tuples(st.just("metadata"), metadata),
        st.tuples(st.sampled_from(["other", "label"]), nested),
    )
    event = st.lists(fields, max_size=6).map(
        lambda members: (
            '{"name": "x", "external_customer_id": "y"'
            + "".join(f", {json.dumps(key)}: {value}" for key, value in members)
            + "}"
        )
    )
    return st.lists(event, max_size=4).map(lambda events: f'{{"events": [{", ".join(events)}]}}')


@given(documents())
def test_texts_like_another_parser(body: str) -> None:
    """Texts are read as Python and protobuf read them, the last of several keys included."""

    def one_spelling(members: list[tuple[str, object]]) -> dict[str, object]:
        """The members of an object, of which both spellings of a field count as one."""
        return {"external_id" if key == "externalId" else key: value for key, value in members}

    request = json_format.ParseDict(
        json.loads(body, object_pairs_hook=one_spelling),
        event_service_pb2.IngestEventsRequest(),
        ignore_unknown_fields=True,
    )
    check_same(decode_json(body), decode(request.SerializeToString()))


# Limits


@pytest.mark.parametrize("depth", [200, 10_000, 1_000_000])
def test_depth(depth: int) -> None:
    """Values nested at any depth are faults of their place, or of the body if it is cut."""
    lists = "[" * depth + "]" * depth
    objects = '{"a":' * depth + "1" + "}" * depth
    for deep, kind in ((lists, "list"), (objects, "object")):
        (fault,) = decode_json(event(metadata=f'{{"x":{deep}}}')).faults
        assert (fault.path, fault.reason) == ("events[0].metadata.x", "TYPE_UNSUPPORTED")
        assert fault.value == kind
        assert len(decode_json(event(other=deep))) == 1
        (fault,) = decode_json(event(other=deep[:-1])).faults
        assert (fault.path, fault.reason) == ("", "MALFORMED_REQUEST")
        (fault,) = decode_json(f"[{deep}]").faults
        assert (fault.path, fault.reason) == ("", "TYPE_UNSUPPORTED")


def test_too_many_events() -> None:
    """More events than allowed are counted, and none of them is checked."""
    limits = decoding.Limits(events_max=2)
    batch = decode_json('{"events":[{},1,{"name":[]}],"accept_valid":true}', limits)
    (fault,) = batch.faults
    assert (fault.index, fault.path, fault.reason) == (-1, "events", "TOO_MANY_EVENTS")
    assert fault.message == "the request holds 3 events; at most 2 are allowed"
    assert (batch.faulty, batch.accept_valid, batch.holds_system_events) == (3, True, False)
    assert [fault.index for fault in decode_json('{"events":[{},1]}', limits).faults] == [0, 0, 1]


def test_faults_that_are_kept() -> None:
    """A request in JSON keeps as many faults as one in protobuf, wherever `accept_valid` stands."""
    events = ",".join(['{"metadata":null}'] * 1_500)
    kept = decode_json(f'{{"events":[{events}]}}')
    assert (len(kept.faults), kept.faults_total, kept.faulty) == (1_000, 4_500, 1_500)
    for body in (
        f'{{"events":[{events}],"accept_valid":true}}',
        f'{{"accept_valid":true,"events":[{events}]}}',
    ):
        kept = decode_json(body)
        # 334 events are named by the first thousand faults, the others by one each.
        assert (len(kept.faults), kept.faults_total) == (1_000 + 1_500 - 334, 4_500)
        assert {fault.index for fault in kept.faults} == set(range(1_500))


def test_members_and_customers() -> None:
    """If two fields name a customer or a member, the external one counts, in any order."""
    for body in (
        event(customer_id='"c"', member_id='"m"', external_member_id='"n"'),
        event(external_member_id='"n"', member_id='"m"', customer_id='"c"'),
    ):
        batch = decode_json(body)
        assert batch.external_customer_ids == ["b"]
        assert row(batch)["external_member_id"] == "n"
    assert row(decode_json(event(member_id='"m"')))["external_member_id"] == "m"
    batch = decode_json(event(member_id='"m"', external_member_id="null"))
    assert row(batch)["external_member_id"] == "m"


def test_the_last_value_counts() -> None:
    """The last of several values of a key is stored, whole, `_cost` and `_llm` included."""
    metadata = (
        '{"x":1,"_cost":{"amount":9,"currency":"usd"},"x":2,'
        '"_llm":{"vendor":"v","model":"m","input_tokens":1,"input_tokens":2,"output_tokens":3},'
        '"_cost":{"amount":3,"amount":4,"currency":"usd"},"_llm":{"vendor":"w","model":"n"}}'
    )
    batch = decode_json(event(name='"first","name":"last"', metadata=metadata))
    found = row(batch)
    assert batch.series == [("last", "w", "n", "")]
    assert json.loads(found["metadata"]) == {"x": 2}
    assert found["cost_picocents"] == 4 * 10**12
    assert json.loads(found["llm"]) == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def test_system_events() -> None:
    """A system event is found by its name, valid or not."""
    assert decode_json(event(name='"order.paid"')).holds_system_events
    assert decode_json(event(name='"order.p\\u0061id"', metadata="null")).holds_system_events
    assert not decode_json(event(name='"order"')).holds_system_events
