"""Logging database failures: each cause at once, then how often it recurs, and its end."""

import logging
import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights.errors import (
    StoreFullError,
    StoreLostError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from cost_insights.logs import RepeatedLines
from cost_insights.telemetry import NOTHING, DatabaseMeasurements

_log = logging.getLogger(__name__)
# Commands set up no log, and report the error themselves.
_log.addHandler(logging.NullHandler())

_QUIET_SECONDS = 2.0
"""The time without recurrence after which a cause is reported to be over."""

_WORDS_CHARS_MAX = 500


@dataclass
class _Cause:
    words: str
    ends_with_write: bool
    """Whether only a write can prove that the cause is over."""

    began: float
    last: float
    count: int = 0


class FailureLog:
    """The failures of one database, reported by threads as they happen."""

    def __init__(self, measurements: DatabaseMeasurements = NOTHING.database) -> None:
        self._measurements = measurements
        self._lines = RepeatedLines(_log, logging.ERROR)
        self._lock = threading.Lock()
        self._causes: dict[str, _Cause] = {}

    def failed(self, error: Exception, meaning: StoreUnavailableError) -> None:
        """Logs an error of the database, and remembers its cause as ongoing."""
        code, words = cause_of(error)
        key = code or words
        now = time.monotonic()
        with self._lock:
            cause = self._causes.get(key)
            if cause is None:
                is_of_writes = isinstance(
                    meaning, (StoreFullError, StoreLostError, StoreReadOnlyError)
                )
                cause = self._causes[key] = _Cause(words, is_of_writes, now, now)
            cause.last = now
            cause.count += 1
            self._measurements.failures.add()
        self._lines.write(f"the database fails: {words}", key=key)

    def close(self) -> None:
        """Logs the failures that were only counted so far."""
        self._lines.close()

    def succeeded(self, *, wrote: bool) -> None:
        """Logs the causes that are over."""
        if not self._causes:
            return
        now = time.monotonic()
        with self._lock:
            over = [
                key
                for key, cause in self._causes.items()
                if now - cause.last >= _QUIET_SECONDS and (wrote or not cause.ends_with_write)
            ]
            ended = [(key, self._causes.pop(key)) for key in over]
        for key, cause in ended:
            self._lines.forget(key)
            _log.warning(
                "the database works again: %s (%d times in %.1f s)",
                cause.words,
                cause.count,
                cause.last - cause.began,
            )


def cause_of(error: Exception) -> tuple[str, str]:
    """The code of an error, where it has one, and the words of the driver with it, in one line.

    Neither the statement nor its values are in it.
    """
    origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    code = getattr(origin, "sqlstate", None) or getattr(origin, "sqlite_errorname", None) or ""
    words = " ".join(str(origin).split())[:_WORDS_CHARS_MAX] or type(origin).__name__
    return code, f"{words} ({code})" if code else words
