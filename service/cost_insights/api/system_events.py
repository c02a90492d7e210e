"""Turns system events into records, or into faults.

The names of system events are those that feed the revenue metrics of the compatible API. Each event
carries in its metadata what a call of `RevenueService` takes in fields. A request holds either
system events or other events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from cost_insights import clock
from cost_insights.amounts import MONEY_CENTS_MAX
from cost_insights.api.event_json import request_of_json
from cost_insights.api.ingest_answer import first_faults, ingest_answer
from cost_insights.api.operations import JsonRequest
from cost_insights.api.reading import PRODUCT_CHARS_MAX, Checks, decode
from cost_insights.api.revenue_records import slug_prefix
from cost_insights.api.system_event_item import EventItem
from cost_insights.api.work import Work
from cost_insights.errors import (
    FieldFault,
    InvalidRequestError,
    PermissionDeniedError,
)
from cost_insights.identity import Caller
from cost_insights.identity.scopes import EVENTS_WRITE, REVENUE_WRITE
from cost_insights.revenue import (
    BALANCE,
    CREDIT,
    PAID,
    NewSubscription,
    OrderPart,
    Recorder,
    Refund,
    SubscriptionChange,
    SystemEvent,
    derived_refund_id,
)
from cost_insights.v1 import event_service_pb2, revenue_pb2

METHOD: Final = "/cost_insights.v1.EventService/IngestEvents"

_EVENTS_MAX: Final = 1_000
_INTERVAL_COUNT_MAX: Final = 999


RecordSystemEvents = Callable[[Caller, bytes], Awaitable[event_service_pb2.IngestEventsResponse]]


def check_may_store_events(caller: Caller) -> None:
    """Raises PermissionDeniedError if the caller may not store events, only record revenue."""
    if EVENTS_WRITE not in caller.scopes:
        has = ", ".join(sorted(caller.scopes))
        raise PermissionDeniedError(
            f"{METHOD} needs the scope {EVENTS_WRITE} for events that are not system events; "
            f"the access token has {has}",
            reason="SCOPE_MISSING",
            facts={"method": METHOD, "needs": EVENTS_WRITE, "has": has},
        )


def system_event_call(recorder: Recorder, work: Work, *, clock_skew_ms: int) -> RecordSystemEvents:
    """Records the events of an encoded `IngestEventsRequest` that holds system events."""

    async def record(caller: Caller, request: bytes) -> event_service_pb2.IngestEventsResponse:
        latest_us = clock.now_us() + clock_skew_ms * 1_000
        # In a thread, like the records of other calls.
        read = await asyncio.to_thread(_read, caller, request, latest_us)
        if read.faults and not read.accept_valid:
            raise InvalidRequestError(
                [fault for _, fault in read.faults],
                refused=len({index for index, _ in read.faults}),
            )
        caller.rates.take_events(len(read.events))
        recorded = await work.record(
            caller.organization,
            lambda: recorder.system_events(
                caller.organization, read.events, accept_valid=read.accept_valid
            ),
        )
        faults = sorted([*read.faults, *recorded.faults], key=lambda fault: fault[0])
        return ingest_answer(
            inserted=recorded.inserted,
            duplicates=recorded.duplicates,
            refused=len({index for index, _ in faults}),
            conflicts=((index, record_id, "") for index, record_id in recorded.conflicts),
            faults=first_faults(faults),
            faults_total=len(faults),
        )

    return record


class _Read(NamedTuple):
    """The items of a request, each with its index."""

    events: Sequence[tuple[int, SystemEvent]]
    faults: Sequence[tuple[int, FieldFault]]
    accept_valid: bool


def _read(caller: Caller, encoded: bytes, latest_us: int) -> _Read:
    if isinstance(encoded, JsonRequest):
        request = request_of_json(encoded)
    else:
        request = decode(event_service_pb2.IngestEventsRequest, encoded)
    named = [(index, one.name) for index, one in enumerate(request.events) if one.name in _READ]
    _check_may_record(caller, *named[0])
    if len(named) < len(request.events):
        raise InvalidRequestError([_mixed(index, name) for index, name in named])
    checks = Checks()
    sent = checks.values("events", request.events, values_max=_EVENTS_MAX)
    checks.finish()
    events: list[tuple[int, SystemEvent]] = []
    faults: list[tuple[int, FieldFault]] = []
    for index, one in enumerate(sent):
        checks = Checks()
        event = _READ[one.name](EventItem(checks, index, one, latest_us))
        if checks.faults:
            faults += [(index, fault) for fault in checks.faults]
        else:
            events.append((index, event))
    return _Read(events, faults, request.accept_valid)


def _check_may_record(caller: Caller, index: int, name: str) -> None:
    if REVENUE_WRITE not in caller.scopes:
        has = ", ".join(sorted(caller.scopes))
        path = f"events[{index}].name"
        raise PermissionDeniedError(
            f'{path}: the name "{name}" is reserved for system events, which need the scope '
            f"{REVENUE_WRITE}; the access token has {has}",
            reason="SCOPE_MISSING",
            facts={
                "method": METHOD,
                "needs": REVENUE_WRITE,
                "has": has,
                "path": path,
                "value": name,
            },
        )


def _mixed(index: int, name: str) -> FieldFault:
    return FieldFault(
        f"events[{index}].name",
        "NAME_RESERVED",
        f'the name "{name}" is reserved for system events; a request holds either system events or '
        "other events",
        name,
    )


def _slugs(enum: Any) -> tuple[str, ...]:
    prefix = slug_prefix(enum.DESCRIPTOR)
    return tuple(name.removeprefix(prefix).lower() for name in enum.keys()[1:])


_BILLING_TYPES = _slugs(revenue_pb2.BillingType)
_INTERVALS = _slugs(revenue_pb2.RecurringInterval)
_REASONS = _slugs(revenue_pb2.CancelReason)


def _paid(event: EventItem) -> OrderPart:
    return OrderPart(
        order_id=event.required_said_text("order_id"),
        part=PAID,
        customer=event.customer(),
        product_id=event.product_id(),
        billing_type=event.said_slug("billing_type", _BILLING_TYPES),
        subscription_id=event.said_text("subscription_id"),
        time_us=event.happened_us,
        applied_balance_picocents=event.said_amount("applied_balance_amount") or 0,
    )


def _settled(event: EventItem) -> OrderPart:
    """The amount that an order earned; a credit order's amount is always net."""
    key, amount_picocents = event.earned()
    # A net amount is in the currency of the order, which is the presented one; an amount
    # is what was settled, so that a rate found from it must not multiply it again.
    currency, exchange_rate_e12 = event.currency_and_rate_e12(of_presentment=key == "net_amount")
    event.check_in_usd(f"metadata.{key}", amount_picocents, exchange_rate_e12)
    created_us = event.said_past_us("order_created_at")
    return OrderPart(
        order_id=event.required_said_text("order_id"),
        part=event.event.name,
        customer=event.customer(),
        product_id=event.product_id(),
        billing_type=event.said_slug("billing_type", _BILLING_TYPES),
        subscription_id=event.said_text("subscription_id"),
        time_us=event.happened_us if created_us is None else created_us,
        currency=currency,
        exchange_rate_e12=exchange_rate_e12,
        amount_picocents=amount_picocents,
        is_net=key == "net_amount" or event.event.name == CREDIT,
        fee_picocents=event.said_amount("fee") or 0,
    )


