"""Answering a question: from cells to metrics per period and group.

Cells hold numbers of customers and series; here these become what a caller calls
them by. Adding up is native's.
"""

import asyncio
import uuid
from array import array
from collections.abc import Mapping, Sequence
from operator import sub
from typing import NamedTuple

import sqlalchemy as sa

from cost_insights._native import Sources, Tally, rank_cells, tally_cells
from cost_insights.identity import Organization
from cost_insights.metrics.answer import (
    MetricsAnswer,
    MetricsGroup,
    Sums,
    group_of,
    numbers_of,
    others_of,
)
from cost_insights.metrics.cells import CellReader
from cost_insights.metrics.periods import periods_of
from cost_insights.metrics.question import GroupBy, MetricsQuestion
from cost_insights.store import Deadline, Store, chunks
from cost_insights.store.schema import customer, organization, series

_LEFT_OUT = -1
_BY_SERIES = -1


class MetricsReader:
    """Answers questions from one snapshot of the database each."""

    def __init__(self, store: Store, *, query_seconds_max: float) -> None:
        self._store = store
        self._query_seconds_max = query_seconds_max

    async def answer(self, organization: Organization, asked: MetricsQuestion) -> MetricsAnswer:
        """The metrics of the periods asked for; contains all that is committed.

        Raises QueryTooSlowError where it takes too long. The work in the database
        ends with the task that waits for it.
        """
        deadline = Deadline(self._query_seconds_max)
        try:
            return await asyncio.to_thread(self._answer, organization, asked, deadline)
        except asyncio.CancelledError:
            deadline.cancel()
            raise

    def _answer(
        self, organization: Organization, asked: MetricsQuestion, deadline: Deadline
    ) -> MetricsAnswer:
        periods = periods_of(asked.start, asked.end, asked.zone, asked.interval)
        with self._store.read(deadline) as connection:
            cells = CellReader(
                connection,
                organization.number,
                periods,
                self._store.packed_cache,
                needs_history=asked.needs_history,
                needs_customers=asked.needs_customers,
            )
            query = _Query(connection, organization.number, asked, cells, deadline)
            whole, groups = query.whole_and_groups()
        in_periods, totals = numbers_of(whole, asked.metrics)
        return MetricsAnswer(
            starts=periods.starts,
            periods=in_periods,
            totals=totals,
            metrics=asked.metrics,
            groups=groups,
        )


class _Value(NamedTuple):
    """What events are grouped by."""

    text: str
    customer_id: uuid.UUID | None


