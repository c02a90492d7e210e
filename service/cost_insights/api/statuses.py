"""Errors as `google.rpc.Status`: a code, a sentence and the same facts as data.

Every door answers errors by the one table here. A status may travel in trailers, of which
many clients take 8 KiB. So the faults that fit are listed and the others only counted; the facts
hold the total.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cost_insights.errors import (
    DOMAIN,
    CostInsightsError,
    InvalidEventsError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QueryTooSlowError,
    RateLimitedError,
    RequestTimeoutError,
    ShuttingDownError,
    StoreBusyError,
    StoreFullError,
    StoreLostError,
    StoreReadOnlyError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from cost_insights.logs import RepeatedLines
from cost_insights.telemetry import running_call

_log = logging.getLogger(__name__)

_failed_calls = RepeatedLines(_log, logging.WARNING)

_MESSAGE_CHARS_MAX = 400
_FACT_CHARS_MAX = 128
_VIOLATIONS_BYTES_MAX = 3_000


@dataclass(frozen=True)
class Wire:
    """The codes with which an error is answered."""

    grpc_code: int
    """The `google.rpc.Code`."""

    http_status: int


WIRE: Mapping[type[CostInsightsError], Wire] = {
    InvalidRequestError: Wire(code_pb2.INVALID_ARGUMENT, 422),
    InvalidEventsError: Wire(code_pb2.INVALID_ARGUMENT, 422),
    NotFoundError: Wire(code_pb2.NOT_FOUND, 404),
    UnauthenticatedError: Wire(code_pb2.UNAUTHENTICATED, 401),
    PermissionDeniedError: Wire(code_pb2.PERMISSION_DENIED, 403),
    LimitExceededError: Wire(code_pb2.RESOURCE_EXHAUSTED, 413),
    RequestTimeoutError: Wire(code_pb2.DEADLINE_EXCEEDED, 408),
    OverloadedError: Wire(code_pb2.RESOURCE_EXHAUSTED, 429),
    RateLimitedError: Wire(code_pb2.RESOURCE_EXHAUSTED, 429),
    QueryTooSlowError: Wire(code_pb2.DEADLINE_EXCEEDED, 504),
    StoreUnavailableError: Wire(code_pb2.UNAVAILABLE, 503),
    StoreBusyError: Wire(code_pb2.RESOURCE_EXHAUSTED, 429),
    StoreFullError: Wire(code_pb2.UNAVAILABLE, 503),
    StoreLostError: Wire(code_pb2.UNAVAILABLE, 503),
    StoreReadOnlyError: Wire(code_pb2.UNAVAILABLE, 503),
    ShuttingDownError: Wire(code_pb2.UNAVAILABLE, 503),
}
"""The codes of every error, the same for all doors."""


def status_of(error: BaseException, *, method: str, organization: str | None) -> status_pb2.Status:
    """The status for an error that a call raised; the error is logged.

    Anything but a `CostInsightsError` is logged under an incident number, and the
    caller learns that number and nothing else. The organization is None if the caller is unknown.
    """
    if (call := running_call()) is not None:
        call.count_error(error.reason if isinstance(error, CostInsightsError) else "INTERNAL")
    if not isinstance(error, CostInsightsError):
        incident = secrets.token_hex(4)
        fields = {"incident": incident, "method": method, "organization": organization}
        if call is not None:
            fields["request_id"] = call.request_id
        _log.error(
            "incident %s in %s of %s",
            incident,
            method,
            _shown(organization),
            exc_info=error,
            extra={"fields": fields},
        )
        return _status(
            code_pb2.INTERNAL,
            f"the service failed; its log says why under incident {incident}",
            [_error_info("INTERNAL", {"incident": incident})],
        )
    code = WIRE[type(error)].grpc_code
    # Neither the message nor the facts: they hold what the caller sent.
    line = (
        f"{method} failed with {code_pb2.Code.Name(code)} for the reason {error.reason}, "
        f"called by {_shown(organization or error.organization)}"
    )
    _failed_calls.write(line, key=line)
    details: list[message.Message] = [_error_info(error.reason, error.facts)]
    if isinstance(error, InvalidRequestError):
        details.append(_bad_request(error))
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code, error.message, details)


def log_failed_calls() -> None:
    """Logs the failed calls that were only counted so far."""
    _failed_calls.close()


def _shown(organization: str | None) -> str:
    """The name of an organization for the log: in one line, whatever it contains."""
    return "an unknown caller" if organization is None else f"organization {organization!r}"


def _status(code: int, words: str, details: list[message.Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=_shortened(words, _MESSAGE_CHARS_MAX))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _error_info(reason: str, facts: Mapping[str, str]) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(
        reason=reason,
        domain=DOMAIN,
        metadata={name: _shortened(fact, _FACT_CHARS_MAX) for name, fact in facts.items()},
    )


def _bad_request(error: InvalidRequestError) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for fault in error.faults:
        violation = request.field_violations.add(
            field=_shortened(fault.path, _FACT_CHARS_MAX),
            description=_shortened(fault.message, _MESSAGE_CHARS_MAX),
            reason=fault.reason,
        )
        if request.ByteSize() > _VIOLATIONS_BYTES_MAX and len(request.field_violations) > 1:
            request.field_violations.remove(violation)
            break
    return request


def _shortened(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
