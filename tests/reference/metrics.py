"""The slow twin of all metrics: what was spent, earned and kept, in the most obvious way.

It imports nothing of the product. Each metric of a period is a property of the name of
its slug, and looks at every fact again; the table `METRICS` says what each is of and how
its total comes about.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

from tests.reference import costs as reference
from tests.reference.costs import Event
from tests.reference.revenue import (
    BILLING_TYPES,
    CANCEL_REASONS,
    RECURRING,
    Booking,
    Checkout,
    Facts,
    Order,
    Seat,
    Subscription,
    add,
    billed_products,
    bookings_of,
    divide,
    exchange_rate,
    monthly_amount,
    text_of,
)

# What is asked of which facts


@dataclass(frozen=True)
class Part:
    """The facts that a number is of."""

    events: Sequence[Event]
    bookings: Sequence[Booking] = ()
    subscriptions: Sequence[Subscription] = ()
    checkouts: Sequence[Checkout] = ()
    seats: Sequence[Seat] = ()


@dataclass(frozen=True)
class Window:
    """A period: the part of it inside the span, and where it really starts and ends."""

    timestamp: str
    lower: datetime
    upper: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Span:
    """The days that are asked about, and their periods."""

    lower: datetime
    upper: datetime
    interval: str
    windows: Sequence[Window]

    def holds(self, moment: datetime) -> bool:
        """Whether it is inside."""
        return self.lower <= moment < self.upper


def span_of(first: date, last: date, zone: ZoneInfo, interval: str) -> Span:
    """The span from the first day to the last, both included."""
    periods = reference.periods_of(first, last, zone, interval)
    whole = pairwise(reference.whole_bounds_of(periods, last, zone, interval))
    return Span(
        reference.start_of_day(first, zone),
        reference.start_of_day(last + timedelta(days=1), zone),
        interval,
        [
            Window(period.timestamp, period.lower, period.upper, start, end)
            for period, (start, end) in zip(periods, whole, strict=True)
        ],
    )


# The metrics of a period

CHURN_WINDOW = timedelta(days=30)


class PeriodMetrics:
    """The metrics of one period of a part of the facts, each by the name of its slug."""

    def __init__(self, facts: Facts, part: Part, span: Span, window: Window) -> None:
        self._facts = facts
        self._part = part
        self._span = span
        self._window = window

    def number(self, slug: str) -> Fraction:
        """The metric of that slug."""
        return Fraction(getattr(self, slug))

    def _within(self, moment: datetime) -> bool:
        return self._window.lower <= moment < self._window.upper

    def _in_whole(self, moment: datetime) -> bool:
        return self._window.start <= moment < self._window.end

    # Costs

    @cached_property
    def _events(self) -> list[Event]:
        return [event for event in self._part.events if self._within(event.timestamp)]

    @property
    def costs(self) -> Fraction:
        return Fraction(reference.sum_costs(self._events))

    @property
    def cumulative_costs(self) -> Fraction:
        return Fraction(
            reference.sum_costs(
                event for event in self._part.events if event.timestamp < self._window.upper
            )
        )

    @property
    def active_user_by_event(self) -> int:
        return len({event.customer for event in self._events})

    @property
    def events(self) -> int:
        return len(self._events)

    @property
    def input_tokens(self) -> int:
        return sum(event.tokens.read for event in self._events)

    @property
    def cached_input_tokens(self) -> int:
        return sum(event.tokens.cached or 0 for event in self._events)

    @property
    def output_tokens(self) -> int:
        return sum(event.tokens.written for event in self._events)

    @property
    def total_tokens(self) -> int:
        return sum(event.tokens.all for event in self._events)

    @property
    def cost_per_1000_tokens(self) -> Fraction:
        return divide(1_000 * self.costs, self.total_tokens)

    @property
    def cached_share(self) -> Fraction:
        return divide(self.cached_input_tokens, self.input_tokens)

    @property
    def cost_per_user(self) -> Fraction:
        return divide(self.costs, self.active_user_by_event)

    # Revenue, at the time that orders were created

    @property
    def _earned(self) -> list[Booking]:
        return [booking for booking in self._part.bookings if self._within(booking.created)]

    @property
    def _earned_so_far(self) -> list[Booking]:
        return [one for one in self._part.bookings if one.created < self._window.upper]

    @property
    def revenue(self) -> Fraction:
        return add(booking.revenue for booking in self._earned)

    @property
    def net_revenue(self) -> Fraction:
        return add(booking.net_revenue for booking in self._earned)

    @property
    def cumulative_revenue(self) -> Fraction:
        return add(booking.revenue for booking in self._earned_so_far)

    @property
    def net_cumulative_revenue(self) -> Fraction:
        return add(booking.net_revenue for booking in self._earned_so_far)

    # Orders, at the time that they were paid

    @cached_property
    def _orders(self) -> list[tuple[Order, Booking]]:
        return [
            (booking.order, booking)
            for booking in self._part.bookings
            if booking.order is not None and self._within(booking.counted)
        ]

    @property
    def orders(self) -> int:
        return len(self._orders)

    @property
    def average_order_value(self) -> Fraction:
        return divide(add(booking.order_revenue for _, booking in self._orders), self.orders)

    @property
    def net_average_order_value(self) -> Fraction:
        return divide(add(booking.order_net_revenue for _, booking in self._orders), self.orders)

    @property
    def _one_time(self) -> list[Booking]:
        return [booking for order, booking in self._orders if not order.subscription_id]

    @property
    def one_time_products(self) -> int:
        return len(self._one_time)

    @property
    def one_time_products_revenue(self) -> Fraction:
        return add(booking.order_revenue for booking in self._one_time)

    @property
    def one_time_products_net_revenue(self) -> Fraction:
        return add(booking.order_net_revenue for booking in self._one_time)

    # Orders of subscriptions, whoever has them and whatever the product is

    @cached_property
    def _started_here(self) -> dict[str, bool]:
        """Whether each subscription started in this period, also outside the span."""
        return {
            subscription.subscription_id: self._in_whole(subscription.started)
            for subscription in self._facts.subscriptions
        }

    @property
    def _new(self) -> list[Booking]:
        started_here = self._started_here
        return [one for order, one in self._orders if started_here.get(order.subscription_id)]

    @property
    def _renewed(self) -> list[tuple[str, Booking]]:
        started_here = self._started_here
        return [
            (order.subscription_id, booking)
            for order, booking in self._orders
            if started_here.get(order.subscription_id) is False
        ]

    @property
    def new_subscriptions(self) -> int:
        return sum(
            self._in_whole(one.started)
            and one.started < self._span.upper
            and (one.end is None or one.end >= self._window.end)
            for one in self._part.subscriptions
        )

    @property
    def new_subscriptions_revenue(self) -> Fraction:
        return add(booking.order_revenue for booking in self._new)

    @property
    def new_subscriptions_net_revenue(self) -> Fraction:
        return add(booking.order_net_revenue for booking in self._new)

    @property
    def renewed_subscriptions(self) -> int:
        return len({subscription_id for subscription_id, _ in self._renewed})

    @property
    def renewed_subscriptions_revenue(self) -> Fraction:
        return add(booking.order_revenue for _, booking in self._renewed)

    @property
    def renewed_subscriptions_net_revenue(self) -> Fraction:
        return add(booking.order_net_revenue for _, booking in self._renewed)

    # Subscriptions, as they are at the end of the period

    @cached_property
    def _active(self) -> list[Subscription]:
        return [
            one
            for one in self._part.subscriptions
            if one.started < self._window.end
            and one.started < self._span.upper
            and (one.end is None or (one.end >= self._window.end and one.end >= self._span.lower))
        ]

    def _in_trial(self, one: Subscription) -> bool:
        return one.trial_end is not None and one.trial_end >= self._window.end

    @cached_property
    def _rates(self) -> dict[str, Fraction]:
        return {
            currency: exchange_rate(
                self._facts.orders, currency, self._window.start, self._window.end
            )
            for currency in {one.currency for one in self._active}
        }

    def _monthly(self, *, in_trial: bool, committed: bool) -> Fraction:
        return add(
            monthly_amount(one, self._rates[one.currency])
            for one in self._active
            if self._in_trial(one) == in_trial and (not committed or one.end is None)
        )

    @property
    def active_subscriptions(self) -> int:
        return len(self._active)

    @property
    def committed_subscriptions(self) -> int:
        return sum(one.end is None for one in self._active)

    @property
    def monthly_recurring_revenue(self) -> Fraction:
        return self._monthly(in_trial=False, committed=False)

    @property
    def committed_monthly_recurring_revenue(self) -> Fraction:
        return self._monthly(in_trial=False, committed=True)

    @property
    def trial_monthly_recurring_revenue(self) -> Fraction:
        return self._monthly(in_trial=True, committed=False)

    @property
    def trial_committed_monthly_recurring_revenue(self) -> Fraction:
        return self._monthly(in_trial=True, committed=True)

    @property
    def average_revenue_per_user(self) -> Fraction:
        return divide(self.monthly_recurring_revenue, len({one.customer for one in self._active}))

    @property
    def annual_recurring_revenue(self) -> Fraction:
        return 12 * self.monthly_recurring_revenue

    @property
    def committed_annual_recurring_revenue(self) -> Fraction:
        return 12 * self.committed_monthly_recurring_revenue

    # Subscriptions that end

    @property
    def churned_subscriptions(self) -> int:
        return sum(
            one.end is not None and self._within(one.end) for one in self._part.subscriptions
        )

    @property
    def churn_rate(self) -> Fraction:
        if self._span.interval == reference.YEAR:
            lower, upper = self._window.start, self._window.end
        else:
            lower, upper = self._window.start - CHURN_WINDOW, self._window.start
        return divide(
            sum(one.canceled_within(lower, upper) for one in self._part.subscriptions),
            sum(one.active_at(lower) for one in self._part.subscriptions),
        )

    @property
    def _canceled(self) -> list[Subscription]:
        lower, upper = self._window.lower, self._window.upper
        return [one for one in self._part.subscriptions if one.canceled_within(lower, upper)]

    def _canceled_for(self, reason: str) -> int:
        return sum((one.cancel_reason or "other") == reason for one in self._canceled)

    @property
    def canceled_subscriptions(self) -> int:
        return len(self._canceled)

    @property
    def canceled_subscriptions_customer_service(self) -> int:
        return self._canceled_for("customer_service")

    @property
    def canceled_subscriptions_low_quality(self) -> int:
        return self._canceled_for("low_quality")

    @property
    def canceled_subscriptions_missing_features(self) -> int:
        return self._canceled_for("missing_features")

    @property
    def canceled_subscriptions_switched_service(self) -> int:
        return self._canceled_for("switched_service")

    @property
    def canceled_subscriptions_too_complex(self) -> int:
        return self._canceled_for("too_complex")

    @property
    def canceled_subscriptions_too_expensive(self) -> int:
        return self._canceled_for("too_expensive")

    @property
    def canceled_subscriptions_unused(self) -> int:
        return self._canceled_for("unused")

    @property
    def canceled_subscriptions_other(self) -> int:
        return self._canceled_for("other")

    # Checkouts, at the time that they were opened

    @property
    def _checkouts(self) -> list[Checkout]:
        return [
            one
            for one in self._part.checkouts
            if one.counted is not None and self._within(one.counted)
        ]

    @property
    def checkouts(self) -> int:
        return len(self._checkouts)

    @property
    def succeeded_checkouts(self) -> int:
        return sum(one.status == "succeeded" for one in self._checkouts)

    @property
    def checkouts_conversion(self) -> Fraction:
        return divide(self.succeeded_checkouts, self.checkouts)

    # Seats, as they are at the end of the period

    @cached_property
    def _seats(self) -> list[Seat]:
        return [
            one
            for one in self._part.seats
            if one.created < self._window.end
            and one.created < self._span.upper
            and (one.revoked is None or one.revoked >= self._window.end)
        ]

    @property
    def seats_total(self) -> int:
        return len(self._seats)

    @property
    def seats_claimed(self) -> int:
        return sum(
            one.claimed is not None and one.claimed < self._window.end for one in self._seats
        )

    @property
    def seats_pending(self) -> int:
        return sum(one.claimed is None or one.claimed >= self._window.end for one in self._seats)

    @property
    def seat_customers(self) -> int:
        return len({one.customer for one in self._seats})

    @property
    def average_seats_per_customer(self) -> Fraction:
        return divide(self.seats_total, self.seat_customers)

    @property
    def seat_utilization_rate(self) -> Fraction:
        return divide(self.seats_claimed, self.seats_total)

    # Customers of seats who come and go

    @property
    def new_seat_customers(self) -> int:
        created = [
            min(one.created for one in self._part.seats if one.customer == customer)
            for customer in {one.customer for one in self._part.seats}
        ]
        return sum(self._in_whole(first) and first < self._span.upper for first in created)

    @property
    def churned_seat_customers(self) -> int:
        there = {one.customer for one in self._part.seats if one.revoked is None}
        gone = {one.customer for one in self._part.seats} - there
        return sum(
            self._in_whole(
                max(
                    one.revoked
                    for one in self._part.seats
                    if one.customer == customer and one.revoked is not None
                )
            )
            for customer in gone
        )

    # What follows from the others

    @property
    def ltv(self) -> Fraction:
        kept = self.average_revenue_per_user - self.cost_per_user
        return max(Fraction(0), divide(kept, self.churn_rate))

    @property
    def gross_margin(self) -> Fraction:
        return self.cumulative_revenue - self.cumulative_costs

    @property
    def gross_margin_percentage(self) -> Fraction:
        if self.cumulative_revenue <= 0:
            return Fraction(0)
        return divide(self.gross_margin, self.cumulative_revenue)

    @property
    def cashflow(self) -> Fraction:
        return self.revenue - self.costs


# The metrics of a span

EVENTS = frozenset({"events"})
ORDERS = frozenset({"orders"})
SUBSCRIPTIONS = frozenset({"subscriptions"})
CHECKOUTS = frozenset({"checkouts"})
SEATS = frozenset({"seats"})
"""The facts that a metric depends on, so that it has groups of their values."""

SUM, LAST, FORMULA = "sum", "last", "formula"
"""The ways in which the total of a metric follows from the numbers of the periods."""

NUMBER, COUNT = "number", "count"


@dataclass(frozen=True)
class Metric:
    """The definition of a metric."""

    families: frozenset[str]
    total: str
    kind: str = NUMBER


METRICS: Mapping[str, Metric] = {
    "costs": Metric(EVENTS, SUM),
    "cumulative_costs": Metric(EVENTS, LAST),
    "active_user_by_event": Metric(EVENTS, FORMULA, COUNT),
    "cost_per_user": Metric(EVENTS, FORMULA),
    "revenue": Metric(ORDERS, SUM),
    "net_revenue": Metric(ORDERS, SUM),
    "cumulative_revenue": Metric(ORDERS, LAST),
    "net_cumulative_revenue": Metric(ORDERS, LAST),
    "orders": Metric(ORDERS, SUM, COUNT),
    "average_order_value": Metric(ORDERS, FORMULA),
    "net_average_order_value": Metric(ORDERS, FORMULA),
    "one_time_products": Metric(ORDERS, SUM, COUNT),
    "one_time_products_revenue": Metric(ORDERS, SUM),
    "one_time_products_net_revenue": Metric(ORDERS, SUM),
    "new_subscriptions": Metric(SUBSCRIPTIONS, SUM, COUNT),
    "new_subscriptions_revenue": Metric(ORDERS, SUM),
    "new_subscriptions_net_revenue": Metric(ORDERS, SUM),
    "renewed_subscriptions": Metric(ORDERS, SUM, COUNT),
    "renewed_subscriptions_revenue": Metric(ORDERS, SUM),
    "renewed_subscriptions_net_revenue": Metric(ORDERS, SUM),
    "active_subscriptions": Metric(SUBSCRIPTIONS, LAST, COUNT),
    "committed_subscriptions": Metric(SUBSCRIPTIONS, LAST, COUNT),
    "monthly_recurring_revenue": Metric(SUBSCRIPTIONS, LAST),
    "committed_monthly_recurring_revenue": Metric(SUBSCRIPTIONS, LAST),
    "trial_monthly_recurring_revenue": Metric(SUBSCRIPTIONS, LAST),
    "trial_committed_monthly_recurring_revenue": Metric(SUBSCRIPTIONS, LAST),
    "average_revenue_per_user": Metric(SUBSCRIPTIONS, LAST),
    "annual_recurring_revenue": Metric(SUBSCRIPTIONS, LAST),
    "committed_annual_recurring_revenue": Metric(SUBSCRIPTIONS, LAST),
    "churned_subscriptions": Metric(SUBSCRIPTIONS, SUM, COUNT),
    "churn_rate": Metric(SUBSCRIPTIONS, LAST),
    "canceled_subscriptions": Metric(SUBSCRIPTIONS, SUM, COUNT),
    **{
        f"canceled_subscriptions_{reason}": Metric(SUBSCRIPTIONS, SUM, COUNT)
        for reason in CANCEL_REASONS
    },
    "ltv": Metric(EVENTS | SUBSCRIPTIONS, LAST),
    "gross_margin": Metric(EVENTS | ORDERS, LAST),
    "gross_margin_percentage": Metric(EVENTS | ORDERS, LAST),
    "cashflow": Metric(EVENTS | ORDERS, SUM),
    "checkouts": Metric(CHECKOUTS, SUM, COUNT),
    "succeeded_checkouts": Metric(CHECKOUTS, SUM, COUNT),
    "checkouts_conversion": Metric(CHECKOUTS, FORMULA),
    "seats_total": Metric(SEATS, LAST, COUNT),
    "seats_claimed": Metric(SEATS, LAST, COUNT),
    "seats_pending": Metric(SEATS, LAST, COUNT),
    "seat_customers": Metric(SEATS, LAST, COUNT),
    "new_seat_customers": Metric(SEATS, SUM, COUNT),
    "churned_seat_customers": Metric(SEATS, SUM, COUNT),
    "average_seats_per_customer": Metric(SEATS, LAST),
    "seat_utilization_rate": Metric(SEATS, LAST),
    "events": Metric(EVENTS, SUM, COUNT),
    "input_tokens": Metric(EVENTS, SUM, COUNT),
    "cached_input_tokens": Metric(EVENTS, SUM, COUNT),
    "output_tokens": Metric(EVENTS, SUM, COUNT),
    "total_tokens": Metric(EVENTS, SUM, COUNT),
    "cost_per_1000_tokens": Metric(EVENTS, FORMULA),
    "cached_share": Metric(EVENTS, FORMULA),
}
"""Every metric by its slug, in the order of answers."""

COSTS = tuple(slug for slug, metric in METRICS.items() if metric.families == EVENTS)
"""The metrics that groups of event names, vendors and models have."""

NOT_ADDITIVE = frozenset(
    {
        "active_user_by_event",
        "cost_per_user",
        "average_order_value",
        "net_average_order_value",
        "average_revenue_per_user",
        "churn_rate",
        "ltv",
        "gross_margin_percentage",
        "checkouts_conversion",
        "seat_customers",
        "new_seat_customers",
        "churned_seat_customers",
        "average_seats_per_customer",
        "seat_utilization_rate",
        "cost_per_1000_tokens",
        "cached_share",
    }
)
"""Numbers of distinct customers, and quotients: those of groups do not add up."""

HISTORIES: Mapping[str, Sequence[str]] = {
    "cumulative_costs": ["costs"],
    "cumulative_revenue": ["revenue"],
    "net_cumulative_revenue": ["net_revenue"],
    "gross_margin": ["costs", "revenue"],
    "gross_margin_percentage": ["costs", "revenue"],
}
"""The facts of which each cumulative metric includes the time before the span."""


class SpanMetrics:
    """The metrics of a part of the facts over a span, per period and in total."""

    def __init__(self, facts: Facts, part: Part, span: Span) -> None:
        self._part = part
        self._span = span
        self.periods = [PeriodMetrics(facts, part, span, window) for window in span.windows]

    def _sum(self, slug: str) -> Fraction:
        return add(period.number(slug) for period in self.periods)

    def total(self, slug: str) -> Fraction:
        """The metric over the whole span."""
        how = METRICS[slug].total
        if how == SUM:
            return self._sum(slug)
        if how == LAST:
            return self.periods[-1].number(slug) if self.periods else self._without_periods(slug)
        active = {one.customer for one in self._part.events if self._span.holds(one.timestamp)}
        return {
            "active_user_by_event": lambda: Fraction(len(active)),
            "cost_per_user": lambda: divide(self._sum("costs"), len(active)),
            "average_order_value": lambda: divide(self._sum("revenue"), self._sum("orders")),
            "net_average_order_value": lambda: divide(
                self._sum("net_revenue"), self._sum("orders")
            ),
            "checkouts_conversion": lambda: divide(
                self._sum("succeeded_checkouts"), self._sum("checkouts")
            ),
            "cost_per_1000_tokens": lambda: divide(
                1_000 * self._sum("costs"), self._sum("total_tokens")
            ),
            "cached_share": lambda: divide(
                self._sum("cached_input_tokens"), self._sum("input_tokens")
            ),
        }[slug]()

    def _without_periods(self, slug: str) -> Fraction:
        """A total of days that the local calendar left out: nothing but what was before."""
        if slug not in HISTORIES:
            return Fraction(0)
        start = self._span.lower
        window = Window("", start, start, start, start)
        return PeriodMetrics(Facts(), self._part, self._span, window).number(slug)

    def holds_anything(self, slugs: Iterable[str]) -> bool:
        """Whether a metric that can be added up would lack something without this part."""
        return any(
            any(self.history(what) != 0 for what in HISTORIES.get(slug, ()))
            or (slug not in NOT_ADDITIVE and any(one.number(slug) != 0 for one in self.periods))
            for slug in slugs
        )

    def history(self, what: str) -> Fraction:
        """The costs or the revenue of all time before the span."""
        lower = self._span.lower
        if what == "costs":
            return Fraction(
                reference.sum_costs(one for one in self._part.events if one.timestamp < lower)
            )
        return add(getattr(one, what) for one in self._part.bookings if one.created < lower)


# Answers

Numbers = Mapping[str, str | int]
"""Metrics by slug, as the service writes them."""

Rows = tuple[tuple[str, Numbers], ...]
"""The timestamp and the metrics of each period."""


@dataclass(frozen=True)
class Group:
    """The metrics of one value, or of all that have no group of their own."""

    value: str
    others: bool
    members: int
    periods: Rows
    totals: Numbers


@dataclass(frozen=True)
class Unattributed:
    """Costs that the filters cannot tell to be of which product."""

    costs: str
    share: str


@dataclass(frozen=True)
class Metrics:
    """The answer to one question."""

    periods: Rows
    totals: Numbers
    groups: tuple[Group, ...] = ()
    unattributed: Unattributed | None = None


def written(slugs: Iterable[str], number: Callable[[str], Fraction]) -> Numbers:
    """The metrics as the service writes them."""
    return {
        slug: int(number(slug)) if METRICS[slug].kind == COUNT else text_of(number(slug))
        for slug in slugs
    }


def rows_of(metrics: SpanMetrics, span: Span, slugs: Sequence[str]) -> Rows:
    """The metrics of each period, as the service writes them."""
    return tuple(
        (window.timestamp, written(slugs, period.number))
        for window, period in zip(span.windows, metrics.periods, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Only facts of any value of each list; an empty list means all."""

    customers: Collection[str] = ()
    names: Collection[str] = ()
    vendors: Collection[str] = ()
    models: Collection[str] = ()
    products: Collection[str] = ()
    billing_types: Collection[str] = ()

    def chosen(self, facts: Facts) -> Part:
        """The facts that remain under these filters."""
        recurring = not self.billing_types or RECURRING in self.billing_types
        billed = billed_products(facts, self.billing_types) if self.billing_types else ()
        return Part(
            [
                event
                for event in self.events_of_any_product(facts)
                if allows(self.products, event.product)
                and (not self.billing_types or event.product in billed)
            ],
            [
                booking
                for booking in bookings_of(facts)
                if allows(self.customers, booking.customer)
                and allows(self.products, booking.product)
                and allows(self.billing_types, booking.billing_type)
            ],
            [
                subscription
                for subscription in facts.subscriptions
                if allows(self.customers, subscription.customer)
                and allows(self.products, subscription.product)
                and recurring
            ],
            [one for one in facts.checkouts if self._allows_purchase(one)],
            [one for one in facts.seats if self._allows_purchase(one)],
        )

    def _allows_purchase(self, one: Checkout | Seat) -> bool:
        return (
            allows(self.customers, one.customer)
            and allows(self.products, one.product)
            and allows(self.billing_types, one.billing_type)
        )

    def events_of_any_product(self, facts: Facts) -> list[Event]:
        """The events that all filters but those of products and billing types let through."""
        return [
            event
            for event in facts.events
            if allows(self.customers, event.customer)
            and allows(self.names, event.name)
            and allows(self.vendors, event.vendor)
            and allows(self.models, event.model)
        ]

    def unattributed(self, facts: Facts, span: Span) -> Unattributed | None:
        """The costs of events that name no product, or one that nobody pays for."""
        if not self.products and not self.billing_types:
            return None
        events = [one for one in self.events_of_any_product(facts) if span.holds(one.timestamp)]
        known = billed_products(facts, BILLING_TYPES)
        costs = Fraction(
            reference.sum_costs(
                event
                for event in events
                if not event.product or (self.billing_types and event.product not in known)
            )
        )
        share = divide(costs, Fraction(reference.sum_costs(events)))
        return Unattributed(text_of(costs), text_of(share))


