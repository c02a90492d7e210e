"""Measuring the calls of gRPC."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from cost_insights.doors.grpc.messages import Context
from cost_insights.telemetry import CallMeasurements, RunningCall
from cost_insights.telemetry.measurements import GRPC, UNKNOWN

_T = TypeVar("_T")


def measured(
    handle: Callable[[object, Context], Awaitable[_T]], calls: CallMeasurements, operation: str
) -> Callable[[object, Context], Awaitable[_T]]:
    """A handler whose calls are measured as calls of the operation."""
    measurements = calls.of(GRPC, operation)

    async def handle_measured(requests: object, context: Context) -> _T:
        running = RunningCall(calls, measurements)
        running.is_of(measurements)
        try:
            answer = await handle(requests, context)
            running.code = "OK"
            return answer
        finally:
            running.end()

    return handle_measured


class UnknownMethods(grpc.GenericRpcHandler):
    """Counts the calls of methods that no other handler has, which the runtime refuses."""

    def __init__(self, calls: CallMeasurements) -> None:
        self._calls = calls
        self._measurements = calls.of(GRPC, UNKNOWN)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
        """Handles no method."""
        del handler_call_details
        running = RunningCall(self._calls, self._measurements)
        running.code = "UNIMPLEMENTED"
        running.end()
