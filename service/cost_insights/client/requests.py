"""Messages made of what a caller passes to the client."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from google.protobuf import descriptor, json_format
from google.protobuf.message import Message

from cost_insights.amounts import AmountError, format_amount, round_float
from cost_insights.client.errors import InvalidEventError, InvalidRecordError
from cost_insights.client.later import Later
from cost_insights.v1 import (
    event_pb2,
    event_service_pb2,
    metrics_service_pb2,
    revenue_pb2,
    revenue_service_pb2,
)

if TYPE_CHECKING:
    from cost_insights.client import inputs
else:
    inputs = Later("cost_insights.client.inputs")

_M = TypeVar("_M", bound=Message)

_ROUNDED = frozenset({"cost.amount"})
"""The paths of amounts that may be floats."""

_EXACT = frozenset(
    {"net_amount.amount", "amount.amount", "exchange_rate", "applied_balance", "fee"}
)
"""The paths of amounts that a float would not be exact enough for."""


def ingest_request(
    events: Iterable[inputs.EventLike], *, accept_valid: bool
) -> event_service_pb2.IngestEventsRequest:
    """The request that stores the events, each with an `external_id`."""
    return event_service_pb2.IngestEventsRequest(
        events=[new_event(event, place) for place, event in enumerate(events)],
        accept_valid=accept_valid,
    )


def new_event(event: inputs.EventLike, place: int = 0) -> event_pb2.NewEvent:
    """The event as a message of its own, with an `external_id`.

    Raises InvalidEventError, which names the place.
    """
    message = event_pb2.NewEvent()
    try:
        _fill(message, event)
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise InvalidEventError(f"events[{place}]: {error}") from error
    if not message.external_id:
        message.external_id = str(uuid.uuid4())
    return message


def orders_request(orders: Iterable[inputs.OrderLike]) -> revenue_service_pb2.RecordOrdersRequest:
    """The request that stores orders; raises InvalidRecordError, as those below do."""
    return revenue_service_pb2.RecordOrdersRequest(
        orders=_records("orders", revenue_pb2.NewOrder, orders)
    )


def refunds_request(
    refunds: Iterable[inputs.RefundLike],
) -> revenue_service_pb2.RecordRefundsRequest:
    """The request that stores refunds."""
    return revenue_service_pb2.RecordRefundsRequest(
        refunds=_records("refunds", revenue_pb2.Refund, refunds)
    )


def subscriptions_request(
    subscriptions: Iterable[inputs.SubscriptionLike],
) -> revenue_service_pb2.RecordSubscriptionsRequest:
    """The request that stores states of subscriptions."""
    return revenue_service_pb2.RecordSubscriptionsRequest(
        subscriptions=_records("subscriptions", revenue_pb2.NewSubscription, subscriptions)
    )


def checkouts_request(
    checkouts: Iterable[inputs.CheckoutLike],
) -> revenue_service_pb2.RecordCheckoutsRequest:
    """The request that stores states of checkouts."""
    return revenue_service_pb2.RecordCheckoutsRequest(
        checkouts=_records("checkouts", revenue_pb2.NewCheckout, checkouts)
    )


def seats_request(seats: Iterable[inputs.SeatLike]) -> revenue_service_pb2.RecordSeatsRequest:
    """The request that stores states of seats."""
    return revenue_service_pb2.RecordSeatsRequest(
        seats=_records("seats", revenue_pb2.NewSeat, seats)
    )


def page_request(kind: type[_M], wanted: Mapping[str, Any]) -> _M:
    """The request for the first page of a list.

    Raises TypeError for an argument that is unknown or of another type, and ValueError for a time
    without a zone.
    """
    request = kind()
    known = [field.name for field in kind.DESCRIPTOR.fields if field.name != "page_token"]
    _check_arguments(wanted, known)
    try:
        _fill(request, wanted)
    except json_format.ParseError as error:
        raise TypeError(str(error)) from error
    return request


def _records(name: str, kind: type[_M], records: Iterable[Any]) -> list[_M]:
    messages: list[_M] = []
    for place, record in enumerate(records):
        messages.append(kind())
        try:
            _fill(messages[-1], record)
        except (json_format.ParseError, TypeError, ValueError) as error:
            raise InvalidRecordError(f"{name}[{place}]: {error}") from error
    return messages


def _fill(message: Message, given: Any) -> None:
    """Makes an empty message what a caller gave: a message of its kind, or a mapping."""
    if isinstance(given, Message):
        message.CopyFrom(given)
        return
    plain = _plain(given)
    kind: Any = message.DESCRIPTOR
    _check_fields(plain, kind)
    json_format.ParseDict(plain, message)


def metrics_request(**question: Unpack[inputs.Question]) -> metrics_service_pb2.GetMetricsRequest:
    """The request for metrics.

    Raises ValueError for an unknown interval, billing type or grouping, and TypeError for
    an argument that is missing, unknown or of another type.
    """
    if missing := [name for name in ("start", "end") if name not in question]:
        raise TypeError(f"the argument {missing[0]} is missing")
    _check_arguments(question, inputs.Question.__annotations__)
    interval, group_by = question.get("interval"), question.get("group_by")
    return metrics_service_pb2.GetMetricsRequest(
        start_date=_date("start", question["start"]),
        end_date=_date("end", question["end"]),
        timezone=question.get("timezone", "UTC"),
        interval=_enum_value("interval", metrics_service_pb2.Interval.DESCRIPTOR, interval),
        customer_ids=question.get("customer_ids", ()),
        external_customer_ids=question.get("external_customer_ids", ()),
        event_names=question.get("event_names", ()),
        llm_vendors=question.get("llm_vendors", ()),
        llm_models=question.get("llm_models", ()),
        product_ids=question.get("product_ids", ()),
        billing_types=[
            _enum_value("billing_types", revenue_pb2.BillingType.DESCRIPTOR, one)
            for one in question.get("billing_types", ())
        ],
        metrics=question.get("metrics", ()),
        group_by=_enum_value("group_by", metrics_service_pb2.GroupBy.DESCRIPTOR, group_by),
        groups_max=question.get("groups_max") or 0,
        order_by=question.get("order_by", ""),
    )


def export_request(
    metrics: metrics_service_pb2.GetMetricsRequest,
    export_format: inputs.ExportFormat,
    *,
    totals: bool,
) -> metrics_service_pb2.ExportMetricsRequest:
    """The request for rows of text; raises ValueError for an unknown format."""
    return metrics_service_pb2.ExportMetricsRequest(
        metrics=metrics,
        format=_enum_value(
            "export_format", metrics_service_pb2.ExportFormat.DESCRIPTOR, export_format
        ),
        totals=totals,
    )


def _check_arguments(given: Mapping[str, Any], known: Iterable[str]) -> None:
    if unknown := sorted(given.keys() - set(known)):
        names = ", ".join(known)
        raise TypeError(f"there is no argument {unknown[0]}; known are {names}")


def _date(name: str, day: datetime.date | str) -> str:
    # A datetime is a date, too, but which day it is depends on the time zone.
    if isinstance(day, datetime.datetime) or not isinstance(day, datetime.date | str):
        raise TypeError(f'{name}: {day!r} is neither a date nor a text such as "2026-11-23"')
    return day if isinstance(day, str) else day.isoformat()


def words(enum: descriptor.EnumDescriptor) -> dict[str, int]:
    """The values of an enum by their names as callers write them, such as `one_time`."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values[1:]}


