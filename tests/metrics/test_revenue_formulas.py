"""Every metric against numbers worked out by hand: of the slow twin, and of the service."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.reference import costs as reference
from tests.reference.costs import DAY, HOUR, MONTH, WEEK, YEAR
from tests.reference.metrics import METRICS, Filters, Group, Metrics, Unattributed
from tests.reference.revenue import (
    DISPUTE,
    DISPUTE_REVERSAL,
    ONE_TIME,
    RECURRING,
    REFUND_REVERSAL,
    Facts,
    Order,
    Refund,
    Subscription,
)
from tests.support.facts import (
    Question,
    numbers_of,
    record,
    record_orders,
    record_subscriptions,
    sent,
    sent_order,
    sent_subscription,
)
from tests.support.service import Caller

_numbers = itertools.count(1)


# Facts and questions in few words


def at(text: str) -> datetime:
    """A time in UTC, midnight where none is said."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(when: str, cents: str | None, customer: str = "c1", **fields: Any) -> reference.Event:
    """An event with a cost."""
    return reference.Event(
        at(when),
        customer,
        fields.pop("name", "a"),
        None if cents is None else Decimal(cents),
        **fields,
    )


def order(when: str, cents: str, customer: str = "c1", **fields: Any) -> Order:
    """A one-time order."""
    fields.setdefault("order_id", f"order {next(_numbers)}")
    return Order(created=at(when), cents=Decimal(cents), customer=customer, **_typed(fields))


def refund(order_id: str, when: str, cents: str, **fields: Any) -> Refund:
    """A refund of an order."""
    return Refund(
        refund_id=f"refund {next(_numbers)}",
        order_id=order_id,
        created=at(when),
        cents=Decimal(cents),
        **_typed(fields),
    )


def subscription(when: str, cents: str, customer: str = "c1", **fields: Any) -> Subscription:
    """A monthly subscription from that time on."""
    fields.setdefault("subscription_id", f"subscription {next(_numbers)}")
    return Subscription(started=at(when), cents=Decimal(cents), customer=customer, **_typed(fields))


TIMES = {"paid", "trial_end", "canceled", "uncanceled", "ends", "ended"}
AMOUNTS = {"exchange_rate", "applied_balance", "fee"}


