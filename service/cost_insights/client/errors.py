"""Errors of the client.

CallError
├── RefusedError         the request must change: bad input, a token, a scope
└── UnavailableError     the service did not answer in time, all retries included
InvalidEventError        an event that cannot be put into a message at all
"""

from collections.abc import Mapping
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_STATUS_TRAILER = "grpc-status-details-bin"

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


_LASTING = frozenset({"REQUEST_TOO_LARGE", "QUERY_TOO_SLOW"})
"""Reasons for which the same call fails again, whatever its code says."""


class InvalidEventError(ValueError):
    """An event cannot be put into a message; the text names the place in the list and why."""


class CallError(Exception):
    """A call failed; `reason` is one of the service's or empty, `facts` are its variable parts."""

    def __init__(self, code: grpc.StatusCode, message: str, status: status_pb2.Status) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.reason = ""
        self.facts: Mapping[str, str] = {}
        self.violations: tuple[tuple[str, str], ...] = ()
        """(path, description) of each fault that the status names."""

        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        for detail in status.details:
            if detail.Unpack(info):
                self.reason, self.facts = info.reason, dict(info.metadata)
            elif detail.Unpack(request):
                self.violations = tuple(
                    (each.field, each.description) for each in request.field_violations
                )


class RefusedError(CallError):
    """The request must change."""


class UnavailableError(CallError):
    """The service did not answer in time, all retries included."""


def is_retryable(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return (
        isinstance(error, grpc.RpcError)
        and error.code() in RETRYABLE
        and _reason(error) not in _LASTING
    )


def call_error(error: grpc.RpcError) -> CallError:
    """The error of the client for one of gRPC's."""
    kind = UnavailableError if is_retryable(error) else RefusedError
    return kind(error.code(), error.details() or "", _status(error))


def _reason(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in _status(error).details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _status(error: grpc.RpcError) -> status_pb2.Status:
    trailers: Any = error.trailing_metadata() or ()
    for name, value in trailers:
        if name == _STATUS_TRAILER:
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()
