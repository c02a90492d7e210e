"""The standard health service: SERVING as long as the service can answer."""

import asyncio
from collections.abc import Sequence
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2

from cost_insights.api.health import Health
from cost_insights.api.reading import decode
from cost_insights.api.statuses import status_of
from cost_insights.doors.grpc.calls import abort
from cost_insights.doors.grpc.measuring import Metadata, measured
from cost_insights.doors.grpc.messages import Context, MessageReader, write
from cost_insights.doors.grpc.open_calls import OpenCalls
from cost_insights.errors import FAILURES, NotFoundError
from cost_insights.telemetry import Calls
from cost_insights.telemetry.measurements import HEALTH

_WATCHES_MAX: Final = 64
"""The number of watches at a time."""

_WATCH_SECONDS: Final = 600
"""The lifetime of a watch; whoever wants to know more watches again."""

_READING_MAX: Final = 4
"""The number of health calls whose message is read at a time."""

_MESSAGE_SECONDS: Final = 1.0
"""The time that a message may take: a probe sends its few bytes together with the call."""


class HealthService:
    """Answers the health of the service as a whole, under the empty name, and of each part."""

    def __init__(
        self,
        health_of_service: Health,
        services: Sequence[str],
        *,
        bytes_max: int,
        measured_calls: Calls,
        watches_max: int = _WATCHES_MAX,
        watch_seconds: float = _WATCH_SECONDS,
    ) -> None:
        self._measured_calls = measured_calls
        self._names = frozenset(("", *services))
        self._serving = False
        self._changed = asyncio.Event()
        self._reading = 0
        self._reader = MessageReader(bytes_max=bytes_max, seconds_max=_MESSAGE_SECONDS)
        self._watches = OpenCalls(
            "health watches", calls_max=watches_max, seconds_max=watch_seconds
        )
        health_of_service.add_listener(self._say)

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler of the service."""
        return grpc.method_handlers_generic_handler(
            health.SERVICE_NAME,
            {
                "Check": grpc.stream_unary_rpc_method_handler(
                    measured(self._check, self._measured_calls, HEALTH)
                ),
                "Watch": grpc.stream_stream_rpc_method_handler(
                    measured(self._watch, self._measured_calls, HEALTH)
                ),
            },
        )

    def close(self) -> None:
        """Ends the watches."""
        self._watches.close()

    async def _check(self, context: Context, metadata: Metadata) -> bytes:
        del metadata
        try:
            name = await self._name(context)
            if name not in self._names:
                raise NotFoundError(
                    f"there is no service {name[:64]!r}",
                    reason="RESOURCE_NOT_FOUND",
                    facts={"kind": "service", "id": name},
                )
            return self._answer(name)
        except asyncio.CancelledError:
            raise
        except FAILURES as error:  # no error leaves without a status
            status = status_of(error, method="/grpc.health.v1.Health/Check", organization=None)
        return await abort(context, status)

    async def _watch(self, context: Context, metadata: Metadata) -> None:
        del metadata
        try:
            async with self._watches.call(context):
                name = await self._name(context)
                while True:
                    changed = self._changed
                    await write(context, self._answer(name))
                    await changed.wait()
        except asyncio.CancelledError:
            raise
        except FAILURES as error:  # no error leaves without a status
            status = status_of(error, method="/grpc.health.v1.Health/Watch", organization=None)
        await abort(context, status)

    async def _name(self, context: Context) -> str:
        """The service that is asked for."""
        # All names have the same health, so a check need not wait for others to be read.
        if self._reading >= _READING_MAX:
            return ""
        self._reading += 1
        try:
            message = await self._reader.read(context)
        finally:
            self._reading -= 1
        request = decode(health_pb2.HealthCheckRequest, message or b"")
        return str(request.service)

    def _answer(self, name: str) -> bytes:
        response = health_pb2.HealthCheckResponse
        if name not in self._names:
            status = response.SERVICE_UNKNOWN
        else:
            status = response.SERVING if self._serving else response.NOT_SERVING
        return bytes(response(status=status).SerializeToString())

    async def _say(self, serving: bool) -> None:
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()
