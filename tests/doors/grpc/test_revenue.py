"""Orders, refunds and subscriptions over the wire: recorded, refused and listed."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, timestamp_pb2
from google.protobuf.message import Message

from cost_insights.v1 import revenue_pb2, revenue_service_pb2
from tests.support.revenue import at, money, new_order, new_refund, new_subscription
from tests.support.service import Caller, Refusal, Service, new_event, now_us, refused

INSERTED = revenue_service_pb2.SUBSCRIPTION_OUTCOME_INSERTED
UPDATED = revenue_service_pb2.SUBSCRIPTION_OUTCOME_UPDATED
UNCHANGED = revenue_service_pb2.SUBSCRIPTION_OUTCOME_UNCHANGED
OUTDATED = revenue_service_pb2.SUBSCRIPTION_OUTCOME_OUTDATED

NOBODY = "1dbfc517-0bbf-4301-9ba8-555ca42b9737"


def record_orders(
    caller: Caller, *orders: revenue_pb2.NewOrder
) -> revenue_service_pb2.RecordOrdersResponse:
    """Records orders in one call."""
    request = revenue_service_pb2.RecordOrdersRequest(orders=orders)
    return caller.revenue.RecordOrders(request, metadata=caller.metadata)


def record_refunds(
    caller: Caller, *refunds: revenue_pb2.Refund
) -> revenue_service_pb2.RecordRefundsResponse:
    """Records refunds in one call."""
    request = revenue_service_pb2.RecordRefundsRequest(refunds=refunds)
    return caller.revenue.RecordRefunds(request, metadata=caller.metadata)


def record_subscriptions(
    caller: Caller, *subscriptions: revenue_pb2.NewSubscription
) -> revenue_service_pb2.RecordSubscriptionsResponse:
    """Records subscriptions in one call."""
    request = revenue_service_pb2.RecordSubscriptionsRequest(subscriptions=subscriptions)
    return caller.revenue.RecordSubscriptions(request, metadata=caller.metadata)


def orders_page(caller: Caller, **request: Any) -> revenue_service_pb2.ListOrdersResponse:
    """One page of orders."""
    return caller.revenue.ListOrders(
        revenue_service_pb2.ListOrdersRequest(**request), metadata=caller.metadata
    )


def refunds_page(caller: Caller, **request: Any) -> revenue_service_pb2.ListRefundsResponse:
    """One page of refunds."""
    return caller.revenue.ListRefunds(
        revenue_service_pb2.ListRefundsRequest(**request), metadata=caller.metadata
    )


def subscriptions_page(
    caller: Caller, **request: Any
) -> revenue_service_pb2.ListSubscriptionsResponse:
    """One page of subscriptions."""
    return caller.revenue.ListSubscriptions(
        revenue_service_pb2.ListSubscriptionsRequest(**request), metadata=caller.metadata
    )


def list_orders(caller: Caller, **request: Any) -> Iterator[revenue_pb2.Order]:
    """The orders of all pages."""
    token = None
    while token != "":
        page = orders_page(caller, **request, page_token=token or "")
        yield from page.orders
        token = page.next_page_token


def is_empty(caller: Caller) -> bool:
    """Whether nothing is recorded."""
    return not (
        orders_page(caller).orders
        or refunds_page(caller).refunds
        or subscriptions_page(caller).subscriptions
    )


def test_a_request_without_anything(caller: Caller) -> None:
    """An empty request is answered like any other, and records nothing."""
    assert record_orders(caller) == revenue_service_pb2.RecordOrdersResponse()
    assert record_refunds(caller) == revenue_service_pb2.RecordRefundsResponse()
    assert record_subscriptions(caller) == revenue_service_pb2.RecordSubscriptionsResponse()
    assert is_empty(caller)


def test_an_order_comes_back(caller: Caller) -> None:
    """Every field of an order comes back, amounts exact and without trailing zeros."""
    sent = new_order(
        product_id="pro",
        billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
        subscription_id="subscription_1",
        net_amount=money("1000000000000.0250", "EUR"),
        exchange_rate="1.08",
        applied_balance="-1e-12",
        fee="9000000.5",
        created_time=at(1, 2),
        paid_time=at(3, 4),
    )
    assert record_orders(caller, sent) == revenue_service_pb2.RecordOrdersResponse(inserted=1)
    (order,) = orders_page(caller).orders
    assert order == revenue_pb2.Order(
        order_id="order_1",
        external_customer_id="user_123",
        customer_id=order.customer_id,
        product_id="pro",
        billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
        subscription_id="subscription_1",
        net_amount=money("1000000000000.025", "eur"),
        exchange_rate="1.08",
        applied_balance="-0.000000000001",
        fee="9000000.5",
        created_time=at(1, 2),
        paid_time=at(3, 4),
    )
    caller.ingest(new_event(customer_id=order.customer_id))
    (event,) = caller.list_events()
    assert event.external_customer_id == "user_123"


def test_what_an_order_leaves_out(caller: Caller) -> None:
    """One usd is worth 1, absent amounts are 0, and an order is paid when it is created."""
    record_orders(caller, new_order(net_amount=money("2900", "Usd")))
    (order,) = orders_page(caller).orders
    assert order == revenue_pb2.Order(
        order_id="order_1",
        external_customer_id="user_123",
        customer_id=order.customer_id,
        billing_type=revenue_pb2.BILLING_TYPE_ONE_TIME,
        net_amount=money(),
        exchange_rate="1",
        applied_balance="0",
        fee="0",
        created_time=at(0),
        paid_time=at(0),
    )


@pytest.mark.parametrize("kind", list(revenue_pb2.RefundKind.values())[1:])
def test_a_refund_comes_back(caller: Caller, kind: revenue_pb2.RefundKind.ValueType) -> None:
    """Every field of a refund comes back, also before its order is there."""
    sent = new_refund(
        kind=kind, amount=money("12.5", "eur"), exchange_rate="1.08", fee="-1500", order_id="later"
    )
    assert record_refunds(caller, sent) == revenue_service_pb2.RecordRefundsResponse(inserted=1)
    assert list(refunds_page(caller).refunds) == [sent]


def test_a_subscription_comes_back(caller: Caller) -> None:
    """Every field of a subscription comes back; its end and its trial may lie ahead."""
    fields: dict[str, Any] = {
        "subscription_id": "subscription_1",
        "product_id": "pro",
        "amount": money("2900.5", "eur"),
        "recurring_interval": revenue_pb2.RECURRING_INTERVAL_WEEK,
        "recurring_interval_count": 2,
        "started_time": timestamp_pb2.Timestamp(seconds=32_472_144_000),
        "trial_end_time": timestamp_pb2.Timestamp(seconds=32_472_144_001),
        "canceled_time": at(2),
        "cancel_reason": revenue_pb2.CANCEL_REASON_TOO_EXPENSIVE,
        "uncanceled_time": at(3),
        "ends_time": timestamp_pb2.Timestamp(seconds=253_402_300_799, nanos=999_999_000),
        "ended_time": at(4),
        "update_time": at(5),
    }
    record_subscriptions(
        caller, revenue_pb2.NewSubscription(external_customer_id="user_123", **fields)
    )
    (subscription,) = subscriptions_page(caller).subscriptions
    assert subscription == revenue_pb2.Subscription(
        external_customer_id="user_123", customer_id=subscription.customer_id, **fields
    )


def test_what_a_subscription_leaves_out(caller: Caller) -> None:
    """A cycle is one interval long, and what never happened stays absent."""
    record_subscriptions(caller, new_subscription())
    (subscription,) = subscriptions_page(caller).subscriptions
    assert subscription == revenue_pb2.Subscription(
        subscription_id="subscription_1",
        external_customer_id="user_123",
        customer_id=subscription.customer_id,
        amount=money(),
        recurring_interval=revenue_pb2.RECURRING_INTERVAL_MONTH,
        recurring_interval_count=1,
        started_time=at(0),
        update_time=at(0),
    )


def test_every_value_of_an_enum_comes_back(caller: Caller) -> None:
    """Intervals and reasons come back as they were sent."""
    kinds = itertools.product(
        revenue_pb2.RecurringInterval.values()[1:], revenue_pb2.CancelReason.values()
    )
    sent = {
        f"{interval} {reason}": new_subscription(
            f"{interval} {reason}", recurring_interval=interval, cancel_reason=reason
        )
        for interval, reason in kinds
    }
    assert record_subscriptions(caller, *sent.values()).inserted == 36
    for found in subscriptions_page(caller).subscriptions:
        one = sent.pop(found.subscription_id)
        assert found.recurring_interval == one.recurring_interval
        assert found.cancel_reason == one.cancel_reason
    assert not sent


def test_orders_again(caller: Caller) -> None:
    """The same content again is a duplicate however it is written, other content a conflict."""
    first = [new_order("a"), new_order("b"), new_order("a")]
    assert record_orders(caller, *first) == revenue_service_pb2.RecordOrdersResponse(
        inserted=2, duplicates=1
    )
    again = record_orders(
        caller,
        new_order("c"),
        new_order("a", net_amount=money("29.00e2", "USD"), exchange_rate="1", fee="0"),
        new_order("b", net_amount=money("2900.01")),
        new_order("c", product_id="pro"),
    )
    assert again == revenue_service_pb2.RecordOrdersResponse(
        inserted=1,
        duplicates=1,
        conflicts=[
            revenue_service_pb2.OrderConflict(index=2, order_id="b"),
            revenue_service_pb2.OrderConflict(index=3, order_id="c"),
        ],
    )
    amounts = {order.order_id: order.net_amount.amount for order in list_orders(caller)}
    assert amounts == {"a": "2900", "b": "2900", "c": "2900"}


def test_refunds_again(caller: Caller) -> None:
    """The same content again is a duplicate, other content a conflict."""
    answer = record_refunds(
        caller,
        new_refund("a"),
        new_refund("a"),
        new_refund("a", kind=revenue_pb2.REFUND_KIND_DISPUTE),
        new_refund("b"),
    )
    assert answer == revenue_service_pb2.RecordRefundsResponse(
        inserted=2,
        duplicates=1,
        conflicts=[revenue_service_pb2.RefundConflict(index=2, refund_id="a")],
    )
    kinds = {refund.refund_id: refund.kind for refund in refunds_page(caller).refunds}
    assert kinds == {"a": revenue_pb2.REFUND_KIND_REFUND, "b": revenue_pb2.REFUND_KIND_REFUND}


def test_subscriptions_again(caller: Caller) -> None:
    """A later state replaces the stored one; the same or an earlier one changes nothing."""
    answer = record_subscriptions(
        caller,
        new_subscription("a", update_time=at(5)),
        new_subscription("b", update_time=at(5)),
        new_subscription("a", update_time=at(7), ends_time=at(9)),
        new_subscription("a", update_time=at(6)),
    )
    assert answer == revenue_service_pb2.RecordSubscriptionsResponse(
        inserted=2, updated=1, outdated=1, outcomes=[INSERTED, INSERTED, UPDATED, OUTDATED]
    )
    answer = record_subscriptions(
        caller,
        new_subscription("a", update_time=at(7), ends_time=at(9)),
        new_subscription("a", update_time=at(7)),
        new_subscription("b", update_time=at(6), product_id="pro"),
        new_subscription("b", update_time=at(5)),
    )
    assert answer == revenue_service_pb2.RecordSubscriptionsResponse(
        updated=1,
        unchanged=1,
        outdated=2,
        outcomes=[UNCHANGED, OUTDATED, UPDATED, OUTDATED],
    )
    found = {one.subscription_id: one for one in subscriptions_page(caller).subscriptions}
    assert found["a"].ends_time == at(9)
    assert found["b"].product_id == "pro"


def test_customers_are_named_as_in_events(caller: Caller) -> None:
    """Our id, the caller's own in either field, and that of an event are one customer."""
    caller.ingest(new_event(external_customer_id="c"))
    (event,) = caller.list_events()
    record_orders(
        caller,
        new_order("a", external_customer_id="c"),
        new_order("b", customer_id="c"),
        new_order("c", customer_id=event.customer_id.upper()),
        new_order("d", external_customer_id=event.customer_id),
    )
    customers = {
        order.order_id: (order.customer_id, order.external_customer_id)
        for order in list_orders(caller)
    }
    assert customers["a"] == customers["b"] == customers["c"] == (event.customer_id, "c")
    # An identifier of the caller's own may look like one of ours.
    assert customers["d"][1] == event.customer_id
    assert customers["d"][0] != event.customer_id


