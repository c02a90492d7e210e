"""Sums: exact in any order and number, grouped by period and customer."""

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_insights._native import sum_by_period, sum_picocents

I64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(I64, max_size=300))
@example([2**63 - 1] * 300)
@example([-(2**63)] * 300)
@example([2**63 - 1, -(2**63)] * 100)
@example([1, -1] * 50)
@example([2**32 - 1] * 5 + [-(2**32)] * 7)
def test_sum_like_python(amounts: list[int]) -> None:
    """A sum of 64-bit integers equals Python's, which has no limits."""
    assert sum_picocents(array("q", amounts)) == sum(amounts)


def test_sum_of_many() -> None:
    """A sum far beyond 64 bits is exact, also over more values than any block holds."""
    amounts = array("q", [2**63 - 1]) * 1_000_003
    assert sum_picocents(amounts) == (2**63 - 1) * 1_000_003


def test_sum_reads_slices() -> None:
    """A part of a buffer is summed where it lies."""
    amounts = memoryview(array("q", range(100)))
    assert sum_picocents(amounts[7:50]) == sum(range(7, 50))


@pytest.mark.parametrize(
    "buffer",
    [
        array("d", [1.0]),
        array("i", [1]),
        array("Q", [1]),
        b"12345678",
        memoryview(array("q", range(9)))[::2],
    ],
    ids=["doubles", "32 bits", "unsigned", "bytes", "strided"],
)
def test_sum_refuses_other_buffers(buffer: object) -> None:
    """Only a contiguous buffer of signed 64-bit integers is taken."""
    with pytest.raises((ValueError, BufferError)):
        sum_picocents(buffer)  # type: ignore[arg-type]


@st.composite
def groupings(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Bounds, and events as (timestamp, cost, customer) around them."""
    bounds = sorted(draw(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20)))
    times = st.one_of(st.integers(-1100, 1100), st.sampled_from(bounds))
    customers = st.one_of(st.integers(0, 5), st.integers(0, 2**31 - 1))
    events = draw(st.lists(st.tuples(times, I64, customers), max_size=60))
    return bounds, events


def check_grouping(bounds: Sequence[int], events: Sequence[tuple[int, int, int]]) -> None:
    """Compares with a comprehension a period."""
    sums = sum_by_period(
        array("q", bounds),
        array("q", [time for time, _, _ in events]),
        array("q", [cost for _, cost, _ in events]),
        array("i", [customer for _, _, customer in events]),
    )
    periods = [
        [one for one in events if bounds[n] <= one[0] < bounds[n + 1]]
        for n in range(len(bounds) - 1)
    ]
    assert sums.events == [len(period) for period in periods]
    assert sums.costs == [sum(cost for _, cost, _ in period) for period in periods]
    assert sums.customers == [len({c for _, _, c in period}) for period in periods]
    assert sums.customers_distinct == len({c for period in periods for _, _, c in period})


@given(groupings())
@example(([0, 10, 10, 20], [(10, 1, 1), (9, 2, 1), (20, 3, 2), (-1, 4, 3)]))
@example(([5], [(5, 1, 1)]))
def test_grouping_like_the_slow_twin(
    case: tuple[list[int], list[tuple[int, int, int]]],
) -> None:
    """Each event counts in the one period that holds its time, and in none outside all."""
    check_grouping(*case)


def test_grouping_of_many_customers() -> None:
    """Customers are counted exactly, however many there are and whatever their numbers."""
    events = [(n % 97, n, (n * 2_654_435_761) % 2**31) for n in range(50_000)]
    check_grouping(list(range(0, 100, 10)), [*events, *events])


def buffers(bounds: object, times: object, costs: object, customers: object) -> None:
    """Calls with whatever it is given."""
    sum_by_period(bounds, times, costs, customers)  # type: ignore[arg-type]


def test_grouping_refuses_what_does_not_fit() -> None:
    """Wrong lengths, wrong types and bounds that do not ascend are mistakes of the caller."""
    one, two = array("q", [1]), array("q", [1, 2])
    with pytest.raises(ValueError, match="there must be one of each for each event"):
        buffers(two, two, one, array("i", [1, 1]))
    with pytest.raises(ValueError, match="there must be one of each for each event"):
        buffers(two, one, one, array("i", [1, 1]))
    with pytest.raises(ValueError, match="customer_numbers must be a contiguous buffer"):
        buffers(two, one, one, array("q", [1]))
    with pytest.raises(ValueError, match="timestamps_us must be a contiguous buffer"):
        buffers(two, array("d", [1.0]), one, array("i", [1]))
    with pytest.raises(ValueError, match="the bounds must ascend"):
        buffers(array("q", [2, 1]), one, one, array("i", [1]))
