"""Answers: the numbers of metrics per period and in total, for everything and for each group."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cost_insights.amounts import format_amount
from cost_insights.metrics.definitions import METRICS, Metric
from cost_insights.metrics.sources.facts import Sums, Total

_TOKENS_MAX = 2**63 - 1
"""The greatest number of tokens that an answer has room for: an event may have 2⁵³."""


@dataclass(frozen=True)
class Numbers:
    """Numbers by slug, in the unit that the type of the metric says: picocents or others."""

    columns: Mapping[str, Sequence[int]]
    """One number per period."""

    totals: Mapping[str, int]
    """One number over the span."""

    def written(self, metric: Metric) -> Sequence[int | str]:
        """The column of a metric as it is written in answers: counts as integers, everything
        else as decimal text."""
        return _written(metric, self.columns[metric.slug])

    def total_written(self, metric: Metric) -> int | str:
        """The total of a metric as it is written in answers."""
        return _written(metric, [self.totals[metric.slug]])[0]

    @classmethod
    def of(cls, sums: Sums, metrics: Sequence[Metric]) -> "Numbers":
        """Computes the metrics from facts."""
        numbers = _Computation(sums)
        columns = {metric.slug: numbers.column(metric) for metric in metrics}
        totals = {metric.slug: numbers.total(metric) for metric in metrics}
        for metric in metrics:
            if metric.counts_tokens:
                columns[metric.slug] = [min(one, _TOKENS_MAX) for one in columns[metric.slug]]
                totals[metric.slug] = min(totals[metric.slug], _TOKENS_MAX)
        return cls(columns, totals)


def _written(metric: Metric, numbers: Sequence[int]) -> Sequence[int | str]:
    if metric.is_count:
        return numbers
    return [format_amount(number) for number in numbers]


@dataclass(frozen=True)
class Group:
    """The numbers of one value of a grouping, or of all values without a group of their own."""

    value: str
    """Empty for the others."""

    customer_id: uuid.UUID | None
    """The id of the customer where groups are customers, else None."""

    others: bool
    members: int
    """The number of values with any record in the span that the group stands for."""

    numbers: Numbers


@dataclass(frozen=True)
class Unattributed:
    """Costs that belong to no known product."""

    costs: int
    """Picocents over the span."""

    share: int
    """The fraction of all costs over the span under the same other filters, times 10¹²."""


@dataclass(frozen=True)
class Answer:
    """Numbers per period, in total and by group."""

    starts: Sequence[str]
    """The start of each period; see `Periods`."""

    metrics: Sequence[Metric]
    numbers: Numbers
    group_metrics: Sequence[Metric]
    """The metrics that groups have."""

    groups: Sequence[Group]
    """The groups in the order that the question asks for, with the group of all others last."""

    unattributed: Unattributed | None
    """None where all products count."""


class _Computation:
    """Computes metrics from facts, each once and only when it is needed."""

    def __init__(self, sums: Sums) -> None:
        self._sums = sums
        self._columns: dict[str, Sequence[int]] = {}

    def column(self, metric: Metric) -> Sequence[int]:
        """One number per period."""
        if metric.slug not in self._columns:
            self._columns[metric.slug] = metric.apply(list(self._inputs(metric)))
        return self._columns[metric.slug]

    def _inputs(self, metric: Metric) -> Iterator[Sequence[int]]:
        for name in metric.inputs:
            other = metric.metric_of(name)
            yield self._sums.columns[name] if other is None else self.column(other)

    def total(self, metric: Metric) -> int:
        """The total over the span."""
        match metric.total:
            case Total.SUM:
                return sum(self.column(metric))
            case Total.LAST:
                # A day that the local calendar leaves out has no period.
                column = self.column(metric) or _Computation(self._sums.before()).column(metric)
                return column[-1]
            case Total.DISTINCT:
                (fact,) = metric.inputs
                return self._sums.distinct[fact]
            case slugs:
                totals = [self.total(METRICS[slug]) for slug in slugs]
                return metric.formula(*totals) if metric.formula else totals[0]