FAR = timestamp_pb2.Timestamp(seconds=32_472_144_000)  # 2999-01-01
LATE = timestamp_pb2.Timestamp(seconds=253_402_300_800)  # the year 10000
CENTS_MAX = "1000000000000000"


def order_without(field: str, **others: Any) -> revenue_pb2.NewOrder:
    """An order that lacks a field."""
    order = new_order(**others)
    order.ClearField(field)  # type: ignore[arg-type]
    return order


Record = Callable[[Caller, Any], Message]

Case = tuple[str, Record, Message, str, str, str, dict[str, str]]

CASES: list[Case] = [
    (
        "no id",
        record_orders,
        new_order(""),
        "orders[0].order_id",
        "FIELD_REQUIRED",
        "order_id is absent or empty; it is required",
        {"value": ""},
    ),
    (
        "257 characters of id",
        record_refunds,
        new_refund("r" * 257),
        "refunds[0].refund_id",
        "TEXT_TOO_LONG",
        "the text has 257 characters; at most 256 are allowed",
        {"value": "r" * 63 + "…", "characters": "257", "characters_max": "256"},
    ),
    (
        "U+0000",
        record_subscriptions,
        new_subscription("a\0b"),
        "subscriptions[0].subscription_id",
        "TEXT_MALFORMED",
        "the text holds the character U+0000, which no stored text holds",
        {"value": "a\\u0000b"},
    ),
    (
        "129 characters of product",
        record_orders,
        new_order(product_id="p" * 129),
        "orders[0].product_id",
        "TEXT_TOO_LONG",
        "the text has 129 characters; at most 128 are allowed",
        {"characters": "129", "characters_max": "128"},
    ),
    (
        "no customer",
        record_orders,
        order_without("customer"),
        "orders[0].external_customer_id",
        "FIELD_REQUIRED",
        "external_customer_id and customer_id are both absent; one of them is required",
        {"value": ""},
    ),
    (
        "empty customer",
        record_subscriptions,
        new_subscription(customer_id=""),
        "subscriptions[0].customer_id",
        "FIELD_REQUIRED",
        "customer_id is absent or empty; it is required",
        {"value": ""},
    ),
    (
        "blank customer",
        record_orders,
        new_order(external_customer_id="  "),
        "orders[0].external_customer_id",
        "FIELD_REQUIRED",
        "external_customer_id has no visible character; at least 1 is required",
        {"value": "  "},
    ),
    (
        "257 characters of customer",
        record_orders,
        new_order(customer_id="c" * 257),
        "orders[0].customer_id",
        "TEXT_TOO_LONG",
        "the text has 257 characters; at most 256 are allowed",
        {"characters_max": "256"},
    ),
    (
        "nobody's customer id",
        record_orders,
        new_order(customer_id=NOBODY.upper()),
        "orders[0].customer_id",
        "CUSTOMER_NOT_FOUND",
        (
            f"the organization has no customer {NOBODY}; only the id of one of its customers is "
            "allowed"
        ),
        {"value": NOBODY},
    ),
    (
        "unspecified enum",
        record_orders,
        order_without("billing_type"),
        "orders[0].billing_type",
        "FIELD_REQUIRED",
        "billing_type is absent or empty; it is required",
        {"value": ""},
    ),
    (
        "unknown enum",
        record_orders,
        new_order(billing_type=3),
        "orders[0].billing_type",
        "VALUE_UNKNOWN",
        "3 is not a billing type; allowed are BILLING_TYPE_ONE_TIME, BILLING_TYPE_RECURRING",
        {"value": "3", "allowed": "BILLING_TYPE_ONE_TIME, BILLING_TYPE_RECURRING"},
    ),
    (
        "unknown optional enum",
        record_subscriptions,
        new_subscription(cancel_reason=-1),
        "subscriptions[0].cancel_reason",
        "VALUE_UNKNOWN",
        "-1 is not a cancel reason; allowed are " + ", ".join(revenue_pb2.CancelReason.keys()[1:]),
        {"value": "-1"},
    ),
    (
        "no kind",
        record_refunds,
        new_refund(kind=0),
        "refunds[0].kind",
        "FIELD_REQUIRED",
        "kind is absent or empty; it is required",
        {},
    ),
    (
        "no order",
        record_refunds,
        new_refund(order_id=""),
        "refunds[0].order_id",
        "FIELD_REQUIRED",
        "order_id is absent or empty; it is required",
        {},
    ),
    (
        "no money",
        record_orders,
        order_without("net_amount", exchange_rate="1.08"),
        "orders[0].net_amount",
        "FIELD_REQUIRED",
        "net_amount is absent or empty; it is required",
        {"value": ""},
    ),
    (
        "no amount",
        record_orders,
        new_order(net_amount=money("")),
        "orders[0].net_amount.amount",
        "FIELD_REQUIRED",
        "net_amount.amount is absent or empty; it is required",
        {"value": ""},
    ),
    (
        "malformed amount",
        record_orders,
        new_order(net_amount=money("1,000")),
        "orders[0].net_amount.amount",
        "AMOUNT_MALFORMED",
        'the amount "1,000" is not a decimal number such as 0.025',
        {"value": "1,000"},
    ),
    (
        "too precise amount",
        record_refunds,
        new_refund(amount=money("1e-13")),
        "refunds[0].amount.amount",
        "AMOUNT_TOO_PRECISE",
        (
            "the amount 1e-13 has 13 decimals; at most 17 digits of which at most 12 decimals are "
            "allowed"
        ),
        {"value": "1e-13", "digits_max": "17", "decimals_max": "12"},
    ),
    (
        "too great amount",
        record_orders,
        new_order(net_amount=money("1000000000000000.1")),
        "orders[0].net_amount.amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            f"the amount 1000000000000000.1 is out of range; -{CENTS_MAX} to {CENTS_MAX} cents are "
            "allowed"
        ),
        {"value": "1000000000000000.1", "min": f"-{CENTS_MAX}", "max": CENTS_MAX},
    ),
    (
        "too great amount in usd",
        record_orders,
        new_order(net_amount=money("5e14", "kwd"), exchange_rate="3"),
        "orders[0].net_amount.amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            f"the amount 500000000000000 is 1500000000000000 in usd; -{CENTS_MAX} to {CENTS_MAX} "
            "cents are allowed"
        ),
        {"value": "500000000000000", "min": f"-{CENTS_MAX}", "max": CENTS_MAX},
    ),
    (
        "too great balance in usd",
        record_orders,
        new_order(
            net_amount=money("1", "kwd"), exchange_rate="3", applied_balance="-500000000000000"
        ),
        "orders[0].applied_balance",
        "AMOUNT_OUT_OF_RANGE",
        (
            f"the amount -500000000000000 is -1500000000000000 in usd; -{CENTS_MAX} to {CENTS_MAX} "
            "cents are allowed"
        ),
        {"value": "-500000000000000"},
    ),
    (
        "too great refund in usd",
        record_refunds,
        new_refund(amount=money("5e14", "kwd"), exchange_rate="3"),
        "refunds[0].amount.amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            f"the amount 500000000000000 is 1500000000000000 in usd; -{CENTS_MAX} to {CENTS_MAX} "
            "cents are allowed"
        ),
        {},
    ),
    (
        "negative refund",
        record_refunds,
        new_refund(amount=money("-0.01")),
        "refunds[0].amount.amount",
        "AMOUNT_OUT_OF_RANGE",
        f"the amount -0.01 is negative; 0 to {CENTS_MAX} cents are allowed",
        {"value": "-0.01", "min": "0", "max": CENTS_MAX},
    ),
    (
        "negative subscription",
        record_subscriptions,
        new_subscription(amount=money("-1")),
        "subscriptions[0].amount.amount",
        "AMOUNT_OUT_OF_RANGE",
        f"the amount -1 is negative; 0 to {CENTS_MAX} cents are allowed",
        {"min": "0"},
    ),
    (
        "malformed balance",
        record_orders,
        new_order(applied_balance="x"),
        "orders[0].applied_balance",
        "AMOUNT_MALFORMED",
        'the amount "x" is not a decimal number such as 0.025',
        {"value": "x"},
    ),
    (
        "malformed fee",
        record_orders,
        new_order(fee=" "),
        "orders[0].fee",
        "AMOUNT_MALFORMED",
        'the amount " " is not a decimal number such as 0.025',
        {},
    ),
    (
        "no currency",
        record_orders,
        new_order(net_amount=money(currency="")),
        "orders[0].net_amount.currency",
        "FIELD_REQUIRED",
        "net_amount.currency is absent or empty; it is required",
        {},
    ),
    (
        "no code",
        record_orders,
        new_order(net_amount=money(currency="us$"), exchange_rate="1.08"),
        "orders[0].net_amount.currency",
        "CURRENCY_UNSUPPORTED",
        'the currency "us$" is not supported; only 3 letters such as usd are allowed',
        {"value": "us$", "allowed": "3 letters such as usd"},
    ),
    (
        "letters beyond ASCII",
        record_subscriptions,
        new_subscription(amount=money(currency="ſar")),
        "subscriptions[0].amount.currency",
        "CURRENCY_UNSUPPORTED",
        'the currency "ſar" is not supported; only 3 letters such as usd are allowed',
        {},
    ),
    (
        "a long currency",
        record_subscriptions,
        new_subscription(amount=money(currency="usd" * 30)),
        "subscriptions[0].amount.currency",
        "CURRENCY_UNSUPPORTED",
        f'the currency "{"usd" * 21}…" is not supported; only 3 letters such as usd are allowed',
        {"value": "usd" * 21 + "…"},
    ),
    (
        "no rate",
        record_orders,
        new_order(net_amount=money(currency="eur")),
        "orders[0].exchange_rate",
        "FIELD_REQUIRED",
        "exchange_rate is absent or empty; it is required where the currency is not usd",
        {"value": ""},
    ),
    (
        "another rate of usd",
        record_refunds,
        new_refund(exchange_rate="1.08"),
        "refunds[0].exchange_rate",
        "NUMBER_OUT_OF_RANGE",
        "the exchange rate 1.08 of usd is not allowed; it must be 1",
        {"value": "1.08", "min": "1", "max": "1"},
    ),
    *(
        (
            f"rate {rate}",
            record_orders,
            new_order(net_amount=money(currency="eur"), exchange_rate=rate),
            "orders[0].exchange_rate",
            "NUMBER_OUT_OF_RANGE",
            (
                f'the exchange rate "{rate}" is not allowed; it must be a decimal number from '
                "0.000000000001 to 9000000 of at most 17 digits"
            ),
            {"value": rate, "min": "0.000000000001", "max": "9000000"},
        )
        for rate in ("0", "-1", "9000000.1", "1e-13", "NaN", "1.2.3", "123456.123456789012")
    ),
    (
        "no time",
        record_orders,
        order_without("created_time"),
        "orders[0].created_time",
        "FIELD_REQUIRED",
        "created_time is absent or empty; it is required",
        {"value": ""},
    ),
    (
        "no start",
        record_subscriptions,
        revenue_pb2.NewSubscription(
            subscription_id="s",
            customer_id="c",
            amount=money(),
            recurring_interval=revenue_pb2.RECURRING_INTERVAL_DAY,
            update_time=at(0),
        ),
        "subscriptions[0].started_time",
        "FIELD_REQUIRED",
        "started_time is absent or empty; it is required",
        {},
    ),
    *(
        (
            f"{field} in the year 10000",
            record_subscriptions,
            new_subscription("s", **{field: LATE}),
            f"subscriptions[0].{field}",
            "TIMESTAMP_OUT_OF_RANGE",
            "the time 253402300800s 0ns since 1970 is not in the years 1 to 9999",
            {"value": "253402300800s 0ns"},
        )
        for field in ("trial_end_time", "started_time", "canceled_time", "update_time")
    ),
    (
        "nanos out of range",
        record_refunds,
        new_refund(created_time=timestamp_pb2.Timestamp(seconds=1, nanos=-1)),
        "refunds[0].created_time",
        "TIMESTAMP_OUT_OF_RANGE",
        "the time 1s -1ns since 1970 is not in the years 1 to 9999",
        {"value": "1s -1ns"},
    ),
    *(
        (
            f"a count of {count}",
            record_subscriptions,
            new_subscription(recurring_interval_count=count),
            "subscriptions[0].recurring_interval_count",
            "NUMBER_OUT_OF_RANGE",
            f"the number {count} is not from 0 to 999",
            {"value": str(count), "min": "0", "max": "999"},
        )
        for count in (-1, 1_000, 2**31 - 1)
    ),
]


