"""The options of `metrics`: the question, in the order of the help, and the form of the answer."""

import enum
from collections.abc import Mapping
from typing import Annotated, Final

import typer

from cost_insights.cli.console import whole_number


class IntervalName(enum.StrEnum):
    """The lengths of a period."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class GroupName(enum.StrEnum):
    """The dimensions an answer can be grouped by."""

    EVENT_NAME = "event-name"
    LLM_VENDOR = "llm-vendor"
    LLM_MODEL = "llm-model"
    CUSTOMER = "customer"
    PRODUCT = "product"


class BillingName(enum.StrEnum):
    """The ways in which something is paid for."""

    ONE_TIME = "one-time"
    RECURRING = "recurring"


StartOption = Annotated[
    str | None,
    typer.Option(metavar="YYYY-MM-DD", help="The first day. Default: 29 days before the last."),
]
EndOption = Annotated[
    str | None,
    typer.Option(metavar="YYYY-MM-DD", help="The last day, included. Default: today."),
]
IntervalOption = Annotated[
    IntervalName | None,
    typer.Option(
        metavar="INTERVAL",
        help=f"The length of a period: {', '.join(IntervalName)}. Default: day.",
    ),
]
TimezoneOption = Annotated[
    str,
    typer.Option(
        metavar="IANA",
        help="The time zone of the days, such as Europe/Berlin. Etc/GMT+5 is 5 hours "
        "behind UTC, not ahead.",
    ),
]
CustomerOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="EXTERNAL_ID",
        help="Only this customer, by the external_customer_id. Up to 1000 times. Default: all.",
    ),
]
CustomerIdOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="UUID",
        help="Only this customer, by the customer_id. Up to 1000 times. Default: all.",
    ),
]
EventNameOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Only events with this name. Up to 1000 times. Default: all."
    ),
]
LlmVendorOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Only LLM calls to this vendor; an empty text means events without an LLM call. "
        "Up to 1000 times. Default: all.",
    ),
]
LlmModelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Only LLM calls to this model; an empty text means events without an LLM call. Up "
        "to 1000 times. Default: all.",
    ),
]
ProductOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        help="Only costs and revenue of this product; an empty text means those without a "
        "product. Up to 1000 times. Default: all.",
    ),
]
BillingTypeOption = Annotated[
    list[BillingName] | None,
    typer.Option(
        metavar="TYPE",
        help=f"Only products with this billing type: {', '.join(BillingName)}. Default: all.",
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SLUG",
        help="Only this metric, such as costs. Any number of times. Default: all metrics in "
        "files and JSON; in tables costs, customers and the cost per customer, or "
        "revenue, costs and margins once there is revenue.",
    ),
]
GroupByOption = Annotated[
    GroupName | None,
    typer.Option(
        metavar="WHAT",
        help=f"Also show each of these: {', '.join(GroupName)}. Default: none.",
    ),
]
GroupsMaxOption = Annotated[
    int | None,
    typer.Option(
        metavar="COUNT",
        parser=whole_number(1, 1_000),
        help="The greatest number of groups to show, 1 to 1000; the others are one row. "
        "Default: 10.",
    ),
]
OrderByOption = Annotated[
    str,
    typer.Option(
        metavar="SLUG",
        help="The metric that orders the groups: the greatest total first, or the least first "
        'with " asc" after the metric. Default: costs.',
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the answer as JSON. Default: tables and a plot.")
]
JsonLinesOption = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Print one JSON object per line for each period. Default: tables and a plot.",
    ),
]
CsvOption = Annotated[
    bool,
    typer.Option(
        "--csv",
        help="Print CSV with a header and a row for each period. Default: tables and a plot.",
    ),
]
FocusOption = Annotated[
    bool,
    typer.Option(
        "--focus",
        help="Print the costs of each day, customer, event name, model and product as FOCUS "
        "1.2 CSV. Default: tables and a plot.",
    ),
]

TotalsOption = Annotated[
    bool,
    typer.Option(
        "--totals",
        help="In CSV or JSON lines, print a row for each group over the whole span, however many "
        "there are. Default: a row for each period.",
    ),
]

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
    "totals": "--totals",
    "product_ids": "--product",
    "billing_types": "--billing-type",
    "order_by": "--order-by",
}
"""The flag that fills each field of the request, which errors name in its place."""
