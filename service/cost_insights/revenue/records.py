"""What is recorded. Fields and properties are the columns of the tables, by name.

Amounts are picocents of the record's currency, but for fees, which are of usd. An
exchange rate is what one unit of the currency is worth in usd, times 10¹². Absent
texts are empty.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

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


@dataclass(frozen=True, kw_only=True)
class OrderPart:
    """What one system event says of an order; what it does not say is empty, 0 or false."""

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
    """Whether what settled a debt is already taken off the amount."""

    applied_balance_picocents: int = 0
    fee_picocents: int = 0


@dataclass(frozen=True, kw_only=True)
class SubscriptionChange:
    """What a system event changed of a subscription."""

    subscription_id: str
    kind: str
    """The name of the event."""

    time_us: int
    columns: Mapping[str, str | int | None]
    """The new values of those that the kind sets and that are not null."""
