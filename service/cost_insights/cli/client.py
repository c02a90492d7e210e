"""Calling a service: channels, tokens, and what a failed call means in words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import grpc
import typer
from google.rpc import status_pb2

from cost_insights.addresses import is_loopback, is_socket
from cost_insights.cli.console import (
    EXIT_DENIED,
    EXIT_FAULT,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    CommandError,
    printable,
    usage,
)
from cost_insights.cli.variables import settings_of
from cost_insights.client.statuses import details_of, status_of

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""The largest answer that is read."""

RECONNECT_MS_MAX: Final = 5_000

AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The address of the service. Default: COST_INSIGHTS_GRPC_ADDRESS, or else "
        "127.0.0.1:50051.",
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        envvar="COST_INSIGHTS_TOKEN",
        metavar="SECRET",
        help="The access token. Default: none, which is enough for a service without tokens. "
        "Prefer the variable: everyone on the machine can see flags.",
    ),
]


@dataclass(frozen=True)
class Service:
    """A service that can be called."""

    address: str
    token: str | None = None

    def channel(self) -> grpc.Channel:
        """A channel for calls that block."""
        return grpc.insecure_channel(self.address, options=self._options())

    def aio_channel(self) -> grpc.aio.Channel:
        """A channel for calls that are awaited."""
        return grpc.aio.insecure_channel(self.address, options=self._options())

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What to send along with each call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def _options(self) -> Sequence[tuple[str, int]]:
        options = [
            ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
            # A service that is back is found soon; the default waits for up to two minutes.
            ("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),
        ]
        if is_loopback(self.address):
            # A proxy cannot reach what listens on this machine's loopback.
            options.append(("grpc.enable_http_proxy", 0))
        return options


def service_of(address: str | None, token: str | None = None) -> Service:
    """The service that the flags or the environment name."""
    name = "--address" if address is not None else "COST_INSIGHTS_GRPC_ADDRESS"
    given = address if address is not None else settings_of().grpc_address
    if token is not None and not (token.isascii() and token.isprintable()):
        raise usage("--token: holds characters that no token has; printable ASCII is allowed")
    if is_socket(given):
        return Service(given, token or None)
    host, colon, port = given.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise usage(
            f"{name}: {given!r} is not HOST:PORT with a port from 1 to 65535, "
            "such as 127.0.0.1:50051"
        )
    # A service that listens on every address is reached on loopback.
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104
    return Service(f"{host}:{port}", token or None)


@dataclass(frozen=True)
class Failure:
    """Why a call failed, as data."""

    code: grpc.StatusCode
    message: str
    reason: str
    """The reason of the service; empty where it was not the service that answered."""
    retry_seconds: float
    """How long the service asks to wait; 0 if it does not say."""
    path: str = ""
    """The path of the field of the request that is at fault, if one is."""

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later."""
        return self.reason in _TRANSIENT or (not self.reason and self.code in _UNREACHABLE)

    @property
    def too_large(self) -> bool:
        """Whether a smaller request may succeed."""
        return self.reason in {"REQUEST_TOO_LARGE", "TOO_MANY_EVENTS"} or (
            not self.reason and self.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        )

    def error(self, service: Service, flags: Mapping[str, str] | None = None) -> CommandError:
        """The failure as the end of a command.

        `flags` says which flag of the command fills which field of the request.
        """
        if self.reason in _TRANSIENT:
            return CommandError(
                f"{service.address}: {self.message} ({self.reason})", exit_code=EXIT_UNREACHABLE
            )
        if not self.reason and self.code in _UNREACHABLE:
            return self._unreachable(service)
        said = f"{self.message} ({self.reason or self.code.name})"
        if self.code in _DENIED:
            if self.reason in _NEEDS_TOKEN:
                said += "; --token or COST_INSIGHTS_TOKEN give an access token"
            return CommandError(said, exit_code=EXIT_DENIED)
        if self.code is grpc.StatusCode.INTERNAL:
            return CommandError(said, exit_code=EXIT_FAULT)
        if flags and self._field in flags:
            return CommandError(self._naming(flags, said), exit_code=EXIT_USAGE)
        return CommandError(said, exit_code=EXIT_REFUSED)

    def _unreachable(self, service: Service) -> CommandError:
        why = {
            grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
            grpc.StatusCode.CANCELLED: "dropped the call",
        }.get(self.code, f"cannot be reached: {self.message.rpartition('last error: ')[2]}")
        start = "`cost-insights serve` starts it, " if "refused" in self.message else ""
        return CommandError(
            f"{service.address}: the service {why}; {start}--address or "
            "COST_INSIGHTS_GRPC_ADDRESS say where it is",
            exit_code=EXIT_UNREACHABLE,
        )

    @property
    def _field(self) -> str:
        """The field of the request that is at fault: `metrics.event_names[3]` is `event_names`."""
        return re.sub(r"\[[0-9]+\]$", "", self.path.removeprefix("metrics."))

    def _naming(self, flags: Mapping[str, str], said: str) -> str:
        """What was said, with flags in the place of fields; what is quoted stays as it is."""
        fields = "|".join(sorted((name for name in flags if "_" in name), key=len, reverse=True))
        words = re.sub(
            rf"'(?:[^'\\]|\\.)*'|\b({fields})\b",
            lambda match: flags[match[1]] if match[1] else match[0],
            said.removeprefix(f"{self.path}: "),
        )
        return f"{flags[self._field]}: {words}"


# A service that stops cancels what reached it and was not begun.
_UNREACHABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_DENIED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_NEEDS_TOKEN = frozenset({"TOKEN_MISSING", "TOKEN_UNKNOWN", "TOKEN_REVOKED", "TOKEN_EXPIRED"})
_TRANSIENT = frozenset(
    {"OVERLOADED", "SHUTTING_DOWN", "STORE_FULL", "STORE_READ_ONLY", "STORE_UNAVAILABLE"}
)


def failure_of(error: grpc.RpcError) -> Failure:
    """What a failed call says about itself."""
    code, message = error.code(), error.details()
    return _failure(code, message, status_of(error))


def failure_of_status(status: status_pb2.Status) -> Failure:
    """What a status inside an answer says."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _failure(code, status.message, status)


def _failure(code: grpc.StatusCode, message: str | None, status: status_pb2.Status) -> Failure:
    details = details_of(status)
    words, path = printable(message or code.name), details.facts.get("path", "")
    return Failure(code, words, details.reason, details.retry_seconds, path)


_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