def refusal(caller: Caller, record: Record, *messages: Message) -> Refusal:
    """The faults of records that are refused; that none of them is stored is checked as well."""
    with refused() as call:
        record(caller, *messages)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert is_empty(caller)
    return call.refusal


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_one_fault(caller: Caller, case: Case) -> None:
    """Each kind of fault is named by its path, its reason, what was found and what is allowed."""
    _, record, message, path, reason, words, facts = case
    found = refusal(caller, record, message)
    assert [(fault.field, fault.reason) for fault in found.faults] == [(path, reason)]
    assert found.message == f"{path}: {words}"
    assert found.reason == reason
    assert found.facts.items() >= {"path": path, **facts}.items()


PAST_FIELDS: list[tuple[Record, Callable[..., Message], str, str]] = [
    (record_orders, new_order, "orders", "created_time"),
    (record_orders, new_order, "orders", "paid_time"),
    (record_refunds, new_refund, "refunds", "created_time"),
    (record_subscriptions, new_subscription, "subscriptions", "canceled_time"),
    (record_subscriptions, new_subscription, "subscriptions", "uncanceled_time"),
    (record_subscriptions, new_subscription, "subscriptions", "ended_time"),
    (record_subscriptions, new_subscription, "subscriptions", "update_time"),
]


