"""Definitions of metrics by slug: how each follows from facts and other metrics.

Amounts are picocents of usd, percentages are fractions times 10¹², and every formula
works on integers. A formula is applied period by period; the total of a span is the sum
of the periods, the number of the last one, or the formula applied to other totals.
(Source: the metrics of the compatible API.)
"""

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cost_insights.amounts import divide_half_even
from cost_insights.metrics.formulas import (
    difference,
    fraction,
    lifetime_value,
    margin_fraction,
    per_1000,
    times_12,
)
from cost_insights.metrics.sources.facts import COST_SOURCES, FACTS, FactSource, Total


class MetricType(enum.Enum):
    """The unit of a metric."""

    SCALAR = "scalar"
    CURRENCY = "currency"
    CURRENCY_SUB_CENT = "currency_sub_cent"
    PERCENTAGE = "percentage"


@dataclass(frozen=True)
class Metric:
    """A named number per period."""

    slug: str
    display_name: str
    type: MetricType
    """Picocents of a currency, a fraction times 10¹², or a scalar: a count or, if it is a
    quotient, a number times 10¹²."""

    inputs: Sequence[str]
    """Slugs, or facts where no metric other than this one has the name."""

    total: Total | Sequence[str]
    """The way in which the total is computed, or the metrics whose totals the formula is applied
    to."""

    formula: Callable[..., int] | None = None
    """Applied to the inputs of each period; None where the single input is the metric."""

    @functools.cached_property
    def facts(self) -> frozenset[str]:
        """The facts that the metric and its total are computed from."""
        totals = () if isinstance(self.total, Total) else self.total
        return frozenset().union(*(self._facts_of(name) for name in (*self.inputs, *totals)))

    def _facts_of(self, name: str) -> frozenset[str]:
        metric = self.metric_of(name)
        return frozenset({name}) if metric is None else metric.facts

    @functools.cached_property
    def sources(self) -> frozenset[FactSource]:
        """The sources that have to be read for the metric."""
        return frozenset(FACTS[name].source for name in self.facts)

    def metric_of(self, name: str) -> "Metric | None":
        """The metric that an input names; None for a fact."""
        return None if name == self.slug else METRICS.get(name)

    def apply(self, inputs: Sequence[Sequence[int]]) -> Sequence[int]:
        """Applies the formula to columns of the inputs."""
        return inputs[0] if self.formula is None else list(map(self.formula, *inputs))

    @property
    def is_additive(self) -> bool:
        """Whether the numbers of disjoint parts add up to the number of the whole."""
        counts_customers = self.total is Total.DISTINCT or self.slug in _SEAT_CUSTOMERS
        return not counts_customers and self.formula in {None, difference, times_12}

    @property
    def is_count(self) -> bool:
        """Whether its numbers are counts; all others are written with their decimals."""
        return self.type is MetricType.SCALAR and self.formula is not fraction

    @functools.cached_property
    def counts_tokens(self) -> bool:
        """Whether its numbers are counts of tokens."""
        return self.is_count and FactSource.TOKENS in self.sources

    @property
    def is_of_costs_alone(self) -> bool:
        """Whether it is computed from events alone."""
        return self.sources <= COST_SOURCES


def _plain(slug: str, display_name: str, kind: MetricType, fact: str) -> Metric:
    """A metric that is a fact as it is."""
    return Metric(slug, display_name, kind, (fact,), FACTS[fact].total)


_SCALAR, _CURRENCY, _PERCENTAGE = MetricType.SCALAR, MetricType.CURRENCY, MetricType.PERCENTAGE
_SUB_CENT = MetricType.CURRENCY_SUB_CENT

_SEAT_CUSTOMERS = frozenset({"seat_customers", "new_seat_customers", "churned_seat_customers"})
"""Numbers of customers, who may have seats of several products."""

