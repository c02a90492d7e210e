"""The command that shows metrics as tables and a plot, or exports them."""

import datetime as dt
import os
import sys
import zoneinfo
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import grpc
import rich.text
import typer
from google.protobuf import json_format

from cost_insights.cli.client import (
    AddressOption,
    CaOption,
    CertOption,
    KeyOption,
    TlsFlags,
    TlsOption,
    TokenOption,
    command_error,
    service_of,
)
from cost_insights.cli.console import (
    EXIT_CODES,
    EXIT_INTERRUPTED,
    exit_with,
    out,
    plot_columns,
    printable,
    say,
    usage,
)
from cost_insights.cli.metrics_options import (
    FLAGS,
    BillingTypeOption,
    CsvOption,
    CustomerIdOption,
    CustomerOption,
    EndOption,
    EventNameOption,
    FocusOption,
    GroupByOption,
    GroupName,
    GroupsMaxOption,
    IntervalName,
    IntervalOption,
    JsonLinesOption,
    JsonOption,
    LlmModelOption,
    LlmVendorOption,
    MetricOption,
    OrderByOption,
    ProductOption,
    StartOption,
    TimezoneOption,
    TotalsOption,
)
from cost_insights.cli.plot import plot_costs, plot_margin
from cost_insights.cli.suggestions import first_event
from cost_insights.cli.tables import (
    COST_METRICS,
    EARNED_METRICS,
    cost_columns,
    earned_columns,
    group_label,
    in_dollars,
    metric_columns,
    print_table,
)
from cost_insights.client.failures import failure_of
from cost_insights.client.service import Service
from cost_insights.v1.metrics_service_pb2 import (
    ExportFormat,
    ExportMetricsRequest,
    GetMetricsRequest,
    GetMetricsResponse,
    GroupBy,
    Interval,
)
from cost_insights.v1.metrics_service_pb2_grpc import MetricsServiceStub
from cost_insights.v1.revenue_pb2 import BillingType

CALL_SECONDS: Final = 60.0
EXPORT_SECONDS: Final = 3_600.0
DAYS_SHOWN: Final = 30
FILTERS: Final = (
    "customer_ids",
    "external_customer_ids",
    "product_ids",
    "billing_types",
    "event_names",
    "llm_vendors",
    "llm_models",
)
"""The fields of a question that leave events out."""

YEAR_MIN: Final = 1973
"""The first year that the service answers."""

YEARS_ASKED: Final = 9
"""The number of years of one question about years."""

_ASKED_METRICS: Final = (*COST_METRICS, *EARNED_METRICS, "orders", "cumulative_revenue")
"""The metrics that the default tables need: costs and, if anything was earned, margins."""

_OF_EVENTS: Final = (GroupName.EVENT_NAME, GroupName.LLM_VENDOR, GroupName.LLM_MODEL)
"""The dimensions that revenue does not have."""

app: Final = typer.Typer(add_completion=False)