def _given_back(event: EventItem) -> Refund:
    return _refund(event, sign=-1)


def _came_again(event: EventItem) -> Refund:
    return _refund(event, sign=1)


def _refund(event: EventItem, *, sign: int) -> Refund:
    """A refund, whose amount has no sign; an event's amount is negative if it lowers revenue."""
    kind = event.event.name.removeprefix("balance.")
    key, signed_picocents = event.earned()
    amount_picocents = sign * signed_picocents
    if amount_picocents < 0:
        cents_max = MONEY_CENTS_MAX
        limits = (0, cents_max) if sign > 0 else (-cents_max, 0)
        event.amount_fault(key, signed_picocents, *limits)
    currency, exchange_rate_e12 = event.currency_and_rate_e12(of_presentment=False)
    event.check_in_usd(f"metadata.{key}", amount_picocents, exchange_rate_e12)
    event.customer()
    order_id = event.required_said_text("order_id")
    fee_picocents = event.said_amount("fee") or 0
    refund_id = _named_refund_id(event, kind) or derived_refund_id(
        kind=kind,
        order_id=order_id,
        currency=currency,
        exchange_rate_e12=exchange_rate_e12,
        amount_picocents=amount_picocents,
        fee_picocents=fee_picocents,
        created_us=event.happened_us,
    )
    return Refund(
        refund_id=refund_id,
        kind=kind,
        order_id=order_id,
        currency=currency,
        exchange_rate_e12=exchange_rate_e12,
        amount_picocents=amount_picocents,
        fee_picocents=fee_picocents,
        created_us=event.happened_us,
    )