class _Query:
    """One question to one snapshot."""

    def __init__(
        self,
        connection: sa.Connection,
        organization_number: int,
        asked: MetricsQuestion,
        cells: CellReader,
        deadline: Deadline,
    ) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._asked = asked
        self._cells = cells
        self._deadline = deadline
        self._customers = asked.filter.customer_numbers(connection, organization_number)

    def whole_and_groups(self) -> tuple[Sums, Sequence[MetricsGroup]]:
        """What everything adds up to, and each group."""
        match self._asked.group_by:
            case None:
                return self._whole(self._chosen_series()), ()
            case GroupBy.CUSTOMER:
                return self._by_customer()
            case _:
                return self._by_series()

    def _sources(self, *, by_series: bool) -> Sources:
        """The cells of those whom the question is about."""
        if self._customers is None:
            return self._cells.of_everyone(by_series=by_series)
        return self._cells.of_customers(self._customers, by_series=by_series)

    def _whole(self, series_groups: "array[int]") -> Sums:
        sources = self._sources(by_series=self._asked.filter.chooses_series)
        self._deadline.check()
        tally = tally_cells(
            self._cells.cover,
            sources,
            series_groups=series_groups,
            groups=1,
            customer_groups=self._in_their_series(),
            customers_wanted=self._asked.needs_customers,
        )
        return self._sums(tally)[0]

    def _by_series(self) -> tuple[Sums, Sequence[MetricsGroup]]:
        """Groups by a part of the series: ranked first, then added up with the rest as one."""
        values, value_of_series = self._values_of_series()
        sources = self._sources(by_series=True)
        self._deadline.check()
        members, first = rank_cells(
            self._cells.cover,
            sources,
            series_groups=value_of_series,
            groups=len(values),
            customers=self._customers,
            by_customer=False,
            count=self._asked.groups_max,
        )
        shown = self._shown(first, {place: _Value(v, None) for place, v in enumerate(values)})
        group_of_value = {value: group for group, value in enumerate(shown)}
        self._deadline.check()
        tally = tally_cells(
            self._cells.cover,
            sources,
            series_groups=array(
                "i",
                [
                    value if value == _LEFT_OUT else group_of_value.get(value, len(shown))
                    for value in value_of_series
                ],
            ),
            groups=len(shown) + 1,
            customer_groups=self._in_their_series(),
            customers_wanted=self._asked.needs_customers,
        )
        *sums, others = self._sums(tally)
        groups = self._groups(list(shown.values()), sums, others, members)
        return self._sums_of_all(tally), groups

    def _by_customer(self) -> tuple[Sums, Sequence[MetricsGroup]]:
        """Groups by customer: everyone's cells say what the rest is, as each event has
        one customer."""
        series_groups = self._chosen_series()
        whole = self._whole(series_groups)
        members, first = rank_cells(
            self._cells.cover,
            self._cells.of_customers_without_history(self._customers),
            series_groups=series_groups,
            groups=1,
            customers=self._customers,
            by_customer=True,
            count=self._asked.groups_max,
        )
        self._deadline.check()
        shown = self._shown(first, self._customers_called([number for number, _ in first]))
        tally = tally_cells(
            self._cells.cover,
            self._cells.of_customers(sorted(shown), by_series=self._asked.filter.chooses_series),
            series_groups=series_groups,
            groups=len(shown),
            customer_groups=[(number, group) for group, number in enumerate(shown)],
            customers_wanted=self._asked.needs_customers,
        )
        sums = self._sums(tally)
        others = whole
        for one in sums:
            others = _difference(others, one)
        return whole, self._groups(list(shown.values()), sums, others, members)

    def _shown(
        self, first: Sequence[tuple[int, int]], values: Mapping[int, _Value]
    ) -> dict[int, _Value]:
        """The values that get a group, of those of greatest cost, in order."""
        ranked = sorted(first, key=lambda one: (-one[1], values[one[0]].text))
        return {number: values[number] for number, _ in ranked[: self._asked.groups_max]}

    def _groups(
        self, shown: Sequence[_Value], sums: Sequence[Sums], others: Sums, members: int
    ) -> list[MetricsGroup]:
        metrics = self._asked.metrics
        groups = [
            group_of(one, metrics, value=value.text, customer_id=value.customer_id)
            for value, one in zip(shown, sums, strict=True)
        ]
        rest = others_of(others, metrics, members=members - len(shown))
        return groups if rest is None else [*groups, rest]

    def _sums(self, tally: Tally) -> list[Sums]:
        """What each group adds up to."""
        slots, costs = tally.slots, tally.costs
        customers = tally.customers or [0] * len(costs)
        distinct = tally.customers_of_groups or [0] * (len(costs) // slots)
        return [
            Sums(
                history=costs[start] if self._asked.needs_history else 0,
                costs=costs[start + 1 : start + slots],
                customers=customers[start + 1 : start + slots],
                customers_distinct=distinct[start // slots],
            )
            for start in range(0, len(costs), slots)
        ]

    def _sums_of_all(self, tally: Tally) -> Sums:
        """What all groups add up to together."""
        groups = self._sums(tally)
        customers = tally.customers_of_slots or [0] * tally.slots
        return Sums(
            history=sum(one.history for one in groups),
            costs=[sum(costs) for costs in zip(*(one.costs for one in groups), strict=True)],
            customers=customers[1:],
            customers_distinct=tally.customers_in_all,
        )

    def _in_their_series(self) -> list[tuple[int, int]] | None:
        if self._customers is None:
            return None
        return [(number, _BY_SERIES) for number in self._customers]

    def _chosen_series(self) -> "array[int]":
        """One group, of the series that the filter lets through."""
        count = self._connection.scalar(
            sa.select(organization.c.series_count).where(
                organization.c.number == self._organization_number
            )
        )
        if not self._asked.filter.chooses_series:
            return array("i", [0]) * (count or 0)
        chosen = array("i", [_LEFT_OUT]) * (count or 0)
        for number in self._connection.scalars(
            sa.select(series.c.number).where(
                series.c.organization_number == self._organization_number,
                *self._asked.filter.series_conditions(),
            )
        ):
            chosen[number] = 0
        return chosen

    def _values_of_series(self) -> tuple[Sequence[str], "array[int]"]:
        """The distinct values that events are grouped by, and the place therein of each series."""
        column = {
            GroupBy.EVENT_NAME: series.c.event_name,
            GroupBy.LLM_VENDOR: series.c.llm_vendor,
            GroupBy.LLM_MODEL: series.c.llm_model,
        }[self._asked.group_by or GroupBy.EVENT_NAME]
        place_of_series = self._chosen_series()
        places: dict[str, int] = {}
        for number, value in self._connection.execute(
            sa.select(series.c.number, column).where(
                series.c.organization_number == self._organization_number
            )
        ):
            if place_of_series[number] != _LEFT_OUT:
                place_of_series[number] = places.setdefault(value, len(places))
        return list(places), place_of_series

    def _customers_called(self, numbers: Sequence[int]) -> dict[int, _Value]:
        called: dict[int, _Value] = {}
        for chunk in chunks(numbers):
            rows = self._connection.execute(
                sa.select(customer.c.number, customer.c.external_id, customer.c.id).where(
                    customer.c.organization_number == self._organization_number,
                    customer.c.number.in_(chunk),
                )
            )
            called.update((number, _Value(text, one)) for number, text, one in rows)
        return called


def _difference(whole: Sums, part: Sums) -> Sums:
    """What is left of a whole; the customers of the part are none of the rest's."""
    return Sums(
        history=whole.history - part.history,
        costs=list(map(sub, whole.costs, part.costs)),
        customers=list(map(sub, whole.customers, part.customers)),
        customers_distinct=whole.customers_distinct - part.customers_distinct,
    )
