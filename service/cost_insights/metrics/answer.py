"""What a caller is told: numbers per period and in total, of everything and of each group."""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cost_insights.metrics.slugs import Facts, Metric


@dataclass(frozen=True)
class MetricsGroup:
    """The numbers of one value that events are grouped by, or of all that have no other group."""

    value: str
    """Empty for the others."""

    customer_id: uuid.UUID | None
    """Where the value is a customer's identifier."""

    others: bool
    members: int
    """How many values with an event in the span it stands for."""

    periods: Sequence[Mapping[str, int]]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class MetricsAnswer:
    """Numbers per period: picocents, or counts where the metric's type is scalar."""

    starts: Sequence[datetime.datetime]
    periods: Sequence[Mapping[str, int]]
    totals: Mapping[str, int]
    metrics: Sequence[Metric]
    groups: Sequence[MetricsGroup]
    """Those of the greatest costs first, that of the others last."""


@dataclass(frozen=True)
class Sums:
    """What some events add up to, in picocents and distinct customers."""

    history: int
    """The costs before the span; 0 where no metric needs them."""

    costs: Sequence[int]
    """Of each period."""

    customers: Sequence[int]
    """Of each period."""

    customers_distinct: int
    """Of the whole span."""


def numbers_of(
    sums: Sums, metrics: Sequence[Metric]
) -> tuple[Sequence[Mapping[str, int]], Mapping[str, int]]:
    """The metrics per period and in total, by slug."""
    cumulative = list(accumulate(sums.costs, initial=sums.history))
    facts = [Facts(*each) for each in zip(sums.costs, cumulative[1:], sums.customers, strict=True)]
    total = Facts(sum(sums.costs), cumulative[-1], sums.customers_distinct)
    return (
        [{metric.slug: metric.formula(each) for metric in metrics} for each in facts],
        {metric.slug: metric.formula(total) for metric in metrics},
    )


def group_of(
    sums: Sums, metrics: Sequence[Metric], *, value: str, customer_id: uuid.UUID | None
) -> MetricsGroup:
    """The group of one value."""
    periods, totals = numbers_of(sums, metrics)
    return MetricsGroup(value, customer_id, False, 1, periods, totals)


def others_of(sums: Sums, metrics: Sequence[Metric], *, members: int) -> MetricsGroup | None:
    """The group of all values that have none of their own; None where there is nothing to tell.

    It holds the history of values without an event in the span too: else the
    cumulative costs of the groups would not add up to the whole.
    """
    if members == 0 and sums.history == 0:
        return None
    periods, totals = numbers_of(sums, metrics)
    return MetricsGroup("", None, True, members, periods, totals)
