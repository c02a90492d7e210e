"""Checkouts and seats over the wire: recorded, refused and listed."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from cost_insights.v1 import revenue_pb2, revenue_service_pb2
from tests.support.revenue import at, new_checkout, new_seat
from tests.support.service import Caller, Service, refused

INSERTED = revenue_service_pb2.STATE_OUTCOME_INSERTED
UPDATED = revenue_service_pb2.STATE_OUTCOME_UPDATED
UNCHANGED = revenue_service_pb2.STATE_OUTCOME_UNCHANGED
OUTDATED = revenue_service_pb2.STATE_OUTCOME_OUTDATED

OPEN = revenue_pb2.CHECKOUT_STATUS_OPEN
SUCCEEDED = revenue_pb2.CHECKOUT_STATUS_SUCCEEDED

NOBODY = "1dbfc517-0bbf-4301-9ba8-555ca42b9737"
FAR = timestamp_pb2.Timestamp(seconds=32_472_144_000)  # 2999-01-01


def record_checkouts(
    caller: Caller, *checkouts: revenue_pb2.NewCheckout
) -> revenue_service_pb2.RecordCheckoutsResponse:
    """Records checkouts in one call."""
    request = revenue_service_pb2.RecordCheckoutsRequest(checkouts=checkouts)
    return caller.revenue.RecordCheckouts(request, metadata=caller.metadata)


def record_seats(
    caller: Caller, *seats: revenue_pb2.NewSeat
) -> revenue_service_pb2.RecordSeatsResponse:
    """Records seats in one call."""
    request = revenue_service_pb2.RecordSeatsRequest(seats=seats)
    return caller.revenue.RecordSeats(request, metadata=caller.metadata)


def checkouts_page(caller: Caller, **request: Any) -> revenue_service_pb2.ListCheckoutsResponse:
    """One page of checkouts."""
    return caller.revenue.ListCheckouts(
        revenue_service_pb2.ListCheckoutsRequest(**request), metadata=caller.metadata
    )


def seats_page(caller: Caller, **request: Any) -> revenue_service_pb2.ListSeatsResponse:
    """One page of seats."""
    return caller.revenue.ListSeats(
        revenue_service_pb2.ListSeatsRequest(**request), metadata=caller.metadata
    )


def is_empty(caller: Caller) -> bool:
    """Whether nothing is recorded."""
    return not (checkouts_page(caller).checkouts or seats_page(caller).seats)


Record = Callable[..., Any]
New = Callable[..., Message]

each_kind = pytest.mark.parametrize(
    ("record", "new", "path"),
    [(record_checkouts, new_checkout, "checkouts"), (record_seats, new_seat, "seats")],
    ids=["checkouts", "seats"],
)


# What comes back


def test_a_request_without_anything(caller: Caller) -> None:
    """An empty request is answered like any other, and records nothing."""
    assert record_checkouts(caller) == revenue_service_pb2.RecordCheckoutsResponse()
    assert record_seats(caller) == revenue_service_pb2.RecordSeatsResponse()
    assert is_empty(caller)


def test_a_checkout_comes_back(caller: Caller) -> None:
    """Every field of a checkout comes back."""
    fields: dict[str, Any] = {
        "checkout_id": "checkout_1",
        "product_id": "pro",
        "billing_type": revenue_pb2.BILLING_TYPE_ONE_TIME,
        "status": SUCCEEDED,
        "created_time": at(1),
        "opened_time": at(2, 3),
        "update_time": at(5),
    }
    record_checkouts(caller, revenue_pb2.NewCheckout(customer_id="user_123", **fields))
    (checkout,) = checkouts_page(caller).checkouts
    assert checkout.customer_id
    assert checkout == revenue_pb2.Checkout(
        external_customer_id="user_123", customer_id=checkout.customer_id, **fields
    )


def test_what_a_checkout_leaves_out(caller: Caller) -> None:
    """A checkout needs no customer, no product and no billing type, and may never be opened."""
    record_checkouts(caller, new_checkout())
    (checkout,) = checkouts_page(caller).checkouts
    assert checkout == revenue_pb2.Checkout(
        checkout_id="checkout_1", status=OPEN, created_time=at(0), update_time=at(0)
    )


@pytest.mark.parametrize("purchase", ["subscription_id", "order_id"])
def test_a_seat_comes_back(caller: Caller, purchase: str) -> None:
    """Every field of a seat comes back."""
    fields: dict[str, Any] = {
        "seat_id": "seat_1",
        purchase: "bought",
        "product_id": "team",
        "created_time": at(1),
        "claimed_time": at(2),
        "revoked_time": at(3, 4),
        "update_time": at(5),
    }
    record_seats(caller, revenue_pb2.NewSeat(external_customer_id="user_123", **fields))
    (seat,) = seats_page(caller).seats
    assert seat.customer_id
    assert seat == revenue_pb2.Seat(
        external_customer_id="user_123", customer_id=seat.customer_id, **fields
    )


def test_what_a_seat_leaves_out(caller: Caller) -> None:
    """A seat may be of no product, free, and never taken away."""
    record_seats(caller, new_seat())
    (seat,) = seats_page(caller).seats
    assert seat == revenue_pb2.Seat(
        seat_id="seat_1",
        external_customer_id="user_123",
        customer_id=seat.customer_id,
        subscription_id="subscription_1",
        created_time=at(0),
        update_time=at(0),
    )


def test_every_value_of_an_enum_comes_back(caller: Caller) -> None:
    """Statuses and billing types come back as they were sent."""
    sent = {
        f"{status} {billing_type}": (status, billing_type)
        for status, billing_type in itertools.product(
            revenue_pb2.CheckoutStatus.values()[1:], revenue_pb2.BillingType.values()
        )
    }
    record_checkouts(
        caller,
        *(
            new_checkout(one, status=status, billing_type=billing_type)
            for one, (status, billing_type) in sent.items()
        ),
    )
    found = {
        one.checkout_id: (one.status, one.billing_type) for one in checkouts_page(caller).checkouts
    }
    assert found == sent


def test_checkouts_again(caller: Caller) -> None:
    """A later state replaces the stored one; the same or an earlier one changes nothing."""
    answer = record_checkouts(
        caller,
        new_checkout("a", update_time=at(5)),
        new_checkout("b", update_time=at(5)),
        new_checkout("a", update_time=at(7), status=SUCCEEDED),
        new_checkout("a", update_time=at(6)),
    )
    assert answer == revenue_service_pb2.RecordCheckoutsResponse(
        inserted=2, updated=1, outdated=1, outcomes=[INSERTED, INSERTED, UPDATED, OUTDATED]
    )
    answer = record_checkouts(
        caller,
        new_checkout("a", update_time=at(7), status=SUCCEEDED),
        new_checkout("a", update_time=at(7)),
        new_checkout("b", update_time=at(5), status=SUCCEEDED),
        new_checkout("b", update_time=at(4)),
    )
    assert answer == revenue_service_pb2.RecordCheckoutsResponse(
        updated=1, unchanged=1, outdated=2, outcomes=[UNCHANGED, OUTDATED, UPDATED, OUTDATED]
    )
    found = {one.checkout_id: one.status for one in checkouts_page(caller).checkouts}
    assert found == {"a": SUCCEEDED, "b": SUCCEEDED}


def test_seats_again(caller: Caller) -> None:
    """A later state replaces the stored one, also its customer; an earlier one does nothing."""
    answer = record_seats(caller, new_seat("a", update_time=at(5)), new_seat("b"))
    assert answer == revenue_service_pb2.RecordSeatsResponse(
        inserted=2, outcomes=[INSERTED, INSERTED]
    )
    answer = record_seats(
        caller,
        new_seat("a", update_time=at(6), revoked_time=at(6), external_customer_id="other"),
        new_seat("a", update_time=at(4)),
        new_seat("b"),
    )
    assert answer == revenue_service_pb2.RecordSeatsResponse(
        updated=1, outdated=1, unchanged=1, outcomes=[UPDATED, OUTDATED, UNCHANGED]
    )
    found = {one.seat_id: one.external_customer_id for one in seats_page(caller).seats}
    assert found == {"a": "other", "b": "user_123"}


# What is refused


def without(new: New, field: str) -> Message:
    """A record that lacks a field."""
    message = new()
    message.ClearField(field)
    return message


FAULTS: Sequence[tuple[Record, Message, str, str, str]] = [
    (
        record_checkouts,
        new_checkout("c" * 257),
        "checkouts[0].checkout_id",
        "TEXT_TOO_LONG",
        "the text has 257 characters; at most 256 are allowed",
    ),
    (
        record_checkouts,
        without(new_checkout, "status"),
        "checkouts[0].status",
        "FIELD_REQUIRED",
        "status is absent or empty; it is required",
    ),
    (
        record_checkouts,
        new_checkout(status=99),
        "checkouts[0].status",
        "VALUE_UNKNOWN",
        (
            "99 is not a status; allowed are CHECKOUT_STATUS_OPEN, CHECKOUT_STATUS_CONFIRMED, "
            "CHECKOUT_STATUS_EXPIRED, CHECKOUT_STATUS_FAILED, CHECKOUT_STATUS_SUCCEEDED"
        ),
    ),
    (
        record_checkouts,
        new_checkout(external_customer_id=""),
        "checkouts[0].external_customer_id",
        "FIELD_REQUIRED",
        "external_customer_id is absent or empty; it is required",
    ),
    (
        record_checkouts,
        new_checkout(customer_id=NOBODY),
        "checkouts[0].customer_id",
        "CUSTOMER_NOT_FOUND",
        (
            f"the organization has no customer {NOBODY}; only the id of one of its customers is "
            "allowed"
        ),
    ),
    (
        record_checkouts,
        without(new_checkout, "update_time"),
        "checkouts[0].update_time",
        "FIELD_REQUIRED",
        "update_time is absent or empty; it is required",
    ),
    (
        record_seats,
        without(new_seat, "seat_id"),
        "seats[0].seat_id",
        "FIELD_REQUIRED",
        "seat_id is absent or empty; it is required",
    ),
    (
        record_seats,
        without(new_seat, "customer"),
        "seats[0].external_customer_id",
        "FIELD_REQUIRED",
        "external_customer_id and customer_id are both absent; one of them is required",
    ),
    (
        record_seats,
        without(new_seat, "purchase"),
        "seats[0].subscription_id",
        "FIELD_REQUIRED",
        "subscription_id and order_id are both absent; one of them is required",
    ),
    (
        record_seats,
        new_seat(order_id=" "),
        "seats[0].order_id",
        "FIELD_REQUIRED",
        "order_id has no visible character; at least 1 is required",
    ),
    (
        record_seats,
        new_seat(product_id="p" * 129),
        "seats[0].product_id",
        "TEXT_TOO_LONG",
        "the text has 129 characters; at most 128 are allowed",
    ),
]


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: f"{case[2]} {case[3]}")
def test_one_fault(caller: Caller, case: tuple[Record, Message, str, str, str]) -> None:
    """Each fault is named by its path and its reason, in words, and nothing is stored."""
    record, message, path, reason, words = case
    with refused(reason) as call:
        record(caller, message)
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.paths == [path]
    assert call.refusal.message == f"{path}: {words}"
    assert is_empty(caller)


@pytest.mark.parametrize(
    ("record", "new", "path", "field"),
    [
        *(
            (record_checkouts, new_checkout, "checkouts", field)
            for field in ("created_time", "opened_time", "update_time")
        ),
        *(
            (record_seats, new_seat, "seats", field)
            for field in ("created_time", "claimed_time", "revoked_time", "update_time")
        ),
    ],
)
def test_what_has_happened_does_not_lie_ahead(
    caller: Caller, record: Record, new: New, path: str, field: str
) -> None:
    """No time lies ahead of the service's clock, and none is one that a client left unset."""
    with refused("TIMESTAMP_IN_FUTURE") as call:
        record(caller, new(**{field: FAR}))
    assert call.refusal.paths == [f"{path}[0].{field}"]
    with refused("TIMESTAMP_ZERO"):
        record(caller, new(**{field: timestamp_pb2.Timestamp()}))
    assert is_empty(caller)


