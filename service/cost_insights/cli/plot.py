"""A plot of costs for the terminal.

Bars, because costs of periods are apart from each other and begin at zero. Their
heights are whole half-rows, counted with `decimal`; no amount becomes a float.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

import plotext

ROWS: Final = 12
"""How many rows bars are high; each row shows two steps."""

WIDTH_MIN: Final = 24
BAR_COLUMNS_MAX: Final = 6
_EXACT: Final = Context(prec=100)


def plot_costs(labels: Sequence[str], costs: Sequence[Decimal], *, width: int) -> str:
    """One bar for each period, `width` columns wide at most.

    Where there are more periods than half-columns, each bar stands for several of
    them and the title says so.
    """
    # Each row is one half-block wide or more, so the axis is known first.
    together = 1
    while True:
        sums = [
            sum(costs[at : at + together], start=Decimal(0))
            for at in range(0, len(costs), together)
        ]
        ticks = _ticks(sums)
        axis = max(len(text) for _, text in ticks)
        halves = 2 * (max(width, WIDTH_MIN) - axis - 2)
        if len(sums) <= halves:
            break
        together += 1
    each = max(1, min(2 * BAR_COLUMNS_MAX, halves // len(sums)))
    # Bars begin at whole columns where there is room; a gap of one keeps them apart.
    each -= each % 2 if each > 1 else 0
    gap = 2 if each > 2 else 0
    lowest, highest = ticks[0][0], ticks[-1][0]
    steps = 2 * ROWS
    xs: list[int] = []
    ys: list[int] = []
    for bar, cost in enumerate(sums):
        height = _step(cost, highest - lowest, steps)
        for half in range(each - gap):
            xs.append(2 * (bar * each + half))
            ys.append(height)
    bottom = _step(lowest, highest - lowest, steps)
    # The first label has room even where there is one bar.
    columns = max(-(-len(sums) * each // 2), min(len(labels[0]) + 2, halves // 2))

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(columns + axis + 1, ROWS + 3)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    figure.draw(figure.signal(xs, ys, marker="hd").fillx())
    # A limit is the middle of the outermost character, an odd number where one
    # character is four: so even numbers are the middles of half characters.
    figure.ruler("x").lim(1, 4 * columns - 3)
    figure.ruler("y").lim(bottom, bottom + steps)
    figure.ruler("y").ticks(
        [_step(value, highest - lowest, steps) for value, _ in ticks],
        [text.rjust(axis) for _, text in ticks],
    )
    every = max(1, -(-(2 * (len(labels[0]) + 2)) // each))
    shown = range(0, len(sums), every)
    figure.ruler("x").ticks(
        [2 * bar * each + (each - gap) for bar in shown],
        [labels[bar * together] for bar in shown],
    )
    title = "costs (cents)" + (f", {together} periods a bar" if together > 1 else "")
    drawn: str = figure.build().string(colorless=True)
    return "\n".join([title, *(line.rstrip() for line in drawn.splitlines())])


def _ticks(costs: Sequence[Decimal]) -> list[tuple[Decimal, str]]:
    """The values that the axis names, the lowest first; zero is one of them."""
    highest, lowest = max(*costs, Decimal(0)), min(*costs, Decimal(0))
    if highest == lowest:
        highest = Decimal(1)
    values = {lowest, Decimal(0), highest}
    if not lowest:
        values.add(highest / 2)
    return [(value, _short(value)) for value in sorted(values)]


def _short(value: Decimal) -> str:
    """Four digits of it."""
    rounded = Context(prec=4, rounding=ROUND_HALF_EVEN).plus(value)
    text = format(rounded, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _step(value: Decimal, span: Decimal, steps: int) -> int:
    return int((_EXACT.divide(value * steps, span)).to_integral_value(ROUND_HALF_EVEN))
