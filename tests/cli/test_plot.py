"""The plot fits the terminal, begins at zero and is exact to half a row."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_insights.cli.plot import ROWS, plot_costs, plot_margin


def days(count: int) -> list[str]:
    """Labels such as those of days."""
    return [(dt.date(2026, 10, 24) + dt.timedelta(days=n)).isoformat() for n in range(count)]


def test_draws_bars_from_zero() -> None:
    """Each period is a bar as high as its costs; the axis names zero, half and the most."""
    drawn = plot_costs(days(3), [Decimal(100), Decimal("25.5"), Decimal(0)], width=80)
    assert drawn == "\n".join(
        [
            "costs (cents)",
            "100┤▄▄▄▄▄",
            *(["   │█████"] * 5),
            " 50┤█████",
            *(["   │█████"] * 2),
            *(["   │█████ █████"] * 3),
            "  0┤▀▀▀▀▀ ▀▀▀▀▀ ▀▀▀▀▀",
            "   └──┬───────────────",
            "    2026-10-24",
        ]
    )


def test_draws_credits_below_zero() -> None:
    """Negative costs hang from the zero line, which is named like both ends."""
    drawn = plot_costs(days(2), [Decimal(-1), Decimal(1)], width=40).splitlines()
    assert drawn[1].startswith(" 1┤")
    assert drawn[1 + ROWS // 2] == " 0┤▄▄▄▄▄ █████"
    assert drawn[1 + ROWS].startswith("-1┤▀▀▀▀▀")


def test_periods_share_bars_where_there_are_too_many() -> None:
    """More periods than fit are added up, a few a bar, and the title says so."""
    drawn = plot_costs(days(366), [Decimal(1)] * 366, width=80).splitlines()
    assert drawn[0] == "costs (cents), 3 periods a bar"
    assert drawn[1].startswith("  3┤")


@pytest.mark.parametrize("width", [40, 80, 100])
@given(
    costs=st.lists(
        st.decimals(-(10**19), 10**19, places=12, allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=400,
    )
)
def test_fits_the_width(width: int, costs: list[Decimal]) -> None:
    """The plot is as high as it should be and never too wide, whatever the costs are."""
    drawn = plot_costs(days(len(costs)), costs, width=width).splitlines()
    assert max(map(len, drawn)) <= width
    assert len(drawn) == ROWS + 4


def test_draws_margins_and_losses() -> None:
    """The part that revenue and costs both reach is shaded; the rest of either says which is
    greater."""
    revenue = [Decimal(12), Decimal(3), Decimal(0), Decimal(0), Decimal(6)]
    costs = [Decimal(4), Decimal(6), Decimal(6), Decimal(0), Decimal(0)]
    drawn = plot_margin(days(5), revenue, costs, width=80)
    assert drawn == "\n".join(
        [
            "revenue █▒ and costs ▒░ (dollars): █ is margin, ░ is loss",
            "12┤█████",
            *(["  │█████"] * 5),
            " 6┤█████ ░░░░░ ░░░░░       █████",
            *(["  │█████ ░░░░░ ░░░░░       █████"] * 1),
            *(["  │▒▒▒▒▒ ░░░░░ ░░░░░       █████"] * 1),
            *(["  │▒▒▒▒▒ ▒▒▒▒▒ ░░░░░       █████"] * 3),
            " 0┤▒▒▒▒▒ ▒▒▒▒▒ ░░░░░ ───── █████",
            "  └──┬───────────┬───────────────",
            "   2026-10-24 2026-10-26",
        ]
    )


def test_draws_what_is_given_back_below_zero() -> None:
    """Negative revenue and credits hang from the zero line."""
    drawn = plot_margin(
        days(3),
        [Decimal(-6), Decimal(6), Decimal(-6)],
        [Decimal(3), Decimal(-6), Decimal(-3)],
        width=40,
    ).splitlines()
    assert drawn[1] == " 6┤      █████"
    assert drawn[1 + ROWS // 2] == " 0┤█████ █████ ▒▒▒▒▒"
    assert drawn[1 + ROWS] == "-6┤█████ ░░░░░ █████"


@pytest.mark.parametrize("width", [40, 80, 100])
@given(
    amounts=st.lists(
        st.tuples(*[st.decimals(-(10**19), 10**19, places=12, allow_nan=False)] * 2),
        min_size=1,
        max_size=400,
    )
)
def test_margins_fit_the_width(width: int, amounts: list[tuple[Decimal, Decimal]]) -> None:
    """The bars are never too wide, whatever the amounts are; only the title may be wider."""
    revenue, costs = zip(*amounts, strict=True)
    drawn = plot_margin(days(len(amounts)), revenue, costs, width=width).splitlines()
    assert max(map(len, drawn[1:])) <= width
    assert len(drawn) == ROWS + 4
