"""Reading events: one event, or a page of events."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cost_insights.cells import CellCache, CellReader
from cost_insights.cells.counting import EventCounter
from cost_insights.customers import parse_uuid
from cost_insights.errors import NotFoundError
from cost_insights.events.filter import EventFilter, conditions_of_numbers
from cost_insights.events.joins import OF_CUSTOMER, OF_SERIES
from cost_insights.events.places import EventPlaces, Wanted
from cost_insights.identity import Organization
from cost_insights.paging import PageTokens, int64_part, uuid_part
from cost_insights.store import Store
from cost_insights.store.schema import customer, event, series


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is stored; absent texts are empty."""

    id: uuid.UUID
    name: str
    customer_id: uuid.UUID
    external_customer_id: str
    timestamp_us: int
    external_id: str
    parent_id: uuid.UUID | None
    external_member_id: str
    cost_picocents: int | None
    llm_vendor: str
    llm_model: str
    llm: dict[str, Any] | None
    product_id: str
    metadata: dict[str, Any]
    customer_created_us: int


@dataclass(frozen=True)
class EventQuestion:
    """The events that a caller asks for."""

    filter: EventFilter
    start_us: int | None
    """Events at or after this time."""

    end_us: int | None
    """Events before this time."""


def any_event(store: Store) -> bool:
    """Whether the database holds or ever held an event of any organization."""
    with store.read() as connection:
        return connection.execute(sa.select(series.c.number).limit(1)).first() is not None


class EventReader:
    """Reads the events of one organization at a time, from one snapshot each."""

    def __init__(self, store: Store, cell_cache: CellCache) -> None:
        self._store = store
        self._page_tokens = PageTokens(store.page_token_key)
        self._cells = CellReader(store, cell_cache)

    def event(self, organization: Organization, event_id: str) -> StoredEvent:
        """The event with this id; raises NotFoundError if the organization has none."""
        parsed = parse_uuid(event_id)
        found = None
        if parsed is not None:
            found = self._event(organization, parsed)
        if found is None:
            raise NotFoundError(
                f"there is no event {event_id[:64]!r}",
                reason="EVENT_NOT_FOUND",
                facts={"id": event_id[:64]},
            )
        return found

    def events(
        self, organization: Organization, asked: EventQuestion, *, page_size: int, page_token: str
    ) -> tuple[list[StoredEvent], str]:
        """A page of events, the latest first, and the token of the next page.

        Raises InvalidRequestError if the token is not of the same question.
        """
        after = self._page_tokens.decode(
            page_token, organization.id, ("events", asked), (int64_part, uuid_part)
        )
        return self._events(organization, asked, page_size, after)

    def _event(self, organization: Organization, event_id: uuid.UUID) -> StoredEvent | None:
        with self._store.read() as connection:
            row = connection.execute(
                SELECT_EVENT.where(
                    event.c.organization_number == organization.number, event.c.id == event_id
                )
            ).one_or_none()
        return None if row is None else stored_event(row)

    def _events(
        self,
        organization: Organization,
        asked: EventQuestion,
        page_size: int,
        after: Sequence[Any] | None,
    ) -> tuple[list[StoredEvent], str]:
        number = organization.number
        from_us, end_us = asked.start_us, asked.end_us
        with self._store.read() as connection:
            customers = asked.filter.customer_numbers(lambda: connection, number)
            series_numbers = asked.filter.series_numbers(connection, number)
            conditions = conditions_of_numbers(number, customers, series_numbers)
            if from_us is not None:
                conditions.append(event.c.timestamp_us >= from_us)
            if after is not None:
                timestamp_us, event_id = after
                end_us = timestamp_us + 1 if end_us is None else min(end_us, timestamp_us + 1)
                conditions.append((event.c.timestamp_us < timestamp_us) | (event.c.id < event_id))
            if end_us is not None:
                conditions.append(event.c.timestamp_us < end_us)
            wanted = Wanted(customers, series_numbers, from_us, end_us, descending=True)
            places = EventPlaces(connection, number, EventCounter(self._cells, connection, number))
            ids = places.first_ids(wanted, conditions, page_size + 1)
            if ids is not None:
                conditions = [event.c.id.in_(ids)]
            rows = connection.execute(
                SELECT_EVENT.where(*conditions)
                .order_by(event.c.timestamp_us.desc(), event.c.id.desc())
                .limit(page_size + 1)
            ).all()
        events = [stored_event(row) for row in rows[:page_size]]
        if len(rows) <= page_size:
            return events, ""
        place = (events[-1].timestamp_us, str(events[-1].id))
        return events, self._page_tokens.encode(organization.id, ("events", asked), place)


SELECT_EVENT = (
    sa.select(
        event.c.id,
        series.c.event_name,
        customer.c.id,
        customer.c.external_id,
        event.c.timestamp_us,
        sa.func.coalesce(event.c.external_id, ""),
        event.c.parent_id,
        sa.func.coalesce(event.c.external_member_id, ""),
        event.c.cost_picocents,
        series.c.llm_vendor,
        series.c.llm_model,
        event.c.llm,
        series.c.product_id,
        event.c.metadata,
        customer.c.created_us,
    )
    .select_from(event)
    .join(series, OF_SERIES)
    .join(customer, OF_CUSTOMER)
)
"""Selects events as `stored_event` reads them."""


def stored_event(row: sa.Row[*tuple[Any, ...]]) -> StoredEvent:
    """The event of a row of `SELECT_EVENT`."""
    return StoredEvent(*row)
