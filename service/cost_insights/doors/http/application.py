"""The application behind the HTTP door: routes, and the middleware of every request."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cost_insights.api.compatible import ENDPOINTS, CompatibleCall, CompatibleRequest, Endpoint
from cost_insights.api.health import Health
from cost_insights.api.operations import Call
from cost_insights.doors.http.answers import error_answer, json_answer
from cost_insights.doors.http.bodies import HttpLimits, read_json
from cost_insights.doors.http.connect import connect_routes
from cost_insights.doors.http.openapi import openapi_routes
from cost_insights.errors import FAILURES
from cost_insights.identity import Authenticator

_GZIP_BYTES_MIN: Final = 1_024
"""The size from which an answer is compressed for those who accept it."""

_READABLE_HEADERS: Final = (
    "Content-Disposition",
    "Grpc-Message",
    "Grpc-Status",
    "Grpc-Status-Details-Bin",
    "Retry-After",
)
"""The headers of answers that pages of other origins may read."""

Handle = Callable[[Request], Awaitable[Response]]


def application(
    calls: Mapping[str, Call],
    compatible_calls: Mapping[str, CompatibleCall],
    health: Health,
    authenticator: Authenticator,
    *,
    limits: HttpLimits,
    cors_origins: Sequence[str],
) -> Starlette:
    """The application; raises KeyError if `compatible_calls`, a mapping by name, lacks one."""
    routes: list[BaseRoute] = [
        Route("/healthz", _alive),
        Route("/readyz", _ready(health)),
        *openapi_routes(),
        *connect_routes(calls, authenticator, limits=limits),
    ]
    for endpoint in ENDPOINTS:
        handle = _handler(endpoint, compatible_calls[endpoint.name], authenticator, limits)
        # Collections are documented with a slash at the end; clients use both forms.
        # A caller's own identifiers may hold slashes.
        path = endpoint.path.replace("{external_id}", "{external_id:path}")
        paths = {path, path.rstrip("/")}
        routes += [Route(path, handle, methods=[endpoint.method]) for path in paths]
    middleware = [Middleware(GZipMiddleware, minimum_size=_GZIP_BYTES_MIN)]
    if cors_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_READABLE_HEADERS,
            max_age=7_200,
        )
        middleware.insert(0, cors)
    # A base URL that ends with a slash makes some SDKs send two of them.
    middleware.append(Middleware(_OneSlash))
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    return app


class _OneSlash:
    """Treats several slashes at the start of a path as one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("//"):
            scope = {**scope, "path": "/" + scope["path"].lstrip("/")}
        await self._app(scope, receive, send)


def _handler(
    endpoint: Endpoint, call: CompatibleCall, authenticator: Authenticator, limits: HttpLimits
) -> Handle:
    method = f"{endpoint.method} {endpoint.path}"

    async def handle(request: Request) -> Response:
        caller = None
        try:
            caller = await authenticator.authorize(
                request.headers.get("authorization"), method=method, scopes=endpoint.scopes
            )
            body = await read_json(request, limits) if endpoint.has_body else b""
            answer = await call(
                caller,
                CompatibleRequest(request.path_params, request.query_params.multi_items(), body),
            )
        except FAILURES as error:  # no error leaves without an answer
            organization = None if caller is None else caller.organization.name
            return error_answer(error, method=method, organization=organization)
        return Response(answer.content, answer.status, answer.headers, answer.media_type)

    return handle


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
