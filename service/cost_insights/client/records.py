"""Records that the service stores, with amounts as `Decimal` and times as aware `datetime`s.

Texts are empty where the messages in `proto/cost_insights/v1` leave them empty.
"""

import csv
import datetime
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, cast

from google.protobuf import struct_pb2, timestamp_pb2

from cost_insights.client import answers, inputs
from cost_insights.v1 import (
    cost_pb2,
    event_pb2,
    event_service_pb2,
    metrics_service_pb2,
    revenue_pb2,
    revenue_service_pb2,
)


@dataclass(frozen=True)
class Llm:
    """The LLM call that an event stands for; a count is 0 where it was not sent."""

    vendor: str
    model: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_input_tokens: int | None
    prompt: str | None
    response: str | None


@dataclass(frozen=True)
class Event:
    """A stored event; see `Event` in the proto."""

    id: str
    name: str
    customer_id: str
    external_customer_id: str
    timestamp: datetime.datetime
    external_id: str
    parent_id: str
    external_member_id: str
    cost: Decimal | None
    """In cents."""
    llm: Llm | None
    product_id: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class EventName:
    """A name of events."""

    name: str
    occurrences: int
    first_seen: datetime.datetime
    last_seen: datetime.datetime


@dataclass(frozen=True)
class CostRow:
    """The costs of a day, a customer, an event name, a model and a product."""

    start: datetime.datetime
    """When the day begins."""
    end: datetime.datetime
    external_customer_id: str
    customer_id: str
    event_name: str
    llm_vendor: str
    llm_model: str
    product_id: str
    events: int
    cost: Decimal
    """In cents."""


@dataclass(frozen=True)
class IntervalLimits:
    """The lengths of span that an interval allows, the last day minus the first; see
    `IntervalLimits` in the proto."""

    min_days: int
    max_days: int


@dataclass(frozen=True)
class MetricsLimits:
    """The spans that metrics can be asked for."""

    min_date: datetime.date
    intervals: Mapping[inputs.Interval, IntervalLimits]


@dataclass(frozen=True)
class RecordConflict:
    """An order or refund that was not stored: its id is taken by other content."""

    index: int
    id: str


@dataclass(frozen=True)
class Recorded:
    """The result of one call that stores orders or refunds."""

    inserted: int
    duplicates: int
    conflicts: tuple[RecordConflict, ...]


@dataclass(frozen=True)
class StatesRecorded:
    """The result of one call that stores states; `outcomes` are in the order of the call."""

    inserted: int
    updated: int
    unchanged: int
    outdated: int
    outcomes: tuple[inputs.Outcome, ...]


@dataclass(frozen=True)
class Money:
    """An amount in cents of a currency."""

    amount: Decimal
    currency: str


@dataclass(frozen=True)
class Order:
    """A paid order; see `Order` in the proto."""

    order_id: str
    external_customer_id: str
    customer_id: str
    product_id: str
    billing_type: inputs.BillingType
    subscription_id: str
    net_amount: Money
    exchange_rate: Decimal
    applied_balance: Decimal
    fee: Decimal
    created_time: datetime.datetime
    paid_time: datetime.datetime


@dataclass(frozen=True)
class Refund:
    """A refund, a dispute, or the reversal of one; see `Refund` in the proto."""

    refund_id: str
    kind: inputs.RefundKind
    order_id: str
    amount: Money
    exchange_rate: Decimal
    fee: Decimal
    created_time: datetime.datetime


@dataclass(frozen=True)
class Subscription:
    """A subscription as it is by all that is known of it; see `Subscription` in the proto."""

    subscription_id: str
    external_customer_id: str
    customer_id: str
    product_id: str
    amount: Money
    recurring_interval: inputs.RecurringInterval
    recurring_interval_count: int
    started_time: datetime.datetime
    trial_end_time: datetime.datetime | None
    canceled_time: datetime.datetime | None
    cancel_reason: inputs.CancelReason | None
    uncanceled_time: datetime.datetime | None
    ends_time: datetime.datetime | None
    ended_time: datetime.datetime | None
    update_time: datetime.datetime


@dataclass(frozen=True)
class Checkout:
    """A checkout as its latest state says; see `Checkout` in the proto."""

    checkout_id: str
    external_customer_id: str
    customer_id: str
    product_id: str
    billing_type: inputs.BillingType | None
    status: inputs.CheckoutStatus
    created_time: datetime.datetime
    opened_time: datetime.datetime | None
    update_time: datetime.datetime


