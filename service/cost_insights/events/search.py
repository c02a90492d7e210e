"""Searching events: one by its id, and pages of those that conditions hold for."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cost_insights._native.ids import event_id
from cost_insights.cells import CellCache, CellReader
from cost_insights.cells.counting import EventCounter
from cost_insights.cells.kinds import QUARTER_US
from cost_insights.customers import CustomerCache, parse_uuid
from cost_insights.errors import FieldFault, InvalidRequestError, NotFoundError
from cost_insights.events.conditions import (
    ALWAYS,
    Condition,
    form_of,
    signatures_of,
)
from cost_insights.events.filter import EventFilter, conditions_of_numbers
from cost_insights.events.places import EventPlaces, Span
from cost_insights.events.rows import (
    SPANS_AT_ONCE,
    OtherConditions,
    PageShape,
    PageValues,
    StoredEvent,
    are_of_event_alone,
    select_candidates,
    select_event,
    select_matches,
    select_page,
)
from cost_insights.identity import Organization
from cost_insights.paging import PageTokens, int64_part, uuid_part
from cost_insights.store import Deadline, Store, chunks
from cost_insights.store.schema import event


def id_of_event(owner: Organization, name: str) -> uuid.UUID:
    """The id of the event that a caller names by its id or by its external id."""
    return parse_uuid(name) or uuid.UUID(bytes=event_id(owner.id.bytes, name))


EXAMINED_EVENTS_MAX: Final = 10_000
"""The number of events that are looked at to count those that match."""

_CANDIDATES_MAX: Final = 10_000
"""The number of events that may match and are looked at together, and up to which a page is read in
this way."""

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
class EventPage:
    """A page of events."""

    events: Sequence[StoredEvent]
    sums: Mapping[uuid.UUID, Mapping[str, int | Decimal]]
    """Sums over each event and all its descendants by property, `_cost.amount` in picocents."""

    total: int
    """The number of events that match; a lower bound if `is_total_exact` is false."""

    is_total_exact: bool
    next_cursor: str
    """The cursor of the next page, empty on the last one."""


class EventSearcher:
    """Reads the events of one organization at a time, from one snapshot each."""

    def __init__(self, store: Store, cell_cache: CellCache, customer_cache: CustomerCache) -> None:
        self._store = store
        self._page_tokens = PageTokens(store.page_token_key)
        self._cells = CellReader(store, cell_cache)
        self._customers = customer_cache

    def event(self, organization: Organization, event_id: str) -> StoredEvent:
        """The event with this id; raises NotFoundError if the organization has none."""
        parsed = parse_uuid(event_id)
        row = None
        if parsed is not None:
            with self._store.read() as connection:
                row = connection.execute(
                    select_event(), {"organization": organization.number, "id": parsed}
                ).one_or_none()
        if row is None:
            raise NotFoundError(
                f"there is no event {event_id[:64]!r}",
                reason="EVENT_NOT_FOUND",
                facts={"id": event_id[:64]},
            )
        return StoredEvent._make(row)

    def events(
        self, organization: Organization, asked: EventSearch, *, page_size: int, page_token: str
    ) -> tuple[list[StoredEvent], str]:
        """A page of events, and the token of the next page.

        Raises InvalidRequestError if the token is not of the same question.
        """
        after = self._place(organization, asked, page_token)
        with self._store.read() as connection:
            question = self._question(connection, organization, asked)
            return self._cut(
                organization, asked, question.rows(after, skipped=0, count=page_size + 1), page_size
            )

    def page(
        self,
        organization: Organization,
        asked: EventSearch,
        place: PageNumber | PageCursor,
        *,
        size: int,
        summed: Sequence[str] = (),
    ) -> EventPage:
        """A page of events with their total; `summed` are the properties whose sums are wanted.

        Raises InvalidRequestError if a cursor is not of the same question, or a page lies too
        far from the first.
        """
        after, skipped = None, 0
        if isinstance(place, PageCursor):
            after = self._place(organization, asked, place.token)
        elif (skipped := place.skipped) > SKIPPED_EVENTS_MAX:
            raise _page_too_far(skipped)
        with self._store.read() as connection:
            question = self._question(connection, organization, asked)
            found = question.rows(after, skipped=skipped, count=size + 1)
            events, cursor = self._cut(organization, asked, found, size)
            sums = _sums(connection, organization.number, events, summed)
            seen = skipped + len(found)
            if asked.is_countable:
                total, is_exact = question.exact_total(), True
            elif not cursor and after is None and (found or not skipped):
                total, is_exact = seen, True
            else:
                total, is_exact = max(seen, question.counted_total()), False
        return EventPage(events, sums, total, is_exact, cursor)

    def _place(
        self, organization: Organization, asked: EventSearch, page_token: str
    ) -> "_Place | None":
        place = self._page_tokens.decode(
            page_token, organization.id, ("search", asked), (int64_part, uuid_part)
        )
        return None if place is None else _Place._make(place)

    def _question(
        self, connection: sa.Connection, organization: Organization, asked: EventSearch
    ) -> "_Question":
        return _Question(
            connection,
            organization.number,
            asked,
            self._cells,
            self._customers,
            is_distributed=self._store.dialect.is_distributed(connection),
        )

    def _cut(
        self,
        organization: Organization,
        asked: EventSearch,
        found: list[StoredEvent],
        size: int,
    ) -> tuple[list[StoredEvent], str]:
        """The events of a page of a size, of which one more is given, and the token of the next
        page."""
        if len(found) <= size:
            return found, ""
        last = found[size - 1]
        place = (last.timestamp_us, str(last.id))
        return found[:size], self._page_tokens.encode(organization.id, ("search", asked), place)


class _Place(NamedTuple):
    """The time and the id of an event."""

    timestamp_us: int
    id: uuid.UUID


_TIME_MIN: Final = -(2**63)
_TIME_MAX: Final = 2**63 - 1
"""Times before and after those of all events."""


class _Question:
    """A search in a transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        organization_number: int,
        asked: EventSearch,
        cells: CellReader,
        customer_cache: CustomerCache,
        *,
        is_distributed: bool,
    ) -> None:
        self._connection = connection
        self._is_distributed = is_distributed
        self._organization_number = organization_number
        self._asked = asked
        self._customers = asked.filter.customer_numbers(
            lambda: connection, organization_number, customer_cache
        )
        self._series = asked.filter.series_numbers_with(
            connection, organization_number, asked.condition
        )
        self._places = EventPlaces(
            connection,
            organization_number,
            EventCounter(cells, connection, organization_number),
            self._customers,
            self._series,
        )
        self._from_us = None if asked.after_us is None else asked.after_us + 1
        self._end_us = asked.before_us
        self._descendants = _descendants(connection, organization_number, asked)
        condition, self._values = form_of(asked.condition)
        self._others = OtherConditions(
            of_descendants=self._descendants is not None,
            condition=None if asked.condition == ALWAYS else condition,
            has_text=bool(asked.text),
            depth=asked.depth if asked.parent is None else None,
        )

    def rows(self, after: "_Place | None", *, skipped: int, count: int) -> list[StoredEvent]:
        """Some events in order, from a place on."""
        asked = self._asked
        from_us, end_us = self._from_us, self._end_us
        if after is not None and asked.descending:
            end_us = min(_TIME_MAX if end_us is None else end_us, after.timestamp_us + 1)
        elif after is not None:
            from_us = max(_TIME_MIN if from_us is None else from_us, after.timestamp_us)
        spans, candidates = self._spans(from_us, end_us, skipped + count), None
        if spans is not None and not spans:
            return []
        if spans is None:
            candidates = self._candidates(skipped + count)
        shape = self._shape(within_spans=spans is not None or candidates is not None)
        values = self._page_values(from_us, end_us, limit=count)._replace(
            spans=spans, skipped=skipped
        )
        if after is not None:
            values = values._replace(after_us=after.timestamp_us, after_id=after.id)
        statement = select_page(shape)
        if candidates is None:
            return self._rows(statement, values)
        return self._rows_of_candidates(statement, shape, values, candidates)

    def _shape(self, *, within_spans: bool) -> PageShape:
        return PageShape(
            self._connection.dialect.name,
            of_customers=self._customers is not None,
            of_series=self._series is not None,
            within_spans=within_spans,
            descending=self._asked.descending,
            is_distributed=self._is_distributed,
            others=self._others,
        )

    def _page_values(self, from_us: int | None, end_us: int | None, *, limit: int) -> PageValues:
        """The values of the first page of a time."""
        return PageValues(
            organization=self._organization_number,
            customers=self._customers,
            series=self._series,
            spans=None,
            from_us=_TIME_MIN if from_us is None else from_us,
            end_us=_TIME_MAX if end_us is None else end_us,
            after_us=_TIME_MAX if self._asked.descending else _TIME_MIN,
            after_id=uuid.UUID(int=0),
            skipped=0,
            limit=limit,
        )

    def _parameters(self, values: PageValues) -> dict[str, Any]:
        """The parameters of a statement of the shape of this question."""
        # Only ASCII letters: databases do not agree on the case of any other.
        text = "".join(one.lower() if one.isascii() else one for one in self._asked.text)
        given = {f"value_{place}": value for place, value in enumerate(self._values)}
        return {**values._asdict(), **given, "text": text, "descendants": self._descendants}

    def _rows(
        self, statement: sa.Select[*tuple[Any, ...]], values: PageValues
    ) -> list[StoredEvent]:
        given = self._parameters(values)
        if values.spans is None or not self._is_distributed:
            rows: Sequence[sa.Row[*tuple[Any, ...]]]
            rows = self._connection.execute(statement, given).all()
        else:
            rows = self._rows_of_spans(statement, given, values)
        return [StoredEvent._make(row) for row in rows]

    def _rows_of_spans(
        self,
        statement: sa.Select[*tuple[Any, ...]],
        given: dict[str, Any],
        values: PageValues,
    ) -> Sequence[sa.Row[*tuple[Any, ...]]]:
        """The rows of a page that lie in spans, of which a statement for a cluster takes a few."""
        count = values.skipped + values.limit
        found: list[sa.Row[*tuple[Any, ...]]] = []
        spans = sorted(values.spans or (), reverse=self._asked.descending)
        for first in range(0, len(spans), SPANS_AT_ONCE):
            _check_deadline()
            some = spans[first : first + SPANS_AT_ONCE]
            some += [(0, 0)] * (SPANS_AT_ONCE - len(some))
            for place, (start_us, end_us) in enumerate(some):
                given[f"start_{place}"], given[f"end_{place}"] = start_us, end_us
            given |= {"skipped": 0, "limit": count - len(found)}
            found += self._connection.execute(statement, given).all()
            if len(found) == count:
                break
        return found[values.skipped :]

    def _spans(self, from_us: int | None, end_us: int | None, count: int) -> list[Span] | None:
        """Times that hold the events of a page; None where cells cannot tell them, or walking
        through all is as fast."""
        asked = self._asked
        if asked.is_countable:
            return self._places.first_spans(from_us, end_us, count, descending=asked.descending)
        return self._places.spans_of_few(from_us, end_us) if self._asks_events_alone else None

    @property
    def _asks_events_alone(self) -> bool:
        """Whether the conditions, besides those of a filter and a time, are on events alone, and
        not on descendants, who are found by their ids."""
        others = self._others
        if others.of_descendants or others.has_text:
            return False
        return others.condition is None or are_of_event_alone(others.condition)

    def _candidates(self, count: int) -> Sequence[int] | None:
        """The signatures by which events that cannot match are passed over without reading them;
        None where the conditions do not tell, or on more than the metadata."""
        if count > _CANDIDATES_MAX or not self._asks_events_alone:
            return None
        return signatures_of(self._asked.condition)

    def _rows_of_candidates(
        self,
        statement: sa.Select[*tuple[Any, ...]],
        shape: PageShape,
        values: PageValues,
        signatures: Sequence[int],
    ) -> list[StoredEvent]:
        """The rows of a page, which is read at the times of candidates: of some, and of ever more
        if too few of them match."""
        select = select_candidates(shape._replace(others=OtherConditions()), len(signatures))
        wanted = {f"signature_{place}": one for place, one in enumerate(signatures)}
        count = limit = values.skipped + values.limit
        found: list[StoredEvent] = []
        while True:
            some = values._replace(limit=limit)._asdict() | wanted
            times = self._connection.scalars(select, some).all()
            if times:
                spans = [(time_us, time_us + 1) for time_us in dict.fromkeys(times)]
                left = values._replace(spans=spans, skipped=0, limit=count - len(found))
                found += self._rows(statement, left)
            if len(times) < limit or len(found) == count:
                return found[values.skipped :]
            # All events of the last time are read.
            if shape.descending:
                values = values._replace(end_us=times[-1])
            else:
                values = values._replace(from_us=times[-1] + 1)
            limit = min(4 * limit, _CANDIDATES_MAX)
            _check_deadline()

    def counted_total(self) -> int:
        """The number of matching events among the first ones that could match."""
        values = self._page_values(self._from_us, self._end_us, limit=EXAMINED_EVENTS_MAX)
        statement = select_matches(self._shape(within_spans=False))
        return self._connection.scalars(statement, self._parameters(values)).one()

    def exact_total(self) -> int:
        """The number of events of customers, names and a time: from cells as far as whole
        quarters of an hour go, and of the rest by counting."""
        span = None if self._places.is_empty else self._places.span
        if span is None:
            return 0
        end_us = span.newest_us + 1
        start = span.oldest_us if self._from_us is None else max(self._from_us, span.oldest_us)
        end = end_us if self._end_us is None else min(self._end_us, end_us)
        if not self._places.knows_cells:
            return self._counted(start, end)
        # Whole quarters of an hour, and those that no bound of the question cuts.
        first = max(-(-start // QUARTER_US), span.first_quarter)
        if start == span.oldest_us:
            first = span.first_quarter
        last = span.end_quarter if end == end_us else end // QUARTER_US
        if first >= last:
            return self._counted(start, end)
        counted = self._places.count(first, last)
        return (
            self._counted(start, first * QUARTER_US)
            + counted
            + self._counted(last * QUARTER_US, end)
        )

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


def _descendants(
    connection: sa.Connection, organization_number: int, asked: EventSearch
) -> Sequence[uuid.UUID] | None:
    """The ids of the descendants that are searched, None where all events are."""
    if asked.parent is None:
        return None
    found: dict[uuid.UUID, None] = {}
    level = [asked.parent]
    for _ in range(1 if asked.depth is None else asked.depth):
        _check_deadline()
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


def _sums(
    connection: sa.Connection,
    organization_number: int,
    events: Sequence[StoredEvent],
    summed: Sequence[str],
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
        _check_deadline()
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


def _check_deadline() -> None:
    if (deadline := Deadline.of_this_thread()) is not None:
        deadline.check()


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
