"""Amounts in usd: exact, then rounded half-even."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.revenue import Refund, in_usd
from tests.reference import costs as reference


@pytest.mark.parametrize(
    ("picocents", "rate", "usd"),
    [
        (2_900_000_000_000_000, "1", 2_900_000_000_000_000),
        (2_900_000_000_000_000, "1.08", 3_132_000_000_000_000),
        (1, "0.5", 0),
        (3, "0.5", 2),
        (5, "0.5", 2),
        (-3, "0.5", -2),
        (-5, "0.5", -2),
        (1, "0.500000000001", 1),
        (10**27, "0.000023807", 23_807 * 10**18),
    ],
)
def test_amounts_in_usd(picocents: int, rate: str, usd: int) -> None:
    """An amount times its rate is rounded to the even picocent where it lies in the middle."""
    assert in_usd(picocents, reference.picocents(Decimal(rate))) == usd


@given(st.integers(-(10**27), 10**27), st.integers(1, 9 * 10**18))
def test_amounts_in_usd_like_decimal(picocents: int, rate_e12: int) -> None:
    """Any amount in usd is what `decimal` says."""
    product = reference.EXACT.multiply(Decimal(picocents), Decimal(rate_e12)).scaleb(
        -12, reference.EXACT
    )
    rounded = product.quantize(Decimal(1), ROUND_HALF_EVEN, reference.EXACT)
    assert in_usd(picocents, rate_e12) == int(rounded)


@pytest.mark.parametrize(
    ("kind", "adjustment"),
    [
        ("refund", -5_400_000_000_000),
        ("refund_reversal", 5_400_000_000_000),
        ("dispute", -5_400_000_000_000),
        ("dispute_reversal", 5_400_000_000_000),
    ],
)
def test_the_kind_says_which_way_money_went(kind: str, adjustment: int) -> None:
    """A refund and a dispute lower revenue, their reversals raise it; the fee is apart."""
    refund = Refund(
        refund_id="r",
        kind=kind,
        order_id="o",
        currency="eur",
        exchange_rate_e12=1_080_000_000_000,
        amount_picocents=5_000_000_000_000,
        fee_picocents=7,
        created_us=0,
    )
    assert refund.adjustment_usd_picocents == adjustment
