"""Errors of the client.

CallError
├── RefusedError         the request must change: bad input, a token, a scope
└── UnavailableError     the service did not answer in time, all retries included
InvalidRecordError       a record that cannot be put into a message at all
└── InvalidEventError    an event that cannot
"""

import grpc
from google.rpc import status_pb2

from cost_insights.client.statuses import details_of, status_of

RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        # A retry of a call that may have been carried out is safe: every event
        # has an external id.
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)

_LASTING = frozenset({"QUERY_TOO_SLOW"})
"""Reasons for which the same call fails again, whatever its code says."""


class InvalidRecordError(ValueError):
    """A record cannot be put into a message; the text names the place in the list and why."""


class InvalidEventError(InvalidRecordError):
    """An event cannot be put into a message."""


class CallError(Exception):
    """A call failed.

    `reason` is one of the service's or empty, `facts` are the variable parts of the message,
    and `violations` (path, description) of each fault that the status names.
    """

    def __init__(self, code: grpc.StatusCode, message: str, status: status_pb2.Status) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason, self.facts, self.violations, _ = details_of(status)


class RefusedError(CallError):
    """The request must change."""


class UnavailableError(CallError):
    """The service did not answer in time, all retries included."""


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    if not isinstance(error, grpc.RpcError) or error.code() not in RETRYABLE:
        return False
    details = details_of(status_of(error))
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # Of what is exhausted only some becomes free again: a message that is too large for
        # either side stays too large, and neither runtime says more than that.
        return details.retry_seconds > 0
    return details.reason not in _LASTING


def call_error(error: grpc.RpcError) -> CallError:
    """The error of the client for one of gRPC's."""
    kind = UnavailableError if is_retryable(error) else RefusedError
    return kind(error.code(), error.details() or "", status_of(error))
