"""Events of the compatible API."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cost_insights.api.compatible.documents import event_documents, listed, written
from cost_insights.api.compatible.endpoints import (
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
)
from cost_insights.api.compatible.filters import read_filter
from cost_insights.api.compatible.reading import Query, in_query
from cost_insights.api.operations import BytesCall, JsonRequest
from cost_insights.api.reading import METADATA_VALUES_MAX
from cost_insights.api.work import Work
from cost_insights.events import (
    ALWAYS,
    AllOf,
    Condition,
    EventSearch,
    EventSearcher,
    EventTypes,
    PageCursor,
    PageNumber,
    id_of_event,
    member_is_any_of,
)
from cost_insights.identity import Caller, Organization
from cost_insights.v1.event_service_pb2 import IngestEventsResponse

_DEPTH_MAX: Final = 5
_TEXT_CHARS_MIN: Final = 3
_SUMMED_MAX: Final = 20
_PROPERTY: Final = re.compile(r"[a-zA-Z0-9_.]{1,255}", re.ASCII)


def event_calls(
    ingest_events: BytesCall,
    searcher: EventSearcher,
    types: EventTypes,
    work: Work,
) -> Mapping[str, CompatibleCall]:
    """The calls of events; `ingest_events` is the operation of `EventService`."""

    async def ingest(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        answer = await ingest_events(caller, JsonRequest(request.body))
        assert isinstance(answer, IngestEventsResponse)  # noqa: S101 - what the operation returns
        return CompatibleAnswer(_ingested(answer))

    async def get(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        owner = caller.organization

        def read() -> str:
            found = searcher.event(owner, request.path["id"])
            return written(event_documents([found], {}, owner)[0])

        return CompatibleAnswer(await work.read(caller.organization, read))

    async def list_events(caller: Caller, request: CompatibleRequest) -> CompatibleAnswer:
        asked = _Asked(caller.organization, Query(request.query))
        return CompatibleAnswer(
            await work.read(caller.organization, lambda: asked.answer(searcher, types))
        )

    return {"events.ingest": ingest, "events.get": get, "events.list": list_events}


class _Asked:
    """A question for a page of events, read from a query."""

    def __init__(self, owner: Organization, query: Query) -> None:
        self._owner = owner
        query.check_organization(owner)
        self._limit = query.limit()
        self._uses_cursor = query.flag("cursor_pagination")
        page, cursor = query.page(), query.text("cursor", chars_max=1_000)
        if cursor:
            self._uses_cursor = True
        self._place = PageCursor(cursor) if cursor else PageNumber((page - 1) * self._limit)
        self._summed = query.texts("aggregate_fields", values_max=_SUMMED_MAX)
        for one in self._summed:
            if not _PROPERTY.fullmatch(one):
                message = f"{one[:64]!r} is not 1 to 255 of a–z, A–Z, 0–9, _ and ."
                query.fault("aggregate_fields", "TEXT_MALFORMED", message, one)
        self._finds_nothing = query.leaves_out_events()
        self._type_id = query.text("event_type_id")
        self._search = _search(owner, query)
        query.finish()

    def answer(self, searcher: EventSearcher, types: EventTypes) -> str:
        """The page."""
        search: EventSearch | None = self._search
        if self._type_id:
            name = types.name_of(self._owner, self._type_id)
            search = None if name is None else self._search.of_name(name)
        if self._finds_nothing or search is None:
            return listed([], total=0, limit=self._limit, has_next_page=False)
        with in_query({"page_token": "cursor"}):
            page = searcher.page(
                self._owner,
                search,
                self._place,
                size=self._limit,
                summed=self._summed,
            )
        more: dict[str, Any] = {"has_next_page": bool(page.next_cursor)}
        if self._uses_cursor:
            more["next_cursor"] = page.next_cursor or None
        items = event_documents(page.events, page.sums, self._owner)
        return listed(items, total=page.total, limit=self._limit, **more)


def _search(owner: Organization, query: Query) -> EventSearch:
    if query.texts("meter_id"):
        query.fault(
            "meter_id",
            "VALUE_UNKNOWN",
            "there are no meters here; choose events by name, metadata or filter",
        )
    text = query.text("query")
    if 0 < len(text) < _TEXT_CHARS_MIN:
        message = f"the text has {len(text)} characters; at least {_TEXT_CHARS_MIN} are needed"
        query.fault("query", "TEXT_MALFORMED", message, text)
    depth = query.number("depth", -1, least=0, most=_DEPTH_MAX)
    sorting = query.one_of("sorting", ("-timestamp", "timestamp"), "-timestamp")
    conditions: list[Condition] = [
        member_is_any_of(key, values)
        for key, values in query.members("metadata", members_max=METADATA_VALUES_MAX).items()
    ]
    chosen = read_filter(query)
    if chosen != ALWAYS:
        conditions.append(chosen)
    return EventSearch(
        filter=replace(query.customers(), event_names=query.texts("name")),
        after_us=query.time_us("start_timestamp"),
        before_us=query.time_us("end_timestamp"),
        condition=AllOf(tuple(conditions)),
        text=text,
        parent=id_of_event(owner, parent) if (parent := query.text("parent_id")) else None,
        depth=None if depth < 0 else depth,
        descending=sorting == "-timestamp",
    )


def _ingested(answer: IngestEventsResponse) -> str:
    """The counts; events whose external id holds another event are duplicates, and are named."""
    if not answer.conflicts and not answer.faults:
        return f'{{"inserted":{answer.inserted},"duplicates":{answer.duplicates}}}'
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
