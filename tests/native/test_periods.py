"""Periods of answers: what native writes is what the messages of the protos are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights._native.amounts import format_amount
from cost_insights._native.answers import encode_periods
from cost_insights.v1.metrics_service_pb2 import GetMetricsResponse, MetricsGroup, MetricsPeriod

FIELDS = MetricsPeriod.DESCRIPTOR.fields_by_name
AMOUNTS = st.integers(-(2**127), 2**127 - 1) | st.integers(-(10**15), 10**15)
COUNTS = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 300)


@given(st.lists(st.tuples(st.text(), AMOUNTS, AMOUNTS, COUNTS)))
def test_periods_like_those_of_protobuf(rows: list[tuple[str, int, int, int]]) -> None:
    """Any starts and numbers are read again from what was written, in answers and in groups."""
    starts = [start for start, *_ in rows]
    columns = [
        (FIELDS["costs"].number, True, [cost for _, cost, _, _ in rows]),
        (FIELDS["revenue"].number, True, [earned for _, _, earned, _ in rows]),
        (FIELDS["active_user_by_event"].number, False, [count for *_, count in rows]),
    ]
    for kind in (GetMetricsResponse, MetricsGroup):
        expected = kind()
        for start, cost, earned, count in rows:
            expected.periods.add(
                timestamp=start,
                costs=format_amount(cost),
                revenue=format_amount(earned),
                active_user_by_event=count,
            )
        field = kind.DESCRIPTOR.fields_by_name["periods"].number
        assert kind.FromString(encode_periods(field, starts, columns)) == expected


def test_periods_without_numbers() -> None:
    """A question about no metric has its periods all the same."""
    answer = GetMetricsResponse.FromString(encode_periods(1, ["a", "b"], []))
    assert [period.timestamp for period in answer.periods] == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ([(10, True, [])], ValueError),
        ([(10, True, [1, 2])], ValueError),
        ([(10, True, [2**127])], OverflowError),
        ([(10, False, [2**63])], OverflowError),
        ([(10, True, ["1"])], TypeError),
        ([(10, False, [0.5])], TypeError),
    ],
)
def test_columns_that_do_not_fit(columns: Any, error: type[Exception]) -> None:
    """Too few numbers, too many, too large ones and what is none are refused."""
    with pytest.raises(error):
        encode_periods(1, ["a"], columns)
