"""Valid records of revenue, to be changed one field at a time."""

from typing import Any

from google.protobuf import timestamp_pb2

from cost_insights.v1 import revenue_pb2


def at(second: int, us: int = 0) -> timestamp_pb2.Timestamp:
    """A time of the year 2001."""
    return timestamp_pb2.Timestamp(seconds=1_000_000_000 + second, nanos=us * 1_000)


def money(amount: str = "2900", currency: str = "usd") -> revenue_pb2.Money:
    """An amount."""
    return revenue_pb2.Money(amount=amount, currency=currency)


def new_order(order_id: str = "order_1", **fields: Any) -> revenue_pb2.NewOrder:
    """An order; what is not given is something valid."""
    if "customer_id" not in fields:
        fields.setdefault("external_customer_id", "user_123")
    fields.setdefault("billing_type", revenue_pb2.BILLING_TYPE_ONE_TIME)
    fields.setdefault("net_amount", money())
    fields.setdefault("created_time", at(0))
    return revenue_pb2.NewOrder(order_id=order_id, **fields)


def new_refund(refund_id: str = "refund_1", **fields: Any) -> revenue_pb2.Refund:
    """A refund; what is not given is something valid."""
    fields.setdefault("kind", revenue_pb2.REFUND_KIND_REFUND)
    fields.setdefault("order_id", "order_1")
    fields.setdefault("amount", money("900"))
    fields.setdefault("created_time", at(100))
    return revenue_pb2.Refund(refund_id=refund_id, **fields)


def new_subscription(
    subscription_id: str = "subscription_1", **fields: Any
) -> revenue_pb2.NewSubscription:
    """A subscription; what is not given is something valid."""
    if "customer_id" not in fields:
        fields.setdefault("external_customer_id", "user_123")
    fields.setdefault("amount", money())
    fields.setdefault("recurring_interval", revenue_pb2.RECURRING_INTERVAL_MONTH)
    fields.setdefault("started_time", at(0))
    fields.setdefault("update_time", at(0))
    return revenue_pb2.NewSubscription(subscription_id=subscription_id, **fields)


def new_checkout(checkout_id: str = "checkout_1", **fields: Any) -> revenue_pb2.NewCheckout:
    """A checkout; what is not given is something valid."""
    fields.setdefault("status", revenue_pb2.CHECKOUT_STATUS_OPEN)
    fields.setdefault("created_time", at(0))
    fields.setdefault("update_time", at(0))
    return revenue_pb2.NewCheckout(checkout_id=checkout_id, **fields)


def new_seat(seat_id: str = "seat_1", **fields: Any) -> revenue_pb2.NewSeat:
    """A seat; what is not given is something valid."""
    if "customer_id" not in fields:
        fields.setdefault("external_customer_id", "user_123")
    if "order_id" not in fields:
        fields.setdefault("subscription_id", "subscription_1")
    fields.setdefault("created_time", at(0))
    fields.setdefault("update_time", at(0))
    return revenue_pb2.NewSeat(seat_id=seat_id, **fields)
