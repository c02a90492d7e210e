"""The command that shows metrics as tables and a plot, or exports them."""

import datetime as dt
import enum
import os
import sys
import textwrap
import zoneinfo
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Annotated, Any, Final

import grpc
import rich.box
import rich.table
import rich.text
import typer
from google.protobuf import json_format
from google.protobuf.message import Message

from cost_insights.cli.client import AddressOption, Service, TokenOption, failure_of, service_of
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_INTERRUPTED,
    exit_with,
    out,
    plot_columns,
    printable,
    say,
    usage,
    whole_number,
)
from cost_insights.cli.plot import plot_costs, plot_margin
from cost_insights.v1.metrics_service_pb2 import (
    METRIC_TYPE_CURRENCY,
    METRIC_TYPE_CURRENCY_SUB_CENT,
    METRIC_TYPE_PERCENTAGE,
    ExportFormat,
    ExportMetricsRequest,
    GetMetricsRequest,
    GetMetricsResponse,
    GroupBy,
    Interval,
    Metric,
    MetricsGroup,
)
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub
from cost_insights.v1.revenue_pb2 import BillingType

CALL_SECONDS: Final = 60.0
EXPORT_SECONDS: Final = 3_600.0
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
    PRODUCT = "product"


class BillingName(enum.StrEnum):
    """How something is paid for."""

    ONE_TIME = "one-time"
    RECURRING = "recurring"


COST_METRICS: Final = ("costs", "cumulative_costs", "active_user_by_event", "cost_per_user")
"""What is shown of events where nobody earns anything."""

EARNED_METRICS: Final = ("revenue", "costs", "cashflow", "gross_margin_percentage")
"""What is shown where somebody does."""

_ASKED_METRICS: Final = (*COST_METRICS, *EARNED_METRICS, "orders", "cumulative_revenue")
"""What is asked for to show either."""

_OF_EVENTS: Final = (GroupName.EVENT_NAME, GroupName.LLM_VENDOR, GroupName.LLM_MODEL)
"""Groups that no revenue belongs to."""

FLAGS: Final[Mapping[str, str]] = {
    "start_date": "--start",
    "end_date": "--end",
    "timezone": "--timezone",
    "interval": "--interval",
    "customer_ids": "--customer-id",
    "external_customer_ids": "--customer",
    "event_names": "--event-name",
    "metrics": "--metric",
    "llm_vendors": "--llm-vendor",
    "llm_models": "--llm-model",
    "group_by": "--group-by",
    "groups_max": "--groups-max",
    "product_ids": "--product",
    "billing_types": "--billing-type",
    "order_by": "--order-by",
}
"""The flag that fills each field of the request, which errors name in its place."""

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
        IntervalName | None,
        typer.Option(
            metavar="INTERVAL",
            help=f"How long a period is: {', '.join(IntervalName)}. Default: day.",
        ),
    ] = None,
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
    product: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Only what is of this product; an empty text means what is of none. "
            "Up to 1000 times. Default: all.",
        ),
    ] = None,
    billing_type: Annotated[
        list[BillingName] | None,
        typer.Option(
            metavar="TYPE",
            help=f"Only what is paid for so: {', '.join(BillingName)}. Default: all.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG",
            help="Only this metric, such as costs. Any number of times. Default: in files and "
            "JSON all; in tables costs, customers and the costs of each, or revenue, costs and "
            "margins once there is revenue.",
        ),
    ] = None,
    group_by: Annotated[
        GroupName | None,
        typer.Option(
            metavar="WHAT",
            help=f"Show each of these too: {', '.join(GroupName)}. Default: none.",
        ),
    ] = None,
    groups_max: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            parser=whole_number(1, 1_000),
            help="How many groups to show at most, 1 to 1000; the others are one row. Default: 10.",
        ),
    ] = None,
    order_by: Annotated[
        str,
        typer.Option(
            metavar="SLUG",
            help="Which groups come first: those with the greatest total of this metric, or with "
            '" asc" after it the least. Default: costs.',
        ),
    ] = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print the answer as JSON. Default: tables and a plot.")
    ] = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json-lines",
            help="Print JSON, an object a line for each period. Default: tables and a plot.",
        ),
    ] = False,
    csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="Print CSV, a row for each period under a header. Default: tables and a plot.",
        ),
    ] = False,
    focus: Annotated[
        bool,
        typer.Option(
            "--focus",
            help="Print the costs of each day, customer, event name, model and product as CSV of "
            "FOCUS 1.2. Default: tables and a plot.",
        ),
    ] = False,
    address: AddressOption = None,
    token: TokenOption = None,
) -> None:
    """Shows what was spent and earned: a row for each period, the totals, and a plot.

    Amounts are in cents and exact: 100 is a dollar, 0.025 a fortieth of a cent.
    Percentages are rounded to one decimal in tables. The margin of a period is its
    cashflow; the margin in percent is of all time up to its end.

    Example: cost-insights metrics

    Example: cost-insights metrics --start 2026-11-01 --end 2026-11-30 --interval week
    --timezone Europe/Berlin --customer user_123 --metric costs

    Example: cost-insights metrics --llm-vendor openai --group-by customer --groups-max 20

    Example: cost-insights metrics --group-by product --order-by "cashflow asc"

    Example: cost-insights metrics --start 2026-11-01 --end 2026-11-30 --focus > november.csv
    """
    formats = {"json": json, "json-lines": json_lines, "csv": csv, "focus": focus}
    chosen = [f"--{name}" for name, is_chosen in formats.items() if is_chosen]
    if len(chosen) > 1:
        raise usage(f"{chosen[0]} and {chosen[1]} exclude each other")
    is_table = not chosen
    first, last = _span(start, end, timezone)
    request = GetMetricsRequest(
        start_date=first,
        end_date=last,
        timezone=timezone,
        # What is not given is not sent: rows of FOCUS have no interval.
        interval=Interval.Value(f"INTERVAL_{interval.name if interval else 'UNSPECIFIED'}"),
        external_customer_ids=customer or (),
        customer_ids=customer_id or (),
        event_names=event_name or (),
        llm_vendors=llm_vendor or (),
        llm_models=llm_model or (),
        product_ids=product or (),
        billing_types=[BillingType.Value(f"BILLING_TYPE_{one.name}") for one in billing_type or ()],
        metrics=metric or (_ASKED_METRICS if is_table else ()),
        group_by=GroupBy.Value(f"GROUP_BY_{group_by.name if group_by else 'UNSPECIFIED'}"),
        groups_max=groups_max or 0,
        order_by=order_by,
    )
    service = service_of(address, token)
    if is_table:
        answer = _ask(service, request)
        show(answer, interval or IntervalName.DAY, group_by, all_metrics=bool(metric))
    elif json:
        shown = json_format.MessageToJson(
            _ask(service, request), preserving_proto_field_name=True, ensure_ascii=False
        )
        out.print(shown, markup=False, soft_wrap=True)
    else:
        name = chosen[0].removeprefix("--").replace("-", "_").upper()
        _export(service, request, ExportFormat.Value(f"EXPORT_FORMAT_{name}"))


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
        return start or (last - dt.timedelta(days=DAYS_SHOWN - 1)).isoformat(), last.isoformat()
    except (ValueError, OverflowError):
        raise usage(f"--end: {end!r} is not a day such as 2026-11-30") from None


