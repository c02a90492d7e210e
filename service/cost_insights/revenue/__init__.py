"""Recording and reading orders, refunds, subscriptions, checkouts and seats."""

from cost_insights.revenue.ids import derived_refund_id
from cost_insights.revenue.order_parts import BALANCE, CREDIT, PAID
from cost_insights.revenue.reader import RevenueQuestion, RevenueReader
from cost_insights.revenue.recorder import Recorded, Recorder
from cost_insights.revenue.records import (
    CustomerName,
    NewCheckout,
    NewOrder,
    NewSeat,
    NewSubscription,
    OrderPart,
    Refund,
    StoredCheckout,
    StoredOrder,
    StoredSeat,
    StoredSubscription,
    SubscriptionChange,
    in_usd,
)
from cost_insights.revenue.states import StateOutcome
from cost_insights.revenue.system_events import RecordedEvents, SystemEvent

__all__ = [
    "BALANCE",
    "CREDIT",
    "PAID",
    "CustomerName",
    "NewCheckout",
    "NewOrder",
    "NewSeat",
    "NewSubscription",
    "OrderPart",
    "Recorded",
    "RecordedEvents",
    "Recorder",
    "Refund",
    "RevenueQuestion",
    "RevenueReader",
    "StateOutcome",
    "StoredCheckout",
    "StoredOrder",
    "StoredSeat",
    "StoredSubscription",
    "SubscriptionChange",
    "SystemEvent",
    "derived_refund_id",
    "in_usd",
]
