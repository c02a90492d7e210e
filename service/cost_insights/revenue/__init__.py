"""What was earned: orders, refunds and subscriptions, recorded and read back."""

from cost_insights.revenue.reader import RevenueQuestion, RevenueReader
from cost_insights.revenue.recorder import Recorded, Recorder, SubscriptionOutcome
from cost_insights.revenue.records import (
    CustomerName,
    NewOrder,
    NewSubscription,
    Refund,
    StoredOrder,
    StoredSubscription,
    in_usd,
)

__all__ = [
    "CustomerName",
    "NewOrder",
    "NewSubscription",
    "Recorded",
    "Recorder",
    "Refund",
    "RevenueQuestion",
    "RevenueReader",
    "StoredOrder",
    "StoredSubscription",
    "SubscriptionOutcome",
    "in_usd",
]