def _ask(service: Service, request: GetMetricsRequest) -> GetMetricsResponse:
    with service.channel() as channel:
        try:
            answer: GetMetricsResponse = MetricsServiceStub(channel).GetMetrics(
                request, timeout=CALL_SECONDS, metadata=service.metadata()
            )
        except grpc.RpcError as error:
            raise failure_of(error).error(service, FLAGS) from None
    return answer


def _export(service: Service, request: GetMetricsRequest, written: ExportFormat.ValueType) -> None:
    """Writes rows to stdout as they come."""
    with service.channel() as channel:
        try:
            for part in MetricsServiceStub(channel).ExportMetrics(
                ExportMetricsRequest(metrics=request, format=written),
                timeout=EXPORT_SECONDS,
                metadata=service.metadata(),
            ):
                _write(part.rows)
            sys.stdout.flush()
        except grpc.RpcError as error:
            raise failure_of(error).error(service, FLAGS) from None
        except BrokenPipeError:
            # Whoever reads has seen enough, such as `head`. What is still buffered must
            # not be written at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            exit_with(EXIT_INTERRUPTED)


def _write(rows: str) -> None:
    """Files get the rows as they are; a terminal gets nothing that it would obey."""
    if sys.stdout.isatty():
        rows = "".join(f"{printable(line)}\n" for line in rows.splitlines())
    sys.stdout.write(rows)


def show(
    answer: GetMetricsResponse,
    interval: IntervalName,
    group_by: GroupName | None = None,
    *,
    all_metrics: bool = True,
) -> None:
    """Prints the table of periods, that of groups and the plot.

    Without `all_metrics` it chooses columns by whether anything was earned.
    """
    labels = [_label(period.timestamp, interval) for period in answer.periods]
    has_revenue = all_metrics or _has_revenue(answer)
    metrics = list(answer.metrics)
    of_groups = metrics
    if not all_metrics:
        metrics = _chosen(metrics, EARNED_METRICS if has_revenue else COST_METRICS)
        is_earned = has_revenue and group_by not in _OF_EVENTS
        # Cumulative costs of groups are mostly of the time before.
        of_groups = _chosen(
            list(answer.metrics), EARNED_METRICS if is_earned else ("costs", *COST_METRICS[2:])
        )
    out.print(table(answer, metrics, labels, heading=interval.value))
    if group_by is not None:
        out.print()
        out.print(groups_table(answer, of_groups, heading=group_by.value.replace("-", " ")))
    if answer.HasField("unattributed"):
        costs, share = answer.unattributed.costs, Decimal(answer.unattributed.share)
        out.print()
        say(f"unattributed: {costs} cents, {share:.1%} of the costs, are of no product")
    slugs = {metric.slug for metric in metrics}
    if "costs" in slugs and labels:
        out.print()
        costs_of_periods = [Decimal(period.costs) for period in answer.periods]
        if "revenue" in slugs:
            revenue = [Decimal(period.revenue) for period in answer.periods]
            drawn = plot_margin(labels, revenue, costs_of_periods, width=plot_columns())
        else:
            drawn = plot_costs(labels, costs_of_periods, width=plot_columns())
        out.print(rich.text.Text(drawn))


