"""The operations of the service: one table of methods, their kinds and their scopes."""

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import message, message_factory

from cost_insights.identity import Caller
from cost_insights.identity.scopes import (
    EVENTS_READ,
    EVENTS_WRITE,
    METRICS_READ,
    REVENUE_READ,
    REVENUE_WRITE,
)
from cost_insights.v1 import event_service_pb2, metrics_service_pb2, revenue_service_pb2

UnaryCall = Callable[[Caller, Any], Awaitable[message.Message]]
"""Takes (caller, request) and returns a response."""

BytesCall = Callable[[Caller, bytes], Awaitable[message.Message]]
"""Takes (caller, encoded request) and returns a response."""

ServerStreamCall = Callable[[Caller, Any], AsyncGenerator[message.Message, None]]
"""Takes (caller, request) and yields responses."""


class JsonRequest(bytes):
    """An encoded request that is JSON, which operations that `reads_json` take beside protobuf."""


Authorize = Callable[[], Awaitable[Caller]]
"""Checks the token of a stream again and returns the caller."""

BidirectionalCall = Callable[
    [AsyncIterator[bytes], Authorize], AsyncGenerator[message.Message, None]
]
"""Takes (encoded requests, authorize) and yields responses."""

Call = UnaryCall | BytesCall | ServerStreamCall | BidirectionalCall
"""The implementation of an operation; which of these it is depends on the operation's kind."""


_SERVICES = {
    service.full_name: service
    for file in (event_service_pb2, metrics_service_pb2, revenue_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
}

SERVICES = tuple(_SERVICES)
"""The full names of the services of the contract."""


class CallKind(enum.Enum):
    """The kinds of requests and responses that an operation has."""

    UNARY = "unary"
    """One request, decoded, and one response."""

    BYTES = "bytes"
    """One encoded request, which the operation decodes itself, and one response."""

    SERVER_STREAM = "server_stream"
    """One request and many responses."""

    BIDIRECTIONAL = "bidirectional"
    """Many encoded requests and many responses."""


@dataclass(frozen=True)
class Operation:
    """Something that callers can do."""

    path: str
    """The path, such as `/cost_insights.v1.EventService/IngestEvents`."""

    kind: CallKind
    scopes: frozenset[str]
    """The scopes that allow the call; a caller needs one of them."""

    reads_json: bool = False
    """Whether the operation reads JSON itself, as a `JsonRequest`."""

    @property
    def service(self) -> str:
        """The full name of the service, such as `cost_insights.v1.EventService`."""
        return self.path.split("/")[1]

    @property
    def method(self) -> str:
        """The name of the method, such as `IngestEvents`."""
        return self.path.split("/")[2]

    @property
    def ingests(self) -> bool:
        """Whether each call stores events."""
        return self.kind is CallKind.BYTES and EVENTS_WRITE in self.scopes

    @property
    def request_class(self) -> type[message.Message]:
        """The message class of a request."""
        method = _SERVICES[self.service].methods_by_name[self.method]
        return message_factory.GetMessageClass(method.input_type)


_Method = tuple[CallKind, frozenset[str]]


def _operations(
    service: str, *, reads_json: frozenset[str] = frozenset(), **methods: _Method
) -> dict[str, Operation]:
    return {
        path: Operation(path, kind, scopes, name in reads_json)
        for name, (kind, scopes) in methods.items()
        if (path := f"/cost_insights.v1.{service}/{name}")
    }


_READS_EVENTS = frozenset({EVENTS_READ, EVENTS_WRITE})

OPERATIONS: Mapping[str, Operation] = {
    **_operations(
        "EventService",
        reads_json=frozenset({"IngestEvents"}),
        # The first scope is for events, the second for system events.
        IngestEvents=(CallKind.BYTES, frozenset({EVENTS_WRITE, REVENUE_WRITE})),
        StreamEvents=(CallKind.BIDIRECTIONAL, frozenset({EVENTS_WRITE})),
        ListEvents=(CallKind.UNARY, _READS_EVENTS),
        GetEvent=(CallKind.UNARY, _READS_EVENTS),
        ListEventNames=(CallKind.UNARY, _READS_EVENTS),
    ),
    **_operations(
        "MetricsService",
        GetMetrics=(CallKind.BYTES, frozenset({METRICS_READ})),
        ExportMetrics=(CallKind.SERVER_STREAM, frozenset({METRICS_READ})),
        GetMetricsLimits=(CallKind.UNARY, frozenset({METRICS_READ})),
    ),
    **_operations(
        "RevenueService",
        RecordOrders=(CallKind.UNARY, frozenset({REVENUE_WRITE})),
        RecordRefunds=(CallKind.UNARY, frozenset({REVENUE_WRITE})),
        RecordSubscriptions=(CallKind.UNARY, frozenset({REVENUE_WRITE})),
        RecordCheckouts=(CallKind.UNARY, frozenset({REVENUE_WRITE})),
        RecordSeats=(CallKind.UNARY, frozenset({REVENUE_WRITE})),
        ListOrders=(CallKind.UNARY, frozenset({REVENUE_READ})),
        ListRefunds=(CallKind.UNARY, frozenset({REVENUE_READ})),
        ListSubscriptions=(CallKind.UNARY, frozenset({REVENUE_READ})),
        ListCheckouts=(CallKind.UNARY, frozenset({REVENUE_READ})),
        ListSeats=(CallKind.UNARY, frozenset({REVENUE_READ})),
    ),
}
"""Every operation by its path. Only what is in this table can be served. Health and reflection are
not operations: they reveal nothing about an organization and need no token."""
