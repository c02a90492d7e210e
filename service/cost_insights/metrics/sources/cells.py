"""The cells that answer a question, read from one snapshot of the database."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import sqlalchemy as sa

from cost_insights._native.cells import Sources
from cost_insights.cells import CustomerRange, Kind, Needed, StoredCells, customer_ranges
from cost_insights.cells.kinds import QUARTER_US, ranges
from cost_insights.metrics.periods import Periods
from cost_insights.metrics.sources.snapshot import Snapshot
from cost_insights.store.schema import event, organization


class PeriodCells:
    """The cells of one organization that add up to some periods and to what lies before."""

    def __init__(
        self,
        snapshot: Snapshot,
        periods: Periods,
        *,
        needs_history: bool,
        needs_customers: bool,
        needs_tokens: bool = False,
    ) -> None:
        self._snapshot = snapshot
        self._needs_history = needs_history
        self._needs_customers = needs_customers
        self._needs_tokens = needs_tokens
        self._stored: StoredCells | None = None
        self.cover = periods.cover

    def of_everyone(self, *, by_series: bool) -> Sources:
        """Cells that are not told apart by customer; `by_series` where a question tells
        the customers of one series from those of another."""
        return self._sources(self._needed_of_everyone(by_series=by_series))

    def of_customers(self, customers: Sequence[int] | None, *, by_series: bool) -> Sources:
        """Each customer's own cells, of customers in ascending order or of all."""
        return self._sources(self._needed_of_customers(by_series=by_series), customers)

    def of_customers_without_history(self, customers: Sequence[int] | None) -> Sources:
        """Each customer's own cells of the periods, without those before the span."""
        return self._sources(iter([self._customer_quarters()]), customers)

    def customer_ranges(self, *, bytes_max: int) -> list[CustomerRange]:
        """Every customer, in ranges whose cells of the periods take about so many bytes."""
        return customer_ranges(
            self._snapshot.connection,
            self._snapshot.organization_number,
            self._customer_quarters(),
            bytes_max=bytes_max,
        )

    def of_customer_range(self, customers: CustomerRange) -> Sources:
        """The cells of the periods that are each customer's own, of one of these ranges. Of
        others there may be some too."""
        contents = self._snapshot.segment_contents(customers.segment_ids)
        segments = [(int(Kind.CUSTOMER_QUARTERS), cached) for cached in contents]
        batches = self._any_stored().batches
        return Sources(segments=segments, batches=batches, events=self._loose_events)

    @property
    def series_count(self) -> int:
        """The number of series of the organization."""
        return self._any_stored().series_count

    def _sources(self, needed: Iterator[Needed], customers: Sequence[int] | None = None) -> Sources:
        if self._stored is None:
            stored = self._stored = self._snapshot.cells(needed, customers)
            segments = stored.segments
        else:
            stored = self._stored
            segments = self._snapshot.segments(needed, customers)
        return Sources(segments=segments, batches=stored.batches, events=self._loose_events)

    def _any_stored(self) -> StoredCells:
        """The cells that are in no segment: read with the first segments, or alone."""
        if self._stored is None:
            self._stored = self._snapshot.cells(())
        return self._stored

    @cached_property
    def _loose_events(self) -> Sequence[tuple[int, int, int, int, str | None]]:
        """The events of quarters of an hour that a bound cuts in two.

        Only in a zone that once changed its clocks beside the quarters there are any.
        """
        cut = self.cover.cut_quarters
        if not cut:
            return ()
        within = [
            (event.c.timestamp_us >= quarter * QUARTER_US)
            & (event.c.timestamp_us < (quarter + 1) * QUARTER_US)
            for quarter in cut
        ]
        rows = self._snapshot.connection.execute(
            sa.select(
                event.c.timestamp_us,
                sa.func.coalesce(event.c.cost_picocents, 0),
                event.c.customer_number,
                # Those beyond the limit count as they do in cells.
                sa.case(
                    (event.c.series_number < 0, organization.c.other_series),
                    else_=event.c.series_number,
                ),
                sa.cast(event.c.llm, sa.Text) if self._needs_tokens else sa.null(),
            )
            .join(organization, organization.c.number == event.c.organization_number)
            .where(
                event.c.organization_number == self._snapshot.organization_number,
                sa.or_(*within),
            )
        )
        return [
            (timestamp, cost, customer, series, llm)
            for timestamp, cost, customer, series, llm in rows
        ]

    def _needed_of_everyone(self, *, by_series: bool) -> Iterator[Needed]:
        first, last = self.cover.months
        history = self.cover.history_month if self._needs_history else first
        yield Needed(Kind.DAYS, history, last)
        if self._needs_history:
            yield Needed(Kind.YEARS, 0, 0)
        if self._needs_customers:
            yield Needed(Kind.DAY_CUSTOMERS if by_series else Kind.DAY_EVERYONE, first, last)
        # Customers of an hour are few beside those of its quarters and series.
        by_quarter = by_series or self.cover.cuts_hours
        customers = Kind.QUARTER_CUSTOMERS if by_quarter else Kind.HOUR_EVERYONE
        if self._needs_tokens:
            yield Needed(Kind.TOKEN_DAYS, first, last)
        for first_day, last_day in ranges(self.cover.cut_days):
            yield Needed(Kind.QUARTERS, first_day, last_day)
            if self._needs_customers:
                yield Needed(customers, first_day, last_day)
            if self._needs_tokens:
                yield Needed(Kind.TOKEN_QUARTERS, first_day, last_day)

    def _needed_of_customers(self, *, by_series: bool) -> Iterator[Needed]:
        if self._needs_tokens:
            yield Needed(Kind.CUSTOMER_TOKEN_QUARTERS, *self.cover.months)
        if not self._needs_history:
            yield self._customer_quarters()
            return
        yield Needed(Kind.CUSTOMER_YEARS, 0, 0)
        if by_series:
            _, last = self.cover.months
            yield Needed(Kind.CUSTOMER_QUARTERS, self.cover.history_month, last)
        else:
            year = 1970 + self.cover.history_month // 12
            yield Needed(Kind.CUSTOMER_MONTHS, year, year)
            yield self._customer_quarters()

    def _customer_quarters(self) -> Needed:
        return Needed(Kind.CUSTOMER_QUARTERS, *self.cover.months)
