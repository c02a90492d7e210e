"""Plots of costs, and of revenue and costs, for the terminal.

Bars, because amounts of periods are apart from each other and begin at zero. Their
heights are whole rows or half-rows, counted with `decimal`; no amount becomes a float.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import plotext

ROWS: Final = 12
"""The height of bars in rows; each row shows two steps, or one if bars have patterns."""

WIDTH_MIN: Final = 24
BAR_COLUMNS_MAX: Final = 6
_EXACT: Final = Context(prec=100)


def plot_costs(labels: Sequence[str], costs: Sequence[Decimal], *, width: int) -> str:
    """One bar for the costs of each period, in cents, `width` columns wide at most.

    Where there are more periods than half-columns, each bar stands for several of
    them and the title says so.
    """
    bars = _Bars.of(labels, [costs], width=width, halves_min=1, steps=2 * ROWS)
    (heights,) = bars.heights
    return bars.drawn("costs (cents)", {"hd": dict(enumerate(heights))})


def plot_margin(
    labels: Sequence[str], revenue: Sequence[Decimal], costs: Sequence[Decimal], *, width: int
) -> str:
    """Bars of revenue and costs, in dollars: what both reach is shaded, revenue alone is solid."""
    bars = _Bars.of(labels, [revenue, costs], width=width, halves_min=2, steps=ROWS)
    layers: dict[str, dict[int, int]] = {"─": {}, "░": {}, "█": {}, "▒": {}}
    for bar, (earned, spent) in enumerate(zip(*bars.heights, strict=True)):
        # Later layers are drawn over earlier ones.
        if earned == spent == 0:
            layers["─"][bar] = 0
        if spent:
            layers["░"][bar] = spent
        if earned:
            layers["█"][bar] = earned
        if earned * spent > 0:
            layers["▒"][bar] = min(earned, spent, key=abs)
    return bars.drawn("revenue █▒ and costs ▒░ (dollars): █ is margin, ░ is loss", layers)


@dataclass(frozen=True)
class _Bars:
    """The positions and heights of bars, and the axes beside them."""

    labels: Sequence[str]
    together: int
    """The number of periods that a bar stands for."""

    heights: Sequence[Sequence[int]]
    """Steps from zero, bar by bar, of each kind of amount."""

    ticks: Sequence[tuple[int, str]]
    each: int
    """The number of half-columns from one bar to the next."""

    columns: int
    steps: int

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        amounts: Sequence[Sequence[Decimal]],
        *,
        width: int,
        halves_min: int,
        steps: int,
    ) -> "_Bars":
        """Bars of at least so many half-columns, as many as fit."""
        # A bar is so wide or more, so the axis is known first.
        together = 1
        while True:
            sums = [_sums(of_kind, together) for of_kind in amounts]
            ticks = _ticks([amount for of_kind in sums for amount in of_kind])
            axis = max(len(text) for _, text in ticks)
            halves = 2 * (max(width, WIDTH_MIN) - axis - 2)
            bars = len(sums[0])
            if bars * halves_min <= halves:
                break
            together += 1
        each = max(halves_min, min(2 * BAR_COLUMNS_MAX, halves // bars))
        # Bars begin at whole columns where there is room.
        each -= each % 2 if each > 1 else 0
        span = ticks[-1][0] - ticks[0][0]
        return cls(
            labels=labels,
            together=together,
            heights=[[_step(amount, span, steps) for amount in of_kind] for of_kind in sums],
            ticks=[(_step(value, span, steps), text.rjust(axis)) for value, text in ticks],
            each=each,
            # The first label has room even where there is one bar.
            columns=max(-(-bars * each // 2), min(len(labels[0]) + 2, halves // 2)),
            steps=steps,
        )

    def drawn(self, title: str, layers: Mapping[str, Mapping[int, int]]) -> str:
        """The bars in layers, each a marker with the heights of some bars."""
        # A gap of one column keeps bars apart.
        gap = 2 if self.each > 2 else 0
        axis = len(self.ticks[0][1])
        bottom = self.ticks[0][0]
        figure: Any = plotext.figure
        figure.clear()
        figure.theme("colorless")
        figure.plot_size(self.columns + axis + 1, ROWS + 3)
        figure.axes(False, axis="x", side="upper")
        figure.axes(False, axis="y", side="right")
        for marker, heights in layers.items():
            halves = [(bar, half) for bar in heights for half in range(self.each - gap)]
            if halves:
                xs = [2 * (bar * self.each + half) for bar, half in halves]
                ys = [heights[bar] for bar, _ in halves]
                figure.draw(figure.signal(xs, ys, marker=marker).fillx())
        # A limit is the middle of the outermost character, an odd number where one
        # character is four: so even numbers are the middles of half characters.
        figure.ruler("x").lim(1, 4 * self.columns - 3)
        figure.ruler("y").lim(bottom, bottom + self.steps)
        figure.ruler("y").ticks([step for step, _ in self.ticks], [text for _, text in self.ticks])
        every = max(1, -(-(2 * (len(self.labels[0]) + 2)) // self.each))
        shown = range(0, len(self.heights[0]), every)
        figure.ruler("x").ticks(
            [2 * bar * self.each + (self.each - gap) for bar in shown],
            [self.labels[bar * self.together] for bar in shown],
        )
        if self.together > 1:
            title += f", {self.together} periods a bar"
        drawn: str = figure.build().string(colorless=True)
        return "\n".join([title, *(line.rstrip() for line in drawn.splitlines())])


def _sums(amounts: Sequence[Decimal], together: int) -> list[Decimal]:
    return [
        sum(amounts[at : at + together], start=Decimal(0))
        for at in range(0, len(amounts), together)
    ]


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
    text = format(rounded, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _step(value: Decimal, span: Decimal, steps: int) -> int:
    return int((_EXACT.divide(value * steps, span)).to_integral_value(ROUND_HALF_EVEN))
