"""Requests with system events that come as JSON, as the message that they are the JSON form of.

Events that are stored are read by native and never come here. System events are few, and what they
carry in their metadata is read from a message, whichever door they came through.
"""

import codecs
import datetime
from collections.abc import Mapping
from typing import Any

from cost_insights.api.reading import decode_json
from cost_insights.v1.event_service_pb2 import IngestEventsRequest

_MILLISECONDS_FROM = 20_000_000_000
"""Numbers from here on are milliseconds since 1970, below they are seconds, as for native."""


def request_of_json(body: bytes) -> IngestEventsRequest:
    """The request; raises InvalidRequestError if a field has a value of another type."""
    return decode_json(IngestEventsRequest, body.removeprefix(codecs.BOM_UTF8), _request)


def _request(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "events": [_event(one) for one in content["events"]]}


def _event(sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON form of an event, without the liberties that the compatible API allows."""
    event = {name: value for name, value in sent.items() if value is not None}
    member_id = event.pop("member_id", event.pop("memberId", None))
    if member_id is not None and not event.keys() & {"external_member_id", "externalMemberId"}:
        event["external_member_id"] = member_id
    if event.keys() & {"external_customer_id", "externalCustomerId"}:
        event.pop("customer_id", None)
        event.pop("customerId", None)
    if "timestamp" in event:
        event["timestamp"] = _timestamp(event["timestamp"])
    return event


def _timestamp(sent: object) -> object:
    """The time as protobuf writes it; as it was sent if it is none."""
    if isinstance(sent, (int, float)) and not isinstance(sent, bool):
        seconds = sent / 1_000 if abs(sent) >= _MILLISECONDS_FROM else sent
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    elif isinstance(sent, str):
        moment = datetime.datetime.fromisoformat(sent)
    else:
        return sent
    if moment.tzinfo is None:
        raise ValueError(f"the time {sent!r} has no offset from UTC; write Z or +00:00 at its end")
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
