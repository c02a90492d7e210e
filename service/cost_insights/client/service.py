"""A service by its address and token, for callers that open channels of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from cost_insights.addresses import is_loopback
from cost_insights.client.options import IDLE_MS

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""The largest answer that is read."""

RECONNECT_MS_MAX: Final = 5_000


@dataclass(frozen=True)
class Tls:
    """The certificates and the key of a caller, in PEM."""

    ca: bytes | None = None
    """The authorities that are trusted; the public ones unless given."""

    cert: bytes | None = None
    """The certificate of the caller, where the service asks for one."""

    key: bytes | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.cert)


@dataclass(frozen=True)
class Service:
    """A service that can be called."""

    address: str
    token: str | None = None
    tls: Tls | None = None
    """None where the connection is not encrypted."""

    def channel(self) -> grpc.Channel:
        """A channel for calls that block."""
        if self.tls is None:
            return grpc.insecure_channel(self.address, options=self._options())
        return grpc.secure_channel(self.address, self.tls.credentials(), options=self._options())

    def aio_channel(self) -> grpc.aio.Channel:
        """A channel for calls that are awaited."""
        if self.tls is None:
            return grpc.aio.insecure_channel(self.address, options=self._options())
        return grpc.aio.secure_channel(
            self.address, self.tls.credentials(), options=self._options()
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of each call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def _options(self) -> Sequence[tuple[str, int]]:
        options = [
            ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
            ("grpc.client_idle_timeout_ms", IDLE_MS),
            # A service that is back is found soon; the default waits for up to two minutes.
            ("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),
        ]
        if is_loopback(self.address):
            # A proxy cannot reach what listens on this machine's loopback.
            options.append(("grpc.enable_http_proxy", 0))
        return options
