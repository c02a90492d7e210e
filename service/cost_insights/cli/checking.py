"""Checking the cells of organizations: with a bar, and in words."""

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import rich.progress
import sqlalchemy as sa

from cost_insights.amounts import format_amount
from cost_insights.cells import Kind
from cost_insights.cells.check import (
    CellCheck,
    CellSums,
    Difference,
    Mending,
    MonthCheck,
    SpanCheck,
    drop_batches,
    mend_beyond_months,
    mend_month,
)
from cost_insights.cli.console import err, note
from cost_insights.events import limit_boundary
from cost_insights.identity import Organization
from cost_insights.jobs import COMPACTION
from cost_insights.store import Store, chunks
from cost_insights.store.schema import customer, series

KINDS: Final[Mapping[int, str]] = {
    Kind.QUARTERS: "everyone's quarters of an hour",
    Kind.DAYS: "everyone's days",
    Kind.YEARS: "everyone's years",
    Kind.QUARTER_CUSTOMERS: "who was active in each quarter of an hour, by series",
    Kind.DAY_CUSTOMERS: "who was active on each day, by series",
    Kind.DAY_EVERYONE: "who was active on each day",
    Kind.CUSTOMER_QUARTERS: "customers' quarters of an hour",
    Kind.CUSTOMER_MONTHS: "customers' months",
    Kind.CUSTOMER_YEARS: "customers' years",
    Kind.HOUR_EVERYONE: "who was active in each hour",
    Kind.TOKEN_QUARTERS: "everyone's tokens of quarters of an hour",
    Kind.TOKEN_DAYS: "everyone's tokens of days",
    Kind.CUSTOMER_TOKEN_QUARTERS: "customers' tokens of quarters of an hour",
}

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass
class Findings:
    """The result of checking the cells of one organization."""

    organization: Organization
    events: int = 0
    cells: int = 0
    differing: int = 0
    differences: Sequence[dict[str, Any]] = ()
    """The first cells that differ, in the form of the JSON output."""

    damaged: list[str] = field(default_factory=list)
    """Each damaged segment and batch, in words."""

    damaged_batch_ids: Sequence[uuid.UUID] = ()
    pruned_before_us: int | None = None
    """The time before which events were pruned; None if none ever were."""

    events_before: int = 0
    """The number of events before that time; their cells are only compared with each other."""

    unverified: int = 0
    """The number of events without a checksum, which earlier versions stored."""

    damaged_events: int = 0
    missing_events: int = 0
    """The number of events that are in cells, but nowhere else."""

    losses: list[str] = field(default_factory=list)
    """Each month whose cells cannot be mended without a loss, in words."""

    kept_months: list[int] = field(default_factory=list)
    """Months of which some wrong cells cannot be mended: the right ones are not known."""

    wrong_months: list[int] = field(default_factory=list)
    is_wrong_beyond_months: bool = False

    @property
    def is_right(self) -> bool:
        """Whether all events are intact and all cells agree with them."""
        are_cells_right = not self.differing and not self.damaged and not self.is_pruned_ahead
        return are_cells_right and not self.damaged_events and not self.missing_events

    @property
    def is_pruned_ahead(self) -> bool:
        """Whether future events would count as pruned, so that nothing is proven."""
        return self.pruned_before_us is not None and self.pruned_before_us > _tomorrow_us()

    @property
    def pruned_before(self) -> str:
        """The day before which events were pruned, in UTC."""
        return str(_EPOCH + dt.timedelta(microseconds=self.pruned_before_us or 0))[:10]


