"""The right answers about revenue.

They are computed, like those about costs, from the arrays that the requests were written from, in
integers; where something is rounded, in fractions.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from cost_insights.v1.metrics_service_pb2 import GetMetricsResponse, MetricsPeriod, MetricsTotals
from tests.benchmarks.metrics.data_set import CUSTOMERS, Columns, customer_name, written
from tests.benchmarks.metrics.questions import Question, divide_half_even, exact_sum
from tests.benchmarks.metrics.revenue_data_set import (
    CURRENCIES,
    CYCLES,
    DAY_US,
    E12,
    NEVER,
    NONE,
    PRODUCTS,
    Orders,
    RevenueDataSet,
    Subscriptions,
    Table,
    in_usd,
)
from tests.benchmarks.results import check_equal
from tests.reference import costs as reference


@dataclass(frozen=True)
class Entries(Table):
    """The amounts that were added to net revenue, with their times and owners."""

    times_us: Any
    customers: Any
    """NONE where it is nobody's, like the products."""

    products: Any
    picocents: Any


Numbers = tuple[int, ...]
"""Revenue, net revenue, cumulative revenue, orders, active subscriptions and monthly
recurring revenue; amounts in picocents."""


@dataclass(frozen=True)
class Facts:
    """The revenue that a question is about."""

    periods: Sequence[Numbers]
    totals: Numbers


def facts_of(data_set: RevenueDataSet, question: Question) -> Facts:
    """The right answer."""
    bounds = question.bounds_us()
    orders = data_set.orders.take(_asked(data_set.orders, question))
    entries = _entries(data_set)
    entries = entries.take(_asked(entries, question))
    revenue, history = _sums(orders.created_us, orders.net_usd_picocents, bounds)
    net_revenue, _ = _sums(entries.times_us, entries.picocents, bounds)
    counts, _ = _sums(_order_us(orders), np.ones(len(orders), np.int64), bounds)
    active = list(_active(data_set, question))
    columns = (
        revenue,
        net_revenue,
        list(accumulate(revenue, initial=history))[1:],
        counts,
        [len(one) for one in active],
        [
            _monthly(data_set, one, whole)
            for one, whole in zip(active, pairwise(question.whole_bounds_us()), strict=True)
        ],
    )
    last = [column[-1] for column in columns]
    totals = [sum(revenue), sum(net_revenue), last[2], sum(counts), *last[4:]]
    return Facts(list(zip(*columns, strict=True)), tuple(totals))


def check_revenue(question: Question, facts: Facts, answer: GetMetricsResponse) -> None:
    """Raises UnequalError unless the answer is the right one, to the last digit."""
    for period, expected in zip(answer.periods, facts.periods, strict=True):
        check_equal(f"{question.what}, {period.timestamp}", _numbers_in(period), expected)
    check_equal(f"{question.what}, revenue in all", _numbers_in(answer.totals), facts.totals)


def _numbers_in(one: MetricsPeriod | MetricsTotals) -> Numbers:
    return (
        reference.picocents(Decimal(one.revenue)),
        reference.picocents(Decimal(one.net_revenue)),
        reference.picocents(Decimal(one.cumulative_revenue)),
        one.orders,
        one.active_subscriptions,
        reference.picocents(Decimal(one.monthly_recurring_revenue)),
    )


def best_customers(
    data_set: RevenueDataSet, columns: Columns, question: Question, count: int
) -> list[tuple[str, str]]:
    """The customers with the greatest gross margin, and what it is; then that of all others."""
    bounds = question.bounds_us()
    orders, subscriptions = data_set.orders, data_set.subscriptions
    events = columns.take(columns.times_us < bounds[-1])
    orders = orders.take(orders.created_us < bounds[-1])
    spent = _sums_by_customer(events.customers, events.costs_picocents)
    margins = _sums_by_customer(orders.customers, orders.net_usd_picocents) - spent
    is_member = np.zeros(CUSTOMERS, bool)
    is_member[events.customers[events.times_us >= bounds[0]]] = True
    for times_us in (orders.created_us, _order_us(orders)):
        is_member[orders.customers[(times_us >= bounds[0]) & (times_us < bounds[-1])]] = True
    in_span = (subscriptions.started_us < bounds[-1]) & (subscriptions.end_us >= bounds[0])
    is_member[subscriptions.customers[in_span]] = True
    (members,) = np.nonzero(is_member)
    first = members[np.argsort(-margins[members], kind="stable")[:count]]
    top = [(customer_name(int(customer)), margins[customer]) for customer in first]
    others = sum(margins) - sum(margin for _, margin in top)
    return [(name, written(margin)) for name, margin in (*top, ("", others))]


