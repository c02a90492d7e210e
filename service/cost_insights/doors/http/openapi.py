"""The OpenAPI document of the HTTP door, and a page that shows it.

The part about RPCs is generated from the protos, with their comments. The page is Swagger UI, as
the package `swagger-ui-dist` of npm has it.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from cost_insights.api.compatible import ENDPOINTS, Endpoint
from cost_insights.api.compatible.descriptions import DESCRIPTIONS, SCHEMAS
from cost_insights.doors.http.answers import json_answer

_ERRORS: Final = {
    400: "The request is malformed.",
    401: "The access token is missing, unknown, revoked or expired.",
    403: "The access token lacks the scope.",
    404: "The organization has nothing of that name.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The content-type or the content-encoding is not supported.",
    422: "The request has faults, which are listed.",
    429: "Too much is in work, or a rate is reached; try again after `Retry-After` seconds.",
    431: "The head of the request is too large.",
    500: "The service failed; its log says why under the incident that is named.",
    503: "The database does not answer, or the service is stopping; try again.",
    504: "The answer takes too long; ask for less.",
}

_PATH_PARTS: Final = {
    "id": "The id, as answers show it.",
    "external_id": "The caller's own identifier.",
}
"""The meanings of the variable parts of paths."""

_ALWAYS: Final = (401, 403, 431, 500, 503)
"""The errors that every call may answer."""

_HEADERS: Final = {
    # Nothing is loaded from elsewhere. The page's own styles are in the text of the page.
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cost Insights: API</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START: Final = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""


def openapi_routes() -> Sequence[BaseRoute]:
    """The routes of the document and of the page."""
    return [
        Route("/openapi.json", _document),
        Route("/docs", _page),
        Route("/docs/start.js", _start),
        Mount("/docs/assets", StaticFiles(packages=[(__package__, "swagger_ui")])),
    ]


async def _document(request: Request) -> Response:
    del request
    return json_answer(document())


async def _page(request: Request) -> Response:
    del request
    return HTMLResponse(_PAGE, headers=_HEADERS)


async def _start(request: Request) -> Response:
    del request
    return Response(_START, headers=_HEADERS, media_type="text/javascript")


@functools.cache
def document() -> str:
    """The document as JSON."""
    rpcs = json.loads(resources.files(__package__).joinpath("rpcs.openapi.json").read_text("utf-8"))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    for path, described in rpcs["paths"].items():
        described["post"]["responses"] |= _connect_errors()
        paths[path] = described
    paths["/healthz"] = {"get": _probe("The process is alive", 200)}
    paths["/readyz"] = {"get": _probe("The service can answer, or not", 200, 503)}
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Cost Insights",
                "version": version("cost-insights"),
                "description": "What each customer costs and earns, exact to 10⁻¹² of a cent. "
                "Under `/v1/` is the compatible API, whose SDKs work unchanged; under "
                "`/cost_insights.v1.…/` is every RPC as JSON, by the Connect protocol.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            # Relative to the document, so that it is right behind a proxy too.
            "servers": [{"url": "."}],
            # A token is needed once the database holds one.
            "security": [{"token": []}, {}],
            "paths": paths,
            "components": {
                "schemas": {**SCHEMAS, **rpcs["schemas"]},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _operation(endpoint: Endpoint) -> Mapping[str, Any]:
    described = DESCRIPTIONS[endpoint.name]
    scopes = " or ".join(f"`{scope}`" for scope in sorted(endpoint.scopes))
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [described.tag],
        "summary": described.summary,
        "description": f"{described.words} Needs the scope {scopes}.".strip(),
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "path",
                    "description": _PATH_PARTS[name],
                    "required": True,
                    "schema": {"type": "string"},
                }
                for name in endpoint.path_parts
            ),
            *described.parameters,
        ],
        "responses": {
            str(described.status): _answer("The answer.", described.answer, described.media_type),
            **{str(status): _error(status) for status in sorted({*_ALWAYS, *described.errors})},
        },
    }
    if described.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": described.body}},
        }
    return operation


def _answer(words: str, schema: Any, media_type: str = "application/json") -> Mapping[str, Any]:
    answer: dict[str, Any] = {"description": words}
    if schema is not None:
        answer["content"] = {media_type: {"schema": schema}}
    return answer


def _error(status: int) -> Mapping[str, Any]:
    name = "ValidationError" if status == 422 else "Error"
    return _answer(_ERRORS[status], {"$ref": f"#/components/schemas/{name}"})


def _connect_errors() -> Mapping[str, Any]:
    # 499 is how the Connect protocol says that a call was given up.
    statuses = (400, 401, 403, 404, 429, 499, 500, 501, 503, 504)
    schema = {"$ref": "#/components/schemas/ConnectError"}
    return {
        **{
            str(status): _answer(_ERRORS.get(status, "The call failed."), schema)
            for status in statuses
        },
        "415": _error(415),
        "431": _error(431),
    }


def _probe(words: str, *statuses: int) -> Mapping[str, Any]:
    schema = {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string", "description": "`alive`, `ready` or `not ready`."},
            "detail": {"type": "string", "description": "Why it is not ready, for people."},
        },
    }
    return {
        "operationId": words.partition(" ")[2].replace(" ", "_").replace(",", ""),
        "tags": ["health"],
        "summary": words,
        "security": [{}],
        "responses": {str(status): _answer(f"{words}.", schema) for status in statuses},
    }
