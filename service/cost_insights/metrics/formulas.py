"""Formulas of metrics: integers in, an integer out.

Amounts are picocents of usd, and fractions are times 10¹². (Source: the metrics of the
compatible API.)
"""

from cost_insights.amounts import ONE_E12, divide_half_even


def fraction(part: int, whole: int) -> int:
    """The part as a fraction of the whole; 0 where the whole is not positive."""
    return divide_half_even(part * ONE_E12, whole) if whole > 0 else 0


def margin_fraction(revenue: int, costs: int) -> int:
    """The margin as a fraction of the revenue; 0 where there is no revenue."""
    return fraction(revenue - costs, revenue)


def lifetime_value(revenue_per_user: int, cost_per_user: int, churn_rate: int) -> int:
    """The margin per user over the churn rate, which is a fraction; never negative."""
    return max(0, divide_half_even((revenue_per_user - cost_per_user) * ONE_E12, churn_rate))


def difference(whole: int, part: int) -> int:
    """The whole less a part, such as revenue less costs."""
    return whole - part


def per_1000(amount: int, count: int) -> int:
    """The amount of a thousand of what is counted; 0 where nothing is."""
    return divide_half_even(1_000 * amount, count)


def times_12(amount: int) -> int:
    """A year of a monthly amount."""
    return 12 * amount
