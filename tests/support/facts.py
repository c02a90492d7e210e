"""Facts and questions of the slow twin as they are sent, answers as the twin writes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from google.protobuf import timestamp_pb2

from cost_insights.v1 import (
    cost_pb2,
    event_pb2,
    metrics_service_pb2,
    revenue_pb2,
    revenue_service_pb2,
)
from tests.reference import costs as reference
from tests.reference import metrics as reference_metrics
from tests.reference.metrics import EVERYTHING, METRICS, Filters, Metrics
from tests.reference.revenue import Checkout, Facts, Order, Refund, Seat, Subscription
from tests.support.service import Caller, new_event


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of a name, loaded once."""
    return ZoneInfo(name)


# Facts


def sent(event: reference.Event) -> event_pb2.NewEvent:
    """The event as it is sent."""
    return new_event(
        name=event.name,
        external_customer_id=event.customer,
        timestamp=stamp_of(event.timestamp),
        cost=None if event.cents is None else str(event.cents),
        llm=sent_call(event.vendor, event.model, event.tokens) if event.vendor else None,
        product_id=event.product,
    )


def sent_call(vendor: str, model: str, tokens: reference.Tokens) -> cost_pb2.Llm:
    """An LLM call as it is sent."""
    return cost_pb2.Llm(
        vendor=vendor,
        model=model,
        input_tokens=tokens.read,
        output_tokens=tokens.written,
        total_tokens=tokens.total,
        cached_input_tokens=tokens.cached,
    )


def sent_order(order: Order) -> revenue_pb2.NewOrder:
    """The order as it is sent."""
    return revenue_pb2.NewOrder(
        order_id=order.order_id,
        external_customer_id=order.customer,
        product_id=order.product,
        billing_type=revenue_pb2.BillingType.Value(f"BILLING_TYPE_{order.billing_type.upper()}"),
        subscription_id=order.subscription_id,
        net_amount=money_of(order.cents, order.currency),
        exchange_rate=text_of_rate(order.currency, order.exchange_rate),
        applied_balance=reference.format_amount(order.applied_balance),
        fee=reference.format_amount(order.fee),
        created_time=stamp_of(order.created),
        paid_time=optional_stamp_of(order.paid),
    )


def sent_refund(refund: Refund) -> revenue_pb2.Refund:
    """The refund as it is sent."""
    return revenue_pb2.Refund(
        refund_id=refund.refund_id,
        kind=revenue_pb2.RefundKind.Value(f"REFUND_KIND_{refund.kind.upper()}"),
        order_id=refund.order_id,
        amount=money_of(refund.cents, refund.currency),
        exchange_rate=text_of_rate(refund.currency, refund.exchange_rate),
        fee=reference.format_amount(refund.fee),
        created_time=stamp_of(refund.created),
    )


def sent_subscription(subscription: Subscription, updated: datetime) -> revenue_pb2.NewSubscription:
    """The state of the subscription as it is sent."""
    reason = (subscription.cancel_reason or "unspecified").upper()
    return revenue_pb2.NewSubscription(
        subscription_id=subscription.subscription_id,
        external_customer_id=subscription.customer,
        product_id=subscription.product,
        amount=money_of(subscription.cents, subscription.currency),
        recurring_interval=revenue_pb2.RecurringInterval.Value(
            f"RECURRING_INTERVAL_{subscription.interval.upper()}"
        ),
        recurring_interval_count=subscription.interval_count,
        started_time=stamp_of(subscription.started),
        trial_end_time=optional_stamp_of(subscription.trial_end),
        canceled_time=optional_stamp_of(subscription.canceled),
        cancel_reason=revenue_pb2.CancelReason.Value(f"CANCEL_REASON_{reason}"),
        uncanceled_time=optional_stamp_of(subscription.uncanceled),
        ends_time=optional_stamp_of(subscription.ends),
        ended_time=optional_stamp_of(subscription.ended),
        update_time=stamp_of(updated),
    )