EVERYTHING = Filters()


def allows(values: Collection[str], value: str) -> bool:
    """Whether a filter lets a value through."""
    return not values or value in values


# Groups

GROUPINGS: Mapping[str, str] = {
    "event_name": "name",
    "llm_vendor": "vendor",
    "llm_model": "model",
    "customer": "customer",
    "product": "product",
}
"""The dimensions that answers are grouped by, and the part of a fact that each is about."""

REVENUE_GROUPINGS = ("customer", "product")


Fact = Event | Booking | Subscription | Checkout | Seat


def value_of(fact: Fact, group_by: str) -> str:
    """The value that a fact is grouped by."""
    value: str = getattr(fact, GROUPINGS[group_by])
    return value


def part_of(part: Part, group_by: str, belongs: Callable[[str], bool]) -> Part:
    """The facts of some values; revenue has no event name, vendor or model."""
    events = [one for one in part.events if belongs(value_of(one, group_by))]
    if group_by not in REVENUE_GROUPINGS:
        return Part(events)
    return Part(
        events,
        [one for one in part.bookings if belongs(value_of(one, group_by))],
        [one for one in part.subscriptions if belongs(value_of(one, group_by))],
        [one for one in part.checkouts if belongs(value_of(one, group_by))],
        [one for one in part.seats if belongs(value_of(one, group_by))],
    )


