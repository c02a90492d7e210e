"""Log lines of repeated events: the first line is written at once, and repetitions are counted.

The count is written at growing intervals, so that no caller and no outage floods the log, and
nothing goes unmentioned.
"""

import logging
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass

_FIRST_SECONDS = 1.0
_GROWTH = 4
_SECONDS_MAX = 600.0
"""The first repetition is written no sooner than a second after the first line, the next one four
times as long after that, and so on up to the maximum. A line that has not been repeated for the
maximum time is forgotten."""

_KEYS_MAX = 1_000
"""The number of different lines that are counted separately; all others are counted together."""

_LOOK_SECONDS = 1.0


@dataclass
class _Repeated:
    text: str
    told_at: float
    seconds: float
    """The time after `told_at` before which the line is not written again."""

    happened_at: float
    untold: int = 0


class RepeatedLines:
    """Repeated lines of one logger and level; lines with the same key count as repetitions."""

    def __init__(self, log: logging.Logger, level: int) -> None:
        self._log = log
        self._level = level
        self._lock = threading.Lock()
        self._lines: dict[Hashable, _Repeated] = {}
        self._thread: threading.Thread | None = None

    def write(self, text: str, *, key: Hashable) -> None:
        """Writes a line, or counts it if it is a repetition; any thread may call it."""
        now = time.monotonic()
        with self._lock:
            if key not in self._lines and len(self._lines) >= _KEYS_MAX:
                key, text = None, "much more than can be told apart"
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = _Repeated(text, now, _FIRST_SECONDS, now)
                self._log.log(self._level, "%s", text)
            else:
                line.text, line.happened_at = text, now
                line.untold += 1
                self._tell_if_due(line, now)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Writes the counts that are not written yet, and forgets all lines."""
        with self._lock:
            for line in self._lines.values():
                self._tell(line, time.monotonic())
            self._lines.clear()

    def forget(self, key: Hashable) -> None:
        """Forgets a line: the next one with its key is written at once."""
        with self._lock:
            self._lines.pop(key, None)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            with self._lock:
                for key, line in list(self._lines.items()):
                    self._tell_if_due(line, now)
                    if now - line.happened_at > _SECONDS_MAX:
                        del self._lines[key]
                if not self._lines:
                    self._thread = None
                    return

    def _tell_if_due(self, line: _Repeated, now: float) -> None:
        if now >= line.told_at + line.seconds:
            self._tell(line, now)

    def _tell(self, line: _Repeated, now: float) -> None:
        if line.untold:
            self._log.log(
                self._level,
                "%s (%d more in %.0f s)",
                line.text,
                line.untold,
                now - line.told_at,
            )
            line.told_at, line.untold = now, 0
            line.seconds = min(line.seconds * _GROWTH, _SECONDS_MAX)
