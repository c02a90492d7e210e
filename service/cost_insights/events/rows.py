"""The statements that read events with what belongs to them."""

import uuid
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from cost_insights.events.conditions import Form, condition_of_form, size_of
from cost_insights.events.joins import OF_CUSTOMER, OF_SERIES
from cost_insights.store.expressions import (
    IntegerList,
    SpanList,
    any_text_contains,
    contains,
    is_any_of,
    lower_ascii,
    select_within,
    select_within_listed,
)
from cost_insights.store.schema import BinaryUuid, customer, event, event_type, series


class StoredEvent(NamedTuple):
    """An event as it is stored, and what belongs to it; absent texts are empty."""

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
    children: int
    """The number of events whose parent it is."""

    type_label: str
    """The label of its event type."""

    label_property: str
    """The property of its metadata that is its own label instead, if it is a text; empty for
    none."""


class OtherConditions(NamedTuple):
    """The form of the conditions on events besides those of a filter and a time."""

    of_descendants: bool = False
    """Whether the events have one of the ids in the parameter `descendants`."""

    condition: Form | None = None
    """The form of a condition whose values are parameters."""

    has_text: bool = False
    """Whether the event mentions the parameter `text`, which is in lower case."""

    depth: int | None = None
    """The greatest number of ancestors."""


class PageShape(NamedTuple):
    """The form of a statement that reads a page of events."""

    dialect_name: str
    of_customers: bool
    of_series: bool
    within_spans: bool
    descending: bool
    is_distributed: bool
    """Whether the events may be spread over the workers of a cluster, which runs no lateral join;
    spans are then in parameters of their own, `start_0`, `end_0` and so on, `SPANS_AT_ONCE` of
    them."""

    others: OtherConditions = OtherConditions()


SPANS_AT_ONCE: Final = 16
"""The number of spans of a statement for a cluster: with twice as many, planning it would take more
than twice the time."""


class PageValues(NamedTuple):
    """The values of a statement that reads a page of events."""

    organization: int
    customers: Sequence[int] | None
    series: Sequence[int] | None
    spans: Sequence[tuple[int, int]] | None
    """Times that hold all events of the page."""

    from_us: int
    end_us: int
    """The time at which events of the page end; it is not included."""

    after_us: int
    after_id: uuid.UUID
    """The place after which the page begins: this event of this time."""

    skipped: int
    limit: int


@lru_cache
def select_event() -> sa.Select[*tuple[Any, ...]]:
    """Selects an event, with the parameters `organization` and `id`, in the columns of
    `StoredEvent`."""
    return _completed(
        sa.select(*_COLUMNS).where(
            event.c.organization_number == _ORGANIZATION,
            event.c.id == sa.bindparam("id", type_=BinaryUuid),
        )
    )


def select_page(shape: PageShape) -> sa.Select[*tuple[Any, ...]]:
    """Selects a page of events in order, in the columns of `StoredEvent`, with parameters called
    as in `PageValues`."""
    return _kept(shape, _select_page)


def select_matches(shape: PageShape) -> sa.Select[int]:
    """Selects the number of matching events among the first ones that could match, with the
    parameters of a page; `limit` is the number of those that are looked at."""
    return _kept(shape, _select_matches)


_Statement = TypeVar("_Statement", bound=sa.Select[Any])


def _kept(shape: PageShape, select: Callable[[PageShape], _Statement]) -> _Statement:
    # The same object each time: building a statement, and the key under which its text is cached,
    # takes longer than running it.
    condition = shape.others.condition
    is_small = condition is None or size_of(condition) <= _KEPT_SIZE_MAX
    return _select(shape, select) if is_small else select(shape)


@lru_cache(maxsize=256)
def _select(shape: PageShape, select: Callable[[PageShape], _Statement]) -> _Statement:
    return select(shape)


_KEPT_SIZE_MAX: Final = 16
"""The number of comparisons of a statement that is kept: what callers ask bounds its memory."""


