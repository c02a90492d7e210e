"""Until when a read may take."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cost_insights.errors import QueryTooSlowError

_STOP_AGAIN_SECONDS = 0.5


class Deadline:
    """When a read is over: after some time, or as soon as nobody waits for it any more.

    It is made where a call begins and handed to whatever reads for that call. The
    database looks at it while a statement runs; whoever computes for long calls
    `check` now and then.
    """

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._over_at = time.monotonic() + seconds_max
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._cancelled = False

    def seconds_left(self) -> float:
        """Until it is over; 0 from then on."""
        return max(0.0, self._over_at - time.monotonic())

    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self.seconds_left() == 0

    def check(self) -> None:
        """Raises QueryTooSlowError if it is over."""
        if self.is_over():
            raise QueryTooSlowError(self.seconds_max)

    def renew(self) -> None:
        """Gives the next part of a longer read as much time again, unless it was cancelled."""
        self._over_at = time.monotonic() + self.seconds_max
        # Looked at afterwards: whoever cancels meanwhile is not overruled.
        if self._cancelled:
            self._over_at = -math.inf

    def cancel(self) -> None:
        """Makes it over now, from any thread, and returns at once."""
        self._cancelled = True
        self._over_at = -math.inf
        # To stop a statement may take a round trip to the database.
        threading.Thread(target=self._call_stop, name="cancel").start()

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[None]:
        """Has a function called, from another thread, if it is cancelled during the block."""
        with self._lock:
            self._stop = stop
        try:
            # Where it was cancelled before, nobody calls.
            self.check()
            yield
        finally:
            # A call that is under way is waited for: it would stop what comes next.
            with self._lock:
                self._stop = None

    def _call_stop(self) -> None:
        # Again until the block has ended: the database forgets a stop that comes before
        # the statement or between two.
        while True:
            with self._lock:
                if self._stop is None:
                    return
                self._stop()
            time.sleep(_STOP_AGAIN_SECONDS)
