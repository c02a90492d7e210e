"""The application behind the HTTP door: routes, and the middleware of every request."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cost_insights.addresses import names_this_machine
from cost_insights.api.admission import CALL_BYTES, COPIES
from cost_insights.api.compatible import (
    ENDPOINTS,
    CompatibleCall,
    CompatibleRequest,
    Endpoint,
)
from cost_insights.api.health import Health
from cost_insights.api.operations import Call
from cost_insights.doors.http.answers import error_answer, json_answer
from cost_insights.doors.http.bodies import Headers, HttpLimits, announced_bytes, read_json
from cost_insights.doors.http.connect import connect_routes
from cost_insights.doors.http.measuring import (
    Direct,
    Measured,
    note_status,
    request_id_header,
)
from cost_insights.doors.http.openapi import openapi_routes
from cost_insights.doors.http.pages import page_routes
from cost_insights.doors.http.protocol import certificate_of
from cost_insights.doors.http.sessions import session_routes
from cost_insights.errors import FAILURES
from cost_insights.identity import Authenticator, Credentials
from cost_insights.telemetry import Calls, MeasuredOperation, RunningCall, running_call
from cost_insights.telemetry.measurements import HTTP

_GZIP_BYTES_MIN: Final = 1_024
"""The size from which an answer is compressed for those who accept it."""

_READABLE_HEADERS: Final = (
    "Content-Disposition",
    "Grpc-Message",
    "Grpc-Status",
    "Grpc-Status-Details-Bin",
    "Retry-After",
    "X-Request-Id",
)
"""The headers of answers that pages of other origins may read."""

_DIRECT: Final = {"events.ingest"}
"""The endpoints that are called most, and whose answers are too small to be compressed."""

Handle = Callable[[Request], Awaitable[Response]]


def application(
    calls: Mapping[str, Call],
    compatible_calls: Mapping[str, CompatibleCall],
    health: Health,
    authenticator: Authenticator,
    *,
    limits: HttpLimits,
    measured_calls: Calls,
    cors_origins: Sequence[str],
) -> ASGIApp:
    """The application; raises KeyError if `compatible_calls`, a mapping by name, lacks one."""
    routes: list[BaseRoute] = [
        Route("/healthz", _alive),
        Route("/readyz", _ready(health)),
        *openapi_routes(),
        *session_routes(authenticator),
        *page_routes(),
        *connect_routes(calls, authenticator, limits=limits, measured_calls=measured_calls),
    ]
    direct: dict[tuple[str, str], Direct] = {}
    for endpoint in ENDPOINTS:
        call = compatible_calls[endpoint.name]
        handle = _CompatibleEndpoint(
            endpoint, call, authenticator, limits, measured_calls.of(HTTP, endpoint.name)
        )
        # Collections are documented with a slash at the end; clients use both forms.
        # A caller's own identifiers may hold slashes.
        path = endpoint.path.replace("{external_id}", "{external_id:path}")
        paths = {path, path.rstrip("/")}
        routes += [Route(path, handle, methods=[endpoint.method]) for path in paths]
        if endpoint.name in _DIRECT:
            direct[endpoint.method, endpoint.path] = handle.answer
    routed = Starlette(
        routes=routes,
        middleware=[
            Middleware(GZipMiddleware, minimum_size=_GZIP_BYTES_MIN),
            # A base URL that ends with a slash makes some SDKs send two of them.
            Middleware(_OneSlash),
        ],
        exception_handlers={HTTPException: _no_route},
    )
    routed.router.redirect_slashes = False
    app: ASGIApp = routed
    if cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_READABLE_HEADERS,
            max_age=7_200,
        )
    return Measured(app, measured_calls, direct)


class _OneSlash:
    """Treats several slashes at the start of a path as one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("//"):
            scope = {**scope, "path": "/" + scope["path"].lstrip("/")}
        await self._app(scope, receive, send)


