"""The command that shows metrics as tables and a plot."""

import datetime as dt
import enum
import zoneinfo
from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Annotated, Any, Final

import grpc
import rich.box
import rich.table
import rich.text
import typer
from google.protobuf import json_format

from cost_insights.cli.client import AddressOption, Service, TokenOption, failure_of, service_of
from cost_insights.cli.console import (
    EXIT_CODES,
    out,
    plot_columns,
    printable,
    usage,
    whole_number,
)
from cost_insights.cli.plot import plot_costs
from cost_insights.v1.metrics_service_pb2 import (
    GetMetricsRequest,
    GetMetricsResponse,
    GroupBy,
    Interval,
    MetricsGroup,
    MetricsPeriod,
    MetricsTotals,
)
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub

CALL_SECONDS: Final = 60.0
DAYS_SHOWN: Final = 30
VALUE_COLUMNS_MAX: Final = 32
"""How wide names and identifiers may be, so that numbers have room in 80 columns."""


class IntervalName(enum.StrEnum):
    """How long a period is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class GroupName(enum.StrEnum):
    """By what events are told apart."""

    EVENT_NAME = "event-name"
    LLM_VENDOR = "llm-vendor"
    LLM_MODEL = "llm-model"
    CUSTOMER = "customer"


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
    llm_vendor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only LLM calls of this vendor; an empty text means what is no LLM call. "
            "Up to 1000 times. Default: all.",
        ),
    ] = None,
    llm_model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only LLM calls of this model; an empty text means what is no LLM call. "
            "Up to 1000 times. Default: all.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG",
            help="Only this metric, such as costs. Any number of times. Default: all.",
        ),
    ] = None,
    group_by: Annotated[
        GroupName | None,
        typer.Option(
            metavar="WHAT",
            help=f"Show what each of these cost too: {', '.join(GroupName)}. Default: none.",
        ),
    ] = None,
    groups_max: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            parser=whole_number(1, 1_000),
            help="How many groups to show at most, 1 to 1000, those that cost most. "
            "The others are one row.",
        ),
    ] = 10,
    json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON. Default: tables and a plot.")
    ] = False,
    address: AddressOption = None,
    token: TokenOption = None,
) -> None:
    """Shows what was spent: a row for each period, the totals, and a plot of the costs.

    Amounts are in cents and exact: 100 is a dollar, 0.025 a fortieth of a cent.

    Example: cost-insights metrics

    Example: cost-insights metrics --start 2026-11-01 --end 2026-11-30 --interval week
    --timezone Europe/Berlin --customer user_123 --metric costs

    Example: cost-insights metrics --llm-vendor openai --group-by customer --groups-max 20
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
        llm_vendors=llm_vendor or (),
        llm_models=llm_model or (),
        metrics=metric or (),
        group_by=GroupBy.Value(f"GROUP_BY_{group_by.name if group_by else 'UNSPECIFIED'}"),
        groups_max=groups_max,
    )
    answer = _ask(service_of(address, token), request)
    if json:
        shown = json_format.MessageToJson(
            answer, preserving_proto_field_name=True, ensure_ascii=False
        )
        out.print(shown, markup=False, soft_wrap=True)
    else:
        show(answer, interval, group_by)


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


def show(
    answer: GetMetricsResponse, interval: IntervalName, group_by: GroupName | None = None
) -> None:
    """Prints the table of periods, that of groups and, if costs were asked for, the plot."""
    labels = [_label(period.timestamp, interval) for period in answer.periods]
    out.print(table(answer, labels, heading=interval.value))
    if group_by is not None:
        out.print()
        out.print(groups_table(answer, heading=group_by.value.replace("-", " ")))
    if any(metric.slug == "costs" for metric in answer.metrics) and labels:
        out.print()
        costs = [Decimal(period.costs) for period in answer.periods]
        out.print(rich.text.Text(plot_costs(labels, costs, width=plot_columns())))


def table(answer: GetMetricsResponse, labels: Sequence[str], *, heading: str) -> rich.table.Table:
    """A row for each period and one for the totals, the digits as the service gave them."""
    made = empty_table(heading)
    columns: list[Sequence[str]] = [labels]
    for metric in answer.metrics:
        cells = [_value(period, metric.slug) for period in answer.periods]
        cells.append(_value(answer.totals, metric.slug))
        columns.append(_add_column(made, HEADINGS.get(metric.slug, metric.slug), cells))
    for row in zip(*columns, strict=True):
        made.add_row(*row)
    return made


def groups_table(answer: GetMetricsResponse, *, heading: str) -> rich.table.Table:
    """A row for each group, one for the others and one for the whole.

    Cumulative costs are left out: those of groups are mostly of the time before.
    """
    made = empty_table(heading, columns_max=VALUE_COLUMNS_MAX)
    # Others without members cost nothing in the span.
    groups = [group for group in answer.groups if group.members]
    totals = [*(group.totals for group in groups), answer.totals]
    columns: list[Sequence[str | rich.text.Text]] = [[_group_label(group) for group in groups]]
    for metric in answer.metrics:
        if metric.slug == "cumulative_costs":
            continue
        cells = [_value(numbers, metric.slug) for numbers in totals]
        columns.append(_add_column(made, HEADINGS.get(metric.slug, metric.slug), cells))
        if metric.slug == "costs":
            columns.append(_add_column(made, "share", shares([Decimal(cost) for cost in cells])))
    for row in zip(*columns, strict=True):
        made.add_row(*row)
    return made


def shares(costs: Sequence[Decimal]) -> list[str]:
    """Each of the costs as a share of the last of them, half-even; there is none of zero."""
    whole = costs[-1]
    return [f"{_PRECISE.divide(cost, whole):.1%}" if whole else "-" for cost in costs]


# More digits than any sum has, so that rounding to the one shown is the only one.
_PRECISE: Final = Context(prec=100)


def _group_label(group: MetricsGroup) -> rich.text.Text:
    if group.others:
        words = "1 other" if group.members == 1 else f"{group.members} others"
        return rich.text.Text(words, style="italic")
    # Its own text, in which square brackets mean nothing.
    return rich.text.Text(printable(group.value) or "(none)")


def _add_column(made: rich.table.Table, heading: str, cells: Sequence[str]) -> Sequence[str]:
    """Adds a column of numbers, of which the last is the total; returns the others."""
    # Aligned at the point: digits below each other mean the same power of ten.
    *above, total = aligned(cells)
    made.add_column(
        heading,
        total,
        justify="right",
        # A digit that does not fit goes to the next line; none is left out.
        overflow="fold",
    )
    return above


def empty_table(heading: str, *, columns_max: int | None = None) -> rich.table.Table:
    """A table with a row of totals, as narrow as it can be read.

    Labels longer than `columns_max` are folded; without it they are never.
    """
    made = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    made.add_column(
        heading, "total", no_wrap=columns_max is None, max_width=columns_max, overflow="fold"
    )
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
