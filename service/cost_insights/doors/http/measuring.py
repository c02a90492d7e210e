"""Measuring the calls of HTTP."""

from collections.abc import Awaitable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

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


class Direct(Protocol):
    """An endpoint that is answered at once: it notes the code of its answer and sends the id of the
    request itself."""

    def __call__(
        self, running: RunningCall, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Answers a request."""


class Measured:
    """An application whose calls are measured.

    Their answers have the id of the request. A call is one of an unknown path, unless it is open to
    anybody or what answers it notes its operation.

    Some endpoints are answered directly. With routes and middleware around it, which look at every
    part of an answer, a small request takes longer than to store an event. Requests of pages of
    another origin need the middleware.
    """

    def __init__(
        self, app: ASGIApp, calls: Calls, direct: Mapping[tuple[str, str], Direct]
    ) -> None:
        """`direct` has endpoints by their method and path."""
        self._app = app
        self._calls = calls
        self._direct = direct
        self._unknown = calls.of(HTTP, UNKNOWN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        running = RunningCall(self._calls, self._unknown, lambda name: _header(name, headers))
        try:
            direct = self._direct.get((scope["method"], scope["path"]))
            if direct is None or _header("origin", headers) is not None:
                await self._app(scope, receive, partial(_send_noted, running, send))
            else:
                await direct(running, scope, receive, send)
        finally:
            if not running.has_operation:
                name = _OPEN.get(scope["path"].lstrip("/").partition("/")[0], UNKNOWN)
                running.is_of(self._calls.of(HTTP, name))
            running.end()


async def _send_noted(running: RunningCall, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        note_status(running, message["status"])
        message["headers"] = [*message.get("headers", ()), request_id_header(running)]
    await send(message)


def note_status(running: RunningCall, status: int) -> None:
    """Notes the status of an answer, unless the code of an error is noted."""
    if not running.has_failed:
        running.code = code_of(status)


def request_id_header(running: RunningCall) -> tuple[bytes, bytes]:
    """The header of an answer with the id of its request."""
    return _REQUEST_ID, running.request_id.encode()


def _header(name: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    wanted = name.encode()
    for key, value in headers:
        if key == wanted:
            return value.decode("latin-1")
    return None


def code_of(status: int) -> str:
    """The code of a call that ended with a status of HTTP."""
    return "OK" if status < 400 else _CODES.get(status, "UNKNOWN")


def count_refusal(calls: Calls, status: int) -> None:
    """Counts what was refused before it was a call: bytes that are no request, or a connection."""
    running = RunningCall(calls, calls.of(HTTP, UNKNOWN))
    running.code = code_of(status)
    running.end()
