"""Measuring the calls of HTTP."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cost_insights.telemetry import REQUEST_ID, Calls, RunningCall
from cost_insights.telemetry.measurements import DASHBOARD, DOCUMENTS, HEALTH, HTTP, UNKNOWN

_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

_REQUEST_ID: Final = REQUEST_ID.encode()

_OPEN: Final = {
    "": DASHBOARD,
    "dashboard": DASHBOARD,
    "healthz": HEALTH,
    "readyz": HEALTH,
    "openapi.json": DOCUMENTS,
    "docs": DOCUMENTS,
}
"""The operations that are open to anybody, by the first part of their path."""


class Measured:
    """An application whose calls are measured.

    Their answers have the id of the request. A call is one of an unknown path, unless it is open to
    anybody or what answers it notes its operation.
    """

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self._app = app
        self._calls = calls
        self._unknown = calls.of(HTTP, UNKNOWN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        running = RunningCall(self._calls, self._unknown, lambda name: _header(name, scope))
        answered = (_REQUEST_ID, running.request_id.encode())

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                if not running.has_failed:
                    running.code = code_of(message["status"])
                message["headers"] = [*message.get("headers", ()), answered]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            if not running.has_operation:
                name = _OPEN.get(scope["path"].lstrip("/").partition("/")[0], UNKNOWN)
                running.is_of(self._calls.of(HTTP, name))
            running.end()


def _header(name: str, scope: Scope) -> str | None:
    wanted = name.encode()
    for key, value in scope["headers"]:
        if key == wanted:
            text: str = value.decode("latin-1")
            return text
    return None


def code_of(status: int) -> str:
    """The code of a call that ended with a status of HTTP."""
    return "OK" if status < 400 else _CODES.get(status, "UNKNOWN")


def count_refusal(calls: Calls, status: int) -> None:
    """Counts what was refused before it was a call: bytes that are no request, or a connection."""
    running = RunningCall(calls, calls.of(HTTP, UNKNOWN))
    running.code = code_of(status)
    running.end()
