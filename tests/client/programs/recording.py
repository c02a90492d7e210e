"""A program that stores events and records of revenue."""

import datetime
from collections.abc import Sequence
from decimal import Decimal

from cost_insights.client import (
    Amount,
    BackgroundClient,
    BillingType,
    CallError,
    CancelReason,
    CheckoutLike,
    CheckoutStatus,
    Client,
    Conflict,
    EventLike,
    Fault,
    Ingested,
    InvalidEventError,
    InvalidRecordError,
    NewCheckout,
    NewCost,
    NewEvent,
    NewLlm,
    NewMoney,
    NewOrder,
    NewRefund,
    NewSeat,
    NewSubscription,
    OrderLike,
    Outcome,
    RecordConflict,
    Recorded,
    RecurringInterval,
    RefundKind,
    RefundLike,
    Refusal,
    RefusedError,
    SeatLike,
    StatesRecorded,
    SubscriptionLike,
    Time,
    UnavailableError,
)

NOW: Time = datetime.datetime.now(datetime.UTC)
CENTS: Amount = Decimal("0.025")
COST: NewCost = {"amount": 0.025, "currency": "usd"}
LLM: NewLlm = {"vendor": "openai", "model": "o3", "input_tokens": 7}
EVENT: NewEvent = {
    "name": "llm.inference",
    "external_customer_id": "acme",
    "timestamp": "2026-11-01T12:00:00Z",
    "cost": COST,
    "llm": LLM,
    "metadata": {"feature": "chat", "attempt": 2},
}
PRICE: NewMoney = {"amount": CENTS, "currency": "eur"}
MONTHLY: RecurringInterval = "month"
KIND: RefundKind = "dispute_reversal"
BILLED: BillingType = "recurring"
REASON: CancelReason = "unused"
STATUS: CheckoutStatus = "open"

ORDER: NewOrder = {
    "order_id": "1",
    "external_customer_id": "acme",
    "billing_type": BILLED,
    "net_amount": PRICE,
    "exchange_rate": "1.5",
    "created_time": NOW,
}
REFUND: NewRefund = {
    "refund_id": "1",
    "kind": KIND,
    "order_id": "1",
    "amount": PRICE,
    "created_time": NOW,
}
SUBSCRIPTION: NewSubscription = {
    "subscription_id": "1",
    "external_customer_id": "acme",
    "amount": PRICE,
    "recurring_interval": MONTHLY,
    "started_time": NOW,
    "cancel_reason": REASON,
    "update_time": NOW,
}
CHECKOUT: NewCheckout = {
    "checkout_id": "1",
    "status": STATUS,
    "created_time": NOW,
    "update_time": NOW,
}
SEAT: NewSeat = {
    "seat_id": "1",
    "external_customer_id": "acme",
    "order_id": "1",
    "created_time": NOW,
    "update_time": NOW,
}


def record(
    client: Client,
    *,
    orders: Sequence[OrderLike] = (ORDER,),
    refunds: Sequence[RefundLike] = (REFUND,),
    subscriptions: Sequence[SubscriptionLike] = (SUBSCRIPTION,),
    checkouts: Sequence[CheckoutLike] = (CHECKOUT,),
    seats: Sequence[SeatLike] = (SEAT,),
) -> list[Outcome]:
    """Stores revenue."""
    recorded: Recorded = client.record_orders(orders)
    taken: tuple[RecordConflict, ...] = client.record_refunds(refunds).conflicts
    ids: list[str] = [one.id for one in recorded.conflicts + taken]
    states: StatesRecorded = client.record_subscriptions(subscriptions)
    outcomes = [*states.outcomes, *client.record_checkouts(checkouts).outcomes]
    return [*outcomes, *client.record_seats(seats).outcomes] if not ids else []


def ingest(client: Client, events: Sequence[EventLike] = (EVENT,)) -> int:
    """Stores events."""
    try:
        done: Ingested = client.ingest(events, accept_valid=True)
    except InvalidEventError as error:
        return len(str(error))
    except RefusedError as error:
        return len(error.reason) + len(error.violations)
    except (InvalidRecordError, UnavailableError, CallError):
        return 0
    faults: tuple[Fault, ...] = done.faults
    conflicts: tuple[Conflict, ...] = done.conflicts
    return done.inserted + len(faults) + len(conflicts)


def in_the_background(client: Client, on_refused: Refusal) -> None:
    """Stores an event soon."""
    with BackgroundClient(client, on_refused=on_refused) as background:
        background.send(EVENT)
        background.send({"name": "email.sent", "external_customer_id": "acme"})
