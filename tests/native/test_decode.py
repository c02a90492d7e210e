"""Decoding a request: the same events and faults as generated classes and plain checks."""

import itertools
import json
import struct
import uuid
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_insights._native.commit import EVENT_COLUMN_TYPES, EVENT_COLUMNS, Commit
from cost_insights._native.events import EventBatch, Limits, decode_events
from cost_insights._native.faults import REASONS
from cost_insights.v1 import cost_pb2, event_pb2, event_service_pb2
from tests.reference import decoding
from tests.support.requests import (
    ENTROPY,
    LIMITS,
    NOW_US,
    ORGANIZATION,
    TEXTS,
    has_set_aside_entries,
    new_events,
    tagged,
    varint,
)


def decode(
    request: bytes, limits: decoding.Limits = LIMITS, *, entropy: bytes = ENTROPY
) -> EventBatch:
    """Decodes as the service does."""
    return decode_events(
        request,
        organization_id=ORGANIZATION,
        now_us=NOW_US,
        entropy=entropy,
        limits=Limits(**vars(limits)),
    )


def comparable(path: str) -> str:
    """A path; of a key that needs quoting only as far as its form is fixed."""
    return path[: path.index('["')] + '["' if '["' in path else path


def found_faults(batch: EventBatch) -> list[decoding.Fault]:
    """The faults in order, as the twin writes them."""
    return [
        decoding.Fault(fault.index, comparable(fault.path), fault.reason) for fault in batch.faults
    ]


def check_request(content: bytes, request: event_service_pb2.IngestEventsRequest) -> None:
    """Compares what is found in the bytes with what the twin finds in the message."""
    batch = decode(content)
    faults, stored = decoding.check(
        request, organization_id=ORGANIZATION, now_us=NOW_US, limits=LIMITS
    )
    wanted = [decoding.Fault(fault.index, comparable(fault.path), fault.reason) for fault in faults]
    found = found_faults(batch)
    # How large an event is when something in it cannot be stored is nobody's question.
    invalid = {fault.index for fault in wanted if fault.reason != "EVENT_TOO_LARGE"}
    asked = [one for one in found if one.reason != "EVENT_TOO_LARGE" or one.index not in invalid]
    assert sorted(asked) == sorted(wanted)
    assert [fault.index for fault in found] == sorted(fault.index for fault in found)
    assert {fault.reason for fault in found} <= REASONS
    if found and found[0].index < 0:
        assert len(batch) == 0
        return
    assert batch.accept_valid == request.accept_valid
    assert batch.faulty == len({fault.index for fault in found})
    assert len(batch) == len(stored)
    check_stored(batch, stored, request)


