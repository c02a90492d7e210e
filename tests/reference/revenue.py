"""The slow twin of revenue: what orders, refunds, subscriptions, checkouts and seats come to.

Like `tests.reference.costs`, which knows amounts, it imports nothing of the product. Numbers
are fractions of cents, so that nothing is rounded but where a formula says so.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from tests.reference import costs as reference
from tests.reference.costs import Event

ONE_TIME, RECURRING = BILLING_TYPES = ("one_time", "recurring")

REFUND, REFUND_REVERSAL, DISPUTE, DISPUTE_REVERSAL = REFUND_KINDS = (
    "refund",
    "refund_reversal",
    "dispute",
    "dispute_reversal",
)

CANCEL_REASONS = (
    "customer_service",
    "low_quality",
    "missing_features",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
    "other",
)


# Facts


@dataclass(frozen=True, kw_only=True)
class Order:
    """A paid order; amounts are cents of its currency, the fee is of usd."""

    order_id: str
    customer: str
    created: datetime
    cents: Decimal
    paid: datetime | None = None
    billing_type: str = ONE_TIME
    product: str = ""
    subscription_id: str = ""
    currency: str = "usd"
    exchange_rate: Decimal = Decimal(1)
    applied_balance: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)

    @property
    def counted(self) -> datetime:
        """The time at which it counts as an order."""
        return self.created if self.paid is None else min(self.paid, self.created)


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money of an order that went back or came again."""

    refund_id: str
    order_id: str
    created: datetime
    cents: Decimal
    kind: str = REFUND
    currency: str = "usd"
    exchange_rate: Decimal = Decimal(1)
    fee: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """The latest state of a subscription."""

    subscription_id: str
    customer: str
    started: datetime
    cents: Decimal
    product: str = ""
    currency: str = "usd"
    interval: str = reference.MONTH
    interval_count: int = 1
    trial_end: datetime | None = None
    canceled: datetime | None = None
    cancel_reason: str = ""
    uncanceled: datetime | None = None
    ends: datetime | None = None
    ended: datetime | None = None

    @property
    def end(self) -> datetime | None:
        """The time at which it ended, or else will end."""
        return self.ends if self.ended is None else self.ended

    def active_at(self, moment: datetime) -> bool:
        """Whether it has started and not ended."""
        return self.started <= moment and (self.end is None or self.end > moment)

    def canceled_within(self, lower: datetime, upper: datetime) -> bool:
        """Whether it was canceled in that time, and not taken back since."""
        if self.canceled is None:
            return False
        if self.uncanceled is not None and self.uncanceled > self.canceled:
            return False
        return lower <= self.canceled < upper


CHECKOUT_STATUSES = ("open", "confirmed", "expired", "failed", "succeeded")