def _named_refund_id(event: EventItem, kind: str) -> str:
    """The id that the event names, by which it is recognized when it is sent again."""
    cause = kind.removesuffix("_reversal")
    said = event.said_text(f"{cause}_id")
    if said:
        # A reversal carries the id of the record that it reverses, and is a record of its own.
        return said if kind == cause else f"{said}:reversal"
    return event.text("external_id")


def _created(event: EventItem) -> NewSubscription:
    event.require("amount", "currency", "recurring_interval")
    amount_picocents = event.said_amount("amount") or 0
    if amount_picocents < 0:
        event.amount_fault("amount", amount_picocents, 0, MONEY_CENTS_MAX)
    started_us = event.said_time_us("started_at")
    return NewSubscription(
        subscription_id=event.required_said_text("subscription_id"),
        customer=event.customer(),
        product_id=event.product_id(),
        currency=event.said_currency("currency"),
        amount_picocents=amount_picocents,
        recurring_interval=event.said_slug("recurring_interval", _INTERVALS),
        recurring_interval_count=event.said_count(
            "recurring_interval_count", count_max=_INTERVAL_COUNT_MAX
        ),
        started_us=event.happened_us if started_us is None else started_us,
        trial_end_us=None,
        canceled_us=None,
        cancel_reason="",
        uncanceled_us=None,
        ends_us=None,
        ended_us=None,
        update_us=event.happened_us,
    )


def _canceled(event: EventItem) -> SubscriptionChange:
    """A cancellation without an end time ends the subscription at once."""
    said_us = event.said_past_us("canceled_at")
    canceled_us = event.happened_us if said_us is None else said_us
    ends_us = event.said_time_us("ends_at")
    return _change(
        event,
        canceled_us=canceled_us,
        cancel_reason=event.said_slug("customer_cancellation_reason", _REASONS),
        ends_us=canceled_us if ends_us is None else ends_us,
    )


def _goes_on(event: EventItem) -> SubscriptionChange:
    return _change(event, uncanceled_us=event.happened_us)


def _revoked(event: EventItem) -> SubscriptionChange:
    return _change(event, ended_us=event.happened_us)


def _cycled(event: EventItem) -> SubscriptionChange:
    return _change(event)


def _product_updated(event: EventItem) -> SubscriptionChange:
    product_id = event.required_said_text("new_product_id", chars_max=PRODUCT_CHARS_MAX)
    return _change(event, product_id=product_id)


def _change(event: EventItem, **columns: str | int) -> SubscriptionChange:
    event.customer()
    return SubscriptionChange(
        subscription_id=event.required_said_text("subscription_id"),
        kind=event.event.name,
        time_us=event.happened_us,
        columns=columns,
    )


_READ: Mapping[str, Callable[[EventItem], SystemEvent]] = {
    PAID: _paid,
    BALANCE: _settled,
    CREDIT: _settled,
    "balance.refund": _given_back,
    "balance.refund_reversal": _came_again,
    "balance.dispute": _given_back,
    "balance.dispute_reversal": _came_again,
    "subscription.created": _created,
    "subscription.canceled": _canceled,
    "subscription.uncanceled": _goes_on,
    "subscription.reinstated": _goes_on,
    "subscription.revoked": _revoked,
    "subscription.cycled": _cycled,
    "subscription.product_updated": _product_updated,
}
"""The reader of each system event, by its name."""

NAMES: Final = frozenset(_READ)
"""The names of system events, which are reserved."""
