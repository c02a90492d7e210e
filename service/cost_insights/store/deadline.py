"""A time limit for reads."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cost_insights.errors import QueryTooSlowError

_STOP_AGAIN_SECONDS = 0.5

_RULING: "ContextVar[Deadline | None]" = ContextVar("deadline", default=None)


class Deadline:
    """The end of a read: after some time, or as soon as nobody waits for it any more.

    A call makes a deadline when it begins and hands it to everything that reads for it. The
    database watches it while a statement runs; long computations call `check` now and then.
    """

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._over_at = time.monotonic() + seconds_max
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._cancelled = False

    def seconds_left(self) -> float:
        """The time that is left; 0 once it is over."""
        return max(0.0, self._over_at - time.monotonic())

    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.seconds_left() == 0

    def check(self) -> None:
        """Raises QueryTooSlowError if no time is left."""
        if self.is_over():
            raise QueryTooSlowError(self.seconds_max)

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """Makes this the deadline of every read of this thread during the block, besides those
        that have one of their own."""
        token = _RULING.set(self)
        try:
            yield
        finally:
            _RULING.reset(token)

    @staticmethod
    def of_this_thread() -> "Deadline | None":
        """The deadline that rules what this thread does, if there is one."""
        return _RULING.get()

    def renew(self) -> None:
        """Restarts the time for the next part of a longer read, unless it was cancelled."""
        self._over_at = time.monotonic() + self.seconds_max
        # Checked afterwards, so that a cancellation in between is not overruled.
        if self._cancelled:
            self._over_at = -math.inf

    def cancel(self) -> None:
        """Ends the time now, from any thread, and returns at once."""
        self._cancelled = True
        self._over_at = -math.inf
        # Stopping a statement may take a round trip to the database.
        threading.Thread(target=self._call_stop, name="cancel").start()

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[None]:
        """Calls a function, from another thread, if the deadline is cancelled during the block."""
        with self._lock:
            self._stop = stop
        try:
            # If it was cancelled before, nobody else calls the function.
            self.check()
            yield
        finally:
            # Waits for a running call, which would otherwise stop the next statement.
            with self._lock:
                self._stop = None

    def _call_stop(self) -> None:
        # Repeated until the block ends: the database ignores a stop that arrives before a statement
        # or between two.
        while True:
            with self._lock:
                if self._stop is None:
                    return
                self._stop()
            time.sleep(_STOP_AGAIN_SECONDS)
