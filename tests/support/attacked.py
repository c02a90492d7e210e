"""The service in a process of its own, whose memory and descriptors can be watched."""

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc

from cost_insights import identity
from cost_insights.store import Store
from tests.support.command_line import Serving, program
from tests.support.service import EVERY_SCOPE, Caller

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_WITHOUT_COLLECTOR = (
    sys.executable,
    "-c",
    "import gc; gc.disable(); from cost_insights.cli import main; main()",
)

_CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


class AttackedService:
    """A service that runs, seen from outside."""

    def __init__(self, serving: Serving, store: Store) -> None:
        self._pid = serving.process.pid
        self._store = store
        self._serving = serving
        self._channels = contextlib.ExitStack()
        self.address = serving.address
        self.url = serving.url

    def caller(self) -> Caller:
        """A caller of a new organization, on a connection of its own."""
        name = f"organization {time.monotonic_ns()}"
        with self._store.write() as connection:
            organization = identity.create_organization(connection, name)
            _, token = identity.create_token(connection, organization, EVERY_SCOPE, expires_us=None)
        return self.colleague(Caller(self._channel(), token, name))

    def colleague(self, caller: Caller) -> Caller:
        """The same caller on another connection."""
        return Caller(self._channel(), caller.token, caller.organization)

    def resident_bytes(self) -> int:
        """The memory that the process holds."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def files_max(self) -> int:
        """The number of files that the process may have open."""
        return resource.prlimit(self._pid, resource.RLIMIT_NOFILE)[0]

    def descriptors(self) -> int:
        """The number of files and sockets that the process has open."""
        return len(os.listdir(f"/proc/{self._pid}/fd"))  # noqa: PTH208

    def stop(self) -> int:
        """Asks it to stop and returns its exit code."""
        return self._serving.stop()

    def close(self) -> None:
        """Closes the connections of all callers."""
        self._channels.close()

    def _channel(self) -> grpc.Channel:
        channel = grpc.insecure_channel(self.address, _CHANNEL_OPTIONS)
        return self._channels.enter_context(channel)


StartAttacked = Callable[..., contextlib.AbstractContextManager[AttackedService]]
"""Starts a service with given settings."""


@contextlib.contextmanager
def attacked(
    folder: Path,
    *,
    collects_garbage: bool = True,
    files_max: tuple[int, int] | None = None,
    **settings: object,
) -> Iterator[AttackedService]:
    """A service on a new SQLite database, which asks everybody for a token.

    Without the collector of reference cycles, whatever is in one stays in memory. `files_max` are
    the soft and the hard limit of open files.
    """
    url = f"sqlite:///{folder / 'attacked.db'}"
    variables = {f"COST_INSIGHTS_{name.upper()}": str(value) for name, value in settings.items()}
    log_path = folder / "attacked.log"
    with contextlib.closing(Store(url)) as store, log_path.open("wb") as log_file:
        store.upgrade()
        process = subprocess.Popen(
            [
                *(program() if collects_garbage else _WITHOUT_COLLECTOR),
                *("serve", "--database-url", url),
                *("--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"),
            ],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            preexec_fn=None  # noqa: PLW1509 (nothing else runs in the child)
            if files_max is None
            else partial(resource.setrlimit, resource.RLIMIT_NOFILE, files_max),
        )
        assert process.stdout is not None
        service = AttackedService(Serving(process, process.stdout.readline()), store)
        try:
            service.caller()
            yield service
        finally:
            service.close()
            process.terminate()
            process.wait(60)
            process.stdout.close()
            log = log_path.read_text()
            print(log[-20_000:])  # shown if the test fails
        assert "Traceback" not in log
