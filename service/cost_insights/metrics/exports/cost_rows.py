"""Costs in full detail: by local day, customer and series, read in parts that fit into memory.

A part is what some customers caused in a month. Months follow each other, in a month
the customers in the order of their numbers, and of each customer the days.
"""

import datetime
import zoneinfo
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights._native.cells import list_cells
from cost_insights._native.ledger import Ledger
from cost_insights.cells import CustomerRange
from cost_insights.metrics.periods import Interval, Periods, day_start, periods_of
from cost_insights.metrics.question import MetricsQuestion
from cost_insights.metrics.sources.cells import PeriodCells
from cost_insights.metrics.sources.cost_facts import products_of_events
from cost_insights.metrics.sources.ledger_cache import LedgerCache
from cost_insights.metrics.sources.snapshot import Customer, Snapshot
from cost_insights.store import chunks
from cost_insights.store.schema import series

_PART_BYTES_MAX = 512 * 1024
"""The size of the packed segments of a part: some 60 000 cells, 20 MB of rows at most."""

_SERIES_KNOWN_MAX = 50_000
"""The number of series that are cached from one part to the next."""

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Month:
    """A calendar month of a time zone, and the requested days in it."""

    start_us: int
    """The start of the month, which may lie before the requested days."""

    end_us: int
    days: Periods
    """The requested days."""


@dataclass(frozen=True)
class Series:
    """The series of the costs; absent texts are empty."""

    event_name: str
    llm_vendor: str
    llm_model: str
    product_id: str
    is_of_llm: bool
    """Whether any event with this name, in any series, is an LLM call."""


@dataclass(frozen=True)
class CostRow:
    """The sums of the events of one day, customer and series."""

    month: Month
    day: int
    """The index of the day among the days of the month."""

    customer: Customer
    series: Series
    events: int
    cost_picocents: int


class CostRowReader:
    """The details of one question, from one snapshot of the database."""

    def __init__(self, snapshot: Snapshot, question: MetricsQuestion, ledgers: LedgerCache) -> None:
        self._snapshot = snapshot
        self._question = question
        self._ledgers = ledgers
        self._customers = snapshot.customer_numbers(question.filter)
        self._series: dict[int, Series] = {}

    def parts(self) -> Iterator[list[CostRow]]:
        """The details, part by part; each part may take as long as an answer."""
        chosen: array[int] | None = None
        products = products_of_events(self._question, self._ledger)
        for month in months_of(self._question.start, self._question.end, self._question.zone):
            self._snapshot.deadline.renew()
            cells = PeriodCells(
                self._snapshot, month.days, needs_history=False, needs_customers=False
            )
            if chosen is None:
                chosen = self._snapshot.chosen_series(
                    self._question, products, count=cells.series_count
                )
            for customers in cells.customer_ranges(bytes_max=_PART_BYTES_MAX):
                self._snapshot.deadline.renew()
                yield self._part(month, cells, customers, chosen)

    def _part(
        self, month: Month, cells: PeriodCells, customers: CustomerRange, chosen: "array[int]"
    ) -> list[CostRow]:
        listed = list_cells(
            cells.cover,
            cells.of_customer_range(customers),
            series_groups=chosen,
            customers=self._customers,
            customer_first=customers.first,
            customer_last=customers.last,
        )
        self._snapshot.deadline.check()
        called = self._snapshot.customers(sorted({one[0] for one in listed}))
        series_called = self._series_called({one[2] for one in listed})
        return [
            CostRow(month, slot - 1, called[of], series_called[number], events, cost)
            for of, slot, number, events, cost in listed
        ]

    def _ledger(self) -> Ledger:
        return self._ledgers.current(self._snapshot)

    def _series_called(self, numbers: set[int]) -> dict[int, Series]:
        if len(self._series) > _SERIES_KNOWN_MAX:
            self._series.clear()
        for chunk in chunks(sorted(numbers - self._series.keys())):
            rows = self._snapshot.connection.execute(
                sa.select(
                    series.c.number,
                    series.c.event_name,
                    series.c.llm_vendor,
                    series.c.llm_model,
                    series.c.product_id,
                ).where(
                    series.c.organization_number == self._snapshot.organization_number,
                    series.c.number.in_(chunk),
                )
            ).all()
            of_llm = self._names_of_llm({row.event_name for row in rows})
            self._series.update(
                (number, Series(name, vendor, model, product, name in of_llm))
                for number, name, vendor, model, product in rows
            )
        return self._series

    def _names_of_llm(self, names: set[str]) -> set[str]:
        """The event names that have a series with an LLM call."""
        found = self._snapshot.connection.scalars(
            sa.select(series.c.event_name)
            .distinct()
            .where(
                series.c.organization_number == self._snapshot.organization_number,
                series.c.event_name.in_(names),
                (series.c.llm_vendor != "") | (series.c.llm_model != ""),
            )
        )
        return set(found)


def months_of(start: datetime.date, end: datetime.date, zone: zoneinfo.ZoneInfo) -> Iterator[Month]:
    """The calendar months of the days from `start` to `end`, both included."""
    first = start.replace(day=1)
    while first <= end:
        following = (first.replace(day=28) + 4 * _DAY).replace(day=1)
        days = periods_of(max(first, start), min(following - _DAY, end), zone, Interval.DAY)
        yield Month(
            start_us=day_start(first, zone) * 1_000_000,
            end_us=day_start(following, zone) * 1_000_000,
            days=days,
        )
        first = following
