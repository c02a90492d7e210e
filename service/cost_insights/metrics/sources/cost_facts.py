"""The facts of events: what they cost and how many customers caused them.

Cells hold numbers of customers and series; here these become what a caller calls
them by. Adding up is native's.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import add
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native.cells import Sources, Tally, rank_cells, tally_cells, tally_tokens
from cost_insights._native.ledger import Ledger
from cost_insights.metrics.periods import Periods
from cost_insights.metrics.question import GroupBy, MetricsQuestion
from cost_insights.metrics.ranking import Key, Ranks
from cost_insights.metrics.sources.cells import PeriodCells
from cost_insights.metrics.sources.facts import FactSource, Sums
from cost_insights.metrics.sources.snapshot import LEFT_OUT, Snapshot
from cost_insights.store.schema import series

_BY_SERIES = -1
_ALL = 2**31 - 1

_COLUMNS: Mapping[GroupBy, sa.Column[str]] = {
    GroupBy.EVENT_NAME: series.c.event_name,
    GroupBy.LLM_VENDOR: series.c.llm_vendor,
    GroupBy.LLM_MODEL: series.c.llm_model,
    GroupBy.PRODUCT: series.c.product_id,
}


class _Sums(NamedTuple):
    """The sums of cells, by group and slot."""

    tally: Tally
    tokens: Mapping[str, Sequence[int]]
    """The facts of tokens; empty unless they are needed."""


class CostFacts:
    """The facts of the events that a question is about, from one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        question: MetricsQuestion,
        periods: Periods,
        *,
        sources: frozenset[FactSource],
        customers: Sequence[int] | None,
        products: frozenset[str] | None,
    ) -> None:
        """`sources` are those that are needed of events; of `customers`, ascending, and
        of `products`, or of all where they are None."""
        self._snapshot = snapshot
        self._deadline = snapshot.deadline
        self._question = question
        self._periods = periods
        self._needs_history = FactSource.COST_HISTORY in sources
        self._needs_customers = FactSource.ACTIVE_CUSTOMERS in sources
        self._needs_events = FactSource.EVENT_COUNTS in sources
        self._needs_tokens = FactSource.TOKENS in sources
        self._customers = customers
        self._products = products
        self._read: dict[bool, Sources] = {}

    def whole(self) -> Sums:
        """The totals."""
        self._sources(by_series=self._chooses_series)  # tells how many series there are
        return next(self._sums(self._tally(self._series, groups=1)))

    def of_values(self, shown: Sequence[Key]) -> tuple[Sums, Iterator[Sums]]:
        """The totals, then one entry per listed value and a last one for all other values."""
        groups = self._series_of(shown, others=len(shown))
        tally = self._tally(groups, groups=len(shown) + 1, by_series=True)
        return self._sums_of_all(tally), self._sums(tally)

    def of_customers(self, shown: Sequence[Key]) -> tuple[Sums, Iterator[Sums]]:
        """The totals, then one entry per listed customer and a last one for all other customers.

        Everyone's cells say what the rest is, as each event has one customer.
        """
        numbers = [int(number) for number in shown]
        whole = self.whole()
        self._deadline.check()
        sums = self._sums(
            self._added_up(
                self._cells,
                self._cells.of_customers(sorted(numbers), by_series=self._chooses_series),
                series_groups=self._series,
                groups=len(shown),
                customer_groups=[(number, group) for group, number in enumerate(numbers)],
                customers_wanted=self._needs_customers,
            )
        )
        return whole, _with_others(whole, sums)

    def first_values(self, count: int) -> tuple[int, dict[Key, int]]:
        """The number of values with an event in the span, and the costs in picocents of the `count`
        most expensive values, with those that cost as much as the last of them."""
        values, value_of_series = self._values
        members, first = rank_cells(
            self._cells.cover,
            self._sources(by_series=True),
            series_groups=value_of_series,
            groups=len(values),
            customers=self._customers,
            by_customer=False,
            count=count,
        )
        return members, {values[place]: cost for place, cost in first}

    def first_customers(self, count: int) -> tuple[int, dict[Key, int]]:
        """The number of customers with an event in the span, and the costs of the first `count` of
        them, by customer number."""
        members, first = rank_cells(
            self._cells.cover,
            self._cells.of_customers_without_history(self._customers),
            series_groups=self._series,
            groups=1,
            customers=self._customers,
            by_customer=True,
            count=count,
        )
        return members, dict(first)

    @cached_property
    def members(self) -> Mapping[Key, int]:
        """The costs in picocents of each value, or of each customer, with an event in the span."""
        if self._question.group_by is GroupBy.CUSTOMER:
            return self.first_customers(_ALL)[1]
        return self.first_values(_ALL)[1]

    def ranks(self, keys: Sequence[Key]) -> Ranks:
        """The facts by which these values or customers are ranked."""
        costs = [self.members.get(key, 0) for key in keys]
        needs = (self._needs_history, self._needs_customers, self._needs_events, self._needs_tokens)
        if not any(needs):
            return Ranks(keys, {"costs": costs}, {}, {})
        tally, tokens = self._tally_of_last_period(keys)
        history, _, last = (tally.costs[slot :: tally.slots] for slot in range(tally.slots))
        columns: dict[str, Sequence[int]] = {"costs": costs}
        last_columns: dict[str, Sequence[int]] = {"costs": last}
        distinct = {}
        if self._needs_events:
            _, earlier, latest = (tally.events[slot :: tally.slots] for slot in range(tally.slots))
            columns["events"] = list(map(add, earlier, latest))
            last_columns["events"] = latest
        for name, numbers in tokens.items():
            before_last, of_last = (numbers[slot :: tally.slots] for slot in (1, 2))
            columns[name] = list(map(add, before_last, of_last))
            last_columns[name] = of_last
        if self._needs_history:
            last_columns["cumulative_costs"] = list(map(add, history, costs))
        if self._needs_customers:
            last_columns["customers_by_event"] = tally.customers[2 :: tally.slots]
            distinct["customers_by_event"] = tally.customers_of_groups
        return Ranks(keys, columns, last_columns, distinct)

    def _tally_of_last_period(self, keys: Sequence[Key]) -> _Sums:
        """A group of each key, of two periods: all but the last one, and that."""
        first, *_, last, end = (self._periods.bounds_us[0], *self._periods.bounds_us[-2:])
        cells = self._reader(Periods(bounds_us=(first, last, end), whole_bounds_us=(), starts=()))
        self._deadline.check()
        customer_groups: list[tuple[int, int]] | None
        if self._question.group_by is GroupBy.CUSTOMER:
            numbers = [int(key) for key in keys]
            sources = cells.of_customers(sorted(numbers), by_series=self._chooses_series)
            customer_groups = [(number, group) for group, number in enumerate(numbers)]
            series_groups = self._series
        else:
            sources = self._sources_from(cells, by_series=True)
            customer_groups = self._in_their_series
            series_groups = self._series_of(keys, others=LEFT_OUT)
        return self._added_up(
            cells,
            sources,
            series_groups=series_groups,
            groups=len(keys),
            customer_groups=customer_groups,
            customers_wanted=self._needs_customers,
        )

    def _series_of(self, keys: Sequence[Key], *, others: int) -> "array[int]":
        """The place of the value of each series among the keys, or what stands for the others."""
        places = {key: place for place, key in enumerate(keys)}
        values, value_of_series = self._values
        group_of_value = [places.get(value, others) for value in values]
        return array(
            "i",
            [one if one == LEFT_OUT else group_of_value[one] for one in value_of_series],
        )

    def unattributed(self, known_products: frozenset[str] | None) -> tuple[int, int]:
        """The costs of the span that no product can be told of, and all costs: in picocents,
        whatever the product. With `known_products` only these can be told."""

        def group(product: str) -> int:
            known = product != "" and (known_products is None or product in known_products)
            return 0 if known else 1

        groups = self._empty_series()
        for number, product, _ in self._snapshot.series(self._question):
            groups[number] = group(product)
        tally, _ = self._tally(groups, groups=2, by_series=True, customers_wanted=False)
        attributed, others = (
            sum(tally.costs[start + 1 : start + tally.slots]) for start in (0, tally.slots)
        )
        return others, attributed + others

    # Reading

    @cached_property
    def _cells(self) -> PeriodCells:
        return self._reader(self._periods)

    def _reader(self, periods: Periods) -> PeriodCells:
        return PeriodCells(
            self._snapshot,
            periods,
            needs_history=self._needs_history,
            needs_customers=self._needs_customers,
            needs_tokens=self._needs_tokens,
        )

    def _sources(self, *, by_series: bool) -> Sources:
        """The cells of the question's customers, read once."""
        if by_series not in self._read:
            self._read[by_series] = self._sources_from(self._cells, by_series=by_series)
        return self._read[by_series]

    def _sources_from(self, cells: PeriodCells, *, by_series: bool) -> Sources:
        if self._customers is None:
            return cells.of_everyone(by_series=by_series)
        return cells.of_customers(self._customers, by_series=by_series)

    @property
    def _chooses_series(self) -> bool:
        return self._question.filter.chooses_series or self._products is not None

    @cached_property
    def _series(self) -> "array[int]":
        """A single group with the series of the question."""
        return self._snapshot.chosen_series(
            self._question, self._products, count=self._cells.series_count
        )

    @cached_property
    def _values(self) -> tuple[Sequence[str], "array[int]"]:
        """The distinct values that events are grouped by, and the place therein of each series."""
        place_of_series = self._empty_series()
        places: dict[str, int] = {}
        column = _COLUMNS[self._question.group_by or GroupBy.EVENT_NAME]
        for number, product, value in self._snapshot.series(self._question, column):
            if self._products is None or product in self._products:
                place_of_series[number] = places.setdefault(value, len(places))
        return list(places), place_of_series

    def _empty_series(self) -> "array[int]":
        return array("i", [LEFT_OUT]) * self._cells.series_count

    @cached_property
    def _in_their_series(self) -> list[tuple[int, int]] | None:
        if self._customers is None:
            return None
        return [(number, _BY_SERIES) for number in self._customers]

    # Adding up

    def _tally(
        self,
        series_groups: "array[int]",
        *,
        groups: int,
        by_series: bool | None = None,
        customers_wanted: bool | None = None,
    ) -> _Sums:
        by_series = self._chooses_series if by_series is None else by_series
        sources = self._sources(by_series=by_series)
        self._deadline.check()
        return self._added_up(
            self._cells,
            sources,
            series_groups=series_groups,
            groups=groups,
            customer_groups=self._in_their_series,
            customers_wanted=(
                self._needs_customers if customers_wanted is None else customers_wanted
            ),
        )

    def _added_up(
        self,
        cells: PeriodCells,
        sources: Sources,
        *,
        series_groups: "array[int]",
        groups: int,
        customer_groups: list[tuple[int, int]] | None,
        customers_wanted: bool,
    ) -> _Sums:
        tally = tally_cells(
            cells.cover,
            sources,
            series_groups=series_groups,
            groups=groups,
            customer_groups=customer_groups,
            customers_wanted=customers_wanted,
        )
        if not self._needs_tokens:
            return _Sums(tally, {})
        read, cached, written, rest = tally_tokens(
            cells.cover,
            sources,
            series_groups=series_groups,
            groups=groups,
            customer_groups=customer_groups,
        )
        tokens = {
            "input_tokens": read,
            "cached_input_tokens": cached,
            "output_tokens": written,
            "total_tokens": list(map(sum, zip(read, written, rest, strict=True))),
        }
        return _Sums(tally, tokens)

    def _sums(self, sums: _Sums) -> Iterator[Sums]:
        """The sums of each group, made as they are taken: there may be very many."""
        tally, tokens = sums
        slots, costs, customers = tally.slots, tally.costs, tally.customers
        events = tally.events if self._needs_events else ()
        distinct = tally.customers_of_groups
        for start in range(0, len(costs), slots):
            yield self._sums_of(
                costs[start : start + slots],
                events[start + 1 : start + slots],
                customers[start + 1 : start + slots],
                {name: numbers[start + 1 : start + slots] for name, numbers in tokens.items()},
                distinct[start // slots] if self._needs_customers else 0,
            )

    def _sums_of_all(self, sums: _Sums) -> Sums:
        """The sum of all groups."""
        tally, tokens = sums
        slots, costs = tally.slots, tally.costs
        events = tally.events if self._needs_events else ()
        return self._sums_of(
            [sum(costs[slot::slots]) for slot in range(slots)],
            [sum(events[slot::slots]) for slot in range(1, slots)],
            tally.customers_of_slots[1:],
            {
                name: [sum(numbers[slot::slots]) for slot in range(1, slots)]
                for name, numbers in tokens.items()
            },
            tally.customers_in_all if self._needs_customers else 0,
        )

    def _sums_of(
        self,
        costs: Sequence[int],
        events: Sequence[int],
        customers: Sequence[int],
        tokens: Mapping[str, Sequence[int]],
        distinct: int,
    ) -> Sums:
        """Facts made of the costs before the span and of each period, and of the numbers of events,
        customers and tokens of each period."""
        history, *of_periods = costs
        columns: dict[str, Sequence[int]] = {"costs": of_periods, **tokens}
        if self._needs_events:
            columns["events"] = events
        if self._needs_customers:
            columns["customers_by_event"] = customers
        return Sums.of(
            columns,
            distinct={"customers_by_event": distinct} if self._needs_customers else {},
            history={"costs": history} if self._needs_history else {},
        )


def _with_others(whole: Sums, parts: Iterable[Sums]) -> Iterator[Sums]:
    """The parts of a whole, and then what is left of it."""
    others = whole
    for one in parts:
        others = others - one
        yield one
    yield others


def products_of_events(
    question: MetricsQuestion, ledger: Callable[[], Ledger]
) -> frozenset[str] | None:
    """The products that the events of a question are of; None where all are meant. The
    ledger is read where it takes one."""
    if question.billing_types is None:
        return question.products
    billed = frozenset(ledger().billed_products(sorted(question.billing_types)))
    return billed if question.products is None else billed & question.products