def check_stored(
    batch: EventBatch,
    stored: list[decoding.Stored],
    request: event_service_pb2.IngestEventsRequest,
) -> None:
    """Compares the rows to insert, and what became of the events that are not in them."""
    customers: list[str | bytes] = [*batch.external_customer_ids, *batch.customer_ids]
    assert len(set(customers)) == len(customers)
    assert set(customers) == {one.customer for one in stored}
    assert len(set(batch.series)) == len(batch.series)
    assert set(batch.series) == {one.series for one in stored}
    parents = {one.parent for one in stored if one.parent and is_version(one.parent, 7)}
    assert set(batch.uncertain_parents) == {uuid.UUID(parent).bytes for parent in parents}
    # Half of the uncertain parents turn out to be events.
    known = sorted(batch.uncertain_parents)[::2]

    commit = Commit(
        [
            (
                batch,
                7,
                [1_000 + place for place in range(len(customers))],
                [2_000 + place for place in range(len(batch.series))],
            )
        ],
        [(7, one) for one in known],
    )
    faulty = {fault.index for fault in batch.faults}
    indices = [index for index in range(len(request.events)) if index not in faulty]
    first: dict[str, decoding.Stored] = {}
    expected: list[decoding.Stored] = []
    duplicates = 0
    conflicts: list[tuple[int, str, bytes]] = []
    for index, one in zip(indices, stored, strict=True):
        if one.external_id is None or one.external_id not in first:
            expected.append(one)
            if one.external_id is not None:
                first[one.external_id] = one
        elif first[one.external_id].content == one.content:
            duplicates += 1
        else:
            identity = decoding.event_id(ORGANIZATION, one.external_id)
            conflicts.append((index, one.external_id, identity))
    rows: list[dict[str, Any]] = [
        dict(zip(EVENT_COLUMNS, row, strict=True)) for row in commit.rows()
    ]
    assert len(commit) == len(rows) == len(expected)
    assert rows == sorted(rows, key=lambda row: row["id"]), "not in the order of the ids"
    # Made ids ascend in the order of the events; the others are in the order of a digest.
    by_external_id = {one.external_id: one for one in expected if one.external_id is not None}
    made = iter([one for one in expected if one.external_id is None])
    for row in rows:
        one = next(made) if row["external_id"] is None else by_external_id.pop(row["external_id"])
        check_row(row, one, customers, batch.series, known)
    (receipt,) = commit.receipts()
    assert (receipt.inserted, receipt.duplicates) == (len(expected), duplicates)
    assert receipt.conflicts == conflicts
    keyed = [decoding.event_id(ORGANIZATION, one) for one in first]
    assert sorted(commit.keyed_ids()) == sorted(keyed)


def is_version(text: str, version: int) -> bool:
    """Whether a text is a UUID of that version (RFC 9562)."""
    if not decoding.UUID.fullmatch(text):
        return False
    parsed = uuid.UUID(text)
    return parsed.variant == uuid.RFC_4122 and parsed.version == version


def check_row(
    row: dict[str, Any],
    one: decoding.Stored,
    customers: list[str | bytes],
    series: list[tuple[str, str, str, str]],
    known: list[bytes],
) -> None:
    """Compares one row, column by column."""
    checksum = row.pop("checksum")
    assert checksum == decoding.row_checksum(list(row.values()))
    signature = row.pop("metadata_signature")
    assert signature == decoding.metadata_signature(json.loads(row["metadata"]))
    identity = uuid.UUID(bytes=row.pop("id"))
    assert identity.variant == uuid.RFC_4122
    if one.external_id is None:
        assert identity.version == 7
        assert identity.int >> 80 == NOW_US // 1_000
        assert row.pop("content_digest") == 0
    else:
        assert identity.bytes == decoding.event_id(ORGANIZATION, one.external_id)
        assert isinstance(row.pop("content_digest"), int)
    parent = None
    if one.parent is not None:
        parent = decoding.event_id(ORGANIZATION, one.parent)
        if is_version(one.parent, 8) or (
            is_version(one.parent, 7) and uuid.UUID(one.parent).bytes in known
        ):
            parent = uuid.UUID(one.parent).bytes
    for name, values in (("llm", one.llm), ("metadata", one.metadata)):
        text = row.pop(name)
        if values is None:
            assert text is None
        else:
            wanted = json.loads(decoding.canonical(values), object_pairs_hook=list)
            found = json.loads(text, object_pairs_hook=list)
            assert (sorted(found) if name == "llm" else found) == (
                sorted(wanted) if name == "llm" else wanted
            )
            # Whole numbers are integers, and no number has become another type.
            assert [type(value) for _, value in sorted(found)] == [
                type(value) for _, value in sorted(wanted)
            ] or any(abs(value) >= 2**53 for _, value in found if isinstance(value, int | float))
    assert row == {
        "organization_number": 7,
        "series_number": 2_000 + series.index(one.series),
        "customer_number": 1_000 + customers.index(one.customer),
        "timestamp_us": one.timestamp_us,
        "cost_picocents": one.cost_picocents,
        "parent_id": parent,
        "external_id": one.external_id,
        "external_member_id": one.external_member_id,
    }


