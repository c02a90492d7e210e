"""`cost_insights.amounts`, the public library of exact amounts, against `decimal`."""

import doctest
from array import array
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights import amounts
from cost_insights.amounts import (
    AmountError,
    decimal_of,
    divide_half_even,
    format_amount,
    format_amounts,
    parse_amount,
    parse_amounts,
    parse_money,
    round_float,
    sum_amounts,
    sum_by_group,
)

I64 = st.integers(-(2**63), 2**63 - 1)
CENTS = st.decimals(-9_000, 9_000, places=12)
E12 = 10**12


def test_the_examples_of_the_module() -> None:
    """The examples of the documentation give the results that it shows."""
    assert (doctest.testmod(amounts).failed, doctest.testmod(amounts).attempted) == (0, 3)


def test_the_document_names_every_function() -> None:
    """The page about the library leaves nothing public out."""
    page = (Path(__file__).parents[1] / "docs" / "amounts.md").read_text()
    assert [name for name in amounts.__all__ if name[0].islower() and f"`{name}`" not in page] == []


@given(CENTS)
def test_text_and_decimal_come_back(cents: Decimal) -> None:
    """An amount is read from text or a `Decimal`, and written as either, exactly."""
    picocents = int(cents * E12)
    assert picocents == parse_amount(cents) == parse_amount(f"{cents:f}")
    assert cents == decimal_of(picocents) == Decimal(format_amount(picocents))


@given(st.lists(CENTS, max_size=50))
def test_columns_are_read_like_single_amounts(cents: list[Decimal]) -> None:
    """A list of texts, of `Decimal`s and Arrow arrays of text, slices too, are one column."""
    expected = array("q", [parse_amount(one) for one in cents])
    texts = [f"{one:f}" for one in cents]
    assert expected == parse_amounts(cents) == parse_amounts(texts)
    assert expected == parse_amounts(pa.array(texts, pa.string()))
    assert expected == parse_amounts(pa.chunked_array([texts[:3], texts[3:]], pa.string()))
    assert expected[2:5] == parse_amounts(pa.array(texts, pa.string())[2:5])
    assert [format_amount(one) for one in expected] == format_amounts(expected)


def columns_of(numbers: list[int]) -> list[Any]:
    """A column gives the same in each form that is taken."""
    return [
        numbers,
        tuple(numbers),
        array("q", numbers),
        memoryview(array("q", numbers)),
        np.array(numbers, np.int64),
        pa.array(numbers, pa.int64()),
        pa.array([1, *numbers, 1], pa.int64())[1:-1],
        pa.chunked_array([numbers[:3], numbers[3:]], pa.int64()),
    ]


@given(st.lists(I64, max_size=50))
def test_sums_of_every_kind_of_column(numbers: list[int]) -> None:
    """A sum is exact and the same, whatever holds the column."""
    assert [sum(numbers)] * 8 == [sum_amounts(column) for column in columns_of(numbers)]


def test_sums_by_group_of_every_kind_of_column() -> None:
    """Groups of every kind go with amounts of every kind."""
    numbers, groups = [2**62, 2**62, 2**62, -5], [1, 1, 1, 0]
    of_groups: list[Any] = [
        groups,
        array("i", groups),
        np.array(groups, np.int32),
        pa.array(groups, pa.int32()),
        pa.chunked_array([groups[:1], groups[1:]], pa.int32()),
    ]
    for column in columns_of(numbers):
        for of_group in of_groups:
            assert sum_by_group(column, of_group, 3) == [-5, 3 * 2**62, 0]


def test_columns_are_not_copied() -> None:
    """A sum reads an Arrow array and a NumPy array where they lie."""
    numbers = np.arange(1_000, dtype=np.int64)
    column = pa.array(numbers)  # shares the memory of NumPy
    numbers[0] = 7
    assert sum(range(1_000)) + 7 == sum_amounts(numbers) == sum_amounts(column)


def test_an_amount_that_is_not_one_names_its_place() -> None:
    """The error has a reason, the value and the place in the whole column."""
    many = ["0.123456789012"] * 100_000
    with pytest.raises(AmountError) as caught:
        parse_amounts([*many, "1.2.3"])
    error = caught.value
    assert (error.reason, error.value, error.index) == ("AMOUNT_MALFORMED", "1.2.3", 100_000)
    assert str(error).startswith("[100000]: ")
    with pytest.raises(AmountError) as caught:
        parse_amounts(pa.chunked_array([["1", "2"], ["3", "1e-13"]], pa.string()))
    assert (
        caught.value.reason,
        caught.value.value,
        caught.value.index,
    ) == ("AMOUNT_TOO_PRECISE", "1e-13", 3)
    with pytest.raises(AmountError) as caught:
        parse_amount("NaN")
    assert (caught.value.reason, caught.value.index) == ("AMOUNT_MALFORMED", None)


def test_money_has_the_range_of_an_order() -> None:
    """An amount that is too large for an event is read up to the limit, which the error tells as a
    fact."""
    with pytest.raises(AmountError):
        parse_amount("9000000.01")
    assert parse_money("9000000.01") == 900_000_001 * E12 // 100
    assert parse_money(-amounts.MONEY_CENTS_MAX) == -(10**15) * E12
    with pytest.raises(AmountError) as caught:
        parse_money("1000000000000001")
    assert caught.value.reason == "AMOUNT_OUT_OF_RANGE"
    assert caught.value.facts == {"min": f"-{10**15}", "max": str(10**15)}


@pytest.mark.parametrize("given_amount", [0.1, True, None, b"1"])
def test_other_types_are_no_amounts(given_amount: Any) -> None:
    """A float is never read by accident, nor is anything else."""
    with pytest.raises(TypeError, match="an amount is a str, an int or a Decimal"):
        parse_amount(given_amount)
    with pytest.raises(TypeError, match="an amount is a str, an int or a Decimal"):
        parse_amounts(["1", given_amount])


def test_a_text_is_no_column() -> None:
    """The characters of a text are not amounts of their own."""
    with pytest.raises(TypeError, match="amounts are a column of texts, not str"):
        parse_amounts("123")


def test_a_float_is_read_where_that_is_asked_for() -> None:
    """The noise of a double is rounded away, and what is no number is refused."""
    assert round_float(0.1 + 0.2) == 3 * E12 // 10
    with pytest.raises(AmountError):
        round_float(float("nan"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None], pa.int64()), "the column has 1 nulls, which are not amounts"),
        (pa.array([1.5]), "the column has the Arrow type double; int64 is allowed"),
        (np.array([1.5]), "amounts must be a contiguous buffer of native i64"),
        (np.array([1], np.int32), "amounts must be a contiguous buffer of native i64"),
    ],
    ids=["nulls", "Arrow doubles", "NumPy doubles", "32 bits"],
)
def test_columns_of_other_types(column: Any, message: str) -> None:
    """Nulls are not zero, and no other type is read as if it were the right one."""
    with pytest.raises(ValueError, match=message):
        sum_amounts(column)


def test_an_integer_beyond_64_bits_in_a_list() -> None:
    """An amount that no event carries is refused; sums of sums are Python's."""
    with pytest.raises(OverflowError):
        sum_amounts([2**63])


@given(st.integers(), st.integers())
def test_divide_half_even(numerator: int, denominator: int) -> None:
    """A quotient is the nearest whole number, of two the even one."""
    if denominator == 0:
        assert divide_half_even(numerator, denominator) == 0
        return
    quotient = divide_half_even(numerator, denominator)
    rest = 2 * abs(numerator - quotient * denominator)
    assert rest <= abs(denominator)
    if rest == abs(denominator):
        assert quotient % 2 == 0