@lru_cache
def select_candidates(shape: PageShape, signatures: int) -> sa.Select[*tuple[Any, ...]]:
    """Selects the times of the first events whose metadata has one of that many signatures, or may
    have, with parameters as of a page, `signature_0` and so on. The index alone answers it."""
    stored, time_us = event.c.metadata_signature, event.c.timestamp_us
    wanted = [_number(f"signature_{place}") for place in range(signatures)]
    return (
        sa.select(time_us)
        .where(
            *_indexed_conditions(shape),
            # Events of earlier versions have none.
            sa.or_(stored.is_(None), *(stored.bitwise_and(one) == one for one in wanted)),
        )
        .order_by(time_us.desc() if shape.descending else time_us)
        .limit(_number("limit"))
    )


def tables_of(conditions: Sequence[sa.ColumnElement[bool]]) -> sa.FromClause:
    """The table of events, joined with those of series and customers if conditions are on them.

    Looking up thousands of customers would take longer than all the rest.
    """
    tables: sa.FromClause = event
    columns = (one for one in visitors.iterate(sa.and_(sa.true(), *conditions)))
    named = {one.table for one in columns if isinstance(one, sa.Column)}
    for table, condition in ((series, OF_SERIES), (customer, OF_CUSTOMER)):
        if table in named:
            tables = tables.join(table, condition)
    return tables


def _other_conditions(others: OtherConditions) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if others.condition is not None:
        conditions.append(condition_of_form(others.condition))
    if others.has_text:
        conditions.append(_mentions(sa.bindparam("text", type_=sa.Text)))
    if others.depth is not None:
        conditions.append(sa.not_(_is_deeper(event, others.depth)))
    return conditions


def _of_descendants(others: OtherConditions) -> list[sa.ColumnElement[bool]]:
    if not others.of_descendants:
        return []
    return [event.c.id.in_(sa.bindparam("descendants", type_=BinaryUuid, expanding=True))]


@lru_cache(maxsize=256)
def are_of_event_alone(condition: Form) -> bool:
    """Whether a condition is on the table of events alone."""
    return tables_of([condition_of_form(condition)]) is event


_ORGANIZATION: Final = sa.bindparam("organization", type_=sa.Integer)

_COLUMNS: Final = (
    # First, as `select_within` wants it.
    event.c.timestamp_us,
    event.c.id,
    event.c.organization_number,
    event.c.series_number,
    event.c.customer_number,
    event.c.external_id,
    event.c.parent_id,
    event.c.external_member_id,
    event.c.cost_picocents,
    event.c.llm,
    event.c.metadata,
)


def _select_page(shape: PageShape) -> sa.Select[*tuple[Any, ...]]:
    time_us, one = event.c.timestamp_us, event.c.id
    after_us, after_id = _number("after_us"), sa.bindparam("after_id", type_=BinaryUuid)
    if shape.descending:
        beyond = (time_us < after_us) | (one < after_id)
    else:
        beyond = (time_us > after_us) | (one > after_id)
    conditions = [
        *_indexed_conditions(shape),
        beyond,
        *_of_descendants(shape.others),
        *_other_conditions(shape.others),
    ]
    if shape.within_spans and shape.is_distributed:
        listed = [
            (_number(f"start_{place}"), _number(f"end_{place}")) for place in range(SPANS_AT_ONCE)
        ]
        page = select_within_listed(_COLUMNS, listed, conditions)
    elif shape.within_spans:
        spans = sa.bindparam("spans", type_=SpanList)
        page = select_within(shape.dialect_name, _COLUMNS, spans, conditions)
    else:
        page = sa.select(*_COLUMNS).select_from(tables_of(conditions)).where(*conditions)
    page = page.offset(_number("skipped")).limit(_number("limit"))
    completed = _completed(_ordered(page, descending=shape.descending))
    # Joining keeps rows in their order, but no database promises it.
    return _ordered(completed, descending=shape.descending)


