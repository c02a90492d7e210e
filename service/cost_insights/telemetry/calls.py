"""Calls that are running: what is noted of each until its answer ends."""

from contextvars import ContextVar
from time import perf_counter

from cost_insights.telemetry.measurements import CallMeasurements, MeasuredOperation

_current: ContextVar["RunningCall | None"] = ContextVar("running_call", default=None)


class RunningCall:
    """A call through any door, from its arrival to the end of its answer."""

    __slots__ = ("_calls", "_operation", "_started", "code", "has_failed", "has_operation")

    def __init__(self, calls: CallMeasurements, operation: MeasuredOperation) -> None:
        """`operation` is what the call counts for unless it is found out to be another's."""
        self._calls = calls
        self._operation = operation
        self.has_operation = False
        """Whether its operation was noted."""

        self.code = "CANCELLED"
        """The code that it ends with; a call that nobody answers was cancelled."""

        self.has_failed = False
        """Whether it ends with the code of an error."""

        self._started = perf_counter()
        _current.set(self)

    def is_of(self, operation: MeasuredOperation) -> None:
        """Notes the operation, once it is known."""
        self._operation = operation
        self.has_operation = True
        operation.running.add(1)

    def count_error(self, reason: str) -> None:
        """Counts an error, which ends the call or is that of a batch of a stream."""
        self._calls.errors[reason].add(1)

    def failed(self, code: str) -> None:
        """Notes the code of the error that ends the call."""
        self.code = code
        self.has_failed = True

    def end(self) -> None:
        """Notes the end of the answer."""
        operation = self._operation
        if self.has_operation:
            operation.running.add(-1)
        operation.by_code[self.code].add(1)
        operation.seconds.observe(perf_counter() - self._started)


def running_call() -> RunningCall | None:
    """The call that the current task works for, if there is one."""
    return _current.get()
