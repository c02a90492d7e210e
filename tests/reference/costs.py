"""The slow twin: amounts, periods and metrics in the most obviously correct way.

It imports nothing of the product, so that where both agree two independent
computations agree. Amounts are `decimal` values of cents, periods are found by
walking through time and reading the local clock. It knows nothing of requests,
storage or errors but the reason of a refused amount.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

CENTS_MAX = Decimal(9_000_000)
MONEY_CENTS_MAX = Decimal(10**15)
DIGITS_MAX = 17
DECIMALS_MAX = 12
TEXT_BYTES_MAX = 128
PICOCENT = Decimal("1e-12")

HOUR, DAY, WEEK, MONTH, YEAR = INTERVALS = ("hour", "day", "week", "month", "year")

DAYS_MAX = {HOUR: 7, DAY: 366, WEEK: 371, MONTH: 1460, YEAR: 3650}
"""The greatest time between the first and the last day of a span."""

EXACT = Context(prec=200)
"""More digits than any sum here has, so that nothing is ever rounded by the way."""


# Amounts


class RefusedError(ValueError):
    """An amount that is refused; its text is the reason."""


AMOUNT = re.compile(r"[ \t\r\n]*([+-]?)([0-9]*)(\.?)([0-9]*)(?:[eE]([+-]?[0-9]+))?[ \t\r\n]*")


def parse_amount(text: str, cents_max: Decimal = CENTS_MAX) -> Decimal:
    """The cents that a decimal string says, exactly."""
    match = AMOUNT.fullmatch(text)
    if match is None or len(text.encode()) > TEXT_BYTES_MAX or not match[2] + match[4]:
        raise RefusedError("AMOUNT_MALFORMED")
    digits = int(match[2] + match[4])
    if digits == 0:
        return Decimal(0)
    # `decimal` cannot hold any exponent at all, and past 1000 it makes no
    # difference any more: the text has at most 128 digits.
    exponent = max(-1_000, min(1_000, int(match[5] or 0))) - len(match[4])
    while digits % 10 == 0:
        digits //= 10
        exponent += 1
    cents = EXACT.scaleb(Decimal(digits), exponent)
    if cents > cents_max:
        raise RefusedError("AMOUNT_OUT_OF_RANGE")
    if len(str(digits)) > DIGITS_MAX or -exponent > DECIMALS_MAX:
        raise RefusedError("AMOUNT_TOO_PRECISE")
    return -cents if match[1] == "-" else cents


def round_amount(number: float) -> Decimal:
    """The cents that a double means: its shortest decimal form, rounded to 12 decimals."""
    cents = Decimal(repr(number))
    if not cents.is_finite():
        raise RefusedError("AMOUNT_MALFORMED")
    if abs(cents) > CENTS_MAX:
        raise RefusedError("AMOUNT_OUT_OF_RANGE")
    return cents.quantize(PICOCENT, context=EXACT)


def round_digits(number: str) -> Decimal:
    """The cents that a JSON number says, rounded once to 17 digits and 12 decimals."""
    mantissa, _, power = number.lower().partition("e")
    whole, _, decimals = mantissa.lstrip("-").partition(".")
    digits, exponent = int(whole + decimals), int(power or 0) - len(decimals)
    if digits == 0:
        return Decimal(0)
    last = max(exponent + len(str(digits)) - DIGITS_MAX, -DECIMALS_MAX)
    if exponent + len(str(digits)) > 20:
        raise RefusedError("AMOUNT_OUT_OF_RANGE")
    # `round` of a fraction is half-even.
    units = round(Fraction(digits) * Fraction(10) ** (exponent - last))
    cents = EXACT.scaleb(Decimal(units), last)
    if cents > CENTS_MAX:
        raise RefusedError("AMOUNT_OUT_OF_RANGE")
    return -cents if number.startswith("-") else cents


def picocents(cents: Decimal) -> int:
    """The integer that the service keeps of an amount."""
    count = EXACT.scaleb(cents, DECIMALS_MAX)
    assert count == count.to_integral_value(context=EXACT)
    return int(count)


def format_amount(cents: Decimal) -> str:
    """An amount as the service writes it: no exponent, no trailing zeros, no sign of zero."""
    text = format(cents, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def sum_amounts(amounts: Iterable[Decimal]) -> Decimal:
    """The sum on paper."""
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def divide_half_even(cents: Decimal, by: int) -> Decimal:
    """A quotient to 12 decimals, half-even; 0 where there is nothing to divide by."""
    if by == 0:
        return Decimal(0)
    return EXACT.scaleb(Decimal(round(Fraction(picocents(cents), by))), -DECIMALS_MAX)


# Periods

MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Period:
    """A period: its real start in the zone, and the part of it that is inside the span."""

    start: datetime
    lower: datetime
    upper: datetime

    @property
    def timestamp(self) -> str:
        """The start as answers show it."""
        return self.start.isoformat(timespec="seconds")


def midnight(day: date) -> datetime:
    """The start of the day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@lru_cache(maxsize=100_000)
