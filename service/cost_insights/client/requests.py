"""Messages made of what a caller passes to the client."""

import datetime
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Required, TypedDict, Unpack

from google.protobuf import descriptor, json_format

from cost_insights.amounts import AmountError, format_amount, round_float
from cost_insights.client.errors import InvalidEventError
from cost_insights.v1 import event_pb2, event_service_pb2, metrics_service_pb2, revenue_pb2

EventLike = event_pb2.NewEvent | Mapping[str, Any]
"""A message, or a mapping in the documented JSON form. There a timestamp may be an
aware `datetime` too, and an amount a `Decimal`, an `int` or a `float`; the shortest
decimal form of a float is rounded half-even to 12 decimals."""


def ingest_request(
    events: Iterable[EventLike], *, accept_valid: bool
) -> event_service_pb2.IngestEventsRequest:
    """The request that stores the events, each with an `external_id`."""
    return event_service_pb2.IngestEventsRequest(
        events=[new_event(event, place) for place, event in enumerate(events)],
        accept_valid=accept_valid,
    )


def new_event(event: EventLike, place: int = 0) -> event_pb2.NewEvent:
    """The event as a message of its own, with an `external_id`.

    Raises InvalidEventError, which names the place.
    """
    message = event_pb2.NewEvent()
    if isinstance(event, event_pb2.NewEvent):
        message.CopyFrom(event)
    else:
        try:
            plain = _plain(event)
            _check_fields(plain, event_pb2.NewEvent.DESCRIPTOR)
            json_format.ParseDict(plain, message)
        except (json_format.ParseError, TypeError, ValueError) as error:
            raise InvalidEventError(f"events[{place}]: {error}") from error
    if not message.external_id:
        message.external_id = str(uuid.uuid4())
    return message


class Question(TypedDict, total=False):
    """The arguments of `metrics` and `export` of a client.

    `start` and `end` are days, both included: a `date`, or a text such as "2026-11-23". `interval`
    is hour, day, week, month or year, by default day; `timezone` is a name of the IANA database, by
    default UTC. Lists restrict the customers and events that count; empty lists restrict nothing.
    `billing_types` are one_time and recurring. `metrics` are slugs, by default all. `group_by` is
    event_name, llm_vendor, llm_model, customer or product: the groups with the greatest costs come
    first, or those with the greatest total of `order_by`, at most `groups_max` (10 by default), and
    a last one for all others.
    """

    start: Required[datetime.date | str]
    end: Required[datetime.date | str]
    interval: str | None
    timezone: str
    customer_ids: Sequence[str]
    external_customer_ids: Sequence[str]
    event_names: Sequence[str]
    llm_vendors: Sequence[str]
    llm_models: Sequence[str]
    product_ids: Sequence[str]
    billing_types: Sequence[str]
    metrics: Sequence[str]
    group_by: str | None
    groups_max: int | None
    order_by: str


def metrics_request(**question: Unpack[Question]) -> metrics_service_pb2.GetMetricsRequest:
    """The request for metrics.

    Raises ValueError for an unknown interval, billing type or grouping, and TypeError for
    an argument that is missing, unknown or of another type.
    """
    if missing := [name for name in ("start", "end") if name not in question]:
        raise TypeError(f"the argument {missing[0]} is missing")
    if unknown := sorted(question.keys() - Question.__annotations__.keys()):
        known = ", ".join(Question.__annotations__)
        raise TypeError(f"there is no argument {unknown[0]}; known are {known}")
    interval, group_by = question.get("interval"), question.get("group_by")
    return metrics_service_pb2.GetMetricsRequest(
        start_date=_date("start", question["start"]),
        end_date=_date("end", question["end"]),
        timezone=question.get("timezone", "UTC"),
        interval=metrics_service_pb2.Interval.Value(
            f"INTERVAL_{(interval or 'unspecified').upper()}"
        ),
        customer_ids=question.get("customer_ids", ()),
        external_customer_ids=question.get("external_customer_ids", ()),
        event_names=question.get("event_names", ()),
        llm_vendors=question.get("llm_vendors", ()),
        llm_models=question.get("llm_models", ()),
        product_ids=question.get("product_ids", ()),
        billing_types=[
            revenue_pb2.BillingType.Value(f"BILLING_TYPE_{one.upper()}")
            for one in question.get("billing_types", ())
        ],
        metrics=question.get("metrics", ()),
        group_by=metrics_service_pb2.GroupBy.Value(
            f"GROUP_BY_{(group_by or 'unspecified').upper()}"
        ),
        groups_max=question.get("groups_max") or 0,
        order_by=question.get("order_by", ""),
    )


def export_request(
    metrics: metrics_service_pb2.GetMetricsRequest, export_format: str
) -> metrics_service_pb2.ExportMetricsRequest:
    """The request for rows of text; raises ValueError for an unknown format."""
    return metrics_service_pb2.ExportMetricsRequest(
        metrics=metrics,
        format=metrics_service_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{export_format.upper()}"),
    )


def _date(name: str, day: datetime.date | str) -> str:
    # A datetime is a date, too, but which day it is depends on the time zone.
    if isinstance(day, datetime.datetime) or not isinstance(day, datetime.date | str):
        raise TypeError(f'{name}: {day!r} is neither a date nor a text such as "2026-11-23"')
    return day if isinstance(day, str) else day.isoformat()


def _check_fields(
    document: Mapping[Any, Any], message: descriptor.Descriptor, path: str = ""
) -> None:
    """Raises ValueError for a key that is the name of no field."""
    for key, value in document.items():
        field = message.fields_by_name.get(key) or message.fields_by_camelcase_name.get(key)
        if field is None:
            known = ", ".join(each.name for each in message.fields)
            raise ValueError(f"{path}{key}: there is no such field; the known ones are {known}")
        of = field.message_type
        if of is not None and of.file.package == message.file.package and isinstance(value, dict):
            _check_fields(value, of, f"{path}{key}.")


def _plain(value: Any, path: str = "") -> Any:
    """The value with what JSON lacks written as JSON has it; `path` is where it stands."""
    if isinstance(value, Mapping):
        return {
            key: _amount(each, f"{path}.{key}")
            if (path, key) == ("cost", "amount")
            else _plain(each, f"{path}.{key}" if path else str(key))
            for key, each in value.items()
        }
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
        try:
            return format_amount(round_float(value))
        except AmountError as error:
            raise ValueError(f"{path}: {error}") from None
    return str(value) if isinstance(value, int | Decimal) else value
