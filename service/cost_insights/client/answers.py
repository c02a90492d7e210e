"""Answers about events that were sent and about metrics, with amounts as `Decimal`."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor

from cost_insights.client.later import Later
from cost_insights.client.requests import words
from cost_insights.v1 import (
    event_service_pb2,
    metrics_service_pb2,
)

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from cost_insights.client import inputs, notebook, tables
else:
    tables = Later("cost_insights.client.tables")
    notebook = Later("cost_insights.client.notebook")

_COUNTS: Final = frozenset(
    field.name
    for field in metrics_service_pb2.MetricsTotals.DESCRIPTOR.fields
    if field.type != descriptor.FieldDescriptor.TYPE_STRING
)
"""The metrics that are whole numbers."""


@dataclass(frozen=True)
class Conflict:
    """An event that was not stored: its `external_id` is taken by other content."""

    index: int
    external_id: str
    event_id: str


@dataclass(frozen=True)
class Fault:
    """A fault of one event; see `EventFault` in the proto.

    `message` and `value` are empty where an answer had no room for them.
    """

    index: int
    path: str
    reason: str
    message: str
    value: str


@dataclass(frozen=True)
class Ingested:
    """The result of one call that stores events.

    `inserted`, `duplicates`, `refused` and the number of conflicts add up to the
    number of events. Every refused event has at least its first fault among `faults`;
    `faults_total` counts those that are left out, too.
    """

    inserted: int
    duplicates: int
    refused: int
    conflicts: tuple[Conflict, ...]
    faults: tuple[Fault, ...]
    faults_total: int


@dataclass(frozen=True)
class Metric:
    """A metric that was computed."""

    slug: str
    display_name: str
    type: inputs.MetricType


@dataclass(frozen=True)
class MetricsPeriod:
    """The metrics of a period by slug: `Decimal` for amounts and ratios, `int` for counts."""

    start: datetime.datetime
    values: Mapping[str, Decimal | int]


@dataclass(frozen=True)
class MetricsGroup:
    """The metrics of one group; see `MetricsGroup` in the proto."""

    value: str
    customer_id: str
    others: bool
    members: int
    periods: tuple[MetricsPeriod, ...]
    totals: Mapping[str, Decimal | int]


@dataclass(frozen=True)
class UnattributedCosts:
    """The costs that cannot be attributed to a product; see `UnattributedCosts` in the proto."""

    costs: Decimal
    share: Decimal


@dataclass(frozen=True)
class MetricsAnswer:
    """The metrics of each period and of the whole span, and those of each group."""

    periods: tuple[MetricsPeriod, ...]
    totals: Mapping[str, Decimal | int]
    groups: tuple[MetricsGroup, ...]
    unattributed: UnattributedCosts | None
    """None without a filter by products or billing types."""
    metrics: tuple[Metric, ...]
    """The metrics that were computed, in the order of the service."""
    timezone: str
    """The time zone of the periods."""
    group_by: inputs.GroupBy | None

    def to_arrow(self) -> pyarrow.Table:
        """A table of pyarrow with a row for each period, or for each period of each group; needs
        `cost-insights[arrow]`.

        The columns are `timestamp`, with groups also `group` and `others`, and the metrics by slug:
        amounts and ratios as decimals with 12 digits after the point, counts as integers.
        """
        return tables.arrow_table(self._columns(), self.timezone)

    def to_pandas(self) -> pandas.DataFrame:
        """The table of `to_arrow` as a frame of pandas; needs `cost-insights[pandas]`."""
        return tables.pandas_frame(self._columns(), self.timezone)

    def to_polars(self) -> polars.DataFrame:
        """The table of `to_arrow` as a frame of polars; needs `cost-insights[polars]`."""
        return tables.polars_frame(self._columns(), self.timezone)

    def _repr_html_(self) -> str:
        """The answer as a notebook shows it: a row for each period or group, the totals, and a
        plot of the first metric."""
        metrics = self.metrics
        if not metrics:
            return notebook.table(["no metrics"], [])

        def cells(values: Mapping[str, Decimal | int]) -> list[str]:
            return [notebook.number(values.get(metric.slug)) for metric in metrics]

        if self.group_by is None:
            first = self.timezone
            rows = [
                [period.start.isoformat(" ", "minutes"), *cells(period.values)]
                for period in self.periods
            ]
            of_lines = [(metrics[0].display_name, self.periods)]
        else:
            first = self.group_by
            named = [
                (f"{group.members} others" if group.others else group.value, group)
                for group in self.groups
            ]
            rows = [[name, *cells(group.totals)] for name, group in named]
            of_lines = [(name, group.periods) for name, group in named]
        lines = [
            notebook.Line(name, [period.values.get(metrics[0].slug) for period in periods])
            for name, periods in of_lines
        ]
        starts = [period.start for period in self.periods]
        header = [first, *(metric.display_name for metric in metrics)]
        return notebook.plot(metrics[0].display_name, starts, lines) + notebook.table(
            header, [*rows, ["total", *cells(self.totals)]]
        )

    def _columns(self) -> list[tables.Column]:
        periods = self.periods
        labels = []
        if self.group_by is not None:
            rows = [(group, period) for group in self.groups for period in group.periods]
            periods = tuple(period for _, period in rows)
            labels = [
                tables.Column("group", "text", [group.value for group, _ in rows]),
                tables.Column("others", "flag", [group.others for group, _ in rows]),
            ]
        starts = tables.Column("timestamp", "time", [period.start for period in periods])
        metrics = [
            tables.Column(
                metric.slug,
                "count" if metric.slug in _COUNTS else "amount",
                [period.values.get(metric.slug) for period in periods],
            )
            for metric in self.metrics
        ]
        return [starts, *labels, *metrics]


def ingested(response: event_service_pb2.IngestEventsResponse) -> Ingested:
    """The answer of `IngestEvents`."""
    return Ingested(
        inserted=response.inserted,
        duplicates=response.duplicates,
        refused=response.refused,
        conflicts=tuple(
            Conflict(each.index, each.external_id, each.event_id) for each in response.conflicts
        ),
        faults=tuple(
            Fault(each.index, each.path, each.reason, each.message, each.value)
            for each in response.faults
        ),
        faults_total=response.faults_total,
    )


def metrics_answer(
    request: metrics_service_pb2.GetMetricsRequest,
    response: metrics_service_pb2.GetMetricsResponse,
) -> MetricsAnswer:
    """The answer of `GetMetrics`."""
    return MetricsAnswer(
        periods=_periods(response.periods),
        totals=_values(response.totals),
        groups=tuple(
            MetricsGroup(
                value=group.value,
                customer_id=group.customer_id,
                others=group.others,
                members=group.members,
                periods=_periods(group.periods),
                totals=_values(group.totals),
            )
            for group in response.groups
        ),
        unattributed=UnattributedCosts(
            Decimal(response.unattributed.costs), Decimal(response.unattributed.share)
        )
        if response.HasField("unattributed")
        else None,
        metrics=tuple(
            Metric(each.slug, each.display_name, word(each, "type")) for each in response.metrics
        ),
        timezone=request.timezone,
        group_by=word(request, "group_by"),
    )


def word(message: Any, field: str) -> Any:
    """The value of an enum as callers write it; None if it is unspecified."""
    return names(message.DESCRIPTOR.fields_by_name[field].enum_type).get(getattr(message, field))


@functools.cache
def names(enum: descriptor.EnumDescriptor) -> dict[int, str]:
    return {number: word for word, number in words(enum).items()}


def _periods(periods: Iterable[metrics_service_pb2.MetricsPeriod]) -> tuple[MetricsPeriod, ...]:
    return tuple(
        MetricsPeriod(datetime.datetime.fromisoformat(period.timestamp), _values(period))
        for period in periods
    )


def _values(
    message: metrics_service_pb2.MetricsPeriod | metrics_service_pb2.MetricsTotals,
) -> dict[str, Decimal | int]:
    return {
        field.name: Decimal(value) if isinstance(value, str) else value
        for field, value in message.ListFields()
        if field.name != "timestamp"
    }
