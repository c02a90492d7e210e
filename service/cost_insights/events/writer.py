"""Writing events: transactions that are retried until their outcome is known."""

import time
from collections.abc import Callable, Sequence

from cost_insights.cells import CellCache
from cost_insights.customers import NO_LIMITS, DefaultLimits
from cost_insights.events.insertion import (
    EventInsertion,
    Outcome,
    Prepared,
    Submission,
    TransactionTrace,
)
from cost_insights.store import Store
from cost_insights.telemetry import NOTHING, IngestMeasurements, step


class EventWriter:
    """Writes events from one thread; any thread may prepare them."""

    def __init__(
        self,
        store: Store,
        cell_cache: CellCache | None = None,
        measurements: IngestMeasurements = NOTHING.ingest,
        *,
        defaults: DefaultLimits = NO_LIMITS,
    ) -> None:
        """The cache gets the cells of committed events: the next question reads them."""
        self._store = store
        self._measurements = measurements
        self._insertion = EventInsertion(store.dialect, cell_cache or CellCache(0), defaults)

    def prepare(self, submissions: Sequence[Submission]) -> Prepared:
        """Prepares for `write` everything that needs no database; any thread may call it."""
        return self._insertion.prepare(submissions)

    def write(
        self, prepared: Prepared, *, now_us: int, written: Callable[[], object] = lambda: None
    ) -> list[Outcome]:
        """Stores the events of several submissions in one transaction; for one thread only.

        Calls `written` when nothing but the commit is left to do, each time it gets there.

        Tries again for a while where the database fails in passing. Where it fails
        while it commits, it is asked what came of the transaction, so that nothing is
        reported twice or not at all. A submission that names an unknown `customer_id`
        and does not ask for `accept_valid` stores nothing; the others are not affected.
        """
        dialect, insertion = self._store.dialect, self._insertion
        uncertain: tuple[TransactionTrace, list[Outcome]] | None = None
        for attempt in self._store.attempts():
            with (
                attempt,
                self._store.errors_of_the_database(writes=True),
                dialect.writing(),
                self._store.inserting() as connection,
            ):
                if uncertain is not None and insertion.was_committed(connection, uncertain[0]):
                    self._committed()
                    return uncertain[1]
                uncertain = None
                result = insertion.write(connection, prepared, now_us=now_us)
                if result.trace is not None:
                    uncertain = result.trace, result.outcomes
                written()
                started = time.perf_counter()
                with step("commit"):
                    result.transaction.commit()
                self._measurements.commit_seconds.observe(time.perf_counter() - started)
                self._committed()
                return result.outcomes
        raise AssertionError("a retry neither returned nor raised")

    def _committed(self) -> None:
        self._measurements.folded_series.add(self._insertion.committed())