def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant whose local date is that day, or a later one where there is none.

    No local clock is more than 16 hours off UTC, so a walk in quarter hours
    from 16 hours before meets the day; a walk in minutes then finds its start,
    for some clocks change at a minute past midnight.
    """
    instant = midnight(day) - timedelta(hours=16)
    assert instant.astimezone(zone).date() < day
    while instant.astimezone(zone).date() < day:
        instant += QUARTER
    instant -= QUARTER
    while instant.astimezone(zone).date() < day:
        instant += MINUTE
    return instant


def days_between(first: date, last: date) -> list[date]:
    """Every calendar day, both ends included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def hours_between(lower: datetime, upper: datetime, zone: ZoneInfo) -> list[datetime]:
    """The times at which the local clock changes its hour or is set back, minute by minute."""
    starts = [lower]
    instant = lower
    was = lower.astimezone(zone).replace(tzinfo=None)
    while (instant := instant + MINUTE) < upper:
        now = instant.astimezone(zone).replace(tzinfo=None)
        if now < was or (now.hour, now.date()) != (was.hour, was.date()):
            starts.append(instant)
        was = now
    return starts


def is_first(day: date, interval: str) -> bool:
    """Whether a period of that interval starts on that day."""
    return {
        HOUR: True,
        DAY: True,
        WEEK: day.isoweekday() == 1,
        MONTH: day.day == 1,
        YEAR: (day.month, day.day) == (1, 1),
    }[interval]


def periods_of(first: date, last: date, zone: ZoneInfo, interval: str) -> list[Period]:
    """Every period of a span of days, both ends included, in order."""
    lower = start_of_day(first, zone)
    upper = start_of_day(last + timedelta(days=1), zone)
    if interval == HOUR:
        starts = hours_between(lower, upper, zone) if lower < upper else []
    else:
        opening = first
        while not is_first(opening, interval):
            opening -= timedelta(days=1)
        starts = [
            start_of_day(day, zone)
            for day in days_between(opening, last)
            if is_first(day, interval) and day_exists(day, zone, interval)
        ]
    ends = [*starts[1:], upper][: len(starts)]
    return [
        Period(start.astimezone(zone), max(start, lower), min(end, upper))
        for start, end in zip(starts, ends, strict=True)
    ]


def day_exists(day: date, zone: ZoneInfo, interval: str) -> bool:
    """Whether the local calendar has the day; longer periods do not lose their first one."""
    return interval != DAY or start_of_day(day, zone).astimezone(zone).date() == day


def bounds_of(periods: Sequence[Period]) -> list[datetime]:
    """The starts and the last end of periods, which leave no gaps."""
    assert all(one.upper == two.lower for one, two in pairwise(periods))
    return [*(period.lower for period in periods), *(period.upper for period in periods[-1:])]


def whole_bounds_of(
    periods: Sequence[Period], last: date, zone: ZoneInfo, interval: str
) -> list[datetime]:
    """The real starts of periods and the real end of the last one, also outside the span."""
    # In UTC, as times of one zone are compared and subtracted by their local clocks.
    starts = [period.start.astimezone(UTC) for period in periods]
    following = last + timedelta(days=1)
    while not is_first(following, interval):
        following += timedelta(days=1)
    return [*starts, start_of_day(following, zone)][: len(starts) + 1 if starts else 0]


# Metrics


@dataclass(frozen=True)
class Tokens:
    """The tokens that an LLM call says."""

    read: int = 0
    written: int = 0
    total: int = 0
    cached: int | None = None

    @property
    def all(self) -> int:
        """The total, or what is read and written where the call says no total."""
        return self.total or self.read + self.written


