"""Tables of metrics for the terminal.

Money is shown in dollars; costs, which callers send in cents, are shown in cents too. Every
digit of the service is shown and no number is folded: a narrow terminal gets fewer columns,
and a table that is still too wide runs over its edge.
"""

import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import rich.box
import rich.measure
import rich.table
import rich.text

from cost_insights.cli.console import out, printable, say
from cost_insights.v1.metrics_service_pb2 import (
    METRIC_TYPE_CURRENCY,
    METRIC_TYPE_CURRENCY_SUB_CENT,
    METRIC_TYPE_PERCENTAGE,
    Metric,
    MetricsGroup,
)

Numbers = Any
"""A message with a field for each metric: of a period, a group or the whole span."""

COST_METRICS: Final = ("costs", "active_user_by_event", "cost_per_user", "cumulative_costs")
"""The metrics of `cost_columns`."""

EARNED_METRICS: Final = ("revenue", "costs", "cashflow")
"""The metrics of `earned_columns`."""

HEADINGS: Final = {
    "cumulative_costs": "all-time costs",
    "active_user_by_event": "active customers",
    "cost_per_user": "per customer",
    "cumulative_revenue": "all-time revenue",
    "net_cumulative_revenue": "all-time net revenue",
    "cashflow": "margin",
    "gross_margin": "all-time gross margin",
    "gross_margin_percentage": "all-time gross margin",
}
"""The headings of metrics in tables; other metrics are headed by their names."""

_HEADING_COLUMNS_MAX: Final = 20
_VALUE_COLUMNS_MAX: Final = 32

# More digits than any sum has, so that rounding to the digits shown is the only rounding.
_PRECISE: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Column:
    """A column of numbers, the last of which is the total."""

    heading: str
    cells: Sequence[str]
    rank: int = 0
    """The order in which columns are left out of a narrow table: the highest rank first, and rank 0
    never."""


def cost_columns(rows: Sequence[Numbers], *, of_groups: bool = False) -> list[Column]:
    """Costs and the customers who caused them."""
    columns = [
        _cents("costs", rows),
        _dollars("costs", rows, rank=1),
        Column("active\ncustomers", [f"{row.active_user_by_event:,}" for row in rows], rank=3),
        _dollars("cost_per_user", rows, rank=4),
    ]
    if of_groups:
        costs = [Decimal(row.costs) for row in rows]
        return [*columns[:2], Column("share", shares(costs), rank=2), *columns[2:]]
    # All-time costs of groups would mostly be of the time before.
    return [*columns, _dollars("cumulative_costs", rows, rank=5)]


def earned_columns(rows: Sequence[Numbers]) -> list[Column]:
    """Revenue, costs and the margin of each row by itself."""
    return [
        _dollars("revenue", rows),
        _dollars("costs", rows),
        _dollars("cashflow", rows, rank=2),
        Column("margin\n(%)", [_margin(row.cashflow, row.revenue) for row in rows], rank=1),
    ]


def metric_columns(metrics: Iterable[Metric], rows: Sequence[Numbers]) -> list[Column]:
    """Metrics that were asked for by name, of which none is left out."""
    columns: list[Column] = []
    for metric in metrics:
        slug, name = metric.slug, metric.display_name.lower()
        if slug == "costs":
            columns.append(_cents(slug, rows))
        if metric.type in {METRIC_TYPE_CURRENCY, METRIC_TYPE_CURRENCY_SUB_CENT}:
            columns.append(_dollars(slug, rows, name=name))
        else:
            written = "{:,.1%}" if metric.type == METRIC_TYPE_PERCENTAGE else "{:,f}"
            columns.append(Column(_heading(slug, name), _cells(slug, rows, written.format)))
    return columns


def _cents(slug: str, rows: Sequence[Numbers]) -> Column:
    return Column(f"{_heading(slug)}\n(cents)", _cells(slug, rows, "{:,f}".format))


