"""A business to look at: the generated events of the demo, and revenue that fits them."""

import random
from datetime import UTC, date, datetime, time, timedelta

from cost_insights.cli.demo_events import generate
from cost_insights.v1 import revenue_pb2, revenue_service_pb2
from tests.support.pages import at
from tests.support.revenue import money, new_order, new_subscription
from tests.support.service import Caller

LAST_DAY = date(2026, 6, 30)
"""The last day of the business, to its end."""

_DAYS = 60
_EVENTS = 12_000
_CUSTOMERS = 150
_SUBSCRIBERS = 120
_PRICES_CENTS = (9_00, 5_00, 2_00)
_REQUEST_EVENTS = 1_000


def do_business(caller: Caller) -> None:
    """Sends everything, which is the same each time."""
    events = [
        event.message()
        for event in generate(
            seed=7, last_day=LAST_DAY, days=_DAYS, events=_EVENTS, customers=_CUSTOMERS
        )
    ]
    for begin in range(0, len(events), _REQUEST_EVENTS):
        caller.ingest(*events[begin : begin + _REQUEST_EVENTS])
    chance = random.Random(7)
    customers = [f"customer_{number:03}" for number in range(1, _SUBSCRIBERS + 1)]
    starts = [_morning(-chance.randrange(3, 2 * _DAYS)) for _ in customers]
    prices = [chance.choice(_PRICES_CENTS) for _ in customers]
    caller.revenue.RecordSubscriptions(
        revenue_service_pb2.RecordSubscriptionsRequest(
            subscriptions=[
                new_subscription(
                    f"subscription {customer}",
                    external_customer_id=customer,
                    amount=money(str(price)),
                    started_time=at(start),
                    update_time=at(start),
                )
                for customer, price, start in zip(customers, prices, starts, strict=True)
            ]
        ),
        metadata=caller.metadata,
    )
    caller.revenue.RecordOrders(
        revenue_service_pb2.RecordOrdersRequest(
            orders=[
                new_order(
                    f"order {customer} {month}",
                    external_customer_id=customer,
                    billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
                    subscription_id=f"subscription {customer}",
                    net_amount=money(str(price)),
                    created_time=at(paid),
                )
                for customer, price, start in zip(customers, prices, starts, strict=True)
                for month in range(5)
                if (paid := start + timedelta(days=30 * month)) <= _morning(0)
            ]
        ),
        metadata=caller.metadata,
    )


def _morning(days: int) -> datetime:
    return datetime.combine(LAST_DAY + timedelta(days=days), time(9), UTC)
