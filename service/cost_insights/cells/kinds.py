"""Kinds of segments: the cells that a segment holds, and the length of its span."""

import enum
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cost_insights._native.cells import SEGMENT_KINDS, SegmentKind

QUARTER_US = 900_000_000
"""The length of the shortest buckets, a quarter of an hour, in microseconds."""

DAY_QUARTERS = 96
"""The number of quarters of an hour in a UTC day."""


class Kind(enum.IntEnum):
    """The kind of a segment, as the native table `SEGMENT_KINDS` describes it."""

    QUARTERS = 1
    """Everyone's cells of the quarters of an hour of one day."""
    DAYS = 2
    """Everyone's cells of the days of one month."""
    YEARS = 3
    """Everyone's cells of all years."""
    QUARTER_CUSTOMERS = 4
    """The customers active in each quarter of an hour of one day, by series."""
    DAY_CUSTOMERS = 5
    """The customers active on each day of one month, by series."""
    DAY_EVERYONE = 6
    """The customers active on each day of one month."""
    CUSTOMER_QUARTERS = 7
    """Each customer's cells of the quarters of an hour of one month."""
    CUSTOMER_MONTHS = 8
    """Each customer's cells of the months of one year, over all series."""
    CUSTOMER_YEARS = 9
    """Each customer's cells of all years."""
    HOUR_EVERYONE = 10
    """The customers active in each hour of one day."""
    TOKEN_QUARTERS = 11
    """Everyone's cells of tokens of the quarters of an hour of one day."""
    TOKEN_DAYS = 12
    """Everyone's cells of tokens of the days of one month."""
    CUSTOMER_TOKEN_QUARTERS = 13
    """Each customer's cells of tokens of the quarters of an hour of one month."""

    @property
    def layout(self) -> SegmentKind:
        """The contents, the span and the buckets of segments of this kind."""
        return SEGMENT_KINDS[self - 1]


class Needed(NamedTuple):
    """The segments of a kind that a question needs: those of the first to the last span."""

    kind: Kind
    first: int
    last: int


def ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as (first, last) of those that follow each other."""
    for place, number in enumerate(numbers):
        if place == 0 or numbers[place - 1] != number - 1:
            first = number
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            yield first, number
