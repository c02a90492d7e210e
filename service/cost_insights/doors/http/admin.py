"""The application at the address for administrators: measurements, for whoever can reach it."""

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp


def admin_application(rendered: Callable[[str], tuple[bytes, str]]) -> ASGIApp:
    """The application; `rendered` takes an `accept` header and returns text and its
    content-type."""
    one_at_a_time = asyncio.Lock()

    async def metrics(request: Request) -> Response:
        async with one_at_a_time:
            content, content_type = await asyncio.to_thread(
                rendered, request.headers.get("accept", "")
            )
        return Response(content, media_type=None, headers={"content-type": content_type})

    async def alive(request: Request) -> Response:
        del request
        return PlainTextResponse("alive\n")

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", alive)])
