"""Counting stored events by their cells, without reading them."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import Cover, Sources, Tally, tally_cells
from cost_insights.cells.kinds import Kind, Needed, ranges
from cost_insights.cells.reading import CellReader, StoredCells


class EventCounts(NamedTuple):
    """The numbers of events before some periods and in each of them."""

    before: int
    periods: Sequence[int]


class EventCounter:
    """EventCounts the events of one organization in one transaction."""

    def __init__(
        self, reader: CellReader, connection: sa.Connection, organization_number: int
    ) -> None:
        self._reader = reader
        self._connection = connection
        self._organization_number = organization_number
        self._quarters: _CustomerQuarters | None = None

    def count(
        self,
        from_us: int | None,
        end_us: int,
        *,
        customers: Sequence[int] | None,
        series: Sequence[int] | None,
    ) -> int:
        """The number of events of one period, which begins with the first event where `from_us` is
        None; for everything else see `counts`."""
        if from_us is not None and (customers is None or series is not None):
            return self.counts([from_us, end_us], customers=customers, series=series)[0]
        # Sums of months and years tell what lies before a bound, so that not every quarter of an
        # hour of a long period is read.
        count = self.counts_and_before([end_us], customers=customers, series=series).before
        if from_us is not None:
            before = self.counts_and_before([from_us], customers=customers, series=series)
            count -= before.before
        return count

    def counts(
        self,
        bounds_us: Sequence[int],
        *,
        customers: Sequence[int] | None = None,
        series: Iterable[int] | None = None,
    ) -> Sequence[int]:
        """The number of events of each period: from one bound up to, not including, the next.

        Bounds ascend and begin quarters of an hour. Only events of `customers`, in ascending
        order, and of `series` count, or those of all where they are None. Raises ValueError if
        a cell is damaged.
        """
        groups = None if series is None else [(one, 0) for one in series]
        return self.counts_of_groups(bounds_us, customers=customers, groups=groups, count=1)[0]

    def counts_and_before(
        self,
        bounds_us: Sequence[int],
        *,
        customers: Sequence[int] | None,
        series: Sequence[int] | None,
    ) -> EventCounts:
        """The number of events of each period, and of those before the first bound; for
        everything else see `counts`."""
        cover = Cover(bounds_us)
        if customers is None:
            needed = _needed_of_everyone(cover, with_history=True)
        else:
            needed = _history_of_customers(cover, by_series=series is not None)
        stored = self._cells(needed, customers)
        groups = None if series is None else [(one, 0) for one in series]
        tally = _tally(cover, stored, _series_groups(stored, groups), 1, customers)
        before, *periods = tally.events
        return EventCounts(before, periods)

    def counts_of_groups(
        self,
        bounds_us: Sequence[int],
        *,
        customers: Sequence[int] | None = None,
        groups: Iterable[tuple[int, int]] | None,
        count: int,
    ) -> list[Sequence[int]]:
        """The number of events of each period, for each of `count` groups of series.

        `groups` are pairs (series, group); series without a group do not count. For everything
        else see `counts`.
        """
        cover = Cover(bounds_us)
        if customers is None:
            stored = self._cells(_needed_of_everyone(cover, with_history=False), None)
        else:
            stored = self._quarters_of(customers, cover)
        tally = _tally(cover, stored, _series_groups(stored, groups), count, customers)
        events = tally.events
        # The first slot of each group is the time before all periods.
        return [
            events[group * tally.slots + 1 : (group + 1) * tally.slots] for group in range(count)
        ]

    def _quarters_of(self, customers: Sequence[int], cover: Cover) -> StoredCells:
        """Cells that hold the periods of a cover: those that were read last, if they do."""
        first, last = cover.months
        held = self._quarters
        if (
            held is None
            or held.customers != customers
            or not held.first_month <= first <= last <= held.last_month
        ):
            stored = self._cells([Needed(Kind.CUSTOMER_QUARTERS, first, last)], customers)
            held = self._quarters = _CustomerQuarters(customers, first, last, stored)
        return held.stored

    def _cells(self, needed: Iterable[Needed], customers: Sequence[int] | None) -> StoredCells:
        return self._reader.cells(
            self._connection, self._organization_number, tuple(needed), customers=customers
        )


class _CustomerQuarters(NamedTuple):
    """The cells of some customers in some months."""

    customers: Sequence[int]
    first_month: int
    last_month: int
    stored: StoredCells


def _series_groups(stored: StoredCells, groups: Iterable[tuple[int, int]] | None) -> "array[int]":
    if groups is None:
        return array("i", [0]) * stored.series_count
    series_groups = array("i", [-1]) * stored.series_count
    for one, group in groups:
        series_groups[one] = group
    return series_groups


def _tally(
    cover: Cover,
    stored: StoredCells,
    series_groups: "array[int]",
    groups: int,
    customers: Sequence[int] | None,
) -> Tally:
    return tally_cells(
        cover,
        Sources(segments=stored.segments, batches=stored.batches),
        series_groups=series_groups,
        groups=groups,
        customer_groups=None if customers is None else [(one, -1) for one in customers],
        customers_wanted=False,
    )


def _needed_of_everyone(cover: Cover, *, with_history: bool) -> Iterator[Needed]:
    first, last = cover.months
    if with_history:
        yield Needed(Kind.YEARS, 0, 0)
        first = cover.history_month
    yield Needed(Kind.DAYS, first, last)
    for first_day, last_day in ranges(cover.cut_days):
        yield Needed(Kind.QUARTERS, first_day, last_day)


def _history_of_customers(cover: Cover, *, by_series: bool) -> Iterator[Needed]:
    first, last = cover.months
    yield Needed(Kind.CUSTOMER_YEARS, 0, 0)
    if by_series:
        # Sums of months are over all series.
        yield Needed(Kind.CUSTOMER_QUARTERS, cover.history_month, last)
        return
    year = 1970 + cover.history_month // 12
    yield Needed(Kind.CUSTOMER_MONTHS, year, year)
    yield Needed(Kind.CUSTOMER_QUARTERS, first, last)