@dataclass(frozen=True)
class Event:
    """The parts of an event that metrics depend on."""

    timestamp: datetime
    customer: str
    name: str
    cents: Decimal | None = None
    vendor: str = ""
    model: str = ""
    product: str = ""
    tokens: Tokens = Tokens()


@dataclass(frozen=True)
class Numbers:
    """The metrics of one period, or of a whole span."""

    costs: str
    cumulative_costs: str
    active_user_by_event: int
    cost_per_user: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True)
class Group:
    """The metrics of the events of one value, or of those that have no other group."""

    value: str
    others: bool
    members: int
    periods: tuple[tuple[str, Numbers], ...]
    totals: Numbers


@dataclass(frozen=True)
class Metrics:
    """The answer to one question."""

    periods: tuple[tuple[str, Numbers], ...]
    totals: Numbers
    groups: tuple[Group, ...] = ()


GROUPINGS: dict[str, Callable[[Event], str]] = {
    "event_name": lambda event: event.name,
    "llm_vendor": lambda event: event.vendor,
    "llm_model": lambda event: event.model,
    "customer": lambda event: event.customer,
    "product": lambda event: event.product,
}
"""The dimensions that events can be grouped by."""


def sum_costs(events: Iterable[Event]) -> Decimal:
    """The total cost of the events; one without a cost costs nothing."""
    return sum_amounts(event.cents for event in events if event.cents is not None)


def numbers_of(events: Sequence[Event], cumulative: Decimal) -> Numbers:
    """The metrics of the events of one period."""
    active = len({event.customer for event in events})
    costs = sum_costs(events)
    return Numbers(
        costs=format_amount(costs),
        cumulative_costs=format_amount(cumulative),
        active_user_by_event=active,
        cost_per_user=format_amount(divide_half_even(costs, active)),
        input_tokens=sum(event.tokens.read for event in events),
        cached_input_tokens=sum(event.tokens.cached or 0 for event in events),
        output_tokens=sum(event.tokens.written for event in events),
        total_tokens=sum(event.tokens.all for event in events),
    )


def metrics_of(
    events: Iterable[Event],
    first: date,
    last: date,
    zone: ZoneInfo,
    interval: str,
    *,
    customers: Collection[str] = (),
    names: Collection[str] = (),
    vendors: Collection[str] = (),
    models: Collection[str] = (),
    products: Collection[str] = (),
    group_by: str | None = None,
    groups_max: int = 10,
) -> Metrics:
    """The metrics of `Numbers` of the events of any of these values; an empty list means all."""
    events = [
        event
        for event in events
        if (not customers or event.customer in customers)
        and (not names or event.name in names)
        and (not vendors or event.vendor in vendors)
        and (not models or event.model in models)
        and (not products or event.product in products)
    ]
    periods = periods_of(first, last, zone, interval)
    answer = []
    for period in periods:
        inside = [event for event in events if period.lower <= event.timestamp < period.upper]
        so_far = sum_costs(event for event in events if event.timestamp < period.upper)
        answer.append((period.timestamp, numbers_of(inside, so_far)))
    lower = start_of_day(first, zone)
    upper = start_of_day(last + timedelta(days=1), zone)
    inside = [event for event in events if lower <= event.timestamp < upper]
    so_far = sum_costs(event for event in events if event.timestamp < upper)
    totals = numbers_of(inside, so_far)
    if group_by is None:
        return Metrics(tuple(answer), totals)

    value_of = GROUPINGS[group_by]

    def group(value: str, events: Iterable[Event], *, others: bool, members: int) -> Group:
        metrics = metrics_of(events, first, last, zone, interval)
        return Group(value, others, members, metrics.periods, metrics.totals)

    def cost_of(value: str) -> Decimal:
        return sum_costs(event for event in inside if value_of(event) == value)

    values = sorted({value_of(event) for event in inside}, key=lambda one: (-cost_of(one), one))
    shown = values[:groups_max]
    groups = [
        group(value, [e for e in events if value_of(e) == value], others=False, members=1)
        for value in shown
    ]
    rest = [event for event in events if value_of(event) not in shown]
    before = sum_costs(event for event in rest if event.timestamp < lower)
    if len(values) > len(shown) or before != 0:
        groups.append(group("", rest, others=True, members=len(values) - len(shown)))
    return Metrics(tuple(answer), totals, tuple(groups))
