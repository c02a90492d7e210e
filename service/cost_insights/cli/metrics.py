"""The command that shows metrics as a table and a plot."""

import datetime as dt
import enum
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

import grpc
import rich.box
import rich.table
import rich.text
import typer
from google.protobuf import json_format

from cost_insights.cli.client import AddressOption, Service, TokenOption, failure_of, service_of
from cost_insights.cli.console import EXIT_CODES, out, plot_columns, usage
from cost_insights.cli.plot import plot_costs
from cost_insights.v1.metrics_service_pb2 import (
    GetMetricsRequest,
    GetMetricsResponse,
    Interval,
    MetricsPeriod,
    MetricsTotals,
)
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub

CALL_SECONDS: Final = 60.0
DAYS_SHOWN: Final = 30


class IntervalName(enum.StrEnum):
    """How long a period is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


app: Final = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def metrics(
    *,
    start: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="The first day. Default: 29 days before the last."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="The last day, included. Default: today."),
    ] = None,
    interval: Annotated[
        IntervalName,
        typer.Option(metavar="INTERVAL", help=f"How long a period is: {', '.join(IntervalName)}."),
    ] = IntervalName.DAY,
    timezone: Annotated[
        str,
        typer.Option(metavar="IANA", help="The time zone that days are of, such as Europe/Berlin."),
    ] = "UTC",
    customer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXTERNAL_ID",
            help="Only this customer, by the external_customer_id. Up to 1000 times. Default: all.",
        ),
    ] = None,
    customer_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="UUID", help="Only this customer, by our id. Up to 1000 times. Default: all."
        ),
    ] = None,
    event_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only these events. Up to 1000 times. Default: all."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG",
            help="Only this metric, such as costs. Any number of times. Default: all.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON. Default: a table and a plot.")
    ] = False,
    address: AddressOption = None,
    token: TokenOption = None,
) -> None:
    """Shows what was spent: a row for each period, the totals, and a plot of the costs.

    Amounts are in cents and exact: 100 is a dollar, 0.025 a fortieth of a cent.

    Example: cost-insights metrics

    Example: cost-insights metrics --start 2026-11-01 --end 2026-11-30 --interval week
    --timezone Europe/Berlin --customer user_123 --metric costs
    """
    first, last = _span(start, end, timezone)
    request = GetMetricsRequest(
        start_date=first,
        end_date=last,
        timezone=timezone,
        interval=Interval.Value(f"INTERVAL_{interval.name}"),
        external_customer_ids=customer or (),
        customer_ids=customer_id or (),
        event_names=event_name or (),
        metrics=metric or (),
    )
    answer = _ask(service_of(address, token), request)
    if json:
        shown = json_format.MessageToJson(
            answer, preserving_proto_field_name=True, ensure_ascii=False
        )
        out.print(shown, markup=False, soft_wrap=True)
    else:
        show(answer, interval)


def _span(start: str | None, end: str | None, timezone: str) -> tuple[str, str]:
    """The days to ask for. Only what is not given is made here; the service judges the rest."""
    if start is not None and end is not None:
        return start, end
    try:
        zone = zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise usage(
            f"--timezone: {timezone!r} is not in the IANA database; names such as Europe/Berlin are"
        ) from None
    try:
        last = dt.date.fromisoformat(end) if end is not None else dt.datetime.now(zone).date()
    except ValueError:
        raise usage(f"--end: {end!r} is not a day such as 2026-11-30") from None
    return start or (last - dt.timedelta(days=DAYS_SHOWN - 1)).isoformat(), last.isoformat()


def _ask(service: Service, request: GetMetricsRequest) -> GetMetricsResponse:
    with service.channel() as channel:
        try:
            answer: GetMetricsResponse = MetricsServiceStub(channel).GetMetrics(
                request, timeout=CALL_SECONDS, metadata=service.metadata()
            )
        except grpc.RpcError as error:
            raise failure_of(error).error(service) from None
    return answer


def show(answer: GetMetricsResponse, interval: IntervalName) -> None:
    """Prints the table and, if costs are in it, the plot."""
    labels = [_label(period.timestamp, interval) for period in answer.periods]
    out.print(table(answer, labels, heading=interval.value))
    if any(metric.slug == "costs" for metric in answer.metrics) and labels:
        out.print()
        costs = [Decimal(period.costs) for period in answer.periods]
        out.print(rich.text.Text(plot_costs(labels, costs, width=plot_columns())))


def table(answer: GetMetricsResponse, labels: Sequence[str], *, heading: str) -> rich.table.Table:
    """A row for each period and one for the totals, the digits as the service gave them."""
    made = empty_table(heading)
    columns: list[list[str]] = [list(labels)]
    for metric in answer.metrics:
        cells = [_value(period, metric.slug) for period in answer.periods]
        cells.append(_value(answer.totals, metric.slug))
        # Aligned at the point: digits below each other mean the same power of ten.
        *cells, total = aligned(cells)
        columns.append(cells)
        made.add_column(
            HEADINGS.get(metric.slug, metric.slug),
            total,
            justify="right",
            # A digit that does not fit goes to the next line; none is left out.
            overflow="fold",
        )
    for row in zip(*columns, strict=True):
        made.add_row(*row)
    return made


def empty_table(heading: str) -> rich.table.Table:
    """A table of periods with a row of totals, as narrow as it can be read."""
    made = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    made.add_column(heading, "total", no_wrap=True)
    return made


HEADINGS: Final = {
    "costs": "costs (cents)",
    "cumulative_costs": "cumulative\n(cents)",
    "active_user_by_event": "active\ncustomers",
    "cost_per_user": "cost per\ncustomer (cents)",
}
"""How the metrics are headed; one that is not in it is headed by its slug."""


def _value(message: MetricsPeriod | MetricsTotals, slug: str) -> str:
    # A service newer than this program may know metrics that this one does not.
    if slug not in message.DESCRIPTOR.fields_by_name:
        return "?"
    value: Any = getattr(message, slug)
    return str(value)


def aligned(cells: Sequence[str]) -> list[str]:
    decimals = max((len(cell.partition(".")[2]) + ("." in cell) for cell in cells), default=0)
    return [cell + " " * (decimals - len(cell.partition(".")[2]) - ("." in cell)) for cell in cells]


def _label(timestamp: str, interval: IntervalName) -> str:
    """The start of a period: its day, or for hours the time with its offset."""
    if interval is IntervalName.HOUR:
        return timestamp.replace("T", " ").replace(":00:00", ":00", 1)
    return timestamp[: {IntervalName.MONTH: 7, IntervalName.YEAR: 4}.get(interval, 10)]
