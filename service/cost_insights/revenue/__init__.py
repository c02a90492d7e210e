"""Recording and reading orders, refunds and subscriptions."""

from cost_insights.revenue.ids import derived_refund_id
from cost_insights.revenue.order_parts import BALANCE, CREDIT, PAID
from cost_insights.revenue.reader import RevenueQuestion, RevenueReader
from cost_insights.revenue.recorder import Recorded, Recorder
from cost_insights.revenue.records import (
    CustomerName,
    NewOrder,
    NewSubscription,
    OrderPart,
    Refund,
    StoredOrder,
    StoredSubscription,
    SubscriptionChange,
    in_usd,
)
from cost_insights.revenue.subscriptions import SubscriptionOutcome
from cost_insights.revenue.system_events import RecordedEvents, SystemEvent

__all__ = [
    "BALANCE",
    "CREDIT",
    "PAID",
    "CustomerName",
    "NewOrder",
    "NewSubscription",
    "OrderPart",
    "Recorded",
    "RecordedEvents",
    "Recorder",
    "Refund",
    "RevenueQuestion",
    "RevenueReader",
    "StoredOrder",
    "StoredSubscription",
    "SubscriptionChange",
    "SubscriptionOutcome",
    "SystemEvent",
    "derived_refund_id",
    "in_usd",
]