def members_of(part: Part, span: Span, group_by: str, slugs: Iterable[str]) -> set[str]:
    """The values with anything in the span that one of the metrics depends on."""
    families = frozenset[str]().union(*(METRICS[slug].families for slug in slugs))
    facts: list[Fact] = []
    if families & EVENTS:
        facts += [one for one in part.events if span.holds(one.timestamp)]
    if families & ORDERS:
        facts += [
            one for one in part.bookings if span.holds(one.created) or span.holds(one.counted)
        ]
    # Gauges are of periods: where there are none, no subscription counts.
    if families & SUBSCRIPTIONS and span.windows:
        facts += [
            one
            for one in part.subscriptions
            if one.started < span.upper and (one.end is None or one.end >= span.lower)
        ]
    if families & CHECKOUTS:
        facts += [
            one
            for one in part.checkouts
            if span.windows and one.counted is not None and span.holds(one.counted)
        ]
    if families & SEATS and span.windows:
        facts += [
            one
            for one in part.seats
            if one.created < span.windows[-1].end
            and (one.revoked is None or one.revoked >= span.windows[0].start)
        ]
    values = {value_of(one, group_by) for one in facts}
    # A refund of an order that nobody knows is of no customer, so of the others; so is a checkout
    # of nobody.
    return values - {""} if group_by == "customer" else values