@each_kind
def test_a_call_takes_a_thousand(caller: Caller, record: Record, new: New, path: str) -> None:
    """A thousand records are stored in one call, one more is refused."""
    messages = [new(f"{n}") for n in range(1_001)]
    with refused("TOO_MANY_VALUES") as call:
        record(caller, *messages)
    assert call.refusal.message == f"{path}: there are 1001 values; at most 1000 are allowed"
    assert is_empty(caller)
    assert record(caller, *messages[1:]).inserted == 1_000
    assert record(caller, *messages[1:]).unchanged == 1_000


# Lists


EVERY = [*itertools.product(["c1", "c,2"], ["", "a"], [1, 2]), ("", "a", 1)]
"""The customer, product and time of each record; a seat without a customer there is not."""


def record_many(caller: Caller) -> None:
    """Records checkouts and seats of two customers, products and times."""
    checkouts, seats = [], []
    for customer, product, second in EVERY:
        record_id = f"{customer} {product} {second}"
        fields: dict[str, Any] = {"product_id": product, "created_time": at(second)}
        if customer:
            fields["external_customer_id"] = customer
            seats.append(new_seat(record_id, **fields))
        checkouts.append(new_checkout(record_id, **fields))
    record_checkouts(caller, *checkouts)
    record_seats(caller, *seats)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"product_ids": ["a"]},
        {"product_ids": [""]},
        {"external_customer_ids": ["c,2"]},
        {"external_customer_ids": ["c"]},
        {"external_customer_ids": ["c,2"], "customer_ids": ["c1"], "product_ids": ["a"]},
        {"customer_ids": ["c1"], "end_time": at(2)},
        {"start_time": at(2)},
    ],
    ids=str,
)
def test_filters(caller: Caller, filters: dict[str, Any]) -> None:
    """A filter keeps the records of any of its values, the latest first, page by page."""
    record_many(caller)
    customers = {*filters.get("external_customer_ids", ()), *filters.get("customer_ids", ())}
    lower = filters.get("start_time", at(0)).ToNanoseconds()
    upper = filters.get("end_time", at(9)).ToNanoseconds()
    expected = {
        f"{customer} {product} {second}": bool(customer)
        for customer, product, second in EVERY
        if (not customers or customer in customers)
        and product in filters.get("product_ids", [product])
        and lower <= at(second).ToNanoseconds() < upper
    }
    page = checkouts_page(caller, **filters, page_size=3)
    found = list(page.checkouts)
    while token := page.next_page_token:
        page = checkouts_page(caller, **filters, page_size=3, page_token=token)
        found += page.checkouts
    assert sorted(one.checkout_id for one in found) == sorted(expected)
    times = [one.created_time.seconds for one in found]
    assert times == sorted(times, reverse=True)
    seats = [one.seat_id for one in seats_page(caller, **filters).seats]
    assert sorted(seats) == sorted(one for one, has_customer in expected.items() if has_customer)


