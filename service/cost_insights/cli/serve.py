"""The command that runs the service."""

import enum
import logging
import sys
from typing import Annotated, Final

import typer
import uvloop

from cost_insights.cli.console import (
    EXIT_CODES,
    CommandError,
    say,
    seconds,
    settings_of,
    whole_number,
)
from cost_insights.cli.databases import (
    DatabaseOption,
    database_errors,
    database_shown,
    store_of,
)
from cost_insights.cli.suggestions import first_event, serve_demo
from cost_insights.events import any_event
from cost_insights.identity import any_token
from cost_insights.server import AddressError
from cost_insights.server import serve as serve_until_stopped
from cost_insights.settings import Settings
from cost_insights.supervisor import supervise


class LogLevel(enum.StrEnum):
    """From which importance on the log is written."""

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
            help="Where to serve gRPC; port 0 takes a free one. Only loopback is allowed while "
            "the database holds no access token. Default: COST_INSIGHTS_GRPC_ADDRESS, or else "
            "127.0.0.1:50051.",
        ),
    ] = None,
    database_url: DatabaseOption = None,
    open_organization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="As whom callers act while the database holds no access token: an organization, "
            "made if there is none. Default: COST_INSIGHTS_OPEN_ORGANIZATION, or else default.",
        ),
    ] = None,
    drain_seconds: Annotated[
        float | None,
        typer.Option(
            parser=seconds(0, 3_600),
            metavar="SECONDS",
            help="How long calls that run may still take once the service is told to stop, 0 to "
            "3600. "
            "Default: COST_INSIGHTS_DRAIN_SECONDS, or else 30.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, 64),
            metavar="N",
            help="How many processes share the port; more than one only on PostgreSQL, 1 to 64.",
        ),
    ] = 1,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            metavar="LEVEL",
            help=f"From which importance on the log, on stderr, is written: {', '.join(LogLevel)}.",
        ),
    ] = LogLevel.INFO,
) -> None:
    """Runs the service until SIGTERM or Ctrl-C; then finishes the calls that run.

    One line on stdout says where it listens, as whom callers act and which
    database it works on; where that holds no event more lines say how to send the
    first one. Every other setting is a COST_INSIGHTS_… variable.

    Example: cost-insights serve

    Example: cost-insights serve --database-url postgresql+psycopg://ci@db/costs
    --grpc-address 0.0.0.0:50051 --workers 4
    """
    logging.basicConfig(
        level=log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if log_level is not LogLevel.DEBUG:
        # It tells at every start what it would do if there were something to do.
        logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = settings_of(
        grpc_address=grpc_address,
        database_url=database_url,
        open_organization=open_organization,
        drain_seconds=drain_seconds,
    )
    # A URL that no database can have is named before anything starts.
    store_of(settings).close()
    with database_errors(settings):
        try:
            if workers == 1:
                uvloop.run(
                    serve_until_stopped(
                        settings, ready=lambda server: _announce(settings, server.grpc_address)
                    )
                )
            else:
                supervise(
                    settings,
                    workers,
                    log_level=logging.getLevelNamesMapping()[log_level.upper()],
                    ready=lambda address: _announce(settings, address),
                )
        except AddressError as error:
            raise CommandError(str(error)) from None


def _announce(settings: Settings, address: str) -> None:
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
    say(f"gRPC on {address} · {callers} · database {database_shown(settings)}")
    if is_empty:
        _explain(address, tokens=tokens)
    sys.stdout.flush()


def _explain(address: str, *, tokens: bool) -> None:
    """Says what to do first."""
    shown = ", with an access token in COST_INSIGHTS_TOKEN" if tokens else ""
    lines = [f"the database holds no events yet; to send the first one{shown}:"]
    lines += ["", f"  {first_event(address)}", ""]
    if demo := serve_demo():
        lines += ["what the demo made is in a database of its own; to serve that one instead:"]
        lines += ["", f"  {demo}", ""]
    for line in lines:
        say(line)
