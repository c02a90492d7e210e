"""Events of the compatible API."""

import json
from collections.abc import Mapping
from typing import Any

from cost_insights.amounts import format_amount
from cost_insights.api.compatible.endpoints import (
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
)
from cost_insights.api.operations import BytesCall, JsonRequest
from cost_insights.api.times import rfc3339
from cost_insights.api.work import Work
from cost_insights.events import EventReader, StoredEvent
from cost_insights.identity import Caller, Organization
from cost_insights.v1.event_service_pb2 import IngestEventsResponse


def event_calls(
    ingest_events: BytesCall, reader: EventReader, work: Work
) -> Mapping[str, CompatibleCall]:
    """The calls of events; `ingest_events` is the operation of `EventService`."""

    async def ingest(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        answer = await ingest_events(caller, JsonRequest(request.body))
        assert isinstance(answer, IngestEventsResponse)  # noqa: S101 - what the operation returns
        return CompatibleAnswer(_ingested(answer))

    async def get(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        event = await work.read(lambda: reader.event(caller.organization, request.path["id"]))
        return CompatibleAnswer(written(document(event, caller.organization)))

    return {"events.ingest": ingest, "events.get": get}


def _ingested(answer: IngestEventsResponse) -> str:
    """The counts; events whose external id holds another event are duplicates, and are named."""
    counts: dict[str, Any] = {
        "inserted": answer.inserted,
        "duplicates": answer.duplicates + len(answer.conflicts),
    }
    if answer.conflicts:
        counts["conflicts"] = [
            {"index": one.index, "external_id": one.external_id, "event_id": one.event_id}
            for one in answer.conflicts
        ]
    if answer.faults:
        counts["refused"] = answer.refused
        counts["faults_total"] = answer.faults_total
        counts["faults"] = [
            {"index": one.index, "path": one.path, "reason": one.reason, "message": one.message}
            for one in answer.faults
        ]
    return written(counts)


def document(event: StoredEvent, organization: Organization) -> dict[str, Any]:
    """An event as callers get it. Amounts are texts, because SDKs read numbers as doubles."""
    metadata = dict(event.metadata)
    if event.cost_picocents is not None:
        metadata["_cost"] = {"amount": format_amount(event.cost_picocents), "currency": "usd"}
    if event.llm is not None:
        metadata["_llm"] = {"vendor": event.llm_vendor, "model": event.llm_model, **event.llm}
    return {
        "id": str(event.id),
        "timestamp": rfc3339(event.timestamp_us),
        "organization_id": str(organization.id),
        "customer_id": str(event.customer_id),
        "customer": None,
        "external_customer_id": event.external_customer_id,
        "member_id": None,
        "external_member_id": event.external_member_id or None,
        "external_id": event.external_id or None,
        "product_id": event.product_id or None,
        "child_count": 0,
        "parent_id": None if event.parent_id is None else str(event.parent_id),
        "label": event.name,
        "source": "user",
        "name": event.name,
        "metadata": metadata,
    }


def written(content: Any) -> str:
    """JSON in as few characters as possible."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