@pytest.mark.parametrize(
    ("record", "new", "path", "field"),
    [
        (record_orders, new_order, "orders", "created_time"),
        (record_orders, new_order, "orders", "paid_time"),
        (record_refunds, new_refund, "refunds", "created_time"),
        (record_subscriptions, new_subscription, "subscriptions", "update_time"),
        (record_subscriptions, new_subscription, "subscriptions", "ends_time"),
    ],
)
def test_times_that_were_not_written(
    caller: Caller, record: Record, new: Callable[..., Message], path: str, field: str
) -> None:
    """A time of 0 seconds is what a client leaves that failed to write one; it is refused."""
    with refused("TIMESTAMP_ZERO") as call:
        record(caller, new(**{field: timestamp_pb2.Timestamp()}))
    assert call.refusal.facts == {"path": f"{path}[0].{field}", "value": "1970-01-01T00:00:00Z"}
    assert "when a client failed to write a time" in call.refusal.message


@pytest.mark.parametrize(("record", "new", "path", "field"), PAST_FIELDS)
def test_what_has_happened_does_not_lie_ahead(
    caller: Caller, record: Record, new: Callable[..., Message], path: str, field: str
) -> None:
    """A time ahead of the service's clock by more than clocks differ is refused."""
    found = refusal(caller, record, new(**{field: FAR}))
    assert found.reason == "TIMESTAMP_IN_FUTURE"
    latest = timestamp_pb2.Timestamp()
    latest.FromJsonString(found.facts["max"])
    assert abs(latest.ToMicroseconds() - now_us() - 60_000_000) < 10_000_000
    assert found.facts == {
        "path": f"{path}[0].{field}",
        "value": "2999-01-01T00:00:00Z",
        "max": found.facts["max"],
    }
    assert found.message == (
        f"{path}[0].{field}: the time 2999-01-01T00:00:00Z is in the future; at most "
        f"{found.facts['max']} is allowed"
    )
    soon = timestamp_pb2.Timestamp()
    soon.FromMicroseconds(now_us() + 30_000_000)
    record(caller, new(**{field: soon}))


