"""Answers as HTML for notebooks: a table and a small plot, without scripts, and without anything
that is loaded from elsewhere."""

import datetime
import html
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

Number = Decimal | int

_ROWS_MAX: Final = 60
"""The number of rows of a table that are shown: the first and the last half of them."""

_LINES_MAX: Final = 8
"""The number of groups that are drawn."""

_COLOURS: Final = (
    "#4269d0",
    "#efb118",
    "#ff725c",
    "#6cc5b0",
    "#3ca951",
    "#ff8ab7",
    "#a463f2",
    "#97bbf5",
)
_WIDTH: Final = 640
_HEIGHT: Final = 120


class Line(NamedTuple):
    """A line of a plot; None stands for no value."""

    label: str
    values: Sequence[Number | None]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, of which the first of each row is its head."""
    cut = len(rows) > _ROWS_MAX
    shown = [*rows[: _ROWS_MAX // 2], *rows[-_ROWS_MAX // 2 :]] if cut else rows
    lines = [_row("th", header)]
    for place, row in enumerate(shown):
        if cut and place == _ROWS_MAX // 2:
            words = f"{len(rows) - _ROWS_MAX:,} of {len(rows):,} rows are not shown"
            lines.append(f'<tr><td colspan="{len(header)}"><i>{words}</i></td></tr>')
        lines.append(_row("td", row))
    return f"<table>{''.join(lines)}</table>"


def plot(title: str, starts: Sequence[datetime.datetime], lines: Sequence[Line]) -> str:
    """Lines over time, with their greatest and their least value; nothing for fewer than two
    times."""
    lines = lines[:_LINES_MAX]
    values = [float(value) for line in lines for value in line.values if value is not None]
    if len(starts) < 2 or not values:
        return ""
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1

    def point(place: int, value: Number) -> str:
        x = _WIDTH * place / (len(starts) - 1)
        y = _HEIGHT * (1 - (float(value) - low) / span)
        return f"{x:.1f},{y:.1f}"

    drawn = []
    for colour, line in zip(_COLOURS, lines, strict=False):
        points = " ".join(
            point(place, value) for place, value in enumerate(line.values) if value is not None
        )
        drawn.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}">'
            f"<title>{html.escape(line.label)}</title></polyline>"
        )
    base = point(0, 0).partition(",")[2]
    drawn.append(
        f'<line x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}" stroke="currentColor" '
        'stroke-width="0.5"/>'
    )
    legend = " ".join(
        f'<span style="color:{colour}">■</span> {html.escape(line.label)}'
        for colour, line in zip(_COLOURS, lines, strict=False)
    )
    known = [value for line in lines for value in line.values if value is not None]
    bounds = f"{number(min(known))} to {number(max(known))}"
    days = f"{starts[0]:%Y-%m-%d} to {starts[-1]:%Y-%m-%d}"
    return (
        f"<figure><figcaption>{html.escape(title)}, {days}, {bounds}<br>{legend}</figcaption>"
        f'<svg role="img" aria-label="{html.escape(title)}" viewBox="-2 -4 {_WIDTH + 4} '
        f'{_HEIGHT + 8}" width="{_WIDTH}" height="{_HEIGHT}">{"".join(drawn)}</svg></figure>'
    )


def number(value: Number | None) -> str:
    """A value in all of its digits."""
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _row(tag: str, cells: Sequence[str]) -> str:
    head, *rest = (html.escape(cell) for cell in cells)
    right = ' style="text-align:right"'
    data = "".join(f"<{tag}{right}>{cell}</{tag}>" for cell in rest)
    return f'<tr><th style="text-align:left">{head}</th>{data}</tr>'
