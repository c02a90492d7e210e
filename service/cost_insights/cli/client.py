"""The service that flags name, and failed calls in the words of a command."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import grpc
import typer

from cost_insights.addresses import AddressError, is_socket, join_address, split_address
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
from cost_insights.client.failures import Failure
from cost_insights.client.service import Service, Tls

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
TlsOption = Annotated[
    bool,
    typer.Option(
        "--tls",
        envvar="COST_INSIGHTS_TLS",
        help="Encrypt the connection, and trust the public authorities. Default: encrypted if a "
        "file of authorities or a certificate is given.",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        envvar="COST_INSIGHTS_CA",
        metavar="FILE",
        help="Encrypt the connection, and trust the authorities in this file, in PEM. Default: "
        "none.",
    ),
]
CertOption = Annotated[
    Path | None,
    typer.Option(
        envvar="COST_INSIGHTS_CERT",
        metavar="FILE",
        help="The certificate to show to a service that asks for one, in PEM. Default: none.",
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        envvar="COST_INSIGHTS_KEY",
        metavar="FILE",
        help="The key of the certificate, without a password. Default: none.",
    ),
]


@dataclass(frozen=True)
class TlsFlags:
    """The flags that say how a connection is encrypted."""

    on: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def tls(self) -> Tls | None:
        """The contents of the files; None if the connection is not to be encrypted."""
        if (self.cert is None) != (self.key is None):
            raise usage("--cert and --key belong together: give both or none")
        if not (self.on or self.ca or self.cert):
            return None
        return Tls(
            _content("--ca", self.ca), _content("--cert", self.cert), _content("--key", self.key)
        )


def _content(flag: str, file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise usage(f"{flag}: {str(file)!r} cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in content:
        raise usage(f"{flag}: {str(file)!r} is not in PEM, which begins with -----BEGIN")
    return content


NO_TLS: Final = TlsFlags()


def service_of(address: str | None, token: str | None = None, tls: TlsFlags = NO_TLS) -> Service:
    """The service that the flags or the environment name."""
    name = "--address" if address is not None else "COST_INSIGHTS_GRPC_ADDRESS"
    given = address if address is not None else settings_of().grpc_address
    if token is not None and not (token.isascii() and token.isprintable()):
        raise usage("--token: holds characters that no token has; printable ASCII is allowed")
    if is_socket(given):
        return Service(given, token or None, tls.tls())
    try:
        host, port = split_address(given)
    except AddressError:
        port = 0
    if port == 0:
        raise usage(
            f"{name}: {given!r} is not HOST:PORT with a port from 1 to 65535, "
            "such as 127.0.0.1:50051"
        )
    # A service that listens on every address is reached on loopback.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return Service(join_address(host, port), token or None, tls.tls())


def command_error(
    failure: Failure, service: Service, flags: Mapping[str, str] | None = None
) -> CommandError:
    """The error that ends a command whose call failed.

    `flags` maps each field of the request to the flag of the command that fills it.
    """
    message = printable(failure.message)
    if failure.is_unreachable:
        return _unreachable(failure.code, message, service)
    said = f"{message} ({failure.reason or failure.code.name})"
    if failure.is_transient:
        return CommandError(f"{service.address}: {said}", exit_code=EXIT_UNREACHABLE)
    if failure.code in _DENIED:
        if failure.reason in _NEEDS_TOKEN:
            said += "; --token or COST_INSIGHTS_TOKEN give an access token"
        return CommandError(said, exit_code=EXIT_DENIED)
    if failure.code is grpc.StatusCode.INTERNAL:
        return CommandError(said, exit_code=EXIT_FAULT)
    field = _field(failure.path)
    if flags and field in flags:
        words = _with_flags(flags, said.removeprefix(f"{failure.path}: "))
        return CommandError(f"{flags[field]}: {words}", exit_code=EXIT_USAGE)
    return CommandError(said, exit_code=EXIT_REFUSED)


_DENIED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_NEEDS_TOKEN = frozenset({"TOKEN_MISSING", "TOKEN_UNKNOWN", "TOKEN_REVOKED", "TOKEN_EXPIRED"})


def _unreachable(code: grpc.StatusCode, message: str, service: Service) -> CommandError:
    why = {
        grpc.StatusCode.DEADLINE_EXCEEDED: "did not answer in time",
        grpc.StatusCode.CANCELLED: "dropped the call",
    }.get(code, f"cannot be reached: {message.rpartition('last error: ')[2]}")
    start = "`cost-insights serve` starts it, " if "refused" in message else ""
    return CommandError(
        f"{service.address}: the service {why}; {start}--address or "
        "COST_INSIGHTS_GRPC_ADDRESS say where it is",
        exit_code=EXIT_UNREACHABLE,
    )


def _field(path: str) -> str:
    """The field of a path: `metrics.event_names[3]` is about `event_names`."""
    return re.sub(r"\[[0-9]+\]$", "", path.removeprefix("metrics."))


def _with_flags(flags: Mapping[str, str], message: str) -> str:
    """A message with flags in the place of fields; quoted text stays as it is."""
    fields = "|".join(sorted((name for name in flags if "_" in name), key=len, reverse=True))
    return re.sub(
        rf"'(?:[^'\\]|\\.)*'|\b({fields})\b",
        lambda match: flags[match[1]] if match[1] else match[0],
        message,
    )
