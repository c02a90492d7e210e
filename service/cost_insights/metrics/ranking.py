"""Ranking values of a grouping by the total of one metric.

A thousand customers of a year's days would be a million numbers, so what totals
are made of is read instead: sums over the periods, and numbers of the last one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from cost_insights.metrics.definitions import METRICS, Metric
from cost_insights.metrics.sources.facts import Total

Key = str | int
"""A value, or the number of a customer."""


@dataclass(frozen=True)
class Ranks:
    """Facts of values or customers; each column has one number per key."""

    keys: Sequence[Key]

    sums: Mapping[str, Sequence[int]]
    """Sums of facts over all periods."""

    last: Mapping[str, Sequence[int]]
    """Numbers of facts in the last period."""

    distinct: Mapping[str, Sequence[int]]
    """Numbers that must be counted over the whole span."""

    def __or__(self, other: "Ranks") -> "Ranks":
        """The union of two sources' facts for the same keys."""
        return Ranks(
            self.keys,
            {**self.sums, **other.sums},
            {**self.last, **other.last},
            {**self.distinct, **other.distinct},
        )

    def total(self, metric: Metric) -> Sequence[int]:
        """The total of a metric of each key."""
        match metric.total:
            case Total.SUM:
                # A formula of sums is the sum of the formula: that of such metrics is linear.
                return metric.apply(self._input(metric, self.sums, self.total))
            case Total.LAST:
                return self._last(metric)
            case Total.DISTINCT:
                (fact,) = metric.inputs
                return self.distinct[fact]
            case slugs:
                return metric.apply([self.total(METRICS[slug]) for slug in slugs])

    def _last(self, metric: Metric) -> Sequence[int]:
        return metric.apply(self._input(metric, self.last, self._last))

    def _input(
        self,
        metric: Metric,
        facts: Mapping[str, Sequence[int]],
        of_metric: Callable[[Metric], Sequence[int]],
    ) -> list[Sequence[int]]:
        others = [metric.metric_of(name) for name in metric.inputs]
        return [
            facts[name] if other is None else of_metric(other)
            for name, other in zip(metric.inputs, others, strict=True)
        ]


def first(
    totals: Mapping[Key, int],
    count: int,
    *,
    descending: bool,
    texts_of: Callable[[Sequence[Key]], Mapping[Key, str]],
    first_by_text: Callable[[Sequence[Key], int], Sequence[Key]],
) -> list[Key]:
    """The `count` keys that come first, by total and then by their texts.

    `texts_of` returns the texts of keys, and `first_by_text` so many keys that come first by their
    texts.
    """
    sign = -1 if descending else 1
    ordered = sorted(totals, key=lambda key: sign * totals[key])
    shown = ordered[:count]
    if len(ordered) > count:
        last = totals[shown[-1]]
        shown = [key for key in shown if totals[key] != last]
        # Thousands may have the same total as the last one; not all of their texts are read.
        tied = list(takewhile(lambda key: totals[key] == last, ordered[len(shown) :]))
        shown += first_by_text(tied, count - len(shown))
    texts = texts_of(shown)
    return sorted(shown, key=lambda key: (sign * totals[key], texts[key]))
