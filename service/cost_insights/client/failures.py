"""Failures of calls as data, for callers that decide for themselves what to try again."""

from dataclasses import dataclass
from typing import Final

import grpc
from google.rpc import status_pb2

from cost_insights.client.statuses import details_of, status_of

# A service that stops cancels what reached it and was not begun.
_UNREACHABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
_TRANSIENT = frozenset(
    {
        "OVERLOADED",
        "RATE_LIMITED",
        "REQUEST_TIMEOUT",
        "SHUTTING_DOWN",
        "STORE_FULL",
        "STORE_LOST",
        "STORE_READ_ONLY",
        "STORE_UNAVAILABLE",
    }
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class Failure:
    """Why a call failed."""

    code: grpc.StatusCode
    message: str
    reason: str
    """The reason of the service; empty if it was not the service that answered."""
    retry_seconds: float
    """The time that the service asks to wait; 0 if it does not say."""
    path: str = ""
    """The path of the field of the request that is at fault, if one is."""

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed later."""
        return self.reason in _TRANSIENT or self.is_unreachable

    @property
    def is_unreachable(self) -> bool:
        """Whether no service answered."""
        return not self.reason and self.code in _UNREACHABLE

    @property
    def is_too_large(self) -> bool:
        """Whether a smaller request may succeed."""
        return self.reason in {"REQUEST_TOO_LARGE", "TOO_MANY_EVENTS"} or (
            not self.reason and self.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        )


def failure_of(error: grpc.RpcError) -> Failure:
    """The failure of a call that raised an error."""
    return _failure(error.code(), error.details(), status_of(error))


def failure_of_status(status: status_pb2.Status) -> Failure:
    """The failure that a status inside an answer reports."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _failure(code, status.message, status)


def _failure(code: grpc.StatusCode, message: str | None, status: status_pb2.Status) -> Failure:
    details = details_of(status)
    path = details.facts.get("path", "")
    return Failure(code, message or code.name, details.reason, details.retry_seconds, path)