def _typed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Times and amounts, which are written as text."""
    return {
        name: at(value) if name in TIMES else Decimal(value) if name in AMOUNTS else value
        for name, value in fields.items()
    }


def days(first: str, last: str, interval: str = DAY, **fields: Any) -> Question:
    """A question about a span of days."""
    return Question(
        first=date.fromisoformat(first), last=date.fromisoformat(last), interval=interval, **fields
    )


JANUARY = days("2025-01-01", "2025-01-31", MONTH)
FEBRUARY = days("2025-02-01", "2025-02-28", MONTH)
TWO_MONTHS = days("2025-01-01", "2025-02-28", MONTH)
QUARTER = days("2025-01-01", "2025-03-31", MONTH)


@dataclass(frozen=True)
class Case:
    """Facts, a question, and the answer: for each slug the periods, a bar, and the total."""

    why: str
    facts: Facts
    question: Question
    expected: Mapping[str, str]
    unattributed: Unattributed | None = None

    def check(self, answer: Metrics) -> None:
        """Holds an answer to what is expected of it."""
        for slug, numbers in self.expected.items():
            periods = " ".join(str(period[slug]) for _, period in answer.periods)
            assert f"{slug}: {periods} | {answer.totals[slug]}" == f"{slug}: {numbers}"
        assert answer.unattributed == self.unattributed


NOTHING = [
    Case(
        "no facts, no numbers",
        Facts(),
        TWO_MONTHS,
        dict.fromkeys(METRICS, "0 0 | 0"),
    ),
    Case(
        "what is after the span does not count",
        Facts(
            events=[event("2025-03-01", "5")],
            orders=[order("2025-03-01", "100")],
            subscriptions=[subscription("2025-03-01", "1000")],
        ),
        TWO_MONTHS,
        dict.fromkeys(METRICS, "0 0 | 0"),
    ),
]

COSTS = [
    Case(
        "a correction is a negative cost; what was before the span is in the cumulative costs",
        Facts(
            events=[
                event("2024-12-31", "1.5"),
                event("2025-01-10", "0.25"),
                event("2025-02-10", "-0.05"),
                event("2025-02-11", None),
            ]
        ),
        QUARTER,
        {
            "costs": "0.25 -0.05 0 | 0.2",
            "cumulative_costs": "1.75 1.7 1.7 | 1.7",
            "active_user_by_event": "1 1 0 | 1",
            "cost_per_user": "0.25 -0.05 0 | 0.2",
            "gross_margin": "-1.75 -1.7 -1.7 | -1.7",
            "gross_margin_percentage": "0 0 0 | 0",
            "cashflow": "-0.25 0.05 0 | -0.2",
        },
    ),
    Case(
        "the total divides by the customers of the whole span",
        Facts(
            events=[
                event("2025-01-10", "0.5", "c1"),
                event("2025-01-11", "0.3", "c2"),
                event("2025-02-10", "0.2", "c1"),
            ]
        ),
        TWO_MONTHS,
        {
            "costs": "0.8 0.2 | 1",
            "active_user_by_event": "2 1 | 2",
            "cost_per_user": "0.4 0.2 | 0.5",
        },
    ),
    Case(
        "only who caused an event is active, not who paid",
        Facts(
            events=[event("2025-01-10", "1", "c1")],
            orders=[order("2025-01-10", "100", "c2")],
            subscriptions=[subscription("2025-01-01", "100", "c3")],
        ),
        JANUARY,
        {"active_user_by_event": "1 | 1"},
    ),
]

REVENUE = [
    Case(
        "the margin of all time so far",
        Facts(
            events=[event("2025-01-10", "25"), event("2025-02-10", "15")],
            orders=[order("2025-01-10", "10000"), order("2025-02-10", "10000")],
        ),
        TWO_MONTHS,
        {
            "gross_margin": "9975 19960 | 19960",
            "gross_margin_percentage": "0.9975 0.998 | 0.998",
            "cashflow": "9975 9985 | 19960",
        },
    ),
    Case(
        "margins include what was before the span, cash flow does not",
        Facts(
            events=[event("2024-12-10", "25"), event("2025-01-10", "15")],
            orders=[order("2024-12-10", "10000"), order("2025-01-10", "10000")],
        ),
        JANUARY,
        {
            "gross_margin": "19960 | 19960",
            "gross_margin_percentage": "0.998 | 0.998",
            "cashflow": "9985 | 9985",
        },
    ),
    Case(
        "a margin has no percentage where revenue is not positive",
        Facts(events=[event("2025-01-10", "5")], orders=[order("2025-01-10", "-100")]),
        JANUARY,
        {
            "revenue": "-100 | -100",
            "gross_margin": "-105 | -105",
            "gross_margin_percentage": "0 | 0",
        },
    ),
    Case(
        "a refund in March is booked to the order of January, fees included",
        Facts(
            orders=[
                order("2024-12-15", "50", fee="5"),
                order("2025-01-10", "100", fee="3", order_id="o"),
                order("2025-02-10", "200"),
            ],
            refunds=[refund("o", "2025-03-05", "40", fee="1")],
        ),
        QUARTER,
        {
            "revenue": "100 200 0 | 300",
            "net_revenue": "56 200 0 | 256",
            "cumulative_revenue": "150 350 350 | 350",
            "net_cumulative_revenue": "101 301 301 | 301",
            "orders": "1 1 0 | 2",
            "average_order_value": "100 200 0 | 150",
            "net_average_order_value": "56 200 0 | 128",
        },
    ),
    Case(
        "a refund in the span of an order before it counts before it",
        Facts(
            orders=[order("2024-12-15", "50", order_id="o")],
            refunds=[refund("o", "2025-01-05", "40")],
        ),
        JANUARY,
        {
            "net_revenue": "0 | 0",
            "cumulative_revenue": "50 | 50",
            "net_cumulative_revenue": "10 | 10",
        },
    ),
    Case(
        "a reversal of a refund brings money back, less its fee",
        Facts(
            orders=[order("2025-01-10", "100", order_id="o")],
            refunds=[
                refund("o", "2025-01-11", "40"),
                refund("o", "2025-01-12", "40", kind=REFUND_REVERSAL, fee="2"),
            ],
        ),
        JANUARY,
        {
            "revenue": "100 | 100",
            "net_revenue": "98 | 98",
            "one_time_products_net_revenue": "98 | 98",
        },
    ),
    Case(
        "a dispute lowers net revenue, but not that of orders",
        Facts(
            orders=[order("2025-01-10", "1000", order_id="o")],
            refunds=[refund("o", "2025-02-11", "200", kind=DISPUTE, fee="15")],
        ),
        TWO_MONTHS,
        {
            "revenue": "1000 0 | 1000",
            "net_revenue": "785 0 | 785",
            "net_average_order_value": "1000 0 | 785",
            "one_time_products_net_revenue": "1000 0 | 1000",
        },
    ),
    Case(
        "a dispute that was won gives back the money and, as a negative fee, its fee",
        Facts(
            orders=[order("2025-01-10", "1000", order_id="o")],
            refunds=[
                refund("o", "2025-02-11", "200", kind=DISPUTE, fee="15"),
                refund("o", "2025-02-20", "200", kind=DISPUTE_REVERSAL, fee="-15"),
            ],
        ),
        JANUARY,
        {"net_revenue": "1000 | 1000", "net_average_order_value": "1000 | 1000"},
    ),
    Case(
        "a refund of an order that nobody knows is booked at its own time, and is no order's",
        Facts(
            orders=[order("2025-01-10", "100")],
            refunds=[refund("unknown", "2025-02-11", "40", fee="1")],
        ),
        TWO_MONTHS,
        {
            "revenue": "100 0 | 100",
            "net_revenue": "100 -41 | 59",
            "net_cumulative_revenue": "100 59 | 59",
            "orders": "1 0 | 1",
            "net_average_order_value": "100 0 | 59",
            "one_time_products_net_revenue": "100 0 | 100",
        },
    ),
    Case(
        "a refund of an order that nobody knows has no customer",
        Facts(refunds=[refund("unknown", "2025-01-11", "40")]),
        replace(JANUARY, filters=Filters(customers=["c1"])),
        {"net_revenue": "0 | 0"},
    ),
    Case(
        "what settles a debt is revenue, but not of the order",
        Facts(orders=[order("2025-01-10", "1000", applied_balance="300", fee="10")]),
        JANUARY,
        {
            "revenue": "1000 | 1000",
            "net_revenue": "990 | 990",
            "average_order_value": "700 | 1000",
            "net_average_order_value": "690 | 990",
            "one_time_products_revenue": "700 | 700",
            "one_time_products_net_revenue": "690 | 690",
        },
    ),
    Case(
        "what was paid by credit changes nothing",
        Facts(orders=[order("2025-01-10", "1000", applied_balance="-300")]),
        JANUARY,
        {"average_order_value": "1000 | 1000", "one_time_products_revenue": "1000 | 1000"},
    ),
    Case(
        "an order paid before it was created is an order of then, and revenue of when created",
        Facts(orders=[order("2025-02-01 00:30", "1000", paid="2025-01-31 23:00")]),
        TWO_MONTHS,
        {
            "revenue": "0 1000 | 1000",
            "orders": "1 0 | 1",
            "average_order_value": "1000 0 | 1000",
            "one_time_products_revenue": "1000 0 | 1000",
        },
    ),
    Case(
        "an order paid after it was created counts when created",
        Facts(orders=[order("2025-01-31 23:00", "1000", paid="2025-02-01 00:30")]),
        TWO_MONTHS,
        {"revenue": "1000 0 | 1000", "orders": "1 0 | 1"},
    ),
    Case(
        "an amount is rounded half-even to 12 decimals as it becomes usd",
        Facts(
            orders=[
                order("2025-01-10", "1000", currency="eur", exchange_rate="1.083333333333"),
                order("2025-01-10", "1e-12", currency="eur", exchange_rate="0.5"),
                order("2025-01-10", "3e-12", currency="eur", exchange_rate="0.5"),
            ]
        ),
        JANUARY,
        {"revenue": "1083.333333333002 | 1083.333333333002"},
    ),
    Case(
        "a balance and a refund become usd by themselves",
        Facts(
            orders=[
                order(
                    "2025-01-10",
                    "1000",
                    currency="jpy",
                    exchange_rate="0.5",
                    applied_balance="100",
                    fee="7",
                    order_id="o",
                )
            ],
            refunds=[
                refund("o", "2025-01-12", "80", currency="jpy", exchange_rate="0.25", fee="1")
            ],
        ),
        JANUARY,
        {
            "revenue": "500 | 500",
            "net_revenue": "472 | 472",
            "one_time_products_revenue": "450 | 450",
            "one_time_products_net_revenue": "422 | 422",
        },
    ),
    Case(
        "an average is rounded half-even to 12 decimals",
        Facts(
            orders=[order("2025-01-10", "100"), order("2025-01-10", "0"), order("2025-01-11", "0")]
        ),
        JANUARY,
        {"average_order_value": "33.333333333333 | 33.333333333333"},
    ),
    Case(
        "the average of the span is not that of the periods",
        Facts(
            orders=[
                order("2025-01-10", "300"),
                order("2025-02-10", "100"),
                order("2025-02-11", "50"),
            ]
        ),
        TWO_MONTHS,
        {"average_order_value": "300 75 | 150"},
    ),
]

ORDERS = [
    Case(
        "an order is of a product sold once if it names no subscription, whatever its billing type",
        Facts(
            orders=[
                order("2025-01-10", "100", fee="1"),
                order("2025-02-10", "200", billing_type=RECURRING),
                order("2025-02-10", "400", billing_type=RECURRING, subscription_id="unknown"),
            ]
        ),
        TWO_MONTHS,
        {
            "orders": "1 2 | 3",
            "one_time_products": "1 1 | 2",
            "one_time_products_revenue": "100 200 | 300",
            "one_time_products_net_revenue": "99 200 | 299",
            "new_subscriptions_revenue": "0 0 | 0",
            "renewed_subscriptions": "0 0 | 0",
            "renewed_subscriptions_revenue": "0 0 | 0",
        },
    ),
    Case(
        "a renewal in the period of the start is revenue of a new subscription",
        Facts(
            orders=[
                order("2025-01-05", "300", subscription_id="s", fee="10"),
                order("2025-01-20", "50", subscription_id="s"),
                order("2025-02-05", "300", subscription_id="s", fee="10"),
                order("2025-02-20", "25", subscription_id="s"),
            ],
            subscriptions=[subscription("2025-01-05", "300", subscription_id="s")],
        ),
        QUARTER,
        {
            "orders": "2 2 0 | 4",
            "one_time_products": "0 0 0 | 0",
            "new_subscriptions": "1 0 0 | 1",
            "new_subscriptions_revenue": "350 0 0 | 350",
            "new_subscriptions_net_revenue": "340 0 0 | 340",
            "renewed_subscriptions": "0 1 0 | 1",
            "renewed_subscriptions_revenue": "0 325 0 | 325",
            "renewed_subscriptions_net_revenue": "0 315 0 | 315",
        },
    ),
    Case(
        "the start of the first period is its real one, also before the span",
        Facts(
            orders=[
                order("2025-01-10", "300", subscription_id="s"),
                order("2025-01-20", "70", subscription_id="s"),
            ],
            subscriptions=[subscription("2025-01-05", "300", subscription_id="s")],
        ),
        days("2025-01-15", "2025-02-28", MONTH),
        {
            "revenue": "70 0 | 70",
            "orders": "1 0 | 1",
            "new_subscriptions": "1 0 | 1",
            "new_subscriptions_revenue": "70 0 | 70",
            "renewed_subscriptions": "0 0 | 0",
        },
    ),
    Case(
        "an order before the start of its subscription renews it, unless in the same period",
        Facts(
            orders=[
                order("2025-01-10", "300", subscription_id="s"),
                order("2025-02-10", "70", subscription_id="s"),
            ],
            subscriptions=[subscription("2025-02-20", "300", subscription_id="s")],
        ),
        TWO_MONTHS,
        {
            "new_subscriptions_revenue": "0 70 | 70",
            "renewed_subscriptions": "1 0 | 1",
            "renewed_subscriptions_revenue": "300 0 | 300",
        },
    ),
    Case(
        "each period counts a renewed subscription once",
        Facts(
            orders=[
                order(f"2025-0{month}-{day}", "10", subscription_id=name)
                for month, day, name in [(1, 10, "s"), (1, 20, "s"), (1, 20, "z"), (2, 10, "s")]
            ],
            subscriptions=[
                subscription("2024-12-05", "10", subscription_id=name) for name in ("s", "z")
            ],
        ),
        TWO_MONTHS,
        {
            "renewed_subscriptions": "2 1 | 3",
            "renewed_subscriptions_revenue": "30 10 | 40",
            "renewed_subscriptions_net_revenue": "30 10 | 40",
        },
    ),
]

GAUGES = [
    Case(
        "a subscription counts where it is active at the end of the period",
        Facts(
            subscriptions=[
                subscription("2024-12-01", "1000", "c1"),
                subscription("2025-01-10", "500", "c1", ends="2025-03-10"),
                subscription("2025-02-01", "2000", "c2", trial_end="2025-03-01"),
                subscription("2025-02-02", "100", "c3", trial_end="2025-03-20", ends="2025-03-25"),
            ]
        ),
        QUARTER,
        {
            "new_subscriptions": "1 2 0 | 3",
            "active_subscriptions": "2 4 2 | 2",
            "committed_subscriptions": "1 2 2 | 2",
            "monthly_recurring_revenue": "1500 1500 3000 | 3000",
            "committed_monthly_recurring_revenue": "1000 1000 3000 | 3000",
            "trial_monthly_recurring_revenue": "0 2100 0 | 0",
            "trial_committed_monthly_recurring_revenue": "0 2000 0 | 0",
            "average_revenue_per_user": "1500 500 1500 | 1500",
            "annual_recurring_revenue": "18000 18000 36000 | 36000",
            "committed_annual_recurring_revenue": "12000 12000 36000 | 36000",
            "churned_subscriptions": "0 0 2 | 2",
        },
    ),
    Case(
        "a trial is one until the end of the period",
        Facts(
            subscriptions=[
                subscription("2025-01-10", "100", trial_end="2025-01-31 23:59:59.999999"),
                subscription("2025-01-10", "30", trial_end="2025-02-01"),
            ]
        ),
        JANUARY,
        {
            "monthly_recurring_revenue": "100 | 100",
            "trial_monthly_recurring_revenue": "30 | 30",
            "trial_committed_monthly_recurring_revenue": "30 | 30",
            "average_revenue_per_user": "100 | 100",
        },
    ),
    Case(
        "a subscription that starts and ends in one period is never active, nor new",
        Facts(
            subscriptions=[
                subscription("2025-01-05", "100", ended="2025-01-31 23:59:59.999999"),
                subscription("2025-01-05", "20", ended="2025-02-01"),
            ]
        ),
        QUARTER,
        {
            "new_subscriptions": "1 0 0 | 1",
            "active_subscriptions": "1 0 0 | 0",
            "monthly_recurring_revenue": "20 0 0 | 0",
            "churned_subscriptions": "1 1 0 | 2",
        },
    ),
    Case(
        "the time it ended counts before the time it was to end",
        Facts(
            subscriptions=[
                subscription("2025-01-05", "100", ends="2025-03-05", ended="2025-02-05"),
                subscription("2025-01-05", "20", ends="2025-02-05", ended="2025-03-05"),
            ]
        ),
        QUARTER,
        {"active_subscriptions": "2 1 0 | 0", "churned_subscriptions": "0 1 1 | 2"},
    ),
    Case(
        "what starts after the span is not active, though in the last period",
        Facts(
            subscriptions=[
                subscription("2025-02-10 23:59:59.999999", "100"),
                subscription("2025-02-11", "20"),
            ]
        ),
        days("2025-01-15", "2025-02-10", MONTH),
        {
            "new_subscriptions": "0 1 | 1",
            "active_subscriptions": "0 1 | 1",
            "monthly_recurring_revenue": "0 100 | 100",
        },
    ),
    Case(
        "what ends after the span in its last period is not active in that, and has not churned",
        Facts(subscriptions=[subscription("2025-01-20", "100", ends="2025-02-20")]),
        days("2025-01-15", "2025-02-10", MONTH),
        {
            "active_subscriptions": "1 0 | 0",
            "churned_subscriptions": "0 0 | 0",
        },
    ),
    Case(
        "what ended before the span in its first period has not churned in it",
        Facts(subscriptions=[subscription("2024-12-20", "100", ends="2025-01-14 23:00")]),
        days("2025-01-15", "2025-02-10", MONTH),
        {"active_subscriptions": "0 0 | 0", "churned_subscriptions": "0 0 | 0"},
    ),
    Case(
        "a canceled subscription is active until it ends, but not committed",
        Facts(
            subscriptions=[
                subscription("2024-12-20", "100", canceled="2025-01-10", ends="2025-02-20")
            ]
        ),
        QUARTER,
        {
            "active_subscriptions": "1 0 0 | 0",
            "committed_subscriptions": "0 0 0 | 0",
            "monthly_recurring_revenue": "100 0 0 | 0",
            "committed_monthly_recurring_revenue": "0 0 0 | 0",
            "churned_subscriptions": "0 1 0 | 1",
            "canceled_subscriptions": "1 0 0 | 1",
        },
    ),
    Case(
        "a cancellation taken back leaves everything as it was",
        Facts(
            subscriptions=[
                subscription("2024-12-20", "100", canceled="2025-01-10", uncanceled="2025-01-11")
            ]
        ),
        TWO_MONTHS,
        {
            "active_subscriptions": "1 1 | 1",
            "committed_subscriptions": "1 1 | 1",
            "churned_subscriptions": "0 0 | 0",
            "churn_rate": "0 0 | 0",
            "canceled_subscriptions": "0 0 | 0",
            "canceled_subscriptions_other": "0 0 | 0",
        },
    ),
    Case(
        "a customer with two subscriptions is one user",
        Facts(
            subscriptions=[
                subscription("2025-01-01", "100", "c1"),
                subscription("2025-01-01", "200", "c1"),
                subscription("2025-01-01", "700", "c2"),
            ]
        ),
        JANUARY,
        {"average_revenue_per_user": "500 | 500"},
    ),
]


def normalised(cents: str, interval: str, count: int, monthly: str) -> Case:
    """What one subscription earns in a month."""
    return Case(
        f"{cents} every {count} {interval}s are {monthly} a month",
        Facts(
            subscriptions=[
                subscription("2025-01-01", cents, interval=interval, interval_count=count)
            ]
        ),
        JANUARY,
        {"monthly_recurring_revenue": f"{monthly} | {monthly}"},
    )


MONTHLY = [
    normalised("1000", YEAR, 1, "83.333333333333"),
    normalised("1000", YEAR, 2, "41.666666666667"),
    normalised("1000", MONTH, 1, "1000"),
    normalised("1000", MONTH, 3, "333.333333333333"),
    normalised("1000", WEEK, 1, "4333.333333333333"),
    normalised("1000", WEEK, 2, "2166.666666666667"),
    normalised("1000", DAY, 1, "30416.666666666667"),
    normalised("1000", DAY, 7, "4345.238095238095"),
    normalised("0.000000000006", YEAR, 1, "0"),
    normalised("0.000000000018", YEAR, 1, "0.000000000002"),
    Case(
        "each subscription is rounded, and only once",
        Facts(subscriptions=[subscription("2025-01-01", "1000", interval=YEAR) for _ in range(2)]),
        JANUARY,
        {
            "monthly_recurring_revenue": "166.666666666666 | 166.666666666666",
            "annual_recurring_revenue": "1999.999999999992 | 1999.999999999992",
        },
    ),
]


def eur(when: str, rate: str, **fields: Any) -> Order:
    """An order that tells what an euro was worth."""
    return order(when, "1", currency="eur", exchange_rate=rate, **fields)


def in_eur(why: str, orders: Sequence[Order], question: Question, monthly: str) -> Case:
    """What a subscription of 100 cents of an euro earns."""
    return Case(
        why,
        Facts(orders=orders, subscriptions=[subscription("2024-12-01", "100", currency="eur")]),
        question,
        {"monthly_recurring_revenue": monthly},
    )


CURRENCIES = [
    in_eur(
        "the mean rate of the orders of the period, else of the closest day with one",
        [eur("2025-01-10", "1.1"), eur("2025-01-20", "1.2"), eur("2025-04-03", "1.5")],
        QUARTER,
        "115 120 150 | 150",
    ),
    in_eur(
        "the earlier of two equally close days",
        [eur("2025-01-29", "2"), eur("2025-03-03", "3")],
        FEBRUARY,
        "200 | 200",
    ),
    in_eur(
        "the later day if it is closer",
        [eur("2025-01-28 23:59", "2"), eur("2025-03-03 23:59", "3")],
        FEBRUARY,
        "300 | 300",
    ),
    in_eur(
        "all orders of the closest day",
        [eur("2025-01-28", "50"), eur("2025-01-29", "2"), eur("2025-01-29 23:59", "4")],
        FEBRUARY,
        "300 | 300",
    ),
    in_eur("without any order in the currency a unit is worth one", [], JANUARY, "100 | 100"),
    in_eur(
        "orders of other currencies tell nothing",
        [order("2025-01-10", "1", currency="jpy", exchange_rate="0.5"), order("2025-01-10", "1")],
        JANUARY,
        "100 | 100",
    ),
    in_eur(
        "the mean is rounded half-even to 12 decimals",
        [eur("2025-01-10", "1"), eur("2025-01-11", "1"), eur("2025-01-12", "2")],
        JANUARY,
        "133.3333333333 | 133.3333333333",
    ),
    in_eur(
        "rates are those of the organization, whoever is asked about",
        [eur("2025-01-10", "1.5", customer="c2", product="p2")],
        replace(JANUARY, filters=Filters(customers=["c1"])),
        "150 | 150",
    ),
    in_eur(
        "an order is of the day on which it was paid",
        [eur("2025-02-03", "1.5", paid="2025-01-31"), eur("2025-02-04", "2")],
        TWO_MONTHS,
        "150 200 | 200",
    ),
    in_eur(
        "the period is the whole one, also outside the span",
        [eur("2025-01-10", "1.5"), eur("2025-02-20", "2")],
        days("2025-01-15", "2025-02-10", MONTH),
        "150 200 | 200",
    ),
    in_eur(
        "a day in UTC that the period holds a part of is as close as can be",
        [eur("2025-02-10 03:00", "2"), eur("2025-02-11 06:00", "3")],
        days("2025-02-10", "2025-02-10", zone="America/New_York"),
        "200 | 200",
    ),
    Case(
        "an amount is rounded as it becomes usd, and again as it becomes monthly",
        Facts(
            orders=[eur("2025-01-10", "0.5")],
            subscriptions=[
                subscription("2025-01-01", "3.5e-11", currency="eur", interval=YEAR),
                subscription("2025-01-01", "3.7e-11", currency="eur", interval=YEAR),
            ],
        ),
        JANUARY,
        # 17.5 and 18.5 picocents become 18 twice, and a twelfth of that 1.5, so 2.
        {"monthly_recurring_revenue": "0.000000000004 | 0.000000000004"},
    ),
]

CHURN = [
    Case(
        "canceled in the 30 days before the period, of those active 30 days before",
        Facts(
            subscriptions=[
                subscription("2024-11-01", "100", canceled="2025-01-15", ends="2025-02-10"),
                subscription("2024-11-01", "100", canceled="2025-01-15", uncanceled="2025-01-20"),
                # On the first of January, which is in none of these times.
                subscription("2024-11-01", "100", canceled="2025-01-01", ends="2025-01-29"),
                subscription("2024-11-01", "100", canceled="2025-02-15", ends="2025-03-15"),
            ]
        ),
        QUARTER,
        {
            "churn_rate": "0 0.25 0.333333333333 | 0.333333333333",
            "churned_subscriptions": "1 1 1 | 3",
            "canceled_subscriptions": "2 1 0 | 3",
        },
    ),
    Case(
        "30 days are 30 times 24 hours, whatever the clock does",
        Facts(
            subscriptions=[
                subscription("2025-03-01 22:59:59.999999", "100"),
                # 30 days before the local midnight that starts April, in winter time.
                subscription("2025-03-01 22:00", "100", canceled="2025-03-31"),
                subscription("2025-03-01 22:00:00.000001", "100", canceled="2025-03-31 22:00"),
            ]
        ),
        days("2025-04-01", "2025-04-30", MONTH, zone="Europe/Berlin"),
        {"churn_rate": "1 | 1"},
    ),
    Case(
        "by years: canceled in the year, of those active at its start",
        Facts(
            subscriptions=[
                subscription("2022-05-01", "100", canceled="2023-03-01", ended="2023-03-01"),
                *(subscription("2022-06-01", "100") for _ in range(3)),
                subscription("2023-02-01", "100", canceled="2023-05-01", ends="2023-06-01"),
            ]
        ),
        days("2022-01-01", "2024-12-31", YEAR),
        {"churn_rate": "0 0.5 0 | 0", "canceled_subscriptions": "0 2 0 | 2"},
    ),
    Case(
        "by years the whole year counts, also outside the span",
        Facts(
            subscriptions=[
                subscription("2022-05-01", "100", canceled="2023-02-01"),
                subscription("2022-05-01", "100", canceled="2023-11-01"),
            ]
        ),
        days("2023-03-01", "2023-10-31", YEAR),
        {"churn_rate": "1 | 1", "canceled_subscriptions": "0 | 0"},
    ),
    Case(
        "without anyone active there is no rate",
        Facts(subscriptions=[subscription("2025-01-05", "100", canceled="2025-01-10")]),
        TWO_MONTHS,
        {"churn_rate": "0 0 | 0", "canceled_subscriptions": "1 0 | 1", "ltv": "0 0 | 0"},
    ),
    Case(
        "cancellations by their reasons; no reason is another one",
        Facts(
            subscriptions=[
                subscription("2024-12-01", "100", canceled=when, cancel_reason=reason)
                for when, reason in [
                    ("2025-01-01", "customer_service"),
                    ("2025-01-10", "low_quality"),
                    ("2025-01-20", "missing_features"),
                    ("2025-01-31 23:59:59.999999", "switched_service"),
                    ("2025-02-01", "too_complex"),
                    ("2025-02-10", "too_expensive"),
                    ("2025-02-20", "unused"),
                    ("2025-02-28", "other"),
                    ("2025-03-31 23:59:59.999999", ""),
                    ("2025-04-01", "unused"),
                    ("2024-12-31", "unused"),
                ]
            ]
        ),
        QUARTER,
        {
            "canceled_subscriptions": "4 4 1 | 9",
            "canceled_subscriptions_customer_service": "1 0 0 | 1",
            "canceled_subscriptions_low_quality": "1 0 0 | 1",
            "canceled_subscriptions_missing_features": "1 0 0 | 1",
            "canceled_subscriptions_switched_service": "1 0 0 | 1",
            "canceled_subscriptions_too_complex": "0 1 0 | 1",
            "canceled_subscriptions_too_expensive": "0 1 0 | 1",
            "canceled_subscriptions_unused": "0 1 0 | 1",
            "canceled_subscriptions_other": "0 1 1 | 2",
        },
    ),
    Case(
        "a cancellation counts unless it was taken back later",
        Facts(
            subscriptions=[
                subscription("2024-12-01", "1", canceled="2025-01-10", uncanceled="2025-01-10"),
                subscription("2024-12-01", "1", canceled="2025-01-10", uncanceled="2025-01-09"),
                subscription(
                    "2024-12-01",
                    "1",
                    canceled="2025-01-10",
                    uncanceled="2025-01-10 00:00:00.000001",
                ),
            ]
        ),
        JANUARY,
        {"canceled_subscriptions": "2 | 2", "canceled_subscriptions_other": "2 | 2"},
    ),
]


def one_of(customers: int) -> list[Subscription]:
    """Subscriptions of 1000 a month, of which one is canceled in January."""
    return [
        subscription(
            "2024-12-01",
            "1000",
            f"c{number}",
            **({} if number else {"canceled": "2025-01-15", "ends": "2025-02-10"}),
        )
        for number in range(customers)
    ]


LIFETIME = [
    Case(
        "what a customer earns until it leaves, by the numbers of the same period",
        Facts(events=[event("2025-02-10", "10")], subscriptions=one_of(4)),
        TWO_MONTHS,
        {
            "average_revenue_per_user": "1000 1000 | 1000",
            "cost_per_user": "0 10 | 10",
            "churn_rate": "0 0.25 | 0.25",
            "ltv": "0 3960 | 3960",
        },
    ),
    Case(
        "the total is that of the last period, not of the costs of the span",
        Facts(
            events=[event("2025-01-10", "500"), event("2025-02-10", "10")], subscriptions=one_of(4)
        ),
        TWO_MONTHS,
        {"cost_per_user": "500 10 | 510", "ltv": "0 3960 | 3960"},
    ),
    Case(
        "it divides by the rate as that is shown",
        Facts(subscriptions=one_of(3)),
        FEBRUARY,
        {
            "churn_rate": "0.333333333333 | 0.333333333333",
            "ltv": "3000.000000003 | 3000.000000003",
        },
    ),
    Case(
        "who costs more than he earns is worth nothing",
        Facts(events=[event("2025-02-10", "5000")], subscriptions=one_of(4)),
        FEBRUARY,
        {"ltv": "0 | 0"},
    ),
]

TIMES_OF_DAY = [
    Case(
        "a day of 25 hours holds all of them",
        Facts(
            orders=[
                order("2025-10-25 22:00", "1"),
                order("2025-10-26 22:59:59.999999", "2"),
                order("2025-10-26 23:00", "4"),
            ],
            subscriptions=[
                subscription("2025-10-25 22:00", "8", ended="2025-10-26 22:59:59.999999"),
                subscription("2025-10-25 22:00", "16", ended="2025-10-26 23:00"),
            ],
        ),
        days("2025-10-26", "2025-10-27", DAY, zone="Europe/Berlin"),
        {
            "orders": "2 1 | 3",
            "revenue": "3 4 | 7",
            "new_subscriptions": "1 0 | 1",
            "monthly_recurring_revenue": "16 0 | 0",
            "churned_subscriptions": "1 1 | 2",
        },
    ),
    Case(
        "a day of 23 hours",
        Facts(orders=[order("2025-03-29 23:00", "1"), order("2025-03-30 22:00", "2")]),
        days("2025-03-30", "2025-03-31", DAY, zone="Europe/Berlin"),
        {"revenue": "1 2 | 3"},
    ),
    Case(
        "an hour that comes twice is two periods",
        Facts(orders=[order("2025-10-26 00:30", "1"), order("2025-10-26 01:30", "2")]),
        days("2025-10-26", "2025-10-26", HOUR, zone="Europe/Berlin"),
        {"orders": f"0 0 1 1{' 0' * 21} | 2", "revenue": f"0 0 1 2{' 0' * 21} | 3"},
    ),
    Case(
        "weeks start on Mondays, and the span cuts the first one",
        Facts(
            orders=[
                order("2025-01-07", "1"),
                order("2025-01-12 23:59", "2"),
                order("2025-01-13", "4"),
            ],
            subscriptions=[subscription("2025-01-06", "8")],
        ),
        days("2025-01-08", "2025-01-19", WEEK),
        {
            "revenue": "2 4 | 6",
            "cumulative_revenue": "3 7 | 7",
            "new_subscriptions": "1 0 | 1",
        },
    ),
    Case(
        "a day that the local calendar leaves out has no periods, but what was before it",
        Facts(
            events=[event("2011-12-01", "3")],
            orders=[order("2011-12-01", "10")],
            subscriptions=[subscription("2011-12-01", "8")],
        ),
        days("2011-12-30", "2011-12-30", DAY, zone="Pacific/Apia"),
        {
            "revenue": " | 0",
            "cumulative_costs": " | 3",
            "cumulative_revenue": " | 10",
            "gross_margin": " | 7",
            "gross_margin_percentage": " | 0.7",
            "active_subscriptions": " | 0",
        },
    ),
    Case(
        "of a month of which only a day that the local calendar leaves out is asked for nothing "
        "is counted, and gauges look at the whole month",
        Facts(
            events=[event("2011-12-01", "3"), event("2011-12-30 12:00", "5")],
            orders=[order("2011-12-01", "10"), order("2011-12-30 10:00", "7")],
            subscriptions=[subscription("2011-12-01", "8", ends="2012-02-01")],
        ),
        days("2011-12-30", "2011-12-30", MONTH, zone="Pacific/Apia"),
        {
            "costs": "0 | 0",
            "revenue": "0 | 0",
            "orders": "0 | 0",
            "cumulative_costs": "3 | 3",
            "cumulative_revenue": "10 | 10",
            "active_subscriptions": "1 | 1",
            "monthly_recurring_revenue": "8 | 8",
            "churned_subscriptions": "0 | 0",
        },
    ),
    Case(
        "a year that ends with a day that the local calendar leaves out",
        Facts(
            orders=[order("1994-12-31 09:59", "1"), order("1994-12-31 10:00", "2")],
            subscriptions=[subscription("1994-12-31 09:59", "8")],
        ),
        days("1994-12-31", "1995-12-31", YEAR, zone="Pacific/Kiritimati"),
        {
            "revenue": "0 2 | 2",
            "cumulative_revenue": "1 3 | 3",
            "active_subscriptions": "1 1 | 1",
        },
    ),
]

PRODUCTS = Facts(
    events=[
        event("2025-01-10", "10", product="p1"),
        event("2025-01-10", "20", product="p2"),
        event("2025-01-10", "40", product="p3"),
        event("2025-01-10", "30"),
        event("2024-12-10", "7000"),
    ],
    orders=[
        order("2025-01-10", "100", product="p1"),
        order("2025-01-10", "600", product="p2", billing_type=RECURRING, subscription_id="s"),
        order("2025-01-10", "3000"),
    ],
    subscriptions=[subscription("2025-01-10", "800", product="p2", subscription_id="s")],
)
"""A product sold once, one by subscription, one that only costs, and none at all."""

FILTERS = [
    Case(
        "a product has its own costs; what names none is told apart",
        PRODUCTS,
        replace(JANUARY, filters=Filters(products=["p1"])),
        {
            "costs": "10 | 10",
            "revenue": "100 | 100",
            "gross_margin": "90 | 90",
            "gross_margin_percentage": "0.9 | 0.9",
            "orders": "1 | 1",
            "active_subscriptions": "0 | 0",
        },
        Unattributed("30", "0.3"),
    ),
    Case(
        "several products, one of which nobody knows",
        PRODUCTS,
        replace(JANUARY, filters=Filters(products=["p2", "p3", "unknown"])),
        {"costs": "60 | 60", "revenue": "600 | 600", "new_subscriptions_revenue": "600 | 600"},
        Unattributed("30", "0.3"),
    ),
    Case(
        "the empty product is what has none",
        PRODUCTS,
        replace(JANUARY, filters=Filters(products=[""])),
        {"costs": "30 | 30", "cumulative_costs": "7030 | 7030", "revenue": "3000 | 3000"},
        Unattributed("30", "0.3"),
    ),
    Case(
        "what is sold once",
        PRODUCTS,
        replace(JANUARY, filters=Filters(billing_types=[ONE_TIME])),
        {
            "costs": "10 | 10",
            "revenue": "3100 | 3100",
            "active_subscriptions": "0 | 0",
            "monthly_recurring_revenue": "0 | 0",
        },
        Unattributed("70", "0.7"),
    ),
    Case(
        "what is sold by subscription",
        PRODUCTS,
        replace(JANUARY, filters=Filters(billing_types=[RECURRING])),
        {
            "costs": "20 | 20",
            "revenue": "600 | 600",
            "active_subscriptions": "1 | 1",
            "monthly_recurring_revenue": "800 | 800",
        },
        Unattributed("70", "0.7"),
    ),
    Case(
        "both filters at once; both kinds are what anything is paid by",
        PRODUCTS,
        replace(
            JANUARY, filters=Filters(products=["p1", "p3"], billing_types=[ONE_TIME, RECURRING])
        ),
        {"costs": "10 | 10", "revenue": "100 | 100"},
        Unattributed("70", "0.7"),
    ),
    Case(
        "a subscription without an order makes its product recurring",
        Facts(
            events=[event("2025-01-10", "20", product="p")],
            subscriptions=[subscription("2025-03-10", "800", product="p")],
        ),
        replace(JANUARY, filters=Filters(billing_types=[RECURRING])),
        {"costs": "20 | 20"},
        Unattributed("0", "0"),
    ),
    Case(
        "a billing type that nothing has is not all billing types",
        Facts(
            events=[event("2025-01-10", "10", product="p"), event("2025-01-10", "30")],
            orders=[order("2025-01-10", "100", product="p"), order("2025-01-10", "100")],
            refunds=[refund("unknown", "2025-01-10", "9")],
        ),
        replace(JANUARY, filters=Filters(billing_types=[RECURRING])),
        dict.fromkeys(METRICS, "0 | 0"),
        Unattributed("30", "0.75"),
    ),
    Case(
        "unattributed costs are of the asked customers and events",
        Facts(
            events=[
                event("2025-01-10", "1", "c1", product="p"),
                event("2025-01-10", "2", "c1"),
                event("2025-01-10", "4", "c2"),
                event("2025-01-10", "8", "c1", name="b"),
            ]
        ),
        replace(JANUARY, filters=Filters(products=["p"], customers=["c1"], names=["a"])),
        {"costs": "1 | 1"},
        Unattributed("2", "0.666666666667"),
    ),
    Case(
        "where credits outweigh costs the share is of what is left",
        Facts(events=[event("2025-01-10", "-100"), event("2025-01-10", "20", product="p")]),
        replace(JANUARY, filters=Filters(products=["p"])),
        {"costs": "20 | 20"},
        Unattributed("-100", "1.25"),
    ),
    Case(
        "a customer's share of everything",
        Facts(
            events=[event("2025-01-10", "1", "c1"), event("2025-01-10", "2", "c2")],
            orders=[
                order("2025-01-10", "100", "c1", order_id="o"),
                order("2025-01-10", "200", "c2"),
            ],
            refunds=[refund("o", "2025-01-11", "30")],
            subscriptions=[
                subscription("2025-01-01", "10", "c1", canceled="2025-01-10", ends="2025-01-11"),
                subscription("2025-01-01", "20", "c2"),
            ],
        ),
        replace(JANUARY, filters=Filters(customers=["c1", "nobody"])),
        {
            "costs": "1 | 1",
            "revenue": "100 | 100",
            "net_revenue": "70 | 70",
            "orders": "1 | 1",
            "active_subscriptions": "0 | 0",
            "churned_subscriptions": "1 | 1",
            "canceled_subscriptions": "1 | 1",
            "gross_margin": "99 | 99",
        },
    ),
    Case(
        "names, vendors and models choose among events alone",
        Facts(
            events=[
                event("2025-01-10", "1", vendor="openai", model="o3"),
                event("2025-01-10", "2", name="b"),
            ],
            orders=[order("2025-01-10", "100")],
            subscriptions=[subscription("2025-01-01", "10")],
        ),
        replace(JANUARY, filters=Filters(names=["a"], vendors=["openai"], models=["o3"])),
        {
            "costs": "1 | 1",
            "revenue": "100 | 100",
            "active_subscriptions": "1 | 1",
            "gross_margin": "99 | 99",
        },
    ),
]

CASES = [
    *NOTHING,
    *COSTS,
    *REVENUE,
    *ORDERS,
    *GAUGES,
    *MONTHLY,
    *CURRENCIES,
    *CHURN,
    *LIFETIME,
    *TIMES_OF_DAY,
    *FILTERS,
]
each_case = pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])


@each_case
def test_numbers_on_paper(case: Case) -> None:
    """The twin comes to what was worked out by hand."""
    case.check(case.question.on_paper(case.facts))


@each_case
def test_numbers_of_the_service(caller: Caller, case: Case) -> None:
    """The service comes to what was worked out by hand."""
    record(caller, case.facts)
    case.check(case.question.asked(caller))


def test_every_metric_has_a_number() -> None:
    """Of each metric there is a case with a number that is not 0."""
    shown = {
        slug
        for case in CASES
        for slug, numbers in case.expected.items()
        if set(numbers.split()) - {"0", "|"}
    }
    assert shown == set(METRICS)


# Groups

EARNERS = Facts(
    events=[
        event("2025-01-10", "10", "c1", name="a", product="p1"),
        event("2025-01-11", "2", "c4", name="b"),
        event("2024-12-10", "4", "c5", name="c"),
    ],
    orders=[
        order("2025-01-10", "100", "c1", product="p1", order_id="o"),
        order("2025-01-10", "500", "c2", product="p2"),
        order("2024-12-10", "70", "c5", product="p1"),
        order("2025-02-01", "7", "c6", paid="2025-01-31"),
    ],
    refunds=[refund("o", "2025-02-10", "150"), refund("unknown", "2025-01-10", "33")],
    subscriptions=[
        subscription("2025-01-01", "300", "c3", product="p3"),
        subscription("2024-12-01", "900", "c7", product="p3", ends="2024-12-31"),
        subscription("2025-02-01", "900", "c7", product="p3"),
        subscription("2024-11-01", "900", "c8", ended="2024-12-20", canceled="2025-01-05"),
    ],
)


@dataclass(frozen=True)
class GroupCase:
    """A question in groups of the same facts, and the groups in short."""

    why: str
    question: Question
    expected: Sequence[tuple[str, str]]
    """(value, totals) of each group; the others are of the value `others` and their number."""

    def check(self, answer: Metrics) -> None:
        """Holds an answer to what is expected of it."""
        assert [in_short(group) for group in answer.groups] == list(self.expected)


def in_short(group: Group) -> tuple[str, str]:
    """Whose it is and its totals."""
    assert group.members == 1 or group.others
    name = f"others {group.members}" if group.others else group.value
    return name, " ".join(str(number) for number in group.totals.values())


def by(group_by: str, *metrics: str, **fields: Any) -> Question:
    """January in groups."""
    return replace(JANUARY, group_by=group_by, metrics=metrics, **fields)


GROUPS = [
    GroupCase(
        "whoever has an order or a refund is a group of revenue, those who cost most first",
        by("customer", "revenue"),
        [("c1", "100"), ("c2", "500"), ("c6", "0")],
    ),
    GroupCase(
        "by revenue, the greatest first",
        by("customer", "revenue", order_by="revenue"),
        [("c2", "500"), ("c1", "100"), ("c6", "0")],
    ),
    GroupCase(
        "by revenue, the least first",
        by("customer", "revenue", order_by="revenue asc"),
        [("c6", "0"), ("c1", "100"), ("c2", "500")],
    ),
    GroupCase(
        "by a metric that was not asked for",
        by("customer", "revenue", order_by="net_revenue desc"),
        [("c2", "500"), ("c6", "0"), ("c1", "100")],
    ),
    GroupCase(
        "whoever has an event is a group of costs",
        by("customer", "costs"),
        [("c1", "10"), ("c4", "2")],
    ),
    GroupCase(
        "what was before the span is of others without members",
        by("customer", "cumulative_costs"),
        [("c1", "10"), ("c4", "2"), ("others 0", "4")],
    ),
    GroupCase(
        "revenue before the span too",
        by("customer", "cumulative_revenue", order_by="revenue"),
        [("c2", "500"), ("c1", "100"), ("c6", "0"), ("others 0", "70")],
    ),
    GroupCase(
        "a refund of an order that nobody knows is of the others, who are nobody",
        by("customer", "net_revenue"),
        [("c1", "-50"), ("c2", "500"), ("c6", "0"), ("others 0", "-33")],
    ),
    GroupCase(
        "in cumulative metrics together with what was before the span",
        by("customer", "net_cumulative_revenue"),
        [("c1", "-50"), ("c2", "500"), ("c6", "0"), ("others 0", "37")],
    ),
    GroupCase(
        "a subscription that ended before the span, canceled in it all the same, is of the others",
        by("customer", "canceled_subscriptions"),
        [("c3", "0"), ("others 0", "1")],
    ),
    GroupCase(
        "whoever has a subscription is a group of these",
        by("customer", "monthly_recurring_revenue", "active_subscriptions"),
        [("c3", "1 300")],
    ),
    GroupCase(
        "a metric of several kinds of facts has the groups of all of them",
        by("customer", "cashflow", order_by="cashflow asc"),
        [("c4", "-2"), ("c6", "0"), ("c1", "90"), ("c2", "500")],
    ),
    GroupCase(
        "past the most groups the rest is one, its members counted",
        by("customer", "cashflow", order_by="cashflow desc", groups_max=2),
        [("c2", "500"), ("c1", "90"), ("others 2", "-2")],
    ),
    GroupCase(
        "margins of products",
        by("product", "gross_margin", order_by="gross_margin"),
        [("p2", "500"), ("p1", "160"), ("", "-6")],
    ),
    GroupCase(
        "a product's refunds and subscriptions",
        by("product", "net_revenue", "active_subscriptions", order_by="net_revenue asc"),
        [("p1", "-50 0"), ("", "-33 0"), ("p3", "0 1"), ("p2", "500 0")],
    ),
    GroupCase(
        "event names have costs alone",
        by("event_name", "costs", "cumulative_costs", "revenue", "gross_margin"),
        [("a", "10 10"), ("b", "2 2"), ("others 0", "0 4")],
    ),
    GroupCase(
        "a filter lets only its own values be groups",
        by("customer", "revenue", filters=Filters(products=["p1"])),
        [("c1", "100")],
    ),
]
each_grouping = pytest.mark.parametrize("case", GROUPS, ids=[case.why for case in GROUPS])


@each_grouping
def test_groups_on_paper(case: GroupCase) -> None:
    """The twin groups as it was worked out by hand."""
    case.check(case.question.on_paper(EARNERS))


@each_grouping
def test_groups_of_the_service(caller: Caller, case: GroupCase) -> None:
    """The service groups as it was worked out by hand."""
    record(caller, EARNERS)
    case.check(case.question.asked(caller))


def test_a_customer_of_two_ids_is_one(caller: Caller) -> None:
    """Whichever of its ids comes with an event, an order or a filter, it is one customer."""
    caller.ingest(sent(event("2025-01-10", "1")))
    (identifier,) = {one.customer_id for one in caller.list_events()}
    first = sent_order(order("2025-01-10", "100"))
    state = sent_subscription(subscription("2025-01-01", "10"), at("2025-01-01"))
    record_orders(caller, [first])
    record_subscriptions(caller, [state])

    again = sent(event("2025-01-11", "2"))
    second = sent_order(order("2025-01-11", "200"))
    other = sent_subscription(subscription("2025-01-01", "20"), at("2025-01-01"))
    for one in (again, second, other):
        one.customer_id = identifier
    caller.ingest(again)
    record_orders(caller, [second])
    record_subscriptions(caller, [other])

    expected = {
        "costs": "3",
        "active_user_by_event": 1,
        "revenue": "300",
        "average_revenue_per_user": "30",
        "gross_margin": "297",
    }
    request = replace(JANUARY, metrics=list(expected), group_by="customer").request()
    for customers in ([], ["c1"]):
        for customer_ids in ([], [identifier]):
            request.external_customer_ids[:] = customers
            request.customer_ids[:] = customer_ids
            answer = caller.metrics.GetMetrics(request, metadata=caller.metadata)
            assert numbers_of(answer.totals) == expected
            (group,) = answer.groups
            assert (group.value, group.customer_id) == ("c1", identifier)
            assert numbers_of(group.totals) == expected
