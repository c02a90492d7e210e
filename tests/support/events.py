"""Events at given times."""

from datetime import datetime
from typing import Any

from google.protobuf import timestamp_pb2

from cost_insights.v1 import event_pb2
from tests.support.service import new_event


def event_at(moment: datetime, **fields: object) -> event_pb2.NewEvent:
    """An event at that time."""
    one = new_event(**fields)
    one.timestamp.FromDatetime(moment)
    return one


def event(
    time: str, cost: str | None, customer: str = "c1", name: str = "a", **fields: Any
) -> event_pb2.NewEvent:
    """An event at a time in RFC 3339."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(time)
    return new_event(name=name, external_customer_id=customer, timestamp=stamp, cost=cost, **fields)