class Progress(NamedTuple):
    """A bar that counts the steps of one organization after the other."""

    bar: rich.progress.Progress
    task: rich.progress.TaskID

    def begin(self, name: str, steps: int) -> None:
        """Restarts the bar."""
        self.bar.reset(self.task, description=name, total=steps, what="")

    def update(self, what: str, *, steps: int = 0) -> None:
        """Shows what was done, and that a step is over."""
        self.bar.update(self.task, advance=steps, what=what)


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal."""
    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[what]}"),
        rich.progress.TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        yield Progress(bar, bar.add_task("", total=None, what=""))


def check(
    store: Store,
    organizations: Iterable[Organization],
    *,
    differences_max: int,
    months_end: int | None = None,
) -> list[Findings]:
    """Checks the cells of organizations, all of them in one snapshot.

    With `months_end` only those of earlier months, counted from January 1970.
    """
    found: list[Findings] = []
    with store.read() as connection, progress() as bar:
        for organization in organizations:
            left = differences_max - sum(len(one.differences) for one in found)
            checked = _Checked(store, connection, organization, left, bar)
            found.append(checked.findings(months_end))
    return found


class _Checked:
    def __init__(
        self,
        store: Store,
        connection: sa.Connection,
        organization: Organization,
        differences_max: int,
        bar: Progress,
    ) -> None:
        self._connection = connection
        self._bar = bar
        self._check = CellCheck(
            store, connection, organization.number, differences_max=differences_max
        )
        self._differences_max = differences_max
        self._differences: list[Difference] = []
        ids = self._check.damaged_batch_ids
        self._findings = Findings(
            organization, damaged_batch_ids=ids, pruned_before_us=self._check.events_from_us
        )
        self._findings.damaged += [f"batch {one}" for one in ids]

    def findings(self, months_end: int | None) -> Findings:
        """The findings of the check."""
        findings, months = self._findings, self._check.months()
        if months_end is not None:
            months = [month for month in months if month < months_end]
        self._bar.begin(findings.organization.name, len(months))
        for month in months:
            checked = self._check.month(month, on_events=self._count)
            self._are_right(checked.spans)
            if not checked.is_right:
                findings.wrong_months.append(month)
            self._add(month, checked)
            self._bar.update(f"{findings.events} events", steps=1)
        if findings.damaged_batch_ids and (findings.damaged_events or findings.missing_events):
            findings.losses.append(
                f"{len(findings.damaged_batch_ids)} batches of cells are damaged"
            )
        if months_end is None:
            findings.is_wrong_beyond_months = not self._are_right(self._check.beyond_months())
        findings.events_before = self._check.events_before
        findings.differences = described(self._connection, findings.organization, self._differences)
        return findings

    def _count(self, events: int) -> None:
        self._findings.events += events
        self._bar.update(f"{self._findings.events} events")

    def _add(self, month: int, checked: MonthCheck) -> None:
        findings = self._findings
        findings.unverified += checked.unverified
        findings.damaged_events += checked.damaged
        findings.missing_events += checked.missing
        if checked.wrong(Mending.NONE):
            findings.kept_months.append(month)
        if checked.wrong(Mending.LOSSY):
            findings.losses.append(
                f"{month_shown(month)}: {checked.damaged} events are damaged, {checked.missing} "
                "that cells hold are missing"
            )

    def _are_right(self, spans: Iterable[SpanCheck]) -> bool:
        are_right = True
        for one in spans:
            are_right = are_right and one.is_right
            self._findings.cells += one.cells
            self._findings.differing += one.differing
            left = self._differences_max - len(self._differences)
            self._differences += one.differences[:left]
            kind = KINDS.get(one.kind, f"kind {one.kind}")
            self._findings.damaged += [f"segment {one_id} ({kind})" for one_id in one.damaged_ids]
        return are_right


def mend(store: Store, findings: Findings, *, accept_loss: bool = False) -> bool:
    """Writes anew what is wrong, while events and questions keep coming; False where
    something cannot be mended, because the right cells are not known, or only with a loss that
    is not accepted.

    A boundary of pruning that lies ahead moves back to the end of today (UTC): which of
    today's events were pruned is not known.
    """
    limit_boundary(store, findings.organization.number, _tomorrow_us())
    organization, number = findings.organization.name, findings.organization.number

    def tell_wait() -> None:
        note("waiting until the service rests from compacting")

    with progress() as bar:
        bar.begin(organization, len(findings.wrong_months) + 1)
        is_mended = True
        for month in findings.wrong_months:
            with COMPACTION.take(store, tell_wait):
                is_mended &= mend_month(store, number, month, accept_loss=accept_loss)
            bar.update(month_shown(month), steps=1)
        if not is_mended:
            return False
        with COMPACTION.take(store, tell_wait):
            mend_beyond_months(store, number)
            return drop_batches(store, number, findings.damaged_batch_ids)


def month_shown(month: int) -> str:
    """A month, counted from January 1970, in words."""
    return f"{1970 + month // 12:04}-{month % 12 + 1:02}"


def described(
    connection: sa.Connection, organization: Organization, differences: Sequence[Difference]
) -> list[dict[str, Any]]:
    """Differences as JSON has them: numbers turned into what callers know."""
    customers = _rows_by_number(
        connection,
        organization,
        (customer.c.number, customer.c.external_id),
        {one.customer_number for one in differences},
    )
    all_series = _rows_by_number(
        connection,
        organization,
        (
            series.c.number,
            series.c.event_name,
            series.c.llm_vendor,
            series.c.llm_model,
            series.c.product_id,
        ),
        {one.series_number for one in differences},
    )
    rows: list[dict[str, Any]] = []
    for one in differences:
        row: dict[str, Any] = {
            "organization": organization.name,
            "kind": KINDS[one.kind],
            "bucket": one.bucket,
        }
        if one.kind.layout.is_by_customer or one.kind.layout.is_activity:
            nobody = (f"number {one.customer_number}, which is nobody's",)
            (row["external_customer_id"],) = customers.get(one.customer_number, nobody)
        if one.kind.layout.is_by_series:
            nothing = (f"series {one.series_number}, which is unknown", "", "", "")
            parts = zip(
                ("event_name", "llm_vendor", "llm_model", "product_id"),
                all_series.get(one.series_number, nothing),
                strict=True,
            )
            row |= {name: part for name, part in parts if part}
        if one.measure is not None:
            stored, expected = (
                {"events": sums.events, "tokens": sums.cost_picocents}
                for sums in (one.stored, one.expected)
            )
            row |= {"measure": one.measure, "stored": stored, "expected": expected}
        elif one.kind.layout.is_activity:
            row |= {"stored": bool(one.stored.events), "expected": bool(one.expected.events)}
        else:
            row |= {"stored": _cents(one.stored), "expected": _cents(one.expected)}
        rows.append(row)
    return rows


def in_words(difference: dict[str, Any]) -> str:
    """A difference as one line."""
    words = dict(difference)
    stored, expected = words.pop("stored"), words.pop("expected")
    place = [words.pop("organization"), words.pop("kind"), words.pop("bucket")]
    place += [f"{name} {text!r}" for name, text in words.items()]
    if isinstance(stored, bool):
        said = "active, but not stored as such"
        if stored:
            said = "stored as active, but not active"
    else:
        said = (
            f"stored {stored['events']} events, {_amount(stored)}; "
            f"expected {expected['events']} events, {_amount(expected)}"
        )
    return f"{', '.join(place)}: {said}"


def _amount(sums: Mapping[str, Any]) -> str:
    return f"{sums['tokens']} tokens" if "tokens" in sums else f"{sums['cost']} cents"


def _tomorrow_us() -> int:
    """The end of the current day, in UTC."""
    return ((dt.datetime.now(dt.UTC) - _EPOCH).days + 1) * 86_400_000_000


def _cents(sums: CellSums) -> dict[str, Any]:
    return {"events": sums.events, "cost": format_amount(sums.cost_picocents)}


def _rows_by_number(
    connection: sa.Connection,
    organization: Organization,
    columns: Sequence[sa.Column[Any]],
    numbers: Iterable[int],
) -> dict[int, tuple[str, ...]]:
    table = columns[0].table
    found: dict[int, tuple[str, ...]] = {}
    for chunk in chunks(numbers):
        rows = connection.execute(
            sa.select(*columns).where(
                table.c.organization_number == organization.number, columns[0].in_(chunk)
            )
        )
        found.update((number, tuple(texts)) for number, *texts in rows)
    return found
