"""The spans that each interval allows. (Source: the limits of the compatible API.)"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from cost_insights.metrics.periods import Interval

SUGGESTED_DATE_MIN = datetime.date(2023, 1, 1)
"""The earliest day worth offering in a date picker; earlier ones can be asked for."""


NUMBERS_MAX = 4_000_000
"""The greatest number of numbers in an answer: of its metrics, per period and group. With 16 bytes
each, more than amounts of seventeen digits take on average, it is the largest message that the
client reads."""


@dataclass(frozen=True)
class IntervalLimits:
    """A span's length is its last day minus its first."""

    days_min: int
    """Below it a shorter interval shows more; shorter spans are answered all the same."""

    days_max: int
    """Longer spans are refused."""


LIMITS: Mapping[Interval, IntervalLimits] = {
    Interval.HOUR: IntervalLimits(0, 7),
    Interval.DAY: IntervalLimits(0, 366),
    Interval.WEEK: IntervalLimits(14, 371),
    Interval.MONTH: IntervalLimits(60, 1_460),
    Interval.YEAR: IntervalLimits(366, 3_650),
}
