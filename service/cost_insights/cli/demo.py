"""The command that shows the service at work, on real calls to a real server."""

import asyncio
import datetime as dt
import json
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Annotated, Final

import grpc
import rich.progress
import rich.text
import typer
import uvloop
from google.protobuf import json_format

from cost_insights import clock
from cost_insights.addresses import AddressError, socket_family, split_address
from cost_insights.cli.client import command_error
from cost_insights.cli.console import EXIT_CODES, CommandError, err, out, say, whole_number
from cost_insights.cli.demo_events import (
    EXAMPLE_CUSTOMERS,
    EXAMPLES,
    EXAMPLES_COST,
    PRICED_CALLS,
    DemoEvent,
    generate,
    priced_call,
)
from cost_insights.cli.metrics import show
from cost_insights.cli.metrics_options import IntervalName
from cost_insights.cli.opening import (
    database_errors,
    database_shown,
    opened,
)
from cost_insights.cli.suggestions import address_flags, program, shown_path
from cost_insights.cli.variables import settings_of
from cost_insights.client.failures import failure_of
from cost_insights.client.service import Service
from cost_insights.identity import (
    SCOPES,
    create_organization,
    create_token,
    list_tokens,
)
from cost_insights.server import Server
from cost_insights.settings import Settings, demo_database_file
from cost_insights.v1.event_service_pb2 import IngestEventsRequest
from cost_insights.v1.event_service_pb2_grpc import EventServiceStub
from cost_insights.v1.metrics_service_pb2 import (
    GetMetricsRequest,
    GetMetricsResponse,
)
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub

DAYS: Final = 30
REQUEST_EVENTS: Final = 1_000
IN_FLIGHT_MAX: Final = 4
CALL_SECONDS: Final = 60.0
_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)


app: Final = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def demo(
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The database to work on; existing organizations in it stay as they are: "
            "sqlite:///FILE, or postgresql+psycopg:// and then USER:PASSWORD@HOST/DATABASE. "
            "Default: a new one, demo.db in the user's data folder; "
            "COST_INSIGHTS_DATABASE_URL is not used.",
        ),
    ] = None,
    grpc_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The address of the demo's gRPC server; another port is taken if this one is in "
            "use. Default: COST_INSIGHTS_GRPC_ADDRESS, or else 127.0.0.1:50051.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            parser=whole_number(0, 2**32 - 1),
            metavar="N",
            help="The seed of the generated month, 0 to 4294967295.",
        ),
    ] = 1,
    events: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, 1_000_000),
            metavar="N",
            help="The number of events in the month, 1 to 1000000.",
        ),
    ] = 20_000,
) -> None:
    """Shows the service at work on the documented examples and a generated month.

    Starts the service, sends the events over gRPC, prints the cost of each day as a table and a
    plot, and compares the totals with sums computed outside the service. It works on a database of
    its own, demo.db in the user's data folder, which replaces that of the previous demo, and never
    on the one that COST_INSIGHTS_DATABASE_URL names. On a database given by --database-url it works
    as a new organization and leaves the others alone.

    Example: cost-insights demo --seed 7
    """
    url = f"sqlite:///{demo_database_file()}" if database_url is None else database_url
    # Nobody measures a demo, and a service may be there that has the port.
    settings = settings_of(database_url=url, grpc_address=grpc_address, admin_address="")
    stage = _prepare(settings, is_given=database_url is not None)
    with database_errors(stage.settings):
        try:
            uvloop.run(_play(stage, seed=seed, events=events))
        except AddressError as error:
            raise CommandError(str(error)) from None


@dataclass(frozen=True)
class _Stage:
    """The settings and the token that the demo works with."""

    settings: Settings
    token: str | None
    serve_flags: tuple[str, ...]
    """The flags with which `serve` shows the demo's data again."""


