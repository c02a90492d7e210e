"""Records of revenue: orders, refunds, subscriptions and what system events say of them.

Fields and properties have the names of the columns of the tables. Amounts are picocents of the
record's currency, except fees, which are in usd. An exchange rate is the value of one unit of the
currency in usd, times 10¹². Absent texts are empty.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from cost_insights.amounts import ONE_E12

CustomerName = uuid.UUID | str
"""The UUID of a customer, or the caller's own identifier."""


def in_usd(picocents: int, exchange_rate_e12: int) -> int:
    """An amount in picocents of usd, rounded half-even."""
    return round(Fraction(picocents * exchange_rate_e12, ONE_E12))


@dataclass(frozen=True, kw_only=True)
class Order:
    """A paid order."""

    order_id: str
    product_id: str
    billing_type: str
    """`one_time` or `recurring`."""

    subscription_id: str
    currency: str
    exchange_rate_e12: int
    net_picocents: int
    applied_balance_picocents: int
    fee_picocents: int
    created_us: int
    paid_us: int

    @property
    def net_usd_picocents(self) -> int:
        """The amount earned."""
        return in_usd(self.net_picocents, self.exchange_rate_e12)

    @property
    def applied_balance_usd_picocents(self) -> int:
        """The part of the amount that settled a debt."""
        return in_usd(self.applied_balance_picocents, self.exchange_rate_e12)


@dataclass(frozen=True, kw_only=True)
class NewOrder(Order):
    """An order as it arrives."""

    customer: CustomerName


@dataclass(frozen=True, kw_only=True)
class StoredOrder(Order):
    """An order as it is stored."""

    customer_id: uuid.UUID
    external_customer_id: str


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money of an order that was given back, or that came back to the seller."""

    refund_id: str
    kind: str
    """`refund`, `dispute`, `refund_reversal` or `dispute_reversal`."""

    order_id: str
    currency: str
    exchange_rate_e12: int
    amount_picocents: int
    """The amount, never negative; the kind says in which direction the money went."""

    fee_picocents: int
    created_us: int

    @property
    def adjustment_usd_picocents(self) -> int:
        """The amount that the refund adds to net revenue, without its fee."""
        amount = in_usd(self.amount_picocents, self.exchange_rate_e12)
        return -amount if self.kind in {"refund", "dispute"} else amount


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """The state of a subscription at a time."""

    subscription_id: str
    product_id: str
    currency: str
    amount_picocents: int
    recurring_interval: str
    """`day`, `week`, `month` or `year`."""

    recurring_interval_count: int
    started_us: int
    trial_end_us: int | None
    canceled_us: int | None
    cancel_reason: str
    """`customer_service`, `low_quality`, `missing_features`, `switched_service`,
    `too_complex`, `too_expensive`, `unused`, `other`, or empty."""

    uncanceled_us: int | None
    ends_us: int | None
    ended_us: int | None
    update_us: int


@dataclass(frozen=True, kw_only=True)
class NewSubscription(Subscription):
    """The state of a subscription as it arrives."""

    customer: CustomerName


@dataclass(frozen=True, kw_only=True)
class StoredSubscription(Subscription):
    """The state of a subscription as it is stored."""

    customer_id: uuid.UUID
    external_customer_id: str


CHECKOUT_STATUSES: Final = ("open", "confirmed", "expired", "failed", "succeeded")
"""How far a checkout may have come, the furthest last."""

_OPENINGS_FROM_US: Final = 1_769_083_980_000_000
"""2026-01-22T12:13:00Z, since when it is recorded that a checkout is opened. (Source: the
compatible API.)"""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The state of a checkout at a time."""

    checkout_id: str
    product_id: str
    billing_type: str
    """`one_time`, `recurring`, or empty."""

    status: str
    """One of `CHECKOUT_STATUSES`."""

    created_us: int
    opened_us: int | None
    update_us: int

    @property
    def counted_us(self) -> int | None:
        """The time at which it counts; None where it does not."""
        if self.opened_us is None and self.created_us < _OPENINGS_FROM_US:
            return self.created_us
        return self.opened_us


@dataclass(frozen=True, kw_only=True)
class NewCheckout(Checkout):
    """The state of a checkout as it arrives."""

    customer: CustomerName | None


@dataclass(frozen=True, kw_only=True)
class StoredCheckout(Checkout):
    """The state of a checkout as it is stored."""

    customer_id: uuid.UUID | None
    external_customer_id: str | None


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The state of a seat at a time."""

    seat_id: str
    subscription_id: str
    """Empty where an order paid for the seat."""

    order_id: str
    """Empty where the seat belongs to a subscription."""

    product_id: str
    created_us: int
    claimed_us: int | None
    revoked_us: int | None
    update_us: int

    @property
    def billing_type(self) -> str:
        """`one_time` or `recurring`."""
        return "recurring" if self.subscription_id else "one_time"


@dataclass(frozen=True, kw_only=True)
class NewSeat(Seat):
    """The state of a seat as it arrives."""

    customer: CustomerName


@dataclass(frozen=True, kw_only=True)
class StoredSeat(Seat):
    """The state of a seat as it is stored."""

    customer_id: uuid.UUID
    external_customer_id: str


@dataclass(frozen=True, kw_only=True)
class OrderPart:
    """The part of an order that one system event tells; fields that it does not tell are empty, 0
    or false."""

    order_id: str
    part: str
    """The name of the event."""

    customer: CustomerName
    product_id: str
    billing_type: str
    subscription_id: str
    time_us: int
    currency: str = ""
    exchange_rate_e12: int = 0
    amount_picocents: int = 0
    is_net: bool = False
    """Whether the amount excludes what settled a debt."""

    applied_balance_picocents: int = 0
    fee_picocents: int = 0


@dataclass(frozen=True, kw_only=True)
class SubscriptionChange:
    """The columns of a subscription that a system event changed."""

    subscription_id: str
    kind: str
    """The name of the event."""

    time_us: int
    columns: Mapping[str, str | int | None]
    """The new values of those that the kind sets and that are not null."""
