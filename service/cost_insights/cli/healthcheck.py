"""The command that asks a service whether it serves."""

from typing import Annotated, Final

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cost_insights.cli.client import (
    AddressOption,
    CaOption,
    CertOption,
    KeyOption,
    TlsFlags,
    TlsOption,
    command_error,
    service_of,
)
from cost_insights.cli.console import CommandError, say, seconds
from cost_insights.client.failures import failure_of

HELP: Final = (
    "Exit codes: 0 the service is serving; 1 it is not serving, or is another kind of service; 2 "
    "wrong use; 3 it cannot be reached."
)


app: Final = typer.Typer(add_completion=False)


@app.command(epilog=HELP)
def healthcheck(
    *,
    address: AddressOption = None,
    tls: TlsOption = False,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
    timeout_seconds: Annotated[
        float,
        typer.Option(
            parser=seconds(0.1, 600),
            metavar="SECONDS",
            help="The time to wait for the answer, 0.1 to 600.",
        ),
    ] = 5,
) -> None:
    """Checks whether a service is serving, by the standard gRPC health protocol.

    It needs no token, so it can be the health check of a container.

    Example: cost-insights healthcheck --address 127.0.0.1:50051
    """
    service = service_of(address, tls=TlsFlags(tls, ca, cert, key))
    with service.channel() as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_seconds
            )
        except grpc.RpcError as error:
            raise command_error(failure_of(error), service) from None
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise CommandError(f"{service.address}: {status}")
    say(f"{service.address}: {status}")
