"""The standard health service: SERVING as long as the service can answer."""

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cost_insights.api.health import Health

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthService:
    """Answers the health of the service as a whole, under the empty name, and of each part."""

    def __init__(self, health_of_service: Health, services: Sequence[str]) -> None:
        self._names = ("", *services)
        self._servicer = health.aio.HealthServicer()
        health_of_service.add_listener(self._say)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the health service to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def _say(self, serving: bool) -> None:
        for name in self._names:
            await self._servicer.set(name, _SERVING if serving else _NOT_SERVING)
