"""Streamed batches: read like calls, identified by their place."""

import hashlib
import uuid
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import assume, given
from hypothesis import strategies as st

from cost_insights._native.commit import EVENT_COLUMNS, Commit
from cost_insights._native.events import (
    EventBatch,
    Limits,
    StreamedBatch,
    decode_events,
    decode_streamed,
)
from cost_insights.v1 import event_pb2, event_service_pb2
from tests.reference import decoding
from tests.support.requests import (
    ENTROPY,
    LIMITS,
    NOW_US,
    ORGANIZATION,
    has_set_aside_entries,
    new_events,
    tagged,
)
from tests.support.vectors import vectors

EVENT = event_pb2.NewEvent(name="a", external_customer_id="c")


def decode(
    request: bytes | event_service_pb2.StreamEventsRequest,
    *,
    stream_id: str = "",
    organization_id: bytes = ORGANIZATION,
    limits: decoding.Limits = LIMITS,
) -> StreamedBatch:
    """Decodes as the service does."""
    return decode_streamed(
        request if isinstance(request, bytes) else request.SerializeToString(),
        stream_id=stream_id,
        organization_id=organization_id,
        now_us=NOW_US,
        entropy=ENTROPY,
        limits=Limits(**vars(limits)),
    )


def message(
    events: list[event_pb2.NewEvent], stream_id: str = "s", sequence: int = 1
) -> event_service_pb2.StreamEventsRequest:
    """A message of a stream."""
    batch = event_service_pb2.IngestEventsRequest(events=events)
    return event_service_pb2.StreamEventsRequest(
        stream_id=stream_id, sequence=sequence, batch=batch
    )


