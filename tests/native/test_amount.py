"""Amounts: reading text and doubles, and writing them."""

import math
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cost_insights._native.amounts import (
    AMOUNT_CENTS_MAX,
    MONEY_CENTS_MAX,
    format_amount,
    parse_amount,
    parse_money,
    round_amount,
)
from cost_insights._native.faults import REASONS, Fault
from tests.reference import costs as reference
from tests.support.vectors import vectors


def outcome(result: int | Fault) -> int | str:
    """The picocents, or the reason of the refusal."""
    return result.reason if isinstance(result, Fault) else result


def expected(read: Any, value: Any) -> int | str:
    """The answer of the slow twin: the picocents, or the reason of the refusal."""
    try:
        return reference.picocents(read(value))
    except reference.RefusedError as refusal:
        return str(refusal)


@pytest.mark.parametrize("case", vectors("amount.jsonl"))
def test_vectors(case: dict[str, Any]) -> None:
    """Every shared vector of an amount gives the picocents or the reason that stand in it."""
    if "text" in case:
        found = outcome(parse_amount(case["text"]))
        twin = expected(reference.parse_amount, case["text"])
    else:
        number = float(case["number"])
        found = outcome(round_amount(number))
        twin = expected(reference.round_amount, number)
    wanted = int(case["picocents"]) if "picocents" in case else case["reason"]
    assert found == wanted
    assert twin == wanted


@pytest.mark.parametrize("case", vectors("money.jsonl"))
def test_money_vectors(case: dict[str, str]) -> None:
    """Every shared vector of an order gives the picocents or the reason that stand in it."""
    wanted = int(case["picocents"]) if "picocents" in case else case["reason"]
    assert outcome(parse_money(case["text"])) == wanted
    assert expected(money, case["text"]) == wanted


@pytest.mark.parametrize("case", vectors("format.jsonl"))
def test_format_vectors(case: dict[str, str]) -> None:
    """Every shared vector of a formatted amount gives the text that stands in it."""
    assert format_amount(int(case["picocents"])) == case["text"]


def money(text: str) -> Decimal:
    """The cents of an order, read by the slow twin."""
    return reference.parse_amount(text, reference.MONEY_CENTS_MAX)


BOUNDARIES = [
    ("99999.999999999999", 99_999_999_999_999_999),
    ("9000000", 9_000_000 * 10**12),
    ("-9000000", -9_000_000 * 10**12),
    ("9000000.01", "AMOUNT_OUT_OF_RANGE"),
    ("9000000.0000000001", "AMOUNT_OUT_OF_RANGE"),
    ("8999999.9999999999", 8_999_999_999_999_999_900),
    ("8999999.99999999999", "AMOUNT_TOO_PRECISE"),
    ("123456.123456789012", "AMOUNT_TOO_PRECISE"),
    ("1e-12", 1),
    ("1e-13", "AMOUNT_TOO_PRECISE"),
    ("-0.000000000001", -1),
    ("1e-7", 100_000),
    ("1E+2", 100 * 10**12),
    (" 1 ", 10**12),
    ("\t1\r\n", 10**12),
    ("000.1000000000000000000000000000000", 10**11),
    ("-0", 0),
    (".5", 5 * 10**11),
    ("5.", 5 * 10**12),
    ("+5", 5 * 10**12),
    ("0e99999999999999999999999", 0),
    ("1e99999999999999999999999", "AMOUNT_OUT_OF_RANGE"),
    ("1e-99999999999999999999999", "AMOUNT_TOO_PRECISE"),
    ("NaN", "AMOUNT_MALFORMED"),
    ("Infinity", "AMOUNT_MALFORMED"),
    ("", "AMOUNT_MALFORMED"),
    (" ", "AMOUNT_MALFORMED"),
    (".", "AMOUNT_MALFORMED"),
    ("+", "AMOUNT_MALFORMED"),
    ("1e", "AMOUNT_MALFORMED"),
    ("e5", "AMOUNT_MALFORMED"),
    ("1_000", "AMOUNT_MALFORMED"),
    ("1,000", "AMOUNT_MALFORMED"),
    ("0x10", "AMOUNT_MALFORMED"),
    ("1 0", "AMOUNT_MALFORMED"),
    ("- 1", "AMOUNT_MALFORMED"),
    ("1.2.3", "AMOUNT_MALFORMED"),
    ("١", "AMOUNT_MALFORMED"),
    ("\u00a01", "AMOUNT_MALFORMED"),
    ("\x0b1", "AMOUNT_MALFORMED"),
    ("1\x00", "AMOUNT_MALFORMED"),
    ("0" * 127 + "1", 10**12),
    ("0" * 128 + "1", "AMOUNT_MALFORMED"),
]


@pytest.mark.parametrize(("text", "wanted"), BOUNDARIES)
def test_text_at_boundaries(text: str, wanted: int | str) -> None:
    """A decimal text at a boundary is taken exactly or refused for the right reason."""
    assert outcome(parse_amount(text)) == wanted
    assert expected(reference.parse_amount, text) == wanted


NUMBERS = [
    (0.025, 25_000_000_000),
    (99999.999999999999, 100_000 * 10**12),  # the nearest double
    (9_000_000.0, 9_000_000 * 10**12),
    (9_000_000.01, "AMOUNT_OUT_OF_RANGE"),
    (math.nextafter(9e6, math.inf), "AMOUNT_OUT_OF_RANGE"),
    (0.1 + 0.2, 300_000_000_000),
    (0.045000000000000005, 45_000_000_000),
    (57 / 1000 * 3 + 123 / 1000 * 6, 909_000_000_000),
    (1e-7, 100_000),
    (1e-12, 1),
    (1e-13, 0),
    (5e-13, 0),
    (1.5e-12, 2),
    (2.5e-12, 2),
    (-1e-12, -1),
    (-0.0, 0),
    (5e-324, 0),
    (1.7976931348623157e308, "AMOUNT_OUT_OF_RANGE"),
    (math.inf, "AMOUNT_MALFORMED"),
    (-math.inf, "AMOUNT_MALFORMED"),
    (math.nan, "AMOUNT_MALFORMED"),
]