@given(st.lists(new_events(), max_size=7), st.booleans())
def test_messages_like_the_slow_twin(events: list[event_pb2.NewEvent], accept_valid: bool) -> None:
    """Any message gives the same faults and the same rows as generated classes and plain checks."""
    request = event_service_pb2.IngestEventsRequest(events=events, accept_valid=accept_valid)
    check_request(request.SerializeToString(), request)


# Bytes that protobuf allows although no generated class writes them.


@st.composite
def wire_fields(draw: st.DrawFn, depth: int = 0) -> bytes:
    """A field with any number, any wire type, and content that may fit or not."""
    number = draw(st.one_of(st.integers(1, 12), st.integers(1, 2**29 - 1)))
    wire = draw(st.sampled_from([0, 1, 2, 2, 2, 2, 3, 5]))
    match wire:
        case 0:
            return tagged(number, wire, varint(draw(st.integers(-(2**63), 2**64 - 1))))
        case 1:
            return tagged(number, wire, draw(st.binary(min_size=8, max_size=8)))
        case 5:
            return tagged(number, wire, draw(st.binary(min_size=4, max_size=4)))
        case 2 if depth < 5 and draw(st.booleans()):
            return tagged(
                number, wire, b"".join(draw(st.lists(wire_fields(depth + 1), max_size=3)))
            )
        case 2:
            return tagged(
                number, wire, draw(st.one_of(TEXTS.map(str.encode), st.binary(max_size=6)))
            )
        case _:
            inner = (
                b"" if depth >= 5 else b"".join(draw(st.lists(wire_fields(depth + 1), max_size=2)))
            )
            return tagged(number, 3, inner) + varint(number << 3 | 4)


@st.composite
def wire_requests(draw: st.DrawFn) -> bytes:
    """Requests whose fields come in any order, twice, in parts, and with strange ones between."""
    parts: list[bytes] = []
    for event in draw(st.lists(new_events(), min_size=1, max_size=2)):
        content = event.SerializeToString()
        fields = [content, *draw(st.lists(wire_fields(), max_size=2))]
        if draw(st.booleans()):
            # Of a field that comes twice the last counts, and messages are merged.
            fields.append(draw(new_events()).SerializeToString())
        parts.append(tagged(1, 2, b"".join(draw(st.permutations(fields)))))
    parts += draw(st.lists(wire_fields(), max_size=2))
    return b"".join(draw(st.permutations(parts)))


def check_bytes(content: bytes) -> None:
    """Compares with protobuf: what it refuses is malformed, what it takes means the same."""
    try:
        request = event_service_pb2.IngestEventsRequest.FromString(content)
    except DecodeError as error:
        batch = decode(content)
        reasons = {fault.reason for fault in batch.faults}
        if "UTF-8" in str(error):
            # Which text it is protobuf does not say; we do, if it is one that we keep.
            return
        # Too many events are counted before any of them is read.
        assert reasons in ({"MALFORMED_REQUEST"}, {"TOO_MANY_EVENTS"})
        (fault,) = batch.faults
        assert (fault.index, len(batch)) == (-1, 0)
    else:
        if not any(has_set_aside_entries(event.metadata) for event in request.events):
            check_request(content, request)


@given(wire_requests())
def test_wire_forms_like_protobuf(content: bytes) -> None:
    """Unknown, repeated, split and wrongly typed fields mean what they mean to protobuf."""
    check_bytes(content)


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    """Bytes that are no message are refused as protobuf refuses them."""
    check_bytes(content)


@given(st.lists(new_events(), min_size=1, max_size=3), st.data())
def test_damaged_messages(events: list[event_pb2.NewEvent], data: st.DataObject) -> None:
    """A message that was cut or changed anywhere is refused or read as protobuf does."""
    content = bytearray(event_service_pb2.IngestEventsRequest(events=events).SerializeToString())
    assume(content)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check_bytes(bytes(content))


