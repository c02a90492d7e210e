"""Compaction in the background: when pending batches become segments.

A round takes the batches of many organizations in one transaction. Of all processes on a database
one compacts at a time. It waits until there is something worth it, and no longer than a reader
would mind; while events pour in it rests several times as long as it worked, so that most of the
machine is theirs, and the larger rounds make up for that. Between two rounds it gives way to a
command that mends segments.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from cost_insights.cells.batches import Pending, pending_batches
from cost_insights.cells.cache import CellCache
from cost_insights.cells.compaction import compact, reclaim
from cost_insights.cells.token_counting import TokenCounting
from cost_insights.errors import FAILURES, StoreUnavailableError
from cost_insights.jobs import COMPACTION
from cost_insights.store import Store
from cost_insights.telemetry import NOTHING, CompactionMeasurements

_log = logging.getLogger(__name__)

_BATCHES_ENOUGH = 64
_BYTES_ENOUGH = 1024 * 1024
_AGE_ENOUGH_SECONDS = 1.0

_RECLAIM_BYTES = 32 * 1024 * 1024
"""After so many bytes were replaced their room is made usable again: where segments
are rewritten all the time, the database on its own would do that too seldom."""
_FAILED_SECONDS = 60
"""The time that an organization waits after its compaction has failed."""

_ORGANIZATIONS_MAX = 500
_ROUND_BYTES_MAX = 1024 * 1024
"""The greatest number of organizations and of bytes of their batches in one transaction, which
should be short and take little memory. A single organization may have more bytes."""

_REST = 9
"""The length of a rest, as a multiple of the work before it, while new batches come.

Much of a round takes the same time however many batches it merges. So the compactor works a tenth
of the time under load, whatever the load; with shorter rests it would only do more rounds.
"""


class Compactor:
    """The job that compacts the batches of all organizations."""

    name = "compaction"
    lease = COMPACTION

    def __init__(
        self,
        store: Store,
        cache: CellCache,
        measurements: CompactionMeasurements = NOTHING.compaction,
    ) -> None:
        """Compacted cells are removed from the cache: nobody reads them again."""
        self._store = store
        self._measurements = measurements
        self._cache = cache
        self._tokens = TokenCounting(store)
        self._not_before: dict[int, float] = {}
        self._waiting: Sequence[Pending] = ()
        """The batches that waited at the last look; empty in processes that do not compact."""

    def begin(self) -> None:
        """Forgets the state: another process may have compacted since."""
        self._waiting = ()
        self._before: Sequence[Pending] = ()
        self._rested_at = 0.0
        self._look_at = 0.0
        self._replaced_bytes = 0
        self._tokens.begin()
        self._count_at = 0.0

    def end(self) -> None:
        """Says no more what waits: another process looks after it."""
        self._waiting = ()

    def measure(self) -> None:
        """Sets the gauges of what waits, which gets older where compaction stands still."""
        waiting = self._waiting
        self._measurements.pending_batches.set(sum(one.batches for one in waiting))
        self._measurements.oldest_seconds.set(
            max([time.time() - one.oldest_us / 1e6 for one in waiting], default=0)
        )

    def look(self, stopping: threading.Event) -> None:
        """Compacts the organizations with enough pending batches."""
        started = time.monotonic()
        if started < self._look_at:
            return
        waiting = pending_batches(self._store)
        self._waiting = waiting
        # Where nothing waits, nothing will be old enough before that time.
        self._look_at = _rested(started) if waiting else started + _AGE_ENOUGH_SECONDS
        is_idle = waiting == self._before
        self._before = waiting
        if not is_idle and started < self._rested_at:
            return
        for organizations in _rounds(one for one in waiting if self._is_due(one)):
            if stopping.is_set():
                return
            self._replaced_bytes += self._compact(organizations)
        if self._replaced_bytes >= _RECLAIM_BYTES:
            reclaim(self._store)
            self._replaced_bytes = 0
        self._rested_at = _rested(started)
        if not stopping.is_set():
            self._count_tokens()

    def _count_tokens(self) -> None:
        """Counts tokens of events that earlier versions have stored, a tenth of the time."""
        started = time.monotonic()
        if started < self._count_at:
            return
        try:
            self._tokens.step()
            self._count_at = _rested(started)
        except StoreUnavailableError:
            raise
        except FAILURES:  # logged; compaction must go on
            _log.exception("tokens of earlier events are not counted")
            self._count_at = started + _FAILED_SECONDS

    def _is_due(self, pending: Pending) -> bool:
        not_before = self._not_before.get(pending.organization_number, 0)
        return _is_enough(pending) and time.monotonic() >= not_before

    def _compact(self, organizations: Sequence[int]) -> int:
        """Compacts as much as possible; returns the number of replaced bytes."""
        measurements, started = self._measurements, time.monotonic()
        try:
            replaced_bytes = compact(self._store, organizations, self._cache) or 0
            measurements.rounds["done"].add()
            measurements.seconds.observe(time.monotonic() - started)
            measurements.replaced_bytes.add(replaced_bytes)
            return replaced_bytes
        except StoreUnavailableError:
            measurements.rounds["failed"].add()
            raise
        except FAILURES:  # logged; the other organizations must go on
            measurements.rounds["failed"].add()
            if len(organizations) > 1:
                return sum(self._compact([one]) for one in organizations)
            _log.exception("batches of organization %s are not compacted", organizations[0])
            self._not_before[organizations[0]] = time.monotonic() + _FAILED_SECONDS
            return 0


def _rounds(waiting: Iterable[Pending]) -> Iterator[list[int]]:
    """The organizations of one transaction after the other."""
    organizations: list[int] = []
    size = 0
    for one in waiting:
        if organizations and (
            len(organizations) == _ORGANIZATIONS_MAX or size + one.cells_bytes > _ROUND_BYTES_MAX
        ):
            yield organizations
            organizations, size = [], 0
        organizations.append(one.organization_number)
        size += one.cells_bytes
    if organizations:
        yield organizations


def _rested(started: float) -> float:
    """The end of the rest after work that began at a time and ends now."""
    now = time.monotonic()
    return now + _REST * (now - started)


def _is_enough(waiting: Pending) -> bool:
    return (
        waiting.batches >= _BATCHES_ENOUGH
        or waiting.cells_bytes >= _BYTES_ENOUGH
        or time.time() - waiting.oldest_us / 1e6 >= _AGE_ENOUGH_SECONDS
    )
