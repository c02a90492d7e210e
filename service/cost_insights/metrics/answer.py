"""What a caller is told: numbers per period and in total, of everything and of each group."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cost_insights._native import format_amount
from cost_insights.metrics.facts import Sums
from cost_insights.metrics.slugs import Metric, MetricType, Numbers


@dataclass(frozen=True)
class MetricsNumbers:
    """Numbers by slug: picocents, or what else the type of the metric says."""

    columns: Mapping[str, Sequence[int]]
    """A number a period."""

    totals: Mapping[str, int]
    """Of the whole span."""

    def written(self, metric: Metric) -> Sequence[int | str]:
        """The column of a metric as callers are told it: counts as they are, all else as
        decimal digits."""
        return _written(metric, self.columns[metric.slug])

    def total_written(self, metric: Metric) -> int | str:
        """The same of the total."""
        return _written(metric, [self.totals[metric.slug]])[0]

    @classmethod
    def of(cls, sums: Sums, metrics: Sequence[Metric]) -> "MetricsNumbers":
        """The metrics that follow from what was added up."""
        numbers = Numbers(sums)
        return cls(
            {metric.slug: numbers.column(metric) for metric in metrics},
            {metric.slug: numbers.total(metric) for metric in metrics},
        )


def _written(metric: Metric, numbers: Sequence[int]) -> Sequence[int | str]:
    if metric.type is MetricType.SCALAR:
        return numbers
    return [format_amount(number) for number in numbers]


@dataclass(frozen=True)
class MetricsGroup:
    """The numbers of one value of a grouping, or of all that have no other group."""

    value: str
    """Empty for the others."""

    customer_id: uuid.UUID | None
    """Where the value is a customer's identifier."""

    others: bool
    members: int
    """How many values with anything in the span it stands for."""

    numbers: MetricsNumbers


@dataclass(frozen=True)
class UnattributedCosts:
    """What no product can be told of."""

    costs: int
    """Picocents of the span."""

    share: int
    """Of all costs of the span under the same other filters, times 10¹²."""


@dataclass(frozen=True)
class MetricsAnswer:
    """Numbers per period, of everything and of groups."""

    starts: Sequence[str]
    """When each period starts; see `Periods`."""

    metrics: Sequence[Metric]
    numbers: MetricsNumbers
    group_metrics: Sequence[Metric]
    """Those that groups have."""

    groups: Sequence[MetricsGroup]
    """In the order that was asked for, that of the others last."""

    unattributed: UnattributedCosts | None
    """None where all products count."""