def nested(depth: int) -> bytes:
    """A request with an event whose metadata holds lists in lists."""
    value = tagged(2, 1, bytes(8))
    for _ in range(depth):
        value = tagged(6, 2, tagged(1, 2, value))
    entry = tagged(1, 2, b"deep") + tagged(2, 2, value)
    event = event_pb2.NewEvent(name="a", external_customer_id="b").SerializeToString()
    return tagged(1, 2, event + tagged(11, 2, tagged(1, 2, entry)))


def test_deep_nesting_is_refused_where_it_stands() -> None:
    """A nested value is refused by its path; past the depth that protobuf takes, as malformed."""
    (fault,) = decode(nested(20)).faults
    assert (fault.path, fault.reason) == ("events[0].metadata.deep", "TYPE_UNSUPPORTED")
    assert fault.value == "list"
    assert fault.facts == {"allowed": "number, boolean, text"}
    for depth in [*range(1, 48), 1_000, 10_000]:
        check_bytes(nested(depth))


def faults_of(
    event: event_pb2.NewEvent, **limits: int
) -> list[tuple[str, str, str, dict[str, str]]]:
    """(path, reason, value, facts) of each fault of one event under the usual limits."""
    request = event_service_pb2.IngestEventsRequest(events=[event]).SerializeToString()
    batch = decode(request, decoding.Limits(**limits))
    return [(one.path, one.reason, one.value, one.facts) for one in batch.faults]


def test_faults_carry_value_and_limits() -> None:
    """Each fault shows what was found and every limit, as the contract's examples do."""
    event = event_pb2.NewEvent(name="x" * 129, external_customer_id="c")
    assert faults_of(event) == [
        (
            "events[0].name",
            "TEXT_TOO_LONG",
            "x" * 63 + "…",
            {"characters": "129", "characters_max": "128"},
        )
    ]
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    event.cost.amount, event.cost.currency = "9000000.01", "eur"
    assert faults_of(event) == [
        (
            "events[0].cost.amount",
            "AMOUNT_OUT_OF_RANGE",
            "9000000.01",
            {"min": "-9000000", "max": "9000000"},
        ),
        ("events[0].cost.currency", "CURRENCY_UNSUPPORTED", "eur", {"allowed": "usd"}),
    ]
    event = event_pb2.NewEvent(name="a\0b", external_customer_id="c")
    assert faults_of(event) == [("events[0].name", "TEXT_MALFORMED", "a\\u0000b", {})]
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    event.metadata.update({f"key_{n}": n for n in range(129)})
    assert faults_of(event) == [
        ("events[0].metadata", "METADATA_TOO_MANY_KEYS", "129", {"keys_max": "128"})
    ]
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    event.llm.vendor = event.llm.model = "m"
    event.llm.input_tokens = -1
    assert faults_of(event) == [
        (
            "events[0].llm.input_tokens",
            "NUMBER_OUT_OF_RANGE",
            "-1",
            {"min": "0", "max": "9007199254740992"},
        )
    ]
    event = event_pb2.NewEvent(name="a", external_customer_id="c", external_id="k", parent_id="k")
    assert faults_of(event) == [("events[0].parent_id", "PARENT_IS_SELF", "k", {})]


def test_an_event_may_fill_its_bytes() -> None:
    """An event is refused from the first byte of metadata above the limit on."""
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    event.metadata.update({"k": "x" * 1_992})
    size = len(b'{"k":"') + 1_992 + len(b'"}')
    assert size == 2_000
    assert faults_of(event, event_bytes_max=2_000) == []
    assert faults_of(event, event_bytes_max=1_999) == [
        ("events[0].metadata", "EVENT_TOO_LARGE", "2000", {"bytes_max": "1999"})
    ]