@app.command(epilog=EXIT_CODES)
def metrics(
    *,
    start: StartOption = None,
    end: EndOption = None,
    interval: IntervalOption = None,
    timezone: TimezoneOption = "UTC",
    customer: CustomerOption = None,
    customer_id: CustomerIdOption = None,
    event_name: EventNameOption = None,
    llm_vendor: LlmVendorOption = None,
    llm_model: LlmModelOption = None,
    product: ProductOption = None,
    billing_type: BillingTypeOption = None,
    metric: MetricOption = None,
    group_by: GroupByOption = None,
    groups_max: GroupsMaxOption = None,
    order_by: OrderByOption = "",
    json: JsonOption = False,
    json_lines: JsonLinesOption = False,
    csv: CsvOption = False,
    focus: FocusOption = False,
    totals: TotalsOption = False,
    address: AddressOption = None,
    token: TokenOption = None,
    tls: TlsOption = False,
    ca: CaOption = None,
    cert: CertOption = None,
    key: KeyOption = None,
) -> None:
    """Shows costs and revenue: a row for each period, the totals, and a plot.

    Amounts are exact. Tables show them in dollars, and costs in cents too; JSON, CSV and the
    service itself use cents: 100 is a dollar, 0.025 a fortieth of a cent. The margin of a row is
    its revenue less its costs; in percent it is the share of that revenue, rounded to one decimal.
    All-time numbers reach from the first event to the end of the period. A narrow terminal shows
    fewer columns, never a part of a number.

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
    if totals and not (csv or json_lines):
        raise usage("--totals needs --csv or --json-lines")
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
        metrics=_asked_metrics(metric or ()) if is_table else metric,
        group_by=GroupBy.Value(f"GROUP_BY_{group_by.name if group_by else 'UNSPECIFIED'}"),
        groups_max=groups_max or 0,
        order_by=order_by,
    )
    service = service_of(address, token, TlsFlags(tls, ca, cert, key))
    if is_table:
        show(
            _ask(service, request),
            interval or IntervalName.DAY,
            group_by,
            slugs=metric or (),
            without_events=lambda: _without_events(service, request),
        )
    elif json:
        shown = json_format.MessageToJson(
            _ask(service, request), preserving_proto_field_name=True, ensure_ascii=False
        )
        out.print(shown, markup=False, soft_wrap=True)
    else:
        name = chosen[0].removeprefix("--").replace("-", "_").upper()
        _export(
            service,
            ExportMetricsRequest(
                metrics=request,
                format=ExportFormat.Value(f"EXPORT_FORMAT_{name}"),
                totals=totals,
            ),
        )


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
            raise command_error(failure_of(error), service, FLAGS) from None
    return answer


def _asked_metrics(slugs: Sequence[str]) -> Sequence[str]:
    """The metrics to ask for in order to show these, or the default ones."""
    if "costs" in slugs:
        # It tells events that cost nothing from no events.
        slugs = [*slugs, "active_user_by_event"]
    return slugs or list(dict.fromkeys(_ASKED_METRICS))


def _without_events(service: Service, request: GetMetricsRequest) -> str:
    """Says that a span has no events, and when there are any."""
    filters = " with these filters" if any(getattr(request, name) for name in FILTERS) else ""
    days = _days_with_events(service, request)
    if days is not None:
        return (
            f"no events{filters} in this span, {request.start_date} to {request.end_date}; "
            f"the first is from {days[0]}, the latest from {days[1]}"
        )
    if filters:
        return f"no events{filters}, in this span or any other"
    return f"no events yet; to send the first one:\n\n  {first_event(service.address)}"


def _days_with_events(service: Service, request: GetMetricsRequest) -> tuple[str, str] | None:
    """The first and the last day with an event under the filters of a question.

    Found in metrics, which take milliseconds and no other scope, however many events
    there are.
    """

    def active(start: str, end: str, interval: Interval.ValueType) -> list[str]:
        question = GetMetricsRequest()
        question.CopyFrom(request)
        for field in ("metrics", "group_by", "groups_max", "order_by"):
            question.ClearField(field)
        question.metrics.append("active_user_by_event")
        question.start_date, question.end_date, question.interval = start, end, interval
        periods = _ask(service, question).periods
        return [period.timestamp for period in periods if period.active_user_by_event]

    # Earlier days are not answered; clocks of callers may be ahead.
    last_year = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).year
    years = [
        period[:4]
        for year in range(YEAR_MIN, last_year + 1, YEARS_ASKED)
        for period in active(
            f"{year}-01-01", f"{year + YEARS_ASKED - 1}-12-31", Interval.INTERVAL_YEAR
        )
    ]
    if not years:
        return None
    first, last = (
        active(f"{year}-01-01", f"{year}-12-31", Interval.INTERVAL_DAY)
        for year in (years[0], years[-1])
    )
    return first[0][:10], last[-1][:10]


def _export(service: Service, request: ExportMetricsRequest) -> None:
    """Writes rows to stdout as they come."""
    with service.channel() as channel:
        try:
            for part in MetricsServiceStub(channel).ExportMetrics(
                request, timeout=EXPORT_SECONDS, metadata=service.metadata()
            ):
                _write(part.rows)
            sys.stdout.flush()
        except grpc.RpcError as error:
            raise command_error(failure_of(error), service, FLAGS) from None
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
    slugs: Sequence[str] = (),
    without_events: Callable[[], str],
) -> None:
    """Prints the table of periods, that of groups and the plot.

    Without `slugs` it chooses columns by whether anything was earned. Where there is
    nothing to plot it prints a sentence: of a span without events `without_events` says it.
    """
    labels = [_label(period.timestamp, interval) for period in answer.periods]
    is_earned = "revenue" in slugs if slugs else _has_revenue(answer)
    periods = [*answer.periods, answer.totals]
    # Others without members have nothing in the span.
    groups = [group for group in answer.groups if group.members]
    totals = [*(group.totals for group in groups), answer.totals]
    if slugs:
        metrics = [metric for metric in answer.metrics if metric.slug in slugs]
        of_periods, of_groups = (metric_columns(metrics, rows) for rows in (periods, totals))
    else:
        of_periods = earned_columns(periods) if is_earned else cost_columns(periods)
        of_groups = (
            earned_columns(totals)
            if is_earned and group_by not in _OF_EVENTS
            else cost_columns(totals, of_groups=True)
        )
    print_table(interval.value, labels, of_periods)
    if group_by is not None:
        out.print()
        heading = group_by.value.replace("-", " ")
        print_table(heading, [group_label(group) for group in groups], of_groups, are_values=True)
    if answer.HasField("unattributed"):
        costs, share = Decimal(answer.unattributed.costs), Decimal(answer.unattributed.share)
        out.print()
        say(f"unattributed: {costs:,f} cents, {share:,.1%} of the costs, name no product")
    has_costs = not slugs or "costs" in slugs
    if has_costs:
        out.print()
        _show_plot(answer, labels, is_earned=is_earned, without_events=without_events)


def _show_plot(
    answer: GetMetricsResponse,
    labels: Sequence[str],
    *,
    is_earned: bool,
    without_events: Callable[[], str],
) -> None:
    costs = [Decimal(period.costs) for period in answer.periods]
    revenue = [Decimal(period.revenue) for period in answer.periods if is_earned]
    if not any(costs) and not any(revenue):
        events_cost_nothing = "nothing to plot: the events in this span cost nothing"
        has_events = answer.totals.active_user_by_event > 0
        for line in (events_cost_nothing if has_events else without_events()).splitlines():
            say(line)
    elif is_earned:
        of_both = [[in_dollars(amount) for amount in amounts] for amounts in (revenue, costs)]
        out.print(rich.text.Text(plot_margin(labels, *of_both, width=plot_columns())))
    else:
        out.print(rich.text.Text(plot_costs(labels, costs, width=plot_columns())))


def _has_revenue(answer: GetMetricsResponse) -> bool:
    """Whether anything was earned up to the end of the span, or given back."""
    totals = answer.totals
    amounts = [totals.cumulative_revenue, *(period.revenue for period in answer.periods)]
    # Absent where the service knows no revenue.
    return totals.orders > 0 or any(Decimal(amount or 0) for amount in amounts)


def _label(timestamp: str, interval: IntervalName) -> str:
    """The start of a period: its day, or for hours the time with its offset."""
    if interval is IntervalName.HOUR:
        return timestamp.replace("T", " ").replace(":00:00", ":00", 1)
    return timestamp[: {IntervalName.MONTH: 7, IntervalName.YEAR: 4}.get(interval, 10)]