def test_every_fault_is_named(caller: Caller) -> None:
    """If several records have faults, nothing is stored and all faults are named."""
    found = refusal(
        caller,
        record_orders,
        new_order("good"),
        new_order("", net_amount=money("1e-13", "eur")),
        revenue_pb2.NewOrder(order_id="x" * 257),
    )
    assert sorted(found.paths) == [
        "orders[1].exchange_rate",
        "orders[1].net_amount.amount",
        "orders[1].order_id",
        "orders[2].billing_type",
        "orders[2].created_time",
        "orders[2].external_customer_id",
        "orders[2].net_amount",
        "orders[2].order_id",
    ]
    assert found.facts["faults"] == "8"


@pytest.mark.parametrize(
    ("record", "new", "path"),
    [
        (record_orders, new_order, "orders"),
        (record_refunds, new_refund, "refunds"),
        (record_subscriptions, new_subscription, "subscriptions"),
    ],
    ids=["orders", "refunds", "subscriptions"],
)
def test_a_call_takes_a_thousand(
    caller: Caller, record: Any, new: Callable[..., Message], path: str
) -> None:
    """A thousand records are stored in one call, one more is refused."""
    messages = [new(f"{n}") for n in range(1_001)]
    found = refusal(caller, record, *messages)
    assert found.message == f"{path}: there are 1001 values; at most 1000 are allowed"
    assert found.facts == {"path": path, "value": "1001", "values_max": "1000"}
    assert record(caller, *messages[1:]).inserted == 1_000
    assert record(caller).ByteSize() == 0


