"""Listening for gRPC."""

from collections.abc import Mapping

import grpc
from grpc_health.v1 import health

from cost_insights.addresses import AddressError, is_socket, join_address, split_address
from cost_insights.api.health import Health
from cost_insights.api.operations import SERVICES, Call
from cost_insights.doors.grpc.calls import handlers
from cost_insights.doors.grpc.health import HealthService
from cost_insights.doors.grpc.reflection import add_reflection
from cost_insights.doors.grpc.runtime_log import keep_metadata_out
from cost_insights.identity import Authenticator

_CONCURRENT_CALLS_MAX = 4_096


class GrpcListener:
    """The gRPC door of one process."""

    def __init__(
        self,
        address: str,
        calls: Mapping[str, Call],
        service_health: Health,
        authenticator: Authenticator,
        *,
        request_bytes_max: int,
        share_port: bool,
    ) -> None:
        """`share_port` lets other processes listen on the same port."""
        self.address = address
        """The address it listens on; once started, with the port that was taken."""

        self._server = grpc.aio.server(
            options=(
                # The runtime's limit is higher than the service's, so that slightly larger requests
                # get an answer with a reason; far larger ones are not even read.
                ("grpc.max_receive_message_length", 2 * request_bytes_max),
                ("grpc.max_send_message_length", -1),
                # A taken port is an error: sharing it would mean getting only some of the calls.
                ("grpc.so_reuseport", int(share_port)),
            ),
            maximum_concurrent_rpcs=_CONCURRENT_CALLS_MAX,
        )
        self._server.add_generic_rpc_handlers(
            handlers(calls, authenticator=authenticator, request_bytes_max=request_bytes_max)
        )
        HealthService(service_health, SERVICES).add_to(self._server)
        add_reflection(self._server, [*SERVICES, health.SERVICE_NAME])

    async def start(self) -> None:
        """Listens; raises AddressError if it cannot."""
        keep_metadata_out()
        try:
            port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise AddressError(
                f"cannot listen on {self.address}: is the port taken? ({error})"
            ) from None
        if not is_socket(self.address):
            host, _ = split_address(self.address)
            self.address = join_address(host, port)
        await self._server.start()

    async def stop(self, drain_seconds: float) -> None:
        """Refuses new calls and waits for the running ones."""
        await self._server.stop(drain_seconds)
