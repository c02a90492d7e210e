"""The log of the service on stderr: lines for people, or an object of JSON a line for machines.

Lines are formatted and written by a thread of their own, many at a time, so that neither a slow
reader nor a full pipe holds the event loop up. Lines beyond what may wait are counted instead.
"""

import contextlib
import copy
import datetime
import functools
import json
import logging
import os
import re
import sys
import threading
import time
from collections import deque
from typing import Final, TextIO

from cost_insights.settings import LogFormat
from cost_insights.telemetry import ACCESS, AccessRecord, running_call

_WAITING_MAX: Final = 10_000
"""The number of lines that may wait to be written."""

_GATHERING_SECONDS: Final = 0.02
"""The time for which a line waits for others, which are written together with it."""

_FLUSH_SECONDS: Final = 2.0
"""The time that the last lines may take when the process ends."""

_SECRETS: Final = (
    # Values of rows, which PostgreSQL adds to its errors.
    (re.compile(r"^(.*\bDETAIL: ).*$", re.MULTILINE), r"\1(left out)"),
    (re.compile(r"\bci_[0-9A-Za-z_-]{16,}"), "ci_***"),
    (re.compile(r"(?i)\b(bearer )\S+"), r"\1***"),
    (re.compile(r"(\w://[^\s:/@]*:)[^\s@]+@"), r"\1***@"),
)
"""Patterns of secrets, and the text that takes their place in every line."""


def set_up_log(level: int, log_format: LogFormat, *, shows_process: bool = False) -> None:
    """Makes every log go to stderr; `shows_process` tells processes apart on a console."""
    is_json = log_format is LogFormat.JSON
    formatter = JsonLines() if is_json else ConsoleLines(shows_process=shows_process)
    handler = QueuedHandler(formatter, sys.stderr)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


class ConsoleLines(logging.Formatter):
    """Lines for people."""

    def __init__(self, *, shows_process: bool) -> None:
        process = f" [{os.getpid()}]" if shows_process else ""
        super().__init__(f"%(asctime)s %(levelname)s{process} %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        return without_secrets(super().format(record))


class QueuedHandler(logging.Handler):
    """Hands lines over to a thread that writes them."""

    def __init__(self, formatter: logging.Formatter, stream: TextIO) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._lines = formatter
        self._stream = stream
        self._waiting: deque[logging.LogRecord] = deque()
        self._arrived = threading.Event()
        self._lost = 0
        self._is_writing = False
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Takes a record; any thread may call it, and none waits for another."""
        if not self.filter(record):
            return False
        try:
            self.emit(record)
        except Exception:  # noqa: BLE001 - a line that is malformed must not fail a call
            self.handleError(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Lets a record wait, with what only the thread that logs it knows."""
        if len(self._waiting) >= _WAITING_MAX:
            self._lost += 1
            return
        if record.args or record.exc_info:
            # Other handlers have the record as well.
            record = copy.copy(record)
        if record.args:
            record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            # No error holds a request in memory.
            record.exc_text = self._lines.formatException(record.exc_info)
            record.exc_info = None
        if (
            not isinstance(record, AccessRecord)
            and not hasattr(record, "fields")
            and (call := running_call()) is not None
        ):
            record.fields = {"request_id": call.request_id}
        self._waiting.append(record)
        if not self._arrived.is_set():
            self._arrived.set()

    def flush(self) -> None:
        """Returns once everything is written, or after some time: a reader may be stuck."""
        until = time.monotonic() + _FLUSH_SECONDS
        while self._waiting or self._arrived.is_set() or self._is_writing:
            if time.monotonic() > until:
                return
            time.sleep(_GATHERING_SECONDS / 2)

    def _run(self) -> None:
        while True:
            self._arrived.wait()
            time.sleep(_GATHERING_SECONDS)
            self._is_writing = True
            self._arrived.clear()
            lines = []
            # Lines that arrive meanwhile are for the next time: they may be without end.
            for _ in range(len(self._waiting)):
                record = self._waiting.popleft()
                try:
                    lines.append(self._lines.format(record))
                except Exception:  # noqa: BLE001 - the thread must go on
                    self.handleError(record)
            if self._lost:
                lost, self._lost = self._lost, 0
                words = f"{lost} lines are lost, because the log could not be written as fast"
                lines.append(self._lines.format(_record(words)))
            # A stream that is closed is nobody's fault.
            with contextlib.suppress(OSError, ValueError):
                if lines:
                    self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            self._is_writing = False


def _record(words: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, words, None, None)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JsonLines(logging.Formatter):
    """An object of JSON a line."""

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()
        self._latest = (0, "")
        """The latest second, and how it is written."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        if isinstance(record, AccessRecord):
            return self._line_of_call(record)
        return _encode(self.fields(record))

    def _line_of_call(self, record: AccessRecord) -> str:
        """The line of a call, which there are so many of that the library would take too long."""
        call = record.call
        # Nothing but the name of an organization has characters that JSON escapes.
        reason = f',"reason":"{call.reason}"' if call.has_failed and call.reason else ""
        return (
            f'{{"time":"{self._time(record.created)}","level":"{record.levelname.lower()}",'
            f'"logger":"{ACCESS}","message":"call","process":{self._process},'
            f'"request_id":"{call.request_id}","organization":{_encoded(call.organization)},'
            f'"door":"{call.operation.door}","operation":"{call.operation.name}",'
            f'"code":"{call.code}","milliseconds":{record.seconds * 1_000:.3f}{reason}}}'
        )

    def _time(self, seconds: float) -> str:
        whole = int(seconds)
        second, text = self._latest
        if whole != second:
            moment = datetime.datetime.fromtimestamp(whole, datetime.UTC)
            text = moment.strftime("%Y-%m-%dT%H:%M:%S")
            self._latest = whole, text
        return f"{text}.{int((seconds - whole) * 1_000):03d}Z"

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """The fields of a record; none of them is secret."""
        is_access = isinstance(record, AccessRecord)
        fields: dict[str, object] = {
            "time": self._time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            # Of a call there are only fields, none of which holds what it sent.
            "message": "call" if is_access else without_secrets(record.getMessage()),
            "process": self._process,
        }
        fields.update(getattr(record, "fields", ()))
        traceback = record.exc_text
        if not traceback and record.exc_info:
            traceback = self.formatException(record.exc_info)
        if traceback:
            fields["traceback"] = without_secrets(traceback)
        return fields


_encoded = functools.lru_cache(maxsize=1_000)(_encode)
"""Encodes what comes again and again, such as names of organizations."""


def without_secrets(text: str) -> str:
    """A text in which secrets are replaced, should an error have repeated any."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