@pytest.mark.parametrize(
    ("field", "path"),
    [
        (b"\x0a\x01\x80", "name"),
        (b"\x12\x01\x80", "external_customer_id"),
        (b"\x1a\x01\x80", "customer_id"),
        (b"\x2a\x02\xc0\x80", "external_id"),  # an overlong form
        (b"\x32\x03\xed\xa0\x80", "parent_id"),  # half of a surrogate pair
        (b"\x3a\x01\xff", "external_member_id"),
        (b"\x42\x03\x0a\x01\x80", "cost.amount"),
        (b"\x42\x03\x12\x01\x80", "cost.currency"),
        (b"\x4a\x03\x0a\x01\x80", "llm.vendor"),
        (b"\x4a\x03\x3a\x01\x80", "llm.prompt"),
        (b"\x52\x01\x80", "product_id"),
        (b"\x5a\x0a\x0a\x08\x0a\x01k\x12\x03\x1a\x01\x80", "metadata.k"),
    ],
)
def test_text_that_is_not_utf8_is_refused_where_it_stands(field: bytes, path: str) -> None:
    """A text that is not UTF-8 is a fault of its field, and not of the whole request."""
    event = event_pb2.NewEvent(name="a", external_customer_id="c").SerializeToString()
    faults = decode(tagged(1, 2, event + field)).faults
    assert (f"events[0].{path}", "TEXT_MALFORMED") in [(one.path, one.reason) for one in faults]


def test_a_batch_has_its_most_events() -> None:
    """A request with one event too many is refused as a whole."""
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    request = event_service_pb2.IngestEventsRequest(events=[event] * 7)
    (fault,) = decode(request.SerializeToString()).faults
    assert (fault.index, fault.path, fault.reason) == (-1, "events", "TOO_MANY_EVENTS")
    assert fault.value == "7"
    assert fault.facts == {"events_max": "6"}
    request = event_service_pb2.IngestEventsRequest(events=[event] * 6)
    assert len(decode(request.SerializeToString())) == 6


def test_ids_without_external_id_are_new_each_time() -> None:
    """Events without an external id get ids that follow their order and never repeat."""
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    request = event_service_pb2.IngestEventsRequest(events=[event] * 1_000).SerializeToString()
    seen: list[bytes] = []
    for entropy in (bytes(32), bytes([1] * 32)):
        batch = decode(request, decoding.Limits(), entropy=entropy)
        ids = [row[0] for row in Commit([(batch, 1, [0], [0])]).rows()]
        assert ids == sorted(ids, key=bytes)  # type: ignore[arg-type]
        seen += ids  # type: ignore[arg-type]
    assert len(set(seen)) == 2_000


@given(st.lists(st.tuples(new_events(), st.sampled_from(["k1", "k2", ""])), min_size=1, max_size=5))
def test_stored_events_are_set_aside(keyed: list[tuple[event_pb2.NewEvent, str]]) -> None:
    """Sent again, events with external ids are duplicates, or conflicts where they differ."""
    events = []
    for event, key in keyed:
        event.external_id = key
        events.append(event)
    request = event_service_pb2.IngestEventsRequest(events=events).SerializeToString()
    batch = decode(request)

    def commit() -> Commit:
        numbers = range(len(batch.external_customer_ids) + len(batch.customer_ids))
        return Commit([(batch, 1, list(numbers), list(range(len(batch.series))))])

    place = EVENT_COLUMNS.index("content_digest")
    first = commit()
    stored = {row[0]: row[place] for row in first.rows()}
    ids = first.keyed_ids()
    again = commit()
    again.set_aside([(one, stored[one]) for one in ids])  # type: ignore[misc]
    (before,), (after,) = first.receipts(), again.receipts()
    assert after.inserted == before.inserted - len(ids)
    assert after.duplicates == before.duplicates + len(ids)
    assert after.conflicts == before.conflicts
    other = commit()
    other.set_aside([(one, stored[one] ^ 1) for one in ids])  # type: ignore[operator]
    (changed,) = other.receipts()
    assert changed.inserted == before.inserted - len(ids)
    # Whoever had the same content as the first is a conflict now, like the first.
    assert len(changed.conflicts) == len(before.conflicts) + len(ids) + (
        before.duplicates - changed.duplicates
    )


