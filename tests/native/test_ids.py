"""Ids and digests: what is stored for ever must be computed the same for ever."""

import functools
import operator
import uuid
from typing import Any

import pytest

from cost_insights._native.cells import verify_copy, verify_rows
from cost_insights._native.commit import EVENT_COLUMNS, Commit
from cost_insights._native.events import Limits, decode_events
from cost_insights._native.ids import customer_id, event_id, member_signature
from cost_insights.v1 import event_pb2, event_service_pb2
from tests.reference import decoding
from tests.support.vectors import vectors

ORGANIZATION = uuid.UUID("11111111-2222-8333-8444-555555555555").bytes


@pytest.mark.parametrize("case", vectors("event_id.jsonl"))
def test_event_ids(case: dict[str, str]) -> None:
    """The id of an event is the documented digest of its organization and external id."""
    organization_id = uuid.UUID(case["organization_id"]).bytes
    found = event_id(organization_id, case["external_id"])
    assert uuid.UUID(bytes=found) == uuid.UUID(case["event_id"])
    assert found == decoding.event_id(organization_id, case["external_id"])


@pytest.mark.parametrize("case", vectors("customer_id.jsonl"))
def test_customer_ids(case: dict[str, str]) -> None:
    """The id of a customer is the documented digest of its organization and external id."""
    organization_id = uuid.UUID(case["organization_id"]).bytes
    found = customer_id(organization_id, case["external_id"])
    assert uuid.UUID(bytes=found) == uuid.UUID(case["customer_id"])
    assert found == decoding.customer_id(organization_id, case["external_id"])


@pytest.mark.parametrize("case", vectors("content_digest.jsonl"))
def test_content_digests(case: dict[str, str]) -> None:
    """The digest of an event's content never changes, or retries would turn into conflicts."""
    event = event_pb2.NewEvent.FromString(bytes.fromhex(case["event"]))
    request = event_service_pb2.IngestEventsRequest(events=[event])
    batch = decode_events(
        request.SerializeToString(),
        organization_id=ORGANIZATION,
        now_us=1_795_435_694_000_000,
        entropy=bytes(32),
        limits=Limits(),
    )
    assert batch.faults == []
    ((*row,),) = Commit([(batch, 1, [0], [0])]).rows()
    assert row[EVENT_COLUMNS.index("content_digest")] == int(case["content_digest"])


@pytest.mark.parametrize("case", vectors("token_cells.jsonl"))
def test_cells_of_tokens(case: dict[str, Any]) -> None:
    """The packed cells of the tokens of a stored event never change, as databases hold them."""
    numbers = (bytes(16), 1, case["series"], case["customer"], case["timestamp_us"])
    absent = (None,) * 3
    row = (*numbers, None, 0, *absent, case["llm"], "{}", None, None)
    _, tokens, _ = verify_rows([row])
    assert (tokens and tokens.hex()) == case["packed"]


def stored(case: dict[str, Any]) -> tuple[object, ...]:
    """The row of a vector, as SQLite holds it."""
    places = {EVENT_COLUMNS.index("id"), EVENT_COLUMNS.index("parent_id")}
    return tuple(
        uuid.UUID(value).bytes if place in places and value else value
        for place, value in enumerate(case["row"])
    )


@pytest.mark.parametrize("case", vectors("checksum.jsonl"))
def test_checksums(case: dict[str, Any]) -> None:
    """The checksum of a row never changes, or stored rows would count as damaged."""
    # Rows that were stored before there were signatures have none.
    row = (*stored(case), None)[: len(EVENT_COLUMNS) - 1]
    assert decoding.row_checksum(row) == case["checksum"]
    *_, verdicts = verify_rows([(*row, checksum) for checksum in (case["checksum"], 0, None)])
    assert list(verdicts) == [2, 0, 1]


def test_every_form_of_a_row_has_its_checksum() -> None:
    """Rows for SQLite and for PostgreSQL's COPY hold one checksum, that of the slow twin."""
    events = [
        event_pb2.NewEvent(name="a", external_customer_id="c", external_id=f"{n}" * n)
        for n in range(1, 30)
    ]
    batch = decode_events(
        event_service_pb2.IngestEventsRequest(events=events).SerializeToString(),
        organization_id=ORGANIZATION,
        now_us=1_795_435_694_000_000,
        entropy=bytes(32),
        limits=Limits(),
    )
    commit = Commit([(batch, 1, [0], [0])])
    assert [row[-1] for row in commit.rows()] == [
        decoding.row_checksum(row[:-1]) for row in commit.rows()
    ]
    assert set(verify_rows(commit.rows())[2]) == {2}
    assert verify_copy(commit.copy_payload()) == verify_rows(commit.rows())


@pytest.mark.parametrize("case", vectors("metadata_signature.jsonl"))
def test_signatures(case: dict[str, Any]) -> None:
    """The signature of metadata never changes, or stored events would not be found; it is that of
    all members together."""
    metadata, expected = case["metadata"], int(case["signature"])
    assert decoding.metadata_signature(metadata) == expected
    members = [member_signature(key, value) for key, value in metadata.items()]
    assert functools.reduce(operator.or_, members, 0) == expected
    one = event_pb2.NewEvent(name="a", external_customer_id="c")
    one.metadata.update(metadata)
    batch = decode_events(
        event_service_pb2.IngestEventsRequest(events=[one]).SerializeToString(),
        organization_id=ORGANIZATION,
        now_us=1_795_435_694_000_000,
        entropy=bytes(32),
        limits=Limits(),
    )
    (row,) = Commit([(batch, 1, [0], [0])]).rows()
    assert row[EVENT_COLUMNS.index("metadata_signature")] == expected


ROW = (bytes(16), 1, 0, 0, 0, None, 0, None, None, None, None, "{}", None, None)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, bytes(15)),
        (0, "0" * 16),
        (1, 1 << 31),
        (2, 1.0),
        (3, "1"),
        (4, 1 << 63),
        (4, b"12345678"),
        (11, b"{}"),
        (12, "x"),
        (12, 1 << 63),
        (13, "x"),
        (13, 1 << 31),
    ],
)
def test_values_of_other_types(place: int, value: object) -> None:
    """A row with a value that its column cannot hold is damaged, and nothing else."""
    row: list[object] = [*ROW]
    assert list(verify_rows([tuple(row)])[2]) == [1]
    row[place] = value
    assert list(verify_rows([tuple(row), ROW[:-1]])[2]) == [0, 0]
