"""`cost_insights.v1.EventService`."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2

from cost_insights.amounts import format_amount
from cost_insights.api.admission import Budget, StreamReservations
from cost_insights.api.ingest_answer import ingest_answer
from cost_insights.api.listing import list_call
from cost_insights.api.operations import Authorize, Call, JsonRequest
from cost_insights.api.reading import (
    CUSTOMER_CHARS_MAX,
    METADATA_KEY_CHARS_MAX,
    METADATA_VALUE_CHARS_MAX,
    METADATA_VALUES_MAX,
    PRODUCT_CHARS_MAX,
    Checks,
)
from cost_insights.api.statuses import status_of
from cost_insights.api.system_events import RecordSystemEvents, check_may_store_events
from cost_insights.api.times import timestamp_of
from cost_insights.api.work import Work
from cost_insights.errors import CostInsightsError
from cost_insights.events import (
    ALWAYS,
    AllOf,
    Condition,
    EventFilter,
    EventName,
    EventNameReader,
    EventSearch,
    EventSearcher,
    EventStream,
    Ingestor,
    IngestResult,
    StoredEvent,
    member_is_any_of,
)
from cost_insights.identity import Caller, Organization
from cost_insights.v1 import cost_pb2, event_pb2, event_service_pb2

_FILTER_VALUES_MAX = 100
_NAME_CHARS_MAX = 128
_LLM_CHARS_MAX = 128

_SERVICE = "/cost_insights.v1.EventService"


def event_calls(
    ingestor: Ingestor,
    searcher: EventSearcher,
    names: EventNameReader,
    work: Work,
    *,
    budget: Budget,
    stopping: asyncio.Event,
    record_system_events: RecordSystemEvents,
) -> Mapping[str, Call]:
    """The calls of the service by their paths; `stopping` ends its streams."""

    async def ingest_events(
        caller: Caller, request: bytes
    ) -> event_service_pb2.IngestEventsResponse:
        # Refused before it costs anything, and again once it is known how much it holds.
        caller.rates.check_events()
        if isinstance(request, JsonRequest):
            batch = await ingestor.decode_json(caller.organization, request)
        else:
            batch = await ingestor.decode(caller.organization, request)
        if batch.holds_system_events:
            return await record_system_events(caller, request)
        if len(batch):
            check_may_store_events(caller)
        request_bytes = len(request)
        # The batch holds everything; the caller of this keeps no request either.
        del request
        return _ingested(
            await ingestor.store(caller.organization, batch, request_bytes, rates=caller.rates)
        )

    async def stream_events(
        requests: AsyncIterator[bytes], authorize: Authorize
    ) -> AsyncGenerator[event_service_pb2.StreamEventsResponse, None]:
        owner = (await authorize()).organization

        def acknowledge(
            sequence: int, result: IngestResult | CostInsightsError
        ) -> event_service_pb2.StreamEventsResponse:
            return _acknowledgement(sequence, result, owner)

        held = StreamReservations(budget, owner)
        stream = EventStream(ingestor, held.admitted(requests), authorize, acknowledge, stopping)
        try:
            async with contextlib.aclosing(stream.acknowledgements()) as acknowledgements:
                async for acknowledgement in acknowledgements:
                    yield acknowledgement
                    # The door asks for the next one once it has written this one.
                    held.release_first()
        finally:
            held.release_all()

    list_events = list_call(
        work,
        _event_question,
        searcher.events,
        lambda events, next_page_token: event_service_pb2.ListEventsResponse(
            events=map(_event, events), next_page_token=next_page_token
        ),
    )

    async def get_event(
        caller: Caller, request: event_service_pb2.GetEventRequest
    ) -> event_service_pb2.GetEventResponse:
        return event_service_pb2.GetEventResponse(
            event=_event(
                await work.read(
                    caller.organization, lambda: searcher.event(caller.organization, request.id)
                )
            )
        )

    list_event_names = list_call(
        work,
        lambda checks, request: checks.text("query", request.query, chars_max=_NAME_CHARS_MAX),
        names.names,
        lambda names, next_page_token: event_service_pb2.ListEventNamesResponse(
            names=map(_event_name, names), next_page_token=next_page_token
        ),
    )

    return {
        f"{_SERVICE}/IngestEvents": ingest_events,
        f"{_SERVICE}/StreamEvents": stream_events,
        f"{_SERVICE}/ListEvents": list_events,
        f"{_SERVICE}/GetEvent": get_event,
        f"{_SERVICE}/ListEventNames": list_event_names,
    }


def _event_question(checks: Checks, request: event_service_pb2.ListEventsRequest) -> EventSearch:
    products = checks.texts(
        "product_ids",
        request.product_ids,
        values_max=_FILTER_VALUES_MAX,
        chars_max=PRODUCT_CHARS_MAX,
    )
    chosen = event_filter(checks, request, values_max=_FILTER_VALUES_MAX)
    return EventSearch(
        filter=dataclasses.replace(chosen, product_ids=products),
        after_us=checks.timestamp_us("start_time", request.start_time) - 1
        if request.HasField("start_time")
        else None,
        before_us=checks.timestamp_us("end_time", request.end_time)
        if request.HasField("end_time")
        else None,
        condition=_metadata_condition(checks, request.metadata),
    )


def _metadata_condition(
    checks: Checks, filters: Sequence[event_service_pb2.MetadataFilter]
) -> Condition:
    """The condition that the metadata passes each of these filters."""
    count = max(len(filters), sum(len(one.values) for one in filters))
    if not checks.values("metadata", range(count), values_max=METADATA_VALUES_MAX):
        return ALWAYS
    members = []
    for place, one in enumerate(filters):
        path = f"metadata[{place}]"
        key, values = f"{path}.key", f"{path}.values"
        checks.required(key, one.key)
        checks.text(key, one.key, chars_max=METADATA_KEY_CHARS_MAX)
        checks.required(values, one.values)
        chosen = checks.texts(
            values,
            one.values,
            values_max=METADATA_VALUES_MAX,
            chars_max=METADATA_VALUE_CHARS_MAX,
        )
        members.append(member_is_any_of(one.key, chosen))
    return AllOf(tuple(members))


def event_filter(checks: Checks, request: Any, *, values_max: int) -> EventFilter:
    """The filter that the lists of customers, names, vendors and models of a request make."""

    def llm_texts(path: str, texts: Sequence[str]) -> tuple[str, ...]:
        return checks.texts(path, texts, values_max=values_max, chars_max=_LLM_CHARS_MAX)

    return EventFilter(
        customer_ids=checks.texts(
            "customer_ids",
            request.customer_ids,
            values_max=values_max,
            chars_max=CUSTOMER_CHARS_MAX,
        ),
        external_customer_ids=checks.texts(
            "external_customer_ids",
            request.external_customer_ids,
            values_max=values_max,
            chars_max=CUSTOMER_CHARS_MAX,
        ),
        event_names=checks.texts(
            "event_names", request.event_names, values_max=values_max, chars_max=_NAME_CHARS_MAX
        ),
        llm_vendors=llm_texts("llm_vendors", request.llm_vendors),
        llm_models=llm_texts("llm_models", request.llm_models),
    )


def _acknowledgement(
    sequence: int, result: IngestResult | CostInsightsError, owner: Organization
) -> event_service_pb2.StreamEventsResponse:
    if isinstance(result, IngestResult):
        return event_service_pb2.StreamEventsResponse(sequence=sequence, batch=_ingested(result))
    status = status_of(result, method=f"{_SERVICE}/StreamEvents", organization=owner.name)
    return event_service_pb2.StreamEventsResponse(sequence=sequence, error=status)


def _ingested(ingested: IngestResult) -> event_service_pb2.IngestEventsResponse:
    receipt, batch = ingested.receipt, ingested.batch
    return ingest_answer(
        inserted=receipt.inserted,
        duplicates=receipt.duplicates,
        refused=batch.faulty,
        conflicts=(
            (index, external_id, _uuid_text(event_id))
            for index, external_id, event_id in receipt.conflicts
        ),
        faults=((fault.index, fault) for fault in batch.faults),
        faults_total=batch.faults_total,
    )


def _event(event: StoredEvent) -> event_pb2.Event:
    message = event_pb2.Event(
        id=str(event.id),
        name=event.name,
        customer_id=str(event.customer_id),
        external_customer_id=event.external_customer_id,
        timestamp=timestamp_of(event.timestamp_us),
        external_id=event.external_id,
        parent_id="" if event.parent_id is None else str(event.parent_id),
        external_member_id=event.external_member_id,
        product_id=event.product_id,
        metadata=_struct(event.metadata),
    )
    if event.cost_picocents is not None:
        amount = format_amount(event.cost_picocents)
        message.cost.CopyFrom(cost_pb2.Cost(amount=amount, currency="usd"))
    if event.llm is not None:
        message.llm.CopyFrom(
            cost_pb2.Llm(vendor=event.llm_vendor, model=event.llm_model, **event.llm)
        )
    return message


def _event_name(name: EventName) -> event_service_pb2.EventName:
    return event_service_pb2.EventName(
        name=name.name,
        occurrences=name.occurrences,
        first_seen=timestamp_of(name.first_seen_us),
        last_seen=timestamp_of(name.last_seen_us),
    )


def _struct(values: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def _uuid_text(value: bytes) -> str:
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