def place_id(organization_id: bytes, stream_id: str, sequence: int, index: int) -> bytes:
    """The id that a place gives, as the contract writes it."""
    digest = bytearray(
        hashlib.sha256(
            b"".join(
                [
                    organization_id,
                    b"\0stream\0",
                    stream_id.encode(),
                    b"\0",
                    sequence.to_bytes(8, signed=True),
                    index.to_bytes(4),
                ]
            )
        ).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def commit_of(batch: EventBatch) -> Commit:
    """The batch alone."""
    customers = range(len(batch.external_customer_ids) + len(batch.customer_ids))
    return Commit([(batch, 1, list(customers), list(range(len(batch.series))))])


def rows_of(batch: EventBatch) -> list[dict[str, Any]]:
    """The rows that are inserted of the batch."""
    return [dict(zip(EVENT_COLUMNS, row, strict=True)) for row in commit_of(batch).rows()]


@pytest.mark.parametrize("case", vectors("stream_id.jsonl"))
def test_ids_of_places(case: dict[str, str]) -> None:
    """A place of a stream makes the same id for ever, or a resumed stream would count twice."""
    organization_id = uuid.UUID(case["organization_id"]).bytes
    index = int(case["index"])
    # The events before it are malformed, which changes no place.
    before = tagged(1, 2, b"") * index
    event = tagged(1, 2, EVENT.SerializeToString())
    request = message([], case["stream_id"], int(case["sequence"])).SerializeToString()
    streamed = decode(
        request + tagged(3, 2, before + event),
        organization_id=organization_id,
        limits=decoding.Limits(events_max=index + 1),
    )
    assert (streamed.stream_id, streamed.sequence) == (case["stream_id"], int(case["sequence"]))
    (row,) = rows_of(streamed.batch)
    assert uuid.UUID(bytes=row["id"]) == uuid.UUID(case["event_id"])
    assert row["id"] == place_id(organization_id, case["stream_id"], int(case["sequence"]), index)


def test_the_stream_may_be_left_out() -> None:
    """A message that leaves the stream out belongs to the stream so far."""
    assert decode(message([], ""), stream_id="so far").stream_id == "so far"
    assert decode(message([], "other"), stream_id="so far").stream_id == "other"
    assert decode(message([], "", 0)).stream_id == ""
    (row,) = rows_of(decode(message([EVENT], "", 7), stream_id="so far").batch)
    assert row["id"] == place_id(ORGANIZATION, "so far", 7, 0)


@pytest.mark.parametrize("sequence", [0, -1, 2**63 - 1, -(2**63)])
def test_sequences_are_read_as_they_are(sequence: int) -> None:
    """Whether a sequence is allowed is not decided here, so any of them is read."""
    streamed = decode(message([EVENT], sequence=sequence))
    assert streamed.sequence == sequence
    (row,) = rows_of(streamed.batch)
    assert row["id"] == place_id(ORGANIZATION, "s", sequence, 0)


def facts_of(batch: EventBatch) -> list[tuple[object, ...]]:
    """Everything that is wrong with the batch."""
    return [
        (one.index, one.path, one.reason, one.value, one.message, one.facts) for one in batch.faults
    ]


def check_like_a_call(
    streamed: StreamedBatch, request: event_service_pb2.StreamEventsRequest, stream_id: str
) -> None:
    """Compares with a call that sends the same batch."""
    assert streamed.stream_id == (request.stream_id or stream_id)
    assert streamed.sequence == request.sequence
    batch = streamed.batch
    called = decode_events(
        request.batch.SerializeToString(),
        organization_id=ORGANIZATION,
        now_us=NOW_US,
        entropy=ENTROPY,
        limits=Limits(**vars(LIMITS)),
    )
    faults, faulty = facts_of(called), called.faulty
    places = [
        place_id(ORGANIZATION, streamed.stream_id, streamed.sequence, index)
        for index in range(len(request.batch.events))
    ]
    assert (facts_of(batch), batch.faulty, len(batch)) == (faults, faulty, len(called))
    assert batch.accept_valid == request.batch.accept_valid
    assert batch.external_customer_ids == called.external_customer_ids
    assert batch.customer_ids == called.customer_ids
    assert batch.series == called.series
    assert batch.uncertain_parents == called.uncertain_parents

    rows, expected = rows_of(batch), rows_of(called)
    assert sorted(commit_of(batch).keyed_ids()) == [row["id"] for row in rows]
    assert rows == sorted(rows, key=lambda row: row["id"])
    by_place = {row["id"]: row for row in rows if row["external_id"] is None}
    assert by_place.keys() <= set(places)
    assert all(row["content_digest"] for row in by_place.values())
    # But for what the place gives, the rows are those of the call: with an external
    # id wholly, without one in the order of the events.
    in_order = [by_place[one] for one in places if one in by_place]
    made = [row for row in expected if row["external_id"] is None]
    for ours, theirs in zip(in_order, made, strict=True):
        own = {"id": 0, "content_digest": 0, "checksum": 0}
        assert ours | own == theirs | own
    assert [row for row in rows if row["external_id"]] == [
        row for row in expected if row["external_id"]
    ]


STREAM_IDS = st.one_of(st.just(""), st.just("import-1"), st.text(max_size=5))
SEQUENCES = st.one_of(st.integers(1, 9), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(new_events(), max_size=7), STREAM_IDS, SEQUENCES, STREAM_IDS, st.booleans())
def test_batches_like_calls(
    events: list[event_pb2.NewEvent],
    stream_id: str,
    sequence: int,
    so_far: str,
    accept_valid: bool,
) -> None:
    """A streamed batch is a call's batch, faults and paths included, but for ids of places."""
    request = message(events, stream_id, sequence)
    request.batch.accept_valid = accept_valid
    check_like_a_call(decode(request, stream_id=so_far), request, so_far)


@given(
    st.lists(
        st.one_of(
            st.lists(new_events(), max_size=2).map(
                lambda events: event_service_pb2.StreamEventsRequest(
                    batch=event_service_pb2.IngestEventsRequest(events=events)
                ).SerializeToString()
            ),
            STREAM_IDS.map(lambda text: tagged(1, 2, text.encode())),
            SEQUENCES.map(lambda number: message([], "", number).SerializeToString()),
            st.sampled_from(
                [
                    tagged(3, 2, tagged(2, 0, b"\1")),  # accept_valid
                    tagged(3, 2, tagged(2, 0, b"\0")),
                    tagged(3, 0, b"\1"),  # of another wire type
                    tagged(1, 0, b"\1"),
                    tagged(2, 2, b"\1"),
                    tagged(4, 2, b"unknown"),
                    tagged(3, 2, tagged(3, 2, b"unknown")),
                    tagged(3, 3, tagged(1, 2, b"in a group") + b"\x1c"),
                ]
            ),
        ),
        max_size=6,
    ),
)
def test_wire_forms_like_protobuf(parts: list[bytes]) -> None:
    """Batches in parts are merged, and of other fields the last counts, as protobuf has it."""
    content = b"".join(parts)
    request = event_service_pb2.StreamEventsRequest.FromString(content)
    check_like_a_call(decode(content, stream_id="so far"), request, "so far")


@given(st.lists(new_events(), min_size=1, max_size=2), st.data())
def test_damaged_messages(events: list[event_pb2.NewEvent], data: st.DataObject) -> None:
    """A message that was cut or changed anywhere is refused or read as protobuf does."""
    content = bytearray(message(events, "stream").SerializeToString())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    streamed = decode(bytes(content), stream_id="so far")
    try:
        request = event_service_pb2.StreamEventsRequest.FromString(bytes(content))
    except DecodeError as error:
        # Of a text of an event we tell which one it is.
        if "UTF-8" not in str(error):
            (fault,) = streamed.batch.faults
            assert (fault.index, fault.reason) == (-1, "MALFORMED_REQUEST")
    else:
        assume(not any(has_set_aside_entries(one.metadata) for one in request.batch.events))
        check_like_a_call(streamed, request, "so far")


@pytest.mark.parametrize(
    "content",
    [b"\x0a\x01\xff", b"\x0a\x02s", b"\x1a\x01\x0a", b"\x1a\x02\x0a\x01", b"\x10", b"\x07"],
    ids=["not UTF-8", "cut stream", "cut batch", "cut event", "cut sequence", "no wire type"],
)
def test_what_is_no_message(content: bytes) -> None:
    """Bytes that protobuf refuses are one fault of the whole message."""
    with pytest.raises(DecodeError):
        event_service_pb2.StreamEventsRequest.FromString(content)
    streamed = decode(content, stream_id="so far")
    (fault,) = streamed.batch.faults
    assert (fault.index, fault.path, fault.reason) == (-1, "", "MALFORMED_REQUEST")
    assert (len(streamed.batch), streamed.stream_id, streamed.sequence) == (0, "so far", 0)


def test_too_many_events() -> None:
    """Events count together, whatever parts of the batch they come in."""
    part = message([EVENT] * 4).SerializeToString()
    assert len(decode(part).batch) == 4
    (fault,) = decode(part + part).batch.faults
    assert (fault.index, fault.path, fault.reason) == (-1, "events", "TOO_MANY_EVENTS")
    assert fault.value == "8"


def test_streamed_again() -> None:
    """A stream sent again stores nothing twice; other content in a place is a conflict."""
    events = [EVENT, event_pb2.NewEvent(name="b", external_customer_id="c", external_id="k"), EVENT]
    first = commit_of(decode(message(events)).batch)
    stored = [
        (row[EVENT_COLUMNS.index("id")], row[EVENT_COLUMNS.index("content_digest")])
        for row in first.rows()
    ]
    assert len({digest for _, digest in stored}) == 2, "the same content has the same digest"

    again = commit_of(decode(message(events)).batch)
    again.set_aside(stored)  # type: ignore[arg-type]
    (receipt,) = again.receipts()
    assert (receipt.inserted, receipt.duplicates, receipt.conflicts) == (0, 3, [])
    assert (len(again), again.keyed_ids(), again.rows()) == (0, [], [])

    other = commit_of(decode(message([events[1], *events[1:]])).batch)
    other.set_aside(stored)  # type: ignore[arg-type]
    (receipt,) = other.receipts()
    assert (receipt.inserted, receipt.duplicates) == (0, 3), "the external id identifies, not place"

    changed = event_pb2.NewEvent(name="changed", external_customer_id="c")
    other = commit_of(decode(message([*events[:2], changed])).batch)
    other.set_aside(stored)  # type: ignore[arg-type]
    (receipt,) = other.receipts()
    assert (receipt.inserted, receipt.duplicates) == (0, 2)
    assert receipt.conflicts == [(2, "", place_id(ORGANIZATION, "s", 1, 2))]


def test_no_event_is_its_own_parent() -> None:
    """An event of a stream may name the id of another place as its parent, but not its own."""
    parent = str(uuid.UUID(bytes=place_id(ORGANIZATION, "s", 1, 1)))
    child = event_pb2.NewEvent(name="a", external_customer_id="c", parent_id=parent)
    batch = decode(message([child, child])).batch
    (fault,) = batch.faults
    assert (fault.path, fault.reason) == ("events[1].parent_id", "PARENT_IS_SELF")
    (row,) = rows_of(batch)
    assert uuid.UUID(bytes=row["parent_id"]) == uuid.UUID(parent)
