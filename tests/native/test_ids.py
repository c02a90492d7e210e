"""Ids and digests: what is stored for ever must be computed the same for ever."""

import uuid

import pytest

from cost_insights._native.commit import EVENT_COLUMNS, Commit
from cost_insights._native.events import Limits, decode_events
from cost_insights._native.ids import customer_id, event_id
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
