"""What a row of the campaign did, and the table of all rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

_FAILURES_SHOWN = 20


@dataclass
class Outcome:
    """What was done, how often, and what failed."""

    counts: dict[str, int] = field(default_factory=dict)
    """The number of times that each thing was done, by its name, such as `kills`."""

    failures: list[str] = field(default_factory=list)
    """A sentence for each thing that was not as it should be."""

    def count(self, what: str, times: int = 1) -> None:
        """Counts something that was done."""
        self.counts[what] = self.counts.get(what, 0) + times

    def check(self, holds: bool, failure: str) -> None:
        """Remembers the failure unless the condition holds."""
        if not holds:
            self.failures.append(failure)

    def add(self, other: "Outcome") -> None:
        """Adds what another part of the row did."""
        for what, times in other.counts.items():
            self.count(what, times)
        self.failures += other.failures


class Watch:
    """Shows how far a row is; without a console it shows nothing."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self._progress = progress
        self._task = task

    def says(self, words: str, share: float | None = None) -> None:
        """Shows what is done just now, and which share of the row is done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=words, completed=share)


QUIET = Watch()
"""Shows nothing, for tests."""


def show(outcomes: Mapping[str, tuple[str, Outcome, float]], console: Console) -> None:
    """Prints the table: the row, what was done, how often, for how long, and what failed."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("row", "what was done", "how often"):
        table.add_column(title)
    table.add_column("minutes", justify="right")
    table.add_column("failed", justify="right")
    for name, (what, outcome, seconds) in outcomes.items():
        counts = ", ".join(f"{times:,} {of}" for of, times in outcome.counts.items())
        failed = str(len(outcome.failures) or "nothing")
        table.add_row(name, what, counts, f"{seconds / 60:.1f}", failed)
    console.print(table)
    for name, (_, outcome, _) in outcomes.items():
        for failure in outcome.failures[:_FAILURES_SHOWN]:
            console.print(f"{name}: {failure}", markup=False)
        if len(outcome.failures) > _FAILURES_SHOWN:
            console.print(f"{name}: and {len(outcome.failures) - _FAILURES_SHOWN} more failures")