def _enum_value(path: str, enum: descriptor.EnumDescriptor, word: str | None) -> Any:
    if word is None:
        return 0
    known = words(enum)
    if word not in known:
        raise ValueError(f"{path}: {word!r} is none of {', '.join(known)}")
    return known[word]


def _check_fields(document: dict[Any, Any], message: descriptor.Descriptor, path: str = "") -> None:
    """Raises ValueError for a key that is the name of no field, and for an unknown word of an enum;
    known ones become their numbers."""
    for key, value in document.items():
        field = message.fields_by_name.get(key) or message.fields_by_camelcase_name.get(key)
        if field is None:
            known = ", ".join(each.name for each in message.fields)
            raise ValueError(f"{path}{key}: there is no such field; the known ones are {known}")
        if field.enum_type is not None and isinstance(value, str):
            # The JSON form names it in full, such as `BILLING_TYPE_ONE_TIME`.
            if value not in field.enum_type.values_by_name:
                document[key] = _enum_value(f"{path}{key}", field.enum_type, value)
            continue
        of = field.message_type
        if of is not None and of.file.package == message.file.package and isinstance(value, dict):
            _check_fields(value, of, f"{path}{key}.")


def _plain(value: Any, path: str = "") -> Any:
    """The value with what JSON lacks written as JSON has it; `path` is where it stands."""
    if path in _ROUNDED or path in _EXACT:
        return _amount(value, path)
    if isinstance(value, Mapping):
        below = f"{path}." if path else ""
        return {key: _plain(each, f"{below}{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{path}[{place}]") for place, each in enumerate(value)]
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{path}: the time {value} has no time zone")
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: {value} is not a number that JSON has")
    if isinstance(value, int) and abs(value) >= 2**53 and value != _nearest_double(value):
        raise ValueError(
            f"{path}: {value} has more digits than a number of an event keeps; written as a text, "
            "it keeps them"
        )
    return value


def _nearest_double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _amount(value: Any, path: str) -> Any:
    """An amount as text, which is exact for whole numbers and decimals."""
    if isinstance(value, bool):
        raise TypeError(f"{path}: {value} is not an amount")
    if isinstance(value, float):
        if path in _EXACT:
            raise TypeError(
                f"{path}: {value} is a float, which is not exact; a text, a Decimal and an int are"
            )
        try:
            return format_amount(round_float(value))
        except AmountError as error:
            raise ValueError(f"{path}: {error}") from None
    return str(value) if isinstance(value, int | Decimal) else value
