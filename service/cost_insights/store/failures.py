"""What the log says of a database that fails: each cause at once, then how often, and its end."""

import logging
import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa

from cost_insights.errors import StoreFullError, StoreReadOnlyError, StoreUnavailableError
from cost_insights.logs import RepeatedLines

_log = logging.getLogger(__name__)
# Commands, which set up no log, tell of the error themselves.
_log.addHandler(logging.NullHandler())

_QUIET_SECONDS = 2.0
"""How long a cause must not have come again before it is said to be over."""

_WORDS_CHARS_MAX = 500


@dataclass
class _Cause:
    words: str
    ends_with_write: bool
    """Whether only a write can prove that it is over."""

    began: float
    last: float
    count: int = 0


class FailureLog:
    """Of all that fails in one database, which threads report as it happens."""

    def __init__(self) -> None:
        self._lines = RepeatedLines(_log, logging.ERROR)
        self._lock = threading.Lock()
        self._causes: dict[str, _Cause] = {}

    def failed(self, error: Exception, meaning: StoreUnavailableError) -> None:
        """Logs an error of the database, and remembers that it goes on."""
        code, words = cause_of(error)
        key = code or words
        now = time.monotonic()
        with self._lock:
            cause = self._causes.get(key)
            if cause is None:
                is_of_writes = isinstance(meaning, (StoreFullError, StoreReadOnlyError))
                cause = self._causes[key] = _Cause(words, is_of_writes, now, now)
            cause.last = now
            cause.count += 1
        self._lines.write(f"the database fails: {words}", key=key)

    def close(self) -> None:
        """Logs what is still to be told."""
        self._lines.close()

    def succeeded(self, *, wrote: bool) -> None:
        """Logs of which causes this was the end."""
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
