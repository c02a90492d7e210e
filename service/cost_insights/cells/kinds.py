"""Kinds of segments: the cells that a segment holds, and the length of its span."""

import enum
from typing import NamedTuple


class Kind(enum.IntEnum):
    """The kind of a segment; its `span` is a day, month or year (0 for all time)."""

    QUARTERS = 1
    """Everyone's cells of the quarters of an hour of one day."""
    DAYS = 2
    """Everyone's cells of the days of one month."""
    YEARS = 3
    """Everyone's cells of all years."""
    QUARTER_CUSTOMERS = 4
    """Who was active in each quarter of an hour of one day, by series."""
    DAY_CUSTOMERS = 5
    """Who was active on each day of one month, by series."""
    DAY_EVERYONE = 6
    """Who was active on each day of one month."""
    CUSTOMER_QUARTERS = 7
    """Each customer's cells of the quarters of an hour of one month."""
    CUSTOMER_MONTHS = 8
    """Each customer's cells of the months of one year, over all series."""
    CUSTOMER_YEARS = 9
    """Each customer's cells of all years."""
    HOUR_EVERYONE = 10
    """Who was active in each hour of one day."""


class Needed(NamedTuple):
    """The segments of a kind that a question needs: those of the first to the last span."""

    kind: Kind
    first: int
    last: int