def _prepare(settings: Settings, *, is_given: bool) -> _Stage:
    flags = ["--database-url", settings.database_url]
    if settings.http_address and not _is_free(settings.http_address):
        port = _free_port()
        settings = settings.model_copy(update={"http_address": f"127.0.0.1:{port}"})
        flags += ["--http-address", settings.http_address]
    if not _is_free(settings.grpc_address):
        port = _free_port()
        settings = settings.model_copy(update={"grpc_address": f"127.0.0.1:{port}"})
        flags += ["--grpc-address", settings.grpc_address]
    if not is_given:
        file = demo_database_file()
        for suffix in ("", "-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        return _Stage(settings, None, tuple(flags))
    # To the microsecond, so that two demos at once do not meet.
    name = f"demo-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S-%f}"
    with opened(settings) as store, store.write() as connection:
        organization = create_organization(connection, name)
        if not list_tokens(connection):
            settings = settings.model_copy(update={"open_organization": name})
            return _Stage(settings, None, (*flags, "--open-organization", name))
        tomorrow_us = clock.now_us() + 86_400_000_000
        _, secret = create_token(connection, organization, SCOPES, expires_us=tomorrow_us)
    return _Stage(settings, secret, tuple(flags))


def _is_free(address: str) -> bool:
    """Whether nothing listens at an address; a malformed one is left to the server to refuse."""
    try:
        host, port = split_address(address)
    except AddressError:
        return True
    with socket.socket(socket_family(host)) as probe:
        # As the server does: a port that is closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _play(stage: _Stage, *, seed: int, events: int) -> None:
    server = Server(stage.settings)
    try:
        await server.start()
        service = Service(server.grpc_address, stage.token)
        say(f"gRPC on {server.grpc_address} · database {database_shown(stage.settings)}")
        async with service.aio_channel() as channel:
            try:
                await _perform(
                    channel, service, server.http_address, stage, seed=seed, events=events
                )
            except grpc.RpcError as error:
                raise command_error(failure_of(error), service) from None
    finally:
        await server.stop()


async def _perform(
    channel: grpc.aio.Channel,
    service: Service,
    http_address: str,
    stage: _Stage,
    *,
    seed: int,
    events: int,
) -> None:
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    first_day = yesterday - dt.timedelta(days=DAYS - 1)
    await _send_examples(channel, service)
    # The examples happen now, which may be after midnight by now.
    last_day = dt.datetime.now(dt.UTC).date()
    month = list(generate(seed=seed, last_day=yesterday, days=DAYS, events=events))
    started = time.monotonic()
    await _send_month(channel, service, month)
    seconds = time.monotonic() - started
    say(
        f"sent {len(EXAMPLES) + len(PRICED_CALLS)} documented requests and {events} generated "
        f"events in {seconds:.1f} s"
    )
    answer: GetMetricsResponse = await MetricsServiceStub(channel).GetMetrics(
        GetMetricsRequest(start_date=first_day.isoformat(), end_date=last_day.isoformat()),
        timeout=CALL_SECONDS,
        metadata=service.metadata(),
    )
    out.print()
    show(answer, IntervalName.DAY, without_events=lambda: "the service has no events")
    _compare(answer, month)
    _suggest(stage, service, http_address, first_day, last_day)


async def _send_examples(channel: grpc.aio.Channel, service: Service) -> None:
    stub = EventServiceStub(channel)
    texts = [*EXAMPLES, *(json.dumps(priced_call(*tokens)) for *tokens, _ in PRICED_CALLS)]
    for text in texts:
        request = json_format.Parse(text, IngestEventsRequest())
        answer = await stub.IngestEvents(request, timeout=CALL_SECONDS, metadata=service.metadata())
        if answer.inserted != len(request.events):
            raise CommandError(f"the service inserted {answer.inserted} events of {text}")


async def _send_month(
    channel: grpc.aio.Channel, service: Service, month: Sequence[DemoEvent]
) -> None:
    stub = EventServiceStub(channel)
    seats = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def send(batch: Sequence[DemoEvent]) -> None:
        async with seats:
            request = IngestEventsRequest(events=[event.message() for event in batch])
            answer = await stub.IngestEvents(
                request, timeout=CALL_SECONDS, metadata=service.metadata()
            )
            if answer.inserted != len(batch):
                raise CommandError(f"the service inserted {answer.inserted} of {len(batch)} events")
            bar.advance(task, len(batch))

    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task("events", total=len(month))
        await asyncio.gather(*(send(batch) for batch in _batches(month)))


def _batches(month: Sequence[DemoEvent]) -> Iterator[Sequence[DemoEvent]]:
    for at in range(0, len(month), REQUEST_EVENTS):
        yield month[at : at + REQUEST_EVENTS]


def _compare(answer: GetMetricsResponse, month: Sequence[DemoEvent]) -> None:
    """Compares the answer with sums of the same events that are computed here, with `decimal`."""
    by_day: dict[str, Decimal] = {}
    for event in month:
        day = event.time.date().isoformat()
        by_day[day] = _EXACT.add(by_day.get(day, Decimal(0)), event.cost)
    examples = sum((cost for *_, cost in PRICED_CALLS), start=EXAMPLES_COST)
    costs = sum(by_day.values(), start=examples)
    customers = len({event.customer for event in month} | EXAMPLE_CUSTOMERS)
    per_customer = _EXACT.quantize(_EXACT.divide(costs, Decimal(customers)), Decimal("1e-12"))
    totals = answer.totals
    pairs = [
        ("the total costs", Decimal(totals.costs), costs),
        ("the cumulative costs", Decimal(totals.cumulative_costs), costs),
        ("the active customers", Decimal(totals.active_user_by_event), Decimal(customers)),
        ("the cost per customer", Decimal(totals.cost_per_user), per_customer),
    ]
    rest = Decimal(0)
    for period in answer.periods:
        day = period.timestamp[:10]
        if day in by_day:
            pairs.append((f"the costs of {day}", Decimal(period.costs), by_day[day]))
        else:
            rest = _EXACT.add(rest, Decimal(period.costs))
    pairs.append(("the costs of the documented examples", rest, examples))
    for what, served, paper in pairs:
        if served != paper:
            raise CommandError(
                f"{what} differ: the service says {served}, the sum on paper is {paper}"
            )
    say(f"exact: equals the sum on paper, {Decimal(totals.costs):,f} cents")


def _suggest(
    stage: _Stage, service: Service, http_address: str, first_day: dt.date, last_day: dt.date
) -> None:
    python = shown_path(sys.executable)
    serve = shlex.join([*program(), "serve", *stage.serve_flags])
    span = {"start_date": first_day.isoformat(), "end_date": last_day.isoformat()}
    bearer = f"authorization: Bearer {service.token}" if service.token else None
    header = f"-H {shlex.quote(bearer)} " if bearer else ""
    variable = f"COST_INSIGHTS_TOKEN={shlex.quote(service.token)} " if service.token else ""
    address = address_flags(service.address)
    metrics = shlex.join(
        [*program(), "metrics", "--start", str(first_day), "--end", str(last_day), *address]
    )
    query = f"start_date={first_day}&end_date={last_day}&interval=day&metrics=costs"
    curl = f"curl {header}'http://{http_address}/v1/metrics/?{query}'\n\n  " if http_address else ""
    metadata = f', metadata=[("authorization", "Bearer {service.token}")]' if service.token else ""
    out.print(
        f"""
The events stay in {database_shown(stage.settings)}
and nowhere else: `serve` without --database-url works on another database. To look around
in them start the service:

  {serve}

and ask it from another terminal, in any of these ways:

  {variable}{metrics}

  {_grpcurl()} -plaintext {header}-d '{json.dumps(span)}' \
{service.address} cost_insights.v1.MetricsService/GetMetrics

  {curl}{shlex.quote(python)} - <<'END'
import grpc
from cost_insights.v1.metrics_service_pb2 import GetMetricsRequest
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub

with grpc.insecure_channel("{service.address}") as channel:
    request = GetMetricsRequest(start_date="{first_day}", end_date="{last_day}")
    answer = MetricsServiceStub(channel).GetMetrics(request{metadata})
    print(answer.totals.costs, "cents")
END""",
        markup=False,
        soft_wrap=True,
    )


def _grpcurl() -> str:
    """The command that calls grpcurl: from the PATH, or else where the tests of this project build
    it."""
    beside = Path(sys.executable).with_name("grpcurl")
    if shutil.which("grpcurl") is None and beside.exists():
        return shlex.quote(shown_path(str(beside)))
    return "grpcurl"