def store_many(caller: Caller) -> list[revenue_pb2.NewOrder]:
    """Records orders of three customers, products and times, with a refund and a subscription."""
    orders = [
        new_order(
            f"order {place}", external_customer_id=one, product_id=product, created_time=at(second)
        )
        for place, (one, product, second) in enumerate(
            itertools.product(["c1", "c2", "c,3"], ["", "a", "b"], [1, 2, 3])
        )
    ]
    assert record_orders(caller, *orders).inserted == 27
    refunds = [
        new_refund(f"of {one.order_id}", order_id=one.order_id, created_time=one.created_time)
        for one in orders
    ]
    assert record_refunds(caller, *refunds).inserted == 27
    subscriptions = [
        new_subscription(
            f"of {one.order_id}",
            external_customer_id=one.external_customer_id,
            product_id=one.product_id,
            started_time=one.created_time,
        )
        for one in orders
    ]
    assert record_subscriptions(caller, *subscriptions).inserted == 27
    return orders


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"product_ids": ["a"]},
        {"product_ids": ["a", "b", "z"]},
        {"product_ids": [""]},
        {"external_customer_ids": ["c,3", "c1"]},
        {"external_customer_ids": ["c"]},
        {"customer_ids": ["c2"], "external_customer_ids": ["c1"]},
        {"external_customer_ids": ["c1"], "product_ids": ["b"]},
        {"start_time": at(2)},
        {"start_time": at(1, 1), "end_time": at(3)},
        {"end_time": at(2), "product_ids": ["a"], "customer_ids": ["c2"]},
    ],
    ids=str,
)
def test_filters(caller: Caller, filters: dict[str, Any]) -> None:
    """A filter keeps the records of any of its values, all filters together, the latest first."""
    orders = store_many(caller)
    # A refund without an order is nobody's and of no product.
    record_refunds(caller, new_refund("lost", order_id="lost", created_time=at(2)))
    customers = {*filters.get("external_customer_ids", ()), *filters.get("customer_ids", ())}
    lower = filters.get("start_time", at(0)).ToNanoseconds()
    upper = filters.get("end_time", at(9)).ToNanoseconds()
    wanted = {
        order.order_id
        for order in orders
        if (not customers or order.external_customer_id in customers)
        and (order.product_id in filters.get("product_ids", [order.product_id]))
        and lower <= order.created_time.ToNanoseconds() < upper
    }
    found = list(list_orders(caller, **filters, page_size=4))
    assert {order.order_id for order in found} == wanted
    assert len(found) == len(wanted)
    times = [order.created_time.ToNanoseconds() for order in found]
    assert times == sorted(times, reverse=True)
    wanted = {f"of {order_id}" for order_id in wanted}
    page = subscriptions_page(caller, **filters)
    assert {one.subscription_id for one in page.subscriptions} == wanted
    if not filters.keys() - {"start_time", "end_time"} and lower <= at(2).ToNanoseconds() < upper:
        wanted.add("lost")
    assert {refund.refund_id for refund in refunds_page(caller, **filters).refunds} == wanted