class _CompatibleEndpoint:
    """An endpoint of the compatible API: authenticates, reads, calls and writes."""

    def __init__(
        self,
        endpoint: Endpoint,
        call: CompatibleCall,
        authenticator: Authenticator,
        limits: HttpLimits,
        measurements: MeasuredOperation,
    ) -> None:
        self._measurements = measurements
        self._call = call
        self._authenticator = authenticator
        self._limits = limits
        self._method = f"{endpoint.method} {endpoint.path}"
        self._scopes = endpoint.scopes
        self._has_body = endpoint.has_body
        self._ingests = endpoint.ingests

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        running = running_call()
        assert running is not None  # noqa: S101 - every call is measured
        return self.answer(running, scope, receive, send, shows_id=False)

    async def answer(
        self,
        running: RunningCall,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        shows_id: bool = True,
    ) -> None:
        """Answers a request; `shows_id` says that nobody else notes the status and sends the id of
        the request."""
        budget, bytes_max = self._limits.budget, self._limits.bytes_max
        headers: Headers = dict(scope["headers"])
        caller = reservation = refusal = None
        running.is_of(self._measurements)
        # A request is in work until the last byte of its answer is written.
        try:
            try:
                authorization = headers.get(b"authorization")
                credentials = (
                    Credentials(authorization.decode("latin-1"))
                    if authorization is not None
                    else Credentials(
                        certificate=certificate_of(scope),
                        names_this_machine=names_this_machine(
                            headers.get(b"host", b"").decode("latin-1") or None
                        ),
                    )
                )
                caller = await self._authenticator.authorize(
                    credentials, method=self._method, scopes=self._scopes
                )
                size = CALL_BYTES
                if self._has_body:
                    size = max(size, COPIES * announced_bytes(headers, bytes_max))
                reservation = budget.reserve(caller.organization, size, ingests=self._ingests)
                if reservation is None:
                    reservation = await budget.room(
                        caller.organization, size, ingests=self._ingests
                    )
                body = b""
                if self._has_body:
                    body = await read_json(headers, receive, bytes_max, reservation)
                query = scope["query_string"]
                answer = await self._call(
                    caller,
                    CompatibleRequest(
                        scope.get("path_params", {}),
                        QueryParams(query).multi_items() if query else (),
                        body,
                    ),
                )
            except FAILURES as error:  # no error leaves without an answer
                organization = None if caller is None else caller.organization.name
                refusal = error_answer(error, method=self._method, organization=organization)
            if refusal is not None:
                if shows_id:
                    note_status(running, refusal.status_code)
                    refusal.raw_headers.append(request_id_header(running))
                await refusal(scope, receive, send)
                return
            content = answer.content.encode()
            answered = []
            if answer.status != 204:
                answered = [
                    (b"content-length", b"%d" % len(content)),
                    (b"content-type", answer.media_type.encode()),
                ]
                for name, value in answer.headers.items():
                    answered.append((name.encode(), value.encode()))
            if shows_id:
                note_status(running, answer.status)
                answered.append(request_id_header(running))
            await send(
                {"type": "http.response.start", "status": answer.status, "headers": answered}
            )
            await send({"type": "http.response.body", "body": content})
        finally:
            if reservation is not None:
                reservation.release()


async def _alive(request: Request) -> Response:
    del request
    return json_answer('{"status":"alive"}')


def _ready(health: Health) -> Handle:
    async def ready(request: Request) -> Response:
        del request
        if health.serving:
            return json_answer('{"status":"ready"}')
        return json_answer(
            '{"status":"not ready","detail":"the database does not answer, or the service is '
            'stopping"}',
            503,
            {"retry-after": "1"},
        )

    return ready


async def _no_route(request: Request, error: Exception) -> Response:
    """The answer where no route takes the request, or none takes its method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        headers = {"allow": allowed}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        return json_answer(
            '{"error":"MethodNotAllowed","detail":"the path does not take this method; allowed are '
            f'{allowed}"}}',
            405,
            headers,
        )
    return json_answer('{"detail":"Not Found"}', 404)
