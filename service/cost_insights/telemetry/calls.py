"""Calls that are running: what is noted of each until its answer ends."""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final

from cost_insights.telemetry.measurements import HEALTH, CallMeasurements, MeasuredOperation
from cost_insights.telemetry.spans import Span, Tracer, continue_with

ACCESS: Final = "cost_insights.access"
"""The name of the log of calls."""

_access = logging.getLogger(ACCESS)

REQUEST_ID: Final = "x-request-id"
"""The header or metadata with the id of a request, which callers may choose and are answered."""

_FAULTS: Final = {"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""The codes with which a span has failed: what the service could not do."""

_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z._:/+=@~-]{1,128}")

_PROCESS: Final = secrets.token_hex(6)
_NUMBERS: Final = itertools.count(1)

_current: ContextVar["RunningCall | None"] = ContextVar("running_call", default=None)


class Calls:
    """What is made of calls: measurements, a line of the log for each, and spans."""

    def __init__(
        self,
        measurements: CallMeasurements,
        access_level: int = logging.DEBUG,
        tracer: Tracer | None = None,
    ) -> None:
        """`access_level` is the level of the line of a call; without a tracer there are no
        spans."""
        self.tracer = tracer
        self.measurements = measurements
        self.access_level = access_level

    def of(self, door: str, operation: str) -> MeasuredOperation:
        """The measurements of an operation; raises KeyError if it is none of that door."""
        return self.measurements.of(door, operation)


class RunningCall:
    """A call through any door, from its arrival to the end of its answer."""

    __slots__ = (
        "_calls",
        "_operation",
        "_started",
        "code",
        "has_failed",
        "has_operation",
        "organization",
        "reason",
        "request_id",
        "span",
    )

    def __init__(
        self,
        calls: Calls,
        operation: MeasuredOperation,
        header: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """`operation` is what the call counts for unless it is found out to be another's, and
        `header` gives headers or metadata by name."""
        self._calls = calls
        self._operation = operation
        self.has_operation = False
        """Whether its operation was noted."""

        self.code = "CANCELLED"
        """The code that it ends with; a call that nobody answers was cancelled."""

        self.has_failed = False
        """Whether it ends with the code of an error."""

        self.reason: str | None = None
        """The reason of its latest error."""

        self.organization: str | None = None
        """The name of the caller's organization, once it is known."""

        request_id = header(REQUEST_ID)
        if request_id is None or not _REQUEST_ID.fullmatch(request_id):
            request_id = f"{_PROCESS}{next(_NUMBERS):010x}"
        self.request_id = request_id
        self.span: Span | None = None
        if calls.tracer is not None:
            self.span = calls.tracer.begin(operation.name, header)
            continue_with(self.span)
        self._started = perf_counter()
        _current.set(self)

    def is_of(self, operation: MeasuredOperation) -> None:
        """Notes the operation, once it is known."""
        self._operation = operation
        self.has_operation = True
        operation.running.add(1)
        if self.span is not None:
            self.span.rename(operation.name)

    def count_error(self, reason: str) -> None:
        """Counts an error, which ends the call or is that of a batch of a stream."""
        self.reason = reason
        self._calls.measurements.errors[reason].add(1)

    def failed(self, code: str) -> None:
        """Notes the code of the error that ends the call."""
        self.code = code
        self.has_failed = True

    def end(self) -> None:
        """Notes the end of the answer."""
        seconds = perf_counter() - self._started
        operation = self._operation
        if self.has_operation:
            operation.running.add(-1)
        operation.by_code[self.code].add(1)
        operation.seconds.observe(seconds)
        level = logging.DEBUG if operation.name == HEALTH else self._calls.access_level
        if _access.isEnabledFor(level):
            _access.handle(AccessRecord(level, self, seconds))
        if self.span is not None:
            facts = {name: one for name, one in self.described(seconds).items() if one is not None}
            self.span.end(facts, error=self.code if self.code in _FAULTS else None)

    @property
    def operation(self) -> MeasuredOperation:
        """The operation, as far as it is known."""
        return self._operation

    def described(self, seconds: float) -> dict[str, Any]:
        """What the log says of the call: nothing that it sent but its id."""
        fields: dict[str, Any] = {
            "request_id": self.request_id,
            "organization": self.organization,
            "door": self._operation.door,
            "operation": self._operation.name,
            "code": self.code,
            "milliseconds": round(seconds * 1_000, 3),
        }
        if self.has_failed and self.reason is not None:
            fields["reason"] = self.reason
        return fields


_TEMPLATE: Final = vars(
    logging.LogRecord(_access.name, logging.INFO, __file__, 0, "call", None, None)
)


class AccessRecord(logging.LogRecord):
    """The record of a call that has ended, made many times faster than the library makes one."""

    def __init__(self, level: int, call: RunningCall, seconds: float) -> None:
        self.__dict__.update(_TEMPLATE)
        self.levelno = level
        self.levelname = "INFO" if level == logging.INFO else "DEBUG"
        self.created = time.time()
        self.msecs = self.created % 1 * 1_000
        self.call = call
        self.seconds = seconds

    @property
    def fields(self) -> dict[str, Any]:
        """What is known of the call."""
        return self.call.described(self.seconds)

    def getMessage(self) -> str:  # noqa: N802 (the name is the library's)
        """The line for people."""
        words = self.fields
        reason = f" ({words['reason']})" if "reason" in words else ""
        return (
            f"{words['door']} {words['operation']}: {words['code']}{reason} in "
            f"{words['milliseconds']:.1f} ms, organization {words['organization']!r}, "
            f"request {words['request_id']}"
        )


def running_call() -> RunningCall | None:
    """The call that the current task works for, if there is one."""
    return _current.get()
