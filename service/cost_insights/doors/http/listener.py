"""Listening for HTTP."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from cost_insights.addresses import (
    AddressError,
    is_socket,
    join_address,
    socket_family,
    split_address,
)
from cost_insights.doors.connections import ConnectionLimits
from cost_insights.doors.http.measuring import count_refusal
from cost_insights.doors.http.protocol import Connection
from cost_insights.doors.tls import Certificates
from cost_insights.telemetry import Calls

_BACKLOG: Final = 2_048


class HttpListener:
    """An HTTP server of one process, in the event loop that gRPC uses too."""

    def __init__(
        self,
        address: str,
        app: ASGIApp,
        measured_calls: Calls,
        *,
        body_seconds_max: float,
        connections: ConnectionLimits,
        certificates: Certificates | None,
        share_port: bool,
    ) -> None:
        """`share_port` lets other processes listen on the same port."""
        self.address = address
        """The address it listens on; once started, with the port that was taken."""

        self._certificates = certificates
        self._share_port = share_port
        self._connections = connections
        self._body_seconds_max = body_seconds_max
        self._measured_calls = measured_calls
        self._app = app
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens; raises AddressError if it cannot."""
        listening = _listening(self.address, share_port=self._share_port)
        if not is_socket(self.address):
            host, _ = split_address(self.address)
            self.address = join_address(host, listening.getsockname()[1])
        config = server_config(
            self._app,
            self._connections,
            body_seconds_max=self._body_seconds_max,
            on_refusal=partial(count_refusal, self._measured_calls),
        )
        if self._certificates is not None:
            context = self._certificates.ssl_context()
            config.ssl_context_factory = lambda _, __: context
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        await self._server.has_started.wait()

    async def stop(self, drain_seconds: float) -> None:
        """Refuses new calls and waits for the running ones."""
        if self._server is None or self._serving is None:
            return
        self._server.drain(drain_seconds)
        await self._serving


def server_config(
    app: ASGIApp,
    connections: ConnectionLimits,
    *,
    body_seconds_max: float,
    on_refusal: Callable[[int], object] = lambda _: None,
) -> uvicorn.Config:
    """The configuration of a server in an event loop that is there already."""
    return uvicorn.Config(
        app,
        # The type asks for a class, and whatever makes a protocol will do.
        http=cast(
            "type[asyncio.Protocol]",
            partial(
                Connection,
                body_seconds_max=body_seconds_max,
                connections_max=connections.connections_max,
                on_refusal=on_refusal,
            ),
        ),
        ws="none",
        lifespan="off",
        interface="asgi3",
        # The service configures logging itself; malformed requests are not its errors.
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        # The address of a client behind a proxy is found in the logs of the proxy.
        proxy_headers=False,
        # The type says whole seconds, but the event loop takes any number.
        timeout_keep_alive=cast("int", connections.idle_seconds_max),
        backlog=_BACKLOG,
    )


class _Server(uvicorn.Server):
    """A server in an event loop that it does not own, so it leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    def drain(self, seconds: float) -> None:
        """Begins to stop; running calls are cancelled after that time."""
        # The type says whole seconds, but the event loop takes any number.
        self.config.timeout_graceful_shutdown = seconds  # type: ignore[assignment]
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens on the sockets."""
        await super().startup(sockets)
        self.has_started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the service."""
        yield


def _listening(address: str, *, share_port: bool) -> socket.socket:
    try:
        if is_socket(address):
            return _unix_socket(address)
        host, port = split_address(address)
        family = socket_family(host)
        return socket.create_server((host, port), family=family, reuse_port=share_port)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}") from None


def _unix_socket(address: str) -> socket.socket:
    scheme, _, path = address.partition(":")
    if scheme == "unix-abstract":
        path = f"\0{path}"
    elif Path(path).is_socket():
        # The socket was left behind by a process that was killed; a living one would answer.
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(path)
            raise AddressError(f"cannot listen on {address}: another process does")
        Path(path).unlink()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    return listening
