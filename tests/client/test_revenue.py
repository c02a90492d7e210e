"""Every RPC by the clients, blocking and asynchronous: orders and all that follows, and lists."""

import datetime
import inspect
from collections.abc import AsyncIterable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from cost_insights.client import (
    AsyncClient,
    Checkout,
    Client,
    Event,
    InvalidRecordError,
    Llm,
    Money,
    NewCheckout,
    NewOrder,
    NewRefund,
    NewSeat,
    NewSubscription,
    Order,
    RecordConflict,
    Recorded,
    Refund,
    RefusedError,
    Seat,
    StatesRecorded,
    Subscription,
)
from tests.support.revenue import new_order
from tests.support.service import METHODS, Service

NOON = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)
LATER = NOON + datetime.timedelta(microseconds=1)
DAYS: dict[str, Any] = {"start": "2026-11-01", "end": "2026-11-01"}

ORDER: NewOrder = {
    "order_id": "1",
    "external_customer_id": "acme",
    "product_id": "pro",
    "billing_type": "recurring",
    "subscription_id": "s",
    "net_amount": {"amount": Decimal("2900.000000000001"), "currency": "EUR"},
    "exchange_rate": "1.5",
    "applied_balance": 100,
    "fee": "145.5",
    "created_time": NOON,
}
REFUND: NewRefund = {
    "refund_id": "r",
    "kind": "dispute",
    "order_id": "1",
    "amount": {"amount": 10, "currency": "usd"},
    "fee": Decimal(-1),
    "created_time": NOON,
}
SUBSCRIPTION: NewSubscription = {
    "subscription_id": "s",
    "external_customer_id": "acme",
    "product_id": "pro",
    "amount": {"amount": "2900", "currency": "usd"},
    "recurring_interval": "month",
    "started_time": NOON,
    "canceled_time": LATER,
    "cancel_reason": "too_expensive",
    "update_time": LATER,
}
CHECKOUT: NewCheckout = {
    "checkout_id": "c",
    "status": "succeeded",
    "created_time": NOON,
    "opened_time": LATER,
    "update_time": LATER,
}
SEAT: NewSeat = {
    "seat_id": "t",
    "external_customer_id": "acme",
    "order_id": "1",
    "created_time": NOON,
    "claimed_time": LATER,
    "update_time": "2026-11-01T12:00:00.000001Z",
}


