"""The service as processes of their own, for tests that kill them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc

from tests.support.postgresql import free_port
from tests.support.process_trees import children_of, kill_all

CHANNEL_OPTIONS = (
    # Channels to one address share their connections, and with them the pause after
    # a failed one, which grows to two minutes.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class ServiceProcess:
    """`cost-insights serve` as a process that can be killed."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self.address = f"127.0.0.1:{free_port()}"
        self._command = [
            *(sys.executable, "-m", "cost_insights.cli", "serve"),
            *("--database-url", database_url),
            *("--grpc-address", self.address, "--http-address", "", "--admin-address", ""),
            *options,
        ]
        self._log_path = folder / "service.log"
        self._log = self._log_path.open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, env=self._environment
        )

    @property
    def process_id(self) -> int:
        """The id of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def worker_ids(self) -> list[int]:
        """The ids of the processes that serve below it, if it has such."""
        return [
            child
            for child in children_of(self.process_id)
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]

    def kill(self) -> None:
        """Kills it and every process below it at once."""
        assert self._process is not None
        kill_all([self.process_id, *children_of(self.process_id)])
        self._process.wait(60)

    def end(self, signum: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(signum)
        return self._process.wait(60)

    def wait_until_serving(self) -> None:
        assert self._process is not None
        with grpc.insecure_channel(self.address, CHANNEL_OPTIONS) as channel:
            ready = grpc.channel_ready_future(channel)
            for _ in range(120):
                with contextlib.suppress(grpc.FutureTimeoutError):
                    ready.result(0.5)
                    return
                assert self._process.poll() is None, "the service ended instead of serving"
            raise AssertionError("the service does not serve")

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            assert self.end(signal.SIGTERM) == 0
        self._log.close()
        print(self._log_path.read_text()[-20_000:])  # shown if the test fails
