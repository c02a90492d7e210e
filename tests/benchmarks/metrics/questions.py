"""Questions about a data set, and their right answers.

The right answers are computed from the arrays that the requests were written from, in integers, for
the periods that the slow twin of the service finds.
"""

import datetime
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from cost_insights.v1.metrics_service_pb2 import (
    GetMetricsRequest,
    GetMetricsResponse,
    Interval,
    MetricsPeriod,
    MetricsTotals,
)
from tests.benchmarks.metrics.data_set import CUSTOMERS, Columns, customer_name, written
from tests.benchmarks.results import check_equal
from tests.reference import costs as reference

COST_METRICS = ("costs", "cumulative_costs", "active_user_by_event", "cost_per_user")
"""The metrics that are computed from events alone, by slug."""

ALL_METRICS: Sequence[str] = ()
"""The list of metrics in a request for all of them."""


@dataclass(frozen=True)
class Question:
    """Metrics per interval of the days from `start` to `end`, both included."""

    what: str
    start: datetime.date
    end: datetime.date
    interval: str
    zone: str = "UTC"
    customer: int | None = None
    """Only what is this one's, by its rank."""

    product: str | None = None
    """Only what is of this one."""

    metrics: Sequence[str] = COST_METRICS

    def request(self, **fields: Any) -> GetMetricsRequest:
        """The request to the service, with these fields added."""
        return GetMetricsRequest(
            start_date=str(self.start),
            end_date=str(self.end),
            timezone=self.zone,
            interval=Interval.Value(f"INTERVAL_{self.interval.upper()}"),
            external_customer_ids=[] if self.customer is None else [customer_name(self.customer)],
            product_ids=[] if self.product is None else [self.product],
            metrics=self.metrics,
            **fields,
        )

    @functools.cache  # noqa: B019 (there are few; peers are timed and must not wait for it)
    def periods(self) -> Sequence[reference.Period]:
        """The periods that it is about."""
        return reference.periods_of(self.start, self.end, ZoneInfo(self.zone), self.interval)

    @functools.cache  # noqa: B019 (likewise)
    def bounds_us(self) -> Sequence[int]:
        """The start of each period, and the end of the last one."""
        return [_us(bound) for bound in reference.bounds_of(self.periods())]

    @functools.cache  # noqa: B019 (likewise)
    def whole_bounds_us(self) -> Sequence[int]:
        """The bounds of the periods if the span did not cut the first and the last."""
        later = reference.periods_of(
            self.start, self.end + _LONGEST, ZoneInfo(self.zone), self.interval
        )
        starts = [period.start for period in later[: len(self.periods()) + 1]]
        return [_us(start) for start in starts]

    def within(self, zone: str) -> "Question":
        """The question in another time zone."""
        return replace(self, what=f"{self.what}, {zone}", zone=zone)


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LONGEST = datetime.timedelta(days=31)
"""The length of the longest period that is asked for."""


def _us(time: datetime.datetime) -> int:
    return (time - _EPOCH) // datetime.timedelta(microseconds=1)


def questions(end_us: int) -> Sequence[Sequence[Question]]:
    """All questions about the time before that moment; of those together the worst one counts."""
    today = (_EPOCH + datetime.timedelta(microseconds=end_us)).date()
    month = Question("30 days by day", today - datetime.timedelta(days=29), today, "day")
    week = Question("7 days by hour", today - datetime.timedelta(days=6), today, "hour")
    # The same month of the year before lies only partly within the data.
    first_month = today.replace(day=1) + datetime.timedelta(days=31)
    first_month = first_month.replace(year=first_month.year - 1, day=1)
    year = Question("12 months by month", first_month, today, "month")
    one = "one customer, 30 days by day"
    return (
        (month,),
        (week,),
        (year,),
        (
            replace(month, what=f"{one} (the biggest)", customer=0),
            replace(month, what=f"{one} (a middling one)", customer=CUSTOMERS // 2),
        ),
    )


@dataclass(frozen=True)
class Facts:
    """The sums of the events that a question is about."""

    costs_picocents: Sequence[int]
    """The cost of each period."""

    customers: Sequence[int]
    """The number of distinct customers in each period."""

    customers_distinct: int
    history_picocents: int
    """The costs before the first period."""


def facts_of(columns: Columns, question: Question) -> Facts:
    """The right answer."""
    if question.product is not None:
        # No event names one.
        columns = columns.take(slice(0))
    if question.customer is not None:
        columns = columns.take(columns.customers == question.customer)
    bounds = np.searchsorted(columns.times_us, question.bounds_us())
    spans = [slice(*pair) for pair in pairwise(bounds)]
    return Facts(
        [exact_sum(columns.costs_picocents[span]) for span in spans],
        [_distinct(columns.customers[span]) for span in spans],
        _distinct(columns.customers[bounds[0] : bounds[-1]]),
        exact_sum(columns.costs_picocents[: bounds[0]]),
    )


def top_customers(columns: Columns, question: Question, count: int) -> list[tuple[str, str]]:
    """The customers that cost most, with their costs, then what the others cost, under no name."""
    bounds = question.bounds_us()
    span = slice(*np.searchsorted(columns.times_us, (bounds[0], bounds[-1])))
    costs = np.zeros(CUSTOMERS, np.int64)
    np.add.at(costs, columns.customers[span], columns.costs_picocents[span])
    first = np.argsort(-costs, kind="stable")[:count]
    top = [(customer_name(customer), int(costs[customer])) for customer in first]
    others = exact_sum(columns.costs_picocents[span]) - sum(cost for _, cost in top)
    return [(name, written(cost)) for name, cost in (*top, ("", others))]


def divide_half_even(dividend: int, divisor: int) -> int:
    """0 where there is nothing to divide by."""
    return round(Fraction(dividend, divisor)) if divisor else 0


def exact_sum(amounts: Any) -> int:
    """The sum, added up in halves because it may take more than 63 bits."""
    return (int((amounts >> 32).sum()) << 32) + int((amounts & 0xFFFFFFFF).sum())


def _distinct(numbers: Any) -> int:
    return int(np.count_nonzero(np.bincount(numbers)))


def check_answer(question: Question, facts: Facts, answer: GetMetricsResponse) -> None:
    """Raises UnequalError unless the answer is the right one, to the last digit."""
    cumulative = facts.history_picocents
    expected = []
    for period, cost, customers in zip(
        question.periods(), facts.costs_picocents, facts.customers, strict=True
    ):
        cumulative += cost
        expected.append((period.timestamp, _numbers(cost, cumulative, customers)))
    found = [(period.timestamp, _numbers_in(period)) for period in answer.periods]
    check_equal(f"{question.what}, periods", found, expected)
    check_equal(
        f"{question.what}, totals",
        _numbers_in(answer.totals),
        _numbers(sum(facts.costs_picocents), cumulative, facts.customers_distinct),
    )


_Numbers = tuple[str, str, int, str]
"""Costs, cumulative costs, active customers and cost of each, as answers write them."""


def _numbers(cost: int, cumulative: int, customers: int) -> _Numbers:
    return (
        written(cost),
        written(cumulative),
        customers,
        written(divide_half_even(cost, customers)),
    )


def _numbers_in(one: MetricsPeriod | MetricsTotals) -> _Numbers:
    return one.costs, one.cumulative_costs, one.active_user_by_event, one.cost_per_user