def test_page_tokens_of_other_questions(caller: Caller) -> None:
    """A page token goes with the call and the fields it was made for."""
    record_many(caller)
    token = checkouts_page(caller, page_size=2).next_page_token
    assert checkouts_page(caller, page_size=3, page_token=token).checkouts
    asks: list[Callable[[], Any]] = [
        lambda: checkouts_page(caller, product_ids=["a"], page_token=token),
        lambda: seats_page(caller, page_token=token),
    ]
    for ask in asks:
        with refused("PAGE_TOKEN_INVALID") as call:
            ask()
        assert call.refusal.paths == ["page_token"]


@pytest.mark.parametrize("ask", [checkouts_page, seats_page])
def test_questions_are_checked(caller: Caller, ask: Callable[..., Any]) -> None:
    """What cannot be asked is refused, naming all that is wrong."""
    with refused("NUMBER_OUT_OF_RANGE") as call:
        ask(caller, page_size=1_001, external_customer_ids=["c"] * 101, product_ids=["\0"])
    assert [(fault.field, fault.reason) for fault in call.refusal.faults] == [
        ("page_size", "NUMBER_OUT_OF_RANGE"),
        ("external_customer_ids", "TOO_MANY_VALUES"),
        ("product_ids[0]", "TEXT_MALFORMED"),
    ]


def test_two_organizations_with_the_same_ids(service: Service) -> None:
    """The same ids in two organizations are two of each, and neither sees the other's."""
    red, blue = service.caller(), service.caller()
    for caller, product in ((red, "red"), (blue, "blue")):
        assert record_checkouts(caller, new_checkout(product_id=product)).outcomes == [INSERTED]
        assert record_seats(caller, new_seat(product_id=product)).outcomes == [INSERTED]
    for caller, product in ((red, "red"), (blue, "blue")):
        assert [one.product_id for one in checkouts_page(caller).checkouts] == [product]
        assert [one.product_id for one in seats_page(caller).seats] == [product]