@pytest.mark.parametrize(("number", "wanted"), NUMBERS)
def test_numbers_at_boundaries(number: float, wanted: int | str) -> None:
    """A double means its shortest decimal form, rounded half-even to 12 decimals."""
    assert outcome(round_amount(number)) == wanted
    assert expected(reference.round_amount, number) == wanted


DIGITS = st.text("0123456789", max_size=20)
EXPONENTS = st.one_of(
    st.integers(-30, 30).map(str),
    st.integers(0, 30).map("+{}".format),
    st.integers(-(10**30), 10**30).map(str),
    st.just(""),
)


@st.composite
def amount_texts(draw: st.DrawFn) -> str:
    """Texts of the grammar of amounts, and some that just miss it."""
    blanks = st.text(" \t\r\n", max_size=2)
    sign = draw(st.sampled_from(["", "", "-", "+"]))
    point = draw(st.sampled_from(["", ".", "."]))
    exponent = draw(
        st.one_of(st.just(""), EXPONENTS.map("e{}".format), EXPONENTS.map("E{}".format))
    )
    return draw(blanks) + sign + draw(DIGITS) + point + draw(DIGITS) + exponent + draw(blanks)


@given(
    st.one_of(amount_texts(), st.text("0123456789.eE+- \t\nxXnNaAiIfF_,", max_size=40), st.text())
)
@example("1e-13")
@example("9000000.01")
def test_text_like_the_slow_twin(text: str) -> None:
    """Any text is read or refused as the slow twin does."""
    assert outcome(parse_amount(text)) == expected(reference.parse_amount, text)


@given(amount_texts())
@example("1e15")
@example("1000000000000000.1")
def test_money_like_the_slow_twin(text: str) -> None:
    """Any text is read or refused as an order's amount as the slow twin does."""
    assert outcome(parse_money(text)) == expected(money, text)


@given(
    st.one_of(
        st.floats(),
        st.floats(-9.1e6, 9.1e6),
        st.floats(-1e-11, 1e-11),
        st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0]),
        # What computed prices look like.
        st.tuples(st.integers(0, 10**6), st.sampled_from([3.0, 6.0, 0.15, 0.6, 2.5, 10.0])).map(
            lambda priced: priced[0] / 1000 * priced[1]
        ),
        # The halves, where half-even matters.
        st.integers(-(10**6), 10**6).map(lambda count: count * 5e-13),
    )
)
def test_numbers_like_the_slow_twin(number: float) -> None:
    """Any double is rounded or refused as the slow twin does."""
    assert outcome(round_amount(number)) == expected(reference.round_amount, number)


@given(
    st.one_of(
        st.integers(-(2**127), 2**127 - 1),
        st.integers(-(10**13), 10**13),
        st.integers(-(10**15), 10**15).map(lambda cents: cents * 10**12),
    )
)
@example(2**127 - 1)
@example(-(2**127))
@example(0)
def test_format_like_the_slow_twin(amount: int) -> None:
    """Any i128 is written as the slow twin does: no exponent, no trailing zeros."""
    cents = reference.EXACT.scaleb(Decimal(amount), -12)
    assert format_amount(amount) == reference.format_amount(cents)


@given(st.integers(-9_000_000 * 10**5, 9_000_000 * 10**5), st.integers(0, 7))
def test_what_is_written_can_be_read(amount: int, scale: int) -> None:
    """An amount of at most 17 digits that is written and read again is the same."""
    picocents = amount * 10**scale
    if len(str(abs(picocents)).rstrip("0")) <= 17:
        assert parse_amount(format_amount(picocents)) == picocents


@pytest.mark.parametrize("amount", [2**127, -(2**127) - 1])
def test_format_takes_no_more_than_an_i128(amount: int) -> None:
    """A sum that is out of reach is a mistake of the caller."""
    with pytest.raises(OverflowError):
        format_amount(amount)


def test_refusals_of_money_tell_its_range() -> None:
    """An order's amount out of range is told the range of orders, not that of events."""
    fault = parse_money("-1e16")
    assert isinstance(fault, Fault)
    assert fault.facts == {"min": "-1000000000000000", "max": "1000000000000000"}
    assert fault.message == (
        "the amount -1e16 is out of range; -1000000000000000 to 1000000000000000 cents are allowed"
    )


def test_refusals_say_what_and_why() -> None:
    """A refused amount names its reason, the value and the limits."""
    fault = parse_amount("1e-13")
    assert isinstance(fault, Fault)
    assert fault.reason == "AMOUNT_TOO_PRECISE"
    assert fault.value == "1e-13"
    assert fault.facts == {"digits_max": "17", "decimals_max": "12"}
    assert fault.reason in REASONS
    assert "1e-13" in fault.message
    assert "17" in fault.message
    assert "12" in fault.message


def test_the_greatest_amounts_are_the_documented_ones() -> None:
    """The limit is $90,000 an event and $10 trillion an order, either way."""
    assert int(reference.CENTS_MAX) == AMOUNT_CENTS_MAX
    assert int(reference.MONEY_CENTS_MAX) == MONEY_CENTS_MAX