def test_copy_and_rows_hold_the_same() -> None:
    """The payload for PostgreSQL has a row for each row for SQLite, with the same columns."""
    events = [
        event_pb2.NewEvent(
            name="a",
            external_customer_id=f"customer {n}",
            external_id=f"key {n}",
            parent_id="key 0" if n else "",
            cost=cost_pb2.Cost(amount="0.5", currency="usd") if n % 2 else None,
        )
        for n in range(10)
    ]
    batch = decode(
        event_service_pb2.IngestEventsRequest(events=events).SerializeToString(),
        decoding.Limits(),
    )
    commit = Commit([(batch, 3, list(range(10)), [0])])
    payload = commit.copy_payload()
    assert payload.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    place = 19
    for row in commit.rows():
        assert int.from_bytes(payload[place : place + 2]) == len(EVENT_COLUMNS)
        place += 2
        for name, value in zip(EVENT_COLUMNS, row, strict=True):
            length = int.from_bytes(payload[place : place + 4], signed=True)
            place += 4
            if value is None:
                assert length == -1, name
                continue
            content = payload[place : place + length]
            place += length
            if isinstance(value, int):
                assert int.from_bytes(content, signed=True) == value, name
                assert length == (4 if name.endswith(("_number", "checksum")) else 8), name
            else:
                assert content == (value.encode() if isinstance(value, str) else value), name
    assert payload[place:] == b"\xff\xff"


def test_arrays_and_copy_hold_the_same() -> None:
    """The arrays for PostgreSQL hold the fields of the rows that are copied, column by column."""
    events = [
        event_pb2.NewEvent(
            name="a",
            external_customer_id=f"customer {n}",
            external_id=f"key {n}" if n % 3 else "",
            parent_id="key 0" if n % 2 else "",
            cost=cost_pb2.Cost(amount="0.5", currency="usd") if n % 2 else None,
        )
        for n in range(10)
    ]
    batch = decode(
        event_service_pb2.IngestEventsRequest(events=events).SerializeToString(),
        decoding.Limits(),
    )
    commit = Commit([(batch, 3, list(range(10)), [0])])
    arrays = commit.arrays()
    assert len(arrays) == len(EVENT_COLUMNS)
    oids = {"uuid": 2950, "int4": 23, "int8": 20, "text": 25, "json": 114}
    for array, kind in zip(arrays, EVENT_COLUMN_TYPES, strict=True):
        # One dimension, nulls allowed, the type, the length, counted from 1.
        assert struct.unpack(">iiIii", array[:20]) == (1, 1, oids[kind], 10, 1)
    elements = [elements_of(array[20:]) for array in arrays]
    payload = commit.copy_payload()[19:-2]
    copied = b"".join(len(row).to_bytes(2) + b"".join(row) for row in zip(*elements, strict=True))
    assert copied == payload


def elements_of(array: bytes) -> list[bytes]:
    """Each element with its length before it."""
    elements: list[bytes] = []
    while array:
        end = 4 + max(0, int.from_bytes(array[:4], signed=True))
        elements.append(array[:end])
        array = array[end:]
    return elements


def test_numbers_must_fit_the_batch() -> None:
    """A commit made with too few numbers is a mistake of the caller."""
    event = event_pb2.NewEvent(name="a", external_customer_id="c")
    batch = decode(event_service_pb2.IngestEventsRequest(events=[event]).SerializeToString())
    for customers, series in itertools.product(([], [1], [1, 2]), repeat=2):
        if (len(customers), len(series)) == (1, 1):
            Commit([(batch, 1, customers, series)])
        else:
            with pytest.raises(ValueError, match="numbers"):
                Commit([(batch, 1, customers, series)])