def _dollars(slug: str, rows: Sequence[Numbers], *, rank: int = 0, name: str = "") -> Column:
    cells = _cells(slug, rows, lambda cents: f"{in_dollars(cents):,f}")
    return Column(f"{_heading(slug, name)}\n(dollars)", cells, rank)


def _heading(slug: str, name: str = "") -> str:
    return textwrap.fill(HEADINGS.get(slug) or printable(name or slug), _HEADING_COLUMNS_MAX)


def _cells(slug: str, rows: Sequence[Numbers], written: Callable[[Decimal], str]) -> Sequence[str]:
    """The numbers of a metric as text."""
    # A service newer than this program may know metrics that this one does not.
    if any(slug not in row.DESCRIPTOR.fields_by_name for row in rows):
        return ["?"] * len(rows)
    # Groups of events have no revenue.
    return [written(Decimal(getattr(row, slug))) if row.HasField(slug) else "-" for row in rows]


def _margin(cashflow: str, revenue: str) -> str:
    """The share of a row's revenue that is left; without revenue there is no margin."""
    if Decimal(revenue) <= 0:
        return "-"
    return f"{_PRECISE.divide(Decimal(cashflow), Decimal(revenue)):,.1%}"


def shares(costs: Sequence[Decimal]) -> list[str]:
    """Each of the costs as a share of the last of them, half-even; there is none of zero."""
    whole = costs[-1]
    return [f"{_PRECISE.divide(cost, whole):,.1%}" if whole else "-" for cost in costs]


def in_dollars(cents: Decimal) -> Decimal:
    """An amount in dollars, with every digit."""
    return cents.scaleb(-2, _PRECISE)


def group_label(group: MetricsGroup) -> rich.text.Text:
    """The label of a group in a table."""
    if group.others:
        words = "1 other" if group.members == 1 else f"{group.members:,} others"
        return rich.text.Text(words, style="italic")
    # Its own text, in which square brackets mean nothing.
    return rich.text.Text(printable(group.value) or "(none)")


def print_table(
    heading: str,
    labels: Sequence[str | rich.text.Text],
    columns: Sequence[Column],
    *,
    are_values: bool = False,
) -> None:
    """Prints a row for each label and a last one for the total.

    Labels that are `values` of callers may be long and are folded; others never are.
    """
    label_columns_max = min(_VALUE_COLUMNS_MAX, out.width * 2 // 5) if are_values else None
    shown = list(columns)
    while True:
        table = _table(heading, labels, shown, label_columns_max=label_columns_max)
        # The width of the table if there were room for everything.
        unbounded = out.options.update(max_width=sys.maxsize)
        table.width = rich.measure.Measurement.get(out, unbounded, table).maximum
        least = max(shown, key=lambda column: column.rank)
        if table.width <= out.width or least.rank == 0:
            break
        shown.remove(least)
    out.print(table, crop=False)
    left_out = [" ".join(column.heading.split()) for column in columns if column not in shown]
    if left_out:
        say(f"left out to fit {out.width} columns: {', '.join(left_out)}")


def _table(
    heading: str,
    labels: Sequence[str | rich.text.Text],
    columns: Sequence[Column],
    *,
    label_columns_max: int | None,
) -> rich.table.Table:
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column(
        heading,
        "total",
        no_wrap=label_columns_max is None,
        max_width=label_columns_max,
        overflow="fold",
    )
    # Aligned at the point: digits below each other mean the same power of ten.
    cells = [aligned(column.cells) for column in columns]
    for column, (*_, total) in zip(columns, cells, strict=True):
        table.add_column(column.heading, total, justify="right", no_wrap=True)
    for label, *row in zip(labels, *(above for *above, _ in cells), strict=True):
        table.add_row(label, *row)
    return table


def aligned(cells: Sequence[str]) -> list[str]:
    """The cells with blanks after them, so that their decimal points are below each other."""
    decimals = max((len(cell.partition(".")[2]) + ("." in cell) for cell in cells), default=0)
    return [cell + " " * (decimals - len(cell.partition(".")[2]) - ("." in cell)) for cell in cells]