async def plain(answer: Any) -> Any:
    """The answer of either client, of which a list is taken whole."""
    if inspect.isawaitable(answer):
        return await answer
    if isinstance(answer, AsyncIterable):
        return [each async for each in answer]
    if isinstance(answer, Iterable):
        return list(answer)
    return answer


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_revenue(kind: type[Client | AsyncClient], service: Service) -> None:
    """Records come back with every digit, and metrics contain them."""
    client = kind(service.address, token=service.caller().token)
    assert await plain(client.record_orders([ORDER])) == Recorded(1, 0, ())
    other: NewOrder = {**ORDER, "fee": 0}
    assert await plain(client.record_orders([ORDER, other])) == Recorded(
        0, 1, (RecordConflict(1, "1"),)
    )
    assert await plain(client.record_refunds([REFUND])) == Recorded(1, 0, ())
    for _ in range(2):
        subscribed = await plain(client.record_subscriptions([SUBSCRIPTION]))
        checked_out = await plain(client.record_checkouts([CHECKOUT]))
        seated = await plain(client.record_seats([SEAT]))
    assert subscribed == checked_out == seated == StatesRecorded(0, 0, 1, 0, ("unchanged",))

    (order,) = await plain(client.list_orders(customer_ids=[], product_ids=["pro"]))
    customer = order.customer_id
    assert order == Order(
        order_id="1",
        external_customer_id="acme",
        customer_id=customer,
        product_id="pro",
        billing_type="recurring",
        subscription_id="s",
        net_amount=Money(Decimal("2900.000000000001"), "eur"),
        exchange_rate=Decimal("1.5"),
        applied_balance=Decimal(100),
        fee=Decimal("145.5"),
        created_time=NOON,
        paid_time=NOON,
    )
    assert await plain(client.list_refunds(start_time=NOON)) == [
        Refund("r", "dispute", "1", Money(Decimal(10), "usd"), Decimal(1), Decimal(-1), NOON)
    ]
    assert await plain(client.list_subscriptions(active=True)) == [
        Subscription(
            subscription_id="s",
            external_customer_id="acme",
            customer_id=customer,
            product_id="pro",
            amount=Money(Decimal(2900), "usd"),
            recurring_interval="month",
            recurring_interval_count=1,
            started_time=NOON,
            trial_end_time=None,
            canceled_time=LATER,
            cancel_reason="too_expensive",
            uncanceled_time=None,
            ends_time=None,
            ended_time=None,
            update_time=LATER,
        )
    ]
    assert await plain(client.list_subscriptions(active=False)) == []
    assert await plain(client.list_checkouts()) == [
        Checkout("c", "", "", "", None, "succeeded", NOON, LATER, LATER)
    ]
    assert await plain(client.list_seats(external_customer_ids=["acme"])) == [
        Seat("t", "acme", customer, "", "1", "", NOON, LATER, None, LATER)
    ]
    answer = await plain(client.metrics(**DAYS))
    assert answer.totals["revenue"] == Decimal("4350.000000000002")
    assert [(one.slug, one.type) for one in answer.metrics[:3]] == [
        ("costs", "currency_sub_cent"),
        ("cumulative_costs", "currency_sub_cent"),
        ("active_user_by_event", "scalar"),
    ]
    await plain(client.close())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_events_are_listed(kind: type[Client | AsyncClient], service: Service) -> None:
    """Events come page after page, with decimals and aware times; one is found by its id."""
    client = kind(service.address, token=service.caller().token)
    await plain(
        client.ingest(
            [
                {
                    "name": f"step {number}",
                    "external_customer_id": "acme",
                    "external_id": str(number),
                    "timestamp": NOON + datetime.timedelta(seconds=number),
                    "metadata": {"number": number},
                }
                for number in range(4)
            ]
        )
    )
    await plain(
        client.ingest(
            [
                {
                    "name": "call",
                    "external_customer_id": "acme",
                    "timestamp": NOON,
                    "cost": {"amount": Decimal("0.1"), "currency": "usd"},
                    "llm": {"vendor": "openai", "model": "o3", "cached_input_tokens": 0},
                }
            ]
        )
    )
    steps = await plain(client.list_events(page_size=2, start_time=LATER))
    assert [event.metadata for event in steps] == [{"number": 3}, {"number": 2}, {"number": 1}]
    third = client.list_events(metadata=[{"key": "number", "values": ["3"]}])
    assert await plain(third) == steps[:1]
    (call,) = await plain(client.list_events(event_names=["call"], llm_vendors=["openai"]))
    assert call == Event(
        id=call.id,
        name="call",
        customer_id=steps[0].customer_id,
        external_customer_id="acme",
        timestamp=NOON,
        external_id=call.external_id,
        parent_id="",
        external_member_id="",
        cost=Decimal("0.1"),
        llm=Llm("openai", "o3", 0, 0, 0, 0, None, None),
        product_id="",
        metadata={},
    )
    assert await plain(client.get_event(call.id)) == call
    with pytest.raises(RefusedError):
        await plain(client.get_event("nothing"))
    names = await plain(client.list_event_names("STEP"))
    assert [(name.name, name.occurrences, name.first_seen) for name in names][:1] == [
        ("step 0", 1, NOON)
    ]
    limits = await plain(client.metrics_limits())
    assert list(limits.intervals) == ["hour", "day", "week", "month", "year"]
    assert limits.intervals["hour"].max_days < limits.intervals["year"].max_days
    await plain(client.close())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"fee": 0.1}, "fee: 0.1 is a float, which is not exact; a text, a Decimal and an int are"),
        ({"billing_type": "yearly"}, "billing_type: 'yearly' is none of one_time, recurring"),
        ({"created_time": datetime.datetime(2026, 1, 1)}, "has no time zone"),  # noqa: DTZ001
        ({"color": 1}, "color: there is no such field; the known ones are order_id, "),
        ({"net_amount": {"amount": True, "currency": "usd"}}, "True is not an amount"),
    ],
)
def test_what_is_no_order_is_named(fields: Any, words: str) -> None:
    """An order that fits no message is refused before anything is sent, by its place."""
    order: Any = {**ORDER, **fields}
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidRecordError, match=words) as refused:
        client.record_orders([ORDER, order])
    assert str(refused.value).startswith("orders[1]: ")


def test_records_may_be_messages(service: Service) -> None:
    """An order is taken as a message, too, and the JSON form names enums in full."""
    full: Any = {**ORDER, "order_id": "2", "billing_type": "BILLING_TYPE_RECURRING"}
    with Client(service.address, token=service.caller().token) as client:
        assert client.record_orders([new_order("3"), full]).inserted == 2


def test_arguments_of_lists() -> None:
    """An argument that is unknown or of another type is named before anything is sent."""
    with Client("127.0.0.1:1") as client:
        with pytest.raises(TypeError, match="there is no argument active; known are page_size"):
            client.list_orders(active=True)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="customer_ids"):
            client.list_events(customer_ids="acme")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_rpc_has_a_method(kind: type[Client | AsyncClient]) -> None:
    """Both clients have a method for each RPC; streams of events are the command line's."""
    source = inspect.getsource(kind)
    rpcs = {method.name for method in METHODS.values()}
    assert [name for name in sorted(rpcs) if f".{name}" not in source] == ["StreamEvents"]


def test_both_clients_have_the_same_methods() -> None:
    """The two take the same arguments by the same names."""

    def signatures(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(kind).items()
            if not name.startswith("_")
        }

    assert signatures(Client) == signatures(AsyncClient)