def test_customers_by_our_id(caller: Caller) -> None:
    """A customer is found by our id, in any letter case, and one that does not exist has none."""
    store_many(caller)
    (order, *_) = list_orders(caller, external_customer_ids=["c1"])
    for customer_id in (order.customer_id, order.customer_id.upper()):
        found = list(list_orders(caller, customer_ids=[customer_id]))
        assert {one.external_customer_id for one in found} == {"c1"}
        assert len(found) == 9
    assert list(list_orders(caller, customer_ids=[NOBODY])) == []


@pytest.mark.parametrize("page_size", [1, 4, 27, 28, 1_000, 0])
def test_pages_hold_every_record_once(caller: Caller, page_size: int) -> None:
    """Each record comes once, whatever the page size, also among records of one time."""
    orders = store_many(caller)
    found = [order.order_id for order in list_orders(caller, page_size=page_size)]
    assert sorted(found) == sorted(order.order_id for order in orders)


def test_page_tokens_of_other_questions(caller: Caller) -> None:
    """A page token goes with the call and the fields it was made for."""
    store_many(caller)
    token = orders_page(caller, page_size=2).next_page_token
    assert orders_page(caller, page_size=3, page_token=token).orders
    asks: list[Callable[[], Any]] = [
        lambda: orders_page(caller, product_ids=["a"], page_token=token),
        lambda: refunds_page(caller, page_token=token),
        lambda: subscriptions_page(caller, page_token=token),
        lambda: caller.list_page(page_token=token),
        lambda: orders_page(caller, page_token=token[:-1]),
    ]
    for ask in asks:
        with refused("PAGE_TOKEN_INVALID") as call:
            ask()
        assert call.refusal.paths == ["page_token"]
    token = subscriptions_page(caller, page_size=2, active=True).next_page_token
    with refused("PAGE_TOKEN_INVALID"):
        subscriptions_page(caller, page_size=2, active=False, page_token=token)