def _has_revenue(answer: GetMetricsResponse) -> bool:
    """Whether anything was earned up to the end of the span, or given back."""
    totals = answer.totals
    amounts = [totals.cumulative_revenue, *(period.revenue for period in answer.periods)]
    # Absent where the service knows no revenue.
    return totals.orders > 0 or any(Decimal(amount or 0) for amount in amounts)


def _chosen(metrics: Sequence[Metric], slugs: Sequence[str]) -> list[Metric]:
    """Those of these slugs, in this order."""
    by_slug = {metric.slug: metric for metric in metrics}
    return [by_slug[slug] for slug in slugs if slug in by_slug]


def table(
    answer: GetMetricsResponse,
    metrics: Sequence[Metric],
    labels: Sequence[str],
    *,
    heading: str,
) -> rich.table.Table:
    """A row for each period and one for the totals, the digits as the service gave them."""
    made = empty_table(heading)
    columns: list[Sequence[str]] = [labels]
    for metric in metrics:
        cells = [_value(numbers, metric) for numbers in (*answer.periods, answer.totals)]
        columns.append(_add_column(made, _heading(metric), cells))
    for row in zip(*columns, strict=True):
        made.add_row(*row)
    return made


def groups_table(
    answer: GetMetricsResponse, metrics: Sequence[Metric], *, heading: str
) -> rich.table.Table:
    """A row for each group, one for the others and one for the whole."""
    made = empty_table(heading, columns_max=VALUE_COLUMNS_MAX)
    # Others without members have nothing in the span.
    groups = [group for group in answer.groups if group.members]
    totals = [*(group.totals for group in groups), answer.totals]
    columns: list[Sequence[str | rich.text.Text]] = [[_group_label(group) for group in groups]]
    has_revenue = any(metric.slug == "revenue" for metric in metrics)
    for metric in metrics:
        cells = [_value(numbers, metric) for numbers in totals]
        columns.append(_add_column(made, _heading(metric), cells))
        # Beside revenue there is no room for it, and margins tell more.
        if metric.slug == "costs" and not has_revenue:
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
    "revenue": "revenue (cents)",
    "cashflow": "margin (cents)",
    "gross_margin_percentage": "gross\nmargin",
}
"""How the metrics of most tables are headed; others by their names."""

_HEADING_COLUMNS_MAX: Final = 20


def _heading(metric: Metric) -> str:
    if metric.slug in HEADINGS:
        return HEADINGS[metric.slug]
    words = metric.display_name.lower()
    if metric.type in {METRIC_TYPE_CURRENCY, METRIC_TYPE_CURRENCY_SUB_CENT}:
        words += " (cents)"
    return textwrap.fill(printable(words), _HEADING_COLUMNS_MAX)


def _value(message: Message, metric: Metric) -> str:
    # A service newer than this program may know metrics that this one does not.
    if metric.slug not in message.DESCRIPTOR.fields_by_name:
        return "?"
    # Groups of events have no revenue.
    if not message.HasField(metric.slug):
        return "-"
    if metric.slug == "gross_margin_percentage" and not _is_margin_of_revenue(message):
        return "-"
    value: Any = getattr(message, metric.slug)
    return f"{Decimal(value):.1%}" if metric.type == METRIC_TYPE_PERCENTAGE else str(value)


def _is_margin_of_revenue(message: Message) -> bool:
    """Whether the margin in percent is of anything: without revenue it is told as 0, and a
    loss would look like a margin of nothing."""
    revenue: Any = message
    return not message.HasField("cumulative_revenue") or Decimal(revenue.cumulative_revenue) > 0


def aligned(cells: Sequence[str]) -> list[str]:
    decimals = max((len(cell.partition(".")[2]) + ("." in cell) for cell in cells), default=0)
    return [cell + " " * (decimals - len(cell.partition(".")[2]) - ("." in cell)) for cell in cells]


def _label(timestamp: str, interval: IntervalName) -> str:
    """The start of a period: its day, or for hours the time with its offset."""
    if interval is IntervalName.HOUR:
        return timestamp.replace("T", " ").replace(":00:00", ":00", 1)
    return timestamp[: {IntervalName.MONTH: 7, IntervalName.YEAR: 4}.get(interval, 10)]
