"""Metrics asked over a real socket: numbers, filters and limits."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest

from cost_insights.v1 import metrics_service_pb2
from tests.reference import costs as reference
from tests.reference.costs import Tokens
from tests.support.events import event
from tests.support.facts import sent_call
from tests.support.service import Caller, refused
from tests.support.vectors import vectors

SLUGS = [field.name for field in metrics_service_pb2.MetricsPeriod.DESCRIPTOR.fields][1:]
"""Every metric, in the order of answers."""


def rows(answer: metrics_service_pb2.GetMetricsResponse) -> list[tuple[str, str, str, int, str]]:
    """The numbers of each period."""
    return [
        (
            period.timestamp,
            period.costs,
            period.cumulative_costs,
            period.active_user_by_event,
            period.cost_per_user,
        )
        for period in answer.periods
    ]


def totals(answer: metrics_service_pb2.GetMetricsResponse) -> tuple[str, str, int, str]:
    """The numbers of the whole span."""
    one = answer.totals
    return (one.costs, one.cumulative_costs, one.active_user_by_event, one.cost_per_user)


def test_four_metrics_by_day(caller: Caller) -> None:
    """Costs, what they add up to, who was active, and costs per active customer."""
    caller.ingest(
        event("2026-10-31T23:59:59.999999Z", "100", "old"),
        event("2026-11-01T00:00:00Z", "1", "c1"),
        event("2026-11-01T12:00:00Z", "2.5", "c2"),
        event("2026-11-01T12:00:00Z", None, "c3"),
        event("2026-11-03T23:59:59.999999Z", "-0.5", "c1"),
        event("2026-11-04T00:00:00Z", "1000", "new"),
    )
    answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-03")
    assert rows(answer) == [
        ("2026-11-01T00:00:00+00:00", "3.5", "103.5", 3, "1.166666666667"),
        ("2026-11-02T00:00:00+00:00", "0", "103.5", 0, "0"),
        ("2026-11-03T00:00:00+00:00", "-0.5", "103", 1, "-0.5"),
    ]
    # c1 was active on two days and is one customer of the span.
    assert totals(answer) == ("3", "103", 3, "1")
    assert [(one.slug, one.display_name, one.type) for one in answer.metrics][:4] == [
        ("costs", "Costs", metrics_service_pb2.METRIC_TYPE_CURRENCY_SUB_CENT),
        ("cumulative_costs", "Cumulative Costs", metrics_service_pb2.METRIC_TYPE_CURRENCY_SUB_CENT),
        (
            "active_user_by_event",
            "Active User (By event)",
            metrics_service_pb2.METRIC_TYPE_SCALAR,
        ),
        ("cost_per_user", "Cost Per User", metrics_service_pb2.METRIC_TYPE_CURRENCY_SUB_CENT),
    ]


@pytest.mark.parametrize(
    ("cost", "customers", "each"),
    [
        ("0.000000000001", 2, "0"),
        ("0.000000000003", 2, "0.000000000002"),
        ("0.000000000005", 2, "0.000000000002"),
        ("-0.000000000003", 2, "-0.000000000002"),
        ("-0.000000000001", 2, "0"),
        ("-0.000000000001", 3, "0"),
        ("2", 3, "0.666666666667"),
        ("-2", 3, "-0.666666666667"),
        ("1", 7, "0.142857142857"),
    ],
)
def test_cost_per_user_is_rounded_half_even(
    caller: Caller, cost: str, customers: int, each: str
) -> None:
    """A cost per user has 12 decimals; a half goes to the even neighbour, on either side of 0."""
    time = "2026-11-01T00:00:00Z"
    caller.ingest(
        event(time, cost, "c0"), *[event(time, None, f"c{n}") for n in range(1, customers)]
    )
    answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-01")
    assert answer.periods[0].cost_per_user == answer.totals.cost_per_user == each


def test_metrics_are_those_of_the_compatible_api(caller: Caller) -> None:
    """Each slug of that API is answered, with its name and its type there, and behind them those of
    this service alone."""
    answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-01")
    found = [
        {
            "slug": one.slug,
            "display_name": one.display_name,
            "type": metrics_service_pb2.MetricType.Name(one.type)
            .removeprefix("METRIC_TYPE_")
            .lower(),
        }
        for one in answer.metrics
    ]
    known = [case.values[0] for case in vectors("metrics.jsonl")]
    assert len(known) == 55
    assert [{**one, "why": one["slug"]} for one in found[:55]] == known
    assert [(one["slug"], one["type"]) for one in found[55:]] == [
        ("events", "scalar"),
        ("input_tokens", "scalar"),
        ("cached_input_tokens", "scalar"),
        ("output_tokens", "scalar"),
        ("total_tokens", "scalar"),
        ("cost_per_1000_tokens", "currency_sub_cent"),
        ("cached_share", "percentage"),
    ]


def test_tokens(caller: Caller) -> None:
    """Tokens add up, per period, in total and by group, in every order; a call that says no total
    has those of its parts, and a sum that no field holds is the greatest that one holds."""
    calls = [
        ("2026-11-01T10:00:00Z", "2", "small", Tokens(1_000, 200, 0, 250)),
        ("2026-11-02T10:00:00Z", "1", "small", Tokens(500, 100, 800)),
        ("2026-11-02T11:00:00Z", "30", "large", Tokens(4_000, 0, 4_000, 4_000)),
    ]
    caller.ingest(
        *(
            event(at, cost, llm=sent_call("openai", model, tokens))
            for at, cost, model, tokens in calls
        ),
        event("2026-11-02T12:00:00Z", "7"),
    )
    slugs = SLUGS[56:]
    span = {"start_date": "2026-11-01", "end_date": "2026-11-03", "metrics": slugs}

    def numbers(one: Any) -> list[Any]:
        return [getattr(one, slug) for slug in slugs]

    answer = caller.get_metrics(**span, group_by="GROUP_BY_LLM_MODEL", order_by="total_tokens")
    assert [numbers(one) for one in answer.periods] == [
        [1_000, 250, 200, 1_200, "1.666666666667", "0.25"],
        [4_500, 4_000, 100, 4_800, "7.916666666667", "0.888888888889"],
        [0, 0, 0, 0, "0", "0"],
    ]
    assert numbers(answer.totals) == [5_500, 4_250, 300, 6_000, "6.666666666667", "0.772727272727"]
    assert [(one.value, *numbers(one.totals)) for one in answer.groups] == [
        ("large", 4_000, 4_000, 0, 4_000, "7.5", "1"),
        ("small", 1_500, 250, 300, 2_000, "1.5", "0.166666666667"),
        ("", 0, 0, 0, 0, "0", "0"),
    ]
    for order_by, first in [
        ("cost_per_1000_tokens desc", "large"),
        ("output_tokens", "small"),
        ("cached_share asc", ""),
    ]:
        groups = caller.get_metrics(
            **span, group_by="GROUP_BY_LLM_MODEL", order_by=order_by, groups_max=1
        ).groups
        assert groups[0].value == first, order_by
        assert sum(one.totals.total_tokens for one in groups) == 6_000
    call = sent_call("openai", "huge", Tokens(2**53))
    caller.ingest(*[event("2026-11-02T11:00:00Z", "1", "c2", llm=call)] * 1_000)
    caller.ingest(*[event("2026-11-02T11:00:00Z", "1", "c2", llm=call)] * 1_000)
    for group_by in ("GROUP_BY_UNSPECIFIED", "GROUP_BY_CUSTOMER"):
        totals_ = caller.get_metrics(**span, group_by=group_by).totals
        assert (totals_.input_tokens, totals_.output_tokens) == (2**63 - 1, 300)


def test_nothing_at_all(caller: Caller) -> None:
    """Without anything every period is there, with every metric, all of them zeros."""
    answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-30")
    assert len(answer.periods) == 30
    assert [metric.slug for metric in answer.metrics] == SLUGS
    for numbers in (*answer.periods, answer.totals):
        assert all(numbers.HasField(slug) for slug in SLUGS)
        assert {str(getattr(numbers, slug)) for slug in SLUGS} == {"0"}
    assert {row[1:] for row in rows(answer)} == {("0", "0", 0, "0")}
    assert totals(answer) == ("0", "0", 0, "0")


def test_periods_are_local(caller: Caller) -> None:
    """In Berlin the 25th of October 2026 begins at 22:00 UTC and has 25 hours."""
    caller.ingest(
        event("2026-10-24T21:59:59.999999Z", "1"),
        event("2026-10-24T22:00:00Z", "10"),
        event("2026-10-25T00:30:00Z", "100"),  # 2:30 in summer
        event("2026-10-25T01:30:00Z", "1000"),  # 2:30 in winter
        event("2026-10-25T22:59:59.999999Z", "10000"),
        event("2026-10-25T23:00:00Z", "100000"),
    )
    asked = {"timezone": "Europe/Berlin", "start_date": "2026-10-25", "end_date": "2026-10-25"}
    answer = caller.get_metrics(**asked)
    assert [row[:3] for row in rows(answer)] == [("2026-10-25T00:00:00+02:00", "11110", "11111")]
    answer = caller.get_metrics(**asked, interval="INTERVAL_HOUR")
    costs = {row[0]: row[1] for row in rows(answer) if row[1] != "0"}
    assert len(answer.periods) == 25
    assert costs == {
        "2026-10-25T00:00:00+02:00": "10",
        "2026-10-25T02:00:00+02:00": "100",
        "2026-10-25T02:00:00+01:00": "1000",
        "2026-10-25T23:00:00+01:00": "10000",
    }


def test_the_first_period_is_cut(caller: Caller) -> None:
    """A week that begins before the span counts only from its first day on."""
    caller.ingest(
        event("2026-09-22T23:59:59Z", "1"),
        event("2026-09-23T00:00:00Z", "10"),
        event("2026-09-21T00:00:00Z", "100"),
    )
    answer = caller.get_metrics(
        start_date="2026-09-23", end_date="2026-10-07", interval="INTERVAL_WEEK"
    )
    assert [row[:3] for row in rows(answer)] == [
        ("2026-09-21T00:00:00+00:00", "10", "111"),
        ("2026-09-28T00:00:00+00:00", "0", "111"),
        ("2026-10-05T00:00:00+00:00", "0", "111"),
    ]


def test_a_day_that_a_zone_skipped(caller: Caller) -> None:
    """A span that a zone never had has no periods, and its totals are of history alone."""
    caller.ingest(event("2011-12-30T09:59:59Z", "1"), event("2011-12-30T10:00:00Z", "10"))
    answer = caller.get_metrics(
        start_date="2011-12-30", end_date="2011-12-30", timezone="Pacific/Apia"
    )
    assert len(answer.periods) == 0
    assert totals(answer) == ("0", "1", 0, "0")


FILTERS: list[tuple[dict[str, Any], str, str, int]] = [
    ({}, "1111", "11111", 3),
    ({"external_customer_ids": ["c1"]}, "11", "10011", 1),
    ({"customer_ids": ["c1"]}, "11", "10011", 1),
    ({"external_customer_ids": ["c1", "c2", "nobody"]}, "111", "10111", 2),
    ({"customer_ids": ["c3"], "external_customer_ids": ["c2"]}, "1100", "1100", 2),
    ({"external_customer_ids": ["nobody"]}, "0", "0", 0),
    ({"event_names": ["a"]}, "101", "101", 2),
    ({"event_names": ["a", "b"]}, "1111", "11111", 3),
    ({"event_names": ["nothing"]}, "0", "0", 0),
    ({"event_names": ["b"], "external_customer_ids": ["c1"]}, "10", "10010", 1),
    ({"llm_vendors": ["v"]}, "100", "100", 1),
    ({"llm_models": ["m", "n"]}, "100", "100", 1),
    ({"llm_vendors": [""]}, "1011", "11011", 2),
    ({"llm_models": ["", "m"]}, "1111", "11111", 3),
    ({"llm_vendors": ["v"], "llm_models": [""]}, "0", "0", 0),
    ({"llm_vendors": ["m"]}, "0", "0", 0),
    ({"llm_vendors": [""], "event_names": ["b"], "customer_ids": ["c1"]}, "10", "10010", 1),
]


@pytest.mark.parametrize(("filters", "costs", "cumulative", "active"), FILTERS, ids=str)
def test_filters(
    caller: Caller, filters: dict[str, Any], costs: str, cumulative: str, active: int
) -> None:
    """Filters apply to every metric, to history as well."""
    caller.ingest(
        event("2026-11-02T00:00:00Z", "1", "c1", "a"),
        event("2026-11-02T00:00:00Z", "10", "c1", "b"),
        event("2026-11-02T00:00:00Z", "100", "c2", "a", llm={"vendor": "v", "model": "m"}),
        event("2026-11-02T00:00:00Z", "1000", "c3", "b", product_id="p"),
        event("2026-11-01T00:00:00Z", "10000", "c1", "b"),
    )
    answer = caller.get_metrics(start_date="2026-11-02", end_date="2026-11-02", **filters)
    assert totals(answer)[:3] == (costs, cumulative, active)


def test_customers_by_our_id(caller: Caller) -> None:
    """A customer is found by our id; one that does not exist has no costs."""
    caller.ingest(
        event("2026-11-02T00:00:00Z", "1", "c1"), event("2026-11-02T00:00:00Z", "2", "c2")
    )
    (first,) = caller.list_events(external_customer_ids=["c1"])
    span = {"start_date": "2026-11-02", "end_date": "2026-11-02"}
    for ids in ([first.customer_id], [first.customer_id.upper()]):
        assert caller.get_metrics(**span, customer_ids=ids).totals.costs == "1"
    unknown = ["1dbfc517-0bbf-4301-9ba8-555ca42b9737"]
    assert caller.get_metrics(**span, customer_ids=unknown).totals.costs == "0"


@pytest.mark.parametrize(
    "slugs",
    [
        ["costs"],
        ["cumulative_costs"],
        ["active_user_by_event"],
        ["cost_per_user"],
        ["cost_per_user", "costs", "costs"],
    ],
    ids=",".join,
)
def test_only_what_was_asked_is_answered(caller: Caller, slugs: list[str]) -> None:
    """A metric that was not asked for is absent; one asked for alone is right."""
    caller.ingest(
        event("2026-11-01T00:00:00Z", "1"),
        event("2026-11-02T00:00:00Z", "4", "c1"),
        event("2026-11-02T00:00:00Z", "4", "c2"),
    )
    answer = caller.get_metrics(start_date="2026-11-02", end_date="2026-11-02", metrics=slugs)
    wanted = {
        "costs": "8",
        "cumulative_costs": "9",
        "active_user_by_event": 2,
        "cost_per_user": "4",
    }
    for numbers in (*answer.periods, answer.totals):
        found = {
            descriptor.name: value
            for descriptor, value in numbers.ListFields()
            if descriptor.name != "timestamp"
        }
        assert found == {slug: wanted[slug] for slug in slugs}
    assert [one.slug for one in answer.metrics] == [slug for slug in wanted if slug in slugs]


def test_an_answer_holds_what_was_just_acknowledged(caller: Caller) -> None:
    """The very next answer contains an event that was acknowledged."""
    for count in range(1, 20):
        caller.ingest(event("2026-11-01T00:00:00Z", "0.1"))
        answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-01")
        wanted = reference.format_amount(Decimal(count) / 10)
        assert answer.totals.costs == wanted


INTERVALS = list(reference.DAYS_MAX)


def interval_name(interval: str) -> str:
    """The name of an interval in the contract."""
    return f"INTERVAL_{interval.upper()}"


def test_limits_are_the_documented_ones(caller: Caller) -> None:
    """The limits are those of the compatible API."""
    answer = caller.get_limits()
    assert answer.min_date == "2023-01-01"
    assert [
        (metrics_service_pb2.Interval.Name(one.interval), one.min_days, one.max_days)
        for one in answer.intervals
    ] == [
        ("INTERVAL_HOUR", 0, 7),
        ("INTERVAL_DAY", 0, 366),
        ("INTERVAL_WEEK", 14, 371),
        ("INTERVAL_MONTH", 60, 1460),
        ("INTERVAL_YEAR", 366, 3650),
    ]


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_span_may_be_as_long_as_its_limit(caller: Caller, interval: str) -> None:
    """The longest span is answered; one day more names the limit and what would fit."""
    start = date(2016, 1, 1)
    days_max = reference.DAYS_MAX[interval]
    name = interval_name(interval)
    longest = start + timedelta(days=days_max)
    answer = caller.get_metrics(start_date=str(start), end_date=str(longest), interval=name)
    assert answer.periods
    longer = longest + timedelta(days=1)
    with refused("SPAN_TOO_LONG") as call:
        caller.get_metrics(start_date=str(start), end_date=str(longer), interval=name)
    fits = [one for one in INTERVALS if reference.DAYS_MAX[one] > days_max]
    assert call.refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.refusal.facts == {
        "path": "interval",
        "value": interval,
        "days": str(days_max + 1),
        "days_max": str(days_max),
        "fits": ", ".join(fits),
    }
    words = f"{', '.join(fits)} would fit" if fits else "no interval allows so many"
    assert call.refusal.message == (
        f"interval: {start} to {longer} are {days_max + 1} days apart; the interval {interval} "
        f"allows {days_max}; {words}"
    )


def test_a_short_span_is_answered_with_any_interval(caller: Caller) -> None:
    """The lower limits are advice: one day can be asked by the year."""
    for interval in INTERVALS:
        answer = caller.get_metrics(
            start_date="2026-11-02", end_date="2026-11-02", interval=interval_name(interval)
        )
        assert len(answer.periods) == (24 if interval == reference.HOUR else 1)


def test_no_interval_means_a_day(caller: Caller) -> None:
    """Without interval and zone the periods are days in UTC."""
    answer = caller.get_metrics(start_date="2026-11-01", end_date="2026-11-02")
    assert [period.timestamp for period in answer.periods] == [
        "2026-11-01T00:00:00+00:00",
        "2026-11-02T00:00:00+00:00",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-30",
        "2026-13-01",
        "2026-1-01",
        "2026-11-1",
        "2026-11- 3",
        " 2026-11-1",
        "26-11-2023",
        "2026/11/23",
        "20261123",
        "2026-W48-1",
        "2026-11-23T00:00:00Z",
        "２０２６-11-23",
        "1972-12-31",
        "9999-01-01",
        "0000-01-01",
        "today",
        "-2026-11-2",
        "2026-11-23\n",
        "\0",
        "x" * 10_000,
    ],
)
def test_dates_are_written_one_way(caller: Caller, text: str) -> None:
    """A date is YYYY-MM-DD from 1973-01-01 to 9998-12-31 and nothing else."""
    with refused("DATE_INVALID") as call:
        caller.get_metrics(start_date=text, end_date="2026-11-23")
    assert call.refusal.paths == ["start_date"]
    assert call.refusal.facts["min"] == "1973-01-01"
    assert call.refusal.facts["max"] == "9998-12-31"
    with refused("DATE_INVALID") as call:
        caller.get_metrics(start_date="2026-11-23", end_date=text)
    assert call.refusal.paths == ["end_date"]


def test_the_ends_of_the_calendar(caller: Caller) -> None:
    """The first and the last day are answered in the zones furthest from UTC."""
    for zone in ("Etc/GMT+12", "Pacific/Kiritimati", "UTC"):
        for day in ("1973-01-01", "9998-12-31"):
            for interval in INTERVALS:
                caller.get_metrics(
                    start_date=day, end_date=day, timezone=zone, interval=interval_name(interval)
                )


def test_a_span_that_ends_before_it_starts(caller: Caller) -> None:
    """A reversed span is refused as such."""
    with refused("SPAN_REVERSED") as call:
        caller.get_metrics(start_date="2026-02-01", end_date="2026-01-01")
    assert call.refusal.facts == {"path": "end_date", "value": "2026-01-01", "min": "2026-02-01"}
    assert call.refusal.message == "end_date: 2026-01-01 is before the start_date 2026-02-01"


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Berln",
        "europe/berlin",
        "localtime",
        "posixrules",
        "posix/Europe/Berlin",
        "right/UTC",
        "Factory",
        "tzdata.zi",
        "+02:00",
        "/etc/passwd",
        "../UTC",
        "a\0b",
        "x" * 10_000,
        "🤖",
    ],
)
def test_zones_are_those_of_the_iana_database(caller: Caller, zone: str) -> None:
    """A zone that does not exist is refused, with those that have a similar name."""
    with refused("TIMEZONE_UNKNOWN") as call:
        caller.get_metrics(start_date="2026-11-01", end_date="2026-11-02", timezone=zone)
    assert call.refusal.paths == ["timezone"]
    if zone == "Europe/Berln":
        assert call.refusal.facts["similar"].startswith("Europe/Berlin")
        assert "Europe/Berlin" in call.refusal.message


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("GMT+5", "; Etc/GMT-5 is 5 hours ahead of UTC, with this sign"),
        ("UTC-03", "; Etc/GMT+3 is 3 hours behind UTC, with this sign"),
        ("Etc/GMT+14", "; Etc/GMT-14 is 14 hours ahead of UTC, with this sign"),
        ("GMT+5:30", ""),
        ("GMT+99", ""),
    ],
)
def test_a_zone_of_whole_hours_is_told_with_its_sign(caller: Caller, zone: str, hint: str) -> None:
    """The database writes GMT-5 for what everybody else calls GMT+5."""
    with refused("TIMEZONE_UNKNOWN") as call:
        caller.get_metrics(start_date="2026-11-01", end_date="2026-11-02", timezone=zone)
    assert call.refusal.message.endswith(hint)
    assert ("with this sign" in call.refusal.message) == bool(hint)


def test_unknown_metrics_and_intervals(caller: Caller) -> None:
    """A slug or an interval that does not exist is refused, naming those that do."""
    span = {"start_date": "2026-11-01", "end_date": "2026-11-02"}
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**span, metrics=["costs", "cost"])
    assert call.refusal.message == "metrics[1]: there is no metric 'cost'; did you mean costs?"
    assert call.refusal.facts == {"path": "metrics[1]", "value": "cost", "similar": "costs"}
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**span, metrics=["?"])
    assert call.refusal.message == (
        "metrics[0]: there is no metric '?'; a request without metrics is answered with all 62"
    )
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**span, interval=99)
    allowed = "INTERVAL_HOUR, INTERVAL_DAY, INTERVAL_WEEK, INTERVAL_MONTH, INTERVAL_YEAR"
    assert call.refusal.message == f"interval: 99 is not an interval; allowed are {allowed}"
    assert call.refusal.facts == {"path": "interval", "value": "99", "allowed": allowed}
    with refused("TOO_MANY_VALUES") as call:
        caller.get_metrics(**span, metrics=["costs"] * 101)
    assert call.refusal.paths == ["metrics"]


@pytest.mark.parametrize(
    ("field", "chars_max"),
    [
        ("customer_ids", 256),
        ("external_customer_ids", 256),
        ("event_names", 128),
        ("llm_vendors", 128),
        ("llm_models", 128),
        ("product_ids", 128),
    ],
)
def test_filters_are_bounded(caller: Caller, field: str, chars_max: int) -> None:
    """A filter takes a thousand texts, as long as stored ones can be; past that it says so."""
    span = {"start_date": "2026-11-01", "end_date": "2026-11-02"}
    most: dict[str, Any] = {field: ["ü" * chars_max] * 1_000}
    assert caller.get_metrics(**span, **most).totals.costs == "0"
    too_many: dict[str, Any] = {field: ["x"] * 1_001}
    with refused("TOO_MANY_VALUES") as call:
        caller.get_metrics(**span, **too_many)
    assert call.refusal.message == f"{field}: there are 1001 values; at most 1000 are allowed"
    assert call.refusal.facts == {"path": field, "value": "1001", "values_max": "1000"}
    too_long: dict[str, Any] = {field: ["x", "ü" * (chars_max + 1)]}
    with refused("TEXT_TOO_LONG") as call:
        caller.get_metrics(**span, **too_long)
    assert call.refusal.message == (
        f"{field}[1]: the text has {chars_max + 1} characters; at most {chars_max} are allowed"
    )
    with refused("TEXT_MALFORMED") as call:
        caller.get_metrics(**span, **dict[str, Any]({field: ["a\0b"]}))
    assert call.refusal.message == (
        f"{field}[0]: the text holds the character U+0000, which no stored text holds"
    )


def test_orders_of_groups_are_checked(caller: Caller) -> None:
    """An order names a metric that the groups have, and a direction; all else is refused."""
    asked = {"start_date": "2026-11-01", "end_date": "2026-11-02", "group_by": "GROUP_BY_CUSTOMER"}
    for order in ("", "costs", "gross_margin desc", "ltv  asc "):
        assert not caller.get_metrics(**asked, order_by=order).groups
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**asked, order_by="margin asc")
    assert call.refusal.message == (
        "order_by: there is no metric 'margin'; did you mean gross_margin?"
    )
    for order in ("costs up", "costs desc, revenue"):
        with refused("VALUE_UNKNOWN") as call:
            caller.get_metrics(**asked, order_by=order)
        assert call.refusal.message == (
            f"order_by: {order!r} is not an order; allowed is a metric, with `asc` or `desc` after "
            "it"
        )
    by_name = asked | {"group_by": "GROUP_BY_EVENT_NAME"}
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**by_name, order_by="revenue")
    assert call.refusal.message == (
        "order_by: groups by event_name have no revenue; allowed are "
        "costs, cumulative_costs, active_user_by_event, cost_per_user, events, input_tokens, "
        "cached_input_tokens, output_tokens, total_tokens, cost_per_1000_tokens, cached_share"
    )
    with refused("VALUE_UNKNOWN") as call:
        caller.get_metrics(**asked, billing_types=[9])
    assert call.refusal.message == (
        "billing_types[0]: 9 is not a billing type; allowed are "
        "BILLING_TYPE_ONE_TIME, BILLING_TYPE_RECURRING"
    )
