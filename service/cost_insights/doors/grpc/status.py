"""Errors as gRPC statuses: a code, a sentence and the same facts as data.

A status travels in trailers, of which many clients take 8 KiB. So the faults
that fit are named and the rest are counted; the facts say how many there are.
"""

import logging
import secrets
from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from cost_insights.errors import DOMAIN, WIRE, CostInsightsError, InvalidRequestError

_log = logging.getLogger(__name__)

_MESSAGE_CHARS_MAX = 400
_FACT_CHARS_MAX = 128
_VIOLATIONS_BYTES_MAX = 3_000


def status_of(error: BaseException, *, method: str) -> tuple[grpc.StatusCode, str, bytes]:
    """(code, message, encoded `google.rpc.Status`) of whatever a call raised.

    An error that is none of ours is logged under an incident number, and the
    caller learns that number and nothing else.
    """
    if not isinstance(error, CostInsightsError):
        incident = secrets.token_hex(4)
        _log.error("incident %s in %s", incident, method, exc_info=error)
        return _encode(
            grpc.StatusCode.INTERNAL,
            f"the service failed; its log says why under incident {incident}",
            [_error_info("INTERNAL", {"incident": incident})],
        )
    details: list[message.Message] = [_error_info(error.reason, error.facts)]
    if isinstance(error, InvalidRequestError):
        details.append(_bad_request(error))
    if error.retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _encode(WIRE[type(error)].grpc_code, error.message, details)


def _encode(
    code: grpc.StatusCode, words: str, details: list[message.Message]
) -> tuple[grpc.StatusCode, str, bytes]:
    words = _shortened(words, _MESSAGE_CHARS_MAX)
    status = status_pb2.Status(code=code.value[0], message=words)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return code, words, status.SerializeToString()


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
