"""Finding the events of customers and series by cells.

An index of times finds the newest events of everybody, but of a rare customer it would be read from
end to end. Cells say in which quarters of an hour there is an event, so that only those are read.
"""

import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from cost_insights.cells.counting import EventCounter
from cost_insights.cells.kinds import DAY_QUARTERS, QUARTER_US, ranges
from cost_insights.events.span import EventSpan, event_span
from cost_insights.store.expressions import select_within
from cost_insights.store.schema import event

_FIRST_DAYS: Final = 8
"""The number of days that are looked at first: of a frequent customer they are enough."""

_DAYS_AT_ONCE: Final = 32
"""The number of days whose quarters are looked at together."""

_FOUND_MAX: Final = 5_000
"""The number of events to find, beyond which walking through all events is as fast."""


class Wanted(NamedTuple):
    """Events of customers, of series or of both, in a time and in an order."""

    customers: Sequence[int] | None
    """In ascending order; None if those of all are wanted."""

    series: Sequence[int] | None
    from_us: int | None
    end_us: int | None
    """The end of the time, which is not included."""

    descending: bool


class EventPlaces:
    """Finds events of one organization in one transaction."""

    def __init__(
        self, connection: sa.Connection, organization_number: int, counter: EventCounter
    ) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._counter = counter

    @cached_property
    def span(self) -> EventSpan | None:
        """The time of the stored events; None if there are none."""
        return event_span(self._connection, self._organization_number)

    def first_ids(
        self, wanted: Wanted, conditions: Sequence[sa.ColumnElement[bool]], count: int
    ) -> list[uuid.UUID] | None:
        """The ids of the first events in order; None where walking through all is as fast.

        `conditions` are those on a row of `event`; nothing but `wanted` and a place in its order
        may be among them.
        """
        if wanted.customers is None and wanted.series is None:
            return None
        if not (_any(wanted.customers) and _any(wanted.series)):
            return []
        span = self.span
        if span is None:
            return []
        if span.oldest_us < span.first_quarter * QUARTER_US:
            # Cells do not tell apart what came late and what was pruned.
            return None
        start_us, end_us = span.oldest_us, span.newest_us + 1
        if wanted.from_us is not None:
            start_us = max(start_us, wanted.from_us)
        if wanted.end_us is not None:
            end_us = min(end_us, wanted.end_us)
        quarters: list[int] = []
        found = 0
        for quarter, events in self._occupied(wanted, start_us, end_us):
            quarters.append(quarter)
            # A quarter that a bound cuts or touches may hold events beyond the bound, or at its
            # very time and before the place in the order.
            if start_us < quarter * QUARTER_US and (quarter + 1) * QUARTER_US < end_us:
                found += events
            if found >= count:
                break
        if found > count + _FOUND_MAX:
            return None
        ids = _ids(self._connection, quarters, conditions, descending=wanted.descending)
        return ids[:count]

    def _occupied(self, wanted: Wanted, start_us: int, end_us: int) -> Iterator[tuple[int, int]]:
        """The quarters of an hour in which there are events, in order, with their number."""
        if start_us >= end_us:
            return
        first, end = start_us // QUARTER_US, -(-end_us // QUARTER_US)
        for start, stop in _stretches(first, end, descending=wanted.descending):
            days = _days(start, stop)
            counts = self._counts(wanted, days)
            occupied = [span for span, events in zip(pairwise(days), counts, strict=True) if events]
            # Some days at a time: the first ones may be enough.
            for some in _parts(occupied[:: -1 if wanted.descending else 1]):
                yield from self._occupied_of_days(wanted, some)

    def _occupied_of_days(
        self, wanted: Wanted, days: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int]]:
        bounds = sorted({bound for first, end in days for bound in range(first, end + 1)})
        counts = self._counts(wanted, bounds)
        within = {quarter for first, end in days for quarter in range(first, end)}
        quarters = [
            (quarter, events)
            for quarter, events in zip(bounds, counts, strict=False)
            if events and quarter in within
        ]
        return iter(quarters[:: -1 if wanted.descending else 1])

    def _counts(self, wanted: Wanted, quarters: Sequence[int]) -> Sequence[int]:
        return self._counter.counts(
            [quarter * QUARTER_US for quarter in quarters],
            customers=wanted.customers,
            series=wanted.series,
        )


def _parts(days: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    return (days[place : place + _DAYS_AT_ONCE] for place in range(0, len(days), _DAYS_AT_ONCE))


def _any(chosen: Sequence[int] | None) -> bool:
    return chosen is None or bool(chosen)


def _stretches(first: int, end: int, *, descending: bool) -> Iterator[tuple[int, int]]:
    """Two stretches of quarters of an hour, of which the first is short."""
    step = _FIRST_DAYS * DAY_QUARTERS
    if descending:
        middle = max(first, (end - step) // DAY_QUARTERS * DAY_QUARTERS)
        stretches = [(middle, end), (first, middle)]
    else:
        middle = min(end, (first + step) // DAY_QUARTERS * DAY_QUARTERS)
        stretches = [(first, middle), (middle, end)]
    return ((start, stop) for start, stop in stretches if start < stop)


def _days(first: int, end: int) -> list[int]:
    """The quarters of an hour that bound the days, of which the first and the last may be cut."""
    aligned = -(-first // DAY_QUARTERS) * DAY_QUARTERS
    return sorted({first, end, *range(aligned, end, DAY_QUARTERS)})


def _ids(
    connection: sa.Connection,
    quarters: Sequence[int],
    conditions: Sequence[sa.ColumnElement[bool]],
    *,
    descending: bool,
) -> list[uuid.UUID]:
    """The ids of the events of some quarters of an hour, in order."""
    spans = [
        (first * QUARTER_US, (last + 1) * QUARTER_US) for first, last in ranges(sorted(quarters))
    ]
    # Without an order or a limit, which would tempt the database to walk through all events.
    statement = select_within(
        connection.dialect, (event.c.timestamp_us, event.c.id), spans, conditions
    )
    rows: list[Any] = [row for row in connection.execute(statement) if row.id is not None]
    rows.sort(reverse=descending)
    return [one for _, one in rows]