@dataclass(frozen=True)
class Seat:
    """A seat as its latest state says; see `Seat` in the proto."""

    seat_id: str
    external_customer_id: str
    customer_id: str
    subscription_id: str
    order_id: str
    product_id: str
    created_time: datetime.datetime
    claimed_time: datetime.datetime | None
    revoked_time: datetime.datetime | None
    update_time: datetime.datetime


def metrics_limits(response: metrics_service_pb2.GetMetricsLimitsResponse) -> MetricsLimits:
    """The answer of `GetMetricsLimits`."""
    return MetricsLimits(
        min_date=datetime.date.fromisoformat(response.min_date),
        intervals={
            answers.word(each, "interval"): IntervalLimits(each.min_days, each.max_days)
            for each in response.intervals
        },
    )


def event(message: event_pb2.Event) -> Event:
    """A stored event."""
    return Event(
        id=message.id,
        name=message.name,
        customer_id=message.customer_id,
        external_customer_id=message.external_customer_id,
        timestamp=_time(message.timestamp),
        external_id=message.external_id,
        parent_id=message.parent_id,
        external_member_id=message.external_member_id,
        cost=Decimal(message.cost.amount) if message.HasField("cost") else None,
        llm=_llm(message.llm) if message.HasField("llm") else None,
        product_id=message.product_id,
        metadata={key: _plain(value) for key, value in message.metadata.items()},
    )


def events(page: event_service_pb2.ListEventsResponse) -> Iterator[Event]:
    """The events of a page."""
    return map(event, page.events)


def event_names(page: event_service_pb2.ListEventNamesResponse) -> Iterator[EventName]:
    """The names of a page."""
    for each in page.names:
        yield EventName(each.name, each.occurrences, _time(each.first_seen), _time(each.last_seen))


class CostReader:
    """Reads the parts of an export in the format of FOCUS, which has dollars."""

    def __init__(self) -> None:
        self._columns: list[str] = []

    def read(self, part: str) -> Iterator[CostRow]:
        """The rows of a part, which holds whole ones; the first part begins with the header."""
        # Not by `splitlines`, which also ends lines where a name has a separator of Unicode.
        rows = csv.reader(io.StringIO(part, newline=""))
        if not self._columns:
            self._columns = next(rows)
        for values in rows:
            row = dict(zip(self._columns, values, strict=True))
            yield CostRow(
                start=datetime.datetime.fromisoformat(row["ChargePeriodStart"]),
                end=datetime.datetime.fromisoformat(row["ChargePeriodEnd"]),
                external_customer_id=row["SubAccountName"],
                customer_id=row["SubAccountId"],
                event_name=row["ServiceName"],
                llm_vendor=row["x_ModelVendor"],
                llm_model=row["x_ModelName"],
                product_id=row["x_ProductId"],
                events=int(row["x_EventCount"]),
                cost=_cents(row["BilledCost"]),
            )


def orders_recorded(response: revenue_service_pb2.RecordOrdersResponse) -> Recorded:
    """The answer of `RecordOrders`."""
    return Recorded(
        response.inserted,
        response.duplicates,
        tuple(RecordConflict(each.index, each.order_id) for each in response.conflicts),
    )


def refunds_recorded(response: revenue_service_pb2.RecordRefundsResponse) -> Recorded:
    """The answer of `RecordRefunds`."""
    return Recorded(
        response.inserted,
        response.duplicates,
        tuple(RecordConflict(each.index, each.refund_id) for each in response.conflicts),
    )


def states_recorded(
    response: revenue_service_pb2.RecordSubscriptionsResponse
    | revenue_service_pb2.RecordCheckoutsResponse
    | revenue_service_pb2.RecordSeatsResponse,
) -> StatesRecorded:
    """The answer of a call that stores states."""
    names = answers.names(response.DESCRIPTOR.fields_by_name["outcomes"].enum_type)
    return StatesRecorded(
        response.inserted,
        response.updated,
        response.unchanged,
        response.outdated,
        tuple(cast(inputs.Outcome, names[each]) for each in response.outcomes),
    )