def _select_matches(shape: PageShape) -> sa.Select[int]:
    order = event.c.timestamp_us.desc() if shape.descending else event.c.timestamp_us
    conditions = _other_conditions(shape.others)
    # A subquery with a limit of its own: what is looked at stays the same however few match.
    found = (
        sa.select(sa.and_(sa.true(), *conditions).label("matches"))
        .select_from(tables_of(conditions))
        .where(*_indexed_conditions(shape), *_of_descendants(shape.others))
        .order_by(order)
        .limit(_number("limit"))
        .subquery()
    )
    return sa.select(sa.func.count()).select_from(found).where(found.c.matches)


def _indexed_conditions(shape: PageShape) -> list[sa.ColumnElement[bool]]:
    conditions = [
        event.c.organization_number == _ORGANIZATION,
        event.c.timestamp_us >= _number("from_us"),
        event.c.timestamp_us < _number("end_us"),
    ]
    if shape.of_customers:
        numbers = sa.bindparam("customers", type_=IntegerList)
        conditions.append(is_any_of(event.c.customer_number, numbers))
    if shape.of_series:
        numbers = sa.bindparam("series", type_=IntegerList)
        conditions.append(is_any_of(event.c.series_number, numbers))
    return conditions


def _mentions(part: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    texts = (series.c.event_name, customer.c.external_id, sa.func.coalesce(event.c.external_id, ""))
    return sa.or_(
        *(contains(lower_ascii(one), part) for one in texts),
        any_text_contains(event.c.metadata, part),
    )


def _is_deeper(child: sa.FromClause, depth: int) -> sa.ColumnElement[bool]:
    """Whether an event has more ancestors than that; a parent that is not stored counts as one."""
    if depth == 0:
        return child.c.parent_id.is_not(None)
    parent = event.alias()
    return sa.exists().where(
        parent.c.organization_number == child.c.organization_number,
        parent.c.id == child.c.parent_id,
        _is_deeper(parent, depth - 1),
    )


def _ordered(
    events: sa.Select[*tuple[Any, ...]], *, descending: bool
) -> sa.Select[*tuple[Any, ...]]:
    order = (events.selected_columns.timestamp_us, events.selected_columns.id)
    return events.order_by(*[one.desc() for one in order] if descending else order)


def _number(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


def _completed(events: sa.Select[*tuple[Any, ...]]) -> sa.Select[*tuple[Any, ...]]:
    """Selects rows of `StoredEvent`, in any order, given a selection of `_COLUMNS`."""
    # Of a page's events alone: those that are passed over have customers and children too. Each
    # part reads one table of events and is done before the next one, as a cluster wants it.
    page_rows = events.cte("page").prefix_with("MATERIALIZED")
    page = page_rows.c
    # Another organization may call one of these events the parent of its own. That is no condition,
    # because SQLite would rather read all events of the organization than look up parents.
    belongs = event.c.organization_number == _ORGANIZATION
    children = (
        sa.select(event.c.parent_id, sa.func.count().filter(belongs).label("events"))
        .where(event.c.parent_id.in_(sa.select(page.id)))
        .group_by(event.c.parent_id)
        .cte("children")
        .prefix_with("MATERIALIZED")
    )
    of_series = (series.c.organization_number == page.organization_number) & (
        series.c.number == page.series_number
    )
    of_customer = (customer.c.organization_number == page.organization_number) & (
        customer.c.number == page.customer_number
    )
    of_type = (event_type.c.organization_number == page.organization_number) & (
        event_type.c.event_name == series.c.event_name
    )
    return sa.select(
        page.id,
        series.c.event_name,
        customer.c.id,
        customer.c.external_id,
        page.timestamp_us,
        sa.func.coalesce(page.external_id, ""),
        page.parent_id,
        sa.func.coalesce(page.external_member_id, ""),
        page.cost_picocents,
        series.c.llm_vendor,
        series.c.llm_model,
        page.llm,
        series.c.product_id,
        page.metadata,
        customer.c.created_us,
        sa.func.coalesce(children.c.events, 0),
        sa.func.coalesce(event_type.c.label, series.c.event_name),
        sa.func.coalesce(event_type.c.label_property, ""),
    ).select_from(
        page_rows.join(series, of_series)
        .join(customer, of_customer)
        .outerjoin(event_type, of_type)
        .outerjoin(children, children.c.parent_id == page.id)
    )
