"""Compaction in the background: when pending batches become segments.

Of all processes on a database one compacts at a time. It waits until there is
something worth it, and no longer than a reader would mind; while events pour in it
rests several times as long as it worked, so that most of the machine is theirs, and
the larger rounds make up for that. Between two rounds it gives way to a command that
mends segments.
"""

import logging
import threading
import time
from collections.abc import Sequence

from cost_insights.cells.batches import Pending, pending_batches
from cost_insights.cells.cache import CellCache
from cost_insights.cells.compaction import compact, reclaim
from cost_insights.errors import FAILURES, StoreUnavailableError
from cost_insights.jobs import COMPACTION
from cost_insights.store import Store

_log = logging.getLogger(__name__)

_BATCHES_ENOUGH = 64
_BYTES_ENOUGH = 1024 * 1024
_AGE_ENOUGH_SECONDS = 1.0

_RECLAIM_BYTES = 32 * 1024 * 1024
"""After so many bytes were replaced their room is made usable again: where segments
are rewritten all the time, the database on its own would do that too seldom."""
_FAILED_SECONDS = 60
"""The time that an organization waits after its compaction has failed."""

_REST = 9
"""The length of a rest, as a multiple of the work before it, while new batches come.

Much of a round takes the same time however many batches it merges. So the compactor works a tenth
of the time under load, whatever the load; with shorter rests it would only do more rounds.
"""


class Compactor:
    """The job that compacts the batches of all organizations."""

    name = "compaction"
    lease = COMPACTION

    def __init__(self, store: Store, cache: CellCache) -> None:
        """The cache, from which compacted cells are removed: nobody reads them again."""
        self._store = store
        self._cache = cache
        self._not_before: dict[int, float] = {}

    def begin(self) -> None:
        """Forgets the state: another process may have compacted since."""
        self._before: Sequence[Pending] = ()
        self._rested_at = 0.0
        self._replaced_bytes = 0

    def look(self, stopping: threading.Event) -> None:
        """Compacts the organizations with enough pending batches."""
        waiting = pending_batches(self._store)
        is_idle = waiting == self._before
        self._before = waiting
        if not is_idle and time.monotonic() < self._rested_at:
            return
        started = time.monotonic()
        for one in waiting:
            if _is_enough(one) and not stopping.is_set():
                self._replaced_bytes += self._compact(one.organization_number)
        if self._replaced_bytes >= _RECLAIM_BYTES:
            reclaim(self._store)
            self._replaced_bytes = 0
        self._rested_at = time.monotonic() + _REST * (time.monotonic() - started)

    def _compact(self, organization_number: int) -> int:
        """Compacts as much as possible; returns the number of replaced bytes."""
        if time.monotonic() < self._not_before.get(organization_number, 0):
            return 0
        try:
            return compact(self._store, organization_number, self._cache) or 0
        except StoreUnavailableError:
            raise
        except FAILURES:  # logged; the other organizations must go on
            _log.exception("batches of organization %s are not compacted", organization_number)
            self._not_before[organization_number] = time.monotonic() + _FAILED_SECONDS
            return 0


def _is_enough(waiting: Pending) -> bool:
    return (
        waiting.batches >= _BATCHES_ENOUGH
        or waiting.cells_bytes >= _BYTES_ENOUGH
        or time.time() - waiting.oldest_us / 1e6 >= _AGE_ENOUGH_SECONDS
    )
