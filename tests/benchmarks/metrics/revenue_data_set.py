"""The orders, refunds and subscriptions that metrics are measured on.

A seed and their last moment determine them, and their customers are those of the
events. Subscriptions began within three years; their cycles of the last year, or the
latest of these, are six orders of ten, and the others are of packs that are paid for
once. Prices are without taxes, so that they have decimals, and what they are in usd
has to be rounded.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Self

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from cost_insights.v1.revenue_pb2 import (
    BILLING_TYPE_ONE_TIME,
    BILLING_TYPE_RECURRING,
    CancelReason,
    Money,
    NewOrder,
    NewSubscription,
    RecurringInterval,
    Refund,
    RefundKind,
)
from tests.benchmarks.bodies import SEED
from tests.benchmarks.metrics.data_set import (
    CUSTOMERS,
    YEAR_SECONDS,
    customer_name,
    customer_shares,
    written,
)

E12 = 10**12
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
MONTH_US = 2_629_746 * SECOND_US
"""The twelfth of a year."""

NEVER = int(np.iinfo(np.int64).max)
"""The value of an absent time: it is after all others."""

NONE = -1
"""The value of the absent place of a record."""

CYCLES_SHARE = Fraction(6, 10)
"""The greatest share of orders that are cycles of subscriptions."""

REFUNDS_SHARE = Fraction(1, 50)
"""The number of refunds, next to that of orders."""


@dataclass(frozen=True)
class Currency:
    """A currency, and how many of the customers pay with it."""

    name: str
    rate_e12: int
    """The approximate value of a unit in usd, times 10¹²; every day has its own."""

    share: float


@dataclass(frozen=True)
class Cycle:
    """The intervals at which subscriptions are paid, and the share of each."""

    interval: str
    count: int
    length_us: int
    months: Fraction
    """The number of months that a cycle lasts, as metrics count them."""

    price: Fraction
    """Next to that of a month."""

    share: float


CURRENCIES: Sequence[Currency] = (
    Currency("usd", E12, 0.7),
    Currency("eur", 1_083_250_417_338, 0.18),
    Currency("gbp", 1_271_904_552_611, 0.08),
    Currency("jpy", 6_712_093_355, 0.04),
)
CYCLES: Sequence[Cycle] = (
    Cycle("month", 1, MONTH_US, Fraction(1), Fraction(1), 0.8),
    Cycle("week", 1, 7 * DAY_US, Fraction(12, 52), Fraction(1, 4), 0.12),
    Cycle("month", 3, 3 * MONTH_US, Fraction(3), Fraction(5, 2), 0.04),
    Cycle("year", 1, 12 * MONTH_US, Fraction(12), Fraction(10), 0.04),
)
PLANS: Sequence[str] = tuple(f"plan_{number}" for number in range(1, 9))
PACKS: Sequence[str] = tuple(f"pack_{number}" for number in range(1, 9))
PRODUCTS: Sequence[str] = (*PLANS, *PACKS)
"""Subscriptions are to plans."""

_KINDS: Sequence[str] = ("refund", "dispute", "refund_reversal", "dispute_reversal")
_KIND_SHARES = (0.8, 0.1, 0.05, 0.05)


@dataclass(frozen=True)
class Table:
    """Arrays of one length: a field is a column, and what is at one place is a record."""

    def take(self, chosen: Any) -> Self:
        """The rows at these places, or those for which the mask is true."""
        return type(self)(*(column[chosen] for column in self._columns()))

    def records(self) -> Iterator[Self]:
        """Each on its own, with numbers in place of arrays."""
        lists = (column.tolist() for column in self._columns())
        return (type(self)(*numbers) for numbers in zip(*lists, strict=True))

    def _columns(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]

    def __len__(self) -> int:
        return len(self._columns()[0])


@dataclass(frozen=True)
class Subscriptions(Table):
    """Subscriptions; products, currencies and cycles by their places."""

    numbers: Any
    customers: Any
    products: Any
    currencies: Any
    cycles: Any
    amounts_picocents: Any
    started_us: Any
    trial_end_us: Any
    """NEVER where there was no trial."""

    canceled_us: Any
    reasons: Any
    uncanceled_us: Any
    ends_us: Any
    ended_us: Any
    update_us: Any

    @property
    def end_us(self) -> Any:
        """The time at which each subscription ended, or will end as far as is known."""
        return np.where(self.ended_us != NEVER, self.ended_us, self.ends_us)

    @property
    def paid_from_us(self) -> Any:
        """The time at which the first paid cycle begins."""
        return np.where(self.trial_end_us != NEVER, self.trial_end_us, self.started_us)

    def message(self) -> NewSubscription:
        """The message of a table with a single record."""
        cycle = CYCLES[self.cycles]
        return NewSubscription(
            subscription_id=f"subscription_{self.numbers}",
            external_customer_id=customer_name(self.customers),
            product_id=PRODUCTS[self.products],
            amount=_money(self.amounts_picocents, self.currencies),
            recurring_interval=RecurringInterval.Value(
                f"RECURRING_INTERVAL_{cycle.interval.upper()}"
            ),
            recurring_interval_count=cycle.count,
            started_time=_time(self.started_us),
            trial_end_time=_time(self.trial_end_us),
            canceled_time=_time(self.canceled_us),
            cancel_reason=self.reasons,
            uncanceled_time=_time(self.uncanceled_us),
            ends_time=_time(self.ends_us),
            ended_time=_time(self.ended_us),
            update_time=_time(self.update_us),
        )


@dataclass(frozen=True)
class Orders(Table):
    """Orders; products and currencies by their places."""

    numbers: Any
    customers: Any
    products: Any
    currencies: Any
    subscriptions: Any
    """NONE where it is none's."""

    rates_e12: Any
    net_picocents: Any
    net_usd_picocents: Any
    applied_balance_picocents: Any
    fees_picocents: Any
    created_us: Any
    paid_us: Any

    def message(self) -> NewOrder:
        """The message of a table with a single record."""
        once = self.subscriptions == NONE
        return NewOrder(
            order_id=f"order_{self.numbers}",
            external_customer_id=customer_name(self.customers),
            product_id=PRODUCTS[self.products],
            billing_type=BILLING_TYPE_ONE_TIME if once else BILLING_TYPE_RECURRING,
            subscription_id="" if once else f"subscription_{self.subscriptions}",
            net_amount=_money(self.net_picocents, self.currencies),
            exchange_rate=_written(self.rates_e12),
            applied_balance=_written(self.applied_balance_picocents),
            fee=_written(self.fees_picocents),
            created_time=_time(self.created_us),
            paid_time=_time(self.paid_us),
        )


