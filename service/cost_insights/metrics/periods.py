"""Periods: the spans of local time that an answer has a row for.

A period begins at a whole hour, a midnight, a Monday, a first of the month or a
first of January of the asked time zone. What is counted is the span from the
local midnight of the first day to that after the last one, so the first and the
last period may be cut short while their labels stay. (Source: the compatible
API's periods.)

Days before 1973 are not answered: until 1972 a zone was off by seconds, which a
label cannot say. Since then offsets are multiples of a quarter of an hour, but
for Kiritimati's until 1979; some zones have changed their clocks a minute after
midnight, so an hour may begin beside the quarters.
"""

import datetime
import enum
import functools
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass

from cost_insights._native.cells import Cover

DATE_MIN = datetime.date(1973, 1, 1)
DATE_MAX = datetime.date(9998, 12, 31)

_SECOND = datetime.timedelta(seconds=1)
_DAY = datetime.timedelta(days=1)


class Interval(enum.Enum):
    """The length of a period."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True)
class Periods:
    """Consecutive periods that cover a span."""

    bounds_us: tuple[int, ...]
    """Period i counts the times from bound i up to, not including, bound i + 1, in
    microseconds since 1970: none where the span has no day of it that the zone did not
    skip."""

    whole_bounds_us: tuple[int, ...]
    """The bounds that the periods would have if the span cut none of them short."""

    starts: tuple[str, ...]
    """The start of each whole period in the requested zone, even if the span cuts it short, with
    its offset, such as `2026-03-01T00:00:00+01:00`."""

    @functools.cached_property
    def cover(self) -> Cover:
        """The cells that add up to the periods."""
        return Cover(self.bounds_us)


@functools.lru_cache(maxsize=64)
def periods_of(
    start: datetime.date, end: datetime.date, zone: zoneinfo.ZoneInfo, interval: Interval
) -> Periods:
    """The periods of the days from `start` to `end`, both included.

    Those of the last questions are kept: a page that is looked at again and again
    asks for the same ones.
    """
    first = day_start(start, zone)
    last = day_start(end + _DAY, zone)
    if interval is Interval.HOUR:
        instants = list(_hours(first, last, zone))
        end_of_last = last
    else:
        # A date that the zone skipped begins where the next one does, so that a period
        # which begins with it begins there too.
        starts = list(dict.fromkeys(day_start(day, zone) for day in _days(start, end, interval)))
        instants = [instant for instant in starts if instant < last]
        end_of_last = starts[len(instants)]
    bounds = [max(instant, first) for instant in instants] + [last]
    return Periods(
        bounds_us=tuple(bound * 1_000_000 for bound in bounds),
        whole_bounds_us=tuple(bound * 1_000_000 for bound in [*instants, end_of_last]),
        starts=tuple(
            datetime.datetime.fromtimestamp(instant, zone).isoformat() for instant in instants
        ),
    )


def day_start(day: datetime.date, zone: zoneinfo.ZoneInfo) -> int:
    """The first second of a local day, since 1970.

    Where midnight comes twice it is the first one; where the clock jumps over
    midnight it is the moment of the jump.
    """
    midnight = datetime.datetime.combine(day, datetime.time.min, zone)
    instant = _seconds(midnight)
    if datetime.datetime.fromtimestamp(instant, zone).replace(tzinfo=None) == midnight.replace(
        tzinfo=None
    ):
        return instant
    return _transition(_seconds(midnight.replace(fold=1)) - 1, instant, zone)


def _seconds(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // _SECOND


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _transition(before: int, after: int, zone: zoneinfo.ZoneInfo) -> int:
    """The first second in (before, after] with the offset of `after`."""
    offset = _offset(after, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, zone) == offset:
            after = middle
        else:
            before = middle
    return after


def _offset(instant: int, zone: zoneinfo.ZoneInfo) -> int:
    offset = datetime.datetime.fromtimestamp(instant, zone).utcoffset()
    assert offset is not None  # noqa: S101 (an aware time has one)
    return offset // _SECOND


def _hours(first: int, last: int, zone: zoneinfo.ZoneInfo) -> Iterator[int]:
    """Each second at which a new local hour begins, from `first` to before `last`.

    One begins whenever the hour of the local clock changes, and whenever the clock
    is set back, so that the hour which autumn repeats is counted twice.
    """
    instant = first
    while instant < last:
        yield instant
        instant = _next_hour(instant, zone)


def _next_hour(instant: int, zone: zoneinfo.ZoneInfo) -> int:
    offset = _offset(instant, zone)
    while True:
        local = instant + offset
        following = instant + 3_600 - local % 3_600
        if _offset(following, zone) == offset:
            return following
        instant = _transition(instant, following, zone)
        changed = _offset(instant, zone)
        if changed < offset or (instant + changed) // 3_600 != local // 3_600:
            return instant
        offset = changed


def _days(start: datetime.date, end: datetime.date, interval: Interval) -> Iterator[datetime.date]:
    """The first day of each period that has a day of the span, and of the one after them."""
    day = _truncate(start, interval)
    while day <= end:
        yield day
        day = _following(day, interval)
    yield day


def _truncate(day: datetime.date, interval: Interval) -> datetime.date:
    match interval:
        case Interval.WEEK:
            return day - _DAY * day.weekday()
        case Interval.MONTH:
            return day.replace(day=1)
        case Interval.YEAR:
            return day.replace(month=1, day=1)
        case _:
            return day


def _following(day: datetime.date, interval: Interval) -> datetime.date:
    match interval:
        case Interval.WEEK:
            return day + 7 * _DAY
        case Interval.MONTH:
            return (day.replace(day=28) + 4 * _DAY).replace(day=1)
        case Interval.YEAR:
            return day.replace(year=day.year + 1)
        case _:
            return day + _DAY
