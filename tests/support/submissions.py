"""Events as the ingestor hands them to the store."""

import os

from cost_insights._native.events import Limits, decode_events
from cost_insights.events import EventWriter, Outcome, Submission
from cost_insights.identity import Organization
from cost_insights.store import Store
from cost_insights.v1 import event_pb2, event_service_pb2

NOW_US = 1_795_435_694_000_000


def submission(
    owner: Organization, *events: event_pb2.NewEvent, accept_valid: bool = False
) -> Submission:
    """The submission that the ingestor hands over."""
    request = event_service_pb2.IngestEventsRequest(events=events, accept_valid=accept_valid)
    batch = decode_events(
        request.SerializeToString(),
        organization_id=owner.id.bytes,
        now_us=NOW_US,
        entropy=os.urandom(32),
        limits=Limits(),
    )
    return Submission(owner.number, owner.id, batch)


def insert(store: Store, *submissions: Submission) -> list[Outcome]:
    """Stores them in one transaction, as the ingestor does."""
    writer = EventWriter(store)
    return writer.write(writer.prepare(submissions), now_us=NOW_US)


def counts(outcome: Outcome) -> tuple[int, int, int]:
    """(inserted, duplicates, conflicts)."""
    assert outcome.receipt is not None
    receipt = outcome.receipt
    return receipt.inserted, receipt.duplicates, len(receipt.conflicts)
