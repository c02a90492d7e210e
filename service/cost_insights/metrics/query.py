"""Answering a question: from events in the database to metrics per period and group."""

import asyncio
import uuid
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from cost_insights.identity import Organization
from cost_insights.metrics.answer import (
    MetricsAnswer,
    MetricsGroup,
    Sums,
    group_of,
    numbers_of,
    others_of,
)
from cost_insights.metrics.periods import Periods, periods_of
from cost_insights.metrics.question import GroupBy, MetricsQuestion
from cost_insights.store import Deadline, Store
from cost_insights.store.schema import customer, event, series

_FETCHED_ROWS = 20_000


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
            tallies = _tallies(connection, organization, asked, periods, deadline)
        whole = _merged(tallies.values(), periods)
        in_periods, totals = numbers_of(whole.sums(), asked.metrics)
        return MetricsAnswer(
            starts=periods.starts,
            periods=in_periods,
            totals=totals,
            metrics=asked.metrics,
            groups=[] if asked.group_by is None else _groups(tallies, asked, periods),
        )


class _Value(NamedTuple):
    """What events are grouped by."""

    text: str
    customer_id: uuid.UUID | None


class _Tally:
    """Adds up events."""

    def __init__(self, periods_count: int) -> None:
        self.history = 0
        self.costs = [0] * periods_count
        self.customers: list[set[int]] = [set() for _ in range(periods_count)]

    def add(self, other: "_Tally") -> None:
        self.history += other.history
        for place, cost in enumerate(other.costs):
            self.costs[place] += cost
            self.customers[place] |= other.customers[place]

    def sums(self) -> Sums:
        return Sums(
            history=self.history,
            costs=self.costs,
            customers=[len(each) for each in self.customers],
            customers_distinct=len(set[int]().union(*self.customers)),
        )


def _merged(tallies: Iterable[_Tally], periods: Periods) -> _Tally:
    merged = _Tally(len(periods.starts))
    for tally in tallies:
        merged.add(tally)
    return merged


def _groups(
    tallies: Mapping[_Value, _Tally], asked: MetricsQuestion, periods: Periods
) -> list[MetricsGroup]:
    ranked = sorted(
        (value for value, tally in tallies.items() if any(tally.customers)),
        key=lambda value: (-sum(tallies[value].costs), value.text),
    )
    shown = ranked[: asked.groups_max]
    groups = [
        group_of(
            tallies[value].sums(), asked.metrics, value=value.text, customer_id=value.customer_id
        )
        for value in shown
    ]
    hidden = _merged((tallies[value] for value in tallies.keys() - set(shown)), periods)
    others = others_of(hidden.sums(), asked.metrics, members=len(ranked) - len(shown))
    return groups if others is None else [*groups, others]


def _tallies(
    connection: sa.Connection,
    organization: Organization,
    asked: MetricsQuestion,
    periods: Periods,
    deadline: Deadline,
) -> Mapping[_Value, _Tally]:
    conditions = asked.filter.conditions(connection, organization.number)
    values = _values(connection, organization, asked.group_by)
    number = (
        event.c.customer_number if asked.group_by is GroupBy.CUSTOMER else event.c.series_number
    )
    tallies: defaultdict[_Value, _Tally] = defaultdict(lambda: _Tally(len(periods.starts)))
    if asked.needs_history:
        for key, history in _history(connection, number, conditions, periods.bounds_us[0]):
            tallies[values[key]].history += history
    rows = connection.execute(
        sa.select(
            number,
            event.c.timestamp_us,
            sa.func.coalesce(event.c.cost_picocents, 0),
            event.c.customer_number,
        ).where(
            *conditions,
            event.c.timestamp_us >= periods.bounds_us[0],
            event.c.timestamp_us < periods.bounds_us[-1],
        ),
        execution_options={"yield_per": _FETCHED_ROWS},
    )
    for part in rows.partitions():
        deadline.check()
        for key, timestamp_us, cost, customer_number in part:
            tally = tallies[values[key]]
            place = bisect_right(periods.bounds_us, timestamp_us) - 1
            tally.costs[place] += cost
            tally.customers[place].add(customer_number)
    return tallies


def _history(
    connection: sa.Connection,
    number: sa.ColumnElement[int],
    conditions: Sequence[sa.ColumnElement[bool]],
    before_us: int,
) -> list[tuple[int, int]]:
    # A sum of 64-bit integers overflows on SQLite, so high and low halves are summed apart.
    rows = connection.execute(
        sa.select(
            number,
            sa.func.sum(event.c.cost_picocents.op(">>")(sa.literal(32, sa.Integer))),
            sa.func.sum(event.c.cost_picocents.op("&")(0xFFFFFFFF)),
        )
        .where(*conditions, event.c.timestamp_us < before_us)
        .group_by(number)
    )
    return [(key, (int(high or 0) << 32) + int(low or 0)) for key, high, low in rows]


def _values(
    connection: sa.Connection, organization: Organization, group_by: GroupBy | None
) -> Mapping[int, _Value]:
    """The value of each number that events have: the customer's or else the series'."""
    table = customer if group_by is GroupBy.CUSTOMER else series
    rows = connection.execute(
        sa.select(table.c.number, *_COLUMNS[group_by]).where(
            table.c.organization_number == organization.number
        )
    )
    return {number: _Value(text, customer_id) for number, text, customer_id in rows}


_COLUMNS: Mapping[GroupBy | None, Sequence[sa.ColumnElement[Any]]] = {
    None: (sa.literal(""), sa.null()),
    GroupBy.EVENT_NAME: (series.c.event_name, sa.null()),
    GroupBy.LLM_VENDOR: (series.c.llm_vendor, sa.null()),
    GroupBy.LLM_MODEL: (series.c.llm_model, sa.null()),
    GroupBy.CUSTOMER: (customer.c.external_id, customer.c.id),
}
