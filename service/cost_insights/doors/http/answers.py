"""Answers of the compatible API: JSON, and errors in the shapes from which its SDKs raise theirs.

Unlike a status of gRPC, whose trailers are small, an answer lists every fault.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf import message
from starlette.responses import Response

from cost_insights.api.statuses import WIRE, status_of
from cost_insights.errors import (
    CostInsightsError,
    FieldFault,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from cost_insights.telemetry import running_call
from cost_insights.telemetry.measurements import CODES

_REALM: Final = 'Bearer realm="cost-insights"'

_NAMES: Final = {
    400: "BadRequest",
    403: "Forbidden",
    404: "ResourceNotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    422: "RequestValidationError",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""The name of each error, by status."""


class HttpError(Exception):
    """A request that HTTP itself refuses, such as with 415."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def json_answer(
    content: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer of JSON text."""
    return Response(content, status, headers, media_type="application/json")


def message_answer(answer: message.Message) -> Response:
    """An answer with the fields of a message in snake_case, including those that are 0 or empty."""
    fields = {field.name: getattr(answer, field.name) for field in answer.DESCRIPTOR.fields}
    return json_answer(json.dumps(fields, separators=(",", ":")))


def error_answer(error: BaseException, *, method: str, organization: str | None) -> Response:
    """The answer to an error that a call raised; the error is logged, as those of gRPC are.

    `method` is the call as the log shows it, such as `POST /v1/events/ingest`.
    """
    if isinstance(error, HttpError):
        return _error(error.status, error.detail, error.headers)
    status = status_of(error, method=method, organization=organization)
    if (call := running_call()) is not None:
        call.failed(CODES[status.code])
    if not isinstance(error, CostInsightsError):
        return _error(500, status.message)
    code = WIRE[type(error)].http_status
    match error:
        case InvalidRequestError():
            return _error(code, [_fault(fault) for fault in error.faults])
        case UnauthenticatedError():
            return _unauthenticated(error)
        case PermissionDeniedError():
            return _json(
                code,
                {
                    "error": "insufficient_scope",
                    "error_description": error.message,
                    "detail": error.message,
                },
                {"www-authenticate": f'{_REALM}, error="insufficient_scope"'},
            )
        case NotFoundError():
            return _error(code, error.message)
    headers = {}
    if error.retry_after_ms is not None:
        headers["retry-after"] = retry_after(error.retry_after_ms)
    if code == 413:
        # The rest of the body would be read only to be thrown away.
        headers["connection"] = "close"
    return _error(code, error.message, headers)


def retry_after(milliseconds: int) -> str:
    """The value of `retry-after`: whole seconds, as the compatible SDKs fail on anything else."""
    return str(math.ceil(milliseconds / 1_000))


def location(path: str) -> list[str | int]:
    """The parts of a path such as `events[3].metadata["a key"]`, after `body`."""
    return ["body", *_parts(path)]


_PART: Final = re.compile(r'\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.\[]+)')


def _parts(path: str) -> Iterator[str | int]:
    for index, key, name in _PART.findall(path):
        yield int(index) if index else key or name


def _unauthenticated(error: UnauthenticatedError) -> Response:
    if error.reason == "TOKEN_MISSING":
        return _json(
            401, {"error": "Unauthorized", "detail": error.message}, {"www-authenticate": _REALM}
        )
    return _json(
        401,
        {"error": "invalid_token", "error_description": error.message, "detail": error.message},
        {"www-authenticate": f'{_REALM}, error="invalid_token"'},
    )


def _fault(fault: FieldFault) -> Mapping[str, object]:
    # Paths of queries begin with `query.`; all others lie in the body.
    if fault.path == "query" or fault.path.startswith("query."):
        loc = list(_parts(fault.path))
    else:
        loc = location(fault.path)
    return {
        "type": fault.reason.lower(),
        "loc": loc,
        "msg": fault.message,
        "input": fault.value,
    }


def _error(status: int, detail: object, headers: Mapping[str, str] | None = None) -> Response:
    return _json(status, {"error": _NAMES[status], "detail": detail}, headers or {})


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    return json_answer(
        json.dumps(content, ensure_ascii=False, separators=(",", ":")), status, headers
    )