def _sums_by_customer(customers: Any, picocents: Any) -> Any:
    """The sum, added up in halves and then as integers of any size."""
    halves = [np.zeros(CUSTOMERS, np.int64) for _ in range(2)]
    for half, amounts in zip(halves, (picocents >> 32, picocents & 0xFFFFFFFF), strict=True):
        np.add.at(half, customers, amounts)
    high, low = (half.astype(object) for half in halves)
    return (high << 32) + low


@functools.cache
def _entries(data_set: RevenueDataSet) -> Entries:
    """The sums of orders and of refunds, which count when their orders do."""
    orders, refunds = data_set.orders, data_set.refunds
    unknown = refunds.orders == NONE
    return Entries(
        np.concatenate(
            [
                orders.created_us,
                np.where(unknown, refunds.created_us, orders.created_us[refunds.orders]),
            ]
        ),
        np.concatenate(
            [orders.customers, np.where(unknown, NONE, orders.customers[refunds.orders])]
        ),
        np.concatenate([orders.products, np.where(unknown, NONE, orders.products[refunds.orders])]),
        np.concatenate([orders.net_usd_picocents - orders.fees_picocents, refunds.net_picocents]),
    )


def _asked(table: Orders | Subscriptions | Entries, question: Question) -> Any:
    """The places of the records that a question is about."""
    chosen = np.ones(len(table.customers), bool)
    if question.customer is not None:
        chosen &= table.customers == question.customer
    if question.product is not None:
        chosen &= table.products == PRODUCTS.index(question.product)
    return chosen


def _places(times_us: Any, bounds: Sequence[int]) -> Any:
    """The period of each time; -1 before the first one."""
    return np.searchsorted(bounds, times_us, side="right") - 1


def _sums(times_us: Any, picocents: Any, bounds: Sequence[int]) -> tuple[list[int], int]:
    """The sum of each period, and that of the time before the first."""
    places = _places(times_us, bounds)
    history, *sums = (exact_sum(picocents[places == place]) for place in range(-1, len(bounds) - 1))
    return sums, history


def _order_us(orders: Orders) -> Any:
    """The time at which an order counts."""
    return np.minimum(orders.paid_us, orders.created_us)


def _active(data_set: RevenueDataSet, question: Question) -> Iterator[Subscriptions]:
    """The subscriptions that are active at the end of each period."""
    first, *_, end = question.bounds_us()
    asked = data_set.subscriptions.take(_asked(data_set.subscriptions, question))
    end_us = asked.end_us
    for whole_end in question.whole_bounds_us()[1:]:
        yield asked.take(
            (asked.started_us < min(whole_end, end)) & (end_us >= max(whole_end, first))
        )


def _monthly(data_set: RevenueDataSet, active: Subscriptions, whole: tuple[int, int]) -> int:
    """The monthly revenue of the subscriptions, without those in trial at the end of the period."""
    paid = active.take((active.trial_end_us == NEVER) | (active.trial_end_us < whole[1]))
    rates_e12 = [_rate_e12(data_set, currency, whole) for currency in range(len(CURRENCIES))]
    # Few prices are paid by many.
    prices, counts = np.unique(
        np.stack([paid.amounts_picocents, paid.currencies, paid.cycles]), axis=1, return_counts=True
    )
    return sum(
        count * round(in_usd(amount, rates_e12[currency]) / CYCLES[cycle].months)
        for (amount, currency, cycle), count in zip(prices.T.tolist(), counts.tolist(), strict=True)
    )


def _rate_e12(data_set: RevenueDataSet, currency: int, whole: tuple[int, int]) -> int:
    """The value of a unit, by the orders of a period, or of the nearest day that has any."""
    times_us, rates_e12 = _rates_of(data_set, currency)
    inside = slice(*np.searchsorted(times_us, whole).tolist())
    if inside.start == inside.stop and len(times_us):
        first, last = whole[0] // DAY_US, (whole[1] - 1) // DAY_US
        days = np.unique(times_us // DAY_US)
        # Of two that are equally near the earlier is found first.
        day = int(days[np.argmin(np.maximum(first - days, days - last))])
        inside = slice(*np.searchsorted(times_us, (day * DAY_US, (day + 1) * DAY_US)).tolist())
    rates = rates_e12[inside]
    return divide_half_even(int(rates.sum()), len(rates)) if len(rates) else E12


@functools.cache
def _rates_of(data_set: RevenueDataSet, currency: int) -> tuple[Any, Any]:
    """The times and rates of the orders in a currency, the earliest first."""
    orders = data_set.orders.take(data_set.orders.currencies == currency)
    times_us = _order_us(orders)
    order = np.argsort(times_us)
    return times_us[order], orders.rates_e12[order]
