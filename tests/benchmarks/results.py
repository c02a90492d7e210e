"""The findings of the benchmarks, and the tables that show them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text


class UnequalError(Exception):
    """Two sides of a comparison did not compute the same."""


@dataclass(frozen=True)
class Row:
    """One comparison: the median speeds, and our speed over the peer's in each round."""

    what: str
    ours: str
    peer: str
    ratios: Sequence[float]
    asked: float

    @property
    def ratio(self) -> float:
        """The median, so that what slows the machine for a while changes little."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the ratio is at least what is asked."""
        return self.ratio >= self.asked


@dataclass(frozen=True)
class LoadRow:
    """The behaviour of a server, or of a bare database, under load; None where a number does not
    apply."""

    what: str
    events_per_second: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    commit_events: float | None = None
    server_cpu_us: float | None = None
    """The CPU time per event, like the next one."""
    database_cpu_us: float | None = None
    load_cores: float | None = None
    """The number of cores that the load generator keeps busy."""
    disk_bytes: float | None = None
    """The bytes per event, with its share of the indexes."""


@dataclass(frozen=True)
class AnswerRow:
    """The time that a caller waits for an answer; None where it is not asked for."""

    what: str
    calls: int
    p50_ms: float
    p99_ms: float
    p50_ms_max: float | None = None
    p99_ms_max: float | None = None

    @property
    def asked(self) -> str:
        """Such as `p50 ≤ 10`."""
        limits = (("p50", self.p50_ms_max), ("p99", self.p99_ms_max))
        return ", ".join(f"{name} ≤ {limit:g}" for name, limit in limits if limit is not None)

    @property
    def met(self) -> bool:
        """Whether nothing takes longer than is asked."""
        return (self.p50_ms_max is None or self.p50_ms <= self.p50_ms_max) and (
            self.p99_ms_max is None or self.p99_ms <= self.p99_ms_max
        )


@dataclass
class Results:
    """Everything that was found."""

    rows: list[Row] = field(default_factory=list)
    loads: list[LoadRow] = field(default_factory=list)
    answers: list[AnswerRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Benchmarks that could not be run to their end, with the reason."""


def table_of(results: Results) -> Table:
    """The comparisons."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("what", "ours", "peer"):
        table.add_column(heading, overflow="fold")
    for heading in ("ratio", "quartiles", "asked", "met?"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.rows:
        spread = ""
        if len(row.ratios) > 1:
            low, _, high = statistics.quantiles(row.ratios, method="inclusive")
            spread = f"{low:.2f}–{high:.2f}"
        table.add_row(
            row.what,
            row.ours,
            row.peer,
            f"{row.ratio:.2f}",
            spread,
            f"{row.asked:.3g}",
            _met(row.met),
        )
    for what, why in results.failures:
        table.add_row(what, Text(why, "red"), "", "", "", "", Text("failed", "red"))
    return table


def loads_table_of(results: Results) -> Table:
    """The servers under load."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("under load", overflow="fold", min_width=40)
    for heading in (
        "events/s",
        "p50 ms",
        "p99 ms",
        "events/\ncommit",
        "server\nCPU µs/\nevent",
        "database\nCPU µs/\nevent",
        "load\ngenerator\ncores",
        "disk\nbytes/\nevent",
    ):
        table.add_column(heading, justify="right")
    for row in results.loads:
        table.add_row(
            row.what,
            f"{row.events_per_second:,.0f}",
            _cell(row.p50_ms, 1),
            _cell(row.p99_ms, 1),
            _cell(row.commit_events, 0),
            _cell(row.server_cpu_us, 1),
            _cell(row.database_cpu_us, 1),
            _cell(row.load_cores, 2),
            _cell(row.disk_bytes, 0),
        )
    return table


def answers_table_of(results: Results) -> Table:
    """The times of answers."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("answer", overflow="fold")
    for heading in ("calls", "p50 ms", "p99 ms", "asked", "met?"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in results.answers:
        table.add_row(
            row.what,
            f"{row.calls:,}",
            _cell(row.p50_ms, 2),
            _cell(row.p99_ms, 2),
            row.asked,
            _met(row.met) if row.asked else "",
        )
    return table


def _met(met: bool) -> Text:
    return Text("yes", "green") if met else Text("no", "red")


def _cell(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


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