def sent_checkout(checkout: Checkout, updated: datetime) -> revenue_pb2.NewCheckout:
    """The state of the checkout as it is sent."""
    billing_type = (checkout.billing_type or "unspecified").upper()
    message = revenue_pb2.NewCheckout(
        checkout_id=checkout.checkout_id,
        product_id=checkout.product,
        billing_type=revenue_pb2.BillingType.Value(f"BILLING_TYPE_{billing_type}"),
        status=revenue_pb2.CheckoutStatus.Value(f"CHECKOUT_STATUS_{checkout.status.upper()}"),
        created_time=stamp_of(checkout.created),
        opened_time=optional_stamp_of(checkout.opened),
        update_time=stamp_of(updated),
    )
    if checkout.customer:
        message.external_customer_id = checkout.customer
    return message


def sent_seat(seat: Seat, updated: datetime) -> revenue_pb2.NewSeat:
    """The state of the seat as it is sent; that of no subscription is one of an order."""
    message = revenue_pb2.NewSeat(
        seat_id=seat.seat_id,
        external_customer_id=seat.customer,
        product_id=seat.product,
        created_time=stamp_of(seat.created),
        claimed_time=optional_stamp_of(seat.claimed),
        revoked_time=optional_stamp_of(seat.revoked),
        update_time=stamp_of(updated),
    )
    if seat.subscription_id:
        message.subscription_id = seat.subscription_id
    else:
        message.order_id = "order"
    return message


def money_of(cents: Decimal, currency: str) -> revenue_pb2.Money:
    """The amount as it is sent."""
    return revenue_pb2.Money(amount=reference.format_amount(cents), currency=currency)


def text_of_rate(currency: str, rate: Decimal) -> str:
    """The exchange rate as it is sent; usd has none."""
    return "" if currency == "usd" else reference.format_amount(rate)


