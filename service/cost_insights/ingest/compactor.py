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
from collections.abc import Callable, Sequence

from cost_insights.errors import FAILURES, StoreUnavailableError
from cost_insights.store import Pending, Store

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_BATCHES_ENOUGH = 64
_BYTES_ENOUGH = 1024 * 1024
_AGE_ENOUGH_SECONDS = 1.0

_RECLAIM_BYTES = 32 * 1024 * 1024
"""After so many bytes were replaced their room is made usable again: where segments
are rewritten all the time, the database on its own would do that too seldom."""
_FAILED_SECONDS = 60
"""How long an organization waits whose compaction has failed."""

_REST = 9
"""How many times as long as it worked it rests while new batches come.

Much of a round is the same however many batches it takes in. So it works a tenth of
the time under load, whatever the load; where it rested less it would only do more rounds.
"""


class Compactor:
    """Compacts the batches of all organizations, in a thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._not_before: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run, name="compactor", daemon=True)

    def start(self) -> None:
        """Begins to look for pending batches."""
        self._thread.start()

    def stop(self) -> None:
        """Returns once it has finished what it was at."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                with self._store.compaction_lock() as is_mine:
                    self._compact_on(is_mine)
            except StoreUnavailableError:
                pass  # logged by the store; batches are compacted later
            except FAILURES:  # logged; the thread must go on
                _log.exception("batches could not be compacted; they are counted all the same")
                self._stopping.wait(_AGE_ENOUGH_SECONDS)

    def _compact_on(self, is_mine: Callable[[], bool]) -> None:
        before: Sequence[Pending] = ()
        rested_at = 0.0
        replaced_bytes = 0
        while not self._stopping.wait(_LOOK_SECONDS):
            if not is_mine():
                continue
            if self._store.compaction_must_pause():
                return
            waiting = self._store.pending()
            is_idle = waiting == before
            before = waiting
            if not is_idle and time.monotonic() < rested_at:
                continue
            started = time.monotonic()
            for one in waiting:
                if _is_enough(one) and not self._stopping.is_set():
                    replaced_bytes += self._compact(one.organization_number)
            if replaced_bytes >= _RECLAIM_BYTES:
                self._store.reclaim()
                replaced_bytes = 0
            rested_at = time.monotonic() + _REST * (time.monotonic() - started)

    def _compact(self, organization_number: int) -> int:
        """Compacts what it can; returns how many bytes were replaced."""
        if time.monotonic() < self._not_before.get(organization_number, 0):
            return 0
        try:
            return self._store.compact(organization_number) or 0
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
