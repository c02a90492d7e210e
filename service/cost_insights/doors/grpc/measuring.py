"""Measuring the calls of gRPC, which are told apart by the ids of requests."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import grpc

from cost_insights.doors.grpc.messages import Context
from cost_insights.telemetry import REQUEST_ID, Calls, RunningCall
from cost_insights.telemetry.measurements import GRPC, UNKNOWN

_T = TypeVar("_T")

Metadata: TypeAlias = Sequence[tuple[str, Any]]
"""The metadata of a call: names and values, in the order in which they came."""

Handle: TypeAlias = Callable[[Context, Metadata], Awaitable[_T]]
"""Takes (context, metadata), and reads the requests from the context."""


def measured(
    handle: Handle[_T], calls: Calls, operation: str
) -> Callable[[object, Context], Awaitable[_T]]:
    """A handler, as the runtime calls it, whose calls are measured as those of the operation."""
    measurements = calls.of(GRPC, operation)

    async def handle_measured(requests: object, context: Context) -> _T:
        del requests
        metadata = cast("Metadata", context.invocation_metadata() or ())
        running = RunningCall(calls, measurements, lambda name: value_of(name, metadata))
        running.is_of(measurements)
        context.set_trailing_metadata(((REQUEST_ID, running.request_id),))
        try:
            answer = await handle(context, metadata)
            running.code = "OK"
            return answer
        finally:
            running.end()

    return handle_measured


def value_of(name: str, metadata: Metadata) -> str | None:
    """The first value of that name."""
    for key, value in metadata:
        if key == name:
            return value if isinstance(value, str) else bytes(value).decode(errors="replace")
    return None


class UnknownMethods(grpc.GenericRpcHandler):
    """Counts the calls of methods that no other handler has, which the runtime refuses."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._measurements = calls.of(GRPC, UNKNOWN)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        """Handles no method."""
        del handler_call_details
        running = RunningCall(self._calls, self._measurements)
        running.code = "UNIMPLEMENTED"
        running.end()