def test_active_subscriptions(caller: Caller) -> None:
    """A subscription is active from its start until it has ended or was known to end."""
    record_subscriptions(
        caller,
        new_subscription("goes on"),
        new_subscription("ends later", ends_time=FAR),
        new_subscription("canceled, ends later", canceled_time=at(1), ends_time=FAR),
        new_subscription("starts later", started_time=FAR),
        new_subscription("has ended", ends_time=FAR, ended_time=at(5)),
        new_subscription("was to end", ends_time=at(5)),
    )

    def ids(**request: bool) -> set[str]:
        page = subscriptions_page(caller, **request)
        return {one.subscription_id for one in page.subscriptions}

    active = {"goes on", "ends later", "canceled, ends later"}
    others = {"starts later", "has ended", "was to end"}
    assert ids(active=True) == active
    assert ids(active=False) == others
    assert ids() == active | others


@pytest.mark.parametrize("ask", [orders_page, refunds_page, subscriptions_page])
def test_questions_are_checked(caller: Caller, ask: Callable[..., Any]) -> None:
    """A malformed question is refused, naming all of its faults."""
    with refused("NUMBER_OUT_OF_RANGE") as call:
        ask(
            caller,
            page_size=1_001,
            customer_ids=["c" * 257],
            external_customer_ids=["c"] * 101,
            product_ids=["p" * 129, "\0"],
            start_time=LATE,
            end_time=LATE,
        )
    faults = [(fault.field, fault.reason) for fault in call.refusal.faults]
    assert faults == [
        ("page_size", "NUMBER_OUT_OF_RANGE"),
        ("customer_ids[0]", "TEXT_TOO_LONG"),
        ("external_customer_ids", "TOO_MANY_VALUES"),
        ("product_ids[0]", "TEXT_TOO_LONG"),
        ("product_ids[1]", "TEXT_MALFORMED"),
        ("start_time", "TIMESTAMP_OUT_OF_RANGE"),
        ("end_time", "TIMESTAMP_OUT_OF_RANGE"),
    ]


def test_two_organizations_with_the_same_ids(service: Service) -> None:
    """The same ids in two organizations are two of each, and neither sees the other's."""
    red, blue = service.caller(), service.caller()
    for caller, amount in ((red, "1"), (blue, "10")):
        assert record_orders(caller, new_order(net_amount=money(amount))).inserted == 1
        assert record_refunds(caller, new_refund(amount=money(amount))).inserted == 1
        subscription = new_subscription(amount=money(amount))
        assert record_subscriptions(caller, subscription).outcomes == [INSERTED]
    for caller, amount in ((red, "1"), (blue, "10")):
        (order,) = orders_page(caller).orders
        (refund,) = refunds_page(caller, external_customer_ids=["user_123"]).refunds
        (subscription_found,) = subscriptions_page(caller).subscriptions
        amounts = {order.net_amount.amount, refund.amount.amount, subscription_found.amount.amount}
        assert amounts == {amount}
    (theirs,) = orders_page(red).orders
    assert not orders_page(blue, customer_ids=[theirs.customer_id]).orders
    with refused("CUSTOMER_NOT_FOUND"):
        record_orders(blue, new_order("new", customer_id=theirs.customer_id))
    # A refund of an order that only another organization has is of no order.
    record_orders(red, new_order("only red", product_id="red"))
    record_refunds(blue, new_refund("of red", order_id="only red"))
    assert not refunds_page(blue, product_ids=["red"]).refunds


# What docs/metrics.md shows


def test_cut_periods_are_counted_as_documented(caller: Caller) -> None:
    """A month cut by the span and its days say of subscriptions what the table says."""
    subscriptions = Path(__file__).parents[2] / "vectors" / "field" / "subs.json"
    request = revenue_service_pb2.RecordSubscriptionsRequest()
    caller.revenue.RecordSubscriptions(
        json_format.Parse(subscriptions.read_text(), request), metadata=caller.metadata
    )
    slugs = [
        "new_subscriptions",
        "active_subscriptions",
        "monthly_recurring_revenue",
        "churned_subscriptions",
    ]
    documented = {"MONTH": "| by month, the one row |", "DAY": "| by day, the last row |"}
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    for interval, start in documented.items():
        answer = caller.get_metrics(
            start_date="2025-02-10",
            end_date="2025-02-20",
            interval=f"INTERVAL_{interval}",
            metrics=slugs,
        )
        [row] = [line for line in page.splitlines() if line.startswith(start)]
        shown = [cell.split()[0] for cell in row.removeprefix(start).strip(" |").split("|")]
        assert [str(getattr(answer.periods[-1], slug)) for slug in slugs] == shown


def test_a_cent_is_a_hundredth_of_every_currency(caller: Caller) -> None:
    """Yen have no cents and dinars have 1,000 fils; the rate is that of one of either."""
    orders = [
        new_order("yen", net_amount=money("100000", "jpy"), exchange_rate="0.0067"),
        new_order("dinars", net_amount=money("123.4", "kwd"), exchange_rate="3.25"),
    ]
    day = orders[0].created_time.ToDatetime().date().isoformat()
    for order, cents in zip(orders, ("670", "1071.05"), strict=True):
        record_orders(caller, order)
        answer = caller.get_metrics(start_date=day, end_date=day, metrics=["revenue"])
        assert answer.totals.revenue == cents