OPENINGS_RECORDED = datetime(2026, 1, 22, 12, 13, tzinfo=UTC)
"""Since when it is known which checkouts are opened."""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The latest state of a checkout; one of nobody has an empty customer."""

    checkout_id: str
    created: datetime
    customer: str = ""
    product: str = ""
    billing_type: str = ""
    status: str = "open"
    opened: datetime | None = None

    @property
    def counted(self) -> datetime | None:
        """When it counts, if it does."""
        if self.opened is None and self.created < OPENINGS_RECORDED:
            return self.created
        return self.opened


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The latest state of a seat; without a subscription an order paid for it."""

    seat_id: str
    customer: str
    created: datetime
    product: str = ""
    subscription_id: str = ""
    claimed: datetime | None = None
    revoked: datetime | None = None

    @property
    def billing_type(self) -> str:
        """How often it is paid for."""
        return RECURRING if self.subscription_id else ONE_TIME


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that an organization has recorded."""

    events: Sequence[Event] = ()
    orders: Sequence[Order] = ()
    refunds: Sequence[Refund] = ()
    subscriptions: Sequence[Subscription] = ()
    checkouts: Sequence[Checkout] = ()
    seats: Sequence[Seat] = ()


# Numbers


def add(numbers: Iterable[Fraction]) -> Fraction:
    """The sum on paper."""
    return sum(numbers, Fraction(0))


def to_12_decimals(number: Fraction) -> Fraction:
    """The closest number of picocents, the even one of two."""
    return Fraction(round(number * 10**12), 10**12)


def divide(number: Fraction | int, by: Fraction | int) -> Fraction:
    """A quotient to 12 decimals; 0 where there is nothing to divide by."""
    return to_12_decimals(Fraction(number) / Fraction(by)) if by else Fraction(0)


def in_usd(cents: Decimal, exchange_rate: Decimal | Fraction) -> Fraction:
    """The value of an amount in usd, to 12 decimals."""
    return to_12_decimals(Fraction(cents) * Fraction(exchange_rate))


def text_of(number: Fraction) -> str:
    """A number of at most 12 decimals as the service writes it."""
    count = number * 10**12
    assert count.denominator == 1
    return reference.format_amount(reference.EXACT.scaleb(Decimal(count.numerator), -12))


# What orders and refunds come to


@dataclass(frozen=True)
class Booking:
    """The total of an order with its refunds; or of a refund whose order is unknown."""

    created: datetime
    """The time of its revenue."""

    counted: datetime
    """The time of it as an order."""

    customer: str
    product: str
    billing_type: str
    revenue: Fraction
    net_revenue: Fraction
    order: Order | None = None
    order_revenue: Fraction = Fraction(0)
    order_net_revenue: Fraction = Fraction(0)


def adjustment(refund: Refund) -> Fraction:
    """The change of net revenue that a refund makes, in usd."""
    sign = 1 if refund.kind in (REFUND_REVERSAL, DISPUTE_REVERSAL) else -1
    return sign * in_usd(refund.cents, refund.exchange_rate) - Fraction(refund.fee)


def bookings_of(facts: Facts) -> Iterator[Booking]:
    """Each order with its refunds, then the refunds that have none."""
    for order in facts.orders:
        refunds = [refund for refund in facts.refunds if refund.order_id == order.order_id]
        undisputed = [one for one in refunds if one.kind in (REFUND, REFUND_REVERSAL)]
        revenue = in_usd(order.cents, order.exchange_rate)
        balance = in_usd(order.applied_balance, order.exchange_rate)
        order_revenue = revenue - max(balance, Fraction(0))
        yield Booking(
            created=order.created,
            counted=order.counted,
            customer=order.customer,
            product=order.product,
            billing_type=order.billing_type,
            revenue=revenue,
            net_revenue=revenue - Fraction(order.fee) + sum(map(adjustment, refunds)),
            order=order,
            order_revenue=order_revenue,
            order_net_revenue=order_revenue
            - Fraction(order.fee)
            + sum(map(adjustment, undisputed)),
        )
    known = {order.order_id for order in facts.orders}
    for refund in facts.refunds:
        if refund.order_id not in known:
            yield Booking(
                created=refund.created,
                counted=refund.created,
                customer="",
                product="",
                billing_type="",
                revenue=Fraction(0),
                net_revenue=adjustment(refund),
            )


def billed_products(facts: Facts, billing_types: Collection[str]) -> set[str]:
    """The products with an order of one of these billing types; subscriptions are recurring."""
    ordered = {one.product for one in facts.orders if one.billing_type in billing_types}
    subscribed = {one.product for one in facts.subscriptions if RECURRING in billing_types}
    return (ordered | subscribed) - {""}


# What a month of a subscription is worth


def exchange_rate(
    orders: Iterable[Order], currency: str, start: datetime, end: datetime
) -> Fraction:
    """The value of one unit in that time, or on the closest day with an order."""
    orders = [order for order in orders if order.currency == currency]
    if currency == "usd" or not orders:
        return Fraction(1)
    inside = [order for order in orders if start <= order.counted < end]
    if inside:
        return mean_rate(inside)
    first = start.astimezone(UTC).date()
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()

    def distance(day: date) -> int:
        return max((first - day).days, (day - last).days, 0)

    days = {order.counted.astimezone(UTC).date() for order in orders}
    closest = min(days, key=lambda day: (distance(day), day))
    return mean_rate([one for one in orders if one.counted.astimezone(UTC).date() == closest])


def mean_rate(orders: Sequence[Order]) -> Fraction:
    """The mean of the exchange rates, each order weighing the same."""
    return divide(sum(Fraction(order.exchange_rate) for order in orders), len(orders))


def monthly_amount(subscription: Subscription, rate: Fraction) -> Fraction:
    """The revenue in a twelfth of a year, rounded once in usd and once a month."""
    cents = in_usd(subscription.cents, rate)
    cycles_a_year = {
        reference.DAY: Fraction(365),
        reference.WEEK: Fraction(52),
        reference.MONTH: Fraction(12),
        reference.YEAR: Fraction(1),
    }[subscription.interval]
    return to_12_decimals(cents * cycles_a_year / (12 * subscription.interval_count))
