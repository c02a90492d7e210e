"""One process of the service: it listens, and drains when it is told to stop.

It stops in the order in which calls flow: it refuses new calls, finishes the running ones, stores
the waiting events and closes the database.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from cost_insights.addresses import AddressError, is_loopback
from cost_insights.app import App
from cost_insights.doors.connections import ConnectionLimits, connections_allowed
from cost_insights.doors.grpc.listener import GrpcListener
from cost_insights.doors.http.admin import admin_application
from cost_insights.doors.http.application import application
from cost_insights.doors.http.bodies import HttpLimits
from cost_insights.doors.http.listener import HttpListener
from cost_insights.doors.tls import Certificates, TlsError, TlsFiles
from cost_insights.identity import SharedTimes, any_token
from cost_insights.settings import Settings
from cost_insights.store import Store
from cost_insights.telemetry import NOTHING, Calls, Rows

_log = logging.getLogger(__name__)

_SWITCH_SECONDS = 0.000_5
"""The time for which a thread keeps the interpreter's lock while another waits for it."""

_YOUNG_OBJECTS_MAX = 10_000
"""The number of new objects after which the garbage collector looks for cycles among them. The
requests in work hold many more than Python's default of 700, so it would look in vain."""

_ADMIN_CONNECTIONS_MAX = 16
"""The number of connections to the address for administrators."""

_STOP_SECONDS = 4.5
"""The time that a stop may take besides that of the calls."""


class Listener(Protocol):
    """A door that listens."""

    address: str
    """The address it listens on; once started, with the port that was taken."""

    async def start(self) -> None:
        """Listens; raises AddressError if it cannot."""

    async def stop(self, drain_seconds: float) -> None:
        """Refuses new calls and waits for the running ones."""


class Server:
    """One process of the service: its parts, and the doors that lead to them."""

    def __init__(
        self,
        settings: Settings,
        *,
        share_port: bool = False,
        shared_rates: SharedTimes | None = None,
        rows: Rows | None = None,
    ) -> None:
        """`share_port` lets other processes listen on the same port; `shared_rates` holds what they
        take of rates, and `rows` the measurements of all of them."""
        self.settings = settings
        self.app = App(settings, shared_rates=shared_rates, rows=rows)
        self._share_port = share_port
        self._admin: HttpListener | None = None
        self._grpc: GrpcListener | None = None
        self._http: HttpListener | None = None

    @property
    def grpc_address(self) -> str:
        """The address of the gRPC server; once started, with the port that was taken."""
        return self.settings.grpc_address if self._grpc is None else self._grpc.address

    @property
    def http_address(self) -> str:
        """The address of the HTTP server, in the same way; empty if it is turned off."""
        return self.settings.http_address if self._http is None else self._http.address

    @property
    def admin_address(self) -> str:
        """The address of the measurements, in the same way."""
        return self.settings.admin_address if self._admin is None else self._admin.address

    async def start(self) -> None:
        """Opens the database and serves.

        Raises AddressError if it cannot or must not listen on an address, SchemaError if the
        schema of the database is not the one that this program works with, and
        StoreUnavailableError if the database does not answer.
        """
        await self.app.open()
        await asyncio.to_thread(check_address, self.settings, self.app.store)
        self.app.start()
        app, settings = self.app, self.settings
        certificates = None if (files := tls_files(settings)) is None else Certificates(files)
        connections = ConnectionLimits(
            connections_allowed(
                settings.connections_max,
                doors=2 if settings.http_address else 1,
                database_connections=settings.database_connections_max,
            ),
            settings.connection_idle_seconds,
        )
        self._grpc = GrpcListener(
            settings.grpc_address,
            app.calls,
            app.health,
            app.authenticator,
            app.budget,
            other_bytes=app.other_bytes,
            measured_calls=app.measured_calls,
            connections=connections,
            request_bytes_max=settings.request_bytes_max,
            certificates=certificates,
            message_seconds_max=settings.grpc_message_seconds,
            share_port=self._share_port,
        )
        if settings.http_address:
            self._http = HttpListener(
                settings.http_address,
                application(
                    app.calls,
                    app.compatible_calls,
                    app.health,
                    app.authenticator,
                    limits=HttpLimits(
                        settings.request_bytes_max, settings.http_body_seconds, app.budget
                    ),
                    measured_calls=app.measured_calls,
                    cors_origins=settings.http_cors_origins,
                ),
                app.measured_calls,
                body_seconds_max=settings.http_body_seconds,
                connections=connections,
                certificates=certificates,
                share_port=self._share_port,
            )
        if settings.admin_address:
            self._admin = HttpListener(
                settings.admin_address,
                admin_application(app.telemetry.rendered),
                # What the measurements are read with is not measured.
                Calls(NOTHING.calls),
                body_seconds_max=settings.http_body_seconds,
                connections=ConnectionLimits(
                    _ADMIN_CONNECTIONS_MAX, settings.connection_idle_seconds
                ),
                certificates=None,
                share_port=self._share_port,
            )
        for listener in self._listeners():
            await listener.start()
        await app.health.start()

    async def stop(self) -> None:
        """Refuses new calls, finishes the running ones and closes the database."""
        self.app.stopping.set()
        await self.app.health.stop()
        await asyncio.gather(
            *(listener.stop(self.settings.drain_seconds) for listener in self._listeners())
        )
        await self.app.close()

    def _listeners(self) -> Sequence[Listener]:
        listeners = (self._grpc, self._http, self._admin)
        return [listener for listener in listeners if listener is not None]


async def serve(
    settings: Settings,
    *,
    share_port: bool = False,
    shared_rates: SharedTimes | None = None,
    rows: Rows | None = None,
    ready: Callable[[Server], None] = lambda _: None,
) -> None:
    """Runs the service until SIGTERM or SIGINT; `ready` is called once it serves."""
    # The writing thread needs the interpreter's lock whenever the database has taken more data.
    # With Python's default it would wait 5 ms each time while calls arrive.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    server = Server(settings, share_port=share_port, shared_rates=shared_rates, rows=rows)
    try:
        await server.start()
        # The objects made so far live as long as the process, so the garbage collector need not
        # look at them again; and those of a request are many, but end with it.
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS_MAX)
        ready(server)
        await stopping.wait()
        _end_anyway(settings.drain_seconds + _STOP_SECONDS)
        _log.info("stopping: no new calls; up to %s s for the running ones", settings.drain_seconds)
    finally:
        await server.stop()


def tls_files(settings: Settings) -> TlsFiles | None:
    """The files of TLS, None if it is off; raises TlsError for a part of them."""
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if cert is not None and key is not None:
        return TlsFiles(cert, key, client_ca)
    if cert is None and key is None and client_ca is None:
        return None
    raise TlsError("a certificate and its key are needed: give --tls-cert and --tls-key")


def _end_anyway(seconds: float) -> None:
    """Ends the process after some time, whatever still waits for a database that is frozen."""

    def end() -> None:
        _log.error("not stopped after %s s: the process ends without waiting any longer", seconds)
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def check_address(settings: Settings, store: Store) -> None:
    """Raises AddressError if strangers could reach a service that asks for no token."""
    addresses = [address for address in (settings.grpc_address, settings.http_address) if address]
    reachable = [address for address in addresses if not is_loopback(address)]
    if reachable and not any_token(store):
        raise AddressError(
            f"will not listen on {reachable[0]} while the database holds no access token, "
            "because anybody who reaches it could read and write everything; listen on 127.0.0.1, "
            "or create a token first: cost-insights token create"
        )