def groups_of(
    facts: Facts,
    part: Part,
    span: Span,
    slugs: Sequence[str],
    *,
    group_by: str,
    order_by: str,
    groups_max: int,
) -> Iterator[Group]:
    """The groups in their order, the one of the others last."""
    if group_by not in REVENUE_GROUPINGS:
        slugs = [slug for slug in slugs if slug in COSTS]
        part = Part(part.events)

    def metrics_where(belongs: Callable[[str], bool]) -> SpanMetrics:
        return SpanMetrics(facts, part_of(part, group_by, belongs), span)

    def group(value: str, metrics: SpanMetrics, *, others: bool, members: int) -> Group:
        rows = rows_of(metrics, span, slugs)
        return Group(value, others, members, rows, written(slugs, metrics.total))

    each = {
        value: metrics_where(lambda one, value=value: one == value)  # type: ignore[misc]
        for value in members_of(part, span, group_by, slugs)
    }
    slug, _, direction = order_by.partition(" ")
    sign = 1 if direction == "asc" else -1
    ranked = sorted(each, key=lambda value: (sign * each[value].total(slug), value))
    shown = ranked[:groups_max]
    for value in shown:
        yield group(value, each[value], others=False, members=1)
    others = metrics_where(lambda one: one not in shown)
    if len(ranked) > len(shown) or others.holds_anything(slugs):
        yield group("", others, others=True, members=len(ranked) - len(shown))


def metrics_of(
    facts: Facts,
    first: date,
    last: date,
    zone: ZoneInfo,
    interval: str,
    *,
    metrics: Collection[str] = (),
    filters: Filters = EVERYTHING,
    group_by: str | None = None,
    order_by: str = "costs desc",
    groups_max: int = 10,
) -> Metrics:
    """The metrics of these slugs, or all of them, of the facts that the filters choose."""
    slugs = [slug for slug in METRICS if not metrics or slug in metrics]
    span = span_of(first, last, zone, interval)
    part = filters.chosen(facts)
    whole = SpanMetrics(facts, part, span)
    groups: Iterable[Group] = ()
    if group_by is not None:
        groups = groups_of(
            facts,
            part,
            span,
            slugs,
            group_by=group_by,
            order_by=order_by,
            groups_max=groups_max,
        )
    return Metrics(
        rows_of(whole, span, slugs),
        written(slugs, whole.total),
        tuple(groups),
        filters.unattributed(facts, span),
    )
