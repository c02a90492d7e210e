"""The command that runs the service."""

import enum
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from cost_insights.addresses import AddressError
from cost_insights.cli.console import (
    EXIT_CODES,
    CommandError,
    note,
    say,
    seconds,
    usage,
    whole_number,
)
from cost_insights.cli.opening import (
    DatabaseOption,
    database_errors,
    database_shown,
    not_created,
    prepare,
    store_of,
)
from cost_insights.cli.suggestions import first_event, serve_demo
from cost_insights.cli.variables import settings_of
from cost_insights.doors.tls import Certificates, TlsError
from cost_insights.errors import InvalidRequestError
from cost_insights.events import any_event
from cost_insights.identity import (
    SecretError,
    any_token,
    bootstrap_token,
    check_organization_name,
    read_secret,
)
from cost_insights.logs.output import set_up_log
from cost_insights.memory import use_one_heap
from cost_insights.server import serve as serve_until_stopped
from cost_insights.server import tls_files
from cost_insights.settings import LogFormat, Settings
from cost_insights.supervisor import supervise


class LogLevel(enum.StrEnum):
    """The least important messages that the log takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


app: Final = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def serve(
    *,
    grpc_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The address of the gRPC server; port 0 takes a free port. Only loopback is "
            "allowed while the database holds no access token. Default: "
            "COST_INSIGHTS_GRPC_ADDRESS, or else 127.0.0.1:50051.",
        ),
    ] = None,
    http_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The address of the HTTP server, under the same rules; empty turns it off. "
            "Default: COST_INSIGHTS_HTTP_ADDRESS, or else 127.0.0.1:8080.",
        ),
    ] = None,
    admin_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The address of /metrics for Prometheus, which whoever reaches it can read; port "
            "0 takes a free port, and empty turns measurements off. Default: "
            "COST_INSIGHTS_ADMIN_ADDRESS, or else 127.0.0.1:9464.",
        ),
    ] = None,
    database_url: DatabaseOption = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The certificate of the service in PEM, with those that lead to an authority; it "
            "turns on TLS 1.2 and later on both ports. Files that change are read again. Default: "
            "COST_INSIGHTS_TLS_CERT, or else no TLS.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The key of the certificate, without a password. Default: COST_INSIGHTS_TLS_KEY.",
        ),
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The authorities, in PEM, whose certificates callers must show. Default: "
            "COST_INSIGHTS_TLS_CLIENT_CA, or else callers need no certificate.",
        ),
    ] = None,
    open_organization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The organization that callers act as while the database holds no access token; "
            "it is created if missing. Default: COST_INSIGHTS_OPEN_ORGANIZATION, or else "
            "default.",
        ),
    ] = None,
    drain_seconds: Annotated[
        float | None,
        typer.Option(
            parser=seconds(0, 3_600),
            metavar="SECONDS",
            help="The time for which running calls may go on after the service is told to stop, 0 "
            "to 3600. Default: COST_INSIGHTS_DRAIN_SECONDS, or else 30.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, 64),
            metavar="N",
            help="The number of processes that share the ports, 1 to 64; more than one only on "
            "PostgreSQL.",
        ),
    ] = 1,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            metavar="LEVEL",
            help="The least importance of the messages in the log, on stderr: "
            f"{', '.join(LogLevel)}.",
        ),
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            metavar="FORMAT",
            help="The form of the log: console has lines for people, json an object a line, and a "
            "line for each call. Default: COST_INSIGHTS_LOG_FORMAT, or else console.",
        ),
    ] = None,
) -> None:
    """Runs the service until SIGTERM or Ctrl-C, then finishes the running calls.

    One line on stdout shows the addresses of the service, the organization that callers act as, the
    number of processes, the version and the database; if the database holds no event, more lines
    show how to send the first one. Every other setting is a COST_INSIGHTS_… variable. The command
    waits for a PostgreSQL that is not running yet; only one process at a time can serve a SQLite
    file.

    Example: cost-insights serve

    Example: cost-insights serve --database-url postgresql+psycopg://ci@db/costs
    --grpc-address 0.0.0.0:50051 --workers 4

    Example: cost-insights serve --tls-cert service.pem --tls-key service.key
    """
    settings = settings_of(
        log_format=log_format,
        grpc_address=grpc_address,
        http_address=http_address,
        admin_address=admin_address,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        database_url=database_url,
        open_organization=open_organization,
        drain_seconds=drain_seconds,
    )
    level = logging.getLevelNamesMapping()[log_level.upper()]
    set_up_log(level, settings.log_format)
    if log_level is not LogLevel.DEBUG:
        # It tells at every start what it would do if there were something to do.
        logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        if (files := tls_files(settings)) is not None:
            Certificates(files)
    except TlsError as error:
        raise usage(f"--tls-cert, --tls-key, --tls-client-ca: {error}") from None
    use_one_heap()
    with _ready_database(settings, workers):
        # From here on it is up to date, also where a worker starts anew.
        settings = settings.model_copy(update={"database_upgrade": False})
        try:
            if workers == 1:
                uvloop.run(
                    serve_until_stopped(
                        settings,
                        ready=lambda server: _announce(
                            settings,
                            server.grpc_address,
                            server.http_address,
                            server.admin_address,
                            workers,
                        ),
                    )
                )
            else:
                supervise(
                    settings,
                    workers,
                    log_level=level,
                    ready=lambda grpc, http, admin: _announce(settings, grpc, http, admin, workers),
                )
        except AddressError as error:
            raise CommandError(str(error)) from None


@contextmanager
def _ready_database(settings: Settings, workers: int) -> Iterator[None]:
    """Prepares the database for the service, which serves it alone where only one can."""
    try:
        check_organization_name(settings.open_organization)
    except InvalidRequestError as error:
        raise usage(
            f"--open-organization or COST_INSIGHTS_OPEN_ORGANIZATION: {error.faults[0].message}"
        ) from None
    secret = _bootstrap_secret(settings)
    with database_errors(settings), closing(store_of(settings)) as store, ExitStack() as stack:
        try:
            stack.enter_context(store.serving())
        except OSError as error:
            raise not_created(settings, error) from None
        prepare(store, settings)
        store.check_pooler(processes=workers, connections_max=settings.database_connections_max)
        if secret is not None and not bootstrap_token(store, settings.open_organization, secret):
            note(
                "COST_INSIGHTS_BOOTSTRAP_TOKEN_FILE: the secret in it belongs to no valid access "
                "token, and no token is made of it, because the database already holds others"
            )
        store.close()
        yield


def _bootstrap_secret(settings: Settings) -> str | None:
    if settings.bootstrap_token_file is None:
        return None
    try:
        return read_secret(settings.bootstrap_token_file)
    except SecretError as error:
        raise usage(f"COST_INSIGHTS_BOOTSTRAP_TOKEN_FILE: {error}") from None


def _announce(
    settings: Settings, address: str, http_address: str, admin_address: str, workers: int
) -> None:
    store = store_of(settings)
    try:
        tokens = any_token(store)
        is_empty = not any_event(store)
    finally:
        store.close()
    callers = (
        "callers show access tokens"
        if tokens
        else f"callers need no token and act as organization {settings.open_organization}"
    )
    processes = "1 worker" if workers == 1 else f"{workers} workers"
    release = f"cost-insights {version('cost-insights')}"
    database = f"database {database_shown(settings)}"
    doors = [f"gRPC on {address}"]
    if http_address:
        doors.append(f"HTTP on {http_address}")
    if settings.tls_cert is not None:
        doors.append("both with TLS" if http_address else "with TLS")
    if admin_address:
        doors.append(f"metrics on {admin_address}")
    say(" · ".join((*doors, callers, processes, release, database)))
    if is_empty:
        _explain(address, tokens=tokens, tls=settings.tls_cert is not None)
    sys.stdout.flush()


def _explain(address: str, *, tokens: bool, tls: bool) -> None:
    """Says what to do first."""
    needed = ["an access token in COST_INSIGHTS_TOKEN"] if tokens else []
    needed += ["the file of the certificate's authority in COST_INSIGHTS_CA"] if tls else []
    shown = f", with {' and '.join(needed)}" if needed else ""
    lines = [f"the database holds no events yet; to send the first one{shown}:"]
    lines += ["", f"  {first_event(address)}", ""]
    if demo := serve_demo():
        lines += ["what the demo made is in a database of its own; to serve that one instead:"]
        lines += ["", f"  {demo}", ""]
    for line in lines:
        say(line)