def orders(page: revenue_service_pb2.ListOrdersResponse) -> Iterator[Order]:
    """The orders of a page."""
    for each in page.orders:
        yield Order(
            order_id=each.order_id,
            external_customer_id=each.external_customer_id,
            customer_id=each.customer_id,
            product_id=each.product_id,
            billing_type=answers.word(each, "billing_type"),
            subscription_id=each.subscription_id,
            net_amount=_money(each.net_amount),
            exchange_rate=Decimal(each.exchange_rate),
            applied_balance=Decimal(each.applied_balance),
            fee=Decimal(each.fee),
            created_time=_time(each.created_time),
            paid_time=_time(each.paid_time),
        )


def refunds(page: revenue_service_pb2.ListRefundsResponse) -> Iterator[Refund]:
    """The refunds of a page."""
    for each in page.refunds:
        yield Refund(
            refund_id=each.refund_id,
            kind=answers.word(each, "kind"),
            order_id=each.order_id,
            amount=_money(each.amount),
            exchange_rate=Decimal(each.exchange_rate),
            fee=Decimal(each.fee),
            created_time=_time(each.created_time),
        )


def subscriptions(page: revenue_service_pb2.ListSubscriptionsResponse) -> Iterator[Subscription]:
    """The subscriptions of a page."""
    for each in page.subscriptions:
        yield Subscription(
            subscription_id=each.subscription_id,
            external_customer_id=each.external_customer_id,
            customer_id=each.customer_id,
            product_id=each.product_id,
            amount=_money(each.amount),
            recurring_interval=answers.word(each, "recurring_interval"),
            recurring_interval_count=each.recurring_interval_count,
            started_time=_time(each.started_time),
            trial_end_time=_time_of(each, "trial_end_time"),
            canceled_time=_time_of(each, "canceled_time"),
            cancel_reason=answers.word(each, "cancel_reason"),
            uncanceled_time=_time_of(each, "uncanceled_time"),
            ends_time=_time_of(each, "ends_time"),
            ended_time=_time_of(each, "ended_time"),
            update_time=_time(each.update_time),
        )


def checkouts(page: revenue_service_pb2.ListCheckoutsResponse) -> Iterator[Checkout]:
    """The checkouts of a page."""
    for each in page.checkouts:
        yield Checkout(
            checkout_id=each.checkout_id,
            external_customer_id=each.external_customer_id,
            customer_id=each.customer_id,
            product_id=each.product_id,
            billing_type=answers.word(each, "billing_type"),
            status=answers.word(each, "status"),
            created_time=_time(each.created_time),
            opened_time=_time_of(each, "opened_time"),
            update_time=_time(each.update_time),
        )


def seats(page: revenue_service_pb2.ListSeatsResponse) -> Iterator[Seat]:
    """The seats of a page."""
    for each in page.seats:
        yield Seat(
            seat_id=each.seat_id,
            external_customer_id=each.external_customer_id,
            customer_id=each.customer_id,
            subscription_id=each.subscription_id,
            order_id=each.order_id,
            product_id=each.product_id,
            created_time=_time(each.created_time),
            claimed_time=_time_of(each, "claimed_time"),
            revoked_time=_time_of(each, "revoked_time"),
            update_time=_time(each.update_time),
        )


def _cents(dollars: str) -> Decimal:
    # Without a context, which would round to 28 digits.
    sign, digits, exponent = Decimal(dollars).as_tuple()
    return Decimal((sign, digits, int(exponent) + 2))


def _plain(value: Any) -> Any:
    """A value of the metadata; every number of it is a double, whole ones become integers again."""
    if isinstance(value, struct_pb2.Struct):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, struct_pb2.ListValue):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _money(message: revenue_pb2.Money) -> Money:
    return Money(Decimal(message.amount), message.currency)


def _llm(message: cost_pb2.Llm) -> Llm:
    def given(name: Literal["cached_input_tokens", "prompt", "response"]) -> Any:
        return getattr(message, name) if message.HasField(name) else None

    return Llm(
        message.vendor,
        message.model,
        message.input_tokens,
        message.output_tokens,
        message.total_tokens,
        given("cached_input_tokens"),
        given("prompt"),
        given("response"),
    )


def _time(message: timestamp_pb2.Timestamp) -> datetime.datetime:
    return message.ToDatetime(datetime.UTC)


def _time_of(message: Any, field: str) -> datetime.datetime | None:
    return _time(getattr(message, field)) if message.HasField(field) else None
