"""Periods: the same as those found by walking through time, in every zone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.metrics.periods import Interval, Periods, periods_of
from tests.reference import costs as reference
from tests.support.zones import ZONES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATE_MIN = date(1973, 1, 1)
DATE_MAX = date(9998, 12, 31)


def us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def check_span(first: date, last: date, zone: ZoneInfo, interval: str) -> Periods:
    """Compares the periods of a span with those of the slow twin."""
    periods = periods_of(first, last, zone, Interval(interval))
    wanted = reference.periods_of(first, last, zone, interval)
    assert list(periods.starts) == [one.timestamp for one in wanted]
    lower, upper = (
        us(reference.start_of_day(first, zone)),
        us(reference.start_of_day(last + timedelta(days=1), zone)),
    )
    bounds = [us(bound) for bound in reference.bounds_of(wanted)] or [upper]
    assert list(periods.bounds_us) == bounds
    assert periods.bounds_us[-1] == upper
    assert len(periods.starts) + 1 == len(periods.bounds_us)
    if periods.starts:
        assert periods.bounds_us[0] == lower
    return periods


def offset_changes(zone: ZoneInfo, first: date, last: date) -> Iterator[tuple[date, str]]:
    """Days near which the offset changes, each with what kind of change it is."""
    step = timedelta(days=5)
    moment = datetime(first.year, first.month, first.day, 12, tzinfo=UTC)
    end = datetime(last.year, last.month, last.day, 12, tzinfo=UTC)
    before = moment.astimezone(zone).utcoffset()
    while moment < end:
        moment += step
        offset = moment.astimezone(zone).utcoffset()
        if offset != before:
            inside = moment - step
            while inside.astimezone(zone).utcoffset() == before:
                inside += timedelta(hours=1)
            kind = f"{before} {offset} {inside.astimezone(zone).hour}"
            yield inside.astimezone(zone).date(), kind
            before = offset


@cache
def zone_of(name: str) -> ZoneInfo:
    """The zone of a name, loaded once."""
    return ZoneInfo(name)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(8))
def test_every_zone_around_every_kind_of_change(chunk: int) -> None:
    """Around a change of each kind that a zone has ever had, hours and days are right."""
    checked = 0
    for name in ZONES[chunk::8]:
        zone = zone_of(name)
        kinds: dict[str, date] = {}
        for day, kind in offset_changes(zone, DATE_MIN, date(2038, 1, 1)):
            kinds.setdefault(kind, day)
        for day in [*kinds.values(), date(2026, 6, 15)]:
            for interval in (reference.HOUR, reference.DAY):
                first = max(DATE_MIN, day - timedelta(days=1))
                check_span(first, day + timedelta(days=1), zone, interval)
                checked += 1
    assert checked > 2 * len(ZONES) / 8


@pytest.mark.slow
@pytest.mark.parametrize("interval", reference.INTERVALS)
def test_every_zone_over_a_long_span(interval: str) -> None:
    """In every zone a long span around a change of the clock has the right periods."""
    for number, name in enumerate(ZONES):
        zone = zone_of(name)
        changes = list(offset_changes(zone, date(2005, 1, 1), date(2012, 1, 1)))
        day = changes[number % len(changes)][0] if changes else date(2008, 2, 29)
        # A walk through each minute of a week, or each day of a year, is slow.
        days = {reference.HOUR: 2, reference.DAY: 60}.get(interval, reference.DAYS_MAX[interval])
        first = day - timedelta(days=days // 2)
        check_span(first, first + timedelta(days=days), zone, interval)


@given(
    zone=st.sampled_from(ZONES).map(zone_of),
    interval=st.sampled_from(reference.INTERVALS),
    first=st.one_of(
        st.dates(DATE_MIN, date(2040, 1, 1)),
        st.dates(DATE_MIN, DATE_MAX),
        st.just(DATE_MIN),
    ),
    share=st.floats(0, 1),
)
def test_random_spans(zone: ZoneInfo, interval: str, first: date, share: float) -> None:
    """A span of any length in any zone has the right periods."""
    days_max = min(reference.DAYS_MAX[interval], (DATE_MAX - first).days)
    check_span(first, first + timedelta(days=int(share * days_max)), zone, interval)


@given(
    zone=st.sampled_from(ZONES).map(zone_of),
    interval=st.sampled_from(reference.INTERVALS),
    first=st.dates(DATE_MIN, date(2100, 1, 1)),
    days=st.integers(0, 7),
)
def test_periods_cover_the_span_without_gaps(
    zone: ZoneInfo, interval: str, first: date, days: int
) -> None:
    """Bounds ascend, labels are in the asked zone, and no hour is longer than 60 minutes."""
    periods = periods_of(first, first + timedelta(days=days), zone, Interval(interval))
    assert list(periods.bounds_us) == sorted(periods.bounds_us)
    for label in periods.starts:
        start = datetime.fromisoformat(label)
        assert start.utcoffset() == start.astimezone(zone).utcoffset()
    if interval == reference.HOUR:
        lengths = [after - before for before, after in pairwise(periods.bounds_us)]
        assert all(0 < length <= 3_600_000_000 for length in lengths)


def labels(first: date, last: date, zone: str, interval: str) -> list[str]:
    """The timestamps of the periods of a span."""
    return list(check_span(first, last, ZoneInfo(zone), interval).starts)


def lengths_minutes(first: date, last: date, zone: str, interval: str) -> list[int]:
    """The length of each period of a span."""
    bounds = check_span(first, last, ZoneInfo(zone), interval).bounds_us
    return [(after - before) // 60_000_000 for before, after in pairwise(bounds)]


def test_days_of_23_and_25_hours() -> None:
    """A day on which the clock is changed is an hour shorter or longer."""
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    assert lengths_minutes(spring, spring, "Europe/Berlin", "day") == [23 * 60]
    assert lengths_minutes(autumn, autumn, "Europe/Berlin", "day") == [25 * 60]
    assert labels(date(2026, 10, 24), date(2026, 10, 26), "Europe/Berlin", "day") == [
        "2026-10-24T00:00:00+02:00",
        "2026-10-25T00:00:00+02:00",
        "2026-10-26T00:00:00+01:00",
    ]


def test_the_repeated_hour_is_a_period_of_its_own() -> None:
    """In autumn the hour from 2 to 3 is there twice, told apart by its offset."""
    found = labels(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin", "hour")
    assert len(found) == 25
    assert found[1:5] == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]
    assert len(labels(date(2026, 3, 29), date(2026, 3, 29), "Europe/Berlin", "hour")) == 23


@pytest.mark.parametrize(
    ("zone", "offset"),
    [
        ("Asia/Kolkata", "+05:30"),
        ("Asia/Kathmandu", "+05:45"),
        ("Australia/Eucla", "+08:45"),
        ("America/St_Johns", "-03:30"),
        ("Pacific/Chatham", "+13:45"),
        ("UTC", "+00:00"),
    ],
)
def test_zones_off_the_hour(zone: str, offset: str) -> None:
    """Hours and days of a zone at :30 or :45 begin at its own whole hours."""
    day = date(2026, 11, 23)
    assert labels(day, day, zone, "day") == [f"2026-11-23T00:00:00{offset}"]
    hours = labels(day, day, zone, "hour")
    assert hours == [f"2026-11-23T{hour:02}:00:00{offset}" for hour in range(24)]


def test_lord_howe_changes_by_half_an_hour() -> None:
    """The clock of Lord Howe is set back by 30 minutes: that half hour is a period of its own."""
    day = date(2026, 4, 5)
    assert lengths_minutes(day, day, "Australia/Lord_Howe", "hour")[:4] == [60, 60, 30, 60]
    assert labels(day, day, "Australia/Lord_Howe", "hour")[1:4] == [
        "2026-04-05T01:00:00+11:00",
        "2026-04-05T01:30:00+10:30",
        "2026-04-05T02:00:00+10:30",
    ]
    assert lengths_minutes(day, day, "Australia/Lord_Howe", "day") == [24 * 60 + 30]


def test_apia_skipped_a_day() -> None:
    """The 30th of December 2011, which Samoa never had, is no period."""
    found = labels(date(2011, 12, 29), date(2011, 12, 31), "Pacific/Apia", "day")
    assert found == ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"]
    skipped = date(2011, 12, 30)
    assert labels(skipped, skipped, "Pacific/Apia", "day") == []
    assert labels(skipped, skipped, "Pacific/Apia", "hour") == []
    assert labels(skipped, date(2011, 12, 31), "Pacific/Apia", "day") == [
        "2011-12-31T00:00:00+14:00"
    ]


def test_midnight_that_comes_twice_or_never() -> None:
    """A day starts at its first midnight, or at the jump where it has none."""
    # In Havana the clock goes from 1:00 back to 0:00.
    assert lengths_minutes(date(2026, 11, 1), date(2026, 11, 1), "America/Havana", "day") == [1500]
    # In Cairo it goes from 0:00 to 1:00.
    day = date(2026, 4, 24)
    assert labels(day, day, "Africa/Cairo", "day") == ["2026-04-24T01:00:00+03:00"]
    # In St. John's it went from 0:01 back to 23:01 of the day before.
    assert labels(date(2005, 10, 29), date(2005, 10, 30), "America/St_Johns", "day") == [
        "2005-10-29T00:00:00-02:30",
        "2005-10-30T00:00:00-02:30",
    ]


def test_weeks_start_on_monday_and_first_periods_are_cut() -> None:
    """The first week, month and year begin before the span; only the part inside counts."""
    wednesday, friday = date(2026, 11, 25), date(2026, 12, 4)
    assert labels(wednesday, friday, "UTC", "week") == [
        "2026-11-23T00:00:00+00:00",
        "2026-11-30T00:00:00+00:00",
    ]
    assert lengths_minutes(wednesday, friday, "UTC", "week") == [5 * 1440, 5 * 1440]
    assert labels(wednesday, friday, "UTC", "month") == [
        "2026-11-01T00:00:00+00:00",
        "2026-12-01T00:00:00+00:00",
    ]
    assert lengths_minutes(wednesday, friday, "UTC", "month") == [6 * 1440, 4 * 1440]
    assert labels(wednesday, friday, "UTC", "year") == ["2026-01-01T00:00:00+00:00"]
    assert lengths_minutes(wednesday, friday, "UTC", "year") == [10 * 1440]


def test_the_first_and_last_days_that_are_answered() -> None:
    """The calendar can be asked from 1973-01-01 to 9998-12-31, in every zone."""
    for name in ("Pacific/Kiritimati", "Etc/GMT+12", "UTC"):
        for interval in reference.INTERVALS:
            check_span(DATE_MIN, DATE_MIN, ZoneInfo(name), interval)
            check_span(DATE_MAX, DATE_MAX, ZoneInfo(name), interval)
