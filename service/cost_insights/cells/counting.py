"""Counting stored events by their cells, without reading them."""

from array import array
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from cost_insights._native.cells import Cover, Sources, Tally, tally_cells
from cost_insights.cells.kinds import Kind, Needed, ranges
from cost_insights.cells.reading import CellReader, StoredCells


class EventCounter:
    """Counts the events of one organization in one transaction."""

    def __init__(
        self, reader: CellReader, connection: sa.Connection, organization_number: int
    ) -> None:
        self._reader = reader
        self._connection = connection
        self._organization_number = organization_number

    def count(
        self,
        from_us: int,
        end_us: int,
        *,
        customers: Sequence[int] | None,
        series: Sequence[int] | None,
    ) -> int:
        """The number of events of one period; for everything else see `counts`."""
        if customers is None or series is not None:
            return self.counts([from_us, end_us], customers=customers, series=series)[0]
        # Sums of months and years tell what lies before a bound, so that not every quarter of an
        # hour of a long period is read.
        return self._count_before(end_us, customers) - self._count_before(from_us, customers)

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
        needed = (
            _needed_of_everyone(cover)
            if customers is None
            else [Needed(Kind.CUSTOMER_QUARTERS, *cover.months)]
        )
        stored = self._cells(needed, customers)
        if groups is None:
            series_groups = array("i", [0]) * stored.series_count
        else:
            series_groups = array("i", [-1]) * stored.series_count
            for one, group in groups:
                series_groups[one] = group
        tally = _tally(cover, stored, series_groups, count, customers)
        events = tally.events
        # The first slot of each group is the time before all periods.
        return [
            events[group * tally.slots + 1 : (group + 1) * tally.slots] for group in range(count)
        ]

    def _count_before(self, end_us: int, customers: Sequence[int]) -> int:
        cover = Cover([end_us])
        year = 1970 + cover.history_month // 12
        needed = (
            Needed(Kind.CUSTOMER_YEARS, 0, 0),
            Needed(Kind.CUSTOMER_MONTHS, year, year),
            Needed(Kind.CUSTOMER_QUARTERS, *cover.months),
        )
        stored = self._cells(needed, customers)
        tally = _tally(cover, stored, array("i", [0]) * stored.series_count, 1, customers)
        return tally.events[0]

    def _cells(self, needed: Iterable[Needed], customers: Sequence[int] | None) -> StoredCells:
        return self._reader.cells(
            self._connection, self._organization_number, tuple(needed), customers=customers
        )


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


def _needed_of_everyone(cover: Cover) -> Iterator[Needed]:
    yield Needed(Kind.DAYS, *cover.months)
    for first_day, last_day in ranges(cover.cut_days):
        yield Needed(Kind.QUARTERS, first_day, last_day)
