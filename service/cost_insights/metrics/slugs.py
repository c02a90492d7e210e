"""Metrics by slug: what each is and how it follows from the facts of a period.

Amounts are picocents and every formula works on integers. A total is the same
formula over the facts of the whole span: costs summed, cumulative costs of the
last period, the distinct customers of the span.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass


class MetricType(enum.Enum):
    """What the numbers of a metric are."""

    SCALAR = "scalar"
    CURRENCY = "currency"
    CURRENCY_SUB_CENT = "currency_sub_cent"
    PERCENTAGE = "percentage"


@dataclass(frozen=True)
class Facts:
    """What the events of a period, or of a span, add up to."""

    costs: int
    """Picocents."""

    cumulative_costs: int
    """Picocents up to the end, all history included."""

    active_customers: int
    """How many distinct customers caused an event."""


@dataclass(frozen=True)
class Metric:
    """A named number per period."""

    slug: str
    display_name: str
    type: MetricType
    formula: Callable[[Facts], int]
    """Picocents, or a count where the type is scalar."""

    needs_history: bool = False
    """Whether it takes the costs before the span."""

    needs_customers: bool = False
    """Whether it takes how many customers were active."""


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient, a half rounded to the even neighbour; 0 where the denominator is 0."""
    if denominator == 0:
        return 0
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient % 2):
        quotient += 1
    return quotient


METRICS: Mapping[str, Metric] = {
    metric.slug: metric
    for metric in (
        Metric("costs", "Costs", MetricType.CURRENCY_SUB_CENT, lambda f: f.costs),
        Metric(
            "cumulative_costs",
            "Cumulative Costs",
            MetricType.CURRENCY_SUB_CENT,
            lambda f: f.cumulative_costs,
            needs_history=True,
        ),
        Metric(
            "active_user_by_event",
            "Active User (By event)",
            MetricType.SCALAR,
            lambda f: f.active_customers,
            needs_customers=True,
        ),
        Metric(
            "cost_per_user",
            "Cost Per User",
            MetricType.CURRENCY_SUB_CENT,
            lambda f: divide_half_even(f.costs, f.active_customers),
            needs_customers=True,
        ),
    )
}
"""Every metric, in the order of answers."""
