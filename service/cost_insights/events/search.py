"""Searching events: pages of those that conditions hold for, and what belongs to each of them."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from cost_insights._native.ids import event_id
from cost_insights.cells import CellCache, CellReader
from cost_insights.cells.counting import EventCounter
from cost_insights.cells.kinds import QUARTER_US
from cost_insights.customers import parse_uuid
from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.events.conditions import ALWAYS, Condition, condition_on_event
from cost_insights.events.filter import EventFilter, conditions_of_numbers
from cost_insights.events.joins import OF_CUSTOMER, OF_SERIES
from cost_insights.events.places import EventPlaces, Wanted
from cost_insights.events.reader import SELECT_EVENT, StoredEvent, stored_event
from cost_insights.identity import Organization
from cost_insights.paging import PageTokens, int64_part, uuid_part
from cost_insights.store import Deadline, Store, chunks
from cost_insights.store.expressions import any_text_contains, contains, lower_ascii
from cost_insights.store.schema import customer, event, series


def id_of_event(owner: Organization, name: str) -> uuid.UUID:
    """The id of the event that a caller names by its id or by its external id."""
    return parse_uuid(name) or uuid.UUID(bytes=event_id(owner.id.bytes, name))


EXAMINED_EVENTS_MAX: Final = 10_000
"""The number of events that are looked at to count those that match."""

DESCENDANTS_MAX: Final = 10_000
"""The number of descendants of an event among which can be searched."""

SKIPPED_EVENTS_MAX: Final = 100_000
"""The number of events before a page that is given by its number."""


@dataclass(frozen=True)
class EventSearch:
    """The events that a caller looks for, and their order."""

    filter: EventFilter
    after_us: int | None = None
    """Events after this time, which is not included."""

    before_us: int | None = None
    """Events before this time, which is not included."""

    condition: Condition = ALWAYS
    text: str = ""
    """A text that the name, the customer's or the event's external id or a text of the metadata
    contains, whatever the case of ASCII letters."""

    parent: uuid.UUID | None = None
    """Descendants of this event: its children, or as many levels as `depth` says."""

    depth: int | None = None
    """Without a parent, events with at most so many ancestors."""

    descending: bool = True
    """The latest first; otherwise the earliest."""

    def of_name(self, name: str) -> "EventSearch | None":
        """This search among the events with one name; None if the filter leaves them out."""
        names = self.filter.event_names
        if names and name not in names:
            return None
        return replace(self, filter=replace(self.filter, event_names=(name,)))

    @property
    def is_countable(self) -> bool:
        """Whether cells can tell how many events are found."""
        return (
            self.condition == ALWAYS
            and not self.text
            and self.parent is None
            and self.depth is None
        )


@dataclass(frozen=True)
class PageNumber:
    """A page given by the number of events before it."""

    skipped: int


@dataclass(frozen=True)
class PageCursor:
    """A page that begins where another one ended, whatever arrives meanwhile."""

    token: str


@dataclass(frozen=True)
class FoundEvent:
    """An event of a page, and what belongs to it."""

    event: StoredEvent
    children: int
    """The number of events whose parent it is."""

    sums: Mapping[str, int | Decimal]
    """Sums over the event and all its descendants by property, `_cost.amount` in picocents."""


@dataclass(frozen=True)
class EventPage:
    """A page of events."""

    events: Sequence[FoundEvent]
    total: int
    """The number of events that match; a lower bound if `is_total_exact` is false."""

    is_total_exact: bool
    next_cursor: str
    """The cursor of the next page, empty on the last one."""


class EventSearcher:
    """Searches the events of one organization at a time, in one snapshot each."""

    def __init__(self, store: Store, cell_cache: CellCache) -> None:
        self._store = store
        self._page_tokens = PageTokens(store.page_token_key)
        self._cells = CellReader(store, cell_cache)

    def found(self, organization: Organization, stored: StoredEvent) -> FoundEvent:
        """A stored event with what belongs to it."""
        with self._store.read() as connection:
            children = _children(connection, organization.number, [stored.id])
        return FoundEvent(stored, children.get(stored.id, 0), {})

    def page(
        self,
        organization: Organization,
        asked: EventSearch,
        place: PageNumber | PageCursor,
        deadline: Deadline,
        *,
        size: int,
        summed: Sequence[str] = (),
    ) -> EventPage:
        """A page of events; `summed` are the properties whose sums are wanted.

        Raises InvalidRequestError if a cursor is not of the same question, or a page lies too
        far from the first.
        """
        after = None
        if isinstance(place, PageCursor):
            after = self._page_tokens.decode(
                place.token, organization.id, ("search", asked), (int64_part, uuid_part)
            )
        elif place.skipped > SKIPPED_EVENTS_MAX:
            raise _page_too_far(place.skipped)
        skipped = place.skipped if isinstance(place, PageNumber) else 0
        with self._store.read(deadline) as connection:
            question = _Question(connection, organization.number, asked, self._cells, deadline)
            rows = question.rows(after, skipped=skipped, count=size + 1)
            events = [stored_event(row) for row in rows[:size]]
            is_last = len(rows) <= size
            ids = [one.id for one in events]
            children = _children(connection, organization.number, ids)
            sums = _sums(connection, organization.number, events, summed, deadline)
            seen = skipped + len(rows)
            if asked.is_countable:
                total, is_exact = question.exact_total(), True
            elif is_last and after is None and (rows or not skipped):
                total, is_exact = seen, True
            else:
                total, is_exact = max(seen, question.counted_total()), False
        cursor = ""
        if not is_last:
            last = (events[-1].timestamp_us, str(events[-1].id))
            cursor = self._page_tokens.encode(organization.id, ("search", asked), last)
        found = [FoundEvent(one, children.get(one.id, 0), sums.get(one.id, {})) for one in events]
        return EventPage(found, total, is_exact, cursor)


class _Question:
    """A search in a transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        organization_number: int,
        asked: EventSearch,
        cells: CellReader,
        deadline: Deadline,
    ) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._asked = asked
        self._counter = EventCounter(cells, connection, organization_number)
        self._places = EventPlaces(connection, organization_number, self._counter)
        self._customers = asked.filter.customer_numbers(lambda: connection, organization_number)
        self._series = asked.filter.series_numbers(connection, organization_number)
        self._from_us = None if asked.after_us is None else asked.after_us + 1
        self._end_us = asked.before_us
        self._descendants = _descendants(connection, organization_number, asked, deadline)

    def rows(
        self, after: Sequence[Any] | None, *, skipped: int, count: int
    ) -> Sequence[sa.Row[*tuple[Any, ...]]]:
        """Some rows of `SELECT_EVENT` in order, from a place on."""
        conditions = [*self._indexed_conditions(), *self._other_conditions()]
        time_us, one = event.c.timestamp_us, event.c.id
        if after is not None:
            after_us, after_id = after
            if self._asked.descending:
                beyond = (time_us <= after_us, (time_us < after_us) | (one < after_id))
            else:
                beyond = (time_us >= after_us, (time_us > after_us) | (one > after_id))
            conditions += beyond
        if self._asked.is_countable:
            ids = self._places.first_ids(self._wanted(after), conditions, skipped + count)
            if ids is not None:
                skipped, conditions = 0, [event.c.id.in_(ids[skipped:])]
        statement = SELECT_EVENT.where(*conditions)
        order = (time_us.desc(), one.desc()) if self._asked.descending else (time_us, one)
        return self._connection.execute(
            statement.order_by(*order).offset(skipped or None).limit(count)
        ).all()

    def _wanted(self, after: Sequence[Any] | None) -> Wanted:
        from_us, end_us = self._from_us, self._end_us
        if after is not None:
            if self._asked.descending:
                end_us = after[0] + 1
            else:
                from_us = after[0]
        return Wanted(self._customers, self._series, from_us, end_us, self._asked.descending)

    def counted_total(self) -> int:
        """The number of matching events among the first ones that could match."""
        order = event.c.timestamp_us.desc() if self._asked.descending else event.c.timestamp_us
        matches = sa.and_(sa.true(), *self._other_conditions()).label("matches")
        # A subquery with a limit of its own: what is looked at stays the same however few match.
        examined = sa.select(matches).select_from(event)
        columns = (one for one in visitors.iterate(matches) if isinstance(one, sa.Column))
        named = {one.table for one in columns}
        for table, condition in ((series, OF_SERIES), (customer, OF_CUSTOMER)):
            # Looking up thousands of customers would take longer than all the rest.
            if table in named:
                examined = examined.join(table, condition)
        found = (
            examined.where(*self._indexed_conditions())
            .order_by(order)
            .limit(EXAMINED_EVENTS_MAX)
            .subquery()
        )
        return self._connection.scalars(
            sa.select(sa.func.count()).select_from(found).where(found.c.matches)
        ).one()

    def exact_total(self) -> int:
        """The number of events of customers, names and a time: from cells as far as whole
        quarters of an hour go, and of the rest by counting."""
        if any(chosen is not None and not chosen for chosen in (self._customers, self._series)):
            return 0
        span = self._places.span
        if span is None:
            return 0
        end_us = span.newest_us + 1
        start = span.oldest_us if self._from_us is None else max(self._from_us, span.oldest_us)
        end = end_us if self._end_us is None else min(self._end_us, end_us)
        # Whole quarters of an hour, and those that no bound of the question cuts.
        first = max(-(-start // QUARTER_US), span.first_quarter)
        if start == span.oldest_us:
            first = span.first_quarter
        last = span.end_quarter if end == end_us else end // QUARTER_US
        if first >= last:
            return self._counted(start, end)
        first_us, last_us = first * QUARTER_US, last * QUARTER_US
        counted = self._counter.count(
            first_us, last_us, customers=self._customers, series=self._series
        )
        return self._counted(start, first_us) + counted + self._counted(last_us, end)

    def _counted(self, from_us: int, end_us: int) -> int:
        if from_us >= end_us:
            return 0
        return self._connection.scalars(
            sa.select(sa.func.count()).where(
                *self._of_filter(), event.c.timestamp_us >= from_us, event.c.timestamp_us < end_us
            )
        ).one()

    def _of_filter(self) -> list[sa.ColumnElement[bool]]:
        return conditions_of_numbers(self._organization_number, self._customers, self._series)

    def _indexed_conditions(self) -> list[sa.ColumnElement[bool]]:
        """Conditions that no event has to be read for."""
        conditions = self._of_filter()
        if self._from_us is not None:
            conditions.append(event.c.timestamp_us >= self._from_us)
        if self._end_us is not None:
            conditions.append(event.c.timestamp_us < self._end_us)
        if self._descendants is not None:
            conditions.append(event.c.id.in_(self._descendants))
        return conditions

    def _other_conditions(self) -> list[sa.ColumnElement[bool]]:
        asked = self._asked
        conditions = []
        if asked.condition != ALWAYS:
            conditions.append(condition_on_event(asked.condition))
        if asked.text:
            conditions.append(_mentions(asked.text))
        if asked.depth is not None and asked.parent is None:
            conditions.append(sa.not_(_is_deeper(event, asked.depth)))
        return conditions


def _mentions(text: str) -> sa.ColumnElement[bool]:
    # Only ASCII letters: databases do not agree on the case of any other.
    part = sa.literal("".join(one.lower() if one.isascii() else one for one in text), sa.Text)
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


def _descendants(
    connection: sa.Connection, organization_number: int, asked: EventSearch, deadline: Deadline
) -> Sequence[uuid.UUID] | None:
    """The ids of the descendants that are searched, None where all events are."""
    if asked.parent is None:
        return None
    found: dict[uuid.UUID, None] = {}
    level = [asked.parent]
    for _ in range(1 if asked.depth is None else asked.depth):
        deadline.check()
        children = _children_of(connection, organization_number, level, (event.c.id,))
        level = [one for (one,) in children if one not in found and one != asked.parent]
        found |= dict.fromkeys(level)
        if len(found) > DESCENDANTS_MAX:
            raise InvalidRequestError(
                [
                    FieldFault(
                        "parent_id",
                        "TOO_MANY_VALUES",
                        f"the event has more than {DESCENDANTS_MAX} descendants of that depth; "
                        "ask for a smaller depth, or for one of its children",
                        str(asked.parent),
                        {"values_max": str(DESCENDANTS_MAX)},
                    )
                ]
            )
    return list(found)


def _belongs_to(organization_number: int) -> sa.ColumnElement[bool]:
    # As a sum, because SQLite would rather read all events of the organization than look up a
    # hundred parents in their index.
    return event.c.organization_number + 0 == organization_number


def _children_of(
    connection: sa.Connection,
    organization_number: int,
    parents: Sequence[uuid.UUID],
    columns: Sequence[sa.ColumnElement[Any]],
) -> list[sa.Row[*tuple[Any, ...]]]:
    rows: list[sa.Row[*tuple[Any, ...]]] = []
    for chunk in chunks(parents):
        rows += connection.execute(
            sa.select(*columns).where(
                _belongs_to(organization_number), event.c.parent_id.in_(chunk)
            )
        )
    return rows


def _children(
    connection: sa.Connection, organization_number: int, ids: Sequence[uuid.UUID]
) -> Mapping[uuid.UUID, int]:
    """The number of children of each event that has any."""
    if not ids:
        return {}
    rows = connection.execute(
        sa.select(event.c.parent_id, sa.func.count())
        .where(_belongs_to(organization_number), event.c.parent_id.in_(ids))
        .group_by(event.c.parent_id)
    )
    return {parent: count for parent, count in rows if parent is not None}


def _sums(
    connection: sa.Connection,
    organization_number: int,
    events: Sequence[StoredEvent],
    summed: Sequence[str],
    deadline: Deadline,
) -> Mapping[uuid.UUID, Mapping[str, int | Decimal]]:
    """The sums of properties over each event and all its descendants."""
    if not summed:
        return {}
    values = {one.id: _values(summed, one.cost_picocents, one.llm, one.metadata) for one in events}
    children: dict[uuid.UUID, list[uuid.UUID]] = {}
    level = list(values)
    columns = (
        event.c.id,
        event.c.parent_id,
        event.c.cost_picocents,
        event.c.llm,
        event.c.metadata,
    )
    while level:
        deadline.check()
        below: dict[uuid.UUID, None] = {}
        for one, parent, *row in _children_of(connection, organization_number, level, columns):
            children.setdefault(parent, []).append(one)
            if one not in values:
                below[one] = None
                values[one] = _values(summed, *row)
        level = list(below)
    return {one.id: _sum(one.id, values, children) for one in events}


def _sum(
    root: uuid.UUID,
    values: Mapping[uuid.UUID, Mapping[str, int | Decimal]],
    children: Mapping[uuid.UUID, Sequence[uuid.UUID]],
) -> Mapping[str, int | Decimal]:
    sums: dict[str, int | Decimal] = {}
    seen, left = {root}, [root]
    while left:
        one = left.pop()
        for name, value in values[one].items():
            sums[name] = sums.get(name, 0) + value
        # Events may name each other as parents.
        below = [child for child in children.get(one, ()) if child not in seen]
        seen.update(below)
        left += below
    return sums


def _values(
    summed: Sequence[str],
    cost_picocents: int | None,
    llm: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
) -> Mapping[str, int | Decimal]:
    values: dict[str, int | Decimal] = {}
    for name in summed:
        value = metadata.get(name)
        if name == "_cost.amount":
            value = cost_picocents
        elif name.startswith("_llm."):
            value = (llm or {}).get(name.removeprefix("_llm."))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # The shortest text of a double is what somebody wrote.
            values[name] = value if isinstance(value, int) else Decimal(repr(value))
    return values


def _page_too_far(skipped: int) -> InvalidRequestError:
    return InvalidRequestError(
        [
            FieldFault(
                "page",
                "NUMBER_OUT_OF_RANGE",
                f"{skipped} events lie before the page; at most {SKIPPED_EVENTS_MAX} are passed "
                "over: use cursor_pagination=true, or bounds of time",
                str(skipped),
                {"max": str(SKIPPED_EVENTS_MAX)},
            )
        ]
    )
