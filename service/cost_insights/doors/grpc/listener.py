"""Listening for gRPC."""

from collections.abc import Callable, Mapping
from typing import Final

import grpc
from grpc_health.v1 import health

from cost_insights.addresses import AddressError, is_socket, join_address, split_address
from cost_insights.api.admission import CALL_BYTES, Budget
from cost_insights.api.health import Health
from cost_insights.api.operations import SERVICES, Call
from cost_insights.doors.connections import ConnectionLimits
from cost_insights.doors.grpc.calls import handlers
from cost_insights.doors.grpc.health import HealthService
from cost_insights.doors.grpc.measuring import UnknownMethods
from cost_insights.doors.grpc.messages import MessageReader
from cost_insights.doors.grpc.reflection import ReflectionService
from cost_insights.doors.grpc.runtime_log import keep_metadata_out
from cost_insights.doors.grpc.stream_watch import StreamWatch
from cost_insights.doors.tls import Certificates
from cost_insights.identity import Authenticator
from cost_insights.telemetry import Calls

_CONNECTION_CALLS_MAX: Final = 256
"""The number of calls on one connection at a time; clients are told, and wait with more."""

_PENDING_CALLS_MAX: Final = 16_384

_IDENTITY_AND_GZIP: Final = 0b101

_KEEP_ALIVE_MS: Final = 60_000
_KEEP_ALIVE_TIMEOUT_MS: Final = 20_000
_HANDSHAKE_MS: Final = 10_000
"""The time in which a connection must begin with what HTTP/2 begins with."""


class GrpcListener:
    """The gRPC door of one process."""

    def __init__(
        self,
        address: str,
        calls: Mapping[str, Call],
        service_health: Health,
        authenticator: Authenticator,
        budget: Budget,
        *,
        other_bytes: Callable[[], int],
        measured_calls: Calls,
        connections: ConnectionLimits,
        request_bytes_max: int,
        message_seconds_max: float,
        certificates: Certificates | None,
        share_port: bool,
    ) -> None:
        """`other_bytes` are those that the process may hold at present besides the budget, and
        `share_port` lets other processes listen on the same port."""
        self.address = address
        """The address it listens on; once started, with the port that was taken."""

        self._certificates = certificates
        self._server = grpc.aio.server(
            options=(
                # The runtime refuses what is larger by the size that a message announces, before it
                # receives it.
                ("grpc.max_receive_message_length", request_bytes_max),
                # It would decompress before it tells of a message; a few KiB would become MiB that
                # nobody has made room for.
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _CONNECTION_CALLS_MAX),
                # What arrives of a message before it is read; by itself the runtime lets up to
                # 4 MiB of each call arrive, and of a call that is waiting for room as well.
                ("grpc.http2.lookahead_bytes", CALL_BYTES),
                ("grpc.http2.bdp_probe", 0),
                ("grpc.max_allowed_incoming_connections", connections.connections_max),
                ("grpc.max_connection_idle_ms", round(1_000 * connections.idle_seconds_max)),
                # A client that is gone without a word is found out while its calls still run.
                ("grpc.keepalive_time_ms", _KEEP_ALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEP_ALIVE_TIMEOUT_MS),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
                # Calls that nobody has looked at yet. By itself the runtime cancels some of those
                # beyond 1,000, whoever sent them: a burst from one would fail the calls of others.
                ("grpc.server.max_pending_requests", _PENDING_CALLS_MAX),
                ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS_MAX),
                # A taken port is an error: sharing it would mean getting only some of the calls.
                ("grpc.so_reuseport", int(share_port)),
            ),
        )
        self._health = HealthService(
            service_health, SERVICES, bytes_max=request_bytes_max, measured_calls=measured_calls
        )
        self._reflection = ReflectionService([*SERVICES, health.SERVICE_NAME], measured_calls)
        reader = MessageReader(bytes_max=request_bytes_max, seconds_max=message_seconds_max)
        self._server.add_generic_rpc_handlers(
            [
                *handlers(
                    calls,
                    authenticator=authenticator,
                    budget=budget,
                    reader=reader,
                    stream_watch=StreamWatch(
                        budget, request_bytes_max=request_bytes_max, other_bytes=other_bytes
                    ),
                    measured_calls=measured_calls,
                    shows_certificates=certificates is not None and certificates.of_callers,
                ),
                self._health.handler(),
                *self._reflection.handlers(),
                UnknownMethods(measured_calls),
            ]
        )

    async def start(self) -> None:
        """Listens; raises AddressError if it cannot."""
        keep_metadata_out()
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(self.address)
            else:
                credentials = self._certificates.grpc_credentials()
                port = self._server.add_secure_port(self.address, credentials)
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
        self._health.close()
        self._reflection.close()
        await self._server.stop(drain_seconds)
