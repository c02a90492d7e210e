"""Finding the quarters of an hour that hold the events of customers and series, by cells.

An index of times finds the newest events of everybody, but of a rare customer it would be read from
end to end. Cells say in which quarters of an hour there is an event, so that only those are read.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import compress, pairwise
from typing import Final, NamedTuple

import sqlalchemy as sa

from cost_insights.cells.counting import EventCounter
from cost_insights.cells.kinds import DAY_QUARTERS, QUARTER_US, ranges
from cost_insights.events.span import EventSpan, event_span

_FIRST_DAYS: Final = 8
"""The number of days that are looked at first: of a frequent customer they are enough."""

_DAYS_AT_ONCE: Final = 32
"""The number of days whose quarters are looked at together."""

_FOUND_MAX: Final = 5_000
"""The number of events to find, beyond which walking through all events is as fast."""

FEW_MAX: Final = 1_000
"""The number of events up to which all of them are read, to find those that pass conditions too."""

Span = tuple[int, int]
"""A time in microseconds, whose end is not included."""


class _Found(NamedTuple):
    """Times that hold events, and the number of those that count."""

    spans: list[Span]
    events: int


class _Latest(NamedTuple):
    """The number of events in the newest quarters of an hour, and of those before them."""

    first: int
    """The first of these quarters of an hour."""

    events: Sequence[int]
    before: int

    @property
    def end(self) -> int:
        """The quarter of an hour after the last one."""
        return self.first + len(self.events)


class EventPlaces:
    """Finds the events of one organization that are of some customers and series, in one
    transaction; `customers` are in ascending order, and None stands for all, as in `series`."""

    def __init__(
        self,
        connection: sa.Connection,
        organization_number: int,
        counter: EventCounter,
        customers: Sequence[int] | None,
        series: Sequence[int] | None,
    ) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._counter = counter
        self._customers = customers
        self._series = series
        self._chooses = customers is not None or series is not None
        self.knows_cells = series is None or not any(number < 0 for number in series)
        """Whether cells tell these events from others: they do not where series are folded."""

        self.is_empty = any(chosen is not None and not chosen for chosen in (customers, series))
        """Whether no event can be of them."""

    @cached_property
    def span(self) -> EventSpan | None:
        """The time of the stored events; None if there are none."""
        return event_span(self._connection, self._organization_number)

    def first_spans(
        self, from_us: int | None, end_us: int | None, count: int, *, descending: bool
    ) -> list[Span] | None:
        """Times that hold the first events in order; None where walking through all is as fast.

        `count` events are in them if there are that many from `from_us` to before `end_us`. More
        may be, also outside.
        """
        found = self._found(from_us, end_us, count, descending=descending)
        return None if found is None or found.events > count + _FOUND_MAX else found.spans

    def spans_of_few(self, from_us: int | None, end_us: int | None) -> list[Span] | None:
        """Times that hold all events from `from_us` to before `end_us`; None where these are more
        than a few, or may be."""
        found = self._found(from_us, end_us, FEW_MAX + 1, descending=True, counts_cut=True)
        return None if found is None or found.events > FEW_MAX else found.spans

    def _found(
        self,
        from_us: int | None,
        end_us: int | None,
        count: int,
        *,
        descending: bool,
        counts_cut: bool = False,
    ) -> _Found | None:
        """Times that hold the first `count` events in order, or all if there are fewer; None where
        cells cannot tell. `counts_cut` is whether events that may be beyond a bound count, too."""
        if not self._chooses or not self.knows_cells:
            return None
        span = self.span
        if self.is_empty or span is None:
            return _Found([], 0)
        if span.oldest_us < span.first_quarter * QUARTER_US:
            # Cells do not tell apart what came late and what was pruned.
            return None
        start_us, stop_us = span.oldest_us, span.newest_us + 1
        if from_us is not None:
            start_us = max(start_us, from_us)
        if end_us is not None:
            stop_us = min(stop_us, end_us)
        quarters: list[int] = []
        found = 0
        for quarter, events in self._occupied(start_us, stop_us, descending=descending):
            quarters.append(quarter)
            # A quarter that a bound cuts or touches may hold events beyond the bound, or at its
            # very time and before the place in the order.
            is_inside = start_us < quarter * QUARTER_US and (quarter + 1) * QUARTER_US < stop_us
            if is_inside or counts_cut:
                found += events
            if found >= count:
                break
        spans = [
            (first * QUARTER_US, (last + 1) * QUARTER_US)
            for first, last in ranges(sorted(quarters))
        ]
        return _Found(spans, found)

    def count(self, from_quarter: int, end_quarter: int) -> int:
        """The number of events of some quarters of an hour, of which the first and the last may
        be those of the first and the last event."""
        span = self.span
        if span is None:
            return 0
        from_us: int | None = from_quarter * QUARTER_US
        if span.pruned_before_us is None and from_quarter == span.first_quarter:
            from_us = None
            if self._chooses and end_quarter == self._latest.end:
                # These were found out already, or will be for the events themselves.
                return self._latest.before + sum(self._latest.events)
        return self._counter.count(
            from_us, end_quarter * QUARTER_US, customers=self._customers, series=self._series
        )

    @cached_property
    def _latest(self) -> _Latest:
        span = self.span
        assert span is not None  # noqa: S101 - who asks knows it
        first = max(span.first_quarter, _day_of(span.end_quarter) - _FIRST_DAYS * DAY_QUARTERS)
        counts = self._counter.counts_and_before(
            _bounds_us(range(first, span.end_quarter + 1)),
            customers=self._customers,
            series=self._series,
        )
        return _Latest(first, counts.periods, counts.before)

    def _occupied(
        self, start_us: int, end_us: int, *, descending: bool
    ) -> Iterator[tuple[int, int]]:
        """The quarters of an hour in which there are events, in order, with their number."""
        if start_us >= end_us:
            return
        near, far = _stretches(
            start_us // QUARTER_US, -(-end_us // QUARTER_US), descending=descending
        )
        yield from _occupied_among(near, self._near_events(near), descending=descending)
        days = _days(far)
        counts = self._counts(days) if far else []
        occupied = [day for day, events in zip(pairwise(days), counts, strict=False) if events]
        # Some days at a time: the first ones may be enough.
        for some in _parts(occupied[:: -1 if descending else 1]):
            quarters = _quarters_of(some)
            # Also those between the days, in which there is nothing.
            events = self._counts(quarters)
            yield from _occupied_among(quarters, events, descending=descending)

    def _near_events(self, quarters: range) -> Sequence[int]:
        """The number of events in each of the quarters of an hour that are looked at first."""
        if self.span is not None and quarters.stop == self.span.end_quarter:
            latest = self._latest
            if quarters.start >= latest.first:
                return latest.events[quarters.start - latest.first :]
        return self._counts(range(quarters.start, quarters.stop + 1))

    def _counts(self, quarters: Sequence[int]) -> Sequence[int]:
        """The number of events from each quarter of an hour up to the next one of these."""
        return self._counter.counts(
            _bounds_us(quarters), customers=self._customers, series=self._series
        )


def _bounds_us(quarters: Sequence[int]) -> list[int]:
    return [quarter * QUARTER_US for quarter in quarters]


def _occupied_among(
    quarters: Sequence[int], events: Sequence[int], *, descending: bool
) -> Iterator[tuple[int, int]]:
    # Hardly any of thousands is occupied, so the empty ones are skipped without a step of Python.
    occupied = list(compress(zip(quarters, events, strict=False), events))
    return iter(occupied[:: -1 if descending else 1])


def _quarters_of(days: Iterable[tuple[int, int]]) -> list[int]:
    """The quarters of an hour of some days and those at which they end, in ascending order."""
    quarters: list[int] = []
    for first, end in sorted(days):
        if quarters and quarters[-1] == first:
            del quarters[-1]
        quarters += range(first, end + 1)
    return quarters


def _parts(days: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    return (days[place : place + _DAYS_AT_ONCE] for place in range(0, len(days), _DAYS_AT_ONCE))


def _day_of(quarter: int) -> int:
    """The quarter of an hour in which the day of a quarter of an hour begins."""
    return quarter // DAY_QUARTERS * DAY_QUARTERS


def _stretches(first: int, end: int, *, descending: bool) -> tuple[range, range]:
    """Two stretches of quarters of an hour, of which the first is short."""
    step = _FIRST_DAYS * DAY_QUARTERS
    if descending:
        middle = max(first, _day_of(end) - step)
        return range(middle, end), range(first, middle)
    middle = min(end, _day_of(first) + step)
    return range(first, middle), range(middle, end)


def _days(quarters: range) -> list[int]:
    """The quarters of an hour that bound the days, of which the first and the last may be cut."""
    aligned = -(-quarters.start // DAY_QUARTERS) * DAY_QUARTERS
    days = range(aligned, quarters.stop, DAY_QUARTERS)
    return sorted({quarters.start, quarters.stop, *days})