def stamp_of(moment: datetime) -> timestamp_pb2.Timestamp:
    """The time as it is sent."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC).replace(tzinfo=None))
    return stamp


def optional_stamp_of(moment: datetime | None) -> timestamp_pb2.Timestamp | None:
    """The time as it is sent, if there is one."""
    return None if moment is None else stamp_of(moment)


def record_orders(caller: Caller, orders: Iterable[revenue_pb2.NewOrder]) -> None:
    """Records orders in one call."""
    request = revenue_service_pb2.RecordOrdersRequest(orders=orders)
    caller.revenue.RecordOrders(request, metadata=caller.metadata)


def record_refunds(caller: Caller, refunds: Iterable[revenue_pb2.Refund]) -> None:
    """Records refunds in one call."""
    request = revenue_service_pb2.RecordRefundsRequest(refunds=refunds)
    caller.revenue.RecordRefunds(request, metadata=caller.metadata)


def record_subscriptions(
    caller: Caller, subscriptions: Iterable[revenue_pb2.NewSubscription]
) -> None:
    """Records states of subscriptions in one call."""
    request = revenue_service_pb2.RecordSubscriptionsRequest(subscriptions=subscriptions)
    caller.revenue.RecordSubscriptions(request, metadata=caller.metadata)


def record_checkouts(caller: Caller, checkouts: Iterable[revenue_pb2.NewCheckout]) -> None:
    """Records states of checkouts in one call."""
    request = revenue_service_pb2.RecordCheckoutsRequest(checkouts=checkouts)
    caller.revenue.RecordCheckouts(request, metadata=caller.metadata)


def record_seats(caller: Caller, seats: Iterable[revenue_pb2.NewSeat]) -> None:
    """Records states of seats in one call."""
    request = revenue_service_pb2.RecordSeatsRequest(seats=seats)
    caller.revenue.RecordSeats(request, metadata=caller.metadata)


def record(caller: Caller, facts: Facts) -> None:
    """Sends everything, each kind that there is in one call."""
    if facts.events:
        caller.ingest(*map(sent, facts.events))
    if facts.orders:
        record_orders(caller, map(sent_order, facts.orders))
    if facts.refunds:
        record_refunds(caller, map(sent_refund, facts.refunds))
    long_ago = datetime(2001, 9, 9, tzinfo=UTC)
    if facts.subscriptions:
        record_subscriptions(
            caller, [sent_subscription(one, long_ago) for one in facts.subscriptions]
        )
    if facts.checkouts:
        record_checkouts(caller, [sent_checkout(one, long_ago) for one in facts.checkouts])
    if facts.seats:
        record_seats(caller, [sent_seat(one, long_ago) for one in facts.seats])


# Questions and answers


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question to the service and the twin."""

    first: date
    last: date
    interval: str = reference.DAY
    zone: str = "UTC"
    metrics: Sequence[str] = ()
    filters: Filters = EVERYTHING
    group_by: str | None = None
    order_by: str = ""
    groups_max: int = 10

    def request(self) -> metrics_service_pb2.GetMetricsRequest:
        """The request that is sent."""
        return metrics_service_pb2.GetMetricsRequest(
            start_date=str(self.first),
            end_date=str(self.last),
            timezone=self.zone,
            interval=metrics_service_pb2.Interval.Value(f"INTERVAL_{self.interval.upper()}"),
            external_customer_ids=self.filters.customers,
            event_names=self.filters.names,
            llm_vendors=self.filters.vendors,
            llm_models=self.filters.models,
            product_ids=self.filters.products,
            billing_types=[
                revenue_pb2.BillingType.Value(f"BILLING_TYPE_{billing_type.upper()}")
                for billing_type in self.filters.billing_types
            ],
            metrics=self.metrics,
            group_by=metrics_service_pb2.GroupBy.Value(
                f"GROUP_BY_{(self.group_by or 'unspecified').upper()}"
            ),
            order_by=self.order_by,
            groups_max=self.groups_max,
        )

    def asked(self, caller: Caller) -> Metrics:
        """The answer of the service."""
        answer = caller.metrics.GetMetrics(self.request(), metadata=caller.metadata, timeout=60)
        wanted = [slug for slug in METRICS if slug in (self.metrics or METRICS)]
        assert [metric.slug for metric in answer.metrics] == wanted
        return metrics_on_paper(answer)

    def on_paper(self, facts: Facts) -> Metrics:
        """The answer of the twin."""
        return reference_metrics.metrics_of(
            facts,
            self.first,
            self.last,
            zone_of(self.zone),
            self.interval,
            metrics=self.metrics,
            filters=self.filters,
            group_by=self.group_by,
            order_by=self.order_by or "costs desc",
            groups_max=self.groups_max,
        )


def numbers_of(
    one: metrics_service_pb2.MetricsPeriod | metrics_service_pb2.MetricsTotals,
) -> dict[str, Any]:
    """The metrics that are present, by slug."""
    return {field.name: value for field, value in one.ListFields() if field.name != "timestamp"}


def rows_of(periods: Iterable[metrics_service_pb2.MetricsPeriod]) -> reference_metrics.Rows:
    """The timestamp and the metrics of each period."""
    return tuple((period.timestamp, numbers_of(period)) for period in periods)


def metrics_on_paper(answer: metrics_service_pb2.GetMetricsResponse) -> Metrics:
    """An answer, as the twin writes it."""
    return Metrics(
        rows_of(answer.periods),
        numbers_of(answer.totals),
        tuple(
            reference_metrics.Group(
                group.value,
                group.others,
                group.members,
                rows_of(group.periods),
                numbers_of(group.totals),
            )
            for group in answer.groups
        ),
        reference_metrics.Unattributed(answer.unattributed.costs, answer.unattributed.share)
        if answer.HasField("unattributed")
        else None,
    )