METRICS: Mapping[str, Metric] = {
    metric.slug: metric
    for metric in (
        _plain("costs", "Costs", _SUB_CENT, "costs"),
        _plain("cumulative_costs", "Cumulative Costs", _SUB_CENT, "cumulative_costs"),
        _plain("active_user_by_event", "Active User (By event)", _SCALAR, "customers_by_event"),
        Metric(
            "cost_per_user",
            "Cost Per User",
            _SUB_CENT,
            ("costs", "active_user_by_event"),
            ("costs", "active_user_by_event"),
            divide_half_even,
        ),
        _plain("revenue", "Revenue", _CURRENCY, "revenue"),
        _plain("net_revenue", "Net Revenue", _CURRENCY, "net_revenue"),
        _plain("cumulative_revenue", "Cumulative Revenue", _CURRENCY, "cumulative_revenue"),
        _plain(
            "net_cumulative_revenue",
            "Net Cumulative Revenue",
            _CURRENCY,
            "cumulative_net_revenue",
        ),
        _plain("orders", "Orders", _SCALAR, "orders"),
        Metric(
            "average_order_value",
            "Average Order Value",
            _CURRENCY,
            ("order_revenue", "orders"),
            ("revenue", "orders"),
            divide_half_even,
        ),
        Metric(
            "net_average_order_value",
            "Net Average Order Value",
            _CURRENCY,
            ("order_net_revenue", "orders"),
            ("net_revenue", "orders"),
            divide_half_even,
        ),
        _plain("one_time_products", "One-Time Products", _SCALAR, "one_time_orders"),
        _plain(
            "one_time_products_revenue", "One-Time Products Revenue", _CURRENCY, "one_time_revenue"
        ),
        _plain(
            "one_time_products_net_revenue",
            "One-Time Products Net Revenue",
            _CURRENCY,
            "one_time_net_revenue",
        ),
        _plain("new_subscriptions", "New Subscriptions", _SCALAR, "new_subscriptions"),
        _plain("new_subscriptions_revenue", "New Subscriptions Revenue", _CURRENCY, "new_revenue"),
        _plain(
            "new_subscriptions_net_revenue",
            "New Subscriptions Net Revenue",
            _CURRENCY,
            "new_net_revenue",
        ),
        _plain("renewed_subscriptions", "Renewed Subscriptions", _SCALAR, "renewed_subscriptions"),
        _plain(
            "renewed_subscriptions_revenue",
            "Renewed Subscriptions Revenue",
            _CURRENCY,
            "renewed_revenue",
        ),
        _plain(
            "renewed_subscriptions_net_revenue",
            "Renewed Subscriptions Net Revenue",
            _CURRENCY,
            "renewed_net_revenue",
        ),
        _plain("active_subscriptions", "Active Subscriptions", _SCALAR, "active_subscriptions"),
        _plain(
            "committed_subscriptions",
            "Committed Subscriptions",
            _SCALAR,
            "committed_subscriptions",
        ),
        _plain("monthly_recurring_revenue", "Monthly Recurring Revenue", _CURRENCY, "mrr"),
        _plain(
            "committed_monthly_recurring_revenue",
            "Committed Monthly Recurring Revenue",
            _CURRENCY,
            "committed_mrr",
        ),
        _plain(
            "trial_monthly_recurring_revenue",
            "Trialing MRR Including Cancelations",
            _CURRENCY,
            "trial_mrr",
        ),
        _plain(
            "trial_committed_monthly_recurring_revenue",
            "Trialing Monthly Recurring Revenue",
            _CURRENCY,
            "trial_committed_mrr",
        ),
        Metric(
            "average_revenue_per_user",
            "Average Revenue Per User",
            _CURRENCY,
            ("monthly_recurring_revenue", "active_customers"),
            Total.LAST,
            divide_half_even,
        ),
        Metric(
            "annual_recurring_revenue",
            "Annual Recurring Revenue",
            _CURRENCY,
            ("monthly_recurring_revenue",),
            Total.LAST,
            times_12,
        ),
        Metric(
            "committed_annual_recurring_revenue",
            "Committed Annual Recurring Revenue",
            _CURRENCY,
            ("committed_monthly_recurring_revenue",),
            Total.LAST,
            times_12,
        ),
        _plain("churned_subscriptions", "Churned Subscriptions", _SCALAR, "churned"),
        Metric(
            "churn_rate",
            "Churn Rate",
            _PERCENTAGE,
            ("churn_canceled", "churn_base"),
            Total.LAST,
            fraction,
        ),
        _plain("canceled_subscriptions", "Canceled Subscriptions", _SCALAR, "canceled"),
        *(
            _plain(
                f"canceled_subscriptions_{reason.lower().replace(' ', '_')}",
                f"Canceled Subscriptions - {reason}",
                _SCALAR,
                f"canceled_{reason.lower().replace(' ', '_')}",
            )
            for reason in (
                "Customer Service",
                "Low Quality",
                "Missing Features",
                "Switched Service",
                "Too Complex",
                "Too Expensive",
                "Unused",
                "Other",
            )
        ),
        Metric(
            "ltv",
            "Lifetime Value",
            _CURRENCY,
            ("average_revenue_per_user", "cost_per_user", "churn_rate"),
            Total.LAST,
            lifetime_value,
        ),
        Metric(
            "gross_margin",
            "Gross Margin",
            _CURRENCY,
            ("cumulative_revenue", "cumulative_costs"),
            Total.LAST,
            difference,
        ),
        Metric(
            "gross_margin_percentage",
            "Gross Margin %",
            _PERCENTAGE,
            ("cumulative_revenue", "cumulative_costs"),
            Total.LAST,
            margin_fraction,
        ),
        Metric("cashflow", "Cashflow", _CURRENCY, ("revenue", "costs"), Total.SUM, difference),
        _plain("checkouts", "Checkouts", _SCALAR, "checkouts"),
        _plain("succeeded_checkouts", "Succeeded Checkouts", _SCALAR, "succeeded_checkouts"),
        Metric(
            "checkouts_conversion",
            "Checkouts Conversion Rate",
            _PERCENTAGE,
            ("succeeded_checkouts", "checkouts"),
            ("succeeded_checkouts", "checkouts"),
            fraction,
        ),
        _plain("seats_total", "Seat Count", _SCALAR, "seats_total"),
        _plain("seats_claimed", "Claimed Seats", _SCALAR, "seats_claimed"),
        Metric(
            "seats_pending",
            "Pending Seats",
            _SCALAR,
            ("seats_total", "seats_claimed"),
            Total.LAST,
            difference,
        ),
        _plain("seat_customers", "Active Customers", _SCALAR, "seat_customers"),
        _plain("new_seat_customers", "New Customers", _SCALAR, "new_seat_customers"),
        _plain("churned_seat_customers", "Churned Customers", _SCALAR, "churned_seat_customers"),
        Metric(
            "average_seats_per_customer",
            "Average Seats per Customer",
            _SCALAR,
            ("seats_total", "seat_customers"),
            Total.LAST,
            fraction,
        ),
        Metric(
            "seat_utilization_rate",
            "Seat Utilization Rate",
            _PERCENTAGE,
            ("seats_claimed", "seats_total"),
            Total.LAST,
            fraction,
        ),
        _plain("events", "Events", _SCALAR, "events"),
        _plain("input_tokens", "Input Tokens", _SCALAR, "input_tokens"),
        _plain("cached_input_tokens", "Cached Input Tokens", _SCALAR, "cached_input_tokens"),
        _plain("output_tokens", "Output Tokens", _SCALAR, "output_tokens"),
        _plain("total_tokens", "Total Tokens", _SCALAR, "total_tokens"),
        Metric(
            "cost_per_1000_tokens",
            "Cost Per 1000 Tokens",
            _SUB_CENT,
            ("costs", "total_tokens"),
            ("costs", "total_tokens"),
            per_1000,
        ),
        Metric(
            "cached_share",
            "Cached Share",
            _PERCENTAGE,
            ("cached_input_tokens", "input_tokens"),
            ("cached_input_tokens", "input_tokens"),
            fraction,
        ),
    )
}
"""Every metric, in the order of answers."""
