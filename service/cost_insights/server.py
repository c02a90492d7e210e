"""The service as a whole: assembles it, starts it and drains it.

It stops in the order in which calls flow: no new calls, then the running ones
finish, then what waits is stored, then the database is closed.
"""

import asyncio
import gc
import ipaddress
import logging
import signal
import sys
from collections.abc import Callable

import grpc
from grpc_health.v1 import health

from cost_insights.api.events import event_calls
from cost_insights.api.metrics import metrics_calls
from cost_insights.api.operations import SERVICES
from cost_insights.api.revenue import revenue_calls
from cost_insights.api.system_events import system_event_call
from cost_insights.doors.grpc.calls import handlers
from cost_insights.doors.grpc.health import Health
from cost_insights.doors.grpc.reflection import add_reflection
from cost_insights.events import EventReader
from cost_insights.identity import Authenticator, any_token
from cost_insights.ingest import Compactor, Ingestor
from cost_insights.metrics import MetricsExporter, MetricsReader
from cost_insights.revenue import Recorder, RevenueReader
from cost_insights.settings import Settings
from cost_insights.store import Store

_log = logging.getLogger(__name__)

_CONCURRENT_CALLS_MAX = 4_096

_SWITCH_SECONDS = 0.000_5
"""For how long a thread may keep the interpreter's lock while another waits for it."""


class AddressError(Exception):
    """The service cannot listen where it was told to."""


class Server:
    """One process of the service."""

    def __init__(self, settings: Settings, *, share_port: bool = False) -> None:
        """`share_port` lets other processes listen on the same port."""
        self.settings = settings
        self._share_port = share_port
        self.store = Store(
            settings.database_url,
            connections_max=settings.database_connections_max,
            retry_seconds=settings.database_retry_seconds,
            cache_bytes_max=settings.cache_bytes_max,
        )
        self.authenticator = Authenticator(
            self.store,
            open_organization=settings.open_organization,
            cache_ms=settings.token_cache_ms,
        )
        self.grpc_address = settings.grpc_address
        """Where gRPC is served; once started with the port that was taken."""

        self._ingestor: Ingestor | None = None
        self._compactor: Compactor | None = None
        self._recorder = Recorder(self.store)
        self._grpc: grpc.aio.Server | None = None
        self._stopping = asyncio.Event()
        self._health = Health(self.store, SERVICES)

    async def start(self) -> None:
        """Opens the database and serves.

        Raises AddressError if it cannot or must not listen on the address, and
        StoreUnavailableError if the database does not answer.
        """
        if self.settings.database_upgrade:
            await asyncio.to_thread(self.store.upgrade)
        await asyncio.to_thread(check_address, self.settings, self.store)
        self._ingestor = Ingestor(
            self.store,
            limits=self.settings.limits(),
            waiting_events_max=self.settings.waiting_events_max,
            waiting_bytes_max=self.settings.waiting_bytes_max,
        )
        self._ingestor.start()
        if self.settings.compact:
            self._compactor = Compactor(self.store)
            self._compactor.start()
        self._grpc = self._grpc_server(self._ingestor)
        self.grpc_address = _listen(self._grpc, self.settings.grpc_address)
        await self._grpc.start()
        await self._health.start()

    async def stop(self) -> None:
        """Refuses new calls, finishes the running ones and closes the database."""
        self._stopping.set()
        await self._health.stop()
        if self._grpc is not None:
            await self._grpc.stop(self.settings.drain_seconds)
        if self._ingestor is not None:
            await self._ingestor.close()
        if self._compactor is not None:
            await asyncio.to_thread(self._compactor.stop)
        await self._recorder.close()
        await asyncio.to_thread(self.store.close)

    def _grpc_server(self, ingestor: Ingestor) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=(
                # Beyond the limit itself, so that slightly larger requests get an
                # answer with a reason; what is far beyond is not even read.
                ("grpc.max_receive_message_length", 2 * self.settings.request_bytes_max),
                ("grpc.max_send_message_length", -1),
                # A port that is taken is an error, not a share of its calls.
                ("grpc.so_reuseport", int(self._share_port)),
            ),
            maximum_concurrent_rpcs=_CONCURRENT_CALLS_MAX,
        )
        metrics = MetricsReader(
            self.store,
            query_seconds_max=self.settings.query_seconds_max,
            ledger_bytes_max=self.settings.ledger_bytes_max,
        )
        exporter = MetricsExporter(
            self.store,
            metrics,
            query_seconds_max=self.settings.query_seconds_max,
            # Half of the transactions that read: the writer and the compactor have one each.
            details_max=max(1, (self.store.transactions_max - 2) // 2),
        )
        calls = {
            **event_calls(
                ingestor,
                EventReader(self.store),
                self._stopping,
                system_event_call(self._recorder, clock_skew_ms=self.settings.clock_skew_ms),
            ),
            **metrics_calls(metrics, exporter),
            **revenue_calls(
                self._recorder,
                RevenueReader(self.store),
                clock_skew_ms=self.settings.clock_skew_ms,
            ),
        }
        server.add_generic_rpc_handlers(
            handlers(
                calls,
                authenticator=self.authenticator,
                request_bytes_max=self.settings.request_bytes_max,
            )
        )
        self._health.add_to(server)
        add_reflection(server, [*SERVICES, health.SERVICE_NAME])
        return server


async def serve(
    settings: Settings,
    *,
    share_port: bool = False,
    ready: Callable[[Server], None] = lambda _: None,
) -> None:
    """Runs the service until SIGTERM or SIGINT; `ready` is called once it serves."""
    # The thread that writes asks for the interpreter's lock whenever the database
    # has taken some more, and would wait 5 ms for it each time that calls arrive.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    server = Server(settings, share_port=share_port)
    try:
        await server.start()
        # What was made until now lives as long as the process: no collection of garbage
        # need look at it again.
        gc.freeze()
        ready(server)
        await stopping.wait()
        _log.info("stopping: no new calls; up to %s s for the running ones", settings.drain_seconds)
    finally:
        await server.stop()


def check_address(settings: Settings, store: Store) -> None:
    """Raises AddressError where strangers could reach a service that asks for no token."""
    if not is_loopback(settings.grpc_address) and not any_token(store):
        raise AddressError(
            f"will not listen on {settings.grpc_address} while the database holds no access token, "
            "because anybody who reaches it could read and write everything; listen on 127.0.0.1, "
            "or create a token first: cost-insights token create"
        )


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of an address such as `127.0.0.1:50051`; raises AddressError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise AddressError(f"{address!r} is no address; write HOST:PORT, such as 127.0.0.1:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address such as `127.0.0.1:50051`."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(server: grpc.aio.Server, address: str) -> str:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise AddressError(f"cannot listen on {address}: is the port taken? ({error})") from None
    host, _, asked = address.rpartition(":")
    return f"{host}:{port}" if asked == "0" else address
