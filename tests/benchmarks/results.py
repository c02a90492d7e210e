"""What a benchmark found, and how it is shown."""

from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text


class UnequalError(Exception):
    """Two sides of a comparison did not compute the same."""


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` is our speed over the peer's."""

    what: str
    ours: str
    peer: str
    ratio: float
    asked: float

    @property
    def met(self) -> bool:
        """Whether the ratio is at least what is asked."""
        return self.ratio >= self.asked


@dataclass
class Results:
    """Everything that was found."""

    rows: list[Row] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    """What else is worth knowing, as name and value."""

    failures: list[tuple[str, str]] = field(default_factory=list)
    """Benchmarks that could not be run to their end, with the reason."""


def table_of(results: Results) -> Table:
    """The comparisons as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("what", "ours", "peer"):
        table.add_column(heading, overflow="fold")
    for heading in ("ratio", "asked", "met?"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        met = Text("yes", "green") if row.met else Text("no", "red")
        table.add_row(row.what, row.ours, row.peer, f"{row.ratio:.2f}", f"{row.asked:g}", met)
    for what, why in results.failures:
        table.add_row(what, Text(why, "red"), "", "", "", Text("failed", "red"))
    return table


def facts_table_of(results: Results) -> Table:
    """What else is worth knowing."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("also measured", overflow="fold")
    table.add_column("", overflow="fold")
    for name, value in results.facts:
        table.add_row(name, value)
    return table


def rate(per_second: float, unit: str) -> str:
    """Such as `3.45 G numbers/s`."""
    for prefix, factor in (("G ", 1e9), ("M ", 1e6), ("k ", 1e3)):
        if per_second >= factor:
            return f"{per_second / factor:.3g} {prefix}{unit}/s"
    return f"{per_second:.3g} {unit}/s"


def check_equal(what: str, ours: object, theirs: object) -> None:
    """Raises UnequalError unless both are equal, to the last digit."""
    if ours != theirs:
        raise UnequalError(f"{what}: {_short(ours)} is not {_short(theirs)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"
