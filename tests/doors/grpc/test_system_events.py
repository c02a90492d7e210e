"""System events: they mean what the typed calls mean, whatever comes first and how often."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import hypothesis
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import strategies as st

from cost_insights import identity
from cost_insights._native.events import SYSTEM_EVENTS
from cost_insights.api import system_events
from cost_insights.store.schema import customer, ledger_entry, paid_order, refund, series
from cost_insights.v1 import event_pb2, event_service_pb2, revenue_pb2, revenue_service_pb2
from tests.support.examples import examples
from tests.support.ledger import expected, rows, summed
from tests.support.revenue import at, money, new_order, new_refund, new_subscription
from tests.support.service import Caller, Service, new_event, now_us, refused

Response = event_service_pb2.IngestEventsResponse

NOBODY = "1dbfc517-0bbf-4301-9ba8-555ca42b9737"
INGEST = "/cost_insights.v1.EventService/IngestEvents"


def said(name: str, second: int = 0, **fields: Any) -> event_pb2.NewEvent:
    """A system event; what is no field of an event stands in its metadata."""
    known = {
        key: fields.pop(key)
        for key in ("customer_id", "external_customer_id", "external_id", "cost", "timestamp")
        if key in fields
    }
    metadata = struct_pb2.Struct()
    metadata.update(fields)
    known.setdefault("timestamp", at(second))
    return new_event(name=name, metadata=metadata, **known)


def rfc3339(second: int) -> str:
    """A time of the year 2001, as metadata says it."""
    return at(second).ToJsonString()


def paid(order_id: str = "order_1", second: int = 0, **fields: Any) -> event_pb2.NewEvent:
    """The payment of an order."""
    return said("order.paid", second, order_id=order_id, **fields)


def balance(order_id: str = "order_1", second: int = 0, **fields: Any) -> event_pb2.NewEvent:
    """The event of what an order earned, 29 dollars unless something else is given."""
    if "net_amount" not in fields:
        fields.setdefault("amount", 2_900)
    fields.setdefault("currency", "usd")
    return said("balance.order", second, order_id=order_id, **fields)


def created(second: int = 0, **fields: Any) -> event_pb2.NewEvent:
    """The start of a subscription."""
    known = {
        "subscription_id": "subscription_1",
        "amount": 2_900,
        "currency": "usd",
        "recurring_interval": "month",
    }
    return said("subscription.created", second, **{**known, **fields})


def changed(kind: str, second: int, **fields: Any) -> event_pb2.NewEvent:
    """A change of a subscription."""
    fields.setdefault("subscription_id", "subscription_1")
    return said(f"subscription.{kind}", second, **fields)


@dataclass(frozen=True)
class Recorded:
    """All that is recorded of an organization, whose customers have no UUID here."""

    orders: Sequence[revenue_pb2.Order]
    refunds: Sequence[revenue_pb2.Refund]
    subscriptions: Sequence[revenue_pb2.Subscription]
    ledger: Mapping[tuple[Any, ...], int]


def owner_of(service: Service, caller: Caller) -> identity.Organization:
    """The organization of a caller."""
    with service.store.read() as connection:
        owner = identity.find_organization(connection, caller.organization)
    assert owner is not None
    return owner


def recorded(service: Service, caller: Caller) -> Recorded:
    """The recorded state, as the lists and the sums of the ledger tell it."""
    options: Any = {"metadata": caller.metadata}
    found = Recorded(
        caller.revenue.ListOrders(revenue_service_pb2.ListOrdersRequest(), **options).orders,
        caller.revenue.ListRefunds(revenue_service_pb2.ListRefundsRequest(), **options).refunds,
        caller.revenue.ListSubscriptions(
            revenue_service_pb2.ListSubscriptionsRequest(), **options
        ).subscriptions,
        ledger(service, caller),
    )
    for order in found.orders:
        order.customer_id = ""
    for subscription in found.subscriptions:
        subscription.customer_id = ""
    return found


def ledger(service: Service, caller: Caller) -> dict[tuple[Any, ...], int]:
    """The sums of the ledger by everything else, customers by their identifiers.

    Asserts that numbers have no gaps and that the sums are those of the rows.
    """
    owner = owner_of(service, caller)
    entries = rows(service.store, ledger_entry, owner)
    orders, refunds = (rows(service.store, table, owner) for table in (paid_order, refund))
    assert summed(entries) == expected(orders, refunds)
    names = {one["number"]: one["external_id"] for one in rows(service.store, customer, owner)}
    for entry in entries:
        entry["customer_number"] = names.get(entry["customer_number"])
    return summed(entries)


def record(
    caller: Caller,
    orders: Sequence[revenue_pb2.NewOrder] = (),
    refunds: Sequence[revenue_pb2.Refund] = (),
    subscriptions: Sequence[revenue_pb2.NewSubscription] = (),
) -> None:
    """Records by the typed calls."""
    options: Any = {"metadata": caller.metadata}
    caller.revenue.RecordOrders(revenue_service_pb2.RecordOrdersRequest(orders=orders), **options)
    caller.revenue.RecordRefunds(
        revenue_service_pb2.RecordRefundsRequest(refunds=refunds), **options
    )
    caller.revenue.RecordSubscriptions(
        revenue_service_pb2.RecordSubscriptionsRequest(subscriptions=subscriptions), **options
    )


def test_the_names_are_those_of_the_native_module() -> None:
    """Every reserved name has its meaning, and no other has one."""
    assert system_events.NAMES == SYSTEM_EVENTS


ORDERS: list[tuple[str, list[event_pb2.NewEvent], revenue_pb2.NewOrder]] = [
    (
        "paid and balance",
        [
            paid(
                second=20,
                product_id="pro",
                billing_type="recurring",
                subscription_id="subscription_1",
                applied_balance_amount=100,
            ),
            balance(
                second=10,
                product_id="pro",
                subscription_id="subscription_1",
                amount=2900,
                fee=114.5,
                exchange_rate=1,
            ),
        ],
        new_order(
            product_id="pro",
            billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
            subscription_id="subscription_1",
            net_amount=money("2900"),
            applied_balance="100",
            fee="114.5",
            created_time=at(10),
            paid_time=at(20),
        ),
    ),
    (
        "a net amount lacks the balance already",
        [
            paid(second=20, billing_type="one_time", applied_balance_amount=100),
            balance(amount=2_900, net_amount="2800.000000000001", fee="0"),
        ],
        new_order(net_amount=money("2800.000000000001"), paid_time=at(20)),
    ),
    (
        "a negative balance is credit",
        [paid(applied_balance_amount=-100), balance()],
        new_order(applied_balance="-100"),
    ),
    (
        "created before its event",
        [balance(second=50, order_created_at="2001-09-09T04:46:45.000007+03:00")],
        new_order(created_time=at(5, 7), paid_time=at(5, 7)),
    ),
    (
        "only paid",
        [paid(second=7, applied_balance_amount=100, subscription_id="s")],
        new_order(
            net_amount=money("0"),
            subscription_id="s",
            billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
            created_time=at(7),
        ),
    ),
    (
        "a credit order",
        [said("balance.credit_order", 3, order_id="order_1", amount=500, currency="usd", fee=2)],
        new_order(net_amount=money("500"), fee="2", created_time=at(3)),
    ),
    (
        "balance.order beats balance.credit_order",
        [
            said("balance.credit_order", 3, order_id="order_1", amount=500, currency="usd"),
            balance(second=4, amount=700),
            paid(second=5, applied_balance_amount=50),
        ],
        new_order(
            net_amount=money("700"), applied_balance="50", created_time=at(4), paid_time=at(5)
        ),
    ),
    (
        "a currency with its rate",
        [balance(amount="29.5", currency="EUR", exchange_rate="1.0825", fee=3)],
        new_order(net_amount=money("29.5", "eur"), exchange_rate="1.0825", fee="3"),
    ),
    (
        "the rate of the presented amount",
        [
            balance(
                net_amount=900,
                amount=1_100,
                presentment_amount=1_000,
                presentment_currency="eur",
                exchange_rate=0,
            )
        ],
        new_order(net_amount=money("900", "eur"), exchange_rate="1.1"),
    ),
    (
        "an amount in usd is worth itself, whatever was presented",
        [balance(amount=1_100, presentment_amount=1_000, presentment_currency="eur")],
        new_order(net_amount=money("1100")),
    ),
    (
        "an amount in usd with a rate of nothing",
        [
            balance(
                amount=975, presentment_amount=1_500, presentment_currency="jpy", exchange_rate=0
            )
        ],
        new_order(net_amount=money("975")),
    ),
    (
        "a given rate multiplies",
        [
            balance(
                amount=1_000,
                presentment_amount=1_000,
                presentment_currency="eur",
                exchange_rate=1.1,
            )
        ],
        new_order(net_amount=money("1000", "eur"), exchange_rate="1.1"),
    ),
    (
        "the amount of a credit order is worth itself",
        [
            said(
                "balance.credit_order",
                order_id="order_1",
                amount=1_100,
                presentment_amount=1_000,
                presentment_currency="eur",
            )
        ],
        new_order(net_amount=money("1100")),
    ),
    (
        "presented in the same currency",
        [balance(presentment_amount=1_000, presentment_currency="usd")],
        new_order(),
    ),
    (
        "nothing presented",
        [balance(presentment_amount=0, presentment_currency="eur", product_id=None, fee=None)],
        new_order(),
    ),
    (
        "numbers that doubles hold",
        [balance(amount=999_999_999_999_999, fee=0.1 + 0.2)],
        new_order(net_amount=money("999999999999999"), fee="0.3"),
    ),
    (
        "numbers beyond those of an event",
        [balance(amount=9_000_000.25, fee=-9_000_001)],
        new_order(net_amount=money("9000000.25"), fee="-9000001"),
    ),
]


@pytest.mark.parametrize(
    ("events", "order"), [one[1:] for one in ORDERS], ids=[o[0] for o in ORDERS]
)
def test_orders(
    service: Service,
    caller: Caller,
    events: list[event_pb2.NewEvent],
    order: revenue_pb2.NewOrder,
) -> None:
    """The events of an order, each once and in any order, make the same as the typed call."""
    other, typed = service.caller(), service.caller()
    assert caller.ingest(*events) == Response(inserted=len(events))
    for event in reversed(events):
        assert other.ingest(event, event) == Response(inserted=1, duplicates=1)
    assert other.ingest(*events) == Response(duplicates=len(events))
    record(typed, [order])
    assert recorded(service, caller) == recorded(service, other) == recorded(service, typed)
    # What was recorded whole is known by the events too.
    again = typed.ingest(*events)
    if len(events) < 3:
        assert (again.inserted, again.duplicates, list(again.conflicts)) == (0, len(events), [])
    assert recorded(service, caller) == recorded(service, typed)


FIELD = Path(__file__).parents[2] / "vectors" / "field"


def events_of(name: str) -> event_service_pb2.IngestEventsRequest:
    """A request as it was sent to a service in use."""
    return json_format.Parse((FIELD / name).read_text(), event_service_pb2.IngestEventsRequest())


@pytest.mark.parametrize("given_back", ["balance.refund", "balance.dispute"])
@pytest.mark.parametrize("earned", ["balance.order", "balance.credit_order"])
def test_what_was_presented_changes_no_amount_in_usd(
    caller: Caller, earned: str, given_back: str
) -> None:
    """An order of 975 cents of usd, shown as 1,500 yen, earns 975; a full refund leaves nothing,
    and its reversal all of it."""
    request = events_of("presentment_no_net.json")
    request.events[0].name = earned
    caller.ingest_request(request)
    presented: dict[str, Any] = {"presentment_amount": 1_500, "presentment_currency": "jpy"}
    span: dict[str, Any] = {
        "start_date": "2026-08-01",
        "end_date": "2026-08-31",
        "metrics": REVENUE,
    }
    assert revenue_of(caller, **span) == {
        "revenue": "975",
        "net_revenue": "975",
        "average_order_value": "975",
        "one_time_products_net_revenue": "975",
    }
    back = {**presented, "presentment_amount": -1_500}
    caller.ingest(said(given_back, order_id="pn1", amount=-975, currency="usd", **back))
    assert revenue_of(caller, **span) == {
        "revenue": "975",
        "net_revenue": "0",
        "average_order_value": "975",
        # Disputes do not lower what the order was worth.
        "one_time_products_net_revenue": "0" if given_back == "balance.refund" else "975",
    }
    again = f"{given_back}_reversal"
    caller.ingest(said(again, order_id="pn1", amount=975, currency="usd", **presented))
    assert revenue_of(caller, **span)["net_revenue"] == "975"


REVENUE = ["revenue", "net_revenue", "average_order_value", "one_time_products_net_revenue"]


def revenue_of(caller: Caller, **request: Any) -> dict[str, str]:
    """The totals of what was earned."""
    totals = caller.get_metrics(**request).totals
    return {slug: getattr(totals, slug) for slug in REVENUE}


@pytest.mark.parametrize(
    ("event", "typed"),
    [
        (
            said("balance.refund", 9, order_id="order_1", amount=-900, refund_id="r", fee=0),
            new_refund("r", created_time=at(9)),
        ),
        (
            said("balance.refund_reversal", 9, order_id="order_1", amount=900, refund_id="r"),
            new_refund(
                "r:reversal", kind=revenue_pb2.REFUND_KIND_REFUND_REVERSAL, created_time=at(9)
            ),
        ),
        (
            said("balance.dispute", 9, order_id="order_1", amount=-900, fee=1500, dispute_id="d"),
            new_refund("d", kind=revenue_pb2.REFUND_KIND_DISPUTE, fee="1500", created_time=at(9)),
        ),
        (
            said("balance.dispute_reversal", 9, order_id="order_1", amount="9e2", external_id="x"),
            new_refund("x", kind=revenue_pb2.REFUND_KIND_DISPUTE_REVERSAL, created_time=at(9)),
        ),
        (
            said(
                "balance.refund",
                9,
                order_id="order_1",
                amount=-1,
                net_amount=-0.5,
                currency="usd",
                presentment_currency="eur",
                exchange_rate=1.25,
                order_created_at=rfc3339(3),
                refund_id="r",
            ),
            new_refund("r", amount=money("0.5", "eur"), exchange_rate="1.25", created_time=at(9)),
        ),
    ],
)
def test_refunds(
    service: Service, caller: Caller, event: event_pb2.NewEvent, typed: revenue_pb2.Refund
) -> None:
    """Signed amounts become a kind and an amount; before or after the order makes no difference."""
    other, third = service.caller(), service.caller()
    assert caller.ingest(event) == Response(inserted=1)
    assert caller.ingest(balance(), event) == Response(inserted=1, duplicates=1)
    assert other.ingest(event, balance()) == Response(inserted=2)
    record(third, [new_order()], [typed])
    assert recorded(service, caller) == recorded(service, other) == recorded(service, third)


def test_refunds_without_ids(service: Service, caller: Caller) -> None:
    """A refund that names no id is known by what it says."""
    event = said("balance.refund", 9, order_id="order_1", amount=-900)
    later = said("balance.refund", 10, order_id="order_1", amount=-900)
    assert caller.ingest(event, event) == Response(inserted=1, duplicates=1)
    assert caller.ingest(event, later) == Response(inserted=1, duplicates=1)
    assert len(recorded(service, caller).refunds) == 2


def test_a_refund_and_its_reversal(service: Service, caller: Caller) -> None:
    """Both carry the id of the refund, and are two records."""
    events = [
        said("balance.refund", 9, order_id="order_1", amount=-900, refund_id="r"),
        said("balance.refund_reversal", 9, order_id="order_1", amount=900, refund_id="r"),
    ]
    assert caller.ingest(*events) == Response(inserted=2)
    assert caller.ingest(*reversed(events)) == Response(duplicates=2)
    # Two records, whose amounts add up to nothing.
    ((what, *_), count), *more = ledger(service, caller).items()
    assert (what, count, more) == ("records", 2, [])


LIFE: list[tuple[event_pb2.NewEvent, dict[str, Any]]] = [
    (
        created(10, product_id="pro", amount=2_900.5, started_at=rfc3339(5)),
        {"product_id": "pro", "amount": money("2900.5"), "started_time": at(5)},
    ),
    (changed("cycled", 20), {}),
    (changed("product_updated", 30, new_product_id="max"), {"product_id": "max"}),
    (
        changed(
            "canceled",
            40,
            canceled_at=rfc3339(39),
            ends_at=rfc3339(100),
            cancel_at_period_end=True,
            customer_cancellation_reason="too_expensive",
        ),
        {
            "canceled_time": at(39),
            "ends_time": at(100),
            "cancel_reason": revenue_pb2.CANCEL_REASON_TOO_EXPENSIVE,
        },
    ),
    (changed("uncanceled", 50), {"uncanceled_time": at(50), "ends_time": None}),
    (
        changed("canceled", 60),
        {"canceled_time": at(60), "ends_time": at(60), "cancel_reason": 0},
    ),
    (changed("revoked", 70), {"ended_time": at(70)}),
    (
        changed("reinstated", 80),
        {"uncanceled_time": at(80), "ends_time": None, "ended_time": None},
    ),
]
"""Changes of a subscription, each with the columns that it sets."""


def test_subscriptions(service: Service, caller: Caller) -> None:
    """After each event of a life the state is what the typed call would have said."""
    typed = service.caller()
    state: dict[str, Any] = {}
    for second, (event, change) in zip(range(10, 90, 10), LIFE, strict=True):
        state |= change
        assert caller.ingest(event) == Response(inserted=1)
        assert caller.ingest(
            *(one for one, _ in LIFE if one.timestamp.seconds <= at(second).seconds)
        ) == (Response(duplicates=second // 10))
        record(typed, subscriptions=[new_subscription(**state, update_time=at(second))])
        assert recorded(service, caller) == recorded(service, typed)


def test_a_life_in_one_request(service: Service, caller: Caller) -> None:
    """Within a request the times of the events decide, not their places."""
    other = service.caller()
    events = [event for event, _ in LIFE]
    assert caller.ingest(*events) == Response(inserted=8)
    assert other.ingest(*reversed(events)) == Response(inserted=8)
    assert recorded(service, caller) == recorded(service, other)


def test_changes_of_one_time(service: Service, caller: Caller) -> None:
    """Changes of one time all count, each once: what ends a subscription comes last."""
    events = [created(10), changed("canceled", 10), changed("revoked", 10), changed("revoked", 10)]
    assert caller.ingest(*events) == Response(inserted=3, duplicates=1)
    assert caller.ingest(*events) == Response(duplicates=4)
    assert caller.ingest(changed("uncanceled", 10)) == Response(inserted=1)
    (state,) = recorded(service, caller).subscriptions
    assert state.uncanceled_time == at(10)
    assert (state.canceled_time, state.ends_time, state.ended_time) == (at(10), at(10), at(10))


def test_a_late_change_counts_at_its_time(service: Service, caller: Caller) -> None:
    """A late event has the effect that it would have had in time, and counts once."""
    caller.ingest(created(10), changed("canceled", 30))
    before = recorded(service, caller)
    late = changed("product_updated", 20, new_product_id="pro")
    assert caller.ingest(late) == Response(inserted=1)
    assert caller.ingest(late) == Response(duplicates=1)
    (state,) = before.subscriptions
    state.product_id = "pro"
    assert recorded(service, caller) == before
    # Taken back before it was canceled.
    assert caller.ingest(changed("uncanceled", 20)) == Response(inserted=1)
    (state,) = recorded(service, caller).subscriptions
    assert (state.canceled_time, state.ends_time, state.uncanceled_time) == (at(30), at(30), at(20))


def test_a_change_before_its_start(service: Service, caller: Caller) -> None:
    """A change of a subscription that nobody knows waits for the start, of either kind."""
    other = service.caller()
    for one in (caller, other):
        assert one.ingest(changed("canceled", 20)) == Response(inserted=1)
        assert one.ingest(changed("canceled", 20)) == Response(duplicates=1)
        assert recorded(service, one).subscriptions == []
    assert caller.ingest(created(10)) == Response(inserted=1)
    record(other, subscriptions=[new_subscription(started_time=at(10), update_time=at(10))])
    (state,) = recorded(service, caller).subscriptions
    assert (state.canceled_time, state.update_time) == (at(20), at(20))
    assert recorded(service, caller) == recorded(service, other)


def test_conflicts(service: Service, caller: Caller) -> None:
    """Other content under an id that is taken changes nothing, and its place is told."""
    events = [
        paid(billing_type="one_time"),
        balance(),
        said("balance.refund", 9, order_id="order_1", amount=-900, refund_id="r"),
        created(10),
    ]
    caller.ingest(*events)
    before = recorded(service, caller)
    answer = caller.ingest(
        paid(billing_type="recurring"),
        balance(amount=1),
        *events,
        said("balance.refund", 9, order_id="order_1", amount=-901, refund_id="r"),
        created(10, amount=1),
        created(11),
    )
    assert answer == Response(
        duplicates=4,
        conflicts=[
            event_service_pb2.EventConflict(index=index, external_id=record_id)
            for index, record_id in [
                (0, "order_1"),
                (1, "order_1"),
                (6, "r"),
                (7, "subscription_1"),
                (8, "subscription_1"),
            ]
        ],
    )
    assert recorded(service, caller) == before


@pytest.mark.parametrize(
    "event",
    [
        paid(second=1),
        paid(applied_balance_amount=2),
        paid(product_id="other"),
        paid(billing_type="recurring"),
        paid(subscription_id="s"),
        paid(external_customer_id="other"),
        balance(amount=2_901),
        balance(fee=1),
        balance(second=1),
        balance(currency="eur", exchange_rate=1),
        balance(currency="eur", exchange_rate=1.5),
    ],
)
def test_an_order_that_was_recorded_whole(
    service: Service, caller: Caller, event: event_pb2.NewEvent
) -> None:
    """A recorded order stays as it is: an event that differs is a conflict, one that agrees is a
    duplicate."""
    record(caller, [new_order(applied_balance="1")])
    before = recorded(service, caller)
    assert caller.ingest(balance(), paid(applied_balance_amount=1)) == Response(duplicates=2)
    conflict = event_service_pb2.EventConflict(external_id="order_1")
    assert caller.ingest(event) == Response(conflicts=[conflict])
    assert recorded(service, caller) == before


def test_an_order_known_by_events_is_not_recorded_again(service: Service, caller: Caller) -> None:
    """The typed call finds an order of events: the same content is a duplicate."""
    caller.ingest(balance())
    for order, answer in (
        (new_order(), revenue_service_pb2.RecordOrdersResponse(duplicates=1)),
        (
            new_order(fee="1"),
            revenue_service_pb2.RecordOrdersResponse(
                conflicts=[revenue_service_pb2.OrderConflict(order_id="order_1")]
            ),
        ),
    ):
        request = revenue_service_pb2.RecordOrdersRequest(orders=[order])
        assert caller.revenue.RecordOrders(request, metadata=caller.metadata) == answer


def test_they_are_no_events(service: Service, caller: Caller) -> None:
    """No system event is stored as an event, and no series of their names exists."""
    caller.ingest(paid(), balance(), created(10))
    assert caller.list_events() == []
    assert list(caller.list_names_page().names) == []
    assert rows(service.store, series, owner_of(service, caller)) == []


def test_isolation(service: Service, caller: Caller) -> None:
    """The same ids in two organizations are two of each, and changes find only their own."""
    other = service.caller()
    caller.ingest(paid(), created(10))
    assert other.ingest(changed("canceled", 20)) == Response(inserted=1)
    assert other.ingest(paid(second=5), balance(amount=1), created(11)) == Response(inserted=3)
    assert caller.ingest(balance(amount=7)) == Response(inserted=1)
    states = [recorded(service, one).subscriptions for one in (caller, other)]
    assert [one.HasField("ends_time") for (one,) in states] == [False, True]
    (mine,), (theirs,) = (recorded(service, one).orders for one in (caller, other))
    assert (mine.net_amount.amount, theirs.net_amount.amount) == ("7", "1")


# Who may.


def test_the_scope_of_system_events(service: Service, caller: Caller) -> None:
    """A token that may only write events is refused with the first path and name."""
    events = service.caller(caller.organization, scopes=frozenset({"events:write", "events:read"}))
    with refused("SCOPE_MISSING") as call:
        events.ingest(new_event(), paid(), balance())
    assert call.refusal.code is grpc.StatusCode.PERMISSION_DENIED
    assert call.refusal.message == (
        'events[1].name: the name "order.paid" is reserved for system events, which need the scope '
        "revenue:write; the access token has events:read, events:write"
    )
    assert call.refusal.facts == {
        "method": INGEST,
        "needs": "revenue:write",
        "has": "events:read, events:write",
        "path": "events[1].name",
        "value": "order.paid",
    }
    assert not recorded(service, caller).orders
    assert caller.list_events() == []
    revenue = service.caller(caller.organization, scopes=frozenset({"revenue:write"}))
    assert revenue.ingest(paid()) == Response(inserted=1)
    assert revenue.ingest() == Response()


def test_the_scope_of_events(service: Service, caller: Caller) -> None:
    """A token that may only record is refused where it sends events."""
    revenue = service.caller(caller.organization, scopes=frozenset({"revenue:write"}))
    with refused("SCOPE_MISSING") as call:
        revenue.ingest(new_event())
    assert call.refusal.code is grpc.StatusCode.PERMISSION_DENIED
    assert call.refusal.message == (
        f"{INGEST} needs the scope events:write for events that are not system events; the access "
        "token has revenue:write"
    )
    assert call.refusal.facts == {
        "method": INGEST,
        "needs": "events:write",
        "has": "revenue:write",
    }
    assert caller.list_events() == []


# Faults.


def test_a_mixed_request(service: Service, caller: Caller) -> None:
    """System events and other events are not taken in one request."""
    with refused("NAME_RESERVED") as call:
        caller.ingest(new_event(), paid(), new_event(), balance())
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.paths == ["events[1].name", "events[3].name"]
    assert call.refusal.message == (
        'events[1].name: the name "order.paid" is reserved for system events; a request holds '
        "either "
        "system events or other events (the first of 2 faults)"
    )
    assert caller.list_events() == []
    assert not recorded(service, caller).orders


def test_a_stream(service: Service, caller: Caller) -> None:
    """A stream refuses them and says where they are taken."""
    batch = event_service_pb2.IngestEventsRequest(events=[new_event(), paid()], accept_valid=True)
    request = event_service_pb2.StreamEventsRequest(stream_id="s", sequence=1, batch=batch)
    (answer,) = caller.events.StreamEvents(iter([request]), metadata=caller.metadata)
    assert answer.batch == Response(
        inserted=1,
        refused=1,
        faults_total=1,
        faults=[
            event_service_pb2.EventFault(
                index=1,
                path="events[1].name",
                reason="NAME_RESERVED",
                message='the name "order.paid" is reserved for system events, which StreamEvents '
                "does not take; send it with IngestEvents",
                value="order.paid",
            )
        ],
    )
    assert not recorded(service, caller).orders
    assert [name.name for name in caller.list_names_page().names] == ["llm.inference"]


def refund_event(**fields: Any) -> event_pb2.NewEvent:
    """A refund."""
    return said("balance.refund", 9, **{"order_id": "o", "amount": -1, **fields})


RATE = (
    'the exchange rate "{}" is not allowed; it must be a decimal number from 0.000000000001 to '
    "9000000 of at most 17 digits"
)
FAULTS: list[tuple[event_pb2.NewEvent, str, str, str]] = [
    (
        paid(timestamp=None),
        "timestamp",
        "FIELD_REQUIRED",
        "timestamp is absent or empty; it is required",
    ),
    (
        new_event(name="order.paid", timestamp=at(0)),
        "metadata.order_id",
        "FIELD_REQUIRED",
        "metadata.order_id is absent or empty; it is required",
    ),
    (
        paid(""),
        "metadata.order_id",
        "FIELD_REQUIRED",
        "metadata.order_id is absent or empty; it is required",
    ),
    (
        said("order.paid", order_id=17),
        "metadata.order_id",
        "TYPE_UNSUPPORTED",
        "the value has the type number; allowed: text",
    ),
    (
        paid("o" * 257),
        "metadata.order_id",
        "TEXT_TOO_LONG",
        "the text has 257 characters; at most 256 are allowed",
    ),
    (
        paid(product_id="p" * 129),
        "metadata.product_id",
        "TEXT_TOO_LONG",
        "the text has 129 characters; at most 128 are allowed",
    ),
    (
        paid(billing_type="monthly"),
        "metadata.billing_type",
        "VALUE_UNKNOWN",
        '"monthly" is not a billing type; allowed are one_time, recurring',
    ),
    (
        paid(applied_balance_amount="1e-13"),
        "metadata.applied_balance_amount",
        "AMOUNT_TOO_PRECISE",
        (
            "the amount 1e-13 has 13 decimals; at most 17 digits of which at most 12 decimals are "
            "allowed"
        ),
    ),
    (
        paid(customer_id=NOBODY),
        "customer_id",
        "CUSTOMER_NOT_FOUND",
        (
            f"the organization has no customer {NOBODY}; only the id of one of its customers is "
            "allowed"
        ),
    ),
    (
        paid(cost="1"),
        "name",
        "NAME_RESERVED",
        'the name "order.paid" is reserved for system events, which carry no cost',
    ),
    (
        said("balance.order", order_id="o", currency="usd"),
        "metadata.amount",
        "FIELD_REQUIRED",
        "metadata.amount is absent or empty; it is required",
    ),
    (
        balance(amount=True),
        "metadata.amount",
        "TYPE_UNSUPPORTED",
        "the value has the type boolean; allowed: number, text",
    ),
    (
        balance(amount=1e16),
        "metadata.amount",
        "AMOUNT_OUT_OF_RANGE",
        "the amount 1e+16 is out of range; -1000000000000000 to 1000000000000000 cents are allowed",
    ),
    (
        balance(amount=float("nan")),
        "metadata.amount",
        "AMOUNT_MALFORMED",
        'the amount "nan" is not a decimal number such as 0.025',
    ),
    (
        balance(fee="a lot"),
        "metadata.fee",
        "AMOUNT_MALFORMED",
        'the amount "a lot" is not a decimal number such as 0.025',
    ),
    (
        balance(currency="dollar"),
        "metadata.currency",
        "CURRENCY_UNSUPPORTED",
        'the currency "dollar" is not supported; only 3 letters such as usd are allowed',
    ),
    (
        balance(currency="eur"),
        "metadata.exchange_rate",
        "FIELD_REQUIRED",
        "metadata.exchange_rate is absent or 0; it is required where the currency is not usd",
    ),
    (
        balance(currency="eur", net_amount=9, presentment_amount=1_000, presentment_currency="usd"),
        "metadata.exchange_rate",
        "FIELD_REQUIRED",
        "metadata.exchange_rate is absent or 0; it is required where the currency is not usd",
    ),
    (
        balance(currency="eur", exchange_rate=-1),
        "metadata.exchange_rate",
        "NUMBER_OUT_OF_RANGE",
        RATE.format(-1),
    ),
    (
        balance(currency="eur", exchange_rate="9000001"),
        "metadata.exchange_rate",
        "NUMBER_OUT_OF_RANGE",
        RATE.format(9000001),
    ),
    (
        balance(amount=-1, net_amount=-1, presentment_amount=3, presentment_currency="eur"),
        "metadata.presentment_amount",
        "NUMBER_OUT_OF_RANGE",
        RATE.format("-1/3"),
    ),
    (
        balance(exchange_rate=1.5),
        "metadata.presentment_currency",
        "FIELD_REQUIRED",
        (
            "the exchange rate is 1.5; a presentment_currency other than usd is required where it "
            "is not 1"
        ),
    ),
    (
        balance(exchange_rate=1.5, presentment_currency="usd"),
        "metadata.presentment_currency",
        "CURRENCY_UNSUPPORTED",
        (
            "the exchange rate is 1.5; a presentment_currency other than usd is required where it "
            "is not 1"
        ),
    ),
    (
        balance(amount=10**15, currency="eur", exchange_rate=2),
        "metadata.amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            "the amount 1000000000000000 is 2000000000000000 in usd; -1000000000000000 to "
            "1000000000000000 cents are allowed"
        ),
    ),
    (
        balance(order_created_at="yesterday"),
        "metadata.order_created_at",
        "TYPE_UNSUPPORTED",
        '"yesterday" is not a time with an offset, such as 2026-11-23T12:00:00Z',
    ),
    (
        balance(order_created_at="2001-09-09T01:46:45"),
        "metadata.order_created_at",
        "TYPE_UNSUPPORTED",
        '"2001-09-09T01:46:45" is not a time with an offset, such as 2026-11-23T12:00:00Z',
    ),
    (
        refund_event(amount=1),
        "metadata.amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            "the amount 1 of a balance.refund is out of range; -1000000000000000 to 0 cents are "
            "allowed"
        ),
    ),
    (
        said("balance.dispute_reversal", order_id="o", net_amount=-0.5),
        "metadata.net_amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            "the amount -0.5 of a balance.dispute_reversal is out of range; 0 to 1000000000000000 "
            "cents are allowed"
        ),
    ),
    (
        refund_event(order_id=None),
        "metadata.order_id",
        "FIELD_REQUIRED",
        "metadata.order_id is absent or empty; it is required",
    ),
    (
        refund_event(presentment_amount=3, currency="eur"),
        "metadata.exchange_rate",
        "FIELD_REQUIRED",
        "metadata.exchange_rate is absent or 0; it is required where the currency is not usd",
    ),
    (
        created(amount=-1),
        "metadata.amount",
        "AMOUNT_OUT_OF_RANGE",
        (
            "the amount -1 of a subscription.created is out of range; 0 to 1000000000000000 cents "
            "are allowed"
        ),
    ),
    (
        created(amount=None),
        "metadata.amount",
        "FIELD_REQUIRED",
        "metadata.amount is absent or empty; it is required",
    ),
    (
        created(currency=""),
        "metadata.currency",
        "FIELD_REQUIRED",
        "metadata.currency is absent or empty; it is required",
    ),
    (
        created(recurring_interval="decade"),
        "metadata.recurring_interval",
        "VALUE_UNKNOWN",
        '"decade" is not a recurring interval; allowed are day, week, month, year',
    ),
    (
        created(recurring_interval_count=1.5),
        "metadata.recurring_interval_count",
        "NUMBER_OUT_OF_RANGE",
        "the number 1.5 is not a whole number from 1 to 999",
    ),
    (
        changed("canceled", 20, customer_cancellation_reason="bored"),
        "metadata.customer_cancellation_reason",
        "VALUE_UNKNOWN",
        (
            '"bored" is not a customer cancellation reason; allowed are customer_service, '
            "low_quality, missing_features, switched_service, too_complex, too_expensive, "
            "unused, other"
        ),
    ),
    (
        changed("product_updated", 20),
        "metadata.new_product_id",
        "FIELD_REQUIRED",
        "metadata.new_product_id is absent or empty; it is required",
    ),
    (
        event_pb2.NewEvent(
            name="order.paid",
            external_customer_id="c",
            timestamp=at(0),
            product_id="p",
            metadata=paid(product_id="p").metadata,
        ),
        "metadata.product_id",
        "FIELDS_CONFLICT",
        "events[1].product_id is also given and means the same; only one of them is allowed",
    ),
    (
        event_pb2.NewEvent(name="order.paid", timestamp=at(0), metadata=paid().metadata),
        "external_customer_id",
        "FIELD_REQUIRED",
        "external_customer_id and customer_id are both absent; one of them is required",
    ),
]


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: f"{case[0].name} {case[1]} {case[2]}")
def test_faults(
    service: Service, caller: Caller, case: tuple[event_pb2.NewEvent, str, str, str]
) -> None:
    """A fault is named by path, reason and words, and nothing of the request is recorded."""
    event, path, reason, message = case
    with refused(reason) as call:
        caller.ingest(balance("valid"), event)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.message == f"events[1].{path}: {message}"
    assert call.refusal.paths == [f"events[1].{path}"]
    assert recorded(service, caller) == Recorded([], [], [], {})
    # With `accept_valid` the others are recorded.
    answer = caller.ingest(balance("valid"), event, accept_valid=True)
    (fault,) = answer.faults
    assert (answer.inserted, fault.index, fault.path) == (1, 1, f"events[1].{path}")
    assert (fault.reason, fault.message) == (reason, message)
    assert len(recorded(service, caller).orders) == 1


def test_times_that_lie_ahead(caller: Caller) -> None:
    """Neither an event nor what it tells of the past lies ahead."""
    ahead = at(now_us() // 1_000_000 - 1_000_000_000 + 1_000)
    for event, path in (
        (paid(timestamp=ahead), "timestamp"),
        (balance(order_created_at=ahead.ToJsonString()), "metadata.order_created_at"),
        (changed("canceled", 1, canceled_at=ahead.ToJsonString()), "metadata.canceled_at"),
    ):
        with refused("TIMESTAMP_IN_FUTURE") as call:
            caller.ingest(event)
        latest = call.refusal.facts["max"]
        assert call.refusal.message == (
            f"events[0].{path}: the time {ahead.ToJsonString()} is in the future; at most {latest} "
            "is allowed"
        )


def test_a_thousand_at_most(service: Service, caller: Caller) -> None:
    """A request holds as many as the typed calls take."""
    events = [balance(f"o{n}") for n in range(1_001)]
    with refused("TOO_MANY_VALUES") as call:
        caller.ingest(*events)
    assert call.refusal.message == "events: there are 1001 values; at most 1000 are allowed"
    assert caller.ingest(*events[1:]) == Response(inserted=1_000)


# Any order.


@dataclass(frozen=True)
class Sale:
    """An order, in the events that say it and in a typed message."""

    events: Sequence[event_pb2.NewEvent]
    order: revenue_pb2.NewOrder


@st.composite
def sales(draw: st.DrawFn, order_id: str) -> Sale:
    """An order that is known by one or more events, and what they are together on paper."""
    names = draw(st.sets(st.sampled_from(["paid", "balance", "credit"]), min_size=1).map(sorted))
    customer_id, subscription_id = draw(st.sampled_from("cd")), draw(st.sampled_from(["", "s"]))
    shared = {"external_customer_id": customer_id, "product_id": "p"}
    if subscription_id:
        shared["subscription_id"] = subscription_id
    applied = draw(st.integers(-5, 5))
    paid_second = draw(st.integers(0, 9))
    events = []
    if "paid" in names:
        events.append(paid(order_id, paid_second, applied_balance_amount=applied, **shared))
    amounts = {}
    for name, event_name in (("credit", "balance.credit_order"), ("balance", "balance.order")):
        if name not in names:
            continue
        amount, fee = draw(st.integers(-50, 50)), draw(st.integers(-3, 3))
        rate = draw(st.sampled_from([Fraction(1), Fraction(5, 4)]))
        is_net = draw(st.booleans())
        second = draw(st.integers(0, 9))
        fields: dict[str, Any] = {
            "order_id": order_id,
            "currency": "usd" if rate == 1 else "eur",
            "exchange_rate": float(rate),
            "fee": fee,
            **shared,
            ("net_amount" if is_net else "amount"): amount,
        }
        events.append(said(event_name, second, **fields))
        amounts[name] = (amount, rate, fee, second, is_net or name == "credit")
    nothing = (0, Fraction(1), 0, paid_second, True)
    amount, rate, fee, second, is_net = amounts.get("balance") or amounts.get("credit") or nothing
    order = new_order(
        order_id,
        external_customer_id=customer_id,
        product_id="p",
        subscription_id=subscription_id,
        billing_type=revenue_pb2.BILLING_TYPE_RECURRING
        if subscription_id
        else revenue_pb2.BILLING_TYPE_ONE_TIME,
        net_amount=money(str(amount), "usd" if rate == 1 else "eur"),
        exchange_rate=str(float(rate)),
        applied_balance=str(0 if is_net or "paid" not in names else applied),
        fee=str(fee),
        created_time=at(second),
        paid_time=at(paid_second if "paid" in names else second),
    )
    return Sale(events, order)


@st.composite
def returns(draw: st.DrawFn, refund_id: str) -> tuple[event_pb2.NewEvent, revenue_pb2.Refund]:
    """A refund of an order that may never come, as an event and as a typed message."""
    kind = draw(st.sampled_from(["refund", "refund_reversal", "dispute", "dispute_reversal"]))
    amount, fee = draw(st.integers(0, 50)), draw(st.integers(-3, 3))
    order_id, second = draw(st.sampled_from("abx")), draw(st.integers(0, 9))
    event = said(
        f"balance.{kind}",
        second,
        order_id=order_id,
        amount=amount if kind.endswith("reversal") else -amount,
        fee=fee,
        external_id=refund_id,
    )
    typed = new_refund(
        refund_id,
        kind=revenue_pb2.RefundKind.Value(f"REFUND_KIND_{kind.upper()}"),
        order_id=order_id,
        amount=money(str(amount)),
        fee=str(fee),
        created_time=at(second),
    )
    return event, typed


def batches(
    events: Sequence[event_pb2.NewEvent], rng: random.Random
) -> Iterator[Sequence[event_pb2.NewEvent]]:
    """All events in any order, in requests of any size, some of them sent again."""
    shuffled = rng.sample(events, len(events))
    while shuffled:
        size = rng.randint(1, len(shuffled))
        yield shuffled[:size]
        yield rng.choices(events, k=1) if rng.random() < 0.3 else shuffled[:size]
        shuffled = shuffled[size:]


@hypothesis.given(
    st.tuples(*(sales(order_id) for order_id in "abc")),
    st.tuples(*(returns(refund_id) for refund_id in "rst")),
    st.randoms(use_true_random=False),
)
@hypothesis.settings(max_examples=examples(0.25))
def test_any_order(
    service: Service,
    sold: Sequence[Sale],
    given_back: Sequence[tuple[event_pb2.NewEvent, revenue_pb2.Refund]],
    rng: random.Random,
) -> None:
    """The records and bookings are those of the typed calls, however events come."""
    evented, typed = service.caller(), service.caller()
    events = [event for sale in sold for event in sale.events]
    events += [event for event, _ in given_back]
    inserted = 0
    for batch in batches(events, rng):
        answer = evented.ingest(*batch)
        assert not answer.conflicts
        inserted += answer.inserted
    assert inserted == len(events)
    record(typed, [sale.order for sale in sold], [refund for _, refund in given_back])
    assert recorded(service, evented) == recorded(service, typed)
