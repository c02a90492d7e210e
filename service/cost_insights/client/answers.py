"""Answers of the service, with amounts as `Decimal`."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from cost_insights.v1 import event_service_pb2, metrics_service_pb2


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


def metrics_answer(response: metrics_service_pb2.GetMetricsResponse) -> MetricsAnswer:
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
    )


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
