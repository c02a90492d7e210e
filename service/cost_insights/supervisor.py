"""Several worker processes on one port, and the supervisor that watches over them.

The kernel spreads connections over the workers (SO_REUSEPORT). The supervisor serves nothing
itself: it reserves the port, restarts a worker that dies, and stops all of them when it is told to
stop.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import uvloop

from cost_insights.addresses import AddressError, join_address, socket_family, split_address
from cost_insights.app import define_measurements
from cost_insights.errors import StoreUnavailableError
from cost_insights.identity import SharedTimes
from cost_insights.logs.output import set_up_log
from cost_insights.memory import use_one_heap
from cost_insights.server import Server, check_address, serve
from cost_insights.settings import Settings
from cost_insights.store import SchemaError, Store
from cost_insights.telemetry import Rows, rows_size
from cost_insights.telemetry.telemetry import row_length

_log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
"""The least time between two starts of a worker that dies."""

_KILL_SECONDS = 10.0
"""The time after its drain time that a worker may take to stop before it is killed."""

# A fork would copy the locks of gRPC's threads in whatever state they are in.
_processes = multiprocessing.get_context("spawn")


def supervise(
    settings: Settings,
    workers: int,
    *,
    log_level: int = logging.INFO,
    ready: Callable[[str, str, str], None] = lambda _grpc, _http, _admin: None,
) -> None:
    """Runs the workers until SIGTERM or SIGINT.

    `ready` gets the addresses of gRPC, HTTP and the measurements once all have served.

    Raises AddressError if the address or the database does not allow it, SchemaError if the
    schema of the database is not the one that this program works with, and
    StoreUnavailableError if the database does not answer. Must run in the main thread.
    """
    store = Store(settings.database_url)
    try:
        if workers > 1 and not store.dialect.shared_by_processes:
            raise AddressError(
                f"will not run {workers} workers on SQLite: one process at a time writes to it, so "
                "the others would only wait; use PostgreSQL, or one worker"
            )
        if settings.database_upgrade:
            store.upgrade()
        else:
            store.check_schema()
        check_address(settings, store)
    finally:
        store.close()
    with _stop_signal() as stop, _kept_ports(settings) as addresses:
        settings = settings.model_copy(update={**addresses, "database_upgrade": False})
        # It has no name in any file system, and is gone with the last process that has it.
        memory = _processes.RawArray("d", rows_size(workers, row_length(define_measurements)))
        rates = SharedTimes(_processes)
        running = [
            _Worker(settings, log_level, _Place(number, workers, memory, rates))
            for number in range(1, workers + 1)
        ]
        try:
            _watch(
                running,
                stop,
                lambda: ready(settings.grpc_address, settings.http_address, settings.admin_address),
            )
        finally:
            _log.info("stopping %d workers", workers)
            _stop(running, settings.drain_seconds + _KILL_SECONDS)


@dataclass(frozen=True)
class _Place:
    """The place of a worker among the others, which whoever replaces it takes over."""

    number: int
    """The number, from 1."""

    workers: int
    memory: Any
    """The memory of the measurements of all."""

    rates: SharedTimes
    """What all of them take of rates."""


class _Worker:
    """A process of the service, restarted whenever it dies."""

    def __init__(self, settings: Settings, log_level: int, place: _Place) -> None:
        self._settings = settings
        self._log_level = log_level
        self._place = place
        self.has_served = False
        self.start()

    def start(self) -> None:
        self.started = time.monotonic()
        # The worker holds one end of each pipe. On the first it says when it serves; the closing of
        # the second tells it that the supervisor is gone.
        self.serving, told = _processes.Pipe(duplex=False)
        watched, self._alive = _processes.Pipe(duplex=False)
        self.process: SpawnProcess = _processes.Process(
            target=_work,
            args=(self._settings, self._log_level, self._place, told, watched),
            name=f"worker {self._place.number}",
        )
        self.process.start()
        told.close()
        watched.close()

    def close(self) -> None:
        """Releases a process that has ended."""
        self.process.close()
        self.serving.close()
        self._alive.close()


def _watch(workers: list[_Worker], stop: socket.socket, ready: Callable[[], None]) -> None:
    announced = False
    while True:
        due: list[float] = []
        waited_for: list[Any] = [stop]
        for worker in workers:
            # Looked at once: one that ends from here on is told by its sentinel.
            if (exitcode := worker.process.exitcode) is not None:
                restart_at = worker.started + _RESTART_SECONDS
                if time.monotonic() < restart_at:
                    due.append(restart_at)
                    continue
                _log.error("%s ended with %s and is started anew", worker.process.name, exitcode)
                worker.close()
                worker.start()
            waited_for.append(worker.process.sentinel)
        waited_for += [w.serving for w in workers if not w.has_served and not w.serving.closed]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        happened = wait(waited_for, timeout)
        if stop in happened:
            return
        for worker in workers:
            if worker.serving in happened and not worker.has_served:
                with contextlib.suppress(EOFError):
                    worker.has_served = worker.serving.recv()
                    continue
                # It died before it served; only the sentinel counts from here on.
                worker.serving.close()
        if not announced and all(worker.has_served for worker in workers):
            announced = True
            ready()


def _stop(workers: list[_Worker], seconds: float) -> None:
    for worker in workers:
        if worker.process.exitcode is None:
            worker.process.terminate()
    until = time.monotonic() + seconds
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        if worker.process.exitcode is None:
            _log.error("%s did not stop in time and is killed", worker.process.name)
            worker.process.kill()
            worker.process.join()
        worker.close()


def _work(
    settings: Settings, log_level: int, place: _Place, serving: Connection, alive: Connection
) -> None:
    """The main function of a worker."""
    use_one_heap()
    set_up_log(log_level, settings.log_format, shows_process=True)
    threading.Thread(target=_stop_with_supervisor, args=(alive,), daemon=True).start()

    def ready(server: Server) -> None:
        serving.send(True)

    rows = Rows(place.memory, processes=place.workers, own=place.number - 1)
    try:
        uvloop.run(
            serve(settings, share_port=True, shared_rates=place.rates, rows=rows, ready=ready)
        )
    except (SchemaError, StoreUnavailableError) as error:
        # Another version may have upgraded the database while the others go on serving, or it may
        # have gone away.
        _log.error("cannot serve the database: %s", error)
        sys.exit(1)


def _stop_with_supervisor(alive: Connection) -> None:
    with contextlib.suppress(EOFError):
        alive.recv()
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _stop_signal() -> Iterator[socket.socket]:
    """A socket that becomes readable at SIGTERM or SIGINT."""
    told, tell = socket.socketpair()
    with told, tell:
        before = {
            signum: signal.signal(signum, lambda *_: tell.send(b"!"))
            for signum in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield told
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


@contextlib.contextmanager
def _kept_ports(settings: Settings) -> Iterator[Mapping[str, str]]:
    """Reserves the ports of all addresses, and yields the settings with their addresses."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(_kept_port(address))
            for name in ("grpc_address", "http_address", "admin_address")
            if (address := getattr(settings, name))
        }


@contextlib.contextmanager
def _kept_port(address: str) -> Iterator[str]:
    """Reserves the port for the workers without listening on it, and yields its address.

    The port must be free at first: if it were shared with another program, the kernel would hand
    some of the calls to that program.
    """
    host, port = split_address(address)
    family = socket_family(host)
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        with socket.socket(family) as keeper:
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            keeper.bind((host, port))
            yield join_address(host, port)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror}") from None