@dataclass(frozen=True)
class Refunds(Table):
    """Refunds and the like; currencies and kinds by their places."""

    numbers: Any
    orders: Any
    """NONE where the order is not recorded."""

    kinds: Any
    currencies: Any
    rates_e12: Any
    amounts_picocents: Any
    fees_picocents: Any
    net_picocents: Any
    """The amount that each refund adds to net revenue, in usd."""

    created_us: Any

    def message(self) -> Refund:
        """The message of a table with a single record."""
        known = self.orders != NONE
        return Refund(
            refund_id=f"refund_{self.numbers}",
            kind=RefundKind.Value(f"REFUND_KIND_{_KINDS[self.kinds].upper()}"),
            order_id=f"order_{self.orders}" if known else f"order_of_refund_{self.numbers}",
            amount=_money(self.amounts_picocents, self.currencies),
            exchange_rate=_written(self.rates_e12),
            fee=_written(self.fees_picocents),
            created_time=_time(self.created_us),
        )


@dataclass(frozen=True)
class RevenueDataSet:
    """Everything that was earned until a time."""

    end_us: int
    orders_count: int
    subscriptions_count: int

    @functools.cached_property
    def subscriptions(self) -> Subscriptions:
        """The subscriptions, in the order in which they began."""
        count = self.subscriptions_count
        chance = _chance("subscriptions")
        customers = chance.integers(0, CUSTOMERS, count)
        products = chance.integers(0, len(PLANS), count)
        currencies = _currencies()[customers]
        cycles = chance.choice(len(CYCLES), count, p=[cycle.share for cycle in CYCLES])
        started_us = np.sort(chance.integers(self.end_us - 36 * MONTH_US, self.end_us, count))
        trial_end_us = np.where(chance.random(count) < 1 / 8, started_us + 14 * DAY_US, NEVER)
        paid_from_us = np.where(trial_end_us != NEVER, trial_end_us, started_us)
        is_canceled = chance.random(count) < 1 / 4
        canceled_us = np.where(is_canceled, _between(chance, started_us, self.end_us), NEVER)
        is_uncanceled = is_canceled & (chance.random(count) < 1 / 8)
        uncanceled_us = np.where(is_uncanceled, _between(chance, canceled_us, self.end_us), NEVER)
        lengths_us = np.array([cycle.length_us for cycle in CYCLES])[cycles]
        paid_cycles = np.maximum(-((paid_from_us - canceled_us) // lengths_us), 0)
        is_ending = is_canceled & ~is_uncanceled
        ends_us = np.where(is_ending, paid_from_us + paid_cycles * lengths_us, NEVER)
        # Some do not end with the cycle but at once.
        is_revoked = is_ending & (chance.random(count) < 1 / 4)
        ended_us = np.where(
            is_revoked, canceled_us, np.where(ends_us < self.end_us, ends_us, NEVER)
        )
        times_us = (started_us, canceled_us, uncanceled_us, ended_us)
        known_us = [np.where(times != NEVER, times, 0) for times in times_us]
        return Subscriptions(
            numbers=np.arange(count),
            customers=customers,
            products=products,
            currencies=currencies,
            cycles=cycles,
            amounts_picocents=_prices()[products, currencies, cycles],
            started_us=started_us,
            trial_end_us=trial_end_us,
            canceled_us=canceled_us,
            reasons=np.where(is_canceled, chance.integers(0, len(CancelReason.keys()), count), 0),
            uncanceled_us=uncanceled_us,
            ends_us=ends_us,
            ended_us=ended_us,
            update_us=np.max(known_us, axis=0),
        )

    @functools.cached_property
    def orders(self) -> Orders:
        """The orders, in the order in which they were created."""
        subscriptions, cycles_us = self._cycles()
        once = self.orders_count - len(subscriptions)
        chance = _chance("orders")
        of = self.subscriptions
        customers_once = np.searchsorted(customer_shares(), chance.random(once), side="right")
        products_once = chance.integers(len(PLANS), len(PRODUCTS), once)
        created_us = np.concatenate([cycles_us, _between(chance, self._from_us, self.end_us, once)])
        customers = np.concatenate([of.customers[subscriptions], customers_once])
        products = np.concatenate([of.products[subscriptions], products_once])
        cycles = np.concatenate([of.cycles[subscriptions], np.zeros(once, np.int64)])
        currencies = _currencies()[customers]
        net_picocents = _prices()[products, currencies, cycles]
        rates_e12 = self._rates_e12(currencies, created_us)
        net_usd_picocents = _in_usd(net_picocents, rates_e12)
        # Of one in a hundred a half settles a debt, and of one a credit pays a half.
        balance = chance.choice([0, 1, -1], self.orders_count, p=[0.98, 0.01, 0.01])
        late_us = chance.choice([0, 2, -1], self.orders_count, p=[0.9, 0.09, 0.01]) * DAY_US
        unsorted = Orders(
            numbers=created_us,
            customers=customers,
            products=products,
            currencies=currencies,
            subscriptions=np.concatenate([subscriptions, np.full(once, NONE)]),
            rates_e12=rates_e12,
            net_picocents=net_picocents,
            net_usd_picocents=net_usd_picocents,
            applied_balance_picocents=balance * (net_picocents // 2),
            # 4 % and 40 cents.
            fees_picocents=net_usd_picocents // 25 + 40 * E12,
            created_us=created_us,
            paid_us=np.minimum(created_us + late_us, self.end_us),
        )
        ordered = unsorted.take(np.argsort(created_us, kind="stable"))
        ordered.numbers[:] = np.arange(self.orders_count)
        return ordered

    @functools.cached_property
    def refunds(self) -> Refunds:
        """Each of another order, but for a few of orders that are not recorded."""
        count = int(self.orders_count * REFUNDS_SHARE)
        chance = _chance("refunds")
        orders = self.orders.take(chance.choice(self.orders_count, count, replace=False))
        kinds = chance.choice(len(_KINDS), count, p=_KIND_SHARES)
        created_us = np.minimum(
            orders.created_us + chance.integers(0, 20 * DAY_US, count), self.end_us - 1
        )
        rates_e12 = self._rates_e12(orders.currencies, created_us)
        amounts_picocents = orders.net_picocents // chance.integers(1, 3, count)
        usd_picocents = _in_usd(amounts_picocents, rates_e12)
        fees_picocents = np.where(kinds == _KINDS.index("dispute"), 1_500 * E12, 0)
        gives_back = kinds < _KINDS.index("refund_reversal")
        return Refunds(
            numbers=np.arange(count),
            orders=np.where(chance.random(count) < 1 / 200, NONE, orders.numbers),
            kinds=kinds,
            currencies=orders.currencies,
            rates_e12=rates_e12,
            amounts_picocents=amounts_picocents,
            fees_picocents=fees_picocents,
            net_picocents=np.where(gives_back, -usd_picocents, usd_picocents) - fees_picocents,
            created_us=created_us,
        )

    @property
    def _from_us(self) -> int:
        return self.end_us - YEAR_SECONDS * SECOND_US

    def _cycles(self) -> tuple[Any, Any]:
        """The subscription that each cycle is of, by its place, and when it begins."""
        of = self.subscriptions
        lengths_us = np.array([cycle.length_us for cycle in CYCLES])[of.cycles]
        earliest = np.maximum(-((of.paid_from_us - self._from_us) // lengths_us), 0)
        most = YEAR_SECONDS * SECOND_US // min(cycle.length_us for cycle in CYCLES) + 1
        times_us = (
            of.paid_from_us[:, None] + (earliest[:, None] + np.arange(most)) * lengths_us[:, None]
        )
        subscriptions, number = np.nonzero(times_us < np.minimum(of.end_us, self.end_us)[:, None])
        cycles_us = times_us[subscriptions, number]
        latest = np.argsort(-cycles_us, kind="stable")[: int(self.orders_count * CYCLES_SHARE)]
        return subscriptions[latest], cycles_us[latest]

    def _rates_e12(self, currencies: Any, times_us: Any) -> Any:
        """The value of a unit at a time of the year: each day has its rate."""
        days = YEAR_SECONDS // 86_400
        chance = _chance("rates")
        rates = np.stack(
            [
                chance.integers(one.rate_e12 * 95 // 100, one.rate_e12 * 105 // 100, days)
                if one.rate_e12 != E12
                else np.full(days, E12)
                for one in CURRENCIES
            ]
        )
        return rates[currencies, (times_us - self._from_us) // DAY_US]


def _chance(what: str) -> Any:
    return np.random.default_rng([SEED, *what.encode()])


def _between(chance: Any, first: Any, end: int, count: int | None = None) -> Any:
    """Times from these on, before the end; of those that are after it nothing is asked."""
    return chance.integers(np.minimum(first, end - 1), end, count)


@functools.cache
def _currencies() -> Any:
    """That of each customer."""
    shares = [currency.share for currency in CURRENCIES]
    return _chance("currencies").choice(len(CURRENCIES), CUSTOMERS, p=shares)


@functools.cache
def _prices() -> Any:
    """By product, currency and cycle, in picocents; of packs the first cycle counts."""
    chance = _chance("prices")
    return np.array(
        [
            [
                [
                    # From 5 to 40 dollars a month, with 6 decimals of a cent.
                    int(usd_millionths * cycle.price * E12 / currency.rate_e12) * 10**6
                    for cycle in CYCLES
                ]
                for currency in CURRENCIES
            ]
            for usd_millionths in chance.integers(
                500_000_000, 4_000_000_000, len(PRODUCTS)
            ).tolist()
        ]
    )


def _in_usd(picocents: Any, rates_e12: Any) -> Any:
    pairs = zip(picocents.tolist(), rates_e12.tolist(), strict=True)
    return np.array([in_usd(*pair) for pair in pairs])


@functools.cache
def in_usd(picocents: int, rate_e12: int) -> int:
    """Rounded half-even."""
    return round(Fraction(picocents * rate_e12, E12))


@functools.cache
def _written(e12: int) -> str:
    return written(e12)


def _money(picocents: int, currency: int) -> Money:
    return Money(amount=_written(picocents), currency=CURRENCIES[currency].name)


def _time(us: int) -> Timestamp | None:
    if us == NEVER:
        return None
    seconds, microseconds = divmod(us, SECOND_US)
    return Timestamp(seconds=seconds, nanos=microseconds * 1_000)
