"""`cost_insights.v1.RevenueService`.

Records are read from their messages in a thread: a thousand of them take a while,
and other calls would wait.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import timestamp_pb2

from cost_insights import clock
from cost_insights.amounts import format_amount
from cost_insights.api.listing import list_call
from cost_insights.api.operations import Call
from cost_insights.api.reading import Checks
from cost_insights.api.revenue_records import (
    new_checkouts,
    new_orders,
    new_refunds,
    new_seats,
    new_subscriptions,
    revenue_question,
    slug_prefix,
)
from cost_insights.api.times import timestamp_of
from cost_insights.api.work import Work
from cost_insights.identity import Caller
from cost_insights.revenue import (
    Recorder,
    Refund,
    RevenueQuestion,
    RevenueReader,
    StateOutcome,
    StoredCheckout,
    StoredOrder,
    StoredSeat,
    StoredSubscription,
)
from cost_insights.v1 import revenue_pb2, revenue_service_pb2

_SERVICE = "/cost_insights.v1.RevenueService"

_SUBSCRIPTION_OUTCOMES: Mapping[StateOutcome, revenue_service_pb2.SubscriptionOutcome.ValueType] = {
    StateOutcome.INSERTED: revenue_service_pb2.SUBSCRIPTION_OUTCOME_INSERTED,
    StateOutcome.UPDATED: revenue_service_pb2.SUBSCRIPTION_OUTCOME_UPDATED,
    StateOutcome.UNCHANGED: revenue_service_pb2.SUBSCRIPTION_OUTCOME_UNCHANGED,
    StateOutcome.OUTDATED: revenue_service_pb2.SUBSCRIPTION_OUTCOME_OUTDATED,
}

_STATE_OUTCOMES: Mapping[StateOutcome, revenue_service_pb2.StateOutcome.ValueType] = {
    StateOutcome.INSERTED: revenue_service_pb2.STATE_OUTCOME_INSERTED,
    StateOutcome.UPDATED: revenue_service_pb2.STATE_OUTCOME_UPDATED,
    StateOutcome.UNCHANGED: revenue_service_pb2.STATE_OUTCOME_UNCHANGED,
    StateOutcome.OUTDATED: revenue_service_pb2.STATE_OUTCOME_OUTDATED,
}


def revenue_calls(
    recorder: Recorder, reader: RevenueReader, work: Work, *, clock_skew_ms: int
) -> Mapping[str, Call]:
    """The calls of the service by their paths."""

    def latest_us() -> int:
        return clock.now_us() + clock_skew_ms * 1_000

    async def record_orders(
        caller: Caller, request: revenue_service_pb2.RecordOrdersRequest
    ) -> revenue_service_pb2.RecordOrdersResponse:
        orders = await asyncio.to_thread(new_orders, request, latest_us=latest_us())
        recorded = await work.record(
            caller.organization, lambda: recorder.orders(caller.organization, orders)
        )
        return revenue_service_pb2.RecordOrdersResponse(
            inserted=recorded.inserted,
            duplicates=recorded.duplicates,
            conflicts=[
                revenue_service_pb2.OrderConflict(index=index, order_id=order_id)
                for index, order_id in recorded.conflicts
            ],
        )

    async def record_refunds(
        caller: Caller, request: revenue_service_pb2.RecordRefundsRequest
    ) -> revenue_service_pb2.RecordRefundsResponse:
        refunds = await asyncio.to_thread(new_refunds, request, latest_us=latest_us())
        recorded = await work.record(
            caller.organization, lambda: recorder.refunds(caller.organization, refunds)
        )
        return revenue_service_pb2.RecordRefundsResponse(
            inserted=recorded.inserted,
            duplicates=recorded.duplicates,
            conflicts=[
                revenue_service_pb2.RefundConflict(index=index, refund_id=refund_id)
                for index, refund_id in recorded.conflicts
            ],
        )

    async def record_subscriptions(
        caller: Caller, request: revenue_service_pb2.RecordSubscriptionsRequest
    ) -> revenue_service_pb2.RecordSubscriptionsResponse:
        subscriptions = await asyncio.to_thread(new_subscriptions, request, latest_us=latest_us())
        outcomes = await work.record(
            caller.organization, lambda: recorder.subscriptions(caller.organization, subscriptions)
        )
        return revenue_service_pb2.RecordSubscriptionsResponse(
            **_counts(outcomes), outcomes=[_SUBSCRIPTION_OUTCOMES[outcome] for outcome in outcomes]
        )

    async def record_checkouts(
        caller: Caller, request: revenue_service_pb2.RecordCheckoutsRequest
    ) -> revenue_service_pb2.RecordCheckoutsResponse:
        checkouts = await asyncio.to_thread(new_checkouts, request, latest_us=latest_us())
        outcomes = await work.record(
            caller.organization, lambda: recorder.checkouts(caller.organization, checkouts)
        )
        return revenue_service_pb2.RecordCheckoutsResponse(
            **_counts(outcomes), outcomes=[_STATE_OUTCOMES[outcome] for outcome in outcomes]
        )

    async def record_seats(
        caller: Caller, request: revenue_service_pb2.RecordSeatsRequest
    ) -> revenue_service_pb2.RecordSeatsResponse:
        seats = await asyncio.to_thread(new_seats, request, latest_us=latest_us())
        outcomes = await work.record(
            caller.organization, lambda: recorder.seats(caller.organization, seats)
        )
        return revenue_service_pb2.RecordSeatsResponse(
            **_counts(outcomes), outcomes=[_STATE_OUTCOMES[outcome] for outcome in outcomes]
        )

    list_orders = list_call(
        work,
        revenue_question,
        reader.orders,
        lambda orders, next_page_token: revenue_service_pb2.ListOrdersResponse(
            orders=map(_order, orders), next_page_token=next_page_token
        ),
    )
    list_refunds = list_call(
        work,
        revenue_question,
        reader.refunds,
        lambda refunds, next_page_token: revenue_service_pb2.ListRefundsResponse(
            refunds=map(_refund, refunds), next_page_token=next_page_token
        ),
    )
    list_subscriptions = list_call(
        work,
        _subscription_question,
        reader.subscriptions,
        lambda subscriptions, next_page_token: revenue_service_pb2.ListSubscriptionsResponse(
            subscriptions=map(_subscription, subscriptions), next_page_token=next_page_token
        ),
    )
    list_checkouts = list_call(
        work,
        revenue_question,
        reader.checkouts,
        lambda checkouts, next_page_token: revenue_service_pb2.ListCheckoutsResponse(
            checkouts=map(_checkout, checkouts), next_page_token=next_page_token
        ),
    )
    list_seats = list_call(
        work,
        revenue_question,
        reader.seats,
        lambda seats, next_page_token: revenue_service_pb2.ListSeatsResponse(
            seats=map(_seat, seats), next_page_token=next_page_token
        ),
    )

    return {
        f"{_SERVICE}/RecordOrders": record_orders,
        f"{_SERVICE}/RecordRefunds": record_refunds,
        f"{_SERVICE}/RecordSubscriptions": record_subscriptions,
        f"{_SERVICE}/RecordCheckouts": record_checkouts,
        f"{_SERVICE}/RecordSeats": record_seats,
        f"{_SERVICE}/ListOrders": list_orders,
        f"{_SERVICE}/ListRefunds": list_refunds,
        f"{_SERVICE}/ListSubscriptions": list_subscriptions,
        f"{_SERVICE}/ListCheckouts": list_checkouts,
        f"{_SERVICE}/ListSeats": list_seats,
    }


def _subscription_question(
    checks: Checks, request: revenue_service_pb2.ListSubscriptionsRequest
) -> RevenueQuestion:
    return dataclasses.replace(
        revenue_question(checks, request),
        active=request.active if request.HasField("active") else None,
    )


def _counts(outcomes: Sequence[StateOutcome]) -> dict[str, int]:
    """The number of states with each outcome, by field."""
    return {outcome.name.lower(): outcomes.count(outcome) for outcome in StateOutcome}


def _order(order: StoredOrder) -> revenue_pb2.Order:
    return revenue_pb2.Order(
        order_id=order.order_id,
        external_customer_id=order.external_customer_id,
        customer_id=str(order.customer_id),
        product_id=order.product_id,
        billing_type=_number(revenue_pb2.BillingType, order.billing_type),
        subscription_id=order.subscription_id,
        net_amount=_money(order.net_picocents, order.currency),
        exchange_rate=format_amount(order.exchange_rate_e12),
        applied_balance=format_amount(order.applied_balance_picocents),
        fee=format_amount(order.fee_picocents),
        created_time=timestamp_of(order.created_us),
        paid_time=timestamp_of(order.paid_us),
    )


def _refund(refund: Refund) -> revenue_pb2.Refund:
    return revenue_pb2.Refund(
        refund_id=refund.refund_id,
        kind=_number(revenue_pb2.RefundKind, refund.kind),
        order_id=refund.order_id,
        amount=_money(refund.amount_picocents, refund.currency),
        exchange_rate=format_amount(refund.exchange_rate_e12),
        fee=format_amount(refund.fee_picocents),
        created_time=timestamp_of(refund.created_us),
    )


def _subscription(subscription: StoredSubscription) -> revenue_pb2.Subscription:
    return revenue_pb2.Subscription(
        subscription_id=subscription.subscription_id,
        external_customer_id=subscription.external_customer_id,
        customer_id=str(subscription.customer_id),
        product_id=subscription.product_id,
        amount=_money(subscription.amount_picocents, subscription.currency),
        recurring_interval=_number(revenue_pb2.RecurringInterval, subscription.recurring_interval),
        recurring_interval_count=subscription.recurring_interval_count,
        started_time=timestamp_of(subscription.started_us),
        cancel_reason=_number(revenue_pb2.CancelReason, subscription.cancel_reason),
        update_time=timestamp_of(subscription.update_us),
        **_times(
            trial_end_time=subscription.trial_end_us,
            canceled_time=subscription.canceled_us,
            uncanceled_time=subscription.uncanceled_us,
            ends_time=subscription.ends_us,
            ended_time=subscription.ended_us,
        ),
    )


def _checkout(checkout: StoredCheckout) -> revenue_pb2.Checkout:
    return revenue_pb2.Checkout(
        checkout_id=checkout.checkout_id,
        external_customer_id=checkout.external_customer_id or "",
        customer_id="" if checkout.customer_id is None else str(checkout.customer_id),
        product_id=checkout.product_id,
        billing_type=_number(revenue_pb2.BillingType, checkout.billing_type),
        status=_number(revenue_pb2.CheckoutStatus, checkout.status),
        created_time=timestamp_of(checkout.created_us),
        update_time=timestamp_of(checkout.update_us),
        **_times(opened_time=checkout.opened_us),
    )


def _seat(seat: StoredSeat) -> revenue_pb2.Seat:
    return revenue_pb2.Seat(
        seat_id=seat.seat_id,
        external_customer_id=seat.external_customer_id,
        customer_id=str(seat.customer_id),
        subscription_id=seat.subscription_id,
        order_id=seat.order_id,
        product_id=seat.product_id,
        created_time=timestamp_of(seat.created_us),
        update_time=timestamp_of(seat.update_us),
        **_times(claimed_time=seat.claimed_us, revoked_time=seat.revoked_us),
    )


def _times(**times_us: int | None) -> dict[str, timestamp_pb2.Timestamp]:
    """The times that are known, by field."""
    return {
        field: timestamp_of(time_us) for field, time_us in times_us.items() if time_us is not None
    }


def _money(picocents: int, currency: str) -> revenue_pb2.Money:
    return revenue_pb2.Money(amount=format_amount(picocents), currency=currency)


def _number(enum: Any, slug: str) -> Any:
    """The value of an enum with this name; the unspecified value for an empty text."""
    prefix = slug_prefix(enum.DESCRIPTOR)
    return enum.Value(prefix + (slug.upper() or "UNSPECIFIED"))
