"""An HTTP server that answers every request with nothing: what Starlette and uvicorn cost.

It is the server of the service with the same protocol, so that only the service is missing. Run as
a program it prints its address and serves until SIGTERM.
"""

import socket

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cost_insights.doors.connections import ConnectionLimits
from cost_insights.doors.http.listener import server_config

PATH = "/v1/events/ingest"


async def _handle(request: Request) -> Response:
    await request.body()
    return Response("{}", media_type="application/json")


async def serve() -> None:
    """Serves on a free port of 127.0.0.1."""
    app = Starlette(routes=[Route(PATH, _handle, methods=["POST"])])
    server = uvicorn.Server(server_config(app, ConnectionLimits(4_096, 60), body_seconds_max=60))
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"HTTP on 127.0.0.1:{listening.getsockname()[1]}", flush=True)
    await server.serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(serve())
